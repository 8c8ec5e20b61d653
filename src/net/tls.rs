//! TLS settings for both sides: as a server towards clients, as a client towards origins. Nothing is negotiated here.

use crate::error::Error;
use crate::wire::authority::Host;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig,
    ServerConnection, SignatureScheme,
};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// How TLS is spoken to origins.
#[derive(Debug)]
pub(crate) struct TowardsOrigins {
    /// Cloned for each connection, which is cheap and shares the sessions to resume.
    template: ClientConfig,
}

impl TowardsOrigins {
    /// Trusts the machine's roots (Mozilla's where it has none) and those in `more`; everyone if `insecure`.
    ///
    /// # Errors
    /// If a file of `more` cannot be read or holds no certificate.
    pub(crate) fn new(more: &[PathBuf], insecure: bool) -> Result<Self, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = machine_roots();
        for file in more {
            add_file(&mut roots, file)?;
        }
        let verifier = verifier(roots, &provider, insecure)?;
        let mut template = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        // The first bytes of a connection are not to be sent twice.
        template.enable_early_data = false;
        Ok(Self { template })
    }

    /// A connection that says what the client said: its SNI (none if there was none) and protocols. The certificate is
    /// verified for `server_name`, else for `host`. The flag is raised if the origin asks for a client certificate.
    pub(crate) fn connection(
        &self,
        server_name: Option<&str>,
        host: &Host,
        alpn: Vec<Vec<u8>>,
    ) -> Result<(ClientConnection, Arc<AskedForCertificate>), rustls::Error> {
        let name = self::server_name(server_name, host)?;
        let asked = Arc::new(AskedForCertificate::default());
        let mut config = self.template.clone();
        config.alpn_protocols = alpn;
        config.enable_sni = server_name.is_some();
        config.client_auth_cert_resolver = Arc::clone(&asked) as Arc<dyn ResolvesClientCert>;
        Ok((ClientConnection::new(Arc::new(config), name)?, asked))
    }
}

/// The name that a certificate has to be for: the client's SNI, else the host it asked for.
///
/// # Errors
/// If that is no name that a certificate can have.
pub(crate) fn server_name(sni: Option<&str>, host: &Host) -> Result<ServerName<'static>, rustls::Error> {
    match (sni, host) {
        (Some(name), _) => dns_name(name),
        (None, Host::Name(name)) => dns_name(name),
        (None, Host::V4(ip)) => Ok(ServerName::from(IpAddr::V4(*ip))),
        (None, Host::V6(ip)) => Ok(ServerName::from(IpAddr::V6(*ip))),
    }
}

fn dns_name(name: &str) -> Result<ServerName<'static>, rustls::Error> {
    ServerName::try_from(name.to_ascii_lowercase())
        .map_err(|_| rustls::Error::General("its host is not a DNS name".into()))
}

/// Raised when an origin asks for a client certificate, which only the client has.
#[derive(Debug, Default)]
pub(crate) struct AskedForCertificate(AtomicBool);

impl AskedForCertificate {
    pub(crate) fn is_raised(&self) -> bool {
        self.0.load(Relaxed)
    }
}

impl ResolvesClientCert for AskedForCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.store(true, Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// How TLS is spoken to clients.
#[derive(Debug)]
pub(crate) struct TowardsClients {
    template: ServerConfig,
}

impl TowardsClients {
    /// # Errors
    /// If the system gives no randomness.
    pub(crate) fn new() -> Result<Self, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut template = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Leaf(None)));
        template.ticketer = rustls::crypto::ring::Ticketer::new().map_err(unusable)?;
        // Every ticket is a record more in each handshake; clients come back with one.
        template.send_tls13_tickets = 1;
        Ok(Self { template })
    }

    /// A connection that presents `leaf` and chooses `alpn`, as the origin did.
    pub(crate) fn connection(
        &self,
        leaf: Arc<CertifiedKey>,
        alpn: Option<&[u8]>,
    ) -> Result<ServerConnection, rustls::Error> {
        let mut config = self.template.clone();
        config.alpn_protocols = alpn.map(<[u8]>::to_vec).into_iter().collect();
        config.cert_resolver = Arc::new(Leaf(Some(leaf)));
        ServerConnection::new(Arc::new(config))
    }
}

/// The certificate of one connection, whatever its ClientHello says: that was read already.
#[derive(Debug)]
struct Leaf(Option<Arc<CertifiedKey>>);

impl ResolvesServerCert for Leaf {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.clone()
    }
}

fn machine_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    // One that does not parse is skipped, as other programs on the machine skip it.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

fn add_file(roots: &mut RootCertStore, file: &Path) -> Result<(), Error> {
    let fail = |what: String| Error::UpstreamCa { path: file.to_owned(), what };
    let pem = std::fs::read(file).map_err(|e| fail(e.to_string()))?;
    let mut found = false;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|e| fail(format!("not PEM: {e}")))?;
        roots.add(certificate).map_err(|e| fail(format!("a certificate in it cannot be used: {e}")))?;
        found = true;
    }
    if found { Ok(()) } else { Err(fail("it holds no certificate in PEM (-----BEGIN CERTIFICATE-----)".into())) }
}

fn verifier(
    roots: RootCertStore,
    provider: &Arc<CryptoProvider>,
    insecure: bool,
) -> Result<Arc<dyn ServerCertVerifier>, Error> {
    let webpki =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build().map_err(unusable)?;
    Ok(if insecure { Arc::new(Anyone(webpki)) } else { webpki })
}

/// Accepts every certificate; signatures are verified all the same, so that the key at least is the certificate's.
#[derive(Debug)]
struct Anyone(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        None
    }
}

/// What cannot happen with the settings above, said rather than sworn.
fn unusable(e: impl std::fmt::Display) -> Error {
    Error::System { what: "cannot set up TLS", cause: std::io::Error::other(e.to_string()) }
}
