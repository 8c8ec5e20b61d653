//! Reads HPACK integers: small ones are in the low bits of a byte, larger ones continue in groups of seven bits (RFC 7541
//! section 5.1).
//!
//! ```text
//!   0   1   2   3   4   5   6   7
//! | ?   ?   ? | 1   1   1   1   1 |     all ones: more bytes follow
//! | 1 |      lowest seven bits    |
//! | 0 |      highest seven bits   |
//! ```

use super::HpackError;

/// The first byte of an integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IntegerStart {
    /// The byte is the whole integer.
    Whole(usize),
    /// More bytes follow.
    Continued(IntegerReader),
}

/// Reads the bytes of an integer after the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IntegerReader {
    value: usize,
    groups: u32,
}

/// Reads the low `prefix` bits of `first`.
pub(super) fn start(first: u8, prefix: u32) -> IntegerStart {
    let max = (1_usize << prefix) - 1;
    match usize::from(first) & max {
        value if value < max => IntegerStart::Whole(value),
        value => IntegerStart::Continued(IntegerReader { value, groups: 0 }),
    }
}

impl IntegerReader {
    /// Adds the next byte. Returns the integer if the byte is its last one.
    pub(super) fn push(&mut self, byte: u8) -> Result<Option<usize>, HpackError> {
        self.value += usize::from(byte & 0x7f) << (7 * self.groups);
        self.groups += 1;
        match byte & 0x80 {
            0 => Ok(Some(self.value)),
            _ if self.groups == MAX_GROUPS => Err(HpackError::IntegerTooLong),
            _ => Ok(None),
        }
    }
}

/// Allows integers up to 2^28, a thousand times the largest useful length or index. Without this limit an integer could be
/// padded with zeros indefinitely.
const MAX_GROUPS: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the integer at the start of `bytes`, and the number of its bytes.
    fn read(prefix: u32, bytes: &[u8]) -> Result<Option<(usize, usize)>, HpackError> {
        let mut reader = match start(bytes[0], prefix) {
            IntegerStart::Whole(value) => return Ok(Some((value, 1))),
            IntegerStart::Continued(reader) => reader,
        };
        for (at, &byte) in bytes.iter().enumerate().skip(1) {
            if let Some(value) = reader.push(byte)? {
                return Ok(Some((value, at + 1)));
            }
        }
        Ok(None)
    }

    #[test]
    fn reads_the_examples_of_rfc_7541() {
        assert_eq!(read(5, &[0b1110_1010]), Ok(Some((10, 1))));
        assert_eq!(read(5, &[0b0001_1111, 0x9a, 0x0a, 0x77]), Ok(Some((1337, 3))));
        assert_eq!(read(8, &[42]), Ok(Some((42, 1))));
    }

    #[test]
    fn rejects_long_integers() {
        assert_eq!(read(7, &[0x7f]), Ok(None));
        assert_eq!(read(7, &[0x7f, 0x80, 0xff]), Ok(None));
        assert_eq!(read(7, &[0x7f, 0xff, 0xff, 0xff, 0x7f]), Ok(Some((0x7f + (1 << 28) - 1, 5))));
        assert_eq!(read(7, &[0x7f, 0x80, 0x80, 0x80, 0x80, 0x00]), Err(HpackError::IntegerTooLong));
        assert_eq!(read(7, &[0xff; 32]), Err(HpackError::IntegerTooLong));
    }
}
