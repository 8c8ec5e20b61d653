//! Zstandard (RFC 8878).

use super::error::DecodeError;
use super::input::EncodedInput;
use super::output::DecodedOutput;
use super::window::{self, ZSTD_MAGIC};
use ruzstd::decoding::errors::FrameDecoderError;
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use std::io::{self, BufRead, Read};

/// A decoder that is reused. Keeps its window if that is small.
#[derive(Default)]
pub(super) struct ZstdDecoder {
    idle: Option<FrameDecoder>,
    buffer: Vec<u8>,
}

impl ZstdDecoder {
    /// Decodes one or more frames, some of them skippable. Bytes after them are ignored.
    pub(super) fn decode(
        &mut self,
        input: &mut EncodedInput<'_>,
        output: &mut DecodedOutput<'_>,
    ) -> Result<(), DecodeError> {
        self.buffer.resize(BUFFER_BYTES, 0);
        let mut decoder = self.idle.take().unwrap_or_default();
        decoder.set_max_window_size(output.max_window_bytes().min(window::MAX_BYTES));
        let mut largest_window = 0;
        let result = self.frames(&mut decoder, &mut largest_window, input, output);
        if result.is_ok() && largest_window <= MAX_KEPT_WINDOW_BYTES {
            self.idle = Some(decoder);
        }
        result
    }

    fn frames(
        &mut self,
        decoder: &mut FrameDecoder,
        largest_window: &mut u64,
        input: &mut EncodedInput<'_>,
        output: &mut DecodedOutput<'_>,
    ) -> Result<(), DecodeError> {
        let (mut magic, mut len) = input.read_prefix::<4>()?;
        let mut is_first = true;
        while is_first || len > 0 {
            match u32::from_le_bytes(magic) {
                _ if len < magic.len() && is_first => {
                    let (start, skippable) =
                        (magic.get(..len).unwrap_or_default(), FIRST_SKIPPABLE_MAGIC.to_le_bytes());
                    // The first byte of a skippable frame varies in its lower half.
                    let is_skippable = magic[0] & 0xf0 == skippable[0] && skippable.get(1..len) == start.get(1..);
                    let is_start = ZSTD_MAGIC.to_le_bytes().starts_with(start) || is_skippable;
                    return Err(if is_start { DecodeError::Truncated } else { DecodeError::Malformed });
                }
                ZSTD_MAGIC => self.frame(decoder, largest_window, &magic, input, output)?,
                FIRST_SKIPPABLE_MAGIC..=LAST_SKIPPABLE_MAGIC => {
                    let mut size = [0; 4];
                    input.read_exact(&mut size).map_err(|_| input.error())?;
                    let size = u64::from(u32::from_le_bytes(size));
                    let skipped =
                        io::copy(&mut input.take(size), &mut io::sink()).map_err(|_| DecodeError::Malformed)?;
                    if skipped < size {
                        return Err(DecodeError::Truncated);
                    }
                }
                _ if is_first => return Err(DecodeError::Malformed),
                _ => return Ok(()),
            }
            is_first = false;
            (magic, len) = input.read_prefix()?;
        }
        Ok(())
    }

    fn frame(
        &mut self,
        decoder: &mut FrameDecoder,
        largest_window: &mut u64,
        magic: &[u8],
        input: &mut EncodedInput<'_>,
        output: &mut DecodedOutput<'_>,
    ) -> Result<(), DecodeError> {
        let header = input.fill_buf().map_err(|_| DecodeError::Malformed)?;
        *largest_window = (*largest_window).max(window::zstd_frame_bytes(header).unwrap_or(window::MAX_BYTES));
        decoder.reset(magic.chain(&mut *input)).map_err(|e| match e {
            FrameDecoderError::WindowSizeTooBig { requested, .. } if requested <= window::MAX_BYTES => {
                DecodeError::WindowTooLarge
            }
            _ => input.error(),
        })?;
        let mut is_truncated = false;
        while !decoder.is_finished() {
            let block = BlockDecodingStrategy::UptoBlocks(1);
            if decoder.decode_blocks(&mut *input, block).is_err() {
                match input.error() {
                    // The decoder holds back one window of output until the last block. An empty raw block as the last
                    // one, and four bytes in place of a checksum, release it.
                    DecodeError::Truncated if !is_truncated => {
                        let last = BlockDecodingStrategy::UptoBlocks(1);
                        decoder.decode_blocks(&[1, 0, 0, 0, 0, 0, 0][..], last).map_err(|_| DecodeError::Truncated)?;
                        is_truncated = true;
                    }
                    error => return Err(error),
                }
            }
            while decoder.can_collect() > 0 {
                match decoder.read(&mut self.buffer) {
                    Ok(0) | Err(_) => return Err(DecodeError::Malformed),
                    Ok(n) => output.push(self.buffer.get(..n).unwrap_or_default())?,
                }
            }
        }
        if is_truncated {
            return Err(DecodeError::Truncated);
        }
        match decoder.get_checksum_from_data() {
            Some(sum) if decoder.get_calculated_checksum() != Some(sum) => Err(DecodeError::Malformed),
            _ => Ok(()),
        }
    }
}

/// A decoder with a larger window is dropped after the body.
const MAX_KEPT_WINDOW_BYTES: u64 = 256 << 10;

/// The size of the pieces in which the decoder writes.
const BUFFER_BYTES: usize = 32 * 1024;

pub(super) const FIRST_SKIPPABLE_MAGIC: u32 = 0x184d_2a50;
const LAST_SKIPPABLE_MAGIC: u32 = 0x184d_2a5f;
