//! Interception of TLS: first the handshake with the origin, then the one with the client, with the protocol (ALPN)
//! that the origin selected.
//!
//! ```text
//! client        proxy        origin
//!   │ ClientHello │             │
//!   │────────────▶│ ClientHello │   with the client's SNI and its protocols
//!   │             │────────────▶│
//!   │             │◀───────────▶│   is the origin verified, no client certificate missing, the protocol supported?
//!   │             │             │     no: a new connection, to which the client's ClientHello passes through
//!   │◀───────────▶│             │     yes: the handshake with the client, with a leaf certificate of ours
//! ```
//!
//! Invariant: interception never makes an origin unreachable. Until the first byte is sent to the client, every obstacle
//! makes the connection pass through, and is reported.

use super::alpn;
use super::handshake::{HandshakeError, handshake};
use super::intercepted_client::InterceptedClient;
use super::leg::Leg;
use super::refusals::Sign;
use super::shared::{Capture, Shared};
use super::tls::certificate_request::CertificateRequest;
use super::tls::failures::{
    alert_name, describe, is_about_certificate, is_lasting, may_reject_certificate, origin_reason,
};
use super::tls::server_name;
use super::tunnel::{self, Route, Tunnel};
use crate::cert::LeafError;
use crate::clock::Moment;
use crate::notice::Reason;
use crate::wire::client_hello::{ClientHello, Sni};
use crate::wire::tap::Ending;
use rustls::pki_types::InvalidDnsNameError;
use rustls::{HandshakeKind, ProtocolVersion};
use std::error::Error;
use std::fmt;

/// Creates the tunnel of a connection whose ClientHello is unread in `client`; `None` if the connection ended.
pub(crate) fn open(
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
    let mut intercepted = InterceptedClient::new(shared, capture, label, route.authority.clone(), sni, hello);

    let cached_reason = match intercepted.passes_through() {
        true => Some(Reason::RefusedBefore),
        false => capture.passthrough.reason(&route.authority, sni, &hello.alpn, Moment::now()),
    };
    let offer = match (offer_to_origin(hello), cached_reason) {
        (Ok(offer), None) => offer,
        (Err(reason), _) | (Ok(_), Some(reason)) => {
            intercepted.report(reason);
            return Some(tunnel::pass(shared, client, origin));
        }
    };

    let began = Moment::now();
    if let Err(obstacle) = handshake_with_origin(shared, &mut origin, &route, sni, offer) {
        shared.client_tls.forget(sni, &route.authority);
        if shared.stop.is_set() {
            // The handshake was interrupted, which is no obstacle; no new connection is possible either.
            return None;
        }
        let (reason, now) = (obstacle.reason.clone(), Moment::now());
        match obstacle.concerns {
            Concerns::Connection => {}
            Concerns::Offer => capture.passthrough.add_for_offer(&route.authority, sni, &hello.alpn, reason, now),
            Concerns::Origin => capture.passthrough.add(&route.authority, sni, reason, now),
        }
        intercepted.report(obstacle.reason);
        // Closed first: an origin that serves one connection at a time would not accept the next one.
        drop(origin);
        return pass_on_new_connection(shared, client, &route);
    }
    route.timing.tls_ms = Moment::now().ms_since(began);

    // Meanwhile another connection of this client may have shown that it refuses our certificate.
    if intercepted.passes_through() {
        intercepted.report(Reason::RefusedBefore);
        drop(origin);
        return pass_on_new_connection(shared, client, &route);
    }
    // It may have left, too. Without TLS, receive cannot fail.
    let _ = client.receive_unread();
    if client.ended().is_some() {
        intercepted.report(Reason::ClientLeft);
        origin.end(Ending::Clean);
        return None;
    }

    match handshake_with_client(shared, capture, &mut client, &origin, &route, sni) {
        Ok(()) => {
            intercepted.connected(is_resumed(&client), client.tls().and_then(|tls| tls.alpn_protocol()));
            let is_tls13 = origin.tls().is_some_and(|tls| tls.protocol_version() == Some(ProtocolVersion::TLSv1_3));
            if is_tls13 && shared.client_tls.has_certificate(sni, &route.authority) {
                intercepted.expect_rejection();
            }
            if hello.offers_post_handshake_auth && is_tls13 {
                intercepted.prevent_late_request();
            }
            Some(tunnel::tapped(shared, capture, client, origin, route, Some(intercepted)))
        }
        Err(ClientHandshakeError::Handshake(error)) => {
            note_failure(&mut intercepted, &client, &error);
            if !matches!(error, HandshakeError::Stopped) {
                client.fail();
            }
            origin.end(Ending::Clean);
            None
        }
        // Nothing was sent to the client.
        Err(error) => {
            intercepted.report(Reason::ClientTls(error.to_string()));
            drop(origin);
            pass_on_new_connection(shared, client, &route)
        }
    }
}

/// The protocols to offer to the origin, or the reason why this ClientHello cannot be intercepted.
fn offer_to_origin(hello: &ClientHello) -> Result<Vec<Vec<u8>>, Reason> {
    if hello.server_name == Sni::NotDnsName {
        return Err(Reason::ClientTls("its server name is not a DNS name".into()));
    }
    if !hello.offers_modern_tls() {
        return Err(Reason::ClientTls("it offers no TLS version above 1.1".into()));
    }
    alpn::offer(&hello.alpn)
}

/// The reason why an origin cannot be intercepted.
struct Obstacle {
    reason: Reason,
    concerns: Concerns,
}

/// The connections that have the same obstacle.
enum Concerns {
    /// Perhaps only this one.
    Connection,
    /// Those of clients that offer the same protocols.
    Offer,
    /// All connections to this origin.
    Origin,
}

/// Performs the handshake with the origin.
fn handshake_with_origin(
    shared: &Shared,
    origin: &mut Leg,
    route: &Route,
    sni: Option<&str>,
    offer: Vec<Vec<u8>>,
) -> Result<(), Obstacle> {
    let failed = |e: rustls::Error| Obstacle {
        concerns: if is_lasting(&e) { Concerns::Origin } else { Concerns::Connection },
        reason: origin_reason(&e),
    };
    let (session, watch) = shared.client_tls.session(sni, &route.authority, offer, Moment::now()).map_err(failed)?;
    origin.start_tls(session, &[]).map_err(failed)?;
    let result = handshake(origin, &shared.stop);
    origin.flush();
    match result {
        // In TLS 1.3 our handshake succeeds without a client certificate; the origin's alert arrives at the end of the
        // handshake or later.
        Ok(()) | Err(HandshakeError::Tls(_) | HandshakeError::Ended | HandshakeError::Stopped)
            if watch.request() == CertificateRequest::Unanswered =>
        {
            Err(Obstacle { concerns: Concerns::Origin, reason: Reason::ClientCertificate })
        }
        Err(HandshakeError::Tls(rustls::Error::AlertReceived(alert)))
            if watch.request() == CertificateRequest::Answered && may_reject_certificate(alert) =>
        {
            let reason = Reason::ClientCertificateRejected(alert_name(alert));
            Err(Obstacle { concerns: Concerns::Origin, reason })
        }
        Ok(()) => {
            let Some(tls) = origin.tls() else { return Ok(()) };
            shared.client_tls.check_handshake(tls, sni, &route.authority, Moment::now()).map_err(failed)?;
            match tls.alpn_protocol() {
                Some(chosen) if !alpn::is_supported(chosen) => {
                    Err(Obstacle { concerns: Concerns::Offer, reason: alpn::unsupported(&[chosen]) })
                }
                _ => Ok(()),
            }
        }
        Err(HandshakeError::Tls(e)) => Err(failed(e)),
        Err(e) => Err(Obstacle { concerns: Concerns::Connection, reason: Reason::OriginTls(e.to_string()) }),
    }
}

/// The reason why a client cannot be intercepted.
#[derive(Debug)]
enum ClientHandshakeError {
    /// The host is not a valid DNS name. Nothing was sent.
    Name(InvalidDnsNameError),
    /// There is no leaf certificate for the name. Nothing was sent.
    Leaf(LeafError),
    /// rustls rejected the configuration or the ClientHello. Nothing was sent.
    ClientHello(rustls::Error),
    /// The handshake failed after it had begun.
    Handshake(HandshakeError),
}

impl fmt::Display for ClientHandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(_) => f.write_str("its host is not a DNS name"),
            Self::Leaf(cause) => cause.fmt(f),
            Self::ClientHello(cause) => f.write_str(&describe(cause)),
            Self::Handshake(cause) => cause.fmt(f),
        }
    }
}

impl Error for ClientHandshakeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Name(cause) => Some(cause),
            Self::Leaf(cause) => Some(cause),
            Self::ClientHello(cause) => Some(cause),
            Self::Handshake(cause) => Some(cause),
        }
    }
}

/// Performs the handshake with the client, with the protocol that `origin` selected.
fn handshake_with_client(
    shared: &Shared,
    capture: &Capture,
    client: &mut Leg,
    origin: &Leg,
    route: &Route,
    sni: Option<&str>,
) -> Result<(), ClientHandshakeError> {
    let name = server_name(sni, &route.authority.host).map_err(ClientHandshakeError::Name)?;
    let leaf = capture.leaves.certificate(&name, Moment::now().wall()).map_err(ClientHandshakeError::Leaf)?;
    let alpn = origin.tls().and_then(|tls| tls.alpn_protocol());
    let session = capture.server_tls.session(leaf, alpn).map_err(ClientHandshakeError::ClientHello)?;

    let first_flight = client.unread().to_vec();
    client.consume(first_flight.len());
    if let Err(e) = client.start_tls(session, &first_flight) {
        client.stop_tls(first_flight);
        return Err(ClientHandshakeError::ClientHello(e));
    }
    handshake(client, &shared.stop).map_err(ClientHandshakeError::Handshake)?;
    if client.tls().is_some_and(|tls| tls.protocol_version() == Some(ProtocolVersion::TLSv1_3)) {
        // Only session tickets are pending. They leave with the first response: a client that closes with unread tickets
        // sends RST instead of FIN, and its kernel drops the end of its request.
        client.defer_pending();
    } else {
        client.flush();
    }
    Ok(())
}

/// Passes the client through to the origin on a new connection, which has seen no handshake of ours.
fn pass_on_new_connection(shared: &Shared, client: Leg, route: &Route) -> Option<Tunnel> {
    // The origin was reachable a moment ago. If it is not now, the client sees the end that it would see without the
    // proxy.
    let connected = shared.upstream.connect(&route.authority, &shared.stop).ok()?;
    Some(tunnel::pass(shared, client, connected.leg))
}

/// True if the client resumed a session.
fn is_resumed(client: &Leg) -> bool {
    client.tls().and_then(|tls| tls.handshake_kind()) == Some(HandshakeKind::Resumed)
}

/// Notes the failure of the handshake with `client`. Once it has received our certificate, any end of it is a refusal.
fn note_failure(intercepted: &mut InterceptedClient, client: &Leg, error: &HandshakeError) {
    let is_certificate_sent = client.tls().is_some_and(|tls| match tls.handshake_kind() {
        Some(HandshakeKind::Full) => true,
        // Without the second ClientHello, no key exchange is complete.
        Some(HandshakeKind::FullWithHelloRetryRequest) => tls.negotiated_key_exchange_group().is_some(),
        Some(HandshakeKind::Resumed) | None => false,
    });
    match error {
        HandshakeError::Tls(rustls::Error::AlertReceived(alert)) if is_certificate_sent => {
            let sign = if is_about_certificate(*alert) { Sign::CertificateAlert } else { Sign::AtOnce };
            intercepted.refuse(sign, alert_name(*alert));
        }
        HandshakeError::Ended if is_certificate_sent => {
            let is_reset = client.ended() == Some(Ending::Reset);
            let how = if is_reset { "it reset the connection" } else { "it closed the connection" };
            intercepted.refuse(Sign::AtOnce, how.into());
        }
        HandshakeError::Ended => intercepted.report(Reason::ClientLeft),
        HandshakeError::Tls(_) | HandshakeError::Timeout => {
            intercepted.report(Reason::ClientTls(error.to_string()));
        }
        HandshakeError::Stopped => {}
    }
}
