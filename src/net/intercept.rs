//! TLS opened: the origin's handshake first, then the client's, in the protocol that the origin chose.
//!
//! ```text
//! client        proxy        origin
//!   │ ClientHello │             │
//!   │────────────▶│ ClientHello │   the client's own SNI and protocols
//!   │             │────────────▶│
//!   │             │◀───────────▶│   verified? readable? no certificate asked for?
//!   │             │             │     no: a new connection, the client's hello replayed, both speak directly
//!   │◀───────────▶│             │     yes: answered with a leaf of ours
//! ```
//!
//! Interception may only add a capture: until the first byte goes to the client, every obstacle ends in a connection that
//! passes through, and is named.

use super::dial::dial;
use super::leg::Leg;
use super::shared::{Capture, Lasting, Shared};
use super::stop::Stop;
use super::sys::{self, Interest};
use super::tls::server_name;
use super::tunnel::{self, Route, Tunnel};
use crate::clock::Moment;
use crate::notice::Reason;
use crate::wire::client_hello::{ClientHello, Sni};
use crate::wire::tap::Ending;
use rustls::{AlertDescription, CertificateError};
use std::os::fd::AsFd;
use std::time::Duration;

/// Makes a tunnel of a connection whose ClientHello is unread in `client`; `None` if that came to nothing.
pub(crate) fn serve(
    shared: &Shared,
    capture: &Capture,
    mut client: Leg,
    mut origin: Leg,
    mut route: Route,
    hello: &ClientHello,
) -> Option<Tunnel> {
    let sni = match &hello.server_name {
        Sni::Dns(name) => Some(name.as_str()),
        Sni::None | Sni::NotDnsName => None,
    };
    let label = match sni {
        Some(name) => format!("{}:{}", name.to_ascii_lowercase(), route.authority.port),
        None => route.authority.to_string(),
    };
    let name_it = |reason| shared.counters.add_uncaptured(&label, reason);

    let known = capture.unintercepted.reason(&route.authority, sni, Moment::now());
    let alpn = match foreseeable(hello).and_then(|alpn| known.map_or(Ok(alpn), Err)) {
        Ok(alpn) => alpn,
        Err(reason) => {
            name_it(reason);
            return Some(tunnel::pass(shared, client, origin));
        }
    };

    let began = Moment::now();
    if let Err(obstacle) = open_origin(shared, capture, &mut origin, &route, sni, alpn) {
        if obstacle.lasts {
            capture.unintercepted.add(&route.authority, sni, obstacle.reason.clone(), Lasting::AWhile(Moment::now()));
        }
        name_it(obstacle.reason);
        // An origin that serves one connection at a time would not hear the next one.
        drop(origin);
        return pass_anew(shared, client, &route);
    }
    route.reached.tls_ms = Moment::now().ms_since(began);

    match open_client(shared, capture, &mut client, &origin, &route, sni) {
        Ok(()) => Some(tunnel::tapped(shared, capture, client, origin, route, Some(label))),
        Err(Unopened::Untouched(reason)) => {
            name_it(reason);
            drop(origin);
            pass_anew(shared, client, &route)
        }
        Err(Unopened::Refused(reason)) => {
            let is_certificate = matches!(reason, Reason::CertificateRefused(_) | Reason::ClientLeft);
            if capture.passthrough_refused && is_certificate {
                capture.unintercepted.add(&route.authority, sni, Reason::RefusedBefore, Lasting::Always);
            }
            name_it(reason);
            client.fail();
            origin.end(Ending::Clean);
            None
        }
        Err(Unopened::Left) => {
            origin.end(Ending::Clean);
            None
        }
    }
}

/// The protocols to offer to the origin, or why the hello alone says that there is nothing to capture.
fn foreseeable(hello: &ClientHello) -> Result<Vec<Vec<u8>>, Reason> {
    if hello.server_name == Sni::NotDnsName {
        return Err(Reason::ClientTls("its server name is not a DNS name".into()));
    }
    if !hello.offers_modern_tls() {
        return Err(Reason::ClientTls("it offers no TLS version above 1.1".into()));
    }
    let known: Vec<_> = hello.alpn.iter().filter(|name| READABLE.contains(&name.as_slice())).cloned().collect();
    if known.is_empty() && !hello.alpn.is_empty() {
        // A few are named: a client may offer thousands.
        let offered: Vec<_> = hello.alpn.iter().take(NAMED).map(|name| String::from_utf8_lossy(name)).collect();
        let more = if hello.alpn.len() > NAMED { ", …" } else { "" };
        return Err(Reason::Protocol(offered.join(", ") + more));
    }
    Ok(known)
}

/// Why an origin is not intercepted.
struct Obstacle {
    reason: Reason,
    /// Whether the next connection would meet it again.
    lasts: bool,
}

/// The handshake with the origin.
fn open_origin(
    shared: &Shared,
    capture: &Capture,
    origin: &mut Leg,
    route: &Route,
    sni: Option<&str>,
    alpn: Vec<Vec<u8>>,
) -> Result<(), Obstacle> {
    let failed = |e: rustls::Error| Obstacle { lasts: is_lasting(&e), reason: origin_reason(&e) };
    let host = &route.authority.host;
    let (connection, asked) = capture.towards_origins.connection(sni, host, alpn).map_err(failed)?;
    origin.start_tls(connection, &[]).map_err(failed)?;
    match handshake(origin, &shared.stop) {
        // In TLS 1.3 the handshake succeeds without one, and the refusal comes after it, or along with its end.
        Ok(()) | Err(Unshaken::Tls(_) | Unshaken::Ended) if asked.is_raised() => {
            capture.towards_origins.forget(sni, host);
            Err(Obstacle { lasts: true, reason: Reason::ClientCertificate })
        }
        Ok(()) => Ok(()),
        Err(Unshaken::Tls(e)) => Err(failed(e)),
        Err(Unshaken::Ended) => Err(Obstacle {
            lasts: false,
            reason: Reason::OriginTls("it closed the connection during the handshake".into()),
        }),
        Err(Unshaken::TooSlow) => {
            Err(Obstacle { lasts: false, reason: Reason::OriginTls("its handshake took too long".into()) })
        }
    }
}

/// Why a client is not intercepted.
enum Unopened {
    /// Nothing was sent to it: it can still pass through.
    Untouched(Reason),
    /// It did not like what it got.
    Refused(Reason),
    /// It left without a word, or the capture stopped.
    Left,
}

/// The handshake with the client, in the protocol that `origin` chose.
fn open_client(
    shared: &Shared,
    capture: &Capture,
    client: &mut Leg,
    origin: &Leg,
    route: &Route,
    sni: Option<&str>,
) -> Result<(), Unopened> {
    let untouched = |why: String| Unopened::Untouched(Reason::ClientTls(why));
    let name = server_name(sni, &route.authority.host).map_err(|e| untouched(e.to_string()))?;
    let leaf = capture.leaves.certificate(&name, Moment::now().wall()).map_err(|e| untouched(e.to_string()))?;
    let chosen = origin.tls().and_then(|tls| tls.alpn_protocol());
    let connection = capture.towards_clients.connection(leaf, chosen).map_err(|e| untouched(e.to_string()))?;

    let first_flight = client.unread().to_vec();
    client.consume(first_flight.len());
    if let Err(e) = client.start_tls(connection, &first_flight) {
        client.stop_tls(first_flight);
        return Err(untouched(words(&e)));
    }
    match handshake(client, &shared.stop) {
        Ok(()) => Ok(()),
        Err(Unshaken::Tls(e)) => Err(Unopened::Refused(client_reason(&e))),
        Err(Unshaken::Ended) if shared.stop.is_now() => Err(Unopened::Left),
        Err(Unshaken::Ended) => Err(Unopened::Refused(Reason::ClientLeft)),
        Err(Unshaken::TooSlow) => Err(Unopened::Left),
    }
}

/// Client and origin speak directly, over a connection that has heard nothing yet.
fn pass_anew(shared: &Shared, client: Leg, route: &Route) -> Option<Tunnel> {
    // It was reachable a moment ago: if it is not, the client sees what it would see, an end.
    let dialled = dial(&route.authority, shared.listen, &shared.stop).ok()?;
    Some(tunnel::pass(shared, client, Leg::new(dialled.socket).ok()?))
}

/// Why a handshake came to nothing.
enum Unshaken {
    Tls(rustls::Error),
    /// The peer left, or the capture stopped.
    Ended,
    TooSlow,
}

/// Drives a handshake to its end. Application data that came along with its last flight stays unread.
fn handshake(leg: &mut Leg, stop: &Stop) -> Result<(), Unshaken> {
    let deadline = Moment::now().plus(HANDSHAKE);
    loop {
        leg.flush();
        if !leg.tls().is_some_and(|tls| tls.is_handshaking()) {
            return Ok(());
        }
        if leg.ended().is_some() || !leg.takes() {
            return Err(Unshaken::Ended);
        }
        let left = deadline.since(Moment::now());
        let interest = Interest { read: true, write: leg.owed() > 0 };
        match sys::wait([(stop.as_fd(), Interest::READ), (leg.fd(), interest)], Some(left)) {
            Ok([stopped, _]) if stopped.read => return Err(Unshaken::Ended),
            Ok([_, ready]) if ready.read => {
                if let Err(e) = leg.receive(&mut |_| 0) {
                    // The alert that says why.
                    leg.flush();
                    return Err(Unshaken::Tls(e));
                }
            }
            Ok(_) if left.is_zero() => return Err(Unshaken::TooSlow),
            Ok(_) => {}
            Err(_) => return Err(Unshaken::Ended),
        }
    }
}

/// Whether the next connection would fail in the same way, whatever its client offers. Most alerts do not say so: one may be
/// about this client's protocols, or a bad moment.
fn is_lasting(e: &rustls::Error) -> bool {
    match e {
        rustls::Error::InvalidCertificate(_) | rustls::Error::PeerIncompatible(_) => true,
        rustls::Error::AlertReceived(alert) => {
            matches!(alert, AlertDescription::ProtocolVersion | AlertDescription::InsufficientSecurity)
        }
        _ => false,
    }
}

fn origin_reason(e: &rustls::Error) -> Reason {
    match e {
        rustls::Error::InvalidCertificate(e) => Reason::OriginNotTrusted(match e {
            CertificateError::UnknownIssuer => "its issuer is unknown".into(),
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => "its certificate expired".into(),
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate is not valid yet".into()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "its certificate is for another name".into()
            }
            // `webpki` has a name for each thing that it does not like.
            CertificateError::Other(e) => format!("its certificate is not accepted: {}", e.0),
            e => e.to_string(),
        }),
        e => Reason::OriginTls(words(e)),
    }
}

/// What went wrong in TLS, in the words of its standard where it has some.
fn words(e: &rustls::Error) -> String {
    match e {
        rustls::Error::AlertReceived(alert) => format!("alert {}", alert_name(*alert)),
        rustls::Error::PeerIncompatible(_) => "no version, cipher suite or group in common".into(),
        e => e.to_string(),
    }
}

fn client_reason(e: &rustls::Error) -> Reason {
    match e {
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::AccessDenied
            | AlertDescription::InternalError
            | AlertDescription::DecryptError => Reason::CertificateRefused(alert_name(*alert)),
            alert => Reason::ClientTls(format!("alert {}", alert_name(*alert))),
        },
        e => Reason::ClientTls(words(e)),
    }
}

/// As RFC 8446 section 6 writes it: `unknown_ca`.
fn alert_name(alert: AlertDescription) -> String {
    let mut name = String::new();
    let text = format!("{alert:?}");
    let mut previous_is_lower = false;
    for c in text.chars() {
        if c.is_ascii_uppercase() && previous_is_lower {
            name.push('_');
        }
        previous_is_lower = c.is_ascii_lowercase();
        name.push(c.to_ascii_lowercase());
    }
    name
}

/// The application protocols that a tap reads.
const READABLE: [&[u8]; 3] = [b"h2", b"http/1.1", b"http/1.0"];
/// Of so many protocols that a client offers the names are told, 255 bytes each at most.
const NAMED: usize = 4;
/// As long as servers commonly wait for a handshake.
const HANDSHAKE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_have_the_names_of_the_standard() {
        for (alert, name) in [
            (AlertDescription::UnknownCA, "unknown_ca"),
            (AlertDescription::BadCertificate, "bad_certificate"),
            (AlertDescription::CertificateUnknown, "certificate_unknown"),
            (AlertDescription::ProtocolVersion, "protocol_version"),
        ] {
            assert_eq!(alert_name(alert), name);
        }
    }

    #[test]
    fn a_client_is_offered_what_a_tap_can_read() {
        let hello = |alpn: &[&[u8]]| ClientHello {
            server_name: Sni::None,
            alpn: alpn.iter().map(|name| name.to_vec()).collect(),
            versions: vec![0x0304],
        };
        assert_eq!(foreseeable(&hello(&[])), Ok(vec![]));
        assert_eq!(foreseeable(&hello(&[b"h2", b"http/1.1"])), Ok(vec![b"h2".to_vec(), b"http/1.1".to_vec()]));
        assert_eq!(foreseeable(&hello(&[b"x", b"http/1.1", b"h2"])), Ok(vec![b"http/1.1".to_vec(), b"h2".to_vec()]));
        assert_eq!(foreseeable(&hello(&[b"h3", b"x"])), Err(Reason::Protocol("h3, x".into())));
    }
}
