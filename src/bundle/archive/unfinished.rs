//! The unfinished bundle, `NAME.zip.part`, until it is renamed to `NAME.zip`.
//!
//! ```text
//! NAME.zip.part      created exclusively and locked while it is written; if it exists, NAME.zip.2.part is next
//!   NAME.zip.bak ◀── NAME.zip ◀── NAME.zip.part       at the end; a complete NAME.zip exists at every moment
//! ```

use crate::bundle::disk_watch::{timed, timed_sync};
use crate::error::{Error, OutputError};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The path of an unfinished bundle. The file is deleted on drop, unless [`UnfinishedBundle::keep`] prevents it.
pub(crate) struct UnfinishedBundle {
    path: PathBuf,
    output: PathBuf,
    is_kept: bool,
}

/// The error of a bundle that was not finished. Its file still has the name of an unfinished bundle.
#[derive(Debug)]
pub(crate) struct FinishError {
    /// The path of the unfinished bundle.
    pub(crate) path: PathBuf,
    pub(crate) state: UnfinishedState,
    pub(crate) cause: io::Error,
}

/// The state of a bundle that was not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnfinishedState {
    /// A complete bundle that could not be renamed.
    Complete,
    /// A bundle without its end, whose exchanges can be recovered.
    Truncated,
}

/// The owner of an unfinished bundle, by its lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A process is writing it.
    Alive,
    /// No process is writing it, or the file system does not support locks.
    Gone,
}

impl UnfinishedBundle {
    /// Creates the unfinished bundle for `output`, whose directory must exist. Also returns the paths of other
    /// unfinished bundles of that name.
    pub(super) fn create(output: &Path) -> Result<(File, Self, Vec<PathBuf>), Error> {
        let output = resolved(output)?;
        let (file, path, others) =
            Self::open(&output).map_err(|e| Error::Output { path: output.clone(), cause: open_error(&output, e) })?;
        // On file systems without locks, running captures look like interrupted ones. That damages neither.
        let _ = file.try_lock();
        Ok((file, Self { path, output, is_kept: false }, others))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn output(&self) -> &Path {
        &self.output
    }

    /// Sets whether the file outlives this value.
    pub(super) fn keep(&mut self, is_kept: bool) {
        self.is_kept = is_kept;
    }

    pub(super) fn finish_error(&self, state: UnfinishedState, cause: io::Error) -> FinishError {
        FinishError { path: self.path.clone(), state, cause }
    }

    /// Renames the file to its output path, which is returned.
    pub(super) fn finish(&self) -> Result<PathBuf, FinishError> {
        match timed_sync(|| replace(&self.path, &self.output)) {
            Ok(()) => Ok(self.output.clone()),
            Err(cause) => Err(self.finish_error(UnfinishedState::Complete, cause)),
        }
    }

    /// Opens the first unused name: another capture may be running, or may have been interrupted.
    fn open(output: &Path) -> io::Result<(File, PathBuf, Vec<PathBuf>)> {
        let mut others = Vec::new();
        for n in 1..=MAX_UNFINISHED_BUNDLES {
            let path = if n == 1 { with_suffix(output, ".part") } else { with_suffix(output, &format!(".{n}.part")) };
            // `create_new`: follows no link and overwrites no file. Committed groups are read back.
            match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path) {
                Ok(file) => return Ok((file, path, others)),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => others.push(path),
                Err(e) => return Err(e),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

impl Drop for UnfinishedBundle {
    fn drop(&mut self) {
        if !self.is_kept {
            let _ = timed(|| fs::remove_file(&self.path));
        }
    }
}

/// Returns the owner of the unfinished bundle at `path`.
pub(crate) fn owner(path: &Path) -> Owner {
    // Opening anything but a regular file might block.
    let is_file = timed(|| fs::symlink_metadata(path)).is_ok_and(|meta| meta.is_file());
    let file = is_file.then(|| timed(|| File::open(path))).and_then(Result::ok);
    file.map_or(Owner::Gone, |file| owner_of(&file))
}

/// Returns the owner of the unfinished bundle `file`. If it has none, `file` holds a shared lock afterwards, until it
/// is closed or unlocked.
pub(crate) fn owner_of(file: &File) -> Owner {
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Owner::Alive,
        Ok(()) | Err(TryLockError::Error(_)) => Owner::Gone,
    }
}

/// Returns the output path of an unfinished bundle: `NAME.zip` for `NAME.zip.part` and `NAME.zip.2.part`.
pub(crate) fn output_of(unfinished: &Path) -> Option<PathBuf> {
    let name = unfinished.file_name()?.to_str()?.strip_suffix(".part")?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let name = name.rsplit_once('.').filter(|(_, n)| is_number(n)).map_or(name, |(name, _)| name);
    (!name.is_empty()).then(|| unfinished.with_file_name(name))
}

/// Returns the path at which a replaced `output` is kept.
pub(crate) fn backup_of(output: &Path) -> PathBuf {
    with_suffix(output, ".bak")
}

/// Returns the path to write for `output`: the target of a symbolic link, so that the link stays. Fails if the path is
/// taken by anything but a regular file.
pub(crate) fn resolved(output: &Path) -> Result<PathBuf, Error> {
    let fail = |cause| Error::Output { path: output.to_owned(), cause };
    let Some(name) = output.file_name() else {
        return Err(fail(OutputError::NoFileName));
    };
    if output.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(fail(OutputError::IsDirectory));
    }
    let mut output = output.with_file_name(name);
    if output.is_symlink() {
        output = fs::canonicalize(&output).map_err(|e| fail(OutputError::DanglingLink(e)))?;
    }
    match fs::metadata(&output) {
        Ok(meta) if meta.is_dir() => Err(fail(OutputError::IsDirectory)),
        Ok(meta) if !meta.is_file() => Err(fail(OutputError::NotAFile)),
        _ => Ok(output),
    }
}

/// Renames `unfinished` to `output`. A file of that name is kept as `.bak`. At every moment one of the two bundles is
/// called `output`.
fn replace(unfinished: &Path, output: &Path) -> io::Result<()> {
    if fs::symlink_metadata(output).is_ok() {
        let backup = backup_of(output);
        let link = with_suffix(output, &format!(".{:016x}.bak", RandomState::new().hash_one(0)));
        // A hard link keeps the old bundle in place until the new one replaces it. Some file systems have no hard
        // links.
        match fs::hard_link(output, &link) {
            Ok(()) => {
                let renamed = fs::rename(&link, &backup);
                // The link remains if the rename failed, or if `.bak` was a link to the same file.
                let _ = fs::remove_file(&link);
                renamed?;
            }
            Err(_) => fs::rename(output, &backup)?,
        }
    }
    fs::rename(unfinished, output)?;
    #[cfg(any(test, fuzzing))]
    if super::buffered_file::faults::NO_SYNC.get() {
        return Ok(());
    }
    // Makes the rename durable, where directories can be synced.
    let _ = File::open(directory_of(output)).and_then(|directory| directory.sync_all());
    Ok(())
}

/// Returns the directory that contains `output`.
pub(crate) fn directory_of(output: &Path) -> &Path {
    match output.parent() {
        Some(directory) if directory != Path::new("") => directory,
        _ => Path::new("."),
    }
}

fn with_suffix(output: &Path, suffix: &str) -> PathBuf {
    let mut name = output.file_name().map(OsString::from).unwrap_or_default();
    name.push(suffix);
    output.with_file_name(name)
}

/// Returns the reason why the unfinished bundle for `output` could not be opened.
fn open_error(output: &Path, cause: io::Error) -> OutputError {
    let directory = directory_of(output).to_owned();
    match cause.kind() {
        io::ErrorKind::AlreadyExists => OutputError::TooManyUnfinished { directory },
        _ => OutputError::Create { directory, cause },
    }
}

/// The number of names that are tried for an unfinished bundle.
const MAX_UNFINISHED_BUNDLES: u32 = 100;
