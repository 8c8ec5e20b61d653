//! An origin on loopback that runs a script and logs each byte that it receives.

use super::ca::{CertSpec, Identity, TestCa, provider};
use super::connection::Connection;
use super::wait::{Gate, Watched};
use rustls::pki_types::CertificateDer;
use rustls::{RootCertStore, ServerConfig};
use std::net::{SocketAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// A listening origin; the script serves each connection on a thread of its own.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) addr: SocketAddr,
    /// The received bytes of each connection, in the order of their arrival.
    connections: Watched<Vec<Watched<Vec<u8>>>>,
    /// The number of open connections.
    pub(crate) open: Watched<usize>,
    /// The panic messages of scripts.
    failures: Watched<Vec<String>>,
    certificate: Option<CertificateDer<'static>>,
}

/// The TLS settings of an origin.
#[derive(Clone)]
pub(crate) struct TlsSetup {
    pub(crate) ca: &'static TestCa,
    pub(crate) cert_spec: CertSpec,
    pub(crate) alpn: &'static [&'static str],
    pub(crate) versions: &'static [&'static rustls::SupportedProtocolVersion],
    /// Requires a client certificate of this CA.
    pub(crate) client_ca: Option<&'static TestCa>,
    /// Sent before the client's Finished.
    pub(crate) early: &'static [u8],
}

impl Default for TlsSetup {
    fn default() -> Self {
        Self {
            ca: TestCa::trusted(),
            cert_spec: CertSpec::default(),
            alpn: &[],
            versions: rustls::ALL_VERSIONS,
            client_ca: None,
            early: b"",
        }
    }
}

impl Origin {
    /// Starts an origin in the clear.
    pub(crate) fn plain(script: impl Fn(Connection) + Send + Sync + 'static) -> Self {
        Self::start(None, script)
    }

    /// Starts an origin with TLS; proxies under test trust its certificate.
    pub(crate) fn tls(script: impl Fn(Connection) + Send + Sync + 'static) -> Self {
        Self::tls_with(TlsSetup::default(), script)
    }

    /// Starts an origin with these TLS settings.
    pub(crate) fn tls_with(setup: TlsSetup, script: impl Fn(Connection) + Send + Sync + 'static) -> Self {
        Self::start(Some(setup), script)
    }

    /// Starts an origin with TLS that sends `response` to each request.
    pub(crate) fn tls_responding(response: impl Into<Vec<u8>>) -> Self {
        let response = response.into();
        Self::tls(move |connection| respond_to_all(connection, &response))
    }

    /// Starts an origin in the clear that sends `response` to each request.
    pub(crate) fn plain_responding(response: impl Into<Vec<u8>>) -> Self {
        let response = response.into();
        Self::plain(move |connection| respond_to_all(connection, &response))
    }

    /// Starts an origin that sends nothing, and closes its connections once the gate is open.
    pub(crate) fn stalled() -> (Self, Gate) {
        let end = Gate::default();
        let wait = end.clone();
        let origin = Self::plain(move |connection| {
            wait.pass();
            connection.close_abruptly();
        });
        (origin, end)
    }

    /// Starts an origin in the clear on `::1`; `None` without IPv6.
    pub(crate) fn plain_on_ipv6(response: impl Into<Vec<u8>>) -> Option<Self> {
        let listener = TcpListener::bind("[::1]:0").ok()?;
        let response = response.into();
        Some(Self::serve(listener, None, move |connection| respond_to_all(connection, &response)))
    }

    /// Starts an origin on `addr`, with TLS if there are settings for it.
    #[track_caller]
    pub(crate) fn at(addr: &str, setup: Option<TlsSetup>, script: impl Fn(Connection) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(addr).unwrap_or_else(|e| panic!("cannot listen on {addr}: {e}"));
        Self::serve(listener, setup, script)
    }

    fn start(setup: Option<TlsSetup>, script: impl Fn(Connection) + Send + Sync + 'static) -> Self {
        Self::serve(TcpListener::bind("127.0.0.1:0").unwrap(), setup, script)
    }

    fn serve(
        listener: TcpListener,
        setup: Option<TlsSetup>,
        script: impl Fn(Connection) + Send + Sync + 'static,
    ) -> Self {
        let early = setup.as_ref().map_or(&b""[..], |setup| setup.early);
        let tls = setup.map(|setup| {
            let identity = setup.ca.issue(&setup.cert_spec);
            let certificate = identity.chain[0].clone();
            (server_config(&setup, identity), certificate)
        });
        let origin = Self {
            addr: listener.local_addr().unwrap(),
            connections: Watched::default(),
            open: Watched::default(),
            failures: Watched::default(),
            certificate: tls.as_ref().map(|(_, certificate)| certificate.clone()),
        };
        let config = tls.map(|(config, _)| config);
        let (connections, open, failures) = (origin.connections.clone(), origin.open.clone(), origin.failures.clone());
        let script = Arc::new(script);
        thread::spawn(move || {
            while let Ok((tcp, _)) = listener.accept() {
                let log = Watched::default();
                connections.update(|all| all.push(log.clone()));
                open.update(|open| *open += 1);
                let (script, config) = (Arc::clone(&script), config.clone());
                let (open, failures) = (open.clone(), failures.clone());
                thread::spawn(move || {
                    let _open = OpenConnection(open);
                    let mut connection = Connection::over(tcp);
                    connection.log_to(log);
                    if let Some(config) = config
                        && connection.accept_tls(&config, early).is_err()
                    {
                        // The proxy or the client refused the handshake. Tests check the certificate that the client received.
                        return;
                    }
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| script(connection))) {
                        let what = panic.downcast_ref::<String>().cloned();
                        let what = what.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
                        failures.update(|all| all.push(what.unwrap_or_default()));
                    }
                });
            }
        });
        origin
    }

    pub(crate) fn port(&self) -> u16 {
        self.addr.port()
    }

    /// Returns `host:port` for CONNECT or Host.
    pub(crate) fn authority(&self, host: &str) -> String {
        format!("{host}:{}", self.port())
    }

    /// Returns its certificate.
    #[track_caller]
    pub(crate) fn certificate(&self) -> &CertificateDer<'static> {
        self.certificate.as_ref().expect("TLS")
    }

    /// Returns the number of connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.read(Vec::len)
    }

    /// Returns the bytes received so far on connection `index`, counted from 0.
    #[track_caller]
    pub(crate) fn received(&self, index: usize) -> Vec<u8> {
        self.connection(index).read(Clone::clone)
    }

    /// Waits until `len` bytes have arrived on connection `index`; returns all that arrived.
    #[track_caller]
    pub(crate) fn received_at_least(&self, index: usize, len: usize) -> Vec<u8> {
        self.connection(index).until("bytes at the origin", |bytes| (bytes.len() >= len).then(|| bytes.clone()))
    }

    #[track_caller]
    fn connection(&self, index: usize) -> Watched<Vec<u8>> {
        self.connections.until("a connection to the origin", |all| all.get(index).cloned())
    }
}

/// Decrements the count of open connections when dropped.
struct OpenConnection(Watched<usize>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.update(|open| *open -= 1);
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        // A script may be about to fail. Some scripts end only with the test's process.
        if !thread::panicking() {
            self.open.within(SCRIPT_END_TIMEOUT, |open| (*open == 0).then_some(()));
        }
        let failures = self.failures.read(Clone::clone);
        if !failures.is_empty() && !thread::panicking() {
            panic!("the origin's script failed: {failures:?}");
        }
    }
}

/// The time in which scripts end after the test has closed their connections.
const SCRIPT_END_TIMEOUT: Duration = Duration::from_secs(1);

/// Sends `response` to each request until the client closes.
pub(crate) fn respond_to_all(mut connection: Connection, response: &[u8]) {
    while next_request(&mut connection).is_some() {
        connection.send(response);
    }
}

/// Reads a request with its body, if it has Content-Length; `None` when the client has closed.
pub(crate) fn next_request(connection: &mut Connection) -> Option<(String, Vec<u8>)> {
    let head = next_head(connection)?;
    let len = super::connection::header(&head, "content-length").map_or(0, |len| len.parse().unwrap());
    let body = connection.read_exactly(len);
    Some((head, body))
}

/// Reads a head; `None` if the client closes first.
fn next_head(connection: &mut Connection) -> Option<String> {
    connection.reader.has_more().then(|| connection.read_head())
}

fn server_config(setup: &TlsSetup, identity: Identity) -> Arc<ServerConfig> {
    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(setup.versions).unwrap();
    let builder = match setup.client_ca {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            roots.add(ca.der()).unwrap();
            let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let mut config = builder.with_single_cert(identity.chain, identity.key).unwrap();
    config.alpn_protocols = setup.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config.send_half_rtt_data = !setup.early.is_empty();
    Arc::new(config)
}
