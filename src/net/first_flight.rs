//! The first flight: the first bytes of a client after CONNECT, or of a client that was redirected here. They decide
//! how its connection is relayed.
//!
//! ```text
//! first bytes ─┬─ ClientHello, host matches ─▶ intercept ─▶ tunnel, tapped
//!              ├─ HTTP, host matches ─────────────────────▶ tunnel, tapped
//!              └─ anything else ──────────────────────────▶ tunnel, passed through, and reported
//! ```
//!
//! A connection on which neither side has sent a byte may be silent for hours. Like a tunnel, it is idle then.

use super::intercept;
use super::leg::Leg;
use super::shared::Shared;
use super::stop::{Activity, Stop};
use super::sys::{self, Epoll, Interest};
use super::tunnel::{self, Route, Tunnel};
use crate::clock::Moment;
use crate::notice::{NameSource, Reason};
use crate::wire::authority::Authority;
use crate::wire::client_hello::{self, ClientHello, Sni};
use crate::wire::http1::head;
use crate::wire::http1::head_scanner::starts_with_response;
use crate::wire::sniff::{Protocol, sniff, starts_with_settings};
use crate::wire::tap::{Ending, Opaque};
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// A connection to an origin whose client has not sent its whole first flight.
pub(crate) struct PendingFlight {
    client: Leg,
    origin: Leg,
    route: Route,
    front_end: FrontEnd,
    /// The end of the flight's time; `None` until one side has sent a byte.
    deadline: Option<Moment>,
}

/// The way in which a client asked for its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrontEnd {
    Connect,
    Socks,
    /// A firewall redirected it.
    Redirect,
}

impl PendingFlight {
    /// Expects the first flight of `client`, of which some may be unread.
    pub(crate) fn new(client: Leg, origin: Leg, route: Route, front_end: FrontEnd) -> Self {
        Self { client, origin, route, front_end, deadline: None }
    }

    /// The host of a redirected plain request.
    pub(crate) fn redirected_host<'f>(&self, flight: &'f FirstFlight) -> Option<&'f Authority> {
        match flight {
            FirstFlight::Http { host } if self.front_end == FrontEnd::Redirect => host.as_ref(),
            _ => None,
        }
    }

    /// The client. The connection to the origin is closed.
    pub(crate) fn into_client(self) -> Leg {
        self.client
    }

    /// Reads the client's first flight. It stays unread in the client's leg, and data of the origin in the origin's.
    /// Returns `None` if the connection is idle.
    pub(crate) fn read(&mut self, stop: &Stop) -> Option<FirstFlight> {
        let Self { client, origin, deadline, .. } = self;
        let mut activity = Activity::new();
        loop {
            match classify(client.unread(), self.route.authority.port) {
                Some(flight) => return Some(flight),
                None if client.ended().is_some() && client.unread().is_empty() => return Some(FirstFlight::Empty),
                None if client.ended().is_some() => return Some(FirstFlight::Incomplete),
                None => {}
            }
            if !client.unread().is_empty() || !origin.unread().is_empty() {
                deadline.get_or_insert_with(|| Moment::now().plus(FIRST_FLIGHT_TIMEOUT));
            }
            let left = deadline.map(|deadline| deadline.since(Moment::now()));
            let [of_client, of_origin] = interests(client, origin);
            let wanted = [(activity.tick(stop), Interest::READ), of_client, of_origin];
            let Ok([ticked, client_ready, origin_ready]) = sys::wait(wanted, left) else {
                return Some(FirstFlight::Incomplete);
            };
            if ticked.read && stop.is_set() {
                return Some(FirstFlight::Empty);
            }
            let is_idle = activity.note(ticked.read, client_ready.read || origin_ready.read);
            // Without TLS, receive cannot fail.
            if client_ready.read {
                let _ = client.receive_unread();
                if !client.charge_unread() {
                    return Some(classify(client.unread(), self.route.authority.port).unwrap_or(FirstFlight::TooLarge));
                }
                continue;
            }
            if origin_ready.read {
                let _ = origin.receive_unread();
                let flight = classify_origin(origin.unread(), origin.ended(), client.unread().is_empty());
                if flight.is_some() {
                    return flight;
                }
            }
            if left.is_some_and(|left| left.is_zero()) {
                return Some(FirstFlight::Incomplete);
            }
            if is_idle && Epoll::IS_SUPPORTED {
                client.shrink();
                origin.shrink();
                return None;
            }
        }
    }

    /// Creates the connection's tunnel, which depends on `flight`; returns `None` if the connection ended.
    pub(crate) fn open(self, shared: &Shared, flight: FirstFlight) -> Option<Tunnel> {
        let Self { client, origin, route, .. } = self;
        let names = HostNames::new(&route.authority, &flight);
        let (domain, name_source) = names.best();
        shared.counters.add_connection(domain, name_source);
        let Some(capture) = &shared.capture else {
            return Some(tunnel::discovered(shared, client, origin, domain));
        };
        if !capture.filter.includes(names.all()) {
            shared.counters.add_uncaptured(&names.label(), Reason::NotMatched);
            return Some(tunnel::pass(shared, client, origin));
        }
        let reason = match flight {
            FirstFlight::Tls(hello) => return intercept::open(shared, capture, client, origin, route, &hello),
            FirstFlight::Http { .. } => return Some(tunnel::tapped(shared, capture, client, origin, route, None)),
            FirstFlight::Incomplete => Reason::Incomplete,
            FirstFlight::TooLarge => Reason::Opaque(Opaque::MemoryLimit),
            FirstFlight::Other | FirstFlight::OriginFirst => Reason::NotHttp,
            // Without data, the bundle lacks nothing.
            FirstFlight::Empty => return Some(tunnel::pass(shared, client, origin)),
        };
        shared.counters.add_uncaptured(&names.label(), reason);
        Some(tunnel::discovered(shared, client, origin, domain))
    }

    /// The events that it waits for while it is idle.
    pub(crate) fn interests(&self) -> [(BorrowedFd<'_>, Interest); 2] {
        interests(&self.client, &self.origin)
    }

    /// The time at which it must be served without an event.
    pub(crate) fn deadline(&self) -> Option<Moment> {
        self.deadline
    }
}

fn interests<'l>(client: &'l Leg, origin: &'l Leg) -> [(BorrowedFd<'l>, Interest); 2] {
    let of_origin = if origin.ended().is_none() { Interest::READ } else { Interest::default() };
    [(client.fd(), Interest::READ), (origin.fd(), of_origin)]
}

/// The content of a first flight.
pub(crate) enum FirstFlight {
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
    /// The flight is incomplete, and the memory limit leaves no room for more of it.
    TooLarge,
    /// One side ended before any data, or the capture stops.
    Empty,
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
