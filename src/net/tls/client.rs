//! TLS as a client, towards origins: verification of their certificates, certificates of ours, and resumption of sessions.

use super::certificate_request::{NoCertificate, OwnCertificate, RequestWatch};
use super::session::TlsSession;
use super::sessions::{MAX_KEPT_CHAIN_BYTES, SessionCache};
use super::verifier::Verifier;
use super::{server_name, setup_error};
use crate::cert::{OriginCertificate, client_certificate, mozilla_roots, read_client_certificate};
use crate::clock::Moment;
use crate::config::{CertificateSource, ClientCertificate, UpstreamCa};
use crate::error::{Error, UpstreamCaError};
use crate::wire::authority::Authority;
use crate::wire::pattern::Pattern;
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, UnbufferedClientConnection, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CipherSuite, ClientConfig, HandshakeKind, KeyLog, RootCertStore};
use std::path::Path;
use std::sync::Arc;

/// The configuration of TLS towards origins.
#[derive(Debug)]
pub(crate) struct ClientTls {
    /// Cloned for each connection, which is cheap. rustls resumes sessions only between configurations that share
    /// verifier and resolver, so these are never replaced.
    template: ClientConfig,
    /// The same with a client certificate.
    identities: Vec<Identity>,
    verifier: Arc<Verifier>,
    sessions: SessionCache,
}

/// A client certificate.
#[derive(Debug)]
struct Identity {
    /// The origins that get it; `None` means those that no other one matches.
    host: Option<Pattern>,
    template: ClientConfig,
}

impl ClientTls {
    /// Creates a configuration that trusts `roots` except `ca`, our own if there is one (Mozilla's if there are no others),
    /// and the certificates `more`; or any certificate if `insecure`. Origins get `certificates` on request.
    ///
    /// # Errors
    /// If a file cannot be read, or does not contain what it should.
    pub(crate) fn new(
        roots: Vec<CertificateDer<'static>>,
        ca: Option<&CertificateDer<'_>>,
        more: &[UpstreamCa],
        insecure: bool,
        certificates: &[ClientCertificate],
    ) -> Result<Self, Error> {
        let provider = Arc::new(provider());
        let algorithms = provider.signature_verification_algorithms;
        let keys = provider.key_provider;
        let mut roots = roots_without(roots, ca);
        if roots.is_empty() {
            // As in a container in which only our CA is installed.
            roots.add_parsable_certificates(mozilla_roots());
        }
        let mut given = Vec::new();
        for more in more {
            given.extend(match more {
                UpstreamCa::File(file) => read_certificates(&mut roots, &algorithms, file)?,
                UpstreamCa::Der(der) => {
                    let certificate = CertificateDer::from(der.clone());
                    add_root(&mut roots, &algorithms, &certificate).map_err(Error::UpstreamCaDer)?;
                    vec![certificate]
                }
            });
        }
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(setup_error)?;
        let verifier = Arc::new(Verifier { webpki, algorithms, given, insecure });
        let mut template = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(setup_error)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier) as Arc<dyn ServerCertVerifier>)
            .with_client_cert_resolver(Arc::new(NoCertificate));
        // Early data may be replayed by an attacker (RFC 8446 section 8).
        template.enable_early_data = false;
        // Each connection gets a store of its own.
        template.resumption = Resumption::disabled();
        let identity = |ClientCertificate { host, source }: &ClientCertificate| {
            let certificate = Arc::new(match source {
                CertificateSource::File(file) => read_client_certificate(file, keys)?,
                CertificateSource::Der { certificates, key } => {
                    client_certificate(certificates, key, keys).map_err(Error::ClientCertificateDer)?
                }
            });
            let mut template = template.clone();
            template.client_auth_cert_resolver = Arc::new(OwnCertificate(certificate));
            Ok(Identity { host: host.clone(), template })
        };
        let identities = certificates.iter().map(identity).collect::<Result<_, Error>>()?;
        Ok(Self { template, identities, verifier, sessions: SessionCache::default() })
    }

    /// Logs the secrets of all sessions.
    pub(crate) fn log_keys(&mut self, key_log: Arc<dyn KeyLog>) {
        for identity in &mut self.identities {
            identity.template.key_log = Arc::clone(&key_log);
        }
        self.template.key_log = key_log;
    }

    /// Creates a session with `origin`, with the client's own SNI (none if it sent none) and protocols. The certificate
    /// is verified for `sni`, or else for the host. The watch shows whether the origin requests a client certificate.
    ///
    /// # Errors
    /// If the name is not a valid DNS name.
    pub(crate) fn session(
        &self,
        sni: Option<&str>,
        origin: &Authority,
        alpn: Vec<Vec<u8>>,
        now: Moment,
    ) -> Result<(TlsSession, RequestWatch), rustls::Error> {
        let template = self.identity(sni, origin).map_or(&self.template, |identity| &identity.template);
        let mut config = template.clone();
        config.alpn_protocols = alpn;
        config.enable_sni = sni.is_some();
        config.resumption = Resumption::store(Arc::new(self.sessions.store(origin, sni, now)));
        let session = UnbufferedClientConnection::new(Arc::new(config), verified_name(sni, origin)?)?;
        Ok((session.into(), RequestWatch::start()))
    }

    /// True if there is a client certificate for `origin`.
    pub(crate) fn has_certificate(&self, sni: Option<&str>, origin: &Authority) -> bool {
        self.identity(sni, origin).is_some()
    }

    /// The client certificate for `origin`: the first one for its host, or else the first one for any. It depends on nothing
    /// else, so that all sessions with one origin, which are kept by the same key, are made with the same certificate.
    fn identity(&self, sni: Option<&str>, origin: &Authority) -> Option<&Identity> {
        let host = origin.host.to_string();
        let matches = |pattern: &Pattern| {
            pattern.matches(&host, origin.port) || sni.is_some_and(|sni| pattern.matches(sni, origin.port))
        };
        let for_host = self.identities.iter().find(|identity| identity.host.as_ref().is_some_and(matches));
        for_host.or_else(|| self.identities.iter().find(|identity| identity.host.is_none()))
    }

    /// Checks a session whose handshake has ended.
    ///
    /// - The certificate of a resumed session is verified, which rustls does in full handshakes only: it may have expired
    ///   since.
    /// - A session with an unusually large chain is not kept, since rustls copies the chain into each ticket.
    ///
    /// # Errors
    /// If the certificate is not valid at the time `now`.
    pub(crate) fn check_handshake(
        &self,
        session: &TlsSession,
        sni: Option<&str>,
        origin: &Authority,
        now: Moment,
    ) -> Result<(), rustls::Error> {
        let chain = session.peer_certificates().unwrap_or_default();
        if chain.iter().map(|certificate| certificate.len()).sum::<usize>() > MAX_KEPT_CHAIN_BYTES {
            self.forget(sni, origin);
        }
        if session.handshake_kind() != Some(HandshakeKind::Resumed) {
            return Ok(());
        }
        let Some((end_entity, intermediates)) = chain.split_first() else {
            return Err(rustls::Error::NoCertificatesPresented);
        };
        let (name, now) = (verified_name(sni, origin)?, UnixTime::since_unix_epoch(now.since_epoch()));
        self.verifier.verify_server_cert(end_entity, intermediates, &name, &[], now).map(drop)
    }

    /// Forgets the sessions with an origin: after a failure, or if it requested a client certificate and got none. (On
    /// resumption it would not request one, and a client that has a certificate would be served as one without.)
    pub(crate) fn forget(&self, sni: Option<&str>, origin: &Authority) {
        self.sessions.forget(origin, sni);
    }
}

/// The name that an origin's certificate must be valid for.
fn verified_name(sni: Option<&str>, origin: &Authority) -> Result<ServerName<'static>, rustls::Error> {
    server_name(sni, &origin.host).map_err(|_| rustls::Error::General("the host is not a DNS name".into()))
}

/// rustls' default provider, but with AES-128 preferred, as in browsers: every TLS 1.3 implementation has it (RFC 8446
/// section 9.1), it is as secure, and cheaper on both sides.
pub(crate) fn provider() -> CryptoProvider {
    let mut provider = rustls::crypto::ring::default_provider();
    let suites = &mut provider.cipher_suites;
    // To the front; the order of the others does not change.
    if let Some(at) = suites.iter().position(|suite| suite.suite() == CipherSuite::TLS13_AES_128_GCM_SHA256)
        && let Some(first) = suites.get_mut(..=at)
    {
        first.rotate_right(1);
    }
    provider
}

/// The certificates of `all` except our own CA. The machine's store may contain it for apps behind this proxy; origins
/// must not use it.
fn roots_without(all: Vec<CertificateDer<'static>>, ca: Option<&CertificateDer<'_>>) -> RootCertStore {
    let (mut roots, mut own) = (RootCertStore::empty(), RootCertStore::empty());
    // Certificates that do not parse are skipped, as other programs on the machine skip them.
    roots.add_parsable_certificates(all);
    own.add_parsable_certificates(ca.cloned());
    // Compared by key, because the store may contain another certificate with the same key.
    let keys: Vec<_> = own.roots.iter().map(|own| &own.subject_public_key_info).collect();
    roots.roots.retain(|root| !keys.contains(&&root.subject_public_key_info));
    roots
}

/// Adds `certificate` to `roots`.
fn add_root(
    roots: &mut RootCertStore,
    algorithms: &WebPkiSupportedAlgorithms,
    certificate: &CertificateDer<'static>,
) -> Result<(), UpstreamCaError> {
    roots.add(certificate.clone()).map_err(|e| UpstreamCaError::Damaged(e.into()))?;
    match OriginCertificate::parse(certificate) {
        Some(parsed) if !parsed.has_supported_key(algorithms) => {
            Err(UpstreamCaError::UnsupportedKey { subject: parsed.subject() })
        }
        _ => Ok(()),
    }
}

/// Adds the certificates in `file` to `roots`, and returns them.
fn read_certificates(
    roots: &mut RootCertStore,
    algorithms: &WebPkiSupportedAlgorithms,
    file: &Path,
) -> Result<Vec<CertificateDer<'static>>, Error> {
    let fail = |cause| Error::UpstreamCa { path: file.to_owned(), cause };
    let pem = std::fs::read(file).map_err(|e| fail(UpstreamCaError::Read(e)))?;
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|e| fail(UpstreamCaError::Damaged(e.into())))?;
        add_root(roots, algorithms, &certificate).map_err(fail)?;
        found.push(certificate);
    }
    match found.is_empty() {
        true => Err(fail(UpstreamCaError::NoCertificate)),
        false => Ok(found),
    }
}

#[cfg(test)]
mod tests;
