//! The mounts of the namespace: the command's roots in place of the system's.

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use std::path::Path;

/// Keeps all later mounts in this namespace. Otherwise, with shared propagation, they would appear in the machine's.
pub(super) fn make_private() -> Result<(), Errno> {
    change(None, Path::new("/"), MsFlags::MS_REC | MsFlags::MS_PRIVATE)
}

/// Mounts `roots` over the files in which the system keeps all roots. Best effort: variables name the roots, too.
pub(super) fn cover_roots(roots: &Path) {
    for file in ROOT_FILES {
        let _ = change(Some(roots), Path::new(file), MsFlags::MS_BIND);
    }
}

fn change(source: Option<&Path>, target: &Path, flags: MsFlags) -> Result<(), Errno> {
    mount(source, target, None::<&Path>, flags, None::<&Path>)
}

const ROOT_FILES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt", // Debian, Arch, Alpine
    "/etc/ssl/certs/ca-bundle.crt",       // NixOS
    "/etc/pki/tls/certs/ca-bundle.crt",   // Fedora, RHEL
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem", // SUSE
    "/etc/ssl/cert.pem",
];
