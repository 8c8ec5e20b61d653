//! Values that a running capture reports to its owner: notices as they happen, a summary at the end.

use crate::bundle::cut_off::{CutOff, MessageCutOff};
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

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
    /// A bundle of this capture was deleted, because there are more than [`Config::keep`](crate::Config::keep).
    BundleDeleted {
        /// Its former path.
        path: PathBuf,
    },
    /// The capture itself has a problem.
    Warning(Warning),
}

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
    /// A bundle of this capture could not be deleted, although there are more than [`Config::keep`](crate::Config::keep).
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

/// The reason why a connection, or a part of one, is not in the bundle.
///
/// `Display` states it as a clause, without a remedy: `not HTTP`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Reason {
    /// The host matches no included pattern, or it matches an excluded one.
    NotMatched,
    /// An excluded pattern matches the host of an exchange on a connection that is captured for another host. It is reported
    /// for the exchange's host, and its count is one of exchanges.
    ExchangeExcluded,
    /// A CONNECT on a captured connection, whose origin is another proxy. Its host is the one that this proxy connects to.
    NestedConnect,
    /// The client refused our certificate: it ended the handshake after it had received it; the TLS alert, or a clause.
    CertificateRefused(String),
    /// A client with the same kind of ClientHello refused our certificate for this host earlier, and such clients pass
    /// through ([`Config::passthrough_refused`](crate::Config::passthrough_refused)).
    RefusedBefore,
    /// The client closed the connection without a request: right after the TLS handshake, or in it before it received our
    /// certificate. Some clients refuse a certificate this way. Not reported for hosts of which something was captured.
    ClientLeft,
    /// The client closed the connection after a request, before the first byte of the answer. Clients that send a request
    /// before they verify the certificate refuse it this way; one that did not want to wait looks the same. Not reported
    /// for hosts of which something was captured.
    LeftUnanswered,
    /// The origin's certificate is not trusted by this machine.
    OriginNotTrusted(Distrust),
    /// The same for a request that named an `https` URL without a tunnel (`GET https://…`): nothing can pass through, so the
    /// client got a 502.
    OriginRejected(Distrust),
    /// The TLS handshake with the origin failed; the error. Client and origin then handshake directly.
    OriginTls(String),
    /// TLS with the client failed, or is not possible: no version or cipher suite in common, or no server name to connect
    /// to; the error.
    ClientTls(String),
    /// The origin requests a client certificate, or accepts one. There is none for it, or none with a key that it accepts; the
    /// client may have one.
    ClientCertificate,
    /// The origin rejected the client certificate of
    /// [`Config::client_certificates`](crate::Config::client_certificates); the TLS alert. Client and origin then handshake
    /// directly.
    ClientCertificateRejected(String),
    /// The same after the handshake, as in TLS 1.3: this connection failed, and the next ones pass through.
    ClientCertificateRejectedLate(String),
    /// TLS 1.2 was renegotiated, which is not supported. Origins request client certificates for a part of a site this
    /// way, and old ones change keys. The connection is captured up to there; the next ones pass through.
    Renegotiated,
    /// TLS was renegotiated on an earlier connection, and such hosts pass through.
    RenegotiatedBefore,
    /// The origin answered 403 to a client that can present a certificate after the handshake (TLS 1.3), which it cannot
    /// through the proxy. The answer is captured.
    MayNeedClientCertificate,
    /// A response of the origin offers HTTP/3 (Alt-Svc). It was captured, but clients may send later requests over QUIC, past the
    /// proxy. Reported for the exchange's host, and its count is one of connections with such a response.
    Http3Offered,
    /// The application protocol (ALPN) is not supported: the one that the origin chose, or all that the client offers.
    Protocol(String),
    /// Neither TLS nor HTTP.
    NotHttp,
    /// The first flight was incomplete when its timeout expired.
    Incomplete,
    /// The origin could not be reached; the error, which the client received too unless it was redirected.
    Unreachable(String),
    /// A part of the connection is captured only up to a point, then passed through; the cause. The part is a direction of
    /// an HTTP/1 connection or of a WebSocket, or an HTTP/2 stream.
    Opaque(crate::wire::tap::Opaque),
    /// A request to the proxy was refused; the error sent to the client.
    Refused(String),
    /// The client did not send the password that the proxy requires. Clients may send it on the next request of a connection;
    /// then it is not reported.
    NoPassword,
    /// The client sent another user or password than the proxy requires.
    WrongPassword,
    /// Not a proxy request: sent to the proxy's port as if it were a web server.
    NotForAProxy,
    /// TLS with the proxy itself, which does not support it.
    TlsToTheProxy,
    /// Neither a proxy request nor redirected by a firewall of this machine, which alone keeps the original destination
    /// ([`Transparent`](crate::Transparent)).
    NoOriginalDestination,
    /// A firewall redirects the connections of this proxy back to it.
    RedirectLoop,
    /// An internal error (a panic) ended the connection.
    Internal,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use crate::wire::tap::Opaque;
        match self {
            Self::NotMatched => f.write_str("excluded by the host patterns"),
            Self::ExchangeExcluded => f.write_str("excluded by the host patterns, on a connection to another host"),
            Self::NestedConnect => f.write_str("passed through: a tunnel of another proxy"),
            Self::CertificateRefused(alert) => write!(f, "the client refused our certificate ({alert})"),
            Self::RefusedBefore => f.write_str("passed through: this client refused our certificate earlier"),
            Self::ClientLeft => f.write_str("the client left without a request (it may not trust our certificate)"),
            Self::LeftUnanswered => f.write_str(
                "the client left before an answer (it may not trust our certificate, or its timeout was over)",
            ),
            Self::OriginNotTrusted(cause) => {
                write!(f, "passed through: this machine does not trust the origin's certificate ({cause})")
            }
            Self::OriginRejected(cause) => {
                write!(f, "answered with 502: this machine does not trust the origin's certificate ({cause})")
            }
            Self::OriginTls(cause) => write!(f, "passed through: TLS handshake with the origin failed ({cause})"),
            Self::ClientTls(cause) => write!(f, "TLS handshake with the client failed ({cause})"),
            Self::ClientCertificate => f.write_str("passed through: the origin requests a client certificate"),
            Self::ClientCertificateRejected(alert) => {
                write!(f, "passed through: the origin rejected the client certificate (alert {alert})")
            }
            Self::ClientCertificateRejectedLate(alert) => write!(
                f,
                "the origin rejected the client certificate (alert {alert}): the next connections pass through"
            ),
            Self::Renegotiated => f.write_str(
                "TLS was renegotiated, perhaps for a client certificate, which is not supported: the next connections \
                 pass through",
            ),
            Self::RenegotiatedBefore => f.write_str("passed through: TLS was renegotiated on an earlier connection"),
            Self::MayNeedClientCertificate => f.write_str(
                "the origin answered 403: it may need a client certificate, which the client could not present",
            ),
            Self::Http3Offered => f.write_str("the origin offers HTTP/3 (QUIC), by which clients may bypass the proxy"),
            Self::Protocol(names) => write!(f, "passed through: the application protocol is not HTTP ({names})"),
            Self::NotHttp => f.write_str("passed through: not HTTP"),
            Self::Incomplete => f.write_str("passed through: the first flight was incomplete"),
            Self::Unreachable(cause) => write!(f, "unreachable: {cause}"),
            Self::Opaque(Opaque::Switched) => f.write_str("passed through after a switch to another protocol"),
            Self::Opaque(Opaque::EarlyResponse) => f.write_str("answered before the request was complete"),
            Self::Opaque(Opaque::Misplaced) => f.write_str("captured except for messages with misplaced HTTP/2 frames"),
            Self::Opaque(Opaque::StreamLimit) => f.write_str(
                "captured except for parts of HTTP/2 messages that exceed a limit (head size, number or size of streams)",
            ),
            Self::Opaque(cause) => write!(f, "captured up to {cause}"),
            Self::Refused(cause) => write!(f, "request refused: {cause}"),
            Self::NoPassword => f.write_str("the client sent no password for this proxy"),
            Self::WrongPassword => f.write_str("the client sent a wrong user or password for this proxy"),
            Self::NotForAProxy => f.write_str("not a proxy request"),
            Self::TlsToTheProxy => f.write_str("TLS with the proxy itself, which does not support it"),
            Self::NoOriginalDestination => f.write_str("neither a proxy request nor redirected on this machine"),
            Self::RedirectLoop => f.write_str("a firewall redirects this proxy's own connections back to it"),
            Self::Internal => f.write_str("internal error"),
        }
    }
}

/// The reason why this machine does not trust an origin's certificate. `Display` is a clause about the origin.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Distrust {
    /// The certificate's issuer is not trusted: a private CA, or the certificate is self-signed.
    UnknownIssuer,
    /// The certificate is one for a CA, and usually self-signed: `openssl req -x509` makes such certificates.
    CaCertificate,
    /// The certificate would not be accepted from a trusted issuer either: it expired, is for another name, …; the
    /// clause.
    Flaw(String),
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownIssuer => "its issuer is unknown",
            Self::CaCertificate => "its certificate is one for a CA",
            Self::Flaw(clause) => clause,
        })
    }
}

/// The result of a capture.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Summary {
    /// The bundle's path; `None` if none was requested or it could not be completed. If the capture rotates, the path of the
    /// last bundle that was completed. All numbers here are those of all bundles together.
    pub bundle: Option<PathBuf>,
    /// The bundles of a capture that rotates.
    pub bundles: Bundles,
    /// Exchanges in the bundle.
    pub exchanges: u64,
    /// WebSocket connections in the bundle.
    pub websockets: u64,
    /// WebSocket messages in the bundle.
    pub messages: u64,
    /// Exchanges and messages that could not be written.
    pub lost: u64,
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
    /// Bytes sent to it; counted in discovery only.
    pub sent: u64,
    /// Bytes received from it; counted in discovery only.
    pub received: u64,
}

/// The source of a domain's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// Exchanges in the bundle so far.
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
