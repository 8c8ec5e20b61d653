//! What a capture is asked to do.

use crate::notice::Notice;
use crate::wire::pattern::Pattern;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

/// What a capture is asked to do. Start from [`Config::capture`] or [`Config::discover`] and set what differs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Where to listen; port 0 picks a free one. By default 127.0.0.1:8080.
    pub listen: SocketAddr,
    /// What to do with what is seen.
    pub mode: Mode,
    /// Hosts to capture; empty means all.
    pub include: Vec<Pattern>,
    /// Hosts not to capture, whatever `include` says.
    pub exclude: Vec<Pattern>,
    /// Accept any certificate from an origin.
    pub insecure: bool,
    /// PEM files with certificates to trust in origins, besides the machine's roots.
    pub upstream_ca: Vec<PathBuf>,
    /// The folder of the CA that signs our certificates; `None` is `.mitmproxy` in the home folder.
    pub ca_dir: Option<PathBuf>,
    /// Let a host pass through, for the rest of the capture, once a client refused our certificate for it: an app that pins its
    /// certificates works from its second try on.
    pub passthrough_refused: bool,
    /// About the most memory that the capture takes, in bytes. An eighth of it is for bodies, all together; what is more goes to
    /// files beside the bundle.
    pub memory: u64,
    /// The most that a body may decode to, in bytes; a larger one is kept as it was received.
    pub max_body: u64,
    /// Serve traffic that was redirected to the port: requests by their Host, TLS by its SNI to port 443.
    pub transparent: bool,
    /// Told what happens, from the capture's own threads: whatever it waits for, the capture waits for.
    pub on_notice: Observer,
}

impl Config {
    /// Captures into the bundle `output`.
    pub fn capture(output: impl Into<PathBuf>) -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080),
            mode: Mode::Capture { output: output.into() },
            include: Vec::new(),
            exclude: Vec::new(),
            insecure: false,
            upstream_ca: Vec::new(),
            ca_dir: None,
            passthrough_refused: false,
            memory: 64 << 20,
            max_body: 1 << 30,
            transparent: false,
            on_notice: Observer::default(),
        }
    }

    /// Passes everything through and only notes the domains.
    pub fn discover() -> Self {
        Self { mode: Mode::Discover, ..Self::capture("") }
    }
}

/// What to do with what is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Write a bundle.
    Capture {
        /// Its file. One that is there is kept under the same name with `.bak` at the end.
        output: PathBuf,
    },
    /// Note domains, intercept nothing, write nothing.
    Discover,
}

/// A function that is told each [`Notice`]; by default one that does nothing.
#[derive(Clone)]
pub struct Observer(Arc<dyn Fn(&Notice) + Send + Sync>);

impl Observer {
    /// Calls `f` from the capture's own threads.
    pub fn new(f: impl Fn(&Notice) + Send + Sync + 'static) -> Self {
        Self(Arc::new(f))
    }

    pub(crate) fn notify(&self, notice: &Notice) {
        (self.0)(notice);
    }
}

impl Default for Observer {
    fn default() -> Self {
        Self::new(|_| ())
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}
