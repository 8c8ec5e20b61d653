//! Timeouts for a client that has not sent a complete request.

use std::time::Duration;

/// Timeouts for the head of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// From the start of the connection, or from the previous response, to the first byte. Browsers open connections
    /// before they have a request; a silent peer must not hold a thread indefinitely.
    pub(crate) first_byte: Duration,
    /// From the first byte of a head to its last, at any rate of arrival.
    pub(crate) head: Duration,
}

impl Default for Timeouts {
    /// Five minutes, as in Squid (request_start_timeout), longer than browsers keep an idle connection; and one minute,
    /// as is common for servers (nginx: client_header_timeout).
    fn default() -> Self {
        Self { first_byte: Duration::from_secs(5 * 60), head: Duration::from_secs(60) }
    }
}
