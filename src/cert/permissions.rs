//! Checks who else can read or replace the CA's key.
//!
//! ```text
//! key: all can read or write it        ─▶ refused    on a read-only mount a warning: chmod(1) is impossible there, and
//! directory: all can write to it       ─▶ refused    Kubernetes and Docker mount secrets with such modes
//! a group can, or it is another user's ─▶ warning
//! ```
//!
//! mitmproxy creates the directory with mode 0755 and the key with mode 0600, which are both fine.

use crate::error::Error;
use crate::error::ca::{CaError, CaExposure, Exposure};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::geteuid;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Returns the warnings about the directory `dir`, if it exists.
///
/// # Errors
/// Returns [`Error::Ca`] if everyone can write to it, and thereby replace the key.
pub(super) fn check_directory(dir: &Path) -> Result<Vec<CaExposure>, Error> {
    check(dir, |mode| match mode {
        _ if mode & OTHERS_WRITE != 0 => Some((Exposure::DirectoryWritable, true)),
        _ if mode & GROUP_WRITE != 0 => Some((Exposure::DirectoryWritableByGroup, false)),
        _ => None,
    })
}

/// Returns the warnings about the file `key` and, if it is a link, about the directory of the file it points to.
///
/// # Errors
/// Returns [`Error::Ca`] if everyone can read, change or replace it.
pub(super) fn check_key(key: &Path) -> Result<Vec<CaExposure>, Error> {
    let mut warnings = check(key, |mode| match mode {
        _ if mode & OTHERS_WRITE != 0 => Some((Exposure::KeyWritable, true)),
        _ if mode & OTHERS_READ != 0 => Some((Exposure::KeyReadable, true)),
        _ if mode & (GROUP_READ | GROUP_WRITE) != 0 => Some((Exposure::KeyOfGroup, false)),
        _ => None,
    })?;
    let target = key.is_symlink().then(|| key.canonicalize().ok()).flatten();
    if let Some(directory) = target.as_deref().and_then(Path::parent) {
        warnings.extend(check_directory(directory)?);
    }
    Ok(warnings)
}

/// Checks the owner and the mode of `path`. `exposure` returns what a mode allows to others, and true if that is refused.
fn check(path: &Path, exposure: impl Fn(u32) -> Option<(Exposure, bool)>) -> Result<Vec<CaExposure>, Error> {
    // A file that cannot be read is reported when it is opened.
    let Ok(meta) = fs::metadata(path) else { return Ok(Vec::new()) };
    let exposure = exposure(meta.mode());
    let is_read_only = exposure.is_some() && is_read_only(path);
    if let Some((exposure, true)) = exposure
        && !is_read_only
    {
        return Err(Error::Ca { path: path.to_owned(), cause: CaError::Exposed(exposure) });
    }
    let other_owner = is_foreign(&meta).then(|| Exposure::OtherOwner(meta.uid()));
    let exposures = exposure.map(|(exposure, _)| exposure).into_iter().chain(other_owner);
    Ok(exposures.map(|exposure| CaExposure { path: path.to_owned(), exposure, is_read_only }).collect())
}

/// Returns true if the owner is neither this user nor root, who can read everything.
fn is_foreign(meta: &Metadata) -> bool {
    meta.uid() != 0 && meta.uid() != geteuid().as_raw()
}

/// Returns true if the file system of `path` is mounted read-only here.
fn is_read_only(path: &Path) -> bool {
    statvfs(path).is_ok_and(|it| it.flags().contains(FsFlags::ST_RDONLY))
}

const GROUP_READ: u32 = 0o040;
const GROUP_WRITE: u32 = 0o020;
const OTHERS_READ: u32 = 0o004;
const OTHERS_WRITE: u32 = 0o002;

#[cfg(test)]
mod tests {
    use super::super::testing::TempDir;
    use super::*;
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    /// Returns the exposures, or the one that is refused.
    fn exposures(checked: Result<Vec<CaExposure>, Error>) -> Result<Vec<Exposure>, Exposure> {
        match checked {
            Ok(warnings) => Ok(warnings.into_iter().map(|warning| warning.exposure).collect()),
            Err(Error::Ca { cause: CaError::Exposed(exposure), .. }) => Err(exposure),
            Err(e) => panic!("{e}"),
        }
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_key_or_directory_open_to_all_is_refused() {
        let dir = TempDir::new();
        let key = dir.join("key.pem");
        fs::write(&key, "").unwrap();
        for (mode, expected) in [
            (0o600, Ok(vec![])),
            (0o400, Ok(vec![])),
            (0o640, Ok(vec![Exposure::KeyOfGroup])),
            (0o660, Ok(vec![Exposure::KeyOfGroup])),
            (0o644, Err(Exposure::KeyReadable)),
            (0o604, Err(Exposure::KeyReadable)),
            (0o602, Err(Exposure::KeyWritable)),
            (0o666, Err(Exposure::KeyWritable)),
        ] {
            set_mode(&key, mode);
            assert_eq!(exposures(check_key(&key)), expected, "{mode:o}");
        }
        for (mode, expected) in [
            (0o700, Ok(vec![])),
            (0o755, Ok(vec![])),
            (0o775, Ok(vec![Exposure::DirectoryWritableByGroup])),
            (0o777, Err(Exposure::DirectoryWritable)),
            (0o1777, Err(Exposure::DirectoryWritable)),
            (0o703, Err(Exposure::DirectoryWritable)),
        ] {
            set_mode(&dir, mode);
            assert_eq!(exposures(check_directory(&dir)), expected, "{mode:o}");
        }
        set_mode(&dir, 0o700);
        assert_eq!(exposures(check_directory(&dir.join("missing"))), Ok(vec![]));
    }

    #[test]
    fn the_directory_of_a_links_target_counts_too() {
        let dir = TempDir::new();
        let (target, link) = (dir.join("open/key.pem"), dir.join("key.pem"));
        fs::create_dir(dir.join("open")).unwrap();
        fs::write(&target, "").unwrap();
        set_mode(&target, 0o600);
        symlink(&target, &link).unwrap();
        assert_eq!(exposures(check_key(&link)), Ok(vec![]));
        set_mode(&dir.join("open"), 0o777);
        assert_eq!(exposures(check_key(&link)), Err(Exposure::DirectoryWritable));
    }

    #[test]
    fn a_key_of_another_user_causes_a_warning() {
        let dir = TempDir::new();
        let key = dir.join("key.pem");
        fs::write(&key, "").unwrap();
        set_mode(&key, 0o600);
        // Only root can give a file away.
        if chown(&key, Some(4321), None).is_ok() {
            assert_eq!(exposures(check_key(&key)), Ok(vec![Exposure::OtherOwner(4321)]));
        }
    }

    #[test]
    fn a_read_only_mount_is_recognized() {
        assert!(!is_read_only(&TempDir::new()));
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        for line in mounts.lines() {
            let [_, point, _, options, ..] = line.split(' ').collect::<Vec<_>>()[..] else { continue };
            let is_last = mounts.lines().filter(|other| other.split(' ').nth(1) == Some(point)).count() == 1;
            if is_last && Path::new(point).is_dir() && options.split(',').any(|option| option == "ro") {
                assert!(is_read_only(Path::new(point)), "{point}");
            }
        }
    }
}
