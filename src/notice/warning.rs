//! Problems of a capture itself.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// A problem of the capture itself. The app's traffic still passes.
///
/// `Display` states the problem in one line, without a remedy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Warning {
    /// Another running capture writes to the same output.
    OutputShared {
        /// The other capture's unfinished bundle.
        path: PathBuf,
    },
    /// An interrupted capture left an unfinished bundle beside the output.
    Leftover {
        /// The unfinished bundle.
        path: PathBuf,
    },
    /// A file that is not an unfinished bundle of this user has the name of one. It is left alone.
    NameTaken {
        /// Its path.
        path: PathBuf,
        /// Its type or owner: `a symbolic link`.
        what: String,
    },
    /// Exchanges, WebSockets or messages could not be written.
    WriteFailed {
        /// The number so far.
        count: u64,
        /// The first error.
        cause: String,
    },
    /// Writing works again after [`Warning::WriteFailed`].
    WriteResumed {
        /// The number of exchanges, WebSockets and messages lost in between.
        lost: u64,
    },
    /// The disk has not completed an operation for two seconds. Exchanges and messages that do not fit into memory are dropped
    /// until it does, and the ends of large bodies.
    DiskHung,
    /// The disk completes operations again after [`Warning::DiskHung`].
    DiskResumed {
        /// The number of exchanges and messages dropped in between.
        lost: u64,
    },
    /// An internal error (a panic) lost exchanges or messages.
    LostToPanic {
        /// The number so far.
        count: u64,
    },
    /// Bodies were truncated because their spill file could not be written.
    BodyTruncated {
        /// The number so far.
        count: u64,
        /// The first error.
        cause: String,
    },
    /// The end of the capture was forced before bodies of these exchanges were decoded: they are in the bundle as received.
    KeptEncoded {
        /// The number of exchanges.
        count: u64,
    },
    /// Exchange ids have more digits than some consumers of bundles sort correctly.
    LongExchangeIds {
        /// The last id number that has the usual number of digits.
        limit: u32,
    },
    /// Message ids of a WebSocket have more digits than some consumers of bundles sort correctly.
    LongMessageIds {
        /// The last id number that has the usual number of digits.
        limit: u32,
    },
    /// The bundle is complete but could not be renamed to its final name.
    NotRenamed {
        /// Its current path.
        path: PathBuf,
        /// The error.
        cause: String,
    },
    /// The bundle could not be completed.
    Unfinished {
        /// The unfinished bundle.
        path: PathBuf,
        /// The error.
        cause: String,
    },
    /// Another process deleted or replaced the unfinished bundle. The capture goes on, and copies it at the end.
    PartLost {
        /// Its path.
        path: PathBuf,
        /// The path of the copy, unless it is taken then.
        copy: PathBuf,
    },
    /// The bundle is complete, but is not at its path: another process had deleted or replaced the unfinished bundle.
    BundleCopied {
        /// The path of the unfinished bundle.
        path: PathBuf,
        /// The path of the bundle.
        copy: PathBuf,
    },
    /// The bundle is lost: another process had deleted or replaced the unfinished bundle, and it could not be copied.
    BundleLost {
        /// The path of the unfinished bundle.
        path: PathBuf,
        /// The error.
        cause: String,
    },
    /// The next bundle could not be begun; the current one grows on, and it is tried again.
    RotationFailed {
        /// The number so far.
        count: u64,
        /// The first error.
        cause: String,
    },
    /// Earlier bundles are not finished yet, because the disk is slow. The current bundle grows until they are.
    RotationDelayed {
        /// The number of unfinished bundles besides the current one.
        unfinished: usize,
    },
    /// A bundle of this capture could not be deleted, although there are more than [`CaptureOptions::keep`](crate::CaptureOptions::keep).
    NotDeleted {
        /// The number so far.
        count: u64,
        /// The path of the first one and the error.
        cause: String,
    },
    /// Secrets of TLS sessions could not be written to the key log ([`Config::key_log`](crate::Config::key_log)).
    KeyLogIncomplete {
        /// The number of lines so far.
        lost: u64,
        /// The first error.
        cause: String,
    },
    /// The writer thread panicked.
    WriterPanicked,
    /// Connections had not ended when the capture was forced to stop; their unfinished exchanges are not in the bundle.
    ConnectionsAbandoned {
        /// The number of connections.
        count: usize,
    },
    /// The limit of open files is reached: new connections wait until others end.
    DescriptorLimit {
        /// The limit of open files.
        descriptors: usize,
        /// The number of connections it allows at once.
        connections: usize,
    },
    /// No thread is available: new connections wait until others end.
    NoThread {
        /// The error of the system.
        cause: String,
    },
    /// A client requested an `https` URL without a tunnel (`GET https://…`), and the proxy does not listen on loopback: the
    /// client's connection to the proxy is not encrypted. Reported once.
    ClearHop,
    /// accept(2) failed: new connections wait.
    AcceptFailed {
        /// The error of the system.
        cause: String,
    },
}

impl Warning {
    /// A [`Warning::NoThread`] for `cause`.
    pub(crate) fn no_thread(cause: &io::Error) -> Self {
        Self::NoThread { cause: cause.to_string() }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutputShared { path } => write!(f, "another running capture writes {}", path.display()),
            Self::Leftover { path } => write!(f, "{} is left over from an interrupted capture", path.display()),
            Self::NameTaken { path, what } => {
                write!(f, "{} is {what}, not an unfinished bundle of yours: it is left alone", path.display())
            }
            Self::WriteFailed { count: 1, cause } => write!(f, "1 exchange or message could not be written: {cause}"),
            Self::WriteFailed { count, cause } => {
                write!(f, "{count} exchanges or messages could not be written: {cause}")
            }
            Self::WriteResumed { lost: 1 } => {
                f.write_str("the bundle can be written again; 1 exchange or message was lost")
            }
            Self::WriteResumed { lost } => {
                write!(f, "the bundle can be written again; {lost} exchanges or messages were lost")
            }
            Self::DiskHung => f.write_str(
                "the disk has not completed a write for 2 s: what does not fit into memory is dropped until it does",
            ),
            Self::DiskResumed { lost: 0 } => f.write_str("the disk completes writes again; nothing was dropped"),
            Self::DiskResumed { lost: 1 } => {
                f.write_str("the disk completes writes again; 1 exchange or message was dropped")
            }
            Self::DiskResumed { lost } => {
                write!(f, "the disk completes writes again; {lost} exchanges or messages were dropped")
            }
            Self::LostToPanic { count: 1 } => f.write_str("an internal error lost 1 exchange or message"),
            Self::LostToPanic { count } => write!(f, "an internal error lost {count} exchanges or messages"),
            Self::BodyTruncated { count: 1, cause } => write!(f, "1 body is truncated in the bundle: {cause}"),
            Self::BodyTruncated { count, cause } => write!(f, "{count} bodies are truncated in the bundle: {cause}"),
            Self::KeptEncoded { count: 1 } => {
                f.write_str("1 exchange has bodies as received: there was no time to decode them")
            }
            Self::KeptEncoded { count } => {
                write!(f, "{count} exchanges have bodies as received: there was no time to decode them")
            }
            Self::LongExchangeIds { limit } => {
                write!(f, "more than {limit} exchanges: tools that sort ids as text misorder the later ones")
            }
            Self::LongMessageIds { limit } => {
                write!(
                    f,
                    "more than {limit} messages on one WebSocket: tools that sort ids as text misorder the later ones"
                )
            }
            Self::NotRenamed { path, cause } => {
                write!(f, "the bundle is complete but stays in {}: {cause}", path.display())
            }
            Self::Unfinished { path, cause } => {
                write!(f, "the bundle could not be completed: {cause}; the unfinished bundle is {}", path.display())
            }
            Self::PartLost { path, copy } => write!(
                f,
                "another process deleted or replaced {}: nothing is lost yet, the capture goes on, and its bundle will be \
                 written to {}",
                path.display(),
                copy.display()
            ),
            Self::BundleCopied { path, copy } => write!(
                f,
                "another process deleted or replaced {}: the complete bundle is {}",
                path.display(),
                copy.display()
            ),
            Self::BundleLost { path, cause } => write!(
                f,
                "the bundle is lost: another process deleted or replaced {}, and it could not be copied: {cause}",
                path.display()
            ),
            Self::RotationFailed { cause, .. } => {
                write!(f, "the next bundle could not be begun, the current one grows on: {cause}")
            }
            Self::RotationDelayed { unfinished } => write!(
                f,
                "the disk is slow: {unfinished} bundles are not finished yet, and the current one grows until they are"
            ),
            Self::NotDeleted { count: 1, cause } => write!(f, "1 old bundle could not be deleted: {cause}"),
            Self::NotDeleted { count, cause } => write!(f, "{count} old bundles could not be deleted: {cause}"),
            Self::KeyLogIncomplete { lost: 1, cause } => write!(f, "1 line of the key log could not be written: {cause}"),
            Self::KeyLogIncomplete { lost, cause } => {
                write!(f, "{lost} lines of the key log could not be written: {cause}")
            }
            Self::WriterPanicked => f.write_str("the writer thread ended with an internal error"),
            Self::ConnectionsAbandoned { count: 1 } => {
                f.write_str("1 connection had not ended: its unfinished exchanges are not in the bundle")
            }
            Self::ConnectionsAbandoned { count } => {
                write!(f, "{count} connections had not ended: their unfinished exchanges are not in the bundle")
            }
            Self::DescriptorLimit { descriptors, connections } => write!(
                f,
                "the limit of {descriptors} open files allows {connections} connections at once: \
                 new connections wait until others end"
            ),
            Self::NoThread { cause } => {
                write!(f, "no thread is available, new connections wait until others end: {cause}")
            }
            Self::ClearHop => f.write_str(
                "a client requested an https:// URL without a tunnel, so its connection to this proxy is not encrypted: \
                 others on that network can read the request and the response",
            ),
            Self::AcceptFailed { cause } => write!(f, "cannot accept connections for now, they wait: {cause}"),
        }
    }
}
