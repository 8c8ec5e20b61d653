//! A tunnel: the two legs of a connection and the watcher of their relay. The watcher only counts bytes, or passes a
//! copy of them to a tap. A tunnel can be suspended while it is idle.
//!
//! ```text
//! pass     client ◀──▶ origin     bytes are counted
//! tapped   client ◀──▶ origin     a tap reads the plaintext, a recorder makes exchanges of it
//! ```
//!
//! `first_flight.rs` and `intercept.rs` decide which one a connection gets.

use super::intercepted_client::InterceptedClient;
use super::leg::Leg;
use super::relay::{Relay, RelayEnd, Watcher};
use super::shared::{Capture, Shared};
use super::stop::Stop;
use super::sys::Interest;
use crate::clock::Moment;
use crate::counters::{ByteCounter, Counters};
use crate::record::account::Account;
use crate::record::origin::{ConnectTiming, Origin};
use crate::record::recorder::Recorder;
use crate::wire::authority::Authority;
use crate::wire::http::HttpTap;
use crate::wire::tap::{Dir, Ending};
use std::os::fd::BorrowedFd;
use std::sync::Arc;

/// The destination of a connection.
pub(crate) struct Route {
    /// The origin that the client asked for, in CONNECT or by its SNI.
    pub(crate) authority: Authority,
    pub(crate) timing: ConnectTiming,
}

/// The two legs of a connection, ready to be relayed, and their watcher.
pub(crate) struct Tunnel {
    relay: Relay,
    watcher: Box<dyn TunnelWatcher>,
}

/// Watches a tunnel until its end.
trait TunnelWatcher: Watcher + Send {
    /// Called once, after the last relay.
    fn close(&mut self, end: RelayEnd, client: &mut Leg, origin: &mut Leg);
}

impl Tunnel {
    fn new(client: Leg, origin: Leg, watcher: impl TunnelWatcher + 'static) -> Self {
        Self { relay: Relay::new(client, origin), watcher: Box::new(watcher) }
    }

    /// Relays until the tunnel ends or is idle. Returns true if it is idle.
    pub(crate) fn relay(&mut self, stop: &Stop) -> bool {
        let end = self.relay.run(&mut *self.watcher, stop);
        if end == RelayEnd::Idle {
            return true;
        }
        self.watcher.close(end, &mut self.relay.client, &mut self.relay.origin);
        false
    }

    /// The events that it waits for while it is idle.
    pub(crate) fn interests(&self) -> [(BorrowedFd<'_>, Interest); 2] {
        self.relay.interests(&*self.watcher)
    }
}

/// Creates a tunnel that passes bytes through.
pub(crate) fn pass(shared: &Shared, client: Leg, origin: Leg) -> Tunnel {
    counted(shared, client, origin, None)
}

/// Creates a tunnel that passes bytes through and counts them for `domain`.
pub(crate) fn discovered(shared: &Shared, client: Leg, origin: Leg, domain: &str) -> Tunnel {
    counted(shared, client, origin, Some(domain))
}

fn counted(shared: &Shared, client: Leg, origin: Leg, domain: Option<&str>) -> Tunnel {
    Tunnel::new(client, origin, CountingWatcher(ByteCounter::new(Arc::clone(&shared.counters), domain)))
}

/// Counts bytes.
struct CountingWatcher(ByteCounter);

impl TunnelWatcher for CountingWatcher {
    fn close(&mut self, end: RelayEnd, client: &mut Leg, origin: &mut Leg) {
        if end == RelayEnd::Stopped {
            // A response may be incomplete, which must not look like a clean end.
            client.abort();
            origin.abort();
        }
    }
}

impl Watcher for CountingWatcher {
    fn bytes(&mut self, dir: Dir, bytes: &[u8]) -> usize {
        self.0.add(dir, bytes.len());
        bytes.len()
    }

    fn only_counts(&self) -> bool {
        true
    }

    fn count(&mut self, dir: Dir, bytes: usize) {
        self.0.add(dir, bytes);
    }

    fn end(&mut self, _: Dir, _: Ending) {}
}

/// Creates a tunnel of plaintext that a tap reads. `intercepted` is the client of a connection whose TLS is intercepted.
pub(crate) fn tapped(
    shared: &Shared,
    capture: &Capture,
    client: Leg,
    origin: Leg,
    route: Route,
    intercepted: Option<InterceptedClient>,
) -> Tunnel {
    let host = match &intercepted {
        Some(client) => client.label().to_owned(),
        None => route.authority.to_string(),
    };
    let recorded_origin =
        Origin { is_tls: intercepted.is_some(), authority: route.authority, connect_timing: Some(route.timing) };
    let account = Account::new(&shared.resources.recording);
    let recorder = Recorder::new(Box::new(HttpTap::new()), Some(capture.sink.clone()), recorded_origin, account)
        .excluding(Arc::clone(&capture.filter));
    let watcher =
        TapWatcher { recorder, counters: Arc::clone(&shared.counters), host, intercepted, is_interrupted: false };
    Tunnel::new(client, origin, watcher)
}

/// Passes the bytes to a recorder, and reports data that is not recorded.
struct TapWatcher {
    recorder: Recorder,
    counters: Arc<Counters>,
    /// `host:port`, for reports.
    host: String,
    /// The client, if its TLS is intercepted.
    intercepted: Option<InterceptedClient>,
    /// True if the stop of the capture interrupted an exchange.
    is_interrupted: bool,
}

impl TunnelWatcher for TapWatcher {
    fn close(&mut self, end: RelayEnd, client: &mut Leg, origin: &mut Leg) {
        if end == RelayEnd::Stopped {
            // An incomplete response must not look like a clean end.
            let how = if self.is_interrupted || !client.is_flushed() { Ending::Reset } else { Ending::Clean };
            client.end(how);
            origin.end(how);
        } else if let Some(intercepted) = &mut self.intercepted {
            intercepted.close(client.is_dead());
        }
    }
}

impl Watcher for TapWatcher {
    fn bytes(&mut self, dir: Dir, bytes: &[u8]) -> usize {
        match &mut self.intercepted {
            Some(client) => {
                self.recorder.data_observed(Moment::now(), dir, bytes, &mut |event| client.observe(event));
                client.relayed(dir);
            }
            None => self.recorder.data(Moment::now(), dir, bytes),
        }
        self.counters.add_bytes(bytes.len());
        self.report_unrecorded();
        bytes.len()
    }

    fn end(&mut self, dir: Dir, how: Ending) {
        self.is_interrupted |= how == Ending::Stopped && self.recorder.is_busy();
        if let Some(client) = &mut self.intercepted {
            client.end(dir, how);
        }
        self.recorder.end(Moment::now(), dir, how);
        self.report_unrecorded();
    }

    fn tls_failed(&mut self, dir: Dir, error: &rustls::Error) {
        match (dir, &mut self.intercepted) {
            (Dir::Up, Some(client)) => client.tls_failed(error),
            (Dir::Down, Some(client)) => client.origin_tls_failed(error),
            (_, None) => {}
        }
    }

    fn renegotiated(&mut self) {
        if let Some(client) = &mut self.intercepted {
            client.renegotiated();
        }
    }
}

impl TapWatcher {
    fn report_unrecorded(&mut self) {
        for reason in self.recorder.take_unrecorded() {
            self.counters.add_uncaptured(&self.host, reason);
        }
        for (host, reason) in self.recorder.take_exchange_reports() {
            self.counters.add_uncaptured(&host.to_string(), reason);
        }
    }
}
