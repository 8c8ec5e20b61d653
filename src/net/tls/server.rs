//! TLS as a server, towards clients.

use super::session::TlsSession;
use super::setup_error;
use crate::error::Error;
use rustls::server::{ClientHello, ResolvesServerCert, UnbufferedServerConnection};
use rustls::sign::CertifiedKey;
use rustls::{KeyLog, ServerConfig};
use std::sync::Arc;

/// The configuration of TLS towards clients.
#[derive(Debug)]
pub(crate) struct ServerTls {
    template: ServerConfig,
}

impl ServerTls {
    /// Creates the configuration, with a key for session tickets.
    ///
    /// # Errors
    /// If the system has no randomness.
    pub(crate) fn new() -> Result<Self, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut template = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(setup_error)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Leaf(None)));
        template.ticketer = rustls::crypto::ring::Ticketer::new().map_err(setup_error)?;
        // Each ticket is one more record in every handshake; clients resume with one.
        template.send_tls13_tickets = 1;
        Ok(Self { template })
    }

    /// Logs the secrets of all sessions.
    pub(crate) fn log_keys(&mut self, key_log: Arc<dyn KeyLog>) {
        self.template.key_log = key_log;
    }

    /// Creates a session that presents `leaf` and selects `alpn`, the protocol that the origin selected.
    ///
    /// # Errors
    /// If rustls rejects the configuration.
    pub(crate) fn session(&self, leaf: Arc<CertifiedKey>, alpn: Option<&[u8]>) -> Result<TlsSession, rustls::Error> {
        let mut config = self.template.clone();
        config.alpn_protocols = alpn.map(<[u8]>::to_vec).into_iter().collect();
        config.cert_resolver = Arc::new(Leaf(Some(leaf)));
        UnbufferedServerConnection::new(Arc::new(config)).map(TlsSession::from)
    }
}

/// The certificate of one connection. It does not depend on the ClientHello, which was read before.
#[derive(Debug)]
struct Leaf(Option<Arc<CertifiedKey>>);

impl ResolvesServerCert for Leaf {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.clone()
    }
}
