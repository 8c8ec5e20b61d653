//! State that all connections of a capture share.

use super::own_page::OwnPage;
use super::passthrough_cache::PassthroughCache;
use super::refusals::Refusals;
use super::resources::Resources;
use super::stop::Stop;
use super::timeouts::Timeouts;
use super::tls::client::ClientTls;
use super::tls::server::ServerTls;
use super::upstream::Upstream;
use crate::cert::Leaves;
use crate::config::Transparent;
use crate::counters::Counters;
use crate::notice::Warning;
use crate::record::sink::ItemSink;
use crate::wire::credentials::Credentials;
use crate::wire::pattern::HostFilter;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// State that all connections of a capture share.
pub(crate) struct Shared {
    pub(crate) transparent: Transparent,
    /// The user and password that clients must send; `None` admits all.
    pub(crate) auth: Option<Credentials>,
    pub(crate) timeouts: Timeouts,
    pub(crate) stop: Stop,
    pub(crate) counters: Arc<Counters>,
    pub(crate) resources: Arc<Resources>,
    pub(crate) upstream: Upstream,
    pub(crate) client_tls: ClientTls,
    pub(crate) own_page: OwnPage,
    /// True once [`Warning::ClearHop`] was reported.
    pub(crate) is_clear_hop_reported: AtomicBool,
    /// `None` if domains are only discovered.
    pub(crate) capture: Option<Capture>,
}

/// State that is needed to capture.
pub(crate) struct Capture {
    pub(crate) filter: Arc<HostFilter>,
    pub(crate) sink: ItemSink,
    pub(crate) leaves: Leaves,
    pub(crate) server_tls: ServerTls,
    pub(crate) passthrough: Arc<PassthroughCache>,
    pub(crate) refusals: Arc<Refusals>,
}

impl Shared {
    /// Notes a request for an `https` URL that reached the proxy in the clear. Warns once unless the proxy listens on
    /// loopback.
    pub(crate) fn note_clear_hop(&self) {
        if !self.upstream.listens_on_loopback() && !self.is_clear_hop_reported.swap(true, Relaxed) {
            self.counters.warn(Warning::ClearHop);
        }
    }
}

#[cfg(test)]
use crate::wire::upstream::proxy::UpstreamProxies;

#[cfg(test)]
impl Shared {
    /// The state of a discovery that listens on `listen`.
    pub(crate) fn for_test(timeouts: Timeouts, listen: std::net::SocketAddr) -> Self {
        let resources = Arc::<Resources>::default();
        let stop = Stop::new().unwrap();
        Self {
            transparent: Transparent::Off,
            auth: None,
            timeouts,
            counters: Arc::new(Counters::new(crate::config::Observer::default(), false)),
            upstream: Upstream::new(
                UpstreamProxies::default(),
                crate::connector::Kind::System,
                vec![listen],
                &resources,
                &stop,
            ),
            stop,
            resources,
            client_tls: ClientTls::new(Vec::new(), None, &[], false, &[]).unwrap(),
            own_page: OwnPage::default(),
            is_clear_hop_reported: AtomicBool::new(false),
            capture: None,
        }
    }
}
