//! The CA's directory, in mitmproxy's layout.
//!
//! ```text
//!   ~/.mitmproxy/            mode 0700 if we create it
//!     mitmproxy-ca.pem       the private key and the certificate
//!     mitmproxy-ca-cert.pem  the certificate
//!     mitmproxy-ca-cert.cer  the same, for Android and Windows
//! ```
//!
//! Files are created atomically and never replace an existing CA: each is written to a temporary file, which link(2) then gives
//! its final name. link(2) fails if that name exists. If several processes start for the first time at once, one creates the
//! CA and all use it.

use super::{pem, x509};
use crate::error::Error;
use crate::error::ca::{BoxError, CaError};
use rustls::pki_types::CertificateDer;
use std::env;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Returns the default directory of the CA, which is mitmproxy's.
pub(crate) fn default_dir() -> Result<PathBuf, Error> {
    dir_in(env::home_dir())
}

fn dir_in(home: Option<PathBuf>) -> Result<PathBuf, Error> {
    match home {
        Some(home) if !home.as_os_str().is_empty() => Ok(home.join(DEFAULT_DIR)),
        _ => Err(Error::Ca { path: Path::new("~").join(DEFAULT_DIR), cause: CaError::NoHomeDirectory }),
    }
}

/// Returns true if `dir` has a CA file, valid or not.
pub(super) fn has_ca(dir: &Path) -> bool {
    fs::symlink_metadata(dir.join(CA)).is_ok()
}

/// The state of the CA's file when the CA was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CaState {
    /// The file existed, or another process created it at the same time.
    Existing,
    /// This process created the file.
    Created,
}

/// The CA's directory, which may not exist yet.
pub(super) struct CaDir<'a> {
    dir: &'a Path,
    /// The path of the CA's file.
    ca: PathBuf,
}

impl<'a> CaDir<'a> {
    pub(super) fn new(dir: &'a Path) -> Self {
        Self { dir, ca: dir.join(CA) }
    }

    pub(super) fn path(&self) -> &Path {
        self.dir
    }

    /// Returns the path of the CA's file.
    pub(super) fn ca_file(&self) -> &Path {
        &self.ca
    }

    /// Reads the CA's file. If it does not exist, first creates it with the text that `generate` returns, unless another
    /// process is faster.
    pub(super) fn read_or_create(
        &self,
        generate: impl FnOnce() -> Result<String, BoxError>,
    ) -> Result<(Vec<u8>, CaState), Error> {
        if let Some(file) = self.read()? {
            return Ok((file, CaState::Existing));
        }
        self.create_dir().map_err(|e| self.not_writable(e))?;
        let text = generate().map_err(|cause| self.unusable(CaError::Generate(cause)))?;
        let state = match self.create_file(CA, &text) {
            Ok(()) => CaState::Created,
            Err(e) if e.kind() == ErrorKind::AlreadyExists => CaState::Existing,
            Err(e) => return Err(self.not_writable(e)),
        };
        match self.read()? {
            Some(file) => Ok((file, state)),
            None => Err(self.unusable(CaError::Removed)),
        }
    }

    /// Writes the certificate files and returns the path of a file with the certificate.
    ///
    /// Failures are ignored: a CA in a directory without write permission is still usable. If the certificate file then does
    /// not hold `certificate`, returns the CA's own file.
    pub(super) fn write_certificate_files(
        &self,
        certificate: &CertificateDer<'_>,
        pem: &str,
        state: CaState,
    ) -> PathBuf {
        for name in [CERTIFICATE, CERTIFICATE_ANDROID] {
            let _ = match state {
                // Existing certificate files belong to a previous CA. mitmproxy replaces them too.
                CaState::Created => self.replace_file(name, pem),
                CaState::Existing => self.create_file(name, pem),
            };
        }
        let path = self.dir.join(CERTIFICATE);
        let matches = read_file(&path).is_ok_and(|file| pem::first_certificate(&file).as_ref() == Some(certificate));
        if matches { path } else { self.ca.clone() }
    }

    /// Returns the error for a CA file that cannot be used.
    pub(super) fn unusable(&self, cause: CaError) -> Error {
        Error::Ca { path: self.ca.clone(), cause }
    }

    /// Reads the CA's file. Returns `None` if it does not exist.
    pub(super) fn read(&self) -> Result<Option<Vec<u8>>, Error> {
        match read_file(&self.ca) {
            Ok(file) => Ok(Some(file)),
            Err(e) if e.kind() == ErrorKind::NotFound => match fs::symlink_metadata(&self.ca) {
                Ok(_) => Err(self.unusable(CaError::DanglingLink)),
                Err(_) => Ok(None),
            },
            Err(e) if e.kind() == ErrorKind::NotADirectory => {
                Err(Error::Ca { path: self.dir.to_owned(), cause: CaError::NotADirectory })
            }
            Err(e) => Err(self.unusable(CaError::Read(e))),
        }
    }

    fn not_writable(&self, cause: io::Error) -> Error {
        Error::Ca { path: self.dir.to_owned(), cause: CaError::Create(cause) }
    }

    fn create_dir(&self) -> io::Result<()> {
        if self.dir.is_dir() {
            return Ok(());
        }
        if let Some(parent) = self.dir.parent() {
            fs::create_dir_all(parent)?;
        }
        match DirBuilder::new().mode(0o700).create(self.dir) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists && self.dir.is_dir() => Ok(()),
            created => created,
        }
    }

    /// Creates a file. Fails with `AlreadyExists` if `name` exists.
    fn create_file(&self, name: &str, text: &str) -> io::Result<()> {
        let to = self.dir.join(name);
        // Avoids a temporary file in the common case. If `to` is created in between, the link below fails.
        if fs::symlink_metadata(&to).is_ok() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let temporary = self.write_temporary(name, text)?;
        match fs::hard_link(&temporary.0, &to) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::AlreadyExists => return Err(e),
            Err(_) => self.rename_without_replacing(&temporary, &to)?,
        }
        self.sync();
        Ok(())
    }

    /// Renames a file unless `to` exists, for file systems without hard links, such as exFAT. A lock on the directory makes
    /// the check and the rename one step.
    fn rename_without_replacing(&self, temporary: &TempFile, to: &Path) -> io::Result<()> {
        let dir = File::open(self.dir)?;
        // Without locks, two processes can race here. The lock is released when `dir` is closed.
        let _ = dir.lock();
        match fs::symlink_metadata(to) {
            Ok(_) => Err(ErrorKind::AlreadyExists.into()),
            Err(e) if e.kind() == ErrorKind::NotFound => fs::rename(&temporary.0, to),
            Err(e) => Err(e),
        }
    }

    /// Writes a file, and replaces an existing one.
    fn replace_file(&self, name: &str, text: &str) -> io::Result<()> {
        let temporary = self.write_temporary(name, text)?;
        fs::rename(&temporary.0, self.dir.join(name))?;
        self.sync();
        Ok(())
    }

    /// Writes and syncs a temporary file. Only the owner can read it, from its creation on.
    fn write_temporary(&self, name: &str, text: &str) -> io::Result<TempFile> {
        let random = x509::random().map_err(io::Error::other)?;
        let path = self.dir.join(format!(".{name}.{:016x}", u64::from_be_bytes(random)));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let temporary = TempFile(path);
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        Ok(temporary)
    }

    /// Syncs the directory, so that new names survive a crash. Errors are ignored: not every file system supports this, and
    /// this run does not need it.
    fn sync(&self) {
        let _ = File::open(self.dir).and_then(|dir| dir.sync_all());
    }
}

/// A temporary file, deleted on drop. After a rename there is nothing to delete.
struct TempFile(PathBuf);

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Reads a regular file. Follows symbolic links, because mounted secrets are links.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    // Opening a named pipe would block.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_CA_FILE_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

const DEFAULT_DIR: &str = ".mitmproxy";
const CA: &str = "mitmproxy-ca.pem";
const CERTIFICATE: &str = "mitmproxy-ca-cert.pem";
const CERTIFICATE_ANDROID: &str = "mitmproxy-ca-cert.cer";
/// About a hundred times the size of a key and a few certificates.
const MAX_CA_FILE_BYTES: u64 = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::super::Ca;
    use super::super::testing::{TempDir, fixture, midday, now, write_private};
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::process::{Command, Stdio};
    use std::sync::{Barrier, mpsc};
    use std::thread;
    use std::time::Duration;

    fn open(dir: &Path) -> Result<Ca, String> {
        Ca::open(dir, midday()).map_err(|e| e.to_string())
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_default_directory_is_mitmproxys() {
        assert_eq!(dir_in(Some("/home/me".into())).unwrap(), Path::new("/home/me/.mitmproxy"));
        for none in [None, Some(PathBuf::new())] {
            assert!(matches!(dir_in(none), Err(Error::Ca { cause: CaError::NoHomeDirectory, .. })));
        }
    }

    #[test]
    fn the_first_run_creates_a_ca_and_the_next_uses_it() {
        let scratch = TempDir::new();
        let dir = scratch.join("home/.mitmproxy");
        let created = open(&dir).unwrap();
        assert_eq!(names(&dir), [CERTIFICATE_ANDROID, CERTIFICATE, CA]);
        assert_eq!(mode(&dir), 0o700);
        for name in names(&dir) {
            assert_eq!(mode(&dir.join(name)), 0o600);
        }
        assert_eq!(created.cert_path(), dir.join(CERTIFICATE));
        let file = fs::read_to_string(dir.join(CA)).unwrap();
        assert!(file.starts_with("-----BEGIN PRIVATE KEY-----\n"));
        assert!(file.ends_with(created.cert_pem()));
        for name in [CERTIFICATE, CERTIFICATE_ANDROID] {
            assert_eq!(fs::read_to_string(dir.join(name)).unwrap(), created.cert_pem());
        }

        let again = open(&dir).unwrap();
        assert_eq!(again.cert_der(), created.cert_der());
        assert_eq!(fs::read_to_string(dir.join(CA)).unwrap(), file);
        assert_eq!(names(&dir).len(), 3);
    }

    #[test]
    fn an_existing_ca_is_not_changed() {
        let dir = TempDir::new();
        let path = dir.join(CA);
        write_private(&path, fixture("rsa-pkcs1.pem"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        fs::set_permissions(&*dir, fs::Permissions::from_mode(0o755)).unwrap();
        let ca = open(&dir).unwrap();
        assert_eq!(fs::read(&path).unwrap(), fixture("rsa-pkcs1.pem"));
        assert_eq!((mode(&path), mode(&dir)), (0o640, 0o755));
        // The certificate files are added.
        assert_eq!(ca.cert_path(), dir.join(CERTIFICATE));
        assert_eq!(fs::read_to_string(dir.join(CERTIFICATE_ANDROID)).unwrap(), ca.cert_pem());
    }

    #[test]
    fn an_existing_certificate_file_is_kept_and_used_only_if_it_matches() {
        let dir = TempDir::new();
        write_private(&dir.join(CA), fixture("p384-pkcs8.pem"));
        fs::write(dir.join(CERTIFICATE), fixture("rsa-pkcs1.pem")).unwrap();
        fs::create_dir(dir.join(CERTIFICATE_ANDROID)).unwrap();
        assert_eq!(open(&dir).unwrap().cert_path(), dir.join(CA));
        assert_eq!(fs::read(dir.join(CERTIFICATE)).unwrap(), fixture("rsa-pkcs1.pem"));
        // Different line endings match too.
        let matching = open(&dir).unwrap().cert_pem().replace('\n', "\r\n");
        fs::write(dir.join(CERTIFICATE), &matching).unwrap();
        assert_eq!(open(&dir).unwrap().cert_path(), dir.join(CERTIFICATE));
        assert_eq!(fs::read_to_string(dir.join(CERTIFICATE)).unwrap(), matching);
    }

    #[test]
    fn a_new_ca_replaces_the_certificate_file_of_a_deleted_one() {
        let dir = TempDir::new();
        fs::write(dir.join(CERTIFICATE), "the certificate of a deleted CA").unwrap();
        let ca = open(&dir).unwrap();
        assert_eq!(ca.cert_path(), dir.join(CERTIFICATE));
        assert_eq!(fs::read_to_string(dir.join(CERTIFICATE)).unwrap(), ca.cert_pem());
    }

    #[test]
    fn a_damaged_ca_is_reported_and_kept() {
        let dir = TempDir::new();
        let path = dir.join(CA);
        let encrypted = String::from_utf8(fixture("rsa-passphrase.pem")).unwrap();
        for (text, why) in
            [("", "empty"), ("garbage", "no private key"), (&encrypted, "the private key has a passphrase")]
        {
            write_private(&path, text);
            assert_eq!(open(&dir).unwrap_err(), format!("cannot use the CA {}: {why}", path.display()));
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            assert_eq!(names(&dir), [CA]);
        }
    }

    #[test]
    fn a_link_is_followed_and_never_replaced() {
        let dir = TempDir::new();
        symlink("elsewhere.pem", dir.join(CA)).unwrap();
        let error = open(&dir).unwrap_err();
        assert!(error.ends_with(": dangling symbolic link"), "{error}");
        assert!(!dir.join("elsewhere.pem").exists());
        write_private(&dir.join("elsewhere.pem"), fixture("p384-pkcs8.pem"));
        open(&dir).unwrap();
        assert!(fs::symlink_metadata(dir.join(CA)).unwrap().is_symlink());
    }

    #[test]
    fn an_unusable_directory_or_file_is_reported() {
        let dir = TempDir::new();
        fs::write(dir.join("file"), "").unwrap();
        assert!(open(&dir.join("file")).unwrap_err().ends_with(": not a directory"));
        assert!(open(&dir.join("file/below")).unwrap_err().ends_with(": not a directory"));
        fs::create_dir(dir.join(CA)).unwrap();
        assert!(open(&dir).unwrap_err().ends_with(": cannot read the file: not a regular file"));
        // A directory in which not even root can create a file.
        if cfg!(target_os = "linux") {
            let error = open(Path::new("/proc")).unwrap_err();
            assert!(error.starts_with("cannot use the CA /proc: cannot create a CA in this directory: "), "{error}");
        }
    }

    #[test]
    fn concurrent_first_runs_use_one_ca() {
        let scratch = TempDir::new();
        let dir = scratch.join(".mitmproxy");
        let start = Barrier::new(8);
        let first_run = || {
            start.wait();
            open(&dir).unwrap().cert_der().clone()
        };
        let all: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(first_run)).collect();
            threads.into_iter().map(|it| it.join().unwrap()).collect()
        });
        assert!(all.iter().all(|it| it == &all[0]));
        assert_eq!(names(&dir), [CERTIFICATE_ANDROID, CERTIFICATE, CA]);
    }

    const CHILD: &str = "SPECTRAL_TEST_CA_DIR";

    #[test]
    fn concurrent_first_runs_of_several_processes_use_one_ca() {
        if let Some(dir) = env::var_os(CHILD) {
            let dir = Path::new(&dir);
            let ca = Ca::open(&dir.join(".mitmproxy"), now()).unwrap();
            fs::write(dir.join(std::process::id().to_string()), ca.cert_pem()).unwrap();
            return;
        }
        let dir = TempDir::new();
        let this_test = "cert::store::tests::concurrent_first_runs_of_several_processes_use_one_ca";
        let spawn = || {
            let mut child = Command::new(env::current_exe().unwrap());
            child.args(["--exact", this_test]).env(CHILD, &*dir).stdout(Stdio::null()).spawn().unwrap()
        };
        let children: Vec<_> = (0..4).map(|_| spawn()).collect();
        for mut child in children {
            assert!(child.wait().unwrap().success());
        }
        let ca = Ca::open(&dir.join(".mitmproxy"), now()).unwrap();
        let seen: Vec<_> = names(&dir).into_iter().filter(|name| name != ".mitmproxy").collect();
        assert_eq!(seen.len(), 4);
        for name in seen {
            assert_eq!(fs::read_to_string(dir.join(name)).unwrap(), ca.cert_pem());
        }
    }

    #[test]
    fn without_hard_links_the_holder_of_the_lock_wins() {
        let dir = TempDir::new();
        let ca_dir = CaDir::new(&dir);
        let winner = File::open(&*dir).unwrap();
        winner.lock().unwrap();
        let (done, result) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(|| {
                let temporary = ca_dir.write_temporary(CA, "second").unwrap();
                done.send(ca_dir.rename_without_replacing(&temporary, &ca_dir.ca)).unwrap();
            });
            assert!(result.recv_timeout(Duration::from_millis(100)).is_err(), "waits for the lock");
            let temporary = ca_dir.write_temporary(CA, "first").unwrap();
            fs::rename(&temporary.0, &ca_dir.ca).unwrap();
            winner.unlock().unwrap();
            assert_eq!(result.recv().unwrap().unwrap_err().kind(), ErrorKind::AlreadyExists);
        });
        assert_eq!(fs::read_to_string(&ca_dir.ca).unwrap(), "first");
        assert_eq!(names(&dir), [CA]);

        fs::remove_file(&ca_dir.ca).unwrap();
        let temporary = ca_dir.write_temporary(CA, "third").unwrap();
        ca_dir.rename_without_replacing(&temporary, &ca_dir.ca).unwrap();
        drop(temporary);
        assert_eq!(fs::read_to_string(&ca_dir.ca).unwrap(), "third");
        assert_eq!(names(&dir), [CA]);
    }
}
