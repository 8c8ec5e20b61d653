//! What the tests of certificates share.

use super::Ca;
use crate::clock::Moment;
use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A file of `tests/data/ca`, made by the script there.
pub(super) fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/ca").join(name)).unwrap()
}

/// The CA in such a file.
pub(super) fn ca_of(name: &str) -> Ca {
    let folder = Scratch::new();
    fs::write(folder.join("mitmproxy-ca.pem"), fixture(name)).unwrap();
    Ca::open(&folder, midday()).unwrap()
}

/// A CA that was just made.
pub(super) fn new_ca(now: SystemTime) -> Ca {
    Ca::open(&Scratch::new(), now).unwrap()
}

/// 2030-06-15 12:00, when every fixture is valid.
pub(super) fn midday() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_907_755_200)
}

pub(super) fn days(n: u64) -> Duration {
    Duration::from_secs(n * 24 * 60 * 60)
}

/// The time on the clocks of other programs.
pub(super) fn now() -> SystemTime {
    UNIX_EPOCH + Moment::now().since_epoch()
}

/// An empty folder that goes at the end of its test.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new() -> Self {
        let unique = u64::from_be_bytes(super::x509::random().unwrap());
        let path = std::env::temp_dir().join(format!("spectral-cert-{unique:016x}"));
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Deref for Scratch {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
