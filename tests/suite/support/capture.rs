//! A proxy under test, and its clients.

use super::bundle::Bundle;
use super::ca::{TestCa, provider};
use super::connection::{Connection, Response};
use super::temp::TempDir;
use super::wait::{Watched, within_timeout};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use spectral_capture::{CaSource, CaptureOptions, Config, Notice, Observer, Pattern, Proxy, Reason, Running, Summary};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A running capture.
#[derive(Debug)]
pub(crate) struct Capture {
    running: Option<Running>,
    pub(crate) notices: Watched<Vec<Notice>>,
    pub(crate) addr: SocketAddr,
    /// The file of the CA certificate that clients must trust; `None` if nothing is intercepted or there is no file.
    pub(crate) ca: Option<PathBuf>,
    /// The CA certificate in DER.
    ca_der: Option<CertificateDer<'static>>,
    pub(crate) dir: TempDir,
}

/// The result of a capture.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) summary: Summary,
    pub(crate) notices: Vec<Notice>,
    bundle: Option<Bundle>,
    /// Not yet deleted, so that tests can read its files.
    pub(crate) dir: TempDir,
}

/// The TLS settings of a client.
#[derive(Clone)]
pub(crate) struct TlsClient {
    /// The name that it verifies, and sends as SNI if `sni` is true.
    pub(crate) name: String,
    pub(crate) sni: bool,
    pub(crate) alpn: Vec<String>,
    pub(crate) versions: &'static [&'static rustls::SupportedProtocolVersion],
    pub(crate) roots: Vec<CertificateDer<'static>>,
    /// Application data sent with the last flight of the handshake.
    pub(crate) early: Vec<u8>,
    /// Splits the ClientHello into the pieces in which it is sent.
    pub(crate) split_hello: fn(Vec<u8>) -> Vec<Vec<u8>>,
    /// The CA of the client certificate that it presents on request.
    pub(crate) identity: Option<&'static TestCa>,
}

impl TlsClient {
    /// Returns a client that trusts `roots` and verifies `name`.
    pub(crate) fn new(name: &str, roots: Vec<CertificateDer<'static>>) -> Self {
        Self {
            name: name.to_owned(),
            sni: true,
            alpn: vec!["http/1.1".to_owned()],
            versions: rustls::ALL_VERSIONS,
            roots,
            early: Vec::new(),
            split_hello: |hello| vec![hello],
            identity: None,
        }
    }

    /// Offers these application protocols instead.
    pub(crate) fn alpn(mut self, names: &[&str]) -> Self {
        self.alpn = names.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// Does the handshake on `connection`.
    pub(crate) fn start(&self, connection: &mut Connection) -> Result<(), rustls::Error> {
        connection.start_tls(&self.config(), &self.name, &self.early, self.split_hello)
    }

    /// Returns its ClientHello as bytes.
    pub(crate) fn hello(&self) -> Vec<u8> {
        let name = rustls::pki_types::ServerName::try_from(self.name.clone()).unwrap();
        let mut tls = rustls::ClientConnection::new(self.config(), name).unwrap();
        let mut hello = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut hello).unwrap();
        }
        hello
    }

    /// Returns a new configuration; sessions can be resumed only within one configuration.
    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        for root in &self.roots {
            roots.add(root.clone()).unwrap();
        }
        let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(self.versions).unwrap();
        let builder = builder.with_root_certificates(roots);
        let mut config = match self.identity {
            None => builder.with_no_client_auth(),
            Some(ca) => {
                let identity = ca.issue(&super::ca::CertSpec::default());
                builder.with_client_auth_cert(identity.chain, identity.key).unwrap()
            }
        };
        config.alpn_protocols = self.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config.enable_sni = self.sni;
        Arc::new(config)
    }
}

/// Returns the settings that only a capture has.
#[track_caller]
pub(crate) fn options(config: &mut Config) -> &mut CaptureOptions {
    config.capture_options_mut().expect("a capture")
}

impl Capture {
    /// Starts a capture of all hosts.
    #[track_caller]
    pub(crate) fn start() -> Self {
        Self::with(|_| ())
    }

    /// Starts a capture with a changed configuration.
    #[track_caller]
    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::with_observer(|_| (), change)
    }

    /// Starts a capture with a changed configuration; `observe` receives each notice.
    #[track_caller]
    pub(crate) fn with_observer(
        observe: impl Fn(&Notice) + Send + Sync + 'static,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let dir = TempDir::new();
        let mut config = Config::capture(dir.join("capture.zip"));
        config.upstream_ca = vec![TestCa::trusted().pem.clone().into()];
        change(&mut config);
        Self::run(dir, config, observe)
    }

    /// Starts a discovery of domains.
    #[track_caller]
    pub(crate) fn discover() -> Self {
        Self::discover_with(|_| ())
    }

    /// Starts a discovery with a changed configuration.
    #[track_caller]
    pub(crate) fn discover_with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::discover();
        config.upstream_ca = vec![TestCa::trusted().pem.clone().into()];
        change(&mut config);
        Self::run(TempDir::new(), config, |_| ())
    }

    #[track_caller]
    fn run(dir: TempDir, mut config: Config, observe: impl Fn(&Notice) + Send + Sync + 'static) -> Self {
        let notices: Watched<Vec<Notice>> = Watched::default();
        let log = notices.clone();
        config.listen = SocketAddr::new(config.listen.ip(), 0);
        if let Some(options) = config.capture_options_mut().filter(|options| matches!(options.ca, CaSource::Home)) {
            options.ca = CaSource::Dir(dir.join("ca"));
        }
        config.on_notice = Observer::new(move |notice| {
            log.update(|all| all.push(notice.clone()));
            observe(notice);
        });
        let proxy = Proxy::bind(config).unwrap();
        let ca = proxy.ca_cert().map(std::path::Path::to_owned);
        let ca_der = proxy.ca().map(|ca| ca.der().to_vec().into());
        let running = proxy.start().unwrap();
        Self { ca_der, addr: running.addr(), running: Some(running), notices, ca, dir }
    }

    /// Returns the CA certificates that clients must trust.
    #[track_caller]
    pub(crate) fn roots(&self) -> Vec<CertificateDer<'static>> {
        vec![self.ca_der.clone().expect("a CA")]
    }

    /// Opens a connection to the proxy.
    #[track_caller]
    pub(crate) fn dial(&self) -> Connection {
        Connection::to(self.addr)
    }

    /// Sends CONNECT for `target` on a new connection; returns it with the response.
    #[track_caller]
    pub(crate) fn try_connect(&self, target: &str) -> (Connection, Response) {
        let mut connection = self.dial();
        connection.send(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"));
        let head = connection.read_head();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (connection, Response { status, head, body: Vec::new() })
    }

    /// Opens a tunnel to `target`.
    #[track_caller]
    pub(crate) fn connect(&self, target: &str) -> Connection {
        let (connection, response) = self.try_connect(target);
        assert_eq!(response.status, 200, "{}", response.head);
        connection
    }

    /// Returns a TLS client that trusts the proxy.
    #[track_caller]
    pub(crate) fn client(&self, name: &str) -> TlsClient {
        TlsClient::new(name, self.roots())
    }

    /// Opens TLS with `name` through a tunnel to `target`.
    #[track_caller]
    pub(crate) fn tls(&self, target: &str, name: &str) -> Connection {
        self.tls_with(target, &self.client(name))
    }

    /// Opens TLS with the settings of `client` through a tunnel to `target`.
    #[track_caller]
    pub(crate) fn tls_with(&self, target: &str, client: &TlsClient) -> Connection {
        let mut connection = self.connect(target);
        client.start(&mut connection).unwrap_or_else(|e| panic!("TLS with {} through {target}: {e}", client.name));
        connection
    }

    /// Waits until `count` exchanges have been written.
    #[track_caller]
    pub(crate) fn wait_for_exchanges(&self, count: usize) {
        self.notices.until("exchanges to be written", |all| {
            let written = all.iter().filter(|notice| matches!(notice, Notice::Exchange { .. })).count();
            (written >= count).then_some(())
        });
    }

    /// Waits until `count` WebSockets have ended and been written.
    #[track_caller]
    pub(crate) fn wait_for_websockets(&self, count: usize) {
        self.notices.until("WebSockets to be written", |all| {
            let written = all.iter().filter(|notice| matches!(notice, Notice::WebSocket { .. })).count();
            (written >= count).then_some(())
        });
    }

    /// Waits for the notice that a host is not captured, with a reason that `wanted` accepts; returns the host.
    #[track_caller]
    pub(crate) fn wait_for_uncaptured(&self, wanted: impl Fn(&Reason) -> bool) -> String {
        self.notices.until("a notice that a host is not captured", |all| {
            all.iter().find_map(|notice| match notice {
                Notice::Uncaptured { host, reason } if wanted(reason) => Some(host.clone()),
                _ => None,
            })
        })
    }

    /// Returns the handle of the running proxy.
    pub(crate) fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    /// Stops it within the timeout, then checks and reads its bundle.
    #[track_caller]
    pub(crate) fn stop(self) -> Outcome {
        self.stop_by(Running::stop)
    }

    /// As [`Capture::stop`], with a limit after which the stop is forced.
    #[track_caller]
    pub(crate) fn stop_within(self, limit: Duration) -> Outcome {
        self.stop_by(move |running| running.stop_within(limit))
    }

    #[track_caller]
    fn stop_by(mut self, stop: impl FnOnce(Running) -> Summary + Send + 'static) -> Outcome {
        let running = self.running.take().unwrap();
        let summary = within_timeout("stopping", move || stop(running));
        // Another process cannot open a descriptor of this one.
        let path = summary.bundle.as_deref().filter(|path| !path.starts_with("/dev/fd"));
        let bundle = path.map(Bundle::open);
        if let Some(bundle) = &bundle {
            assert_eq!(summary.exchanges, bundle.traces.len() as u64);
            assert_eq!(summary.websockets, bundle.websockets.len() as u64);
            assert_eq!(summary.messages, bundle.websockets.iter().map(|s| s.messages.len() as u64).sum::<u64>());
            assert!(!self.dir.join("capture.zip.part").exists(), "an unfinished bundle is left");
        }
        Outcome { summary, notices: self.notices.read(Clone::clone), bundle, dir: self.dir }
    }
}

impl Outcome {
    /// Returns the bundle.
    #[track_caller]
    pub(crate) fn bundle(&self) -> &Bundle {
        self.bundle.as_ref().expect("a bundle")
    }

    /// Fails unless `host` is reported as not captured, with a reason that `wanted` accepts and `connections` connections.
    #[track_caller]
    pub(crate) fn assert_uncaptured(&self, host: &str, connections: u64, wanted: impl Fn(&Reason) -> bool) {
        let found = self.summary.uncaptured.iter().find(|u| u.host == host && wanted(&u.reason));
        let found = found.unwrap_or_else(|| panic!("{host} among {:?}", self.summary.uncaptured));
        assert_eq!(found.connections, connections, "{:?}", self.summary.uncaptured);
        let notices = self.notices.iter().filter(|notice| match notice {
            Notice::Uncaptured { host: h, reason } => h == host && *reason == found.reason,
            _ => false,
        });
        assert_eq!(notices.count(), 1, "one notice during the capture: {:?}", self.notices);
    }

    /// Fails if the summary has warnings or losses.
    #[track_caller]
    pub(crate) fn assert_no_warnings(&self) {
        assert_eq!(self.summary.warnings, Vec::<spectral_capture::Warning>::new());
        assert_eq!(self.summary.lost, 0);
    }
}

/// Parses a pattern.
#[track_caller]
pub(crate) fn pattern(text: &str) -> Pattern {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// Parses patterns.
#[track_caller]
pub(crate) fn patterns(texts: &[&str]) -> Vec<Pattern> {
    texts.iter().map(|text| pattern(text)).collect()
}
