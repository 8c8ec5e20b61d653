//! The path of an output file: symbolic links that are followed, and paths that are refused.
//!
//! A link is followed only if no other user can have put it there. The model is the rule of Linux for sticky directories that
//! everyone may write (`protected_symlinks`, proc_sys_fs(5)). This one does not depend on a setting, and holds in every directory.

use super::names::directory_of;
use super::sys;
use crate::error::OutputError;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Returns the path to write for the bundle `output`: the target of a symbolic link, so that the link stays. Fails if the path
/// is taken by anything but a regular file.
pub(crate) fn bundle_path(output: &Path) -> Result<PathBuf, OutputError> {
    let Some(name) = output.file_name() else {
        return Err(OutputError::NoFileName);
    };
    if output.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(OutputError::IsDirectory);
    }
    let mut output = output.with_file_name(name);
    if output.is_symlink() {
        output = fs::canonicalize(trusted_target(&output)?).map_err(OutputError::DanglingLink)?;
    }
    match fs::metadata(&output) {
        Ok(meta) if meta.is_dir() => Err(OutputError::IsDirectory),
        Ok(meta) if !meta.is_file() => Err(OutputError::NotAFile),
        _ => Ok(output),
    }
}

/// Returns the path that the symbolic link `path` leads to, or `path` itself if it is not one. The file there need not exist.
///
/// # Errors
/// If another user made one of the links, or could replace it.
pub fn trusted_target(path: &Path) -> Result<PathBuf, OutputError> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        if is_descriptor(&path) {
            return Err(OutputError::NotAFile);
        }
        match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_symlink() => require_trusted(&path, &meta)?,
            _ => return Ok(path),
        }
        let target = fs::read_link(&path).map_err(OutputError::DanglingLink)?;
        path = directory_of(&path).join(target);
    }
    Err(OutputError::DanglingLink(io::Error::other("too many links")))
}

/// Fails if another user may have made the link `path`, or may replace it.
fn require_trusted(path: &Path, link: &Metadata) -> Result<(), OutputError> {
    let is_trusted = |uid: u32| uid == 0 || uid == sys::effective_user();
    if !is_trusted(link.uid()) {
        return Err(OutputError::ForeignLink { link: path.to_owned(), owner: link.uid() });
    }
    let directory = directory_of(path);
    let meta = fs::metadata(directory).map_err(OutputError::DanglingLink)?;
    // In a sticky directory, only the owners of a file and of the directory can replace the file.
    let everyone_can_replace = meta.mode() & MODE_OTHERS_WRITE != 0 && meta.mode() & MODE_STICKY == 0;
    if everyone_can_replace || !is_trusted(meta.uid()) {
        return Err(OutputError::ReplaceableLink { link: path.to_owned() });
    }
    Ok(())
}

/// True for the name of an open descriptor, such as `/dev/stdout` or the `/dev/fd/63` of `>(…)`. Such a file is written in
/// place.
pub fn is_descriptor(path: &Path) -> bool {
    DESCRIPTORS.iter().any(|descriptor| path.starts_with(descriptor))
}

const DESCRIPTORS: [&str; 6] =
    ["/dev/stdin", "/dev/stdout", "/dev/stderr", "/dev/fd", "/proc/self/fd", "/proc/thread-self/fd"];

/// As the kernel's limit (path_resolution(7)).
const MAX_LINKS: u32 = 40;

const MODE_OTHERS_WRITE: u32 = 0o002;
const MODE_STICKY: u32 = 0o1000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::test_dir::TestDir;
    use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};

    const SOMEBODY: u32 = 54_321;

    #[test]
    fn links_are_followed_if_nobody_else_can_replace_them() {
        let dir = TestDir::new("links");
        let path = |name: &str| dir.path(name);
        fs::write(path("target"), "").unwrap();
        symlink("target", path("first")).unwrap();
        symlink(path("first"), path("second")).unwrap();
        let set_mode = |mode| fs::set_permissions(dir.directory(), fs::Permissions::from_mode(mode)).unwrap();
        let target = fs::canonicalize(path("target")).unwrap();
        for mode in [0o700, 0o755, 0o775, 0o1777] {
            set_mode(mode);
            assert_eq!(bundle_path(&path("second")).unwrap(), target, "{mode:o}");
        }
        set_mode(0o777);
        let refused = bundle_path(&path("second")).unwrap_err();
        assert!(matches!(refused, OutputError::ReplaceableLink { .. }), "{refused}");
        assert_eq!(bundle_path(&path("target")).unwrap(), path("target"), "it is not a link");
        set_mode(0o1777);
        symlink("loop", path("loop")).unwrap();
        assert!(matches!(bundle_path(&path("loop")), Err(OutputError::DanglingLink(_))));
        if lchown(path("first"), Some(SOMEBODY), None).is_ok() {
            let refused = bundle_path(&path("second")).unwrap_err();
            assert!(matches!(refused, OutputError::ForeignLink { owner: SOMEBODY, .. }), "{refused}");
            assert!(refused.to_string().contains("first"), "the link that is refused is named: {refused}");
            lchown(path("first"), Some(sys::effective_user()), None).unwrap();
            chown(dir.directory(), Some(SOMEBODY), None).unwrap();
            assert!(bundle_path(&path("first")).is_err(), "the owner of the directory can replace it");
        }
    }

    #[test]
    fn descriptors_are_not_bundles() {
        for path in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
            assert!(matches!(bundle_path(Path::new(path)), Err(OutputError::NotAFile)), "{path}");
        }
        assert!(!is_descriptor(Path::new("/dev/fdx")) && !is_descriptor(Path::new("dev/fd/1")));
    }
}
