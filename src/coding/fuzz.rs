//! The fuzzed property: any bytes decode within the limits, and no byte is lost.

#![allow(clippy::unwrap_used, reason = "a property is asserted")]

use super::{Content, DecodeLimits, Decoder, decode};
use std::io::BufRead;

/// Asserts the property that holds for any bytes: no panic, no output past the limits, and no loss. If a coding is
/// listed as remaining, its encoded bytes are still there.
pub(crate) fn check_limits(data: &[u8]) {
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
    let limits = DecodeLimits { ratio_free_bytes: 1 << 16, max_ratio: 100, ..DecodeLimits::new(1 << 20) };
    let decoded = decode(&mut Decoder::new(), Buffer(bytes.to_vec()), &codings, limits);
    let kept = decoded.body.0;
    assert!(kept.len() as u64 <= limits.max_bytes.max(bytes.len() as u64));
    match decoded.remaining_codings {
        Some(remaining) if remaining == codings.join(", ") => assert_eq!(kept, bytes),
        Some(remaining) => assert_eq!(remaining, inner),
        None => {}
    }
}

/// Content in memory.
pub(crate) struct Buffer(pub(crate) Vec<u8>);

impl Content for Buffer {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn empty_like(&self) -> Self {
        Self(Vec::new())
    }

    fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn is_whole(&self) -> bool {
        true
    }

    fn read<T>(&self, read: impl FnOnce(&mut dyn BufRead) -> T) -> T {
        read(&mut self.0.as_slice())
    }
}
