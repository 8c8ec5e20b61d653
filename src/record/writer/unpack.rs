//! Decodes the codings of a body, and makes an archive entry's content of the result.
//!
//! ```text
//! gzip, br      body ──br──▶ body ──gzip──▶ content          the last coding applied is decoded first
//!                                            ├─ a gzip member, zlib, raw deflate: a slice, once verified
//!                                            └─ else: deflated as it is decoded, never whole in memory
//! ```
//!
//! A truncated body is decoded as far as possible. If a coding is unknown, malformed or exceeds the limits, the body stays
//! as it was before that step, and the codings that are left are listed: no byte is lost.

use super::packing::{Packing, PackingTools, Window, WindowWait};
use super::source::Source;
use crate::coding::{Coding, DecodeError, DecodeLimits, gzip, window};
use output::{Output, OutputKind, OutputState};
use std::io::{self, BufRead, BufReader, Read};
use std::ops::Range;

pub(super) use output::{MIN_SAVING_DIVISOR, push_all};

mod output;

/// The content of an entry, within a source.
pub(super) enum Form {
    /// All of the source. It may be compressed while it is written.
    Plain {
        /// True if compression may make it smaller.
        may_deflate: bool,
    },
    /// A raw deflate stream.
    Deflated {
        /// The range of the stream in the source.
        range: Range<u64>,
        /// The CRC-32 of the content.
        crc: u32,
        /// The header of the gzip member that the source is, if its trailer claims size and CRC-32, and they are not
        /// verified.
        claimed_by: Option<Vec<u8>>,
    },
}

/// A body without the codings that could be decoded.
pub(super) struct Unpacked {
    /// The bytes of the content; `None` if they are in the body as it was.
    pub(super) source: Option<Source>,
    pub(super) form: Form,
    /// The size before compression.
    pub(super) size: u64,
    /// The codings that could not be decoded, in the syntax of `Content-Encoding`.
    pub(super) remaining_codings: Option<String>,
    /// True if the body ended before one of its codings did.
    pub(super) is_truncated: bool,
}

/// The amount of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effort {
    /// Stops at [`MAX_INLINE_BYTES`] of output: for the writer thread.
    Small,
    Full,
}

/// The reason why a body was not unpacked, although it may be later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interrupted;

/// Decodes as many of `codings` as possible, which are in the syntax of `Content-Encoding`. `may_deflate` is true if
/// compression may make the content smaller.
pub(super) fn unpack(
    source: &Source,
    codings: &str,
    may_deflate: bool,
    effort: Effort,
    packing: &Packing,
    tools: &mut PackingTools,
) -> Result<Unpacked, Interrupted> {
    let names: Vec<_> = codings.split(", ").collect();
    // The ratio limit is for all codings together: bombs with several codings are the smallest.
    let decoding = Decoding { packing, effort, received: source.len() };
    let mut remaining = names.as_slice();
    let mut decoded = None;
    let mut is_truncated = false;
    while let Some((name, inner)) = remaining.split_last()
        && names.len() <= MAX_CODINGS
        && let Some(coding) = Coding::from_name(name)
    {
        let current = decoded.as_ref().unwrap_or(source);
        if !inner.is_empty() && current.len() > 0 {
            let step = decoding.decode(coding, current, OutputKind::Plain, tools)?;
            is_truncated |= step.result == Err(DecodeError::Truncated);
            let Some(output) = step.usable() else { break };
            (decoded, remaining) = (Some(Source::Body(output.body)), inner);
            continue;
        }
        let (step, was_truncated) = decoding.last(coding, current, may_deflate, tools)?;
        is_truncated |= was_truncated;
        let Some(LastStep { source, form, size }) = step else { break };
        return Ok(Unpacked { source: source.or(decoded), form, size, remaining_codings: None, is_truncated });
    }
    let size = decoded.as_ref().unwrap_or(source).len();
    // The remaining codings compress already.
    let form = Form::Plain { may_deflate: false };
    Ok(Unpacked { source: decoded, form, size, remaining_codings: Some(remaining.join(", ")), is_truncated })
}

/// Returns the gzip member that all of `source` seems to be.
pub(super) fn sole_member(source: &Source) -> Option<gzip::Member> {
    let mut buffer = Vec::new();
    let head = match source.in_one_buffer() {
        Some(bytes) => bytes.get(..bytes.len().min(gzip::HEAD_BYTES))?,
        None => {
            source.reader_at(0).ok()?.take(gzip::HEAD_BYTES as u64).read_to_end(&mut buffer).ok()?;
            &buffer
        }
    };
    if !head.starts_with(&gzip::MAGIC) {
        return None;
    }
    let mut tail = [0; gzip::TRAILER_BYTES];
    let tail_start = source.len().checked_sub(tail.len() as u64)?;
    source.reader_at(tail_start).ok()?.read_exact(&mut tail).ok()?;
    gzip::sole_member(head, tail, source.len())
}

/// True if the content of the deflate stream that `slice` reads has this CRC-32 and this size.
pub(super) fn verify(
    slice: &mut dyn Read,
    crc: u32,
    size: u64,
    packing: &Packing,
    tools: &mut PackingTools,
) -> io::Result<bool> {
    packing.count_verification();
    tools.inflater.verify(&mut Cancellable { slice, packing }, crc, size, packing.max_body_bytes)
}

/// One body that is being unpacked.
#[derive(Clone, Copy)]
struct Decoding<'p> {
    packing: &'p Packing,
    effort: Effort,
    /// The size of the body as received.
    received: u64,
}

/// The result of the last step of decoding.
struct LastStep {
    /// The bytes of the content; `None` if they are in the source of the step.
    source: Option<Source>,
    form: Form,
    size: u64,
}

/// The result of decoding one coding.
struct Step {
    result: Result<(), DecodeError>,
    output: Output,
    /// The number of bytes that the decoder took.
    consumed: u64,
}

impl<'p> Decoding<'p> {
    /// Decodes the innermost coding of `source` and packs the content. Returns `None` if it cannot be decoded, and true if
    /// the coding was truncated.
    fn last(
        self,
        coding: Coding,
        source: &Source,
        may_deflate: bool,
        tools: &mut PackingTools,
    ) -> Result<(Option<LastStep>, bool), Interrupted> {
        let slice = match coding {
            Coding::Gzip => self.gzip_slice(source, tools)?,
            Coding::Deflate => self.deflate_slice(source, tools)?,
            Coding::Brotli | Coding::Zstd => None,
        };
        if slice.is_some() {
            return Ok((slice, false));
        }
        let kind = if may_deflate && self.effort == Effort::Full { OutputKind::Deflated } else { OutputKind::Plain };
        let mut step = self.decode(coding, source, kind, tools)?;
        if step.output.state == OutputState::Incompressible {
            step = self.decode(coding, source, OutputKind::Plain, tools)?;
        }
        let is_truncated = step.result == Err(DecodeError::Truncated);
        let last = step.usable().map(|Output { kind, body, size, crc, .. }| {
            let form = match kind {
                OutputKind::Deflated => Form::Deflated { range: 0..body.len(), crc: crc.sum(), claimed_by: None },
                OutputKind::Plain | OutputKind::Checked => Form::Plain { may_deflate },
            };
            LastStep { source: Some(Source::Body(body)), form, size }
        });
        Ok((last, is_truncated))
    }

    /// Returns the slice of a gzip body that is one valid member.
    fn gzip_slice(self, source: &Source, tools: &mut PackingTools) -> Result<Option<LastStep>, Interrupted> {
        let Some(gzip::Member { header_len, slice_len, crc, size }) = sole_member(source) else {
            return Ok(None);
        };
        if self.effort == Effort::Small && u64::from(size) > MAX_INLINE_BYTES {
            return Err(Interrupted);
        }
        let start = header_len as u64;
        let range = start..start.saturating_add(slice_len);
        let is_true = (source.reader_at(start))
            .and_then(|reader| verify(&mut reader.take(slice_len), crc, size.into(), self.packing, tools));
        match is_true {
            _ if self.is_cancelled() => Err(Interrupted),
            Ok(true) => Ok(Some(LastStep::slice(range, crc, size.into()))),
            Ok(false) | Err(_) => Ok(None),
        }
    }

    /// Returns the deflate stream of a zlib or raw deflate body that is valid and complete.
    fn deflate_slice(self, source: &Source, tools: &mut PackingTools) -> Result<Option<LastStep>, Interrupted> {
        let mut head = [0; 2];
        let has_wrapper = source.reader_at(0).and_then(|mut reader| reader.read_exact(&mut head)).is_ok()
            && head[0] & 0x0f == 8
            && u16::from_be_bytes(head).is_multiple_of(31);
        let Step { result, output, consumed } = self.decode(Coding::Deflate, source, OutputKind::Checked, tools)?;
        if result.is_err() {
            return Ok(None);
        }
        // The wrapper is two bytes before the stream and a checksum of four bytes after it (RFC 1950 section 2.2).
        let range = if has_wrapper { 2..consumed.saturating_sub(4) } else { 0..consumed };
        Ok(Some(LastStep::slice(range, output.crc.sum(), output.size)))
    }

    /// Decodes one coding.
    fn decode(
        self,
        coding: Coding,
        source: &Source,
        kind: OutputKind,
        tools: &mut PackingTools,
    ) -> Result<Step, Interrupted> {
        let mut head = Vec::new();
        let has_head =
            source.reader_at(0).and_then(|reader| reader.take(window::HEAD_BYTES as u64).read_to_end(&mut head));
        let mut window_bytes = window::bytes(coding, &head);
        loop {
            let mut output = Output::new(kind, self.packing.new_body());
            let window = self.window(coding, window_bytes)?;
            let (Some(window), Ok(_)) = (window, &has_head) else {
                return Ok(Step { result: Err(DecodeError::TooLarge), output, consumed: 0 });
            };
            let max_window_bytes = window_bytes.min(window.bytes as u64);
            let limits = DecodeLimits { max_window_bytes, ..DecodeLimits::new(self.packing.max_body_bytes) };
            if kind == OutputKind::Deflated {
                tools.deflater.begin();
            }
            let (decoder, deflater) = (&mut tools.decoder, &mut tools.deflater);
            let mut sink = |bytes: &[u8]| {
                if self.packing.should_stop()
                    || (self.effort == Effort::Small
                        && output.size.saturating_add(bytes.len() as u64) > MAX_INLINE_BYTES)
                {
                    output.state = OutputState::Interrupted;
                    return false;
                }
                output.push(bytes, deflater)
            };
            let (result, consumed) = match source.in_one_buffer() {
                Some(mut bytes) => {
                    let mut input = Counting { input: &mut bytes, consumed: 0 };
                    (decoder.decode(coding, &mut input, self.received, limits, &mut sink), input.consumed)
                }
                None => {
                    let Ok(reader) = source.reader_at(0) else {
                        return Ok(Step { result: Err(DecodeError::Malformed), output, consumed: 0 });
                    };
                    let mut reader = BufReader::with_capacity(INPUT_BYTES, reader);
                    let mut input = Counting { input: &mut reader, consumed: 0 };
                    (decoder.decode(coding, &mut input, self.received, limits, &mut sink), input.consumed)
                }
            };
            drop(window);
            if output.state == OutputState::Interrupted {
                return Err(Interrupted);
            }
            // A later frame needs more than the first.
            if result == Err(DecodeError::WindowTooLarge) && window_bytes < window::MAX_BYTES {
                window_bytes = window::MAX_BYTES;
                continue;
            }
            output.end(deflater);
            return Ok(Step { result, output, consumed });
        }
    }

    /// Takes memory for a window; `None` if it is too large.
    fn window(self, coding: Coding, bytes: u64) -> Result<Option<Window<'p>>, Interrupted> {
        let limit = self.packing.max_window_bytes();
        let Some(bytes) = usize::try_from(bytes).ok().filter(|&bytes| bytes <= limit) else { return Ok(None) };
        // A zstd window is allocated twice while it grows.
        let charged = if coding == Coding::Zstd { bytes.saturating_mul(2).min(limit) } else { bytes };
        let wait = if self.effort == Effort::Small { WindowWait::Fail } else { WindowWait::Wait };
        match self.packing.window(charged, wait) {
            None if self.effort == Effort::Small || self.is_cancelled() => Err(Interrupted),
            window => Ok(window),
        }
    }

    fn is_cancelled(self) -> bool {
        self.packing.is_cancelled()
    }
}

impl LastStep {
    fn slice(range: Range<u64>, crc: u32, size: u64) -> Self {
        Self { source: None, form: Form::Deflated { range, crc, claimed_by: None }, size }
    }
}

impl Step {
    /// Returns the output if it can take the place of the encoded body. If the disk was full, the encoded body has more of
    /// the content than the decoded part.
    fn usable(self) -> Option<Output> {
        let is_usable = match self.result {
            Ok(()) => true,
            Err(DecodeError::Truncated) => self.output.size > 0,
            Err(_) => false,
        };
        (is_usable && self.output.state == OutputState::Open && self.output.body.truncation().is_none())
            .then_some(self.output)
    }
}

/// Counts the bytes that a decoder takes.
struct Counting<'i> {
    input: &'i mut dyn BufRead,
    consumed: u64,
}

impl BufRead for Counting<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.input.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.consumed = self.consumed.saturating_add(amount as u64);
        self.input.consume(amount);
    }
}

impl Read for Counting<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.input.read(into)?;
        self.consumed = self.consumed.saturating_add(n as u64);
        Ok(n)
    }
}

/// Fails once packing is cancelled.
struct Cancellable<'s> {
    slice: &'s mut dyn Read,
    packing: &'s Packing,
}

impl Read for Cancellable<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.packing.should_stop() {
            return Err(io::Error::other("cancelled"));
        }
        self.slice.read(into)
    }
}

/// The writer thread inflates and compresses bodies up to this size itself: that takes less than 0.2 ms.
pub(super) const MAX_INLINE_BYTES: u64 = 16 << 10;

/// Regular messages have one coding, a few have two. Each is a pass over the body.
const MAX_CODINGS: usize = 8;

/// The size of the buffer for input that is not in memory.
const INPUT_BYTES: usize = 64 * 1024;
