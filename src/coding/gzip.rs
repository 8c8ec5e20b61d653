//! gzip (RFC 1952): decodes members, and finds bodies that are one member.
//!
//! ```text
//! 1f 8b 08 flags, time, xfl, os │ [extra] [name] [comment] [header crc] │ deflate stream │ crc-32, size mod 2^32
//! └────────────────────────── header ──────────────────────────────────┘└──── slice ────┘└────── trailer ──────┘
//! ```
//!
//! The slice of a member is the content of a ZIP entry with the method deflate. Checksum and size are claims of the sender
//! until [`Inflater::verify`] has confirmed them.

use super::crc32::Crc;
use super::error::DecodeError;
use super::inflate::Inflater;
use super::input::EncodedInput;
use super::output::DecodedOutput;
use std::io::{BufRead, Read};

/// The first bytes of a gzip header.
pub(crate) const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// A body that is one gzip member, as far as its ends show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// The length of the header, after which the slice begins.
    pub(crate) header_len: usize,
    /// The length of the slice.
    pub(crate) slice_len: u64,
    /// The claimed CRC-32 of the content.
    pub(crate) crc: u32,
    /// The claimed size of the content, modulo 2^32.
    pub(crate) size: u32,
}

/// Returns the member if a body of `len` bytes is plausibly one gzip member and nothing else: its header is short and
/// valid, and its size is not zero and within what deflate can reach. `head` is the body's start, at least [`HEAD_BYTES`] or all of
/// it; `tail` is its end.
pub(crate) fn sole_member(head: &[u8], tail: [u8; TRAILER_BYTES], len: u64) -> Option<Member> {
    let header_len = header_len(head.get(..head.len().min(HEAD_BYTES))?)?;
    let slice_len = len.checked_sub(header_len as u64)?.checked_sub(TRAILER_BYTES as u64)?;
    let [crc, size] =
        [[tail[0], tail[1], tail[2], tail[3]], [tail[4], tail[5], tail[6], tail[7]]].map(u32::from_le_bytes);
    let is_reachable = size > 0 && u64::from(size) <= slice_len.saturating_mul(MAX_DEFLATE_RATIO);
    is_reachable.then_some(Member { header_len, slice_len, crc, size })
}

/// Returns the trailer of a member.
pub(crate) fn trailer(crc: u32, size: u32) -> [u8; TRAILER_BYTES] {
    (u64::from(size) << 32 | u64::from(crc)).to_le_bytes()
}

/// Returns the length of the header at the start of `bytes`; `None` if it is invalid or longer than `bytes`.
fn header_len(bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes;
    read_header(&mut EncodedInput::new(&mut rest)).ok()?;
    Some(bytes.len().saturating_sub(rest.len()))
}

/// Decodes one or more members. Bytes after them are padding or garbage, which clients ignore too.
pub(super) fn decode(
    inflater: &mut Inflater,
    input: &mut EncodedInput<'_>,
    output: &mut DecodedOutput<'_>,
) -> Result<(), DecodeError> {
    let (mut magic, mut len) = input.read_prefix::<2>()?;
    // A short text that is labelled gzip is not a truncated header.
    if !MAGIC.starts_with(magic.get(..len).unwrap_or_default()) {
        return Err(DecodeError::Malformed);
    }
    if len < magic.len() {
        return Err(DecodeError::Truncated);
    }
    loop {
        read_header_after_magic(input)?;
        let (mut crc, mut size) = (Crc::new(), 0u32);
        inflater.stream(input, false, &mut |bytes| {
            crc.update(bytes);
            // The trailer has the size modulo 2^32.
            size = size.wrapping_add(bytes.len() as u32);
            output.push(bytes)
        })?;
        if input.read_array()? != trailer(crc.sum(), size) {
            return Err(DecodeError::Malformed);
        }
        (magic, len) = input.read_prefix()?;
        if len < magic.len() || magic != MAGIC {
            return Ok(());
        }
    }
}

fn read_header(input: &mut EncodedInput<'_>) -> Result<(), DecodeError> {
    match input.read_array()? {
        MAGIC => read_header_after_magic(input),
        _ => Err(DecodeError::Malformed),
    }
}

/// Reads the rest of a header [RFC 1952 section 2.3].
fn read_header_after_magic(input: &mut EncodedInput<'_>) -> Result<(), DecodeError> {
    let mut header = MAGIC.to_vec();
    let fixed: [u8; 8] = input.read_array()?;
    header.extend(fixed);
    let [method, flags, ..] = fixed;
    if method != DEFLATE_METHOD || flags & RESERVED_FLAGS != 0 {
        return Err(DecodeError::Malformed);
    }
    if flags & HAS_EXTRA != 0 {
        let len: [u8; 2] = input.read_array()?;
        header.extend(len);
        let len = u16::from_le_bytes(len);
        let read = (&mut *input).take(len.into()).read_to_end(&mut header).map_err(|_| DecodeError::Malformed)?;
        if read < len.into() {
            return Err(DecodeError::Truncated);
        }
    }
    for flag in [HAS_NAME, HAS_COMMENT] {
        if flags & flag != 0 {
            read_text(input, &mut header)?;
        }
    }
    if flags & HAS_HEADER_CRC != 0 {
        let mut crc = Crc::new();
        crc.update(&header);
        // The lower half of the CRC-32.
        let expected = crc.sum().to_le_bytes();
        if input.read_array::<2>()? != [expected[0], expected[1]] {
            return Err(DecodeError::Malformed);
        }
    }
    Ok(())
}

/// Reads a text up to its zero byte.
fn read_text(input: &mut EncodedInput<'_>, header: &mut Vec<u8>) -> Result<(), DecodeError> {
    let before = header.len();
    (&mut *input).take(MAX_TEXT_BYTES).read_until(0, header).map_err(|_| DecodeError::Malformed)?;
    match header.last() {
        Some(0) if header.len() > before => Ok(()),
        _ => Err(input.error()),
    }
}

/// The length of the trailer.
pub(crate) const TRAILER_BYTES: usize = 8;

/// The longest header of a sole member, for which [`sole_member`] looks. It is kept in an extra field of its entry. Regular ones
/// have 10 to 50 bytes.
pub(crate) const HEAD_BYTES: usize = 1024;

/// Deflate cannot exceed this ratio: 258 bytes for two bits.
const MAX_DEFLATE_RATIO: u64 = 1032;

/// The longest name or comment of a header, as in other decoders.
const MAX_TEXT_BYTES: u64 = 64 * 1024;

const DEFLATE_METHOD: u8 = 8;
const HAS_HEADER_CRC: u8 = 1 << 1;
const HAS_EXTRA: u8 = 1 << 2;
const HAS_NAME: u8 = 1 << 3;
const HAS_COMMENT: u8 = 1 << 4;
const RESERVED_FLAGS: u8 = 0b1110_0000;

#[cfg(test)]
mod tests;
