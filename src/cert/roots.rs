//! The root certificates that this machine's programs trust.

use crate::embedded::inflate;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls_native_certs::{load_certs_from_paths, load_native_certs};
use std::path::{Path, PathBuf};

/// The files and directories that replace the system's roots (`SSL_CERT_FILE`, `SSL_CERT_DIR`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RootLocations {
    /// A PEM file.
    pub(crate) file: Option<PathBuf>,
    /// Directories of PEM files, hashed as OpenSSL does.
    pub(crate) dirs: Vec<PathBuf>,
}

/// Returns the roots to verify origins with: those at `locations`, or the system's if `locations` is empty. If there are none,
/// returns Mozilla's.
///
/// With `None`, the locations are read from this process's environment variables. A process inside another capture passes
/// the locations from before that capture, because its own variables name a file that contains the CA.
pub(crate) fn machine_roots(locations: Option<&RootLocations>) -> Vec<CertificateDer<'static>> {
    let roots = match locations {
        None => load_native_certs().certs,
        Some(locations) => roots_at(locations),
    };
    if roots.is_empty() { mozilla_roots() } else { roots }
}

/// Returns the roots that `load_native_certs` would return with these locations.
fn roots_at(RootLocations { file, dirs }: &RootLocations) -> Vec<CertificateDer<'static>> {
    if file.is_none() && dirs.is_empty() {
        return system_roots();
    }
    let mut roots = load_certs_from_paths(file.as_deref(), None).certs;
    for dir in dirs.iter().filter(|dir| !dir.as_os_str().is_empty()) {
        roots.extend(load_certs_from_paths(None, Some(dir)).certs);
    }
    roots
}

/// Returns the system's own roots, independent of environment variables.
pub(crate) fn system_roots() -> Vec<CertificateDer<'static>> {
    SYSTEM_ROOT_FILES.iter().map(|file| read_roots(Path::new(file))).find(|roots| !roots.is_empty()).unwrap_or_default()
}

/// Reads the certificates in a PEM file. Like other programs, it skips blocks that do not parse and treats a missing file as
/// empty.
pub(crate) fn read_roots(file: &Path) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(file).map(|found| found.flatten().collect()).unwrap_or_default()
}

/// Returns Mozilla's roots, for machines that have none.
pub(crate) fn mozilla_roots() -> Vec<CertificateDer<'static>> {
    let all = inflate(include_bytes!(concat!(env!("OUT_DIR"), "/roots.deflate")));
    let (mut roots, mut rest) = (Vec::new(), all.as_slice());
    while let Some((size, after)) = rest.split_first_chunk() {
        let Some((root, after)) = after.split_at_checked(u16::from_be_bytes(*size).into()) else { break };
        roots.push(CertificateDer::from(root.to_vec()));
        rest = after;
    }
    roots
}

/// The files in which systems keep all roots. The first with a certificate in it is used.
const SYSTEM_ROOT_FILES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt", // Debian, Arch, Alpine
    "/etc/pki/tls/certs/ca-bundle.crt",   // Fedora, RHEL
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem", // SUSE
    "/etc/ssl/cert.pem",      // macOS, the BSDs
];

#[cfg(test)]
mod tests {
    use super::super::testing::{TempDir, ca_of};
    use super::*;
    use std::fs;

    #[test]
    fn every_machine_has_roots() {
        assert!(!machine_roots(None).is_empty());
        let embedded = mozilla_roots();
        let given = webpki_root_certs::TLS_SERVER_ROOT_CERTS;
        assert!(embedded.len() > 100 && embedded == given);
    }

    #[test]
    fn reads_roots_from_the_given_locations() {
        let dir = TempDir::new();
        let corporate = ca_of("p384-pkcs8.pem").certificate();
        let file = dir.join("corporate.pem");
        fs::write(&file, corporate.pem()).unwrap();
        let from_file = RootLocations { file: Some(file), dirs: Vec::new() };
        assert_eq!(roots_at(&from_file), [corporate.certificate_der().clone()]);
        let from_dirs = RootLocations { file: None, dirs: vec![PathBuf::new(), dir.to_owned()] };
        assert_eq!(roots_at(&from_dirs), [corporate.certificate_der().clone()]);
        assert_eq!(roots_at(&RootLocations::default()), system_roots());
    }
}
