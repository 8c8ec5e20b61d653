//! An origin on this machine that follows a script and remembers every byte it was sent.

use super::ca::{CertSpec, Identity, TestCa, provider};
use super::connection::Connection;
use super::wait::Watched;
use rustls::pki_types::CertificateDer;
use rustls::{RootCertStore, ServerConfig};
use std::net::{SocketAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

/// A listening origin; each connection is served by the script on a thread of its own.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) addr: SocketAddr,
    /// One per connection, in the order of their arrival.
    connections: Watched<Vec<Watched<Vec<u8>>>>,
    /// How many connections there are right now.
    pub(crate) open: Watched<usize>,
    /// What went wrong with scripts.
    broken: Watched<Vec<String>>,
    certificate: Option<CertificateDer<'static>>,
}

/// What an origin's TLS is like.
#[derive(Clone)]
pub(crate) struct TlsSetup {
    pub(crate) ca: &'static TestCa,
    pub(crate) cert_spec: CertSpec,
    pub(crate) alpn: &'static [&'static str],
    pub(crate) versions: &'static [&'static rustls::SupportedProtocolVersion],
    /// Asks for a client certificate of this CA, and insists.
    pub(crate) client_ca: Option<&'static TestCa>,
    /// Sent before the client has finished the handshake.
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
    /// Speaks in the clear.
    pub(crate) fn plain(script: impl Fn(Connection) + Send + Sync + 'static) -> Self {
        Self::start(None, script)
    }

    /// Speaks TLS with a certificate that proxies under test trust.
    pub(crate) fn tls(script: impl Fn(Connection) + Send + Sync + 'static) -> Self {
        Self::tls_with(TlsSetup::default(), script)
    }

    /// Speaks TLS as `setup` says.
    pub(crate) fn tls_with(setup: TlsSetup, script: impl Fn(Connection) + Send + Sync + 'static) -> Self {
        Self::start(Some(setup), script)
    }

    /// Answers every request on every connection with `head` (without its empty line) and `body`.
    pub(crate) fn tls_responding(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::tls(move |connection| respond_to_all(connection, &answer))
    }

    /// The same in the clear.
    pub(crate) fn plain_responding(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::plain(move |connection| respond_to_all(connection, &answer))
    }

    /// In the clear on `::1`, if this machine has it.
    pub(crate) fn plain_on_ipv6(answer: impl Into<Vec<u8>>) -> Option<Self> {
        let listener = TcpListener::bind("[::1]:0").ok()?;
        let answer = answer.into();
        Some(Self::serve(listener, None, move |connection| respond_to_all(connection, &answer)))
    }

    /// TLS on a port that must be this one, if it is to be had.
    pub(crate) fn tls_on(port: u16, script: impl Fn(Connection) + Send + Sync + 'static) -> Option<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).ok()?;
        Some(Self::serve(listener, Some(TlsSetup::default()), script))
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
            broken: Watched::default(),
            certificate: tls.as_ref().map(|(_, certificate)| certificate.clone()),
        };
        let config = tls.map(|(config, _)| config);
        let (connections, open, broken) = (origin.connections.clone(), origin.open.clone(), origin.broken.clone());
        let script = Arc::new(script);
        thread::spawn(move || {
            while let Ok((tcp, _)) = listener.accept() {
                let log = Watched::default();
                connections.change(|all| all.push(log.clone()));
                open.change(|open| *open += 1);
                let (script, config) = (Arc::clone(&script), config.clone());
                let (open, broken) = (open.clone(), broken.clone());
                thread::spawn(move || {
                    let _counted = Counted(open);
                    let mut connection = Connection::over(tcp);
                    connection.log_to(log);
                    if let Some(config) = config
                        && connection.accept_tls(&config, early).is_err()
                    {
                        // The proxy gave up on us, or the client did: who cares asks for the certificate it saw.
                        return;
                    }
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| script(connection))) {
                        let what = panic.downcast_ref::<String>().cloned();
                        let what = what.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
                        broken.change(|all| all.push(what.unwrap_or_default()));
                    }
                });
            }
        });
        origin
    }

    pub(crate) fn port(&self) -> u16 {
        self.addr.port()
    }

    /// `host:port` for a CONNECT or a Host header.
    pub(crate) fn at(&self, host: &str) -> String {
        format!("{host}:{}", self.port())
    }

    /// The certificate it shows.
    #[track_caller]
    pub(crate) fn certificate(&self) -> &CertificateDer<'static> {
        self.certificate.as_ref().expect("speaks TLS")
    }

    /// How many connections there have been.
    pub(crate) fn connections(&self) -> usize {
        self.connections.look(Vec::len)
    }

    /// What connection `index` (from 0) brought so far.
    #[track_caller]
    pub(crate) fn received(&self, index: usize) -> Vec<u8> {
        self.connection(index).look(Clone::clone)
    }

    /// Waits until connection `index` has brought `len` bytes, and gives all that came.
    #[track_caller]
    pub(crate) fn received_at_least(&self, index: usize, len: usize) -> Vec<u8> {
        self.connection(index).until("bytes at the origin", |bytes| (bytes.len() >= len).then(|| bytes.clone()))
    }

    #[track_caller]
    fn connection(&self, index: usize) -> Watched<Vec<u8>> {
        self.connections.until("a connection to the origin", |all| all.get(index).cloned())
    }
}

/// Takes a connection off the count when its thread is done with it.
struct Counted(Watched<usize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.change(|open| *open -= 1);
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        let broken = self.broken.look(Clone::clone);
        if !broken.is_empty() && !thread::panicking() {
            panic!("the origin's script failed: {broken:?}");
        }
    }
}

/// Reads request after request (head, and body by its length) and answers each alike, until the client ends.
pub(crate) fn respond_to_all(mut connection: Connection, answer: &[u8]) {
    while next_request(&mut connection).is_some() {
        connection.send(answer);
    }
}

/// Reads a request's head and its body, if it has a length; `None` when the client is done.
pub(crate) fn next_request(connection: &mut Connection) -> Option<(String, Vec<u8>)> {
    let head = catch_end(connection)?;
    let len = super::connection::header(&head, "content-length").map_or(0, |len| len.parse().unwrap());
    let body = connection.read_exactly(len);
    Some((head, body))
}

/// A head, or `None` if the client ends instead of beginning one.
fn catch_end(connection: &mut Connection) -> Option<String> {
    connection.reader.has_more().then(|| connection.head())
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
