//! Verification of origins' certificates.
//!
//! | certificate | accepted |
//! |---|---|
//! | issued by a root | if webpki accepts it |
//! | equal to one that the user gave | for its names, while it is valid, whatever its issuer, version and extensions are |
//! | any, if `insecure` | always |
//!
//! The handshake's signature proves that the peer has the certificate's key. It is verified for all of them; `insecure`
//! accepts keys for which that is impossible.

use crate::cert::{OriginCertificate, SignatureCheck};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use std::sync::Arc;

/// Verifies origins: against the roots, or leniently where the user configured that.
#[derive(Debug)]
pub(super) struct Verifier {
    pub(super) webpki: Arc<WebPkiServerVerifier>,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
    /// Certificates from the files that the user gave. webpki accepts them as roots only, not as an origin's own.
    pub(super) given: Vec<CertificateDer<'static>>,
    /// Accepts any certificate.
    pub(super) insecure: bool,
}

impl Verifier {
    fn is_given(&self, certificate: &CertificateDer<'_>) -> bool {
        self.given.iter().any(|given| given == certificate)
    }

    /// Decides about a signature that webpki rejected with `cause`, perhaps because of the certificate.
    fn reconsider(
        &self,
        cause: Error,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let check = OriginCertificate::parse(certificate).map_or(SignatureCheck::Unsupported, |certificate| {
            certificate.check_signature(message, signature, &self.algorithms)
        });
        match check {
            SignatureCheck::Valid if self.insecure || self.is_given(certificate) => {
                Ok(HandshakeSignatureValid::assertion())
            }
            SignatureCheck::Valid => Err(cause),
            SignatureCheck::Wrong => Err(Error::General("the signature of its handshake is wrong".into())),
            // ring supports RSA keys of 2,048 to 8,192 bits, P-256, P-384 and Ed25519. For other keys, the signature
            // cannot be verified. That weakens nothing: an impostor could as well present a certificate of its own.
            SignatureCheck::Unsupported if self.insecure => Ok(HandshakeSignatureValid::assertion()),
            SignatureCheck::Unsupported => Err(match cause {
                Error::InvalidCertificate(CertificateError::BadSignature) => UNSUPPORTED_KEY,
                cause => cause,
            }),
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.insecure {
            return Ok(ServerCertVerified::assertion());
        }
        if self.is_given(end_entity)
            && let Some(given) = OriginCertificate::parse(end_entity)
        {
            given.check_validity(now)?;
            if !given.is_for(name) {
                return Err(CertificateError::NotValidForName.into());
            }
            return Ok(ServerCertVerified::assertion());
        }
        self.webpki.verify_server_cert(end_entity, intermediates, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki
            .verify_tls12_signature(message, certificate, signature)
            .or_else(|cause| self.reconsider(cause, message, certificate, signature))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki
            .verify_tls13_signature(message, certificate, signature)
            .or_else(|cause| self.reconsider(cause, message, certificate, signature))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = self.webpki.supported_verify_schemes();
        if self.insecure {
            schemes.extend(UNVERIFIABLE_SCHEMES);
        }
        schemes
    }
}

/// The error for a certificate whose key cannot verify a signature.
const UNSUPPORTED_KEY: Error =
    Error::InvalidCertificate(CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext {
        signature_algorithm_id: Vec::new(),
        public_key_algorithm_id: Vec::new(),
    });

/// Offered last by a client that accepts any certificate, because servers do not present a certificate whose key or
/// signature the client does not support: P-521, Ed448, RSA keys for PSS only (RFC 8446 section 4.2.3), and SHA-1.
const UNVERIFIABLE_SCHEMES: [SignatureScheme; 7] = [
    SignatureScheme::ECDSA_NISTP521_SHA512,
    SignatureScheme::ED448,
    SignatureScheme::Unknown(0x0809),
    SignatureScheme::Unknown(0x080a),
    SignatureScheme::Unknown(0x080b),
    SignatureScheme::RSA_PKCS1_SHA1,
    SignatureScheme::ECDSA_SHA1_Legacy,
];
