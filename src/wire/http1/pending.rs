//! The requests that wait for their responses (RFC 9112 section 9.3.2).
//!
//! ```text
//! request ──push──▶ newest … oldest ──pop──▶ the next final response
//! ```

use crate::wire::tap::{ExchangeId, Opaque};
use std::collections::VecDeque;

/// A request whose response has not ended.
#[derive(Clone, Copy)]
pub(super) struct PendingRequest {
    pub(super) id: ExchangeId,
    /// `HEAD`, `CONNECT`, or empty for all other methods, which have no effect on the response's framing. They are not
    /// stored, because a method can be as long as a head.
    pub(super) method: &'static str,
    /// The size of its head.
    head_bytes: usize,
}

/// The reported requests whose responses have not ended.
#[derive(Default)]
pub(super) struct PendingRequests {
    /// Oldest first. At most [`MAX_PENDING_REQUESTS`].
    requests: VecDeque<PendingRequest>,
    /// The total size of their heads. At most [`MAX_PENDING_HEAD_BYTES`].
    head_bytes: usize,
}

impl PendingRequests {
    /// Adds a request, unless a limit is exceeded.
    pub(super) fn push(&mut self, id: ExchangeId, method: &str, head_bytes: usize) -> Result<(), Opaque> {
        let total = self.head_bytes.saturating_add(head_bytes);
        if self.requests.len() >= MAX_PENDING_REQUESTS || total > MAX_PENDING_HEAD_BYTES {
            return Err(Opaque::LimitExceeded);
        }
        let method = match method {
            "HEAD" => "HEAD",
            "CONNECT" => "CONNECT",
            _ => "",
        };
        self.head_bytes = total;
        self.requests.push_back(PendingRequest { id, method, head_bytes });
        Ok(())
    }

    /// Returns the oldest request.
    pub(super) fn front(&self) -> Option<PendingRequest> {
        self.requests.front().copied()
    }

    /// Removes the oldest request.
    pub(super) fn pop(&mut self) {
        let head_bytes = self.requests.pop_front().map_or(0, |request| request.head_bytes);
        self.head_bytes = self.head_bytes.saturating_sub(head_bytes);
        if self.requests.is_empty() {
            self.requests.shrink_to(MAX_KEPT_CAPACITY);
        }
    }

    /// Returns the number of bytes allocated.
    pub(super) fn memory_bytes(&self) -> usize {
        self.requests.capacity().saturating_mul(size_of::<PendingRequest>())
    }

    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }
}

/// The largest capacity that is kept while no request waits.
const MAX_KEPT_CAPACITY: usize = 32;

/// The largest number of unanswered requests. Clients that pipeline send some tens.
const MAX_PENDING_REQUESTS: usize = 10_000;

/// The largest total size of the heads of unanswered requests.
const MAX_PENDING_HEAD_BYTES: usize = 16 * 1024 * 1024;
