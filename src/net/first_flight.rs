//! The first flight: the first bytes of a client after CONNECT, or of a client that was redirected here. They decide
//! how its connection is relayed.
//!
//! ```text
//! first bytes ─┬─ ClientHello, host matches ─▶ intercept ─▶ tunnel, tapped
//!              ├─ HTTP, host matches ─────────────────────▶ tunnel, tapped
//!              └─ anything else ──────────────────────────▶ tunnel, passed through, and reported
//! ```

use super::intercept;
use super::leg::Leg;
use super::shared::Shared;
use super::stop::Stop;
use super::sys::{self, Interest};
use super::tunnel::{self, Route, Tunnel};
use crate::clock::Moment;
use crate::notice::{NameSource, Reason};
use crate::wire::authority::Authority;
use crate::wire::client_hello::{self, ClientHello, Sni};
use crate::wire::http1::head;
use crate::wire::http1::head_scanner::starts_with_response;
use crate::wire::sniff::{Protocol, sniff, starts_with_settings};
use crate::wire::tap::Ending;
use std::os::fd::AsFd;
use std::time::Duration;

/// Reads the rest of the first flight and creates the connection's tunnel; returns `None` if the connection ended.
pub(crate) fn open(shared: &Shared, mut client: Leg, mut origin: Leg, route: Route) -> Option<Tunnel> {
    let flight = read(&mut client, &mut origin, route.authority.port, &shared.stop);
    let names = HostNames::new(&route.authority, &flight);
    let (domain, name_source) = names.best();
    shared.counters.add_connection(domain, name_source);
    let Some(capture) = &shared.capture else {
        return Some(tunnel::discovered(shared, client, origin, domain.to_owned()));
    };
    if !capture.filter.includes(names.all()) {
        shared.counters.add_uncaptured(&names.label(), Reason::NotMatched);
        return Some(tunnel::pass(shared, client, origin));
    }
    let reason = match flight {
        FirstFlight::Tls(hello) => return intercept::open(shared, capture, client, origin, route, &hello),
        FirstFlight::Http { .. } => return Some(tunnel::tapped(shared, capture, client, origin, route, None)),
        FirstFlight::Incomplete => Reason::Incomplete,
        FirstFlight::Other | FirstFlight::OriginFirst => Reason::NotHttp,
        // Without data, the bundle lacks nothing.
        FirstFlight::Empty => return Some(tunnel::pass(shared, client, origin)),
    };
    shared.counters.add_uncaptured(&names.label(), reason);
    Some(tunnel::pass(shared, client, origin))
}

/// The content of a first flight.
enum FirstFlight {
    Tls(ClientHello),
    /// HTTP without TLS, and the first request's Host field, if it is HTTP/1.
    Http {
        host: Option<Authority>,
    },
    /// Another protocol.
    Other,
    /// The origin sends first.
    OriginFirst,
    /// The flight was not complete before its timeout or its end.
    Incomplete,
    /// One side ended before any data, or the capture stops.
    Empty,
}

/// Reads the client's first flight. It stays unread in `client`, and data of the origin stays unread in `origin`.
fn read(client: &mut Leg, origin: &mut Leg, port: u16, stop: &Stop) -> FirstFlight {
    let mut deadline = None;
    loop {
        match classify(client.unread(), port) {
            Some(flight) => return flight,
            None if client.ended().is_some() && client.unread().is_empty() => return FirstFlight::Empty,
            None if client.ended().is_some() => return FirstFlight::Incomplete,
            None => {}
        }
        if !client.unread().is_empty() && deadline.is_none() {
            deadline = Some(Moment::now().plus(FIRST_FLIGHT_TIMEOUT));
        }
        let left = deadline.map(|deadline| deadline.since(Moment::now()));
        let wanted = [
            (stop.as_fd(), Interest::READ),
            (client.fd(), Interest::READ),
            (origin.fd(), Interest { read: origin.ended().is_none(), write: false }),
        ];
        let Ok([stopped, client_ready, origin_ready]) = sys::wait(wanted, left) else {
            return FirstFlight::Incomplete;
        };
        if stopped.read {
            return FirstFlight::Empty;
        }
        // Without TLS, receive cannot fail.
        if client_ready.read {
            let _ = client.receive(&mut |_| 0);
            continue;
        }
        if origin_ready.read {
            let _ = origin.receive(&mut |_| 0);
            if let Some(flight) = classify_origin(origin.unread(), origin.ended(), client.unread().is_empty()) {
                return flight;
            }
            if !origin.unread().is_empty() {
                deadline = deadline.or(Some(Moment::now().plus(FIRST_FLIGHT_TIMEOUT)));
            }
        }
        if left.is_some_and(|left| left.is_zero()) {
            return FirstFlight::Incomplete;
        }
    }
}

/// The content of a flight in which the origin sent `bytes` before the client's first bytes were complete; `None` while that
/// is undecided, also after a spurious wake-up (poll(2), "BUGS").
fn classify_origin(bytes: &[u8], ended: Option<Ending>, is_client_silent: bool) -> Option<FirstFlight> {
    if bytes.is_empty() {
        return ended.map(|_| if is_client_silent { FirstFlight::Empty } else { FirstFlight::Incomplete });
    }
    // An HTTP/2 server may send before the client's preface (RFC 9113 section 3.4), and an idle HTTP/1 server may send 408.
    let is_http = match (starts_with_settings(bytes), starts_with_response(bytes)) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (Some(false), Some(false)) => Some(false),
        (None, _) | (_, None) => None,
    };
    match is_http.or(ended.map(|_| false))? {
        true => Some(FirstFlight::Http { host: None }),
        false => Some(FirstFlight::OriginFirst),
    }
}

/// The content of the flight that starts with `bytes`; `None` while that is undecided. A Host field without a port has `port`,
/// as in the URL of its exchange.
fn classify(bytes: &[u8], port: u16) -> Option<FirstFlight> {
    match sniff(bytes) {
        Protocol::Undecided => None,
        Protocol::Tls => match client_hello::parse(bytes) {
            Ok(hello) => hello.map(FirstFlight::Tls),
            Err(_) => Some(FirstFlight::Other),
        },
        Protocol::Http1 => match head::parse_request(bytes) {
            Ok(request) => request.map(|(_, head)| {
                let host = head.headers.first("host").and_then(|host| Authority::from_host_header(host, port).ok());
                FirstFlight::Http { host }
            }),
            Err(_) => Some(FirstFlight::Other),
        },
        Protocol::Http2 => Some(FirstFlight::Http { host: None }),
        Protocol::Other => Some(FirstFlight::Other),
    }
}

/// The names by which a connection's host is known, with ports.
struct HostNames {
    /// The host that the client asked for: the target of CONNECT, or the SNI of a redirected client.
    requested: (String, u16),
    /// The SNI or the Host field.
    sent: Option<(String, u16)>,
}

impl HostNames {
    fn new(requested: &Authority, flight: &FirstFlight) -> Self {
        let sent = match flight {
            FirstFlight::Tls(ClientHello { server_name: Sni::Dns(name), .. }) => {
                Some((name.to_ascii_lowercase(), requested.port))
            }
            FirstFlight::Http { host: Some(host) } => Some((host.host.to_string(), host.port)),
            _ => None,
        };
        Self { requested: (requested.host.to_string(), requested.port), sent }
    }

    fn all(&self) -> impl Iterator<Item = (&str, u16)> {
        [Some(&self.requested), self.sent.as_ref()].into_iter().flatten().map(|(name, port)| (name.as_str(), *port))
    }

    /// The most specific name, and its source.
    fn best(&self) -> (&str, NameSource) {
        match &self.sent {
            Some((name, _)) => (name, NameSource::Name),
            None => (&self.requested.0, NameSource::Connect),
        }
    }

    /// `host:port` with that name.
    fn label(&self) -> String {
        format!("{}:{}", self.best().0, self.requested.1)
    }
}

/// Timeout for the rest of a first flight. After it, the connection passes through as it would without the proxy.
const FIRST_FLIGHT_TIMEOUT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_up_without_data_decides_nothing() {
        for is_client_silent in [true, false] {
            assert!(classify_origin(b"", None, is_client_silent).is_none());
        }
        assert!(matches!(classify_origin(b"", Some(Ending::Clean), true), Some(FirstFlight::Empty)));
        assert!(matches!(classify_origin(b"", Some(Ending::Clean), false), Some(FirstFlight::Incomplete)));
    }

    #[test]
    fn recognizes_origins_that_send_first() {
        for (bytes, is_http) in [
            (&b"\0\0\0\x04\0\0\0\0\0"[..], Some(true)),
            (b"\0\0", None),
            (b"HTTP/1.1 408 Slow\r\n", Some(true)),
            (b"HTTP", None),
            (b"HTTP/2", Some(false)),
            (b"220 ready\r\n", Some(false)),
        ] {
            let flight = classify_origin(bytes, None, true);
            let found = flight.map(|flight| matches!(flight, FirstFlight::Http { .. }));
            assert_eq!(found, is_http, "{}", bytes.escape_ascii());
            let ended = classify_origin(bytes, Some(Ending::Clean), true);
            assert!(matches!(ended, Some(FirstFlight::Http { .. })) == (is_http == Some(true)));
        }
    }
}
