//! The decoders: gzip, deflate, Brotli and Zstandard, each from an [`EncodedInput`] to a [`DecodedOutput`].

use super::{BUFFER_BYTES, DecodeError, DecodedOutput, EncodedInput};
use brotli_decompressor::{BrotliDecoderParameter, Decompressor};
use flate2::bufread::GzDecoder;
use flate2::{Decompress, FlushDecompress, Status};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use std::cell::Cell;
use std::io::{self, BufRead, Read};

/// Decodes all of the input.
pub(super) type Decoder = fn(&mut EncodedInput<'_>, &mut DecodedOutput) -> Result<(), DecodeError>;

/// Returns the decoder for `coding`, a name in lower case; `None` if it is unknown.
pub(super) fn find(coding: &str) -> Option<Decoder> {
    Some(match coding {
        "gzip" | "x-gzip" => gzip,
        "deflate" => deflate,
        "br" => brotli,
        "zstd" => zstd,
        _ => return None,
    })
}

/// gzip (RFC 1952): one or more members. Bytes after them are padding or garbage, which clients ignore too.
fn gzip(input: &mut EncodedInput<'_>, output: &mut DecodedOutput) -> Result<(), DecodeError> {
    let reached_end = input.reached_end();
    let (mut magic, mut len) = input.read_prefix::<2>()?;
    // The decoder would take a short text that is labelled gzip for a truncated header.
    if !GZIP_MAGIC.starts_with(magic.get(..len).unwrap_or_default()) {
        return Err(DecodeError::Malformed);
    }
    loop {
        let prefix = magic.get(..len).unwrap_or_default();
        copy_decoded(GzDecoder::new(prefix.chain(&mut *input)), reached_end, output)?;
        (magic, len) = input.read_prefix()?;
        if magic != GZIP_MAGIC {
            return Ok(());
        }
    }
}

/// deflate is the zlib format (RFC 1950). Some senders leave out the zlib wrapper (RFC 1951); clients accept both.
fn deflate(input: &mut EncodedInput<'_>, output: &mut DecodedOutput) -> Result<(), DecodeError> {
    let (prefix, len) = input.read_prefix::<2>()?;
    // A raw deflate stream never matches: it would start with a stored block and set padding bits that every encoder
    // leaves 0.
    let has_wrapper = len == 2 && prefix[0] & 0x0f == 8 && u16::from_be_bytes(prefix).is_multiple_of(31);
    inflate(prefix.get(..len).unwrap_or_default().chain(&mut *input), has_wrapper, output)?;
    match input.fill_buf() {
        // Plain text that is labelled deflate may start like a short raw stream. So a raw stream must use all of the
        // input.
        Ok(rest) if has_wrapper || rest.is_empty() => Ok(()),
        _ => Err(DecodeError::Malformed),
    }
}

fn inflate(mut input: impl BufRead, has_wrapper: bool, output: &mut DecodedOutput) -> Result<(), DecodeError> {
    let mut inflater = Decompress::new(has_wrapper);
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let bytes = input.fill_buf().map_err(|_| DecodeError::Malformed)?;
        let at_end = bytes.is_empty();
        let (total_in, total_out) = (inflater.total_in(), inflater.total_out());
        let status =
            inflater.decompress(bytes, &mut buffer, FlushDecompress::None).map_err(|_| DecodeError::Malformed)?;
        let used = inflater.total_in().saturating_sub(total_in);
        let made = inflater.total_out().saturating_sub(total_out);
        input.consume(usize::try_from(used).unwrap_or(usize::MAX));
        output.push(buffer.get(..usize::try_from(made).unwrap_or(usize::MAX)).unwrap_or_default())?;
        match status {
            Status::StreamEnd => return Ok(()),
            Status::Ok | Status::BufError if made > 0 || used > 0 => {}
            Status::Ok | Status::BufError => {
                return Err(if at_end { DecodeError::Truncated } else { DecodeError::Malformed });
            }
        }
    }
}

/// Brotli (RFC 7932). Large windows are not part of the RFC, need up to a gigabyte of memory, and are refused.
fn brotli(input: &mut EncodedInput<'_>, output: &mut DecodedOutput) -> Result<(), DecodeError> {
    let reached_end = input.reached_end();
    let mut decoder = Decompressor::new(input, BUFFER_BYTES);
    decoder.set_parameter(BrotliDecoderParameter::BROTLI_DECODER_PARAM_LARGE_WINDOW, 0);
    copy_decoded(decoder, reached_end, output)
}

/// Zstandard (RFC 8878): one or more frames, some of them skippable. Bytes after them are ignored.
fn zstd(input: &mut EncodedInput<'_>, output: &mut DecodedOutput) -> Result<(), DecodeError> {
    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size(MAX_ZSTD_WINDOW_BYTES);
    let (mut magic, mut len) = input.read_prefix::<4>()?;
    let mut is_first = true;
    while is_first || len > 0 {
        match u32::from_le_bytes(magic) {
            _ if len < magic.len() && is_first => {
                let (start, skippable) =
                    (magic.get(..len).unwrap_or_default(), FIRST_ZSTD_SKIPPABLE_MAGIC.to_le_bytes());
                // The first byte of a skippable frame varies in its lower half.
                let is_skippable = magic[0] & 0xf0 == skippable[0] && skippable.get(1..len) == start.get(1..);
                let is_start = ZSTD_MAGIC.to_le_bytes().starts_with(start) || is_skippable;
                return Err(if is_start { DecodeError::Truncated } else { DecodeError::Malformed });
            }
            ZSTD_MAGIC => zstd_frame(&mut decoder, &magic, input, output)?,
            FIRST_ZSTD_SKIPPABLE_MAGIC..=LAST_ZSTD_SKIPPABLE_MAGIC => {
                let mut size = [0; 4];
                input.read_exact(&mut size).map_err(|_| input.error())?;
                let size = u64::from(u32::from_le_bytes(size));
                let skipped = io::copy(&mut input.take(size), &mut io::sink()).map_err(|_| DecodeError::Malformed)?;
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

fn zstd_frame(
    decoder: &mut FrameDecoder,
    magic: &[u8],
    input: &mut EncodedInput<'_>,
    output: &mut DecodedOutput,
) -> Result<(), DecodeError> {
    decoder.reset(magic.chain(&mut *input)).map_err(|_| input.error())?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut is_truncated = false;
    while !decoder.is_finished() {
        let block = BlockDecodingStrategy::UptoBlocks(1);
        if decoder.decode_blocks(&mut *input, block).is_err() {
            match input.error() {
                // The decoder holds back one window of output until the last block. An empty raw block as the last one,
                // and four bytes in place of a checksum, release it.
                DecodeError::Truncated if !is_truncated => {
                    let last = BlockDecodingStrategy::UptoBlocks(1);
                    decoder.decode_blocks(&[1, 0, 0, 0, 0, 0, 0][..], last).map_err(|_| DecodeError::Truncated)?;
                    is_truncated = true;
                }
                error => return Err(error),
            }
        }
        while decoder.can_collect() > 0 {
            match decoder.read(&mut buffer) {
                Ok(0) | Err(_) => return Err(DecodeError::Malformed),
                Ok(n) => output.push(buffer.get(..n).unwrap_or_default())?,
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

/// Copies all that `decoder` returns to `output`. The decoders report a truncated input with different errors, so
/// `reached_end` decides what an error means.
fn copy_decoded(
    mut decoder: impl Read,
    reached_end: &Cell<bool>,
    output: &mut DecodedOutput,
) -> Result<(), DecodeError> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match decoder.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => output.push(buffer.get(..n).unwrap_or_default())?,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) if reached_end.get() => return Err(DecodeError::Truncated),
            Err(_) => return Err(DecodeError::Malformed),
        }
    }
}

/// HTTP allows windows of 8 MiB (RFC 9659 section 3). Some tools write larger ones. The window is kept in memory.
const MAX_ZSTD_WINDOW_BYTES: u64 = 32 << 20;

pub(super) const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const ZSTD_MAGIC: u32 = 0xfd2f_b528;
pub(super) const FIRST_ZSTD_SKIPPABLE_MAGIC: u32 = 0x184d_2a50;
const LAST_ZSTD_SKIPPABLE_MAGIC: u32 = 0x184d_2a5f;
