//! TLS settings for both sides: as a server towards clients, as a client towards origins. Nothing is negotiated here.

pub(crate) mod session;

use self::session::TlsSession;
use crate::error::{Error, UpstreamCaError};
use crate::wire::authority::Host;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, ResolvesClientCert, Resumption, UnbufferedClientConnection,
    WebPkiServerVerifier, verify_server_name,
};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert, UnbufferedServerConnection};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use std::cell::Cell;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

/// How TLS is spoken to origins.
#[derive(Debug)]
pub(crate) struct TowardsOrigins {
    /// Cloned for each connection, which is cheap. Sessions are resumed only between configurations that have verifier and
    /// resolver in common, so these are never replaced.
    template: ClientConfig,
    sessions: Arc<ClientSessionMemoryCache>,
}

impl TowardsOrigins {
    /// Trusts `roots` without `ca`, our own CA, and the certificates in the files `more`; every certificate if `insecure`.
    ///
    /// # Errors
    /// If a file of `more` cannot be read or holds no certificate.
    pub(crate) fn new(
        roots: Vec<CertificateDer<'static>>,
        ca: &CertificateDer<'_>,
        more: &[PathBuf],
        insecure: bool,
    ) -> Result<Self, Error> {
        let provider = Arc::new(provider());
        let mut roots = without(roots, ca);
        let mut given = Vec::new();
        for file in more {
            given.extend(read_certificates(&mut roots, file)?);
        }
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(unusable)?;
        let verifier = Arc::new(Verifier { webpki, given, insecure });
        let mut template = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_cert_resolver(Arc::new(NoCertificate));
        // The first bytes of a connection are not to be sent twice.
        template.enable_early_data = false;
        let sessions = Arc::new(ClientSessionMemoryCache::new(SESSIONS));
        template.resumption = Resumption::store(Arc::clone(&sessions) as Arc<dyn ClientSessionStore>);
        Ok(Self { template, sessions })
    }

    /// A connection that says what the client said: its SNI (none if there was none) and protocols. The certificate is
    /// verified for `server_name`, else for `host`. The flag is raised if the origin asks for a client certificate.
    pub(crate) fn connection(
        &self,
        server_name: Option<&str>,
        host: &Host,
        alpn: Vec<Vec<u8>>,
    ) -> Result<(TlsSession, AskedForCertificate), rustls::Error> {
        let name = self::server_name(server_name, host)?;
        let mut config = self.template.clone();
        config.alpn_protocols = alpn;
        config.enable_sni = server_name.is_some();
        let session = UnbufferedClientConnection::new(Arc::new(config), name)?;
        Ok((session.into(), AskedForCertificate::lowered()))
    }

    /// Resumes nothing with an origin that asked for a client certificate: it would not ask again, and the client that has one
    /// would be served as one that has none.
    pub(crate) fn forget(&self, server_name: Option<&str>, host: &Host) {
        if let Ok(name) = self::server_name(server_name, host) {
            self.sessions.remove_tls12_session(&name);
            while self.sessions.take_tls13_ticket(&name).is_some() {}
        }
    }
}

/// rustls' own, but that AES with 128 bits is preferred, as browsers do: it is what every TLS 1.3 has (RFC 8446 section 9.1), as
/// good, and cheaper on both sides.
fn provider() -> CryptoProvider {
    let mut provider = rustls::crypto::ring::default_provider();
    // Stable: all else stays in its order.
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    provider
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

/// Raised when an origin asks for a client certificate, which only the client has. It belongs to the thread, which shakes one
/// hand at a time: a flag for each connection would have to be a resolver for each connection.
#[derive(Debug)]
pub(crate) struct AskedForCertificate(PhantomData<Rc<()>>);

thread_local! {
    static IS_ASKED: Cell<bool> = const { Cell::new(false) };
}

impl AskedForCertificate {
    fn lowered() -> Self {
        IS_ASKED.set(false);
        Self(PhantomData)
    }

    pub(crate) fn is_raised(&self) -> bool {
        IS_ASKED.get()
    }
}

/// Has none to show.
#[derive(Debug)]
struct NoCertificate;

impl ResolvesClientCert for NoCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        IS_ASKED.set(true);
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
    pub(crate) fn connection(&self, leaf: Arc<CertifiedKey>, alpn: Option<&[u8]>) -> Result<TlsSession, rustls::Error> {
        let mut config = self.template.clone();
        config.alpn_protocols = alpn.map(<[u8]>::to_vec).into_iter().collect();
        config.cert_resolver = Arc::new(Leaf(Some(leaf)));
        UnbufferedServerConnection::new(Arc::new(config)).map(TlsSession::from)
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

/// What this machine's apps verify origins with, less our own CA: whoever has it in their system's store, or in a variable,
/// trusts it to stand in for origins, not as one.
fn without(certificates: Vec<CertificateDer<'static>>, ca: &CertificateDer<'_>) -> RootCertStore {
    let (mut roots, mut own) = (RootCertStore::empty(), RootCertStore::empty());
    // One that does not parse is skipped, as other programs on the machine skip it.
    roots.add_parsable_certificates(certificates);
    own.add_parsable_certificates([ca.clone()]);
    // By the key, which is what signs: it may be there under another certificate.
    let keys: Vec<_> = own.roots.iter().map(|own| &own.subject_public_key_info).collect();
    roots.roots.retain(|root| !keys.contains(&&root.subject_public_key_info));
    roots
}

/// Adds the certificates in `file` to `roots`, and returns them.
fn read_certificates(roots: &mut RootCertStore, file: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let fail = |cause| Error::UpstreamCa { path: file.to_owned(), cause };
    let damaged = |e: Box<dyn std::error::Error + Send + Sync>| fail(UpstreamCaError::Damaged(e));
    let pem = std::fs::read(file).map_err(|e| fail(UpstreamCaError::Read(e)))?;
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|e| damaged(e.into()))?;
        roots.add(certificate.clone()).map_err(|e| damaged(e.into()))?;
        found.push(certificate);
    }
    match found.is_empty() {
        true => Err(fail(UpstreamCaError::NoCertificate)),
        false => Ok(found),
    }
}

/// How origins are judged: by the machine's roots, and leniently where the person who captures said so. Signatures are
/// verified in any case, so that the key at least is the certificate's.
#[derive(Debug)]
struct Verifier {
    webpki: Arc<WebPkiServerVerifier>,
    /// Certificates that were given by name. One that signs itself is its own root, though webpki knows no such thing.
    given: Vec<CertificateDer<'static>>,
    /// Accepts everyone.
    insecure: bool,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.insecure {
            return Ok(ServerCertVerified::assertion());
        }
        if self.given.iter().any(|given| given == end_entity) {
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, name)?;
            return Ok(ServerCertVerified::assertion());
        }
        self.webpki.verify_server_cert(end_entity, intermediates, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

/// What cannot happen with the settings above, said rather than sworn.
fn unusable(e: impl std::fmt::Display) -> Error {
    Error::System { what: "cannot set up TLS", cause: std::io::Error::other(e.to_string()) }
}

/// As many origins have sessions that can be resumed, as rustls has it.
const SESSIONS: usize = 256;

#[cfg(test)]
mod tests;
