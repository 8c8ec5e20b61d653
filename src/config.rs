//! The settings of a proxy: those that only a capture has are in `capture_options.rs`.

use crate::capture_options::{CaptureOptions, Output};
use crate::connector::Connector;
use crate::notice::Notice;
use crate::wire::credentials::Credentials;
use crate::wire::pattern::Pattern;
use crate::wire::upstream::proxy::UpstreamProxies;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

/// The settings of a proxy: [`Config::capture`] and [`Config::discover`] have the defaults. Set the fields that differ.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Capture or discovery, with the settings that only one of them has.
    pub mode: Mode,
    /// The address to listen on, 127.0.0.1:8080 by default. Port 0 selects a free port.
    pub listen: SocketAddr,
    /// Accepts any certificate from an origin.
    pub insecure: bool,
    /// Certificates to trust in origins, in addition to the roots of this machine.
    pub upstream_ca: Vec<UpstreamCa>,
    /// The way to connect to origins and upstream proxies.
    pub connector: Connector,
    /// The proxies through which origins are reached. None by default: the library reads no environment variables for them.
    /// One that is this proxy itself is ignored ([`Proxy::upstream_proxies`](crate::Proxy::upstream_proxies)).
    pub upstream_proxies: UpstreamProxies,
    /// Certificates for origins that request one of their clients. Connections to such origins are captured instead of passed
    /// through, and all clients of the proxy act with these certificates. It is an error if others than this machine could,
    /// without `auth`.
    pub client_certificates: Vec<ClientCertificate>,
    /// The limits on memory and body sizes.
    pub limits: Limits,
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
    /// The default settings for `mode`.
    pub fn new(mode: Mode) -> Self {
        Self {
            mode,
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080),
            insecure: false,
            upstream_ca: Vec::new(),
            connector: Connector::default(),
            upstream_proxies: UpstreamProxies::default(),
            client_certificates: Vec::new(),
            limits: Limits::default(),
            transparent: Transparent::Off,
            auth: None,
            key_log: None,
            on_notice: Observer::default(),
        }
    }

    /// The default settings for a capture into the bundle `output`.
    pub fn capture(output: impl Into<PathBuf>) -> Self {
        Self::new(Mode::Capture(CaptureOptions::new(Output::Path(output.into()))))
    }

    /// The default settings for discovery.
    pub fn discover() -> Self {
        Self::new(Mode::Discover(DiscoverOptions::default()))
    }

    /// Returns the settings that only a capture has; `None` in discovery.
    pub fn capture_options(&self) -> Option<&CaptureOptions> {
        match &self.mode {
            Mode::Capture(options) => Some(options),
            Mode::Discover(_) => None,
        }
    }

    /// As [`Config::capture_options`], to change them.
    pub fn capture_options_mut(&mut self) -> Option<&mut CaptureOptions> {
        match &mut self.mode {
            Mode::Capture(options) => Some(options),
            Mode::Discover(_) => None,
        }
    }
}

/// The purpose of the proxy.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Mode {
    /// Records exchanges and messages.
    Capture(CaptureOptions),
    /// Passes all connections through, and only reports their domains.
    Discover(DiscoverOptions),
}

/// The settings that only discovery has: none yet.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct DiscoverOptions {}

/// The limits of a proxy. [`Limits::default`] has the defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The memory limit, in bytes, for what grows with the traffic: bodies, the queue to the writer, exchanges in progress,
    /// unsent bytes and decoders. 64 MiB by default. The process takes up to 16 MB more, and 40 KB for each open connection.
    /// Bodies that do not fit go to a file. A connection whose exchanges in progress do not fit is recorded up to there
    /// ([`Opaque::MemoryLimit`](crate::Opaque::MemoryLimit)).
    pub memory: u64,
    /// The largest size to which a body is decoded for the bundle, in bytes; 1 GiB by default. A body that would exceed it is
    /// stored as received. Discovery decodes none.
    pub max_body: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory: 64 << 20, max_body: 1 << 30 }
    }
}

/// Certificates to trust in origins.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpstreamCa {
    /// A PEM file with one or more.
    File(PathBuf),
    /// One in DER.
    Der(Vec<u8>),
}

impl From<PathBuf> for UpstreamCa {
    fn from(file: PathBuf) -> Self {
        Self::File(file)
    }
}

/// A certificate for origins that request one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientCertificate {
    /// The origins that get it, by the name in the client's request or in its SNI. `None` means those that no other one
    /// matches.
    pub host: Option<Pattern>,
    /// The certificate and its key.
    pub source: CertificateSource,
}

impl ClientCertificate {
    /// A certificate for all origins that no other one matches.
    pub fn new(source: CertificateSource) -> Self {
        Self { host: None, source }
    }

    /// The same for the origins that `host` matches.
    pub fn for_host(self, host: Pattern) -> Self {
        Self { host: Some(host), ..self }
    }
}

/// A client certificate, its chain and its private key. `Debug` does not show the key.
#[derive(Clone)]
#[non_exhaustive]
pub enum CertificateSource {
    /// A PEM file with all of them, in any order.
    File(PathBuf),
    /// All of them in DER.
    Der {
        /// The certificate, and its chain in any order.
        certificates: Vec<Vec<u8>>,
        /// The private key: PKCS#8, PKCS#1 or SEC1.
        key: Vec<u8>,
    },
}

impl fmt::Debug for CertificateSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => f.debug_tuple("File").field(file).finish(),
            Self::Der { certificates, .. } => write!(f, "Der({} certificates)", certificates.len()),
        }
    }
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
