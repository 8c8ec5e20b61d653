//! The decoded bytes, within limits.

use super::error::DecodeError;
use super::limits::DecodeLimits;

/// Passes decoded bytes to a sink and counts them.
pub(super) struct DecodedOutput<'s> {
    /// Returns false if it cannot take more.
    sink: &'s mut dyn FnMut(&[u8]) -> bool,
    len: u64,
    /// The size of the body as received, before any coding was decoded.
    received: u64,
    limits: DecodeLimits,
}

impl<'s> DecodedOutput<'s> {
    pub(super) fn new(sink: &'s mut dyn FnMut(&[u8]) -> bool, received: u64, limits: DecodeLimits) -> Self {
        Self { sink, len: 0, received, limits }
    }

    pub(super) fn max_window_bytes(&self) -> u64 {
        self.limits.max_window_bytes
    }

    /// Passes on `bytes`; fails if the limits are exceeded.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        self.len = self.len.saturating_add(bytes.len() as u64);
        let DecodeLimits { ratio_free_bytes, max_ratio, max_bytes, .. } = self.limits;
        let exceeds_ratio = self.len > ratio_free_bytes && self.len / max_ratio > self.received;
        if self.len > max_bytes || exceeds_ratio || !(self.sink)(bytes) {
            return Err(DecodeError::TooLarge);
        }
        Ok(())
    }
}
