//! What all connections of a capture share.

use super::connection::Patience;
use super::idle::Idle;
use super::stop::Stop;
use super::tls::{TowardsClients, TowardsOrigins};
use crate::cert::{CaCertificate, Leaves};
use crate::clock::Moment;
use crate::counters::Counters;
use crate::notice::Reason;
use crate::record::sink::ItemSink;
use crate::wire::authority::Authority;
use crate::wire::pattern::HostFilter;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What all connections of a capture share.
pub(crate) struct Shared {
    /// Where the proxy listens.
    pub(crate) listen: SocketAddr,
    /// Whether traffic that was redirected to the port is served.
    pub(crate) transparent: bool,
    pub(crate) patience: Patience,
    pub(crate) stop: Stop,
    pub(crate) idle: Idle,
    pub(crate) counters: Arc<Counters>,
    /// `None` where domains are only discovered.
    pub(crate) capture: Option<Capture>,
}

/// What it takes to capture.
pub(crate) struct Capture {
    pub(crate) filter: HostFilter,
    pub(crate) sink: ItemSink,
    pub(crate) leaves: Leaves,
    /// Our certificate, for the proxy's own page.
    pub(crate) ca: CaCertificate,
    pub(crate) towards_clients: TowardsClients,
    pub(crate) towards_origins: TowardsOrigins,
    pub(crate) unintercepted: Unintercepted,
    /// Whether a host passes through once a client refused our certificate for it.
    pub(crate) passthrough_refused: bool,
}

/// Origins that turned out not to be interceptable, so that each of their connections need not find out anew, at the price
/// of a handshake.
#[derive(Default)]
pub(crate) struct Unintercepted(Mutex<HashMap<Asked, (Reason, Lasting)>>);

/// How long an obstacle is remembered.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lasting {
    /// A while from this moment on: an origin may get another certificate.
    AWhile(Moment),
    /// As long as the capture.
    Always,
}

/// Where a client wants to go, and the server name it says.
type Asked = (Authority, Option<String>);

impl Unintercepted {
    /// Why `origin`, asked for `server_name`, is not intercepted, if that is known.
    pub(crate) fn reason(&self, origin: &Authority, server_name: Option<&str>, now: Moment) -> Option<Reason> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (reason, lasting) = known.get(&(origin.clone(), server_name.map(str::to_owned)))?;
        let holds = match lasting {
            Lasting::AWhile(since) => now.since(*since) < REMEMBERED,
            Lasting::Always => true,
        };
        holds.then(|| reason.clone())
    }

    /// From now on `origin`, asked for `server_name`, is not intercepted.
    pub(crate) fn add(&self, origin: &Authority, server_name: Option<&str>, reason: Reason, lasting: Lasting) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_REMEMBERED {
            known.clear();
        }
        known.insert((origin.clone(), server_name.map(str::to_owned)), (reason, lasting));
    }
}

/// Long enough to spare an app that comes again and again, short enough that a mended origin is captured the same day.
const REMEMBERED: Duration = Duration::from_secs(10 * 60);
/// A client that makes names up must not fill the memory.
const MOST_REMEMBERED: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_for_a_while() {
        let origin = Authority::from_connect_target(b"a.example:443").unwrap();
        let known = Unintercepted::default();
        let now = Moment::now();
        known.add(&origin, Some("a.example"), Reason::ClientCertificate, Lasting::AWhile(now));
        known.add(&origin, Some("b.example"), Reason::RefusedBefore, Lasting::Always);
        assert_eq!(known.reason(&origin, Some("a.example"), now), Some(Reason::ClientCertificate));
        assert_eq!(known.reason(&origin, None, now), None);
        assert_eq!(known.reason(&origin, Some("a.example"), now.plus(REMEMBERED)), None);
        assert_eq!(known.reason(&origin, Some("b.example"), now.plus(REMEMBERED)), Some(Reason::RefusedBefore));
    }
}
