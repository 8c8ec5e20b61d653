//! Text that arrives in blocks, such as a body too large for the memory. A character may be split between two blocks.

use super::as_text;

/// Decodes blocks of bytes as text, by the rule of [`as_text`]: UTF-8 without NUL.
#[derive(Clone, Debug, Default)]
pub struct TextDecoder {
    /// The first bytes of a character, at most three.
    split: Vec<u8>,
}

impl TextDecoder {
    /// A decoder at the start of a text.
    pub fn new() -> Self {
        Self::default()
    }

    /// Passes the characters that `block` contains or completes to `sink`. Returns false if they are not text.
    ///
    /// # Errors
    /// Those of `sink`.
    pub fn push<E>(&mut self, block: &[u8], sink: &mut dyn FnMut(&str) -> Result<(), E>) -> Result<bool, E> {
        let mut rest = block;
        while !self.split.is_empty() {
            let Some((byte, after)) = rest.split_first() else { return Ok(true) };
            self.split.push(*byte);
            rest = after;
            match std::str::from_utf8(&self.split) {
                Ok(character) => {
                    sink(character)?;
                    self.split.clear();
                }
                Err(e) if e.error_len().is_some() => return Ok(false),
                Err(_) => {}
            }
        }
        let valid = match std::str::from_utf8(rest) {
            Ok(_) => rest.len(),
            Err(e) if e.error_len().is_some() => return Ok(false),
            Err(e) => e.valid_up_to(),
        };
        let (text, split) = rest.split_at(valid);
        self.split.extend_from_slice(split);
        match as_text(text) {
            Some("") => Ok(true),
            Some(text) => sink(text).map(|()| true),
            None => Ok(false),
        }
    }

    /// Returns true if the text does not end within a character.
    pub fn is_complete(&self) -> bool {
        self.split.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    /// Returns the text in `bytes`, passed in blocks of `len`.
    fn decoded(bytes: &[u8], len: usize) -> Option<String> {
        let (mut decoder, mut decoded) = (TextDecoder::new(), String::new());
        let mut is_text = true;
        for block in bytes.chunks(len) {
            let pushed = decoder.push(block, &mut |text| {
                decoded.push_str(text);
                Ok::<_, Infallible>(())
            });
            is_text &= pushed.unwrap();
        }
        (is_text && decoder.is_complete()).then_some(decoded)
    }

    #[test]
    fn blocks_are_decoded_as_the_whole_is() {
        let cases: [&[u8]; 10] = [
            b"",
            "grün 日本 \u{1f600}\u{1f600}".as_bytes(),
            b"a\0b",
            b"\xff",
            "日本".as_bytes().split_last().unwrap().1,
            b"\xe6a",
            b"\xed\xa0\x80",
            b"\xf0\x9f\x98\xf0\x9f\x98\x80",
            b"\xc3",
            b"\xc3\xbc\0",
        ];
        for bytes in cases {
            for len in 1..=bytes.len().max(1) {
                assert_eq!(decoded(bytes, len).as_deref(), as_text(bytes), "{bytes:?} in blocks of {len}");
            }
        }
    }
}
