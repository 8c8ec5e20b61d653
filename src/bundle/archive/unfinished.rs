//! `NAME.zip.part`, and its way to `NAME.zip`.
//!
//! ```text
//! NAME.zip.part      new, locked as long as it is written; others that are there stay, and NAME.zip.2.part is next
//!   NAME.zip.bak ◀── NAME.zip ◀── NAME.zip.part       at the end, with no moment without a whole bundle
//! ```

use crate::error::{Error, OutputError};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The file until it has its name; gone with its owner if nothing was written.
pub(crate) struct UnfinishedBundle {
    path: PathBuf,
    output: PathBuf,
    keep: bool,
}

/// The output has not got its name.
#[derive(Debug)]
pub(crate) struct FinishError {
    /// Where it is instead.
    pub(crate) path: PathBuf,
    pub(crate) state: UnfinishedState,
    pub(crate) cause: io::Error,
}

/// What a `.part` is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnfinishedState {
    /// It is a whole bundle and lacks the name only.
    Complete,
    /// It lacks its end; the exchanges in it can be recovered.
    Truncated,
}

/// Whether somebody writes to a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A capture does.
    Alive,
    /// Nobody does, or this file system cannot tell.
    Gone,
}

impl UnfinishedBundle {
    /// Opens the part for `output`, whose folder has to be there. The parts of others that are in the way are returned too.
    pub(super) fn create(output: &Path) -> Result<(File, Self, Vec<PathBuf>), Error> {
        let output = checked(output)?;
        let fail = |e: io::Error| Error::Output { path: output.clone(), cause: creation_error(&output, e) };
        let (file, path, others) = Self::open(&output).map_err(fail)?;
        // Where files cannot be locked, nobody can tell a running capture from a dead one, and both are well.
        let _ = file.try_lock();
        Ok((file, Self { path, output, keep: false }, others))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn output(&self) -> &Path {
        &self.output
    }

    /// Whether it is worth something.
    pub(super) fn keep(&mut self, keep: bool) {
        self.keep = keep;
    }

    pub(super) fn finish_error(&self, state: UnfinishedState, cause: io::Error) -> FinishError {
        FinishError { path: self.path.clone(), state, cause }
    }

    /// Gives it the output's name.
    pub(super) fn place(&self) -> Result<PathBuf, FinishError> {
        match place(&self.path, &self.output) {
            Ok(()) => Ok(self.output.clone()),
            Err(cause) => Err(self.finish_error(UnfinishedState::Complete, cause)),
        }
    }

    /// The first free name: another capture may be running, or have crashed and left all it had.
    fn open(output: &Path) -> io::Result<(File, PathBuf, Vec<PathBuf>)> {
        let mut others = Vec::new();
        for n in 1..=MOST_PARTS {
            let path = if n == 1 { beside(output, ".part") } else { beside(output, &format!(".{n}.part")) };
            // A new file only: no link is followed, nothing is overwritten.
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
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
        if !self.keep {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Who owns `part`.
pub(crate) fn owner(part: &Path) -> Owner {
    // Something else of that name is nobody's, and might not even open.
    let is_file = fs::symlink_metadata(part).is_ok_and(|meta| meta.is_file());
    let file = is_file.then(|| File::open(part)).and_then(Result::ok);
    file.map_or(Owner::Gone, |file| owner_of(&file))
}

/// Who owns the part that `file` is. Asks for a shared lock, as readers may, which is given back with the file.
pub(crate) fn owner_of(file: &File) -> Owner {
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Owner::Alive,
        Ok(()) | Err(TryLockError::Error(_)) => Owner::Gone,
    }
}

/// The output that `part` was to become: `NAME.zip` for `NAME.zip.part` and `NAME.zip.2.part`.
pub(crate) fn output_of(part: &Path) -> Option<PathBuf> {
    let name = part.file_name()?.to_str()?.strip_suffix(".part")?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let name = name.rsplit_once('.').filter(|(_, n)| is_number(n)).map_or(name, |(name, _)| name);
    (!name.is_empty()).then(|| part.with_file_name(name))
}

/// Where a file of the name `output` is kept when another takes its place.
pub(crate) fn backup_of(output: &Path) -> PathBuf {
    beside(output, ".bak")
}

/// `output` if a file of that name can be made; the file it means if it is a link.
fn checked(output: &Path) -> Result<PathBuf, Error> {
    let fail = |cause| Error::Output { path: output.to_owned(), cause };
    let Some(name) = output.file_name() else {
        return Err(fail(OutputError::NoFileName));
    };
    if output.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(fail(OutputError::IsDirectory));
    }
    let mut output = output.with_file_name(name);
    if output.is_symlink() {
        // The file it means is replaced, and the link stays one.
        output = fs::canonicalize(&output).map_err(|e| fail(OutputError::DanglingLink(e)))?;
    }
    match fs::metadata(&output) {
        Ok(meta) if meta.is_dir() => Err(fail(OutputError::IsDirectory)),
        Ok(meta) if !meta.is_file() => Err(fail(OutputError::NotAFile)),
        _ => Ok(output),
    }
}

/// Renames `part` to `output`. A file of that name is kept as `.bak`, and there is no moment without one of the two.
fn place(part: &Path, output: &Path) -> io::Result<()> {
    if fs::symlink_metadata(output).is_ok() {
        let kept = backup_of(output);
        let link = beside(output, &format!(".{:016x}.bak", RandomState::new().hash_one(0)));
        // A second name for the old bundle first. Some file systems have no links.
        match fs::hard_link(output, &link) {
            Ok(()) => {
                let renamed = fs::rename(&link, &kept);
                // Still there if that failed, or if `.bak` was a link to the same file.
                let _ = fs::remove_file(&link);
                renamed?;
            }
            Err(_) => fs::rename(output, &kept)?,
        }
    }
    fs::rename(part, output)?;
    #[cfg(any(test, fuzzing))]
    if super::buffered_file::faults::NO_SYNC.get() {
        return Ok(());
    }
    // The name is on the disk once the folder is; where folders cannot be synced, it soon will be.
    let _ = File::open(folder(output)).and_then(|folder| folder.sync_all());
    Ok(())
}

/// The folder that `output` is in.
pub(crate) fn folder(output: &Path) -> &Path {
    match output.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

fn beside(output: &Path, suffix: &str) -> PathBuf {
    let mut name = output.file_name().map(OsString::from).unwrap_or_default();
    name.push(suffix);
    output.with_file_name(name)
}

/// Converts an error of [`Part::open`].
fn creation_error(output: &Path, cause: io::Error) -> OutputError {
    let directory = folder(output).to_owned();
    match cause.kind() {
        io::ErrorKind::AlreadyExists => OutputError::TooManyUnfinished { directory },
        _ => OutputError::Create { directory, cause },
    }
}

/// More unfinished bundles than this mean that something else is wrong.
const MOST_PARTS: u32 = 100;
