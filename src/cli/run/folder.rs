//! A folder for as long as a command runs, with the files that its variables name.
//!
//! Certificates are no secret, and a command may go on as another user: so others may read them, but the folder's name is not to be
//! listed or guessed, and nobody else can put anything else into it. A copy of a person's `.wgetrc` may hold passwords.
//!
//! Who is killed cannot clean up: the next run does it. A folder is locked while its run lives, and the system lets go of that
//! whatever ends it.

use spectral_capture::{CaCertificate, Environment, TrustFiles, TrustedRoots};
use std::collections::hash_map::RandomState;
use std::env;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The folder; it goes when this does.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Locked for as long as this lives, however it ends.
    _owned: File,
    /// What is in it.
    pub(super) files: TrustFiles,
}

impl Folder {
    /// Writes everything.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn new(ca: &CaCertificate, environment: &Environment) -> Result<Self, String> {
        let parent = env::temp_dir();
        Self::below(&parent, ca, environment)
            .map_err(|e| format!("cannot write certificates for the command into {}: {e}", parent.display()))
    }

    fn below(parent: &Path, ca: &CaCertificate, environment: &Environment) -> io::Result<Self> {
        let path = parent.join(format!("{PREFIX}{:016x}", RandomState::new().build_hasher().finish()));
        let owned = make(&path)?;
        remove_others(parent, &owned);
        let file = |name| path.join(name);
        let files = TrustFiles {
            roots: file("roots.pem"),
            extra: file("ca.pem"),
            java: file("roots.p12"),
            wgetrc: Some(file("wgetrc")),
        };
        let folder = Self { path, _owned: owned, files };
        let roots = TrustedRoots::with(ca, environment);
        write(&folder.files.roots, FOR_ALL, roots.pem().as_bytes())?;
        write(&folder.files.java, FOR_ALL, &roots.p12())?;
        write(&folder.files.extra, FOR_ALL, roots.extra_pem(environment).as_bytes())?;
        if let Some(wgetrc) = &folder.files.wgetrc {
            write(wgetrc, FOR_OWNER, &wget_settings(&environment.without_proxy(), &folder.files.roots))?;
        }
        fs::set_permissions(&folder.path, Permissions::from_mode(0o711))?;
        Ok(folder)
    }
}

/// Makes a folder that is locked from the moment on at which it has its name.
fn make(path: &Path) -> io::Result<File> {
    let unnamed = path.with_extension("new");
    // Fails if the name is taken, by a link too.
    DirBuilder::new().mode(0o700).create(&unnamed)?;
    let named = File::open(&unnamed).and_then(|folder| {
        // Where folders cannot be locked, nobody removes them either.
        let _ = folder.try_lock();
        fs::rename(&unnamed, path).map(|()| folder)
    });
    named.inspect_err(|_| {
        let _ = fs::remove_dir(&unnamed);
    })
}

/// Removes what runs left that were killed: folders of the same owner as `own` that nobody has locked.
fn remove_others(parent: &Path, own: &File) {
    let (Ok(entries), Ok(own)) = (fs::read_dir(parent), own.metadata()) else { return };
    for entry in entries.flatten() {
        let (name, path) = (entry.file_name(), entry.path());
        let is_name = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX))
            .is_some_and(|hex| hex.len() == 16 && hex.bytes().all(|b| b.is_ascii_hexdigit()));
        // Of the entry itself: a link is none.
        let is_ours = || entry.metadata().is_ok_and(|meta| meta.is_dir() && meta.uid() == own.uid());
        if is_name && is_ours() && File::open(&path).is_ok_and(|folder| folder.try_lock().is_ok()) {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Best effort: what stays is no secret.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// What wget would read, and the roots: of two values of a setting it takes the last.
fn wget_settings(environment: &Environment, roots: &Path) -> Vec<u8> {
    let own = match (environment.value("WGETRC"), environment.value("HOME")) {
        (Some(file), _) => Some(PathBuf::from(file)),
        (None, Some(home)) => Some(Path::new(home).join(".wgetrc")),
        (None, None) => None,
    };
    let mut settings = own.and_then(|file| fs::read(file).ok()).unwrap_or_default();
    settings.extend_from_slice(b"\nca_certificate = ");
    settings.extend_from_slice(roots.as_os_str().as_encoded_bytes());
    settings.push(b'\n');
    settings
}

fn write(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(FOR_OWNER).open(path)?;
    file.write_all(bytes)?;
    // Whatever the umask is.
    file.set_permissions(Permissions::from_mode(mode))
}

const PREFIX: &str = "spectral-";
const FOR_ALL: u32 = 0o644;
const FOR_OWNER: u32 = 0o600;
