//! The unfinished bundle of a capture, `NAME.zip.part`, until it is renamed to `NAME.zip`.
//!
//! ```text
//! NAME.zip.part      created exclusively and locked while it is written; if it exists, NAME.zip.2.part is next
//! ```

use super::identity::{Presence, presence, remove_own};
use super::names::{directory_of, with_suffix};
use super::replace::{replace, take_free_name};
use super::rescue::{self, Content, Rescued};
use super::sys;
use crate::bundle::disk_watch::{timed, timed_sync};
use crate::error::OutputError;
use std::fs::{self, File, FileType, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An unfinished bundle. The file is deleted on drop, unless [`PartFile::keep`] prevents it.
pub(crate) struct PartFile {
    file: Arc<File>,
    path: PathBuf,
    output: PathBuf,
    is_kept: bool,
}

impl PartFile {
    /// Creates the unfinished bundle for `output`, whose directory must exist. Also returns the paths that other files have.
    pub(crate) fn create(output: PathBuf) -> Result<(Self, Vec<PathBuf>), OutputError> {
        let (file, path, others) = open(&output)?;
        // On file systems without locks, running captures look like interrupted ones. That damages neither.
        let _ = file.try_lock();
        Ok((Self { file: Arc::new(file), path, output, is_kept: false }, others))
    }

    pub(crate) fn file(&self) -> &Arc<File> {
        &self.file
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn output(&self) -> &Path {
        &self.output
    }

    /// Sets whether the file outlives this value.
    pub(crate) fn keep(&mut self, is_kept: bool) {
        self.is_kept = is_kept;
    }

    /// Compares the path with the file.
    pub(crate) fn presence(&self) -> Presence {
        presence(&self.file, &self.path)
    }

    /// Renames the complete file to its output path, and returns the path of the file that had it.
    pub(crate) fn finish(&self) -> io::Result<Option<PathBuf>> {
        timed_sync(|| replace(&self.path, &self.output))
    }

    /// As [`PartFile::finish`], but fails with `AlreadyExists` if a file has the output path.
    pub(crate) fn finish_if_free(&self) -> io::Result<Option<PathBuf>> {
        timed_sync(|| take_free_name(&self.path, &self.output))
    }

    /// Copies the file, which has lost its path, to another name.
    pub(crate) fn rescue(&self, content: Content) -> Rescued {
        rescue::copy(&self.file, &self.output, content)
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        if !self.is_kept {
            remove_own(&self.file, &self.path);
        }
    }
}

/// Opens the first unused name: another capture may be running, or may have been interrupted.
fn open(output: &Path) -> Result<(File, PathBuf, Vec<PathBuf>), OutputError> {
    let directory = || directory_of(output).to_owned();
    let mut others = Vec::new();
    for path in names(output) {
        // `create_new`: follows no link and overwrites no file. Committed groups are read back.
        match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => return Ok((file, path, others)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => others.push(path),
            Err(cause) => return Err(OutputError::Create { directory: directory(), cause }),
        }
    }
    Err(OutputError::TooManyUnfinished { directory: directory() })
}

/// Renames `from` to the first unused name of an unfinished bundle for `output`, which is returned.
pub(super) fn rename_to_part(from: &Path, output: &Path) -> io::Result<PathBuf> {
    for path in names(output) {
        match sys::rename_new(from, &path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            renamed => return renamed.map(|()| path),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Returns the names that an unfinished bundle for `output` may have.
fn names(output: &Path) -> impl Iterator<Item = PathBuf> {
    (1..=MAX_PARTS).map(|n| with_suffix(output, &if n == 1 { ".part".to_owned() } else { format!(".{n}.part") }))
}

/// The owner of an unfinished bundle, by its lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A process is writing it.
    Alive,
    /// No process is writing it, or the file system does not support locks.
    Gone,
}

/// Returns the owner of the unfinished bundle `file`. If it has none, `file` holds a shared lock afterwards, until it
/// is closed or unlocked.
pub(crate) fn owner_of(file: &File) -> Owner {
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Owner::Alive,
        Ok(()) | Err(TryLockError::Error(_)) => Owner::Gone,
    }
}

/// A file that has the name of an unfinished bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OtherPart {
    /// An unfinished bundle of this user.
    Bundle(Owner),
    /// A file that no capture of this user made; its type or owner, `a symbolic link`.
    Foreign(String),
}

/// Examines the file at `path`, which has the name of an unfinished bundle. Only regular files of this user are opened: others
/// might make that wait.
pub(crate) fn other_part(path: &Path) -> OtherPart {
    let Ok(meta) = timed(|| fs::symlink_metadata(path)) else { return OtherPart::Bundle(Owner::Gone) };
    if !meta.is_file() {
        return OtherPart::Foreign(type_name(meta.file_type()).into());
    }
    if meta.uid() != sys::effective_user() {
        return OtherPart::Foreign(format!("a file of another user (uid {})", meta.uid()));
    }
    let file = timed(|| File::open(path));
    OtherPart::Bundle(file.map_or(Owner::Gone, |file| owner_of(&file)))
}

fn type_name(kind: FileType) -> &'static str {
    match kind {
        kind if kind.is_symlink() => "a symbolic link",
        kind if kind.is_dir() => "a directory",
        kind if kind.is_fifo() => "a named pipe",
        kind if kind.is_socket() => "a socket",
        _ => "a device",
    }
}

/// Returns the output path of an unfinished bundle: `NAME.zip` for `NAME.zip.part` and `NAME.zip.2.part`.
pub(crate) fn output_of(unfinished: &Path) -> Option<PathBuf> {
    let name = unfinished.file_name()?.to_str()?.strip_suffix(".part")?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let name = name.rsplit_once('.').filter(|(_, n)| is_number(n)).map_or(name, |(name, _)| name);
    (!name.is_empty()).then(|| unfinished.with_file_name(name))
}

/// The number of names that are tried for an unfinished bundle.
const MAX_PARTS: u32 = 100;
