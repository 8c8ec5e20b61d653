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
use crate::counters::Counters;
use crate::record::sink::ItemSink;
use crate::wire::pattern::HostFilter;
use std::sync::Arc;

/// State that all connections of a capture share.
pub(crate) struct Shared {
    /// True if traffic that was redirected to the port is served.
    pub(crate) transparent: bool,
    pub(crate) timeouts: Timeouts,
    pub(crate) stop: Stop,
    pub(crate) counters: Arc<Counters>,
    pub(crate) resources: Arc<Resources>,
    pub(crate) upstream: Upstream,
    pub(crate) own_page: OwnPage,
    /// `None` if domains are only discovered.
    pub(crate) capture: Option<Capture>,
}

/// State that is needed to capture.
pub(crate) struct Capture {
    pub(crate) filter: Arc<HostFilter>,
    pub(crate) sink: ItemSink,
    pub(crate) leaves: Leaves,
    pub(crate) server_tls: ServerTls,
    pub(crate) client_tls: ClientTls,
    pub(crate) passthrough: Arc<PassthroughCache>,
    pub(crate) refusals: Arc<Refusals>,
}

#[cfg(test)]
impl Shared {
    /// The state of a discovery that listens on `listen`.
    pub(crate) fn for_test(timeouts: Timeouts, listen: std::net::SocketAddr) -> Self {
        let resources = Arc::<Resources>::default();
        Self {
            transparent: false,
            timeouts,
            stop: Stop::new().unwrap(),
            counters: Arc::new(Counters::new(crate::config::Observer::default(), false)),
            upstream: Upstream::new(Box::new(super::upstream::Direct), listen, &resources),
            resources,
            own_page: OwnPage::default(),
            capture: None,
        }
    }
}
