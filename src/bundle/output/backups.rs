//! The backups of a file that was replaced: `NAME.zip.bak` is the first, `NAME.zip.2.bak` the second. The highest number is the
//! newest.

use super::identity::is_same;
use super::names::{directory_of, with_suffix};
use super::sys;
use crate::bundle::disk_watch::timed;
use crate::sorting::sort_by_key;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::num::NonZeroU32;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The backups that were deleted, oldest first, and those that could not be.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Pruned {
    /// The former paths.
    pub deleted: Vec<PathBuf>,
    /// The paths, and the errors of the system.
    pub failed: Vec<(PathBuf, io::Error)>,
}

/// Deletes the oldest backups of `output`, so that at most `keep` are left. Files of other users are neither counted nor
/// deleted, nor are links and directories. Files in `inputs` are not deleted: the bundle was made from them.
pub fn prune_backups(output: &Path, keep: NonZeroU32, inputs: &[&Path]) -> Pruned {
    let user = sys::effective_user();
    let is_own =
        |path: &PathBuf| timed(|| fs::symlink_metadata(path)).is_ok_and(|meta| meta.is_file() && meta.uid() == user);
    let mut found: Vec<_> = numbers(output).into_iter().map(|number| (number, path(output, number))).collect();
    found.retain(|(_, path)| is_own(path));
    sort_by_key(&mut found, &|(number, _)| u64::from(*number));
    let excess = found.len().saturating_sub(usize::try_from(keep.get()).unwrap_or(usize::MAX));
    let is_input = |path: &Path| {
        inputs
            .iter()
            .any(|input| matches!((fs::metadata(input), fs::metadata(path)), (Ok(a), Ok(b)) if is_same(&a, &b)))
    };
    let mut pruned = Pruned::default();
    for (_, path) in found.into_iter().take(excess).filter(|(_, path)| !is_input(path)) {
        match timed(|| fs::remove_file(&path)) {
            Ok(()) => pruned.deleted.push(path),
            Err(e) => pruned.failed.push((path, e)),
        }
    }
    pruned
}

/// Moves the file `from` to the next backup name of `output`, which is returned. No file is replaced.
pub(super) fn keep(from: &Path, output: &Path) -> io::Result<PathBuf> {
    move_with(sys::rename_new, from, output)
}

/// As [`keep`], for the file at `output` itself, where other captures put files at the same time.
pub(super) fn keep_output(output: &Path) -> io::Result<PathBuf> {
    move_with(sys::take_new, output, output)
}

fn move_with(rename: fn(&Path, &Path) -> io::Result<()>, from: &Path, output: &Path) -> io::Result<PathBuf> {
    let newest = numbers(output).into_iter().max().unwrap_or_default();
    for number in (1..=MAX_ATTEMPTS).map(|n| newest.saturating_add(n)) {
        let backup = path(output, number);
        match rename(from, &backup) {
            // Another capture took the number, or the directory cannot be listed.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            renamed => return renamed.map(|()| backup),
        }
    }
    Err(io::Error::other("no name for a backup is free"))
}

fn path(output: &Path, number: u32) -> PathBuf {
    with_suffix(output, &if number == 1 { ".bak".to_owned() } else { format!(".{number}.bak") })
}

/// Returns the numbers of the backups of `output`, in no order. Empty if its directory cannot be read.
fn numbers(output: &Path) -> Vec<u32> {
    let entries = timed(|| fs::read_dir(directory_of(output))).into_iter().flatten().flatten();
    let name = output.file_name().unwrap_or_default();
    entries.filter_map(|entry| number_of(&entry.file_name(), name)).collect()
}

/// Returns the number in `file`, if it is a backup of the file `name`.
fn number_of(file: &OsStr, name: &OsStr) -> Option<u32> {
    let number = file.as_bytes().strip_prefix(name.as_bytes())?.strip_suffix(b".bak")?;
    if number.is_empty() {
        return Some(1);
    }
    let digits = std::str::from_utf8(number.strip_prefix(b".")?).ok()?;
    let is_plain = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
    digits.parse().ok().filter(|number| is_plain && (2..=MAX_NUMBER).contains(number))
}

/// Higher numbers are ignored: no capture gets that far.
const MAX_NUMBER: u32 = u32::MAX / 2;

/// The number of names that are tried for a backup.
const MAX_ATTEMPTS: u32 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::test_dir::TestDir;

    #[test]
    fn numbers_are_taken_from_names_of_backups_alone() {
        for (file, expected) in [
            ("a.zip.bak", Some(1)),
            ("a.zip.2.bak", Some(2)),
            ("a.zip.10.bak", Some(10)),
            ("a.zip.1.bak", None),
            ("a.zip.02.bak", None),
            ("a.zip.+2.bak", None),
            ("a.zip..bak", None),
            ("a.zip.4294967295.bak", None),
            ("a.zip.99999999999.bak", None),
            ("a.zip.2.part", None),
            ("ba.zip.bak", None),
        ] {
            assert_eq!(number_of(OsStr::new(file), OsStr::new("a.zip")), expected, "{file}");
        }
    }

    #[test]
    fn the_oldest_backups_are_deleted_but_inputs_and_other_files_stay() {
        let dir = TestDir::new("prune");
        let output = dir.path("a.zip");
        for name in ["a.zip.bak", "a.zip.2.bak", "a.zip.9.bak", "a.zip.10.bak", "b.zip.bak", "a.zip.bak.txt"] {
            fs::write(dir.path(name), name).unwrap();
        }
        fs::create_dir(dir.path("a.zip.3.bak")).unwrap();
        std::os::unix::fs::symlink("b.zip.bak", dir.path("a.zip.4.bak")).unwrap();
        let keep = |n| NonZeroU32::new(n).unwrap();
        let deleted = |keep, inputs: &[&Path]| prune_backups(&output, keep, inputs).deleted;
        assert!(deleted(keep(4), &[]).is_empty());
        assert_eq!(deleted(keep(2), &[&dir.path("a.zip.bak")]), [dir.path("a.zip.2.bak")]);
        assert_eq!(deleted(keep(1), &[]), ["a.zip.bak", "a.zip.9.bak"].map(|name| dir.path(name)));
        for name in ["a.zip.10.bak", "a.zip.3.bak", "a.zip.4.bak", "b.zip.bak", "a.zip.bak.txt"] {
            assert!(fs::symlink_metadata(dir.path(name)).is_ok(), "{name}");
        }
    }
}
