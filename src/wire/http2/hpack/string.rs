//! Reads the strings of literal fields, in pieces of any size (RFC 7541 section 5.2).
//!
//! A string above the limit is read to its end without being stored, because the field blocks behind it must still be decoded.

use super::HpackError;
use super::huffman::HuffmanDecoder;

/// Reads one string at a time. Its buffer is used again for the next string.
#[derive(Default)]
pub(super) struct StringReader {
    /// The decoded string so far. Empty if the string is too long.
    text: Vec<u8>,
    /// The number of encoded bytes that have not arrived.
    left: usize,
    /// `None` if the string is not Huffman-coded.
    huffman: Option<HuffmanDecoder>,
    max_len: usize,
    is_too_long: bool,
}

impl StringReader {
    /// Begins a string of `encoded_len` bytes. It is stored if it has at most `max_len` bytes when decoded.
    pub(super) fn begin(&mut self, encoded_len: usize, is_huffman_coded: bool, max_len: usize) {
        self.text.clear();
        self.left = encoded_len;
        self.huffman = is_huffman_coded.then(HuffmanDecoder::new);
        self.max_len = max_len;
        self.is_too_long = false;
    }

    /// Removes the bytes of the string from the start of `bytes`. Returns true once the string is complete.
    pub(super) fn read(&mut self, bytes: &mut &[u8]) -> Result<bool, HpackError> {
        let (piece, rest) = bytes.split_at_checked(self.left).unwrap_or((bytes, &[]));
        *bytes = rest;
        self.left -= piece.len();
        match &mut self.huffman {
            Some(decoder) => decoder.decode(piece, &mut self.text)?,
            None if self.is_too_long => {}
            None => self.text.extend_from_slice(piece),
        }
        if self.is_too_long || self.text.len() > self.max_len {
            self.is_too_long = true;
            self.text.clear();
        }
        if self.left > 0 {
            return Ok(false);
        }
        self.huffman.take().map_or(Ok(()), HuffmanDecoder::finish)?;
        Ok(true)
    }

    /// Returns the complete string; `None` if it was too long.
    pub(super) fn text(&self) -> Option<&[u8]> {
        (!self.is_too_long).then_some(&self.text)
    }

    /// Returns the capacity of the buffer.
    pub(super) fn capacity(&self) -> usize {
        self.text.capacity()
    }

    /// Frees the buffer if a long string has enlarged it.
    pub(super) fn release_memory(&mut self) {
        self.text.clear();
        self.text.shrink_to(MAX_KEPT_BYTES);
    }
}

/// The largest capacity that a buffer keeps between two blocks.
const MAX_KEPT_BYTES: usize = 4096;
