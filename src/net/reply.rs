//! The replies of a front end. They report to the client whether the requested connection to an origin exists.
//!
//! ```text
//! request ─▶ upstream ─┬─▶ connected ───▶ first flight
//!                      ├─▶ refuse         the target is this proxy itself
//!                      └─▶ unreachable
//! ```
//!
//! A SOCKS front end is one more implementation of [`Reply`].

use super::dial::DialError;
use super::leg::Leg;
use super::response::Response;
use super::stop::Stop;
use crate::wire::authority::Authority;

/// Replies to a client that asked for a connection.
pub(crate) trait Reply {
    /// Replies that the connection exists.
    fn connected(&self, client: &mut Leg);

    /// Replies that the target is this proxy itself. Returns false if there is no such reply.
    fn refuse(&self, client: &mut Leg, stop: &Stop) -> bool;

    /// Replies that the origin cannot be reached.
    fn unreachable(&self, client: &mut Leg, authority: &Authority, why: &DialError, stop: &Stop);
}

/// Replies to CONNECT (RFC 9110 section 9.3.6).
#[derive(Clone, Copy, Debug)]
pub(crate) struct HttpConnect;

impl Reply for HttpConnect {
    fn connected(&self, client: &mut Leg) {
        client.send(b"HTTP/1.1 200 Connection established\r\n\r\n");
    }

    fn refuse(&self, client: &mut Leg, stop: &Stop) -> bool {
        Response::no_tunnel_to_itself().send(client, stop);
        true
    }

    fn unreachable(&self, client: &mut Leg, authority: &Authority, why: &DialError, stop: &Stop) {
        Response::unreachable(authority, why).send(client, stop);
    }
}

/// No reply: a redirected client does not know of the proxy. Without an origin its connection is closed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Redirected;

impl Reply for Redirected {
    fn connected(&self, _: &mut Leg) {}

    fn refuse(&self, _: &mut Leg, _: &Stop) -> bool {
        false
    }

    fn unreachable(&self, _: &mut Leg, _: &Authority, _: &DialError, _: &Stop) {}
}
