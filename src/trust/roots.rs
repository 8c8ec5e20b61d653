//! Root certificate files for commands that must trust the CA.

use super::environment::Environment;
use super::p12;
use crate::cert::{CaCertificate, encode_pem, machine_roots, read_roots, system_roots};
use crate::sorting::sort_by;
use rustls::pki_types::CertificateDer;
use std::path::Path;

/// The CA and every root that a command trusted before.
#[derive(Clone, Debug)]
pub struct TrustedRoots {
    /// Sorted, without duplicates, without the CA.
    roots: Vec<CertificateDer<'static>>,
    ca: CaCertificate,
}

impl TrustedRoots {
    /// Combines `ca`, the machine's roots, and the roots in the files that variables of `environment` name.
    ///
    /// One file serves every program, and each variable that names it replaces a program's own roots. The file therefore
    /// contains the roots of all programs: while captured, a program may trust more roots than before, but never fewer.
    pub fn with(ca: &CaCertificate, environment: &Environment) -> Self {
        let original = environment.without_proxy();
        let mut roots = [machine_roots(Environment::current().root_locations().as_ref()), system_roots()].concat();
        for file in original.root_files() {
            roots.extend(read_roots(file));
        }
        roots.retain(|root| root != ca.certificate_der());
        sort_by(&mut roots, &|a, b| a.as_ref().cmp(b.as_ref()));
        roots.dedup();
        Self { roots, ca: ca.clone() }
    }

    /// Returns the CA, first, and the roots in PEM.
    pub fn pem(&self) -> String {
        let mut text = self.ca.pem().to_owned();
        text.extend(self.roots.iter().map(encode_pem));
        text
    }

    /// Returns the CA in PEM, followed by the certificates in the file that `NODE_EXTRA_CA_CERTS` names in `environment`.
    /// For programs that add these certificates to their own roots.
    pub fn extra_pem(&self, environment: &Environment) -> String {
        let mut text = self.ca.pem().to_owned();
        if let Some(file) = environment.without_proxy().value("NODE_EXTRA_CA_CERTS") {
            let others = read_roots(Path::new(file));
            text.extend(others.iter().filter(|other| *other != self.ca.certificate_der()).map(encode_pem));
        }
        text
    }

    /// Returns the CA and the roots as a PKCS#12 trust store for Java, with the password [`crate::P12_PASSWORD`].
    pub fn p12(&self) -> Vec<u8> {
        let roots = self.roots.iter().map(|root| (root, None));
        p12::store([(self.ca.certificate_der(), Some(self.ca.name()))].into_iter().chain(roots))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cert::testing::{TempDir, ca_of};
    use std::fs;

    #[test]
    fn the_ca_comes_first_and_all_previous_roots_are_kept() {
        let dir = TempDir::new();
        let (ca, corporate) = (CaCertificate::for_tests(), ca_of("p384-pkcs8.pem").certificate());
        let file = dir.join("corporate.pem");
        // The file also contains the CA, as a system's store does after `spectral ca install`.
        fs::write(&file, format!("text\n{}{}", corporate.pem(), ca.pem())).unwrap();
        let environment =
            Environment::from_iter([("REQUESTS_CA_BUNDLE", file.to_str().unwrap()), ("PIP_CERT", "/not/there.pem")]);
        let pem = TrustedRoots::with(&ca, &environment).pem();
        assert!(pem.starts_with(ca.pem()));
        assert_eq!(pem.matches(ca.pem()).count(), 1);
        assert_eq!(pem.matches(corporate.pem()).count(), 1);
        assert!(pem.matches("BEGIN CERTIFICATE").count() > 20, "the machine's roots are missing");
    }
}
