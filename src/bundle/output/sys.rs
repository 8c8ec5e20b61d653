//! System calls on files that the standard library does not have.

use super::identity::remove_own;
use super::names::directory_of;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

/// Returns the effective user id of this process.
pub(crate) fn effective_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// True if `file` is open for reading and for writing at any offset.
pub(crate) fn is_open_for_updates(file: &File) -> io::Result<bool> {
    use rustix::fs::OFlags;
    let flags = rustix::fs::fcntl_getfl(file)?;
    Ok(flags.contains(OFlags::RDWR) && !flags.contains(OFlags::APPEND))
}

/// Renames `from` to `to`. Fails with `AlreadyExists` if `to` exists, of whatever type it is.
pub(crate) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match rename_with(from, to, Flag::NoReplace) {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => {}
        renamed => return renamed,
    }
    // NFS and others do not have the flag. link(2) does not replace a file either; exFAT and others do not have that.
    match hard_link(from, to) {
        Ok(()) => return fs::remove_file(from),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => return Err(e),
        Err(_) => {}
    }
    rename_to_own(from, to)
}

/// As [`rename_new`], for a path `from` at which other captures put files at the same time: takes the one that is there in one
/// step, which linking and unlinking is not.
pub(crate) fn take_new(from: &Path, to: &Path) -> io::Result<()> {
    match rename_with(from, to, Flag::NoReplace) {
        Err(e) if !matches!(e.kind(), ErrorKind::AlreadyExists | ErrorKind::NotFound) => rename_to_own(from, to),
        renamed => renamed,
    }
}

/// Renames `from` to `to`, which an empty file of our own takes first. A lock keeps other captures from moving that file meanwhile.
fn rename_to_own(from: &Path, to: &Path) -> io::Result<()> {
    let _lock = lock_directory(to);
    let taken = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    fs::rename(from, to).inspect_err(|_| remove_own(&taken, to))
}

/// Locks the directory that contains `path` until the returned file is closed. Another process may hold the lock without end,
/// so this one goes on without it after a while.
fn lock_directory(path: &Path) -> io::Result<File> {
    let directory = File::open(directory_of(path))?;
    for _ in 0..MAX_LOCK_ATTEMPTS {
        match directory.try_lock() {
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_INTERVAL),
            Ok(()) | Err(TryLockError::Error(_)) => break,
        }
    }
    Ok(directory)
}

const LOCK_INTERVAL: Duration = Duration::from_millis(1);

/// The lock is held for some system calls only.
const MAX_LOCK_ATTEMPTS: u32 = 2000;

/// Creates a file in `directory` that never has a name, O_TMPFILE in open(2). Not every file system can do that.
#[cfg(target_os = "linux")]
pub(crate) fn unnamed_file(directory: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::TMPFILE.bits().cast_signed();
    OpenOptions::new().read(true).write(true).mode(0o600).custom_flags(flags).open(directory)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn unnamed_file(_: &Path) -> io::Result<File> {
    Err(ErrorKind::Unsupported.into())
}

/// Exchanges the names of two files in one step. Not every file system can do that.
pub(crate) fn exchange(a: &Path, b: &Path) -> io::Result<()> {
    rename_with(a, b, Flag::Exchange)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Flag {
    NoReplace,
    Exchange,
}

#[cfg(any(target_os = "linux", target_os = "macos"))]
fn rename_with(from: &Path, to: &Path, flag: Flag) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    #[cfg(test)]
    faults::check(faults::NO_RENAME_FLAGS.get())?;
    let flag = match flag {
        Flag::NoReplace => RenameFlags::NOREPLACE,
        Flag::Exchange => RenameFlags::EXCHANGE,
    };
    Ok(renameat_with(CWD, from, CWD, to, flag)?)
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn rename_with(_: &Path, _: &Path, _: Flag) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

fn hard_link(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(test)]
    faults::check(faults::NO_HARD_LINKS.get())?;
    fs::hard_link(from, to)
}

/// Opens a regular file to read. Fails at once for a pipe or a device, whose opening might wait or have an effect.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    File::open(path)
}

/// File systems that lack operations.
#[cfg(test)]
pub(crate) mod faults {
    use std::cell::Cell;
    use std::io;

    thread_local! {
        /// Renaming has no flags, as on NFS.
        pub(crate) static NO_RENAME_FLAGS: Cell<bool> = const { Cell::new(false) };
        /// There are no hard links, as on exFAT.
        pub(crate) static NO_HARD_LINKS: Cell<bool> = const { Cell::new(false) };
    }

    pub(super) fn check(is_lacking: bool) -> io::Result<()> {
        if is_lacking { Err(io::ErrorKind::InvalidInput.into()) } else { Ok(()) }
    }
}
