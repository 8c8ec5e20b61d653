//! The file of a tool (merge, redact, recover, export) until it is complete: `NAME.zip.spectral-0123456789abcdef.tmp`.
//!
//! Its source still exists, so it is never worth keeping, and it may contain secrets. It is deleted
//!
//! - if the tool fails, on drop;
//! - if a signal ends the process, by [`delete_temporary_files`];
//! - after `kill -9`, by the next tool with the same output: no process holds its lock then. Its name distinguishes it from an
//!   interrupted capture, which is never deleted.

use super::identity::{Presence, presence, remove_own};
use super::names::{directory_of, with_suffix};
use super::{part, replace, sys};
use crate::bundle::disk_watch::timed;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A temporary file, which becomes a file at its output path. Deleted on drop.
#[derive(Debug)]
pub struct TemporaryFile {
    file: Arc<File>,
    path: PathBuf,
    output: PathBuf,
}

impl TemporaryFile {
    /// Creates the temporary file of `output`, which must not be a symbolic link, in the same directory, with mode 0600. Deletes
    /// those that killed processes have left there.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn create(output: &Path) -> io::Result<Self> {
        delete_abandoned(output);
        for _ in 0..MAX_ATTEMPTS {
            let path = with_suffix(output, &format!("{PREFIX}{:016x}{SUFFIX}", RandomState::new().hash_one(0)));
            // Before the file exists: a signal then finds it in the list.
            let mut files = lock();
            // `create_new`: follows no link and overwrites no file. Committed groups are read back.
            let file = Arc::new(OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?);
            // Another process may look for abandoned files just now, and delete this one before it has its lock.
            let is_locked = !matches!(file.try_lock(), Err(fs::TryLockError::WouldBlock));
            if is_locked && presence(&file, &path) == Presence::Present {
                files.push((path.clone(), Arc::clone(&file)));
                return Ok(Self { file, path, output: output.to_owned() });
            }
        }
        Err(io::Error::other("other processes keep deleting the temporary file"))
    }

    /// The open file.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn output(&self) -> &Path {
        &self.output
    }

    /// Renames the complete file to its output path, and replaces a file there.
    ///
    /// # Errors
    /// If that fails, or if another process has deleted the file or replaced it by another one, which stays.
    pub fn replace(self) -> io::Result<()> {
        self.finish(|path, output| fs::rename(path, output))
    }

    /// As [`TemporaryFile::replace`], but keeps a file at the output path as a backup, whose path is returned.
    pub(crate) fn replace_with_backup(self) -> io::Result<Option<PathBuf>> {
        self.finish(|path, output| match sys::rename_new(path, output) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                // The files exchange their names. If the process is killed before the replaced one has the name of a backup, it
                // must not have the name of a file to delete.
                *path = part::rename_to_part(path, output)?;
                replace::replace(path, output)
            }
            renamed => renamed.map(|()| None),
        })
    }

    fn finish<T>(mut self, rename: impl FnOnce(&mut PathBuf, &Path) -> io::Result<T>) -> io::Result<T> {
        // While the lock is held, a signal deletes nothing.
        let files = lock();
        if presence(&self.file, &self.path) != Presence::Present {
            let problem = format!("another process deleted or replaced the temporary file {}", self.path.display());
            return Err(io::Error::other(problem));
        }
        let renamed = rename(&mut self.path, &self.output);
        drop(files);
        renamed
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        let mut files = lock();
        files.retain(|(_, file)| !Arc::ptr_eq(file, &self.file));
        // After the rename, the path is gone, or the replaced file has it.
        remove_own(&self.file, &self.path);
    }
}

/// Deletes the temporary files of this process, for a process that is about to end. They cannot be completed then: what would
/// use one waits until the end.
pub fn delete_temporary_files() {
    let files = lock();
    files.iter().for_each(|(path, file)| remove_own(file, path));
    std::mem::forget(files);
}

/// Deletes the temporary files of `output` whose processes were killed.
fn delete_abandoned(output: &Path) {
    let entries = timed(|| fs::read_dir(directory_of(output))).into_iter().flatten().flatten();
    let name = output.file_name().unwrap_or_default().as_bytes();
    for entry in entries.filter(|entry| is_temporary(entry.file_name().as_bytes(), name)) {
        let path = entry.path();
        let is_own = entry.metadata().is_ok_and(|meta| meta.is_file() && meta.uid() == sys::effective_user());
        // Where files cannot be locked, it may be in use.
        if is_own
            && let Ok(file) = File::open(&path)
            && file.try_lock().is_ok()
        {
            remove_own(&file, &path);
        }
    }
}

/// True if `file` is the name of a temporary file of the file `output`.
fn is_temporary(file: &[u8], output: &[u8]) -> bool {
    let random = file.strip_prefix(output).and_then(|rest| rest.strip_prefix(PREFIX.as_bytes()));
    let random = random.and_then(|rest| rest.strip_suffix(SUFFIX.as_bytes()));
    random.is_some_and(|hex| hex.len() == 16 && hex.iter().all(u8::is_ascii_hexdigit))
}

fn lock() -> MutexGuard<'static, Vec<(PathBuf, Arc<File>)>> {
    FILES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The temporary files of this process.
static FILES: Mutex<Vec<(PathBuf, Arc<File>)>> = Mutex::new(Vec::new());

const PREFIX: &str = ".spectral-";
const SUFFIX: &str = ".tmp";

/// An attempt fails only if another process looks for abandoned files at the same moment.
const MAX_ATTEMPTS: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::test_dir::TestDir;
    use std::fs::TryLockError;
    use std::io::Write;

    #[test]
    fn files_of_killed_processes_are_deleted_and_no_others() {
        let dir = TestDir::new("abandoned");
        let output = dir.path("a.zip");
        let left = dir.path("a.zip.spectral-0123456789abcdef.tmp");
        let others = [
            "a.zip.part",
            "a.zip.spectral-0123456789abcdef.part",
            "a.zip.spectral-0123456789abcde.tmp",
            "a.zip.spectral-0123456789abcdeg.tmp",
            "b.zip.spectral-0123456789abcdef.tmp",
        ];
        others.iter().for_each(|name| fs::write(dir.path(name), "").unwrap());
        std::os::unix::fs::symlink("a.zip.part", dir.path("a.zip.spectral-00000000000000aa.tmp")).unwrap();
        fs::write(&left, "secret").unwrap();
        let held = File::open(&left).unwrap();
        held.lock().unwrap();
        let first = TemporaryFile::create(&output).unwrap();
        assert!(left.exists(), "its process is alive");
        drop(held);
        let second = TemporaryFile::create(&output).unwrap();
        assert!(!left.exists() && first.path().exists() && second.path().exists());
        for name in others.into_iter().chain(["a.zip.spectral-00000000000000aa.tmp"]) {
            assert!(fs::symlink_metadata(dir.path(name)).is_ok(), "{name}");
        }
        assert!(matches!(File::open(first.path()).unwrap().try_lock(), Err(TryLockError::WouldBlock)));
        drop((first, second));
        assert_eq!(fs::read_dir(dir.directory()).unwrap().count(), others.len() + 1);
    }

    #[test]
    fn a_foreign_file_at_its_path_is_neither_renamed_nor_deleted() {
        let dir = TestDir::new("foreign");
        let output = dir.path("a.zip");
        for replace in [true, false] {
            let temporary = TemporaryFile::create(&output).unwrap();
            let path = temporary.path().to_owned();
            (&**temporary.file()).write_all(b"new").unwrap();
            fs::remove_file(&path).unwrap();
            if replace {
                fs::write(&path, "foreign").unwrap();
            }
            let error = temporary.replace().unwrap_err();
            assert!(error.to_string().contains("deleted or replaced"), "{error}");
            assert!(!output.exists());
            assert_eq!(fs::read_to_string(&path).ok().as_deref(), replace.then_some("foreign"));
        }
    }

    #[test]
    fn a_complete_file_replaces_its_output() {
        let dir = TestDir::new("complete");
        let output = dir.path("a.zip");
        for content in ["first", "second"] {
            let temporary = TemporaryFile::create(&output).unwrap();
            (&**temporary.file()).write_all(content.as_bytes()).unwrap();
            temporary.replace().unwrap();
            assert_eq!(fs::read_to_string(&output).unwrap(), content);
        }
        assert_eq!(fs::read_dir(dir.directory()).unwrap().count(), 1);
    }
}
