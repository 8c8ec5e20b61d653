//! A temporary directory with the trust files that the command's variables name. It exists while the command runs.
//!
//! Certificates are not secret, and a command may switch to another user. Other users may therefore read the files.
//! They cannot list or guess the directory's name, and cannot write to the directory. Only the owner may read the copy
//! of `.wgetrc`, which may contain passwords.
//!
//! A run that is killed cannot clean up, so the next run does. Each run holds a lock on its directory; the system
//! releases the lock when the process ends for any reason.

use super::settings;
use spectral_capture::{CaCertificate, Environment, NODE_SCRIPT, TrustFiles, TrustedRoots};
use std::collections::hash_map::RandomState;
use std::env;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The directory, deleted on drop.
#[derive(Debug)]
pub(super) struct TrustDir {
    path: PathBuf,
    /// An open descriptor of the directory, which holds its lock.
    _lock: File,
    /// The paths of the files in the directory.
    pub(super) files: TrustFiles,
    /// The programs that get no settings, because these cannot contain a path that they would need.
    pub(super) without_settings: Vec<&'static str>,
}

impl TrustDir {
    /// Creates the directory in the system's temporary directory and writes the files.
    ///
    /// # Errors
    /// If something cannot be written.
    pub(super) fn new(ca: &CaCertificate, environment: &Environment) -> Result<Self, String> {
        let parent = std::path::absolute(env::temp_dir()).map_err(|e| format!("cannot find TMPDIR: {e}"))?;
        Self::create_in(&parent, ca, environment)
            .map_err(|e| format!("cannot write the command's trust files in {}: {e}", parent.display()))
    }

    fn create_in(parent: &Path, ca: &CaCertificate, environment: &Environment) -> io::Result<Self> {
        let path = parent.join(format!("{PREFIX}{:016x}", RandomState::new().build_hasher().finish()));
        let lock = make_locked(&path)?;
        remove_abandoned(parent, &lock);
        let original = environment.without_proxy();
        let file = |name| path.join(name);
        let roots = file("roots.pem");
        let wget = settings::of_wget(&original, &roots);
        let wget2 = settings::of_wget2(&original);
        let apt = settings::of_apt(&original, &roots);
        let php = settings::of_php(&roots);
        let mut files = TrustFiles::new(roots, file("ca.pem"), file("roots.p12"), file("node.js"));
        files.wgetrc = Some(file("wgetrc"));
        files.wget2rc = Some(file("wget2rc"));
        files.apt = apt.is_some().then(|| file("apt.conf"));
        files.php = php.is_some().then(|| path.clone());
        let missing = [("apt", files.apt.is_none()), ("PHP", files.php.is_none())];
        let without_settings =
            missing.into_iter().filter(|(_, is_missing)| *is_missing).map(|(name, _)| name).collect();
        let dir = Self { path, _lock: lock, files, without_settings };
        let roots = TrustedRoots::with(ca, environment);
        write(&dir.files.roots, MODE_ALL_READ, roots.pem().as_bytes())?;
        write(&dir.files.java, MODE_ALL_READ, &roots.p12())?;
        write(&dir.files.extra, MODE_ALL_READ, roots.extra_pem(environment).as_bytes())?;
        write(&dir.files.node, MODE_ALL_READ, NODE_SCRIPT.as_bytes())?;
        for (name, mode, contents) in [
            ("wgetrc", MODE_OWNER_ONLY, Some(wget)),
            ("wget2rc", MODE_OWNER_ONLY, Some(wget2)),
            ("apt.conf", MODE_ALL_READ, apt.map(String::into_bytes)),
            ("php.ini", MODE_ALL_READ, php.map(String::into_bytes)),
        ] {
            if let Some(contents) = contents {
                write(&dir.path.join(name), mode, &contents)?;
            }
        }
        fs::set_permissions(&dir.path, Permissions::from_mode(0o711))?;
        Ok(dir)
    }
}

/// Creates a directory that is locked before it appears under its name.
fn make_locked(path: &Path) -> io::Result<File> {
    let unnamed = path.with_extension("new");
    // Fails if the name exists, also as a symbolic link.
    DirBuilder::new().mode(0o700).create(&unnamed)?;
    let named = File::open(&unnamed).and_then(|dir| {
        // Fails where directories cannot be locked. There, remove_abandoned cannot lock and remove them either.
        let _ = dir.try_lock();
        fs::rename(&unnamed, path).map(|()| dir)
    });
    named.inspect_err(|_| {
        let _ = fs::remove_dir(&unnamed);
    })
}

/// Removes the directories of killed runs: those with the same owner as `own` and without a lock.
fn remove_abandoned(parent: &Path, own: &File) {
    let (Ok(entries), Ok(own)) = (fs::read_dir(parent), own.metadata()) else { return };
    for entry in entries.flatten() {
        let (name, path) = (entry.file_name(), entry.path());
        let is_name = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX))
            .is_some_and(|hex| hex.len() == 16 && hex.bytes().all(|b| b.is_ascii_hexdigit()));
        // The metadata of the entry itself: a symbolic link does not count as a directory.
        let is_ours = || entry.metadata().is_ok_and(|meta| meta.is_dir() && meta.uid() == own.uid());
        if is_name && is_ours() && File::open(&path).is_ok_and(|dir| dir.try_lock().is_ok()) {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

impl Drop for TrustDir {
    fn drop(&mut self) {
        // Best effort: the next run tries again.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Writes a new file with permissions `mode`.
fn write(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE_OWNER_ONLY).open(path)?;
    file.write_all(bytes)?;
    // The mode of `open` is subject to the umask.
    file.set_permissions(Permissions::from_mode(mode))
}

const PREFIX: &str = "spectral-";
const MODE_ALL_READ: u32 = 0o644;
const MODE_OWNER_ONLY: u32 = 0o600;
