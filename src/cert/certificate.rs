//! The CA's certificate without its private key.
//!
//! `crate::trust` adds the formats that platforms import: PKCS#12, configuration profiles, fingerprints.

use super::x509_reader::X509;
use super::{Ca, pem, store};
use crate::clock::Moment;
use crate::error::Error;
use crate::error::ca::CaExposure;
use rustls::pki_types::CertificateDer;
use std::path::{Path, PathBuf};

/// The CA's certificate, which apps must trust, without its private key.
///
/// Its formats are [`pem`](Self::pem), [`der`](Self::der), [`p12`](Self::p12) for Java and Windows, and
/// [`mobileconfig`](Self::mobileconfig) for Apple's systems. [`path`](Self::path) is a file on this machine, if it has one.
#[derive(Clone, Debug)]
pub struct CaCertificate {
    der: CertificateDer<'static>,
    pem: String,
    name: String,
    path: Option<PathBuf>,
    exposures: Vec<CaExposure>,
}

impl CaCertificate {
    /// Opens the CA in `dir` and returns its certificate. Creates a CA if `dir` has none. The default for `dir` is
    /// `.mitmproxy` in the home directory.
    ///
    /// # Errors
    /// Returns [`Error::Ca`] if the existing CA cannot be used or a new one cannot be created. An existing CA is never changed.
    pub fn open(dir: Option<&Path>) -> Result<Self, Error> {
        let dir = Self::directory(dir)?;
        Ok(Ca::open(&dir, Moment::now().wall())?.certificate())
    }

    /// Returns the certificate of the CA in `dir`, also of one that [`CaCertificate::open`] rejects, for example because it
    /// expired: it may be in trust stores. Returns `None` if `dir` has no CA. Creates none.
    ///
    /// # Errors
    /// Returns [`Error::Ca`] if the CA's file cannot be read, or `dir` is `None` and the user has no home directory.
    pub fn find(dir: Option<&Path>) -> Result<Option<Self>, Error> {
        let dir = Self::directory(dir)?;
        match store::has_ca(&dir) {
            true => Ok(Some(Ca::open_unvalidated(&dir)?.certificate())),
            false => Ok(None),
        }
    }

    /// Returns the directory that [`CaCertificate::open`] uses.
    ///
    /// # Errors
    /// Returns [`Error::Ca`] if `dir` is `None` and the user has no home directory.
    pub fn directory(dir: Option<&Path>) -> Result<PathBuf, Error> {
        dir.map_or_else(store::default_dir, |dir| Ok(dir.to_owned()))
    }

    /// Returns true if `dir` has a CA file, valid or not.
    ///
    /// # Errors
    /// Returns [`Error::Ca`] if `dir` is `None` and the user has no home directory.
    pub fn exists(dir: Option<&Path>) -> Result<bool, Error> {
        Ok(store::has_ca(&Self::directory(dir)?))
    }

    pub(super) fn new(der: CertificateDer<'static>, path: Option<PathBuf>, exposures: Vec<CaExposure>) -> Self {
        let pem = pem::encode_certificate(&der);
        let subject = X509::parse(&der).map(|parsed| parsed.subject);
        let name =
            subject.map_or_else(|_| String::new(), |it| it.common_names().next().unwrap_or_else(|| it.to_text()));
        Self { der, pem, name, path, exposures }
    }

    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        super::testing::new_ca(super::testing::now()).certificate()
    }

    /// Returns the access that others have to the private key, as far as [`CaCertificate::open`] accepts it.
    pub fn exposures(&self) -> &[CaExposure] {
        &self.exposures
    }

    /// Returns the path of `mitmproxy-ca-cert.pem`. If that file cannot be written or holds another certificate, returns the
    /// path of `mitmproxy-ca.pem`, which also holds the private key. Returns `None` if the CA is in memory only.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Returns the certificate in PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Returns the certificate in DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Returns the certificate as rustls takes it.
    pub(crate) fn certificate_der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// Returns the subject's common name, or the whole subject if it has no common name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ca_of, new_ca, now};

    #[test]
    fn is_named_after_the_common_name() {
        let name = new_ca(now()).certificate().name().to_owned();
        assert!(name.starts_with("Spectral Capture CA "), "{name}");
    }

    #[test]
    fn pem_holds_one_block() {
        assert_eq!(ca_of("rsa-pkcs1.pem").certificate().pem().matches("BEGIN").count(), 1);
    }
}
