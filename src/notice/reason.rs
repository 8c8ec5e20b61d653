//! The reasons why something was not captured.

use std::fmt;

/// The reason why a connection, or a part of one, is not in the bundle.
///
/// `Display` states it as a clause, without a remedy: `not HTTP`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Reason {
    /// The host matches no included pattern, or it matches an excluded one, or the filter does not select it.
    NotMatched,
    /// An excluded pattern matches the host of an exchange on a connection that is captured for another host. It is reported
    /// for the exchange's host, and its count is one of exchanges.
    ExchangeExcluded,
    /// A CONNECT on a captured connection, whose origin is another proxy. Its host is the one that this proxy connects to.
    NestedConnect,
    /// The client refused our certificate: it ended the handshake after it had received it; the TLS alert, or a clause.
    CertificateRefused(String),
    /// A client with the same kind of ClientHello refused our certificate for this host earlier, and such clients pass
    /// through ([`CaptureOptions::passthrough_refused`](crate::CaptureOptions::passthrough_refused)).
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
