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

/// Reads the integer in the low `prefix` bits of `first`, and removes the bytes that continue it from `rest`.
pub(super) fn read(first: u8, prefix: u32, rest: &mut &[u8]) -> Result<usize, HpackError> {
    let max = (1_usize << prefix) - 1;
    let mut value = usize::from(first) & max;
    if value < max {
        return Ok(value);
    }
    for group in 0..MAX_GROUPS {
        let (&byte, tail) = rest.split_first().ok_or(HpackError::Incomplete)?;
        *rest = tail;
        value += usize::from(byte & 0x7f) << (7 * group);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(HpackError::IntegerTooLong)
}

/// Allows integers up to 2^28, a thousand times the largest useful length or index. Without this limit an integer could be
/// padded with zeros indefinitely.
const MAX_GROUPS: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_examples_of_rfc_7541() {
        let mut rest = &[0x9a, 0x0a, 0x77][..];
        assert_eq!(read(0b1110_1010, 5, &mut &[][..]), Ok(10));
        assert_eq!(read(0b0001_1111, 5, &mut rest), Ok(1337));
        assert_eq!(rest, [0x77]);
        assert_eq!(read(42, 8, &mut &[][..]), Ok(42));
    }

    #[test]
    fn rejects_incomplete_and_long_integers() {
        assert_eq!(read(0x7f, 7, &mut &[][..]), Err(HpackError::Incomplete));
        assert_eq!(read(0x7f, 7, &mut &[0x80, 0xff][..]), Err(HpackError::Incomplete));
        assert_eq!(read(0x7f, 7, &mut &[0xff, 0xff, 0xff, 0x7f][..]), Ok(0x7f + (1 << 28) - 1));
        assert_eq!(read(0x7f, 7, &mut &[0x80, 0x80, 0x80, 0x80, 0x00][..]), Err(HpackError::IntegerTooLong));
        assert_eq!(read(0x7f, 7, &mut &[0xff; 32][..]), Err(HpackError::IntegerTooLong));
    }
}
