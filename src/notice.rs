//! What a running capture tells its owner, as it happens and at the end.

use std::path::PathBuf;

/// Something that just happened. Texts may hold anything the network sent: escape them before they reach a terminal.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Notice {
    /// An exchange ended and is written.
    Exchange {
        /// Its id in the bundle, `t_0001`.
        id: String,
        /// The request's method.
        method: String,
        /// The request's URL.
        url: String,
        /// The response's status; 0 if there was none.
        status: u16,
        /// The response's body as received, in bytes.
        size: u64,
        /// From the first byte to the last, in milliseconds.
        total_ms: f64,
    },
    /// A WebSocket ended and is written.
    Socket {
        /// Its id in the bundle, `ws_0001`.
        id: String,
        /// Its URL.
        url: String,
        /// How many messages it had.
        messages: u64,
    },
    /// A domain was seen for the first time.
    Domain {
        /// Its name, in lower case.
        name: String,
    },
    /// A connection, or a part of it, is not captured. Told once for each host and reason.
    Uncaptured {
        /// `host:port`.
        host: String,
        /// Why.
        reason: Reason,
    },
    /// Something is wrong with the capture itself.
    Trouble {
        /// One sentence.
        what: String,
    },
}

/// Why a connection, or a part of it, is not in the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Reason {
    /// The host matches no pattern, or one of the excluding patterns.
    NotMatched,
    /// The client did not accept our certificate; how it said so.
    CertificateRefused(String),
    /// A client did not accept our certificate for this host before, and such hosts pass through.
    RefusedBefore,
    /// The client left during the TLS handshake or right after it, without a word: some refuse a certificate so, some only
    /// looked in. Not told of hosts from which something was captured.
    ClientLeft,
    /// The origin's certificate is not trusted by this machine; why.
    OriginNotTrusted(String),
    /// The TLS handshake with the origin failed, so that client and origin speak to each other directly; why.
    OriginTls(String),
    /// The client offers no version or cipher suite of TLS that we speak; what was said.
    ClientTls(String),
    /// The origin asks for a client certificate, which only the client has.
    ClientCertificate,
    /// The client offers only application protocols that are not read; which.
    Protocol(String),
    /// Neither TLS nor HTTP.
    NotHttp,
    /// The first bytes stayed incomplete.
    Incomplete,
    /// The origin could not be reached, and the client was told so; why.
    Unreachable(String),
    /// Captured up to where it was no longer understood; why.
    Opaque(crate::wire::tap::Opaque),
    /// A request to the proxy that was not served, as the client was told; why.
    Refused(String),
    /// Sent to the proxy's port as if that were a web server's.
    NotForAProxy,
    /// A defect of this program ended the connection.
    Internal,
}

/// What a capture came to.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Summary {
    /// Where the bundle is; `None` if none was asked for or it could not be completed.
    pub bundle: Option<PathBuf>,
    /// Exchanges in the bundle.
    pub traces: u64,
    /// WebSockets in the bundle.
    pub sockets: u64,
    /// WebSocket messages in the bundle.
    pub messages: u64,
    /// Exchanges and messages that could not be written.
    pub lost: u64,
    /// Bodies in the bundle whose ends could not be kept.
    pub cut: u64,
    /// What went wrong with the capture itself, a sentence each.
    pub troubles: Vec<String>,
    /// What was not captured: each host and reason, with the number of connections; most first.
    pub uncaptured: Vec<Uncaptured>,
    /// The domains seen, those with most connections first.
    pub domains: Vec<Domain>,
}

/// A domain that clients spoke to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Domain {
    /// Its name, or an address.
    pub name: String,
    /// Who called it so.
    pub known_by: KnownBy,
    /// Connections to it.
    pub connections: u64,
    /// Plain requests (`GET http://…`); those inside tunnels are not counted.
    pub requests: u64,
    /// What clients sent to it, in bytes; counted where domains are only discovered.
    pub sent: u64,
    /// What it sent, likewise.
    pub received: u64,
}

/// How a domain's name is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownBy {
    /// By the server name in TLS, the Host field, or the URL of a plain request.
    Name,
    /// By what was asked of the proxy with CONNECT alone, which may be an address.
    Connect,
}

/// How a capture is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Connections of clients right now.
    pub open: usize,
    /// Bytes that were passed on so far, both ways, as the ends meant them: without TLS where that is opened.
    pub bytes: u64,
    /// The size of the bundle so far.
    pub bundle: u64,
}

/// Connections to one host that were not captured for one reason.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Uncaptured {
    /// `host:port`.
    pub host: String,
    /// Why.
    pub reason: Reason,
    /// How many.
    pub connections: u64,
}
