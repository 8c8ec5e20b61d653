//! The roots that this machine's programs trust: for us to verify origins with, and for a command that is to trust them and us.
//!
//! Neither may hold what a capture around us has added: the variables are read as they were before it.

use super::certificate::CaCertificate;
use super::pem;
use crate::trust::environment::Environment;
use crate::trust::p12;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls_native_certs::{load_certs_from_paths, load_native_certs};
use std::env;
use std::path::{Path, PathBuf};

/// What origins are verified with: what the variables for it name, else the machine's own, else Mozilla's.
pub(crate) fn of_machine() -> Vec<CertificateDer<'static>> {
    let environment = Environment::current();
    let roots = match environment.is_ours() {
        false => load_native_certs().certs,
        true => as_before(&environment.restored()),
    };
    if roots.is_empty() { MOZILLA.to_vec() } else { roots }
}

/// What `load_native_certs` would give in another environment.
fn as_before(environment: &Environment) -> Vec<CertificateDer<'static>> {
    let file = environment.value("SSL_CERT_FILE").map(Path::new);
    let dirs: Vec<PathBuf> =
        environment.value("SSL_CERT_DIR").map(|dirs| env::split_paths(dirs).collect()).unwrap_or_default();
    if file.is_none() && dirs.is_empty() {
        return of_system();
    }
    let mut roots = load_certs_from_paths(file, None).certs;
    for dir in dirs.iter().filter(|dir| !dir.as_os_str().is_empty()) {
        roots.extend(load_certs_from_paths(None, Some(dir)).certs);
    }
    roots
}

/// The machine's own, whatever variables say.
fn of_system() -> Vec<CertificateDer<'static>> {
    SYSTEM_FILES.iter().map(|file| read(Path::new(file))).find(|roots| !roots.is_empty()).unwrap_or_default()
}

/// Those that do not parse are skipped, and so is a file that is not there: that is what programs make of it.
fn read(file: &Path) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(file).map(|found| found.flatten().collect()).unwrap_or_default()
}

/// Everything that a program may have trusted before, and a CA: the variables for this name one file each, that replaces a
/// program's own roots.
#[derive(Clone, Debug)]
pub struct Roots {
    /// Each once.
    roots: Vec<CertificateDer<'static>>,
    ca: CaCertificate,
}

impl Roots {
    /// The machine's roots, those in the files that `environment` names, and `ca`.
    ///
    /// All of them together, since one file serves every program: a program that had fewer trusts more for as long as it is captured,
    /// and none trusts less.
    pub fn with(ca: &CaCertificate, environment: &Environment) -> Self {
        let before = environment.restored();
        let mut roots = [of_machine(), of_system()].concat();
        for file in before.root_files() {
            roots.extend(read(file));
        }
        roots.retain(|root| root != ca.der());
        roots.sort_unstable_by(|a, b| a.as_ref().cmp(b.as_ref()));
        roots.dedup();
        Self { roots, ca: ca.clone() }
    }

    /// A file for programs that read PEM; the CA comes first.
    pub fn pem(&self) -> String {
        let mut text = self.ca.pem().to_owned();
        text.extend(self.roots.iter().map(pem::certificate));
        text
    }

    /// A file for programs that trust what is in it besides their own roots; what it held before stays.
    pub fn extra_pem(&self, environment: &Environment) -> String {
        let mut text = self.ca.pem().to_owned();
        if let Some(file) = environment.restored().value("NODE_EXTRA_CA_CERTS") {
            let others = read(Path::new(file));
            text.extend(others.iter().filter(|other| *other != self.ca.der()).map(pem::certificate));
        }
        text
    }

    /// A file for Java.
    pub fn p12(&self) -> Vec<u8> {
        let roots = self.roots.iter().map(|root| (root, None));
        p12::store([(self.ca.der(), Some(self.ca.name()))].into_iter().chain(roots))
    }
}

/// For machines that have none.
const MOZILLA: &[CertificateDer<'static>] = webpki_root_certs::TLS_SERVER_ROOT_CERTS;
/// Where systems keep all their roots in one file; the first that is there holds them.
const SYSTEM_FILES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt", // Debian, Arch, Alpine
    "/etc/pki/tls/certs/ca-bundle.crt",   // Fedora, RHEL
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem", // SUSE
    "/etc/ssl/cert.pem",      // macOS, the BSDs
];

#[cfg(test)]
mod tests {
    use super::super::testing::{Scratch, ca_of, new_ca, now};
    use super::*;
    use std::fs;

    #[test]
    fn there_are_roots_on_every_machine() {
        assert!(!of_machine().is_empty());
        assert!(MOZILLA.len() > 100);
    }

    #[test]
    fn what_programs_trusted_before_stays_and_the_ca_comes_first() {
        let dir = Scratch::new();
        let (ca, corporate) = (new_ca(now()).certificate(), ca_of("p384-pkcs8.pem").certificate());
        let file = dir.join("corporate.pem");
        // The CA is there twice if a system store has it too.
        fs::write(&file, format!("text\n{}{}", corporate.pem(), ca.pem())).unwrap();
        let environment =
            Environment::of([("REQUESTS_CA_BUNDLE", file.to_str().unwrap()), ("PIP_CERT", "/not/there.pem")]);
        let pem = Roots::with(&ca, &environment).pem();
        assert!(pem.starts_with(ca.pem()));
        assert_eq!(pem.matches(ca.pem()).count(), 1);
        assert_eq!(pem.matches(corporate.pem()).count(), 1);
        assert!(pem.matches("BEGIN CERTIFICATE").count() > 20, "the machine's are there too");
    }

    #[test]
    fn the_roots_of_a_wrapped_shell_are_those_from_before() {
        let dir = Scratch::new();
        let corporate = ca_of("p384-pkcs8.pem").certificate();
        let file = dir.join("corporate.pem");
        fs::write(&file, corporate.pem()).unwrap();
        assert_eq!(as_before(&Environment::of([("SSL_CERT_FILE", file.to_str().unwrap())])), [corporate.der().clone()]);
        let dirs = format!(":{}", dir.display());
        assert_eq!(as_before(&Environment::of([("SSL_CERT_DIR", dirs.as_str())])), [corporate.der().clone()]);
        assert_eq!(as_before(&Environment::of([])), of_system());
    }
}
