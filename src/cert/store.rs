//! The CA's folder, in mitmproxy's layout.
//!
//! ```text
//!   ~/.mitmproxy/            0700 if we make it
//!     mitmproxy-ca.pem       the key and the certificate
//!     mitmproxy-ca-cert.pem  the certificate
//!     mitmproxy-ca-cert.cer  the same, for Android
//! ```
//!
//! A file appears under its name whole or not at all, and never in place of a CA that is there: it is written under a name of
//! its own, and that file then gets its second name with link(2), which fails where the name is taken. So of several first runs
//! at once one wins, and all go on with what it made.

use super::ca::Flaw;
use super::{pem, x509};
use crate::error::Error;
use rustls::pki_types::CertificateDer;
use std::env;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Where the CA is unless another folder is given: where mitmproxy keeps its own.
pub(crate) fn default_dir() -> Result<PathBuf, Error> {
    dir_in(env::home_dir())
}

fn dir_in(home: Option<PathBuf>) -> Result<PathBuf, Error> {
    match home {
        Some(home) if !home.as_os_str().is_empty() => Ok(home.join(FOLDER)),
        _ => Err(ca_error(&Path::new("~").join(FOLDER), "there is no home folder: give a folder with --ca-dir")),
    }
}

/// Whether there is a file where a CA would be; whatever is wrong with it, it is one.
pub(super) fn has_ca(dir: &Path) -> bool {
    fs::symlink_metadata(dir.join(CA)).is_ok()
}

/// Whether a CA was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// It was, if perhaps only for a moment.
    Found,
    /// We made it.
    Made,
}

/// The CA's folder, which need not be there yet.
pub(super) struct Folder<'a> {
    dir: &'a Path,
    ca: PathBuf,
}

impl<'a> Folder<'a> {
    pub(super) fn new(dir: &'a Path) -> Self {
        Self { dir, ca: dir.join(CA) }
    }

    /// The CA's file as it is in the end, whoever made it.
    pub(super) fn read_or_make(
        &self,
        make: impl FnOnce() -> Result<String, x509::Failure>,
    ) -> Result<(Vec<u8>, Origin), Error> {
        if let Some(file) = self.read()? {
            return Ok((file, Origin::Found));
        }
        self.make_dir().map_err(|e| self.not_writable(&e))?;
        let text = make().map_err(|cause| ca_error(&self.ca, format!("none can be made: {cause}")))?;
        let origin = match self.add(CA, &text) {
            Ok(()) => Origin::Made,
            Err(e) if e.kind() == ErrorKind::AlreadyExists => Origin::Found,
            Err(e) => return Err(self.not_writable(&e)),
        };
        match self.read()? {
            Some(file) => Ok((file, origin)),
            None => Err(ca_error(&self.ca, "it was removed while it was opened: try again")),
        }
    }

    /// Sees to it that the certificate has files of its own, and says where people find it. Whoever cannot write to the folder of
    /// a CA can still use it, so that is no error: then, or if the file there holds something else, it is the CA's own file.
    pub(super) fn publish(&self, certificate: &CertificateDer<'_>, pem: &str, origin: Origin) -> PathBuf {
        for name in [CERTIFICATE, CERTIFICATE_ANDROID] {
            // A new CA makes what is left from another one wrong, as it does when mitmproxy makes it.
            let _ = match origin {
                Origin::Made => self.replace(name, pem),
                Origin::Found => self.add(name, pem),
            };
        }
        let path = self.dir.join(CERTIFICATE);
        let right = read_file(&path).is_ok_and(|file| pem::first_certificate(&file).as_ref() == Some(certificate));
        if right { path } else { self.ca.clone() }
    }

    /// What is wrong with the CA's file.
    pub(super) fn unusable(&self, flaw: Flaw) -> Error {
        ca_error(&self.ca, flaw.to_string())
    }

    /// `None` if there is none.
    fn read(&self) -> Result<Option<Vec<u8>>, Error> {
        match read_file(&self.ca) {
            Ok(file) => Ok(Some(file)),
            Err(e) if e.kind() == ErrorKind::NotFound => match fs::symlink_metadata(&self.ca) {
                // A link to a place that is not there, such as a volume that is not mounted.
                Ok(_) => Err(ca_error(&self.ca, format!("it is a link to nowhere: repair it, or {OTHER_FOLDER}"))),
                Err(_) => Ok(None),
            },
            Err(e) if e.kind() == ErrorKind::NotADirectory => {
                Err(ca_error(self.dir, format!("it is no folder: {OTHER_FOLDER}")))
            }
            Err(e) => Err(ca_error(&self.ca, format!("it cannot be read ({e}): {OTHER_FOLDER}"))),
        }
    }

    fn not_writable(&self, cause: &io::Error) -> Error {
        ca_error(self.dir, format!("a new one cannot be written there ({cause}): {OTHER_FOLDER}"))
    }

    fn make_dir(&self) -> io::Result<()> {
        if self.dir.is_dir() {
            return Ok(());
        }
        if let Some(parent) = self.dir.parent() {
            fs::create_dir_all(parent)?;
        }
        match DirBuilder::new().mode(0o700).create(self.dir) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists && self.dir.is_dir() => Ok(()),
            made => made,
        }
    }

    /// Adds a file, unless the name is taken.
    fn add(&self, name: &str, text: &str) -> io::Result<()> {
        let to = self.dir.join(name);
        // Saves the writing where the answer is known; the link decides.
        if fs::symlink_metadata(&to).is_ok() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let temporary = self.write_temporary(name, text)?;
        match fs::hard_link(&temporary.0, &to) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::AlreadyExists => return Err(e),
            Err(_) => self.rename_if_free(&temporary, &to)?,
        }
        self.sync();
        Ok(())
    }

    /// For file systems without hard links, such as exFAT: whoever holds the folder's lock looks, then renames.
    fn rename_if_free(&self, temporary: &Temporary, to: &Path) -> io::Result<()> {
        let folder = File::open(self.dir)?;
        // Without locks either, two first runs within the same instant are not told apart. It ends with `folder`.
        let _ = folder.lock();
        match fs::symlink_metadata(to) {
            Ok(_) => Err(ErrorKind::AlreadyExists.into()),
            Err(e) if e.kind() == ErrorKind::NotFound => fs::rename(&temporary.0, to),
            Err(e) => Err(e),
        }
    }

    fn replace(&self, name: &str, text: &str) -> io::Result<()> {
        let temporary = self.write_temporary(name, text)?;
        fs::rename(&temporary.0, self.dir.join(name))?;
        self.sync();
        Ok(())
    }

    /// Complete and on the disk, for nobody else to read from its first byte on.
    fn write_temporary(&self, name: &str, text: &str) -> io::Result<Temporary> {
        let random = x509::random().map_err(|e| io::Error::other(e.to_string()))?;
        let path = self.dir.join(format!(".{name}.{:016x}", u64::from_be_bytes(random)));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let temporary = Temporary(path);
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        Ok(temporary)
    }

    /// Makes names last. Not every file system can, and none need to for this run.
    fn sync(&self) {
        let _ = File::open(self.dir).and_then(|folder| folder.sync_all());
    }
}

/// A file that goes when this does; after a rename nothing is there to go.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Links are followed: a mounted secret is one.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    // Opening a pipe would wait for its other end.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn ca_error(path: &Path, what: impl Into<String>) -> Error {
    Error::Ca { path: path.to_owned(), what: what.into() }
}

const FOLDER: &str = ".mitmproxy";
const CA: &str = "mitmproxy-ca.pem";
const CERTIFICATE: &str = "mitmproxy-ca-cert.pem";
const CERTIFICATE_ANDROID: &str = "mitmproxy-ca-cert.cer";
const OTHER_FOLDER: &str = "choose another folder with --ca-dir";
/// A hundred times what a key and a few certificates take.
const MAX_FILE: u64 = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::super::Ca;
    use super::super::testing::{Scratch, fixture, midday, now};
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
    fn it_is_where_mitmproxy_looks() {
        assert_eq!(dir_in(Some("/home/me".into())).unwrap(), Path::new("/home/me/.mitmproxy"));
        for none in [None, Some(PathBuf::new())] {
            assert!(dir_in(none).unwrap_err().to_string().contains("--ca-dir"));
        }
    }

    #[test]
    fn the_first_run_makes_one_and_the_next_uses_it() {
        let scratch = Scratch::new();
        let dir = scratch.join("home/.mitmproxy");
        let made = open(&dir).unwrap();
        assert_eq!(names(&dir), [CERTIFICATE_ANDROID, CERTIFICATE, CA]);
        assert_eq!(mode(&dir), 0o700);
        for name in names(&dir) {
            assert_eq!(mode(&dir.join(name)), 0o600);
        }
        assert_eq!(made.cert_path(), dir.join(CERTIFICATE));
        let file = fs::read_to_string(dir.join(CA)).unwrap();
        assert!(file.starts_with("-----BEGIN PRIVATE KEY-----\n"));
        assert!(file.ends_with(made.cert_pem()));
        for name in [CERTIFICATE, CERTIFICATE_ANDROID] {
            assert_eq!(fs::read_to_string(dir.join(name)).unwrap(), made.cert_pem());
        }

        let again = open(&dir).unwrap();
        assert_eq!(again.cert_der(), made.cert_der());
        assert_eq!(fs::read_to_string(dir.join(CA)).unwrap(), file);
        assert_eq!(names(&dir).len(), 3);
    }

    #[test]
    fn one_that_is_there_stays_as_it_is() {
        let dir = Scratch::new();
        let path = dir.join(CA);
        fs::write(&path, fixture("rsa-pkcs1.pem")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        fs::set_permissions(&*dir, fs::Permissions::from_mode(0o755)).unwrap();
        let ca = open(&dir).unwrap();
        assert_eq!(fs::read(&path).unwrap(), fixture("rsa-pkcs1.pem"));
        assert_eq!((mode(&path), mode(&dir)), (0o640, 0o755));
        // Its certificate gets files of its own.
        assert_eq!(ca.cert_path(), dir.join(CERTIFICATE));
        assert_eq!(fs::read_to_string(dir.join(CERTIFICATE_ANDROID)).unwrap(), ca.cert_pem());
    }

    #[test]
    fn a_certificate_file_that_is_there_is_left_and_only_named_if_it_is_right() {
        let dir = Scratch::new();
        fs::write(dir.join(CA), fixture("p384-pkcs8.pem")).unwrap();
        fs::write(dir.join(CERTIFICATE), fixture("rsa-pkcs1.pem")).unwrap();
        fs::create_dir(dir.join(CERTIFICATE_ANDROID)).unwrap();
        assert_eq!(open(&dir).unwrap().cert_path(), dir.join(CA));
        assert_eq!(fs::read(dir.join(CERTIFICATE)).unwrap(), fixture("rsa-pkcs1.pem"));
        // In whatever spelling.
        let right = open(&dir).unwrap().cert_pem().replace('\n', "\r\n");
        fs::write(dir.join(CERTIFICATE), &right).unwrap();
        assert_eq!(open(&dir).unwrap().cert_path(), dir.join(CERTIFICATE));
        assert_eq!(fs::read_to_string(dir.join(CERTIFICATE)).unwrap(), right);
    }

    #[test]
    fn a_new_ca_replaces_what_is_left_of_another() {
        let dir = Scratch::new();
        fs::write(dir.join(CERTIFICATE), "the certificate of a CA that is gone").unwrap();
        let ca = open(&dir).unwrap();
        assert_eq!(ca.cert_path(), dir.join(CERTIFICATE));
        assert_eq!(fs::read_to_string(dir.join(CERTIFICATE)).unwrap(), ca.cert_pem());
    }

    #[test]
    fn broken_ones_are_told_and_kept() {
        let dir = Scratch::new();
        let path = dir.join(CA);
        let encrypted = String::from_utf8(fixture("rsa-passphrase.pem")).unwrap();
        for (text, what) in [
            ("", "it is empty"),
            ("garbage", "there is no private key in it"),
            (&encrypted, "its key has a passphrase"),
        ] {
            fs::write(&path, text).unwrap();
            let told = open(&dir).unwrap_err();
            assert!(told.starts_with(&format!("cannot use the CA {}: {what}", path.display())), "{told}");
            assert!(told.contains("--ca-dir") && !told.contains('\n'), "{told}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            assert_eq!(names(&dir), [CA]);
        }
    }

    #[test]
    fn a_link_is_followed_and_never_replaced() {
        let dir = Scratch::new();
        symlink("elsewhere.pem", dir.join(CA)).unwrap();
        let told = open(&dir).unwrap_err();
        assert!(told.contains("it is a link to nowhere"), "{told}");
        assert!(!dir.join("elsewhere.pem").exists());
        fs::write(dir.join("elsewhere.pem"), fixture("p384-pkcs8.pem")).unwrap();
        open(&dir).unwrap();
        assert!(fs::symlink_metadata(dir.join(CA)).unwrap().is_symlink());
    }

    #[test]
    fn what_cannot_be_a_folder_or_a_file_is_told() {
        let dir = Scratch::new();
        fs::write(dir.join("file"), "").unwrap();
        assert!(open(&dir.join("file")).unwrap_err().contains("it is no folder"));
        assert!(open(&dir.join("file/below")).unwrap_err().contains("it is no folder"));
        fs::create_dir(dir.join(CA)).unwrap();
        assert!(open(&dir).unwrap_err().contains("it cannot be read (it is not a file)"));
        // A folder in which nobody, root included, can make a file.
        if cfg!(target_os = "linux") {
            let told = open(Path::new("/proc")).unwrap_err();
            assert!(told.starts_with("cannot use the CA /proc: a new one cannot be written there ("), "{told}");
        }
    }

    #[test]
    fn first_runs_at_once_end_with_one_ca() {
        let scratch = Scratch::new();
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
    fn first_runs_of_several_processes_end_with_one_ca() {
        if let Some(dir) = env::var_os(CHILD) {
            let dir = Path::new(&dir);
            let ca = Ca::open(&dir.join(".mitmproxy"), now()).unwrap();
            fs::write(dir.join(std::process::id().to_string()), ca.cert_pem()).unwrap();
            return;
        }
        let dir = Scratch::new();
        let this = "cert::store::tests::first_runs_of_several_processes_end_with_one_ca";
        let again = || {
            let mut child = Command::new(env::current_exe().unwrap());
            child.args(["--exact", this]).env(CHILD, &*dir).stdout(Stdio::null()).spawn().unwrap()
        };
        let children: Vec<_> = (0..4).map(|_| again()).collect();
        for mut child in children {
            assert!(child.wait().unwrap().success());
        }
        let right = Ca::open(&dir.join(".mitmproxy"), now()).unwrap();
        let seen: Vec<_> = names(&dir).into_iter().filter(|name| name != ".mitmproxy").collect();
        assert_eq!(seen.len(), 4);
        for name in seen {
            assert_eq!(fs::read_to_string(dir.join(name)).unwrap(), right.cert_pem());
        }
    }

    #[test]
    fn without_hard_links_whoever_has_the_lock_wins() {
        let dir = Scratch::new();
        let folder = Folder::new(&dir);
        let winner = File::open(&*dir).unwrap();
        winner.lock().unwrap();
        let (done, result) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(|| {
                let temporary = folder.write_temporary(CA, "second").unwrap();
                done.send(folder.rename_if_free(&temporary, &folder.ca)).unwrap();
            });
            assert!(result.recv_timeout(Duration::from_millis(100)).is_err(), "it does not wait for the lock");
            let temporary = folder.write_temporary(CA, "first").unwrap();
            fs::rename(&temporary.0, &folder.ca).unwrap();
            winner.unlock().unwrap();
            assert_eq!(result.recv().unwrap().unwrap_err().kind(), ErrorKind::AlreadyExists);
        });
        assert_eq!(fs::read_to_string(&folder.ca).unwrap(), "first");
        assert_eq!(names(&dir), [CA]);

        fs::remove_file(&folder.ca).unwrap();
        let temporary = folder.write_temporary(CA, "third").unwrap();
        folder.rename_if_free(&temporary, &folder.ca).unwrap();
        drop(temporary);
        assert_eq!(fs::read_to_string(&folder.ca).unwrap(), "third");
        assert_eq!(names(&dir), [CA]);
    }
}
