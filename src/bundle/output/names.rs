//! The parts of an output's path, and names beside it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Returns the directory that contains `output`.
pub(crate) fn directory_of(output: &Path) -> &Path {
    match output.parent() {
        Some(directory) if directory != Path::new("") => directory,
        _ => Path::new("."),
    }
}

/// Returns `output` with `suffix` after its name.
pub(super) fn with_suffix(output: &Path, suffix: &str) -> PathBuf {
    let mut name = output.file_name().map(OsString::from).unwrap_or_default();
    name.push(suffix);
    output.with_file_name(name)
}
