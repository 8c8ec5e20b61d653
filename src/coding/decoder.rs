//! A decoder for any coding, reused for many bodies.

use super::brotli::brotli;
use super::error::DecodeError;
use super::gzip;
use super::inflate::Inflater;
use super::input::EncodedInput;
use super::limits::DecodeLimits;
use super::name::Coding;
use super::output::DecodedOutput;
use super::zstd::ZstdDecoder;
use std::io::{BufRead, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Decodes bodies one after the other. Keeps up to half a megabyte in between.
#[derive(Default)]
pub(crate) struct Decoder {
    inflater: Inflater,
    zstd: ZstdDecoder,
}

impl Decoder {
    /// Allocates nothing yet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Decodes all of `input` and passes it to `sink`, which returns false if it cannot take more. `received` is the size
    /// of the body before any coding was decoded: bombs with several codings are the smallest.
    pub(crate) fn decode(
        &mut self,
        coding: Coding,
        input: &mut dyn BufRead,
        received: u64,
        limits: DecodeLimits,
        sink: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<(), DecodeError> {
        let (mut input, mut output) = (EncodedInput::new(input), DecodedOutput::new(sink, received, limits));
        let run = || match coding {
            Coding::Gzip => gzip::decode(&mut self.inflater, &mut input, &mut output),
            Coding::Deflate => deflate(&mut self.inflater, &mut input, &mut output),
            Coding::Brotli => brotli(&mut input, &mut output),
            Coding::Zstd => self.zstd.decode(&mut input, &mut output),
        };
        // The decoders are foreign code that parses hostile bytes: a panic counts as a failure to decode.
        catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
            *self = Self::default();
            Err(DecodeError::Malformed)
        })
    }
}

/// deflate is the zlib format (RFC 1950). Some senders leave out the zlib wrapper (RFC 1951); clients accept both.
fn deflate(
    inflater: &mut Inflater,
    input: &mut EncodedInput<'_>,
    output: &mut DecodedOutput<'_>,
) -> Result<(), DecodeError> {
    let (prefix, len) = input.read_prefix::<2>()?;
    // A raw deflate stream never matches: it would start with a stored block and set padding bits that every encoder
    // leaves 0.
    let has_wrapper = len == 2 && prefix[0] & 0x0f == 8 && u16::from_be_bytes(prefix).is_multiple_of(31);
    let mut input = prefix.get(..len).unwrap_or_default().chain(input);
    inflater.stream(&mut input, has_wrapper, &mut |bytes| output.push(bytes))?;
    match input.fill_buf() {
        // Plain text that is labelled deflate may start like a short raw stream. So a raw stream must use all of the
        // input.
        Ok(rest) if has_wrapper || rest.is_empty() => Ok(()),
        _ => Err(DecodeError::Malformed),
    }
}
