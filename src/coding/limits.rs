//! The limits of decoding: hostile input can be a thousand times smaller than its output.

use super::window;

/// The limits of a decoded body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DecodeLimits {
    /// Up to this size the ratio does not matter.
    pub(crate) ratio_free_bytes: u64,
    /// The largest ratio of decoded to received bytes.
    pub(crate) max_ratio: u64,
    /// The largest decoded size.
    pub(crate) max_bytes: u64,
    /// The largest window of a decoder.
    pub(crate) max_window_bytes: u64,
}

impl DecodeLimits {
    /// The limits of a body that may decode to `max_bytes`. Deflate cannot exceed a ratio of 1032 to 1. Brotli and zstd
    /// can, but hardly any content other than a bomb does.
    pub(crate) const fn new(max_bytes: u64) -> Self {
        Self { ratio_free_bytes: 64 << 20, max_ratio: 1100, max_bytes, max_window_bytes: window::MAX_BYTES }
    }
}
