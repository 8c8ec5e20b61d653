//! Reasons why a client certificate cannot be used.

use std::error::Error;
use std::fmt;
use std::io;

/// The reason why a client certificate cannot be used: that of a file ([`crate::Error::ClientCertificate`], which has the path), or
/// one in memory ([`crate::Error::ClientCertificateDer`]).
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientCertificateError {
    /// The file cannot be read.
    Read(io::Error),
    /// The file has no PEM block (`-----BEGIN …`). It may be PKCS#12.
    NotPem,
    /// The file is not valid PEM.
    Damaged(Box<dyn Error + Send + Sync>),
    /// The private key is encrypted.
    Passphrase,
    /// There is no private key.
    NoKey,
    /// The key is damaged, or its algorithm or size is not supported.
    UnsupportedKey,
    /// There is no certificate.
    NoCertificate,
    /// No certificate belongs to the private key.
    Mismatch,
}

impl fmt::Display for ClientCertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(cause) => cause.fmt(f),
            Self::NotPem => f.write_str("the file is not PEM (-----BEGIN CERTIFICATE-----)"),
            Self::Damaged(cause) => write!(f, "damaged: {cause}"),
            Self::Passphrase => f.write_str("the private key has a passphrase"),
            Self::NoKey => f.write_str("no private key"),
            Self::UnsupportedKey => f.write_str(
                "the private key is damaged or not supported (supported: RSA 2048 to 8192, P-256, P-384, Ed25519)",
            ),
            Self::NoCertificate => f.write_str("no certificate"),
            Self::Mismatch => f.write_str("no certificate belongs to the private key"),
        }
    }
}

impl Error for ClientCertificateError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Read(cause) => Some(cause),
            Self::Damaged(cause) => Some(&**cause),
            _ => None,
        }
    }
}
