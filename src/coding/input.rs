//! The encoded bytes, as decoders read them.

use super::error::DecodeError;
use std::io::{self, BufRead, Read};

/// The encoded bytes. Notes when a decoder reads past their end.
pub(super) struct EncodedInput<'b> {
    bytes: &'b mut dyn BufRead,
    reached_end: bool,
}

impl<'b> EncodedInput<'b> {
    pub(super) fn new(bytes: &'b mut dyn BufRead) -> Self {
        Self { bytes, reached_end: false }
    }

    /// Returns the meaning of a decoder's error: at the end of the input it is a truncation.
    pub(super) fn error(&self) -> DecodeError {
        if self.reached_end { DecodeError::Truncated } else { DecodeError::Malformed }
    }

    /// Reads the next bytes, up to `N`, and returns them with their number. Does not count as reading past the end.
    pub(super) fn read_prefix<const N: usize>(&mut self) -> Result<([u8; N], usize), DecodeError> {
        let mut bytes = [0; N];
        let mut len = 0;
        while let Some(rest) = bytes.get_mut(len..).filter(|rest| !rest.is_empty()) {
            match self.read(rest).map_err(|_| DecodeError::Malformed)? {
                0 => break,
                n => len += n,
            }
        }
        self.reached_end = false;
        Ok((bytes, len))
    }

    /// Reads the next `N` bytes.
    pub(super) fn read_array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.read_prefix()? {
            (bytes, len) if len == N => Ok(bytes),
            _ => Err(DecodeError::Truncated),
        }
    }
}

impl BufRead for EncodedInput<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let bytes = self.bytes.fill_buf()?;
        if bytes.is_empty() {
            self.reached_end = true;
        }
        Ok(bytes)
    }

    fn consume(&mut self, amount: usize) {
        self.bytes.consume(amount);
    }
}

impl Read for EncodedInput<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.fill_buf()?.read(into)?;
        self.consume(n);
        Ok(n)
    }
}
