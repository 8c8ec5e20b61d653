//! Takes content and transfer codings off a body, so that a bundle holds what was meant (RFC 9110 section 8.4).
//!
//! ```text
//! Content-Encoding: gzip, br      body ──br──▶ body ──gzip──▶ body      the last applied comes off first
//! Transfer-Encoding: chunked               (each one in memory or spilled, like any other)
//! ```
//!
//! A coding comes off whole or, if the body is only cut off, as far as it got. If one does not come off, because it is
//! unknown, damaged or a bomb, the body stays as it was before that step, and [`Decoded::still_on`] names what is
//! still on it. So nothing is ever lost, and a decoder that fails, or panics, costs no more than its own step.

use super::body::{Body, Reader};
use crate::bundle::format::text;
use crate::wire::message::{Headers, trim};
use brotli_decompressor::{BrotliDecoderParameter, Decompressor};
use flate2::bufread::GzDecoder;
use flate2::{Decompress, FlushDecompress, Status};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A body and what is still on it.
pub(crate) struct Decoded {
    pub(crate) body: Body,
    /// The codings that could not be taken off, as a `Content-Encoding` would list them.
    pub(crate) still_on: Option<String>,
}

/// The codings on a message's body in the order in which they were applied: those of the content, then those of the
/// transfer (RFC 9112 section 6.1). Chunking is framing and was taken off long before.
pub(crate) fn codings(headers: &Headers) -> Vec<String> {
    let content = headers.list("content-encoding").map(name);
    let transfer = headers.list("transfer-encoding").map(name).filter(|name| name != "chunked");
    let any = |name: &String| !name.is_empty() && name != "identity";
    content.chain(transfer).filter(any).collect()
}

/// Takes off as many of `codings` as will come off without making more than `most` bytes of it.
pub(crate) fn decode(body: Body, codings: &[String], most: u64) -> Decoded {
    decode_within(body, codings, Limits { most, ..LIMITS })
}

/// A coding's name in lower case, without parameters.
fn name(member: &[u8]) -> String {
    let name = member.split(|&b| b == b';').next().unwrap_or_default();
    text(trim(name)).to_lowercase()
}

fn decode_within(mut body: Body, codings: &[String], limits: Limits) -> Decoded {
    // The ratio is that of all codings together: a stack of them is the smallest bomb.
    let received = body.len();
    let mut left = codings;
    // An empty body has no coding on it: the answer to a HEAD, a 304.
    while let Some((coding, inner)) = left.split_last()
        && !body.is_empty()
    {
        match (codings.len() <= MOST_CODINGS).then(|| strip(coding, &body, received, limits)).flatten() {
            Some(stripped) => body = stripped,
            None => {
                return Decoded { body, still_on: Some(left.join(", ")) };
            }
        }
        left = inner;
    }
    Decoded { body, still_on: None }
}

/// Takes one coding off, if that is possible. What came over the wire was `received` bytes long.
fn strip(coding: &str, body: &Body, received: u64, limits: Limits) -> Option<Body> {
    let decoder: fn(&mut Input<'_>, &mut Output) -> Result<(), Stop> = match coding {
        "gzip" | "x-gzip" => gzip,
        "deflate" => deflate,
        "br" => br,
        "zstd" => zstd,
        _ => return None,
    };
    let ended = Cell::new(false);
    let capacity = usize::try_from(body.len()).map_or(BUFFER, |len| len.min(BUFFER));
    let mut input = Input { bytes: BufReader::with_capacity(capacity, body.reader()), ended: &ended };
    let mut output = Output { body: body.another(), received, limits };
    // The decoders are other people's code at work on hostile bytes: a panic in one is one more way to fail.
    let result = catch_unwind(AssertUnwindSafe(|| decoder(&mut input, &mut output))).unwrap_or(Err(Stop::Damaged));
    let decoded = output.body;
    let usable = match result {
        Ok(()) => true,
        Err(Stop::CutOff) => !decoded.is_empty(),
        Err(Stop::Damaged | Stop::TooLarge) => false,
    };
    // If the disk did not take all of it, the original is worth more.
    (usable && decoded.damaged().is_none()).then_some(decoded)
}

/// Why a decoder stopped early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// The bytes ended first; what was decoded is good.
    CutOff,
    /// The bytes mean nothing.
    Damaged,
    /// The result is larger than any honest body.
    TooLarge,
}

/// gzip (RFC 1952): members one after the other; what is no member is padding, or garbage that clients overlook.
fn gzip(input: &mut Input<'_>, output: &mut Output) -> Result<(), Stop> {
    let ended = input.ended;
    let (mut magic, mut len) = peek::<2>(input)?;
    loop {
        let member = magic.get(..len).unwrap_or_default();
        pump(GzDecoder::new(member.chain(&mut *input)), ended, output)?;
        (magic, len) = peek(input)?;
        if magic != GZIP_MAGIC {
            return Ok(());
        }
    }
}

/// deflate means zlib (RFC 1950), yet some send what zlib wraps (RFC 1951), and clients read both.
fn deflate(input: &mut Input<'_>, output: &mut Output) -> Result<(), Stop> {
    let (head, len) = peek::<2>(input)?;
    // A stream without the wrapper never looks like this: it would begin with a stored block and set bits that every
    // encoder leaves zero.
    let zlib = len == 2 && head[0] & 0x0f == 8 && u16::from_be_bytes(head).is_multiple_of(31);
    inflate(head.get(..len).unwrap_or_default().chain(&mut *input), zlib, output)?;
    match input.fill_buf() {
        // Text that is wrongly called deflate may look like a short stream without the wrapper.
        Ok(rest) if zlib || rest.is_empty() => Ok(()),
        _ => Err(Stop::Damaged),
    }
}

fn inflate(mut input: impl BufRead, zlib: bool, output: &mut Output) -> Result<(), Stop> {
    let mut inflater = Decompress::new(zlib);
    let mut buffer = vec![0; BUFFER];
    loop {
        let bytes = input.fill_buf().map_err(|_| Stop::Damaged)?;
        let at_end = bytes.is_empty();
        let (had, gave) = (inflater.total_in(), inflater.total_out());
        let status = inflater.decompress(bytes, &mut buffer, FlushDecompress::None).map_err(|_| Stop::Damaged)?;
        let used = inflater.total_in().saturating_sub(had);
        let made = inflater.total_out().saturating_sub(gave);
        input.consume(usize::try_from(used).unwrap_or(usize::MAX));
        output.take(buffer.get(..usize::try_from(made).unwrap_or(usize::MAX)).unwrap_or_default())?;
        match status {
            Status::StreamEnd => return Ok(()),
            Status::Ok | Status::BufError if made > 0 || used > 0 => {}
            Status::Ok | Status::BufError => return Err(if at_end { Stop::CutOff } else { Stop::Damaged }),
        }
    }
}

/// Brotli (RFC 7932), without the large windows that are no part of it and ask for up to a gigabyte.
fn br(input: &mut Input<'_>, output: &mut Output) -> Result<(), Stop> {
    let ended = input.ended;
    let mut decoder = Decompressor::new(input, BUFFER);
    decoder.set_parameter(BrotliDecoderParameter::BROTLI_DECODER_PARAM_LARGE_WINDOW, 0);
    pump(decoder, ended, output)
}

/// Zstandard (RFC 8878): frames one after the other, some to be skipped; what is no frame is garbage.
fn zstd(input: &mut Input<'_>, output: &mut Output) -> Result<(), Stop> {
    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size(ZSTD_WINDOW);
    let (mut magic, mut len) = peek::<4>(input)?;
    let mut first = true;
    while first || len > 0 {
        match u32::from_le_bytes(magic) {
            _ if len < magic.len() && first => return Err(Stop::CutOff),
            ZSTD_MAGIC => zstd_frame(&mut decoder, &magic, input, output)?,
            ZSTD_SKIP_FIRST..=ZSTD_SKIP_LAST => {
                let mut size = [0; 4];
                input.read_exact(&mut size).map_err(|_| input.stop())?;
                let size = u64::from(u32::from_le_bytes(size));
                if io::copy(&mut input.take(size), &mut io::sink()).map_err(|_| Stop::Damaged)? < size {
                    return Err(Stop::CutOff);
                }
            }
            _ if first => return Err(Stop::Damaged),
            _ => return Ok(()),
        }
        first = false;
        (magic, len) = peek(input)?;
    }
    Ok(())
}

fn zstd_frame(
    decoder: &mut FrameDecoder,
    magic: &[u8],
    input: &mut Input<'_>,
    output: &mut Output,
) -> Result<(), Stop> {
    decoder.reset(magic.chain(&mut *input)).map_err(|_| input.stop())?;
    let mut buffer = vec![0; BUFFER];
    let mut stopped = None;
    while !decoder.is_finished() {
        let block = BlockDecodingStrategy::UptoBlocks(1);
        if decoder.decode_blocks(&mut *input, block).is_err() {
            match input.stop() {
                // The decoder holds back a window's worth until the last block: give it one, empty and raw, and four
                // bytes for a checksum if it wants one.
                Stop::CutOff if stopped.is_none() => {
                    let last = BlockDecodingStrategy::UptoBlocks(1);
                    decoder.decode_blocks(&[1, 0, 0, 0, 0, 0, 0][..], last).map_err(|_| Stop::CutOff)?;
                    stopped = Some(Stop::CutOff);
                }
                stop => return Err(stop),
            }
        }
        while decoder.can_collect() > 0 {
            match decoder.read(&mut buffer) {
                Ok(0) | Err(_) => return Err(Stop::Damaged),
                Ok(n) => output.take(buffer.get(..n).unwrap_or_default())?,
            }
        }
    }
    match (stopped, decoder.get_checksum_from_data()) {
        (Some(stop), _) => Err(stop),
        (None, Some(sum)) if decoder.get_calculated_checksum() != Some(sum) => Err(Stop::Damaged),
        (None, _) => Ok(()),
    }
}

/// Everything that `decoder` gives. Its errors differ in kind; whether it wanted more than there was tells them apart.
fn pump(mut decoder: impl Read, ended: &Cell<bool>, output: &mut Output) -> Result<(), Stop> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match decoder.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => output.take(buffer.get(..n).unwrap_or_default())?,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) if ended.get() => return Err(Stop::CutOff),
            Err(_) => return Err(Stop::Damaged),
        }
    }
}

/// Takes the next bytes, up to `N`, and says how many there were.
fn peek<const N: usize>(input: &mut Input<'_>) -> Result<([u8; N], usize), Stop> {
    let mut bytes = [0; N];
    let mut len = 0;
    while let Some(rest) = bytes.get_mut(len..).filter(|rest| !rest.is_empty()) {
        match input.read(rest).map_err(|_| Stop::Damaged)? {
            0 => break,
            n => len += n,
        }
    }
    input.ended.set(false);
    Ok((bytes, len))
}

/// The bytes to decode; knows whether more was asked for than there is.
struct Input<'b> {
    bytes: BufReader<Reader<'b>>,
    ended: &'b Cell<bool>,
}

impl Input<'_> {
    /// What an error means.
    fn stop(&self) -> Stop {
        if self.ended.get() { Stop::CutOff } else { Stop::Damaged }
    }
}

impl BufRead for Input<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let bytes = self.bytes.fill_buf()?;
        if bytes.is_empty() {
            self.ended.set(true);
        }
        Ok(bytes)
    }

    fn consume(&mut self, amount: usize) {
        self.bytes.consume(amount);
    }
}

impl Read for Input<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.fill_buf()?.read(into)?;
        self.consume(n);
        Ok(n)
    }
}

/// What was decoded, and its limits.
struct Output {
    body: Body,
    /// The size of what is decoded.
    received: u64,
    limits: Limits,
}

impl Output {
    fn take(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        self.body.push(bytes);
        let Limits { free, ratio, most } = self.limits;
        let len = self.body.len();
        // A full disk ends it too, instead of decoding what cannot be kept.
        if len > most || (len > free && len / ratio > self.received) || self.body.damaged().is_some() {
            return Err(Stop::TooLarge);
        }
        Ok(())
    }
}

/// What a decoded body may come to.
#[derive(Clone, Copy)]
struct Limits {
    /// Up to here in any case.
    free: u64,
    /// Beyond, this many times what was received.
    ratio: u64,
    /// Never more.
    most: u64,
}

/// Deflate cannot do better than 1032 to 1, brotli and zstd do so with hardly anything but bombs. The most is for the owner
/// to say.
const LIMITS: Limits = Limits { free: 64 << 20, ratio: 1100, most: u64::MAX };

/// Honest messages have one, few have two; each is a pass over the body.
const MOST_CODINGS: usize = 8;

/// HTTP allows 8 MiB (RFC 9659 section 3); some tools write more by hand. It is held in memory.
const ZSTD_WINDOW: u64 = 32 << 20;

/// Each coding moves its bytes in pieces of this size.
const BUFFER: usize = 32 * 1024;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const ZSTD_MAGIC: u32 = 0xfd2f_b528;
const ZSTD_SKIP_FIRST: u32 = 0x184d_2a50;
const ZSTD_SKIP_LAST: u32 = 0x184d_2a5f;

/// The property that holds for any bytes: no panic, no more than the limits, and nothing lost, as a coding that is
/// named as still on stands on bytes that are still there.
#[cfg(any(test, fuzzing))]
pub(crate) fn property(data: &[u8]) {
    use super::body::Store;

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
    let limits = Limits { free: 1 << 16, ratio: 100, most: 1 << 20 };
    let mut body = Body::new(&Store::new(std::env::temp_dir(), 1 << 20));
    body.push(bytes);
    let decoded = decode_within(body, &codings, limits);
    let mut kept = Vec::new();
    assert!(decoded.body.reader().read_to_end(&mut kept).is_ok());
    assert!(kept.len() as u64 <= limits.most.max(bytes.len() as u64));
    match decoded.still_on {
        Some(on) if on == codings.join(", ") => assert_eq!(kept, bytes),
        Some(on) => assert_eq!(on, inner),
        None => {}
    }
}

#[cfg(test)]
mod tests;
