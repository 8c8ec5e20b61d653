//! Values that a running capture reports to its owner: notices as they happen, a summary at the end.

mod reason;
mod summary;
mod warning;

pub use reason::{Distrust, Reason};
pub use summary::{Bundles, CutOffItems, Domain, NameSource, Progress, Summary, Uncaptured};
pub use warning::Warning;

use crate::bundle::cut_off::{CutOff, MessageCutOff};
use std::path::PathBuf;

/// An event of a running capture. Strings may contain any bytes from the network: escape them before printing to a
/// terminal.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Notice {
    /// An exchange ended and was written to the bundle.
    Exchange {
        /// Its id in the bundle, `t_0001`.
        id: String,
        /// The request method.
        method: String,
        /// The request URL.
        url: String,
        /// The response status; 0 if there was no response.
        status: u16,
        /// The reason why there was no response.
        no_response: Option<String>,
        /// Size of the response body in the bundle, in bytes: decoded, unless its coding was not or could not be decoded yet.
        size: u64,
        /// Time from the first request byte to the last response byte, in milliseconds.
        total_ms: f64,
        /// The part that is incomplete.
        cut_off: Option<CutOff>,
    },
    /// A WebSocket connection ended and was written to the bundle.
    WebSocket {
        /// Its id in the bundle, `ws_0001`.
        id: String,
        /// Its URL.
        url: String,
        /// The number of its messages.
        messages: u64,
        /// The cause of its end as for a message of the origin, if neither side sent a close frame.
        cut_off: Option<MessageCutOff>,
    },
    /// A domain was seen for the first time.
    Domain {
        /// Its name, in lower case.
        name: String,
    },
    /// A connection, or a part of one, is not captured. Reported once per host and reason.
    Uncaptured {
        /// `host:port`.
        host: String,
        /// The reason.
        reason: Reason,
    },
    /// A bundle of a capture that rotates was finished.
    BundleFinished {
        /// Its path.
        path: PathBuf,
        /// Exchanges in it, among them the handshakes of WebSockets that began in an earlier bundle.
        exchanges: u64,
        /// WebSockets in it.
        websockets: u64,
        /// WebSocket messages in it.
        messages: u64,
    },
    /// A bundle of this capture was deleted, because there are more than [`CaptureOptions::keep`](crate::CaptureOptions::keep).
    BundleDeleted {
        /// Its former path.
        path: PathBuf,
    },
    /// The capture itself has a problem.
    Warning(Warning),
}
