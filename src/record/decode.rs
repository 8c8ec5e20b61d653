//! Decodes the content codings and transfer codings of a body (RFC 9110 section 8.4, RFC 9112 section 7).
//!
//! ```text
//! Content-Encoding: gzip, br      body ──br──▶ body ──gzip──▶ body      the last coding applied is decoded first
//! Transfer-Encoding: chunked               (each body in memory or in a file, like any other)
//! ```
//!
//! A truncated body is decoded as far as possible, and [`Decoded::is_truncated`] is set. If a coding is unknown, malformed
//! or exceeds the limits, the body stays as it was before that step, and [`Decoded::remaining_codings`] lists the codings
//! still applied. So no byte is lost, and a decoder that fails or panics affects its own step only.

use super::body::{Body, BodyReader};
use crate::bundle::format::text;
use crate::wire::headers::{Headers, trim};
use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

mod decoders;

/// A body, and the codings still applied to it.
pub(crate) struct Decoded {
    pub(crate) body: Body,
    /// The codings that could not be decoded, in the syntax of `Content-Encoding`; `None` if all were.
    pub(crate) remaining_codings: Option<String>,
    /// True if the body ended before one of its codings did.
    pub(crate) is_truncated: bool,
}

/// Returns the codings of a message's body in the order in which they were applied: content codings, then transfer
/// codings (RFC 9112 section 6.1). Leaves out `chunked`, which the tap has removed, and `identity`.
pub(crate) fn codings(headers: &Headers) -> Vec<String> {
    let content = headers.list("content-encoding").map(coding_name);
    let transfer = headers.list("transfer-encoding").map(coding_name).filter(|name| name != "chunked");
    content.chain(transfer).filter(|name| !name.is_empty() && name != "identity").collect()
}

/// Decodes as many of `codings` as possible. A body that would decode to more than `max_bytes` is not decoded.
pub(crate) fn decode(body: Body, codings: &[String], max_bytes: u64) -> Decoded {
    decode_within(body, codings, DecodeLimits { max_bytes, ..LIMITS })
}

/// Returns the name of a coding in lower case, without parameters.
fn coding_name(member: &[u8]) -> String {
    let name = member.split(|&b| b == b';').next().unwrap_or_default();
    text(trim(name)).to_lowercase()
}

fn decode_within(mut body: Body, codings: &[String], limits: DecodeLimits) -> Decoded {
    // The ratio limit is for all codings together: bombs with several codings are the smallest.
    let received = body.len();
    let mut remaining = codings;
    let mut is_truncated = false;
    // An empty body has no coding to decode: the response to HEAD, or a 304.
    while let Some((coding, inner)) = remaining.split_last()
        && !body.is_empty()
    {
        let step =
            if codings.len() <= MAX_CODINGS { decode_one(coding, &body, received, limits) } else { Step::FAILED };
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
struct Step {
    /// The decoded body; `None` if decoding failed, or nothing could be decoded.
    decoded: Option<Body>,
    /// True if the body ended before the coding did.
    is_truncated: bool,
}

impl Step {
    const FAILED: Self = Self { decoded: None, is_truncated: false };
}

/// Decodes one coding. `received` is the size of the body as received.
fn decode_one(coding: &str, body: &Body, received: u64, limits: DecodeLimits) -> Step {
    let Some(decoder) = decoders::find(coding) else { return Step::FAILED };
    let reached_end = Cell::new(false);
    let capacity = usize::try_from(body.len()).map_or(BUFFER_BYTES, |len| len.min(BUFFER_BYTES));
    let mut input =
        EncodedInput { bytes: BufReader::with_capacity(capacity, body.reader()), reached_end: &reached_end };
    let mut output = DecodedOutput { body: body.empty_like(), received, limits };
    // The decoders are foreign code that parses hostile bytes: a panic counts as a failure to decode.
    let result =
        catch_unwind(AssertUnwindSafe(|| decoder(&mut input, &mut output))).unwrap_or(Err(DecodeError::Malformed));
    let decoded = output.body;
    let is_truncated = result == Err(DecodeError::Truncated);
    let is_usable = result.is_ok() || (is_truncated && !decoded.is_empty());
    // If the disk was full, the encoded body has more of the content than the decoded part.
    let decoded = (is_usable && decoded.truncation().is_none()).then_some(decoded);
    Step { decoded, is_truncated }
}

/// The reason why a decoder stopped early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DecodeError {
    /// The input ended too early; the output so far is valid.
    Truncated,
    /// The input is not valid in this coding.
    Malformed,
    /// The output exceeds [`DecodeLimits`], or the disk did not take it.
    TooLarge,
}

/// The encoded bytes. Notes when a decoder reads past their end.
struct EncodedInput<'b> {
    bytes: BufReader<BodyReader<'b>>,
    reached_end: &'b Cell<bool>,
}

impl<'b> EncodedInput<'b> {
    /// Returns the cell that is true once a decoder has read past the end.
    fn reached_end(&self) -> &'b Cell<bool> {
        self.reached_end
    }

    /// Returns the meaning of a decoder's error: at the end of the input it is a truncation.
    fn error(&self) -> DecodeError {
        if self.reached_end.get() { DecodeError::Truncated } else { DecodeError::Malformed }
    }

    /// Reads the next bytes, up to `N`, and returns them with their number. Does not count as reading past the end.
    fn read_prefix<const N: usize>(&mut self) -> Result<([u8; N], usize), DecodeError> {
        let mut bytes = [0; N];
        let mut len = 0;
        while let Some(rest) = bytes.get_mut(len..).filter(|rest| !rest.is_empty()) {
            match self.read(rest).map_err(|_| DecodeError::Malformed)? {
                0 => break,
                n => len += n,
            }
        }
        self.reached_end.set(false);
        Ok((bytes, len))
    }
}

impl BufRead for EncodedInput<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let bytes = self.bytes.fill_buf()?;
        if bytes.is_empty() {
            self.reached_end.set(true);
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

/// The decoded bytes, within limits.
struct DecodedOutput {
    body: Body,
    /// The size of the body as received, before any coding was decoded.
    received: u64,
    limits: DecodeLimits,
}

impl DecodedOutput {
    /// Appends `bytes`; fails if the limits are exceeded.
    fn push(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        self.body.push(bytes);
        let DecodeLimits { ratio_free_bytes, max_ratio, max_bytes } = self.limits;
        let len = self.body.len();
        let exceeds_ratio = len > ratio_free_bytes && len / max_ratio > self.received;
        // Once the disk is full, decoding more is useless.
        if len > max_bytes || exceeds_ratio || self.body.truncation().is_some() {
            return Err(DecodeError::TooLarge);
        }
        Ok(())
    }
}

/// The limits of a decoded body.
#[derive(Clone, Copy)]
struct DecodeLimits {
    /// Up to this size the ratio does not matter.
    ratio_free_bytes: u64,
    /// The largest ratio of decoded to received bytes.
    max_ratio: u64,
    /// The largest decoded size.
    max_bytes: u64,
}

/// Deflate cannot exceed a ratio of 1032 to 1. Brotli and zstd can, but hardly any content other than a bomb does. The
/// largest size is a setting of the capture.
const LIMITS: DecodeLimits = DecodeLimits { ratio_free_bytes: 64 << 20, max_ratio: 1100, max_bytes: u64::MAX };

/// Regular messages have one coding, a few have two. Each is a pass over the body.
const MAX_CODINGS: usize = 8;

/// The size of the pieces in which a decoder reads and writes.
const BUFFER_BYTES: usize = 32 * 1024;

/// Asserts the property that holds for any bytes: no panic, no output past the limits, and no loss. If a coding is
/// listed as remaining, its encoded bytes are still there.
#[cfg(any(test, fuzzing))]
pub(crate) fn check_limits(data: &[u8]) {
    use super::body::test_store;

    let Some((&choice, bytes)) = data.split_first() else {
        return;
    };
    let pick = |bits: u8| match bits & 3 {
        0 => "gzip".to_owned(),
        1 => "deflate".to_owned(),
        2 => "br".to_owned(),
        _ => "zstd".to_owned(),
    };
    let inner = pick(choice);
    let codings = if choice & 0x80 == 0 { vec![inner.clone()] } else { vec![inner.clone(), pick(choice >> 2)] };
    let limits = DecodeLimits { ratio_free_bytes: 1 << 16, max_ratio: 100, max_bytes: 1 << 20 };
    let mut body = Body::new(&test_store(std::env::temp_dir(), 1 << 20));
    body.push(bytes);
    let decoded = decode_within(body, &codings, limits);
    let mut kept = Vec::new();
    assert!(decoded.body.reader().read_to_end(&mut kept).is_ok());
    assert!(kept.len() as u64 <= limits.max_bytes.max(bytes.len() as u64));
    match decoded.remaining_codings {
        Some(remaining) if remaining == codings.join(", ") => assert_eq!(kept, bytes),
        Some(remaining) => assert_eq!(remaining, inner),
        None => {}
    }
}

#[cfg(test)]
mod tests;
