//! Decodes base64 that arrives in blocks. In gRPC-Web each part is encoded on its own, so padding may occur anywhere, which the
//! `base64` crate refuses.

/// A decoder of base64 (RFC 4648 section 4).
#[derive(Default)]
pub(super) struct Base64Decoder {
    /// The bits of incomplete bytes.
    bits: u32,
    /// Their number: 0, 2, 4 or 6.
    count: u32,
}

impl Base64Decoder {
    /// Appends the bytes in `text` to `bytes`. Padding ends a part; other characters are ignored.
    pub(super) fn push(&mut self, text: &[u8], bytes: &mut Vec<u8>) {
        for c in text {
            let value = match c {
                b'A'..=b'Z' => c.wrapping_sub(b'A'),
                b'a'..=b'z' => c.wrapping_sub(b'a').wrapping_add(26),
                b'0'..=b'9' => c.wrapping_sub(b'0').wrapping_add(52),
                b'+' => 62,
                b'/' => 63,
                b'=' => {
                    (self.bits, self.count) = (0, 0);
                    continue;
                }
                _ => continue,
            };
            self.bits = self.bits << 6 | u32::from(value);
            self.count = self.count.wrapping_add(6);
            if self.count >= 8 {
                self.count = self.count.wrapping_sub(8);
                let byte = self.bits >> self.count;
                bytes.extend(u8::try_from(byte & 0xff));
                self.bits &= 0x3f;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Base64;

    #[test]
    fn decodes_parts_in_any_blocks() {
        let all: Vec<u8> = (0..=255).collect();
        for len in [0, 1, 2, 3, 4, 255, 256] {
            let part = &all[..len];
            let text = format!("{}{}\r\n", Base64(part), Base64(part));
            for block in 1..5 {
                let (mut decoder, mut bytes) = (Base64Decoder::default(), Vec::new());
                text.as_bytes().chunks(block).for_each(|block| decoder.push(block, &mut bytes));
                assert_eq!(bytes, [part, part].concat(), "{len} {block}");
            }
        }
    }
}
