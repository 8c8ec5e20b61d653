//! The failure of a recovery, by file.

use std::io;

/// A failure, by the file that failed.
pub(super) enum Failure {
    Read(io::Error),
    Write(io::Error),
}
