//! The replies of a front end. They report to the client whether the requested connection to an origin exists.
//!
//! ```text
//! request ─▶ upstream ─┬─▶ connected ───▶ first flight
//!                      ├─▶ refuse         the target is this proxy itself
//!                      └─▶ unreachable
//! ```
//!
use super::dial::DialError;
use super::leg::Leg;
use super::relay;
use super::response::Response;
use super::stop::Stop;
use crate::wire::authority::Authority;
use crate::wire::socks5_server::{ReplyCode, reply};
use std::io::ErrorKind;

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

/// Replies to a SOCKS5 request (RFC 1928 section 6).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Socks5;

impl Reply for Socks5 {
    fn connected(&self, client: &mut Leg) {
        client.send(&reply(ReplyCode::Succeeded));
    }

    fn refuse(&self, client: &mut Leg, stop: &Stop) -> bool {
        close_with(ReplyCode::NotAllowed, client, stop);
        true
    }

    fn unreachable(&self, client: &mut Leg, _: &Authority, why: &DialError, stop: &Stop) {
        close_with(code(why), client, stop);
    }
}

fn close_with(code: ReplyCode, client: &mut Leg, stop: &Stop) {
    client.send(&reply(code));
    relay::close(client, stop);
}

fn code(why: &DialError) -> ReplyCode {
    match why {
        DialError::Ourselves => ReplyCode::NotAllowed,
        DialError::Resolve(_) => ReplyCode::HostUnreachable,
        DialError::Connect(cause) => match cause.kind() {
            ErrorKind::ConnectionRefused => ReplyCode::ConnectionRefused,
            ErrorKind::NetworkUnreachable => ReplyCode::NetworkUnreachable,
            ErrorKind::HostUnreachable | ErrorKind::TimedOut => ReplyCode::HostUnreachable,
            _ => ReplyCode::GeneralFailure,
        },
        DialError::Upstream { .. } | DialError::Stopped => ReplyCode::GeneralFailure,
    }
}

/// No reply: a redirected client does not know of the proxy. Without an origin its connection is reset.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Redirected;

impl Reply for Redirected {
    fn connected(&self, _: &mut Leg) {}

    fn refuse(&self, _: &mut Leg, _: &Stop) -> bool {
        false
    }

    fn unreachable(&self, client: &mut Leg, _: &Authority, _: &DialError, _: &Stop) {
        client.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn socks_clients_learn_the_cause() {
        for (kind, expected) in [
            (ErrorKind::ConnectionRefused, ReplyCode::ConnectionRefused),
            (ErrorKind::NetworkUnreachable, ReplyCode::NetworkUnreachable),
            (ErrorKind::HostUnreachable, ReplyCode::HostUnreachable),
            (ErrorKind::TimedOut, ReplyCode::HostUnreachable),
            (ErrorKind::PermissionDenied, ReplyCode::GeneralFailure),
        ] {
            assert_eq!(code(&DialError::Connect(kind.into())), expected);
        }
        assert_eq!(code(&DialError::Resolve(ErrorKind::NotFound.into())), ReplyCode::HostUnreachable);
        assert_eq!(code(&DialError::Ourselves), ReplyCode::NotAllowed);
    }
}
