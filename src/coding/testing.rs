//! Encodes bodies for tests.

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use std::io::Write;

/// The output of `brotli -q 5` and of `zstd -3` (with a checksum) for [`sample`].
pub(crate) const TEXT_BR: &[u8] = include_bytes!("../../tests/data/text.br");
pub(crate) const TEXT_ZST: &[u8] = include_bytes!("../../tests/data/text.zst");

/// Returns text that compresses well, but not to nothing, and is larger than every buffer.
pub(crate) fn sample() -> Vec<u8> {
    (0..9000).flat_map(|i| format!("line {i} of {}\n", i * i % 977).into_bytes()).collect()
}

/// Returns `bytes` as a gzip member.
pub(crate) fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn raw_deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
