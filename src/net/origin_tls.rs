//! The connection to the origin of a plain request, with TLS if its URL is one of `https` or `wss`.
//!
//! ```text
//! client ── GET https://h/ (in the clear) ──▶ proxy ── TLS: SNI h, ALPN http/1.1 ──▶ h:443
//! ```
//!
//! Here the proxy is the origin's client: it verifies the origin, and nothing can pass through. The client gets a 502 with
//! the reason if the origin is not trusted.

use super::dial::DialError;
use super::handshake::{HandshakeError, handshake};
use super::leg::Leg;
use super::shared::Shared;
use super::tls::certificate_request::CertificateRequest;
use super::tls::failures::{describe, origin_reason};
use super::upstream::Connected;
use crate::clock::Moment;
use crate::notice::Reason;
use crate::wire::authority::{Authority, Host};
use std::error::Error;
use std::fmt;

/// Connects to the origin `authority`, with TLS if `is_tls`.
pub(crate) fn connect(shared: &Shared, authority: &Authority, is_tls: bool) -> Result<Connected, ConnectError> {
    let upstream = &shared.upstream;
    let connected = match is_tls {
        true => upstream.connect(authority, &shared.stop),
        false => upstream.connect_plain(authority, &shared.stop),
    };
    let mut connected = connected.map_err(ConnectError::Dial)?;
    if is_tls {
        let began = Moment::now();
        start_tls(shared, authority, &mut connected.leg).map_err(ConnectError::Tls)?;
        connected.timing.tls_ms = Moment::now().ms_since(began);
    }
    Ok(connected)
}

/// Performs the handshake. An origin that requests a client certificate gets ours, if there is one for it, or none; it decides
/// whether it serves the client.
fn start_tls(shared: &Shared, authority: &Authority, origin: &mut Leg) -> Result<(), HandshakeError> {
    let sni = match &authority.host {
        // RFC 6066 section 3: without the final dot.
        Host::Name(name) => Some(name.strip_suffix('.').unwrap_or(name)),
        Host::V4(_) | Host::V6(_) => None,
    };
    let tls = &shared.client_tls;
    let (session, watch) =
        tls.session(sni, authority, vec![b"http/1.1".to_vec()], Moment::now()).map_err(HandshakeError::Tls)?;
    let done = origin.start_tls(session, &[]).map_err(HandshakeError::Tls).and_then(|()| {
        handshake(origin, &shared.stop)?;
        origin.flush();
        let Some(session) = origin.tls() else { return Ok(()) };
        tls.check_handshake(session, sni, authority, Moment::now()).map_err(HandshakeError::Tls)
    });
    // An intercepted client may have a certificate. It must not resume a session without one.
    if done.is_err() || watch.request() == CertificateRequest::Unanswered {
        tls.forget(sni, authority);
    }
    done
}

/// The reason why there is no connection to an origin. `Display` is a clause about the origin.
#[derive(Debug)]
pub(crate) enum ConnectError {
    /// There is no TCP connection.
    Dial(DialError),
    /// The TLS handshake failed, or the certificate is not trusted.
    Tls(HandshakeError),
}

impl ConnectError {
    /// The reason to report; `None` if the capture stops.
    pub(crate) fn reason(&self) -> Option<Reason> {
        match self {
            Self::Dial(DialError::Stopped) | Self::Tls(HandshakeError::Stopped) => None,
            Self::Tls(HandshakeError::Tls(cause)) => match origin_reason(cause) {
                Reason::OriginNotTrusted(cause) => Some(Reason::OriginRejected(cause)),
                _ => Some(Reason::Unreachable(self.to_string())),
            },
            Self::Dial(_) | Self::Tls(_) => Some(Reason::Unreachable(self.to_string())),
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dial(cause) => cause.fmt(f),
            Self::Tls(HandshakeError::Tls(rustls::Error::InvalidCertificate(cause))) => {
                let cause = describe(&rustls::Error::InvalidCertificate(cause.clone()));
                write!(f, "this machine does not trust its certificate ({cause})")
            }
            Self::Tls(cause) => write!(f, "the TLS handshake failed ({cause})"),
        }
    }
}

impl Error for ConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Dial(cause) => Some(cause),
            Self::Tls(cause) => Some(cause),
        }
    }
}
