//! Fixtures and helpers for the tests of certificates.

use super::Ca;
use crate::clock::Moment;
use std::fs;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Reads a file of `tests/data/ca`, which `make.sh` there generates.
pub(crate) fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/ca").join(name)).unwrap()
}

/// Writes a file that only its owner can read.
pub(crate) fn write_private(path: &Path, bytes: impl AsRef<[u8]>) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// Opens the CA in a fixture.
pub(crate) fn ca_of(name: &str) -> Ca {
    let dir = TempDir::new();
    write_private(&dir.join("mitmproxy-ca.pem"), fixture(name));
    Ca::open(&dir, midday()).unwrap()
}

/// Creates a CA.
pub(crate) fn new_ca(now: SystemTime) -> Ca {
    Ca::open(&TempDir::new(), now).unwrap()
}

/// 2030-06-15 12:00 UTC. Every fixture is valid then.
pub(super) fn midday() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_907_755_200)
}

pub(super) fn days(n: u64) -> Duration {
    Duration::from_secs(n * 24 * 60 * 60)
}

/// The current time, for certificates that other programs verify.
pub(crate) fn now() -> SystemTime {
    UNIX_EPOCH + Moment::now().since_epoch()
}

/// An empty directory that is deleted on drop.
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new() -> Self {
        let unique = u64::from_be_bytes(super::x509::random().unwrap());
        let path = std::env::temp_dir().join(format!("spectral-cert-{unique:016x}"));
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Deref for TempDir {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
