//! Base64 (RFC 4648 section 4), piece by piece: what is shown so is often large.

use serde::{Serialize, Serializer};
use std::fmt::{self, Display, Write as _};

/// Shows bytes in base64.
#[derive(Clone, Copy)]
pub(crate) struct Base64<'b>(pub(crate) &'b [u8]);

impl Display for Base64<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in self.0.chunks(3) {
            let bits = piece.iter().fold(0u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - piece.len()));
            for place in 0..4 {
                match bits >> (18 - 6 * place) & 63 {
                    _ if place > piece.len() => f.write_char('=')?,
                    digit => f.write_char(DIGITS.get(digit as usize).copied().map_or('=', char::from))?,
                }
            }
        }
        Ok(())
    }
}

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rfcs_own_examples() {
        let pairs =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE=")];
        for (plain, coded) in pairs {
            assert_eq!(Base64(plain.as_bytes()).to_string(), coded);
        }
        assert_eq!(Base64(&[0xfb, 0xff, 0xfe]).to_string(), "+//+");
        assert_eq!(serde_json::to_string(&Base64(b"foob")).unwrap(), "\"Zm9vYg==\"");
    }
}
