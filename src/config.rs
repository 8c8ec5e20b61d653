//! The settings of a capture.

use crate::notice::Notice;
use crate::wire::credentials::Credentials;
use crate::wire::pattern::Pattern;
use crate::wire::upstream::proxy::UpstreamProxies;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The settings of a capture. Start from [`Config::capture`] or [`Config::discover`] and set the fields that differ.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The address to listen on, 127.0.0.1:8080 by default. Port 0 selects a free port.
    pub listen: SocketAddr,
    /// Capture or discovery.
    pub mode: Mode,
    /// Hosts to capture. Empty means all.
    pub include: Vec<Pattern>,
    /// Hosts not to capture, even if `include` matches them.
    pub exclude: Vec<Pattern>,
    /// Accepts any certificate from an origin.
    pub insecure: bool,
    /// PEM files with certificates to trust in origins, in addition to the roots of this machine.
    pub upstream_ca: Vec<PathBuf>,
    /// The proxies through which origins are reached. None by default: the library reads no environment variables for them.
    /// One that is this proxy itself is ignored ([`Proxy::upstream_proxies`](crate::Proxy::upstream_proxies)).
    pub upstream_proxies: UpstreamProxies,
    /// Certificates for origins that request one of their clients. Connections to such origins are captured instead of passed
    /// through, and all clients of the proxy act with these certificates. It is an error if others than this machine could,
    /// without `auth`.
    pub client_certificates: Vec<ClientCertificate>,
    /// The folder of the CA that signs our certificates. `None` means `.mitmproxy` in the home folder.
    pub ca_dir: Option<PathBuf>,
    /// Passes a client's connections to a host through, for the rest of the capture, after it refused our certificate
    /// for that host. An app that pins its certificates then works from its second connection on; from its third if it
    /// closes the first without an alert, and later than a quarter of a second after the handshake. Clients
    /// with another kind of ClientHello are still captured.
    pub passthrough_refused: bool,
    /// The memory limit of the capture, in bytes, for what grows with its traffic: bodies, the queue to the writer,
    /// exchanges in progress, unsent bytes and decoders. The process takes up to 16 MB more, and 40 KB for each open
    /// connection. Bodies that do not fit go to a file beside the bundle. A connection whose exchanges in progress do not
    /// fit is recorded up to there ([`Opaque::MemoryLimit`](crate::Opaque::MemoryLimit)).
    pub memory: u64,
    /// The largest size to which a body is decoded, in bytes. A body that would exceed it is stored as received.
    pub max_body: u64,
    /// Writes several bundles, one after the other; `None` writes one. The number of each is inserted into the file name:
    /// `capture-0001.zip`. Numbers continue after the highest one that is there.
    pub rotate: Option<Rotate>,
    /// The number of finished bundles to keep if the capture rotates; `None` keeps all. Older ones are deleted, but only
    /// those that this capture wrote.
    pub keep: Option<NonZeroU32>,
    /// The treatment of traffic that a firewall redirects to the port.
    pub transparent: Transparent,
    /// The user and password that clients must send, in Basic (RFC 7617) or SOCKS5 (RFC 1929). `None` admits anyone who can
    /// connect. The proxy's own page needs no password. Redirected clients cannot send one: it is an error beside
    /// `transparent`.
    pub auth: Option<Credentials>,
    /// The file to which the secrets of all TLS sessions with clients and origins are appended, in NSS form (`SSLKEYLOGFILE`).
    /// Anyone who can read it can decrypt the traffic. It is created with mode 0600; symbolic links are not followed.
    pub key_log: Option<PathBuf>,
    /// Receives each notice, on the capture's own threads. While it blocks, the capture blocks.
    pub on_notice: Observer,
}

impl Config {
    /// The settings for a capture into the bundle `output`.
    pub fn capture(output: impl Into<PathBuf>) -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080),
            mode: Mode::Capture { output: output.into() },
            include: Vec::new(),
            exclude: Vec::new(),
            insecure: false,
            upstream_ca: Vec::new(),
            upstream_proxies: UpstreamProxies::default(),
            client_certificates: Vec::new(),
            ca_dir: None,
            passthrough_refused: false,
            memory: 64 << 20,
            max_body: 1 << 30,
            rotate: None,
            keep: None,
            transparent: Transparent::Off,
            auth: None,
            key_log: None,
            on_notice: Observer::default(),
        }
    }

    /// The settings for discovery: all connections pass through, and only their domains are reported.
    pub fn discover() -> Self {
        Self { mode: Mode::Discover, ..Self::capture("") }
    }
}

/// A certificate for origins that request one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The origins that get it, by the name in the client's request or in its SNI. `None` means those that no other one
    /// matches.
    pub host: Option<Pattern>,
    /// A PEM file with the certificate, its chain and its private key.
    pub file: PathBuf,
}

/// The purpose of the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Writes a bundle.
    Capture {
        /// The bundle's path. An existing file is kept, with `.bak`, `.2.bak` and so on appended to its name. A capture that
        /// recorded nothing does not replace it.
        output: PathBuf,
    },
    /// Reports domains; intercepts nothing and writes nothing.
    Discover,
}

/// The treatment of traffic that a firewall redirects to the port. Clients that use the port as a proxy are always served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transparent {
    /// It is refused.
    #[default]
    Off,
    /// A connection goes to its original destination, which a firewall of this machine keeps; Linux only. SNI and Host name
    /// it in the bundle and for the host patterns. Connections without an original destination are refused.
    OriginalDestination,
    /// The same, but a connection without an original destination is served by its name, as traffic that another machine
    /// redirects: plain requests go to their Host, TLS connections to port 443 of their SNI.
    ByName,
}

/// The limit at which a capture finishes its bundle and begins the next one. A bundle without items is not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rotate {
    /// The size of the bundle's exchanges and messages in bytes. The file is larger by its index.
    Size(u64),
    /// The time since the bundle was begun.
    Time(Duration),
}

/// A function that receives each [`Notice`]. The default ignores them.
#[derive(Clone)]
pub struct Observer(Arc<dyn Fn(&Notice) + Send + Sync>);

impl Observer {
    /// An observer that calls `f` on the capture's own threads.
    pub fn new(f: impl Fn(&Notice) + Send + Sync + 'static) -> Self {
        Self(Arc::new(f))
    }

    /// Calls the function.
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
