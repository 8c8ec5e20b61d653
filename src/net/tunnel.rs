//! After CONNECT, or a ClientHello that was redirected here: what the first bytes are decides whether the connection is
//! intercepted, read in the clear, or passes through.
//!
//! ```text
//! first bytes ─┬─ ClientHello, wanted ─▶ intercept ──▶ relay, tapped
//!              ├─ HTTP, wanted ──────────────────────▶ relay, tapped
//!              └─ all else ──────────────────────────▶ relay, untapped, and named
//! ```

use super::intercept;
use super::leg::Leg;
use super::relay::{Relayed, Watch, relay};
use super::shared::{Capture, Shared};
use super::stop::Stop;
use super::sys::{self, Interest, Epoll};
use crate::clock::Moment;
use crate::counters::{ByteCounter, Counters};
use crate::notice::{NameSource, Reason};
use crate::record::origin::{ConnectTiming, Origin};
use crate::record::recorder::Recorder;
use crate::wire::authority::Authority;
use crate::wire::client_hello::{self, ClientHello, Sni};
use crate::wire::http::HttpTap;
use crate::wire::http1::head;
use crate::wire::sniff::{Protocol, sniff, starts_with_settings};
use crate::wire::tap::{Dir, Ending};
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

/// Where a connection leads.
pub(crate) struct Route {
    /// What the client asked for, in CONNECT or by its SNI.
    pub(crate) authority: Authority,
    /// How long it took to get there.
    pub(crate) reached: ConnectTiming,
}

/// Both ends of a connection that are there to be relayed to each other, and who watches.
pub(crate) struct Tunnel {
    client: Leg,
    origin: Leg,
    watch: Box<dyn Watching>,
}

/// Watches a tunnel until its end.
trait Watching: Watch + Send {
    /// The relay is over, and how.
    fn part(&mut self, how: Relayed, client: &mut Leg, origin: &mut Leg);
}

impl Tunnel {
    /// Relays until it ends, or as long as something happens: then it is given back.
    pub(crate) fn relay(mut self, stop: &Stop) -> Option<Self> {
        match relay(&mut self.client, &mut self.origin, &mut *self.watch, stop) {
            Relayed::Idle => Some(self),
            how => {
                self.watch.part(how, &mut self.client, &mut self.origin);
                None
            }
        }
    }

    /// What something would happen on.
    pub(crate) fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        [self.client.fd(), self.origin.fd()].into_iter()
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.sockets()).finish()
    }
}

/// Makes a tunnel of a connection that has an origin and has said nothing yet, or not all of its first words; `None` if that
/// came to nothing.
pub(crate) fn open(shared: &Shared, mut client: Leg, mut origin: Leg, route: Route) -> Option<Tunnel> {
    let opening = opening(&mut client, &mut origin, &shared.stop);
    let names = Names::new(&route.authority, &opening);
    let (domain, name_source) = names.best();
    shared.counters.add_connection(domain, name_source);
    let Some(capture) = &shared.capture else {
        return Some(unread(shared, client, origin, Some(domain.to_owned())));
    };
    if !capture.filter.wants(names.all()) {
        shared.counters.add_uncaptured(&names.label(), Reason::NotMatched);
        return Some(pass(shared, client, origin));
    }
    let reason = match opening {
        Opening::Tls(hello) => return intercept::serve(shared, capture, client, origin, route, &hello),
        Opening::Http { .. } => return Some(tapped(shared, capture, client, origin, route, None)),
        Opening::Incomplete => Reason::Incomplete,
        Opening::Other | Opening::OriginFirst => Reason::NotHttp,
        // Nobody said anything: nothing is missing.
        Opening::Silent => return Some(pass(shared, client, origin)),
    };
    shared.counters.add_uncaptured(&names.label(), reason);
    Some(pass(shared, client, origin))
}

/// A tunnel in which nobody looks.
pub(crate) fn pass(shared: &Shared, client: Leg, origin: Leg) -> Tunnel {
    unread(shared, client, origin, None)
}

/// The same; the bytes are counted, for `domain` too if there is one.
fn unread(shared: &Shared, client: Leg, origin: Leg, domain: Option<String>) -> Tunnel {
    Tunnel { client, origin, watch: Box::new(Counting(ByteCounter::new(Arc::clone(&shared.counters), domain))) }
}

/// Counts, and sees nothing.
struct Counting(ByteCounter);

impl Watching for Counting {
    fn part(&mut self, how: Relayed, client: &mut Leg, origin: &mut Leg) {
        if how == Relayed::Stopped {
            // Nobody knows what was under way: half an answer must not look like a whole one.
            client.abort();
            origin.abort();
        }
    }
}

impl Watch for Counting {
    fn pass(&mut self, dir: Dir, bytes: &[u8]) -> usize {
        self.0.add(dir, bytes.len());
        bytes.len()
    }

    fn is_blind(&self) -> bool {
        true
    }

    fn passed_unseen(&mut self, dir: Dir, bytes: usize) {
        self.0.add(dir, bytes);
    }

    fn end(&mut self, _: Dir, _: Ending) {}

    fn may_rest(&self) -> bool {
        Epoll::IS_SUPPORTED
    }
}

/// A tunnel of plaintext that a tap reads along; what was TLS has a name, `host:port`.
pub(crate) fn tapped(
    shared: &Shared,
    capture: &Capture,
    client: Leg,
    origin: Leg,
    route: Route,
    tls_name: Option<String>,
) -> Tunnel {
    let tls = tls_name.is_some();
    let host = tls_name.unwrap_or_else(|| route.authority.to_string());
    let origin_of = Origin { is_tls: tls, authority: route.authority, connect_timing: Some(route.reached) };
    let recorder = Recorder::new(Box::new(HttpTap::new()), Some(capture.sink.clone()), origin_of);
    let watch = Tapped {
        recorder,
        counters: Arc::clone(&shared.counters),
        host,
        tls,
        was_cut: false,
        is_named: false,
        is_asked: false,
        first_to_end: None,
    };
    Tunnel { client, origin, watch: Box::new(watch) }
}

/// Shows the bytes to a recorder, and names what it does not understand.
struct Tapped {
    recorder: Recorder,
    counters: Arc<Counters>,
    host: String,
    /// Whether it was TLS.
    tls: bool,
    /// Whether the stop of the capture cut something off.
    was_cut: bool,
    is_named: bool,
    /// Whether the client said anything.
    is_asked: bool,
    /// Which direction ended before the other.
    first_to_end: Option<Dir>,
}

impl Watching for Tapped {
    fn part(&mut self, how: Relayed, client: &mut Leg, origin: &mut Leg) {
        if how == Relayed::Stopped {
            // Half an answer must not look like a whole one.
            let how = if self.was_cut || !client.is_flushed() { Ending::Reset } else { Ending::Clean };
            client.end(how);
            origin.end(how);
        } else if self.tls && !self.is_asked && self.first_to_end == Some(Dir::Up) {
            // Some clients finish the handshake before they judge the certificate.
            self.counters.add_uncaptured(&self.host, Reason::ClientLeft);
        }
    }
}

impl Watch for Tapped {
    fn pass(&mut self, dir: Dir, bytes: &[u8]) -> usize {
        self.recorder.data(Moment::now(), dir, bytes);
        self.counters.add_bytes(bytes.len());
        if dir == Dir::Up && !self.is_asked {
            self.is_asked = true;
            self.counters.add_captured(&self.host);
        }
        if let Some(why) = self.recorder.opaque().filter(|_| !self.is_named) {
            self.is_named = true;
            self.counters.add_uncaptured(&self.host, Reason::Opaque(why));
        }
        bytes.len()
    }

    fn end(&mut self, dir: Dir, how: Ending) {
        self.was_cut |= how == Ending::Stopped && self.recorder.is_busy();
        self.first_to_end.get_or_insert(dir);
        self.recorder.end(Moment::now(), dir, how);
    }

    fn may_rest(&self) -> bool {
        Epoll::IS_SUPPORTED
    }
}

/// What a connection turned out to be.
enum Opening {
    Tls(ClientHello),
    /// HTTP in the clear; whom the first request's Host field names, if it is HTTP/1.
    Http {
        host: Option<Authority>,
    },
    /// Bytes of another protocol.
    Other,
    /// The origin speaks before the client does.
    OriginFirst,
    /// The first words stayed incomplete.
    Incomplete,
    /// One side ended before anything was said.
    Silent,
}

/// Waits for the client's first words. They stay unread in `client`, whatever they are, and so does what the origin says.
fn opening(client: &mut Leg, origin: &mut Leg, stop: &Stop) -> Opening {
    let mut deadline = None;
    loop {
        let opening = judge(client.unread());
        match opening {
            Some(opening) => return opening,
            None if client.ended().is_some() && client.unread().is_empty() => return Opening::Silent,
            None if client.ended().is_some() => return Opening::Incomplete,
            None => {}
        }
        if !client.unread().is_empty() && deadline.is_none() {
            deadline = Some(Moment::now().plus(FIRST_FLIGHT));
        }
        let left = deadline.map(|deadline| deadline.since(Moment::now()));
        let wanted = [
            (stop.as_fd(), Interest::READ),
            (client.fd(), Interest::READ),
            (origin.fd(), Interest { read: origin.ended().is_none(), write: false }),
        ];
        let Ok([stopped, of_client, of_origin]) = sys::wait(wanted, left) else {
            return Opening::Incomplete;
        };
        if stopped.read {
            return Opening::Silent;
        }
        // In the clear neither can fail.
        if of_client.read {
            let _ = client.receive(&mut |_| 0);
            continue;
        }
        if of_origin.read {
            let _ = origin.receive(&mut |_| 0);
            match (origin.unread().is_empty(), client.unread().is_empty()) {
                (true, true) => return Opening::Silent,
                (true, false) => return Opening::Incomplete,
                // A server of HTTP/2 need not wait for its client's preface (RFC 9113 section 3.4).
                (false, _) => match starts_with_settings(origin.unread()) {
                    Some(true) => return Opening::Http { host: None },
                    None if origin.ended().is_none() => deadline = deadline.or(Some(Moment::now().plus(FIRST_FLIGHT))),
                    Some(false) | None => return Opening::OriginFirst,
                },
            }
        }
        if left.is_some_and(|left| left.is_zero()) {
            return Opening::Incomplete;
        }
    }
}

/// What the first bytes are, once that is sure.
fn judge(bytes: &[u8]) -> Option<Opening> {
    match sniff(bytes) {
        Protocol::Undecided => None,
        Protocol::Tls => match client_hello::parse(bytes) {
            Ok(hello) => hello.map(Opening::Tls),
            Err(_) => Some(Opening::Other),
        },
        Protocol::Http1 => match head::parse_request(bytes) {
            Ok(request) => request.map(|(_, head)| {
                let host = head.headers.first("host").and_then(|host| Authority::from_host_header(host, 80).ok());
                Opening::Http { host }
            }),
            Err(_) => Some(Opening::Other),
        },
        Protocol::Http2 => Some(Opening::Http { host: None }),
        Protocol::Other => Some(Opening::Other),
    }
}

/// By what names a connection's host is known.
struct Names {
    asked: (String, u16),
    /// The SNI or the Host field.
    said: Option<(String, u16)>,
}

impl Names {
    fn new(asked: &Authority, opening: &Opening) -> Self {
        let said = match opening {
            Opening::Tls(ClientHello { server_name: Sni::Dns(name), .. }) => {
                Some((name.to_ascii_lowercase(), asked.port))
            }
            Opening::Http { host: Some(host) } => Some((host.host.to_string(), host.port)),
            _ => None,
        };
        Self { asked: (asked.host.to_string(), asked.port), said }
    }

    fn all(&self) -> impl Iterator<Item = (&str, u16)> {
        [Some(&self.asked), self.said.as_ref()].into_iter().flatten().map(|(name, port)| (name.as_str(), *port))
    }

    /// The name that says most, and who said it.
    fn best(&self) -> (&str, NameSource) {
        match &self.said {
            Some((name, _)) => (name, NameSource::Name),
            None => (&self.asked.0, NameSource::Connect),
        }
    }

    /// `host:port` under that name.
    fn label(&self) -> String {
        format!("{}:{}", self.best().0, self.asked.1)
    }
}

/// A client that began a sentence has so long to end it; after that it gets what it would get without us.
const FIRST_FLIGHT: Duration = Duration::from_secs(2);
