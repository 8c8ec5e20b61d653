//! Content that `build.rs` compressed into the binary.

use flate2::{Decompress, FlushDecompress};

/// Returns the content of an embedded file: its size in 4 bytes, and deflate (RFC 1951). Empty if the build was wrong, which tests
/// would show.
pub(crate) fn inflate(embedded: &[u8]) -> Vec<u8> {
    let Some((size, compressed)) = embedded.split_first_chunk() else { return Vec::new() };
    let mut content = Vec::with_capacity(u32::from_be_bytes(*size) as usize);
    match Decompress::new(false).decompress_vec(compressed, &mut content, FlushDecompress::Finish) {
        Ok(_) => content,
        Err(_) => Vec::new(),
    }
}
