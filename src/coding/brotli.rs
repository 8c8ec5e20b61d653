//! Brotli (RFC 7932).

use super::error::DecodeError;
use super::input::EncodedInput;
use super::output::DecodedOutput;
use super::window;
use brotli_decompressor::reader::DecompressorCustomAlloc;
use brotli_decompressor::{Allocator, BrotliDecoderParameter, SliceWrapper, SliceWrapperMut, StandardAlloc};
use std::io::{self, BufRead, Read};

/// Decodes a stream. Large windows are not part of the RFC, need up to a gigabyte of memory, and are refused. Bytes after
/// the stream are ignored.
pub(super) fn brotli(input: &mut EncodedInput<'_>, output: &mut DecodedOutput<'_>) -> Result<(), DecodeError> {
    let head = input.fill_buf().map_err(|_| DecodeError::Malformed)?;
    if window::brotli_bytes(head) > output.max_window_bytes() {
        return Err(DecodeError::WindowTooLarge);
    }
    let buffer = Buffer(vec![0; BUFFER_BYTES]);
    let (codes, trees) = (StandardAlloc::default(), StandardAlloc::default());
    let mut decoder = DecompressorCustomAlloc::new(&mut *input, buffer, WindowAllocator, codes, trees);
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

/// Allocates windows so that freeing one returns its memory to the system.
///
/// When glibc frees memory of up to 32 MiB that was mapped for one allocation, it serves allocations of that size from its
/// arenas from then on, and keeps twice as much in each arena. Larger allocations do not have that effect. The pages that
/// the window does not use are never touched, so they take no memory.
struct WindowAllocator;

/// A window, or a smaller buffer.
#[derive(Default)]
struct Buffer(Vec<u8>);

impl Allocator<u8> for WindowAllocator {
    type AllocatedMemory = Buffer;

    fn alloc_cell(&mut self, len: usize) -> Buffer {
        if len < MIN_MAPPED_BYTES {
            return Buffer(vec![0; len]);
        }
        let mut window = vec![0; len.max(MAPPED_BYTES)];
        window.truncate(len);
        Buffer(window)
    }

    fn free_cell(&mut self, _buffer: Buffer) {}
}

impl SliceWrapper<u8> for Buffer {
    fn slice(&self) -> &[u8] {
        &self.0
    }
}

impl SliceWrapperMut<u8> for Buffer {
    fn slice_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

/// The size of the pieces in which the decoder reads and writes.
const BUFFER_BYTES: usize = 32 * 1024;

/// glibc maps allocations from this size on, at first.
const MIN_MAPPED_BYTES: usize = 128 << 10;

/// Freeing an allocation of this size does not change glibc's thresholds.
const MAPPED_BYTES: usize = 33 << 20;
