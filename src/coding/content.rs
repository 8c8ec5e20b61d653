//! Decodes the codings of a body one after the other, the last one applied first.
//!
//! ```text
//! Content-Encoding: gzip, br      content ──br──▶ content ──gzip──▶ content      each in memory or in a file
//! ```
//!
//! A truncated body is decoded as far as possible, and [`Decoded::is_truncated`] is set. If a coding is unknown, malformed
//! or exceeds the limits, the body stays as it was before that step, and [`Decoded::remaining_codings`] lists the codings
//! still applied. So no byte is lost, and a decoder that fails or panics affects its own step only.

use super::decoder::Decoder;
use super::error::DecodeError;
use super::limits::DecodeLimits;
use super::name::Coding;
use std::io::BufRead;

/// The bytes of a body, wherever they are.
pub(crate) trait Content: Sized {
    fn len(&self) -> u64;

    /// Returns empty content in the same place.
    fn empty_like(&self) -> Self;

    /// Appends `bytes`. If they cannot be stored, [`Content::is_whole`] returns false from then on.
    fn push(&mut self, bytes: &[u8]);

    /// True if all bytes that were appended can be read.
    fn is_whole(&self) -> bool;

    /// Passes a reader from the start to `read`.
    fn read<T>(&self, read: impl FnOnce(&mut dyn BufRead) -> T) -> T;
}

/// A body, and the codings still applied to it.
pub(crate) struct Decoded<C> {
    pub(crate) body: C,
    /// The codings that could not be decoded, in the syntax of `Content-Encoding`; `None` if all were.
    pub(crate) remaining_codings: Option<String>,
    /// True if the body ended before one of its codings did.
    pub(crate) is_truncated: bool,
}

/// Decodes as many of `codings` as possible. They are names in lower case, in the order in which they were applied.
pub(crate) fn decode<C: Content>(
    decoder: &mut Decoder,
    mut body: C,
    codings: &[String],
    limits: DecodeLimits,
) -> Decoded<C> {
    // The ratio limit is for all codings together: bombs with several codings are the smallest.
    let received = body.len();
    let mut remaining = codings;
    let mut is_truncated = false;
    // An empty body has no coding to decode: the response to HEAD, or a 304.
    while let Some((coding, inner)) = remaining.split_last()
        && body.len() > 0
    {
        let step = match Coding::from_name(coding).filter(|_| codings.len() <= MAX_CODINGS) {
            Some(coding) => decode_one(decoder, coding, &body, received, limits),
            None => Step::FAILED,
        };
        is_truncated |= step.is_truncated;
        match step.decoded {
            Some(decoded) => body = decoded,
            None => return Decoded { body, remaining_codings: Some(remaining.join(", ")), is_truncated },
        }
        remaining = inner;
    }
    Decoded { body, remaining_codings: None, is_truncated }
}

/// The result of decoding one coding.
struct Step<C> {
    /// The decoded body; `None` if decoding failed, or nothing could be decoded.
    decoded: Option<C>,
    /// True if the body ended before the coding did.
    is_truncated: bool,
}

impl<C> Step<C> {
    const FAILED: Self = Self { decoded: None, is_truncated: false };
}

/// Decodes one coding. `received` is the size of the body as received.
fn decode_one<C: Content>(
    decoder: &mut Decoder,
    coding: Coding,
    body: &C,
    received: u64,
    limits: DecodeLimits,
) -> Step<C> {
    let mut decoded = body.empty_like();
    let mut sink = |bytes: &[u8]| {
        decoded.push(bytes);
        // Once the disk is full, decoding more is useless.
        decoded.is_whole()
    };
    let result = body.read(|input| decoder.decode(coding, input, received, limits, &mut sink));
    let is_truncated = result == Err(DecodeError::Truncated);
    let is_usable = result.is_ok() || (is_truncated && decoded.len() > 0);
    // If the disk was full, the encoded body has more of the content than the decoded part.
    let decoded = (is_usable && decoded.is_whole()).then_some(decoded);
    Step { decoded, is_truncated }
}

/// Regular messages have one coding, a few have two. Each is a pass over the body.
pub(super) const MAX_CODINGS: usize = 8;
