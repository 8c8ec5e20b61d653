//! The file at a path, compared with an open file: by device and inode, which no other file has while it is open.

use crate::bundle::disk_watch::timed;
use std::fs::{self, File, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The state of the path at which an open file was created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// The file is there, or the path cannot be examined.
    Present,
    /// The path does not exist any more: the file or its directory was deleted or renamed.
    Gone,
    /// Another file has the path.
    Foreign,
}

/// Compares `path`, without following a symbolic link, with the open file `file`.
pub(crate) fn presence(file: &File, path: &Path) -> Presence {
    match (timed(|| fs::symlink_metadata(path)), timed(|| file.metadata())) {
        (Ok(found), Ok(own)) if is_same(&found, &own) => Presence::Present,
        (Ok(_), Ok(_)) => Presence::Foreign,
        (Err(e), _) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Presence::Gone,
        // An operation on the path will have the same error, and report it.
        _ => Presence::Present,
    }
}

/// Deletes `path` if it names the open file `file`.
pub(crate) fn remove_own(file: &File, path: &Path) {
    if presence(file, path) == Presence::Present {
        let _ = timed(|| fs::remove_file(path));
    }
}

/// True if both are of one file.
pub(crate) fn is_same(a: &Metadata, b: &Metadata) -> bool {
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}
