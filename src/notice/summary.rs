//! The result of a capture, and its progress.

use super::{Reason, Warning};
use crate::bundle::cut_off::{CutOff, MessageCutOff};
use std::path::PathBuf;
use std::time::Duration;

/// The result of a capture.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Summary {
    /// The bundle's path; `None` if none was requested or it could not be completed. If the capture rotates, the path of the
    /// last bundle that was completed. All numbers here are those of all bundles together.
    pub bundle: Option<PathBuf>,
    /// The backup of the bundle that had its path before; `None` if there was none.
    pub backup: Option<PathBuf>,
    /// The bundle that has the output's path and was not replaced, because nothing was captured. `bundle` is `None` then.
    pub not_replaced: Option<PathBuf>,
    /// The bundles of a capture that rotates.
    pub bundles: Bundles,
    /// Exchanges in the bundle. Without a bundle, those that the callback got; so are the next two.
    pub exchanges: u64,
    /// WebSocket connections in the bundle.
    pub websockets: u64,
    /// WebSocket messages in the bundle.
    pub messages: u64,
    /// Exchanges and messages that could not be written.
    pub lost: u64,
    /// Exchanges, messages and ends of WebSockets that the callback did not get, because it was slower than the traffic
    /// ([`CaptureOptions::on_record`](crate::CaptureOptions::on_record)).
    pub unobserved: u64,
    /// Bodies in the bundle that are truncated because they could not be stored.
    pub truncated: u64,
    /// Exchanges in the bundle that are incomplete.
    pub cut_off_exchanges: CutOffItems<CutOff>,
    /// WebSocket messages in the bundle that are incomplete.
    pub cut_off_messages: CutOffItems<MessageCutOff>,
    /// WebSockets in the bundle of which neither side sent a close frame, with the cause of their end as for a message of the
    /// origin.
    pub unclosed_websockets: CutOffItems<MessageCutOff>,
    /// Problems of the capture itself, one per kind.
    pub warnings: Vec<Warning>,
    /// Connections and exchanges that were not captured, by host and reason; most frequent first.
    pub uncaptured: Vec<Uncaptured>,
    /// Domains seen, those with the most connections first.
    pub domains: Vec<Domain>,
}

/// The bundles of a capture that rotates. Without rotation there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bundles {
    /// The number of bundles that were completed.
    pub completed: u64,
    /// The number of those that were deleted since.
    pub deleted: u64,
    /// The number of bundles that could not be completed. A warning names each.
    pub unfinished: u64,
    /// The paths of the last completed bundles, up to ten, in their order. They were not deleted by this capture.
    pub last: Vec<PathBuf>,
}

/// Exchanges, messages or WebSockets that ended early.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CutOffItems<T> {
    /// The number of all.
    pub count: u64,
    /// The ids of the first ten, in their order, with the cause.
    pub first: Vec<(String, T)>,
}

impl<T> Default for CutOffItems<T> {
    fn default() -> Self {
        Self { count: 0, first: Vec::new() }
    }
}

/// A domain that clients connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Domain {
    /// Its name, or an IP address.
    pub name: String,
    /// The source of the name.
    pub name_source: NameSource,
    /// Connections to it.
    pub connections: u64,
    /// Plain requests (`GET http://…`). Requests inside tunnels are not counted.
    pub requests: u64,
    /// Bytes sent to it. A capture counts only those of connections that are neither TLS nor HTTP.
    pub sent: u64,
    /// Bytes received from it; as above.
    pub received: u64,
}

/// The source of a domain's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameSource {
    /// The TLS server name (SNI), the Host field, or the URL of a plain request.
    Name,
    /// The target of CONNECT or SOCKS, or the original destination of a redirected connection. It may be an IP address.
    Connect,
}

/// The progress of a running capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// The time of this reading, in milliseconds since the epoch.
    pub epoch_ms: u64,
    /// The time since the capture started.
    pub elapsed: Duration,
    /// Client connections open now.
    pub open: usize,
    /// Bytes relayed so far, both directions together; plaintext bytes where TLS is intercepted.
    pub bytes: u64,
    /// Domains seen so far.
    pub domains: usize,
    /// Exchanges in the bundle so far; without a bundle, those that the callback got. So are WebSockets.
    pub exchanges: u64,
    /// Exchanges in the bundle so far that are incomplete.
    pub cut_off_exchanges: u64,
    /// WebSockets in the bundle so far; those that are open are not.
    pub websockets: u64,
    /// The size of the bundle so far, in bytes.
    pub bundle: u64,
    /// The number of exchanges in it whose bodies are left to verify or to decode. The stop waits for them.
    pub unpacked: u64,
    /// The size of all bundles of the capture so far, in bytes. A capture that does not rotate has one.
    pub written: u64,
    /// The time since the start of a write that the disk has not completed, if it is longer than two seconds.
    pub stalled_write: Option<Duration>,
}

/// Connections to one host, or exchanges with it, that were not captured for one reason.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Uncaptured {
    /// `host:port`.
    pub host: String,
    /// The reason.
    pub reason: Reason,
    /// The number of connections; of exchanges for [`Reason::ExchangeExcluded`].
    pub connections: u64,
}
