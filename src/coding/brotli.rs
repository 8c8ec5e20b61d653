//! Brotli (RFC 7932).

use super::error::DecodeError;
use super::input::EncodedInput;
use super::output::DecodedOutput;
use super::window;
use brotli_decompressor::{BrotliDecoderParameter, Decompressor};
use std::io::{self, BufRead, Read};

/// Decodes a stream. Large windows are not part of the RFC, need up to a gigabyte of memory, and are refused. Bytes after
/// the stream are ignored.
pub(super) fn brotli(input: &mut EncodedInput<'_>, output: &mut DecodedOutput<'_>) -> Result<(), DecodeError> {
    let head = input.fill_buf().map_err(|_| DecodeError::Malformed)?;
    if window::brotli_bytes(head) > output.max_window_bytes() {
        return Err(DecodeError::WindowTooLarge);
    }
    let mut decoder = Decompressor::new(&mut *input, BUFFER_BYTES);
    decoder.set_parameter(BrotliDecoderParameter::BROTLI_DECODER_PARAM_LARGE_WINDOW, 0);
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match decoder.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => output.push(buffer.get(..n).unwrap_or_default())?,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            // The decoder reports a truncated input with different errors.
            Err(_) => {
                drop(decoder);
                return Err(input.error());
            }
        }
    }
}

/// The size of the pieces in which the decoder reads and writes.
const BUFFER_BYTES: usize = 32 * 1024;
