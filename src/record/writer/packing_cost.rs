//! The cost of decoding and compressing an exchange's bodies, which decides the thread that does it.

use crate::record::body::Body;
use crate::record::decode::codings;
use crate::record::item::Exchange;
use crate::wire::headers::Headers;

/// The time that decoding and compressing takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PackingCost {
    /// Less than a millisecond: done on the writer thread.
    Low,
    /// Milliseconds.
    Medium,
    /// Perhaps seconds.
    High,
}

impl PackingCost {
    /// Returns the cost of both bodies of `exchange`.
    pub(super) fn of(exchange: &Exchange) -> Self {
        let response = exchange.response.as_ref().map(|head| Self::of_body(&exchange.response_body, &head.headers));
        response.unwrap_or(Self::Low).max(Self::of_body(&exchange.request_body, &exchange.request_headers))
    }

    fn of_body(body: &Body, headers: &Headers) -> Self {
        match body.len() {
            HIGH_COST_BYTES.. => Self::High,
            MEDIUM_COST_BYTES.. => Self::Medium,
            // An encoded body may decode to a thousand times its size.
            MEDIUM_COST_ENCODED_BYTES.. if !codings(headers).is_empty() => Self::Medium,
            _ => Self::Low,
        }
    }
}

/// Bodies from this size go to a packer thread.
pub(super) const MEDIUM_COST_BYTES: u64 = 1 << 20;

/// Encoded bodies from this size go to a packer thread.
const MEDIUM_COST_ENCODED_BYTES: u64 = 64 << 10;

/// Bodies from this size go to the packer thread for large bodies, so that others do not wait behind them.
const HIGH_COST_BYTES: u64 = 16 << 20;
