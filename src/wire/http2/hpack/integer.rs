//! Integers in HPACK: small ones in the low bits of a byte, larger ones in groups of seven bits after it (RFC 7541 section
//! 5.1).
//!
//! ```text
//!   0   1   2   3   4   5   6   7
//! | ?   ?   ? | 1   1   1   1   1 |     all ones: more follows
//! | 1 |      lowest seven bits    |
//! | 0 |      highest seven bits   |
//! ```

use super::Malformed;

/// The integer in the low `prefix` bits of `first` and in as much of `rest` as it takes.
pub(super) fn read(first: u8, prefix: u32, rest: &mut &[u8]) -> Result<usize, Malformed> {
    let most = (1_usize << prefix) - 1;
    let mut value = usize::from(first) & most;
    if value < most {
        return Ok(value);
    }
    for group in 0..MAX_GROUPS {
        let (&byte, tail) = rest.split_first().ok_or(Malformed::Unfinished)?;
        *rest = tail;
        value += usize::from(byte & 0x7f) << (7 * group);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Malformed::Integer)
}

/// Up to 2^28, a thousand times what any length or index within the limits of this decoder needs. Without an end to the
/// groups they could be padded with zeros for ever.
const MAX_GROUPS: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_rfc_7541() {
        let mut rest = &[0x9a, 0x0a, 0x77][..];
        assert_eq!(read(0b1110_1010, 5, &mut &[][..]), Ok(10));
        assert_eq!(read(0b0001_1111, 5, &mut rest), Ok(1337));
        assert_eq!(rest, [0x77]);
        assert_eq!(read(42, 8, &mut &[][..]), Ok(42));
    }

    #[test]
    fn has_an_end() {
        assert_eq!(read(0x7f, 7, &mut &[][..]), Err(Malformed::Unfinished));
        assert_eq!(read(0x7f, 7, &mut &[0x80, 0xff][..]), Err(Malformed::Unfinished));
        assert_eq!(read(0x7f, 7, &mut &[0xff, 0xff, 0xff, 0x7f][..]), Ok(0x7f + (1 << 28) - 1));
        assert_eq!(read(0x7f, 7, &mut &[0x80, 0x80, 0x80, 0x80, 0x00][..]), Err(Malformed::Integer));
        assert_eq!(read(0x7f, 7, &mut &[0xff; 32][..]), Err(Malformed::Integer));
    }
}
