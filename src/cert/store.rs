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
    match env::home_dir() {
        Some(home) if !home.as_os_str().is_empty() => Ok(home.join(FOLDER)),
        _ => Err(ca_error(
            &Path::new("~").join(FOLDER),
            "there is no home folder: give a folder with --ca-dir",
        )),
    }
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
                Ok(_) => Err(ca_error(
                    &self.ca,
                    format!("it is a link to nowhere: repair it, or {OTHER_FOLDER}"),
                )),
                Err(_) => Ok(None),
            },
            Err(e) if e.kind() == ErrorKind::NotADirectory => {
                Err(ca_error(self.dir, format!("it is no folder: {OTHER_FOLDER}")))
            }
            Err(e) => Err(ca_error(&self.ca, format!("it cannot be read ({e}): {OTHER_FOLDER}"))),
        }
    }

    fn not_writable(&self, cause: &io::Error) -> Error {
        ca_error(
            self.dir,
            format!("a new one cannot be written there ({cause}): {OTHER_FOLDER}"),
        )
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
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
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
    Error::Ca {
        path: path.to_owned(),
        what: what.into(),
    }
}

const FOLDER: &str = ".mitmproxy";
const CA: &str = "mitmproxy-ca.pem";
const CERTIFICATE: &str = "mitmproxy-ca-cert.pem";
const CERTIFICATE_ANDROID: &str = "mitmproxy-ca-cert.cer";
const OTHER_FOLDER: &str = "choose another folder with --ca-dir";
/// A hundred times what a key and a few certificates take.
const MAX_FILE: u64 = 1024 * 1024;
