//! Requests of origins for a client certificate (RFC 8446 section 4.3.2), and the certificates that we have for them.
//!
//! ```text
//! CertificateRequest ─▶ resolver of the connection ─┬─ a certificate ─▶ sent        CertificateRequest::Answered
//!                                                   └─ none ──────────▶ none sent   CertificateRequest::Unanswered
//! ```

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;
use std::cell::Cell;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

/// Shows whether an origin requests a client certificate in the handshake of this thread.
///
/// The state belongs to the thread, which performs one handshake at a time: a state per connection would need a resolver per
/// connection, and sessions are resumed only with the same resolver.
#[derive(Debug)]
pub(crate) struct RequestWatch(PhantomData<Rc<()>>);

/// A request for a client certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CertificateRequest {
    /// There was none.
    None,
    /// It was answered without a certificate: none is configured for the origin, or the origin does not accept its key type.
    Unanswered,
    /// A certificate was sent. The origin may still reject it; in TLS 1.3, after the handshake.
    Answered,
}

thread_local! {
    static REQUEST: Cell<CertificateRequest> = const { Cell::new(CertificateRequest::None) };
}

impl RequestWatch {
    /// Begins a handshake on this thread.
    pub(super) fn start() -> Self {
        REQUEST.set(CertificateRequest::None);
        Self(PhantomData)
    }

    /// The request so far.
    pub(crate) fn request(&self) -> CertificateRequest {
        REQUEST.get()
    }
}

/// Presents no certificate.
#[derive(Debug)]
pub(super) struct NoCertificate;

impl ResolvesClientCert for NoCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        REQUEST.set(CertificateRequest::Unanswered);
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// Presents one certificate, whichever issuers the origin names: the user chose it for this origin.
#[derive(Debug)]
pub(super) struct OwnCertificate(pub(super) Arc<CertifiedKey>);

impl ResolvesClientCert for OwnCertificate {
    fn resolve(&self, _: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let is_usable = self.0.key.choose_scheme(schemes).is_some();
        REQUEST.set(if is_usable { CertificateRequest::Answered } else { CertificateRequest::Unanswered });
        is_usable.then(|| Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}
