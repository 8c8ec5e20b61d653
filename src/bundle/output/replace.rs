//! Gives a complete file its output name. The file that had the name becomes a backup: none is lost, also if several captures
//! end at the same time.
//!
//! ```text
//! NAME.zip.part ◀─exchange─▶ NAME.zip          one step: NAME.zip is a complete bundle at every moment
//!       └─▶ NAME.zip.2.bak                     the earlier bundle, under the next free name
//! ```
//!
//! Where names cannot be exchanged (NFS), the earlier bundle is moved away first, and for a moment no file has the name.

use super::names::directory_of;
use super::{backups, sys};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Renames the complete file `new` to `output`. Returns the path of the file that had the name before, if there was one.
pub(crate) fn replace(new: &Path, output: &Path) -> io::Result<Option<PathBuf>> {
    let mut backup = None;
    for _ in 0..MAX_ATTEMPTS {
        match sys::rename_new(new, output) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Ok(()) => {
                sync_directory(output);
                return Ok(backup);
            }
            Err(e) => {
                if let Some(backup) = &backup {
                    let _ = sys::rename_new(backup, output);
                }
                return Err(e);
            }
        }
        if fs::symlink_metadata(output).is_ok_and(|meta| meta.is_dir()) {
            return Err(ErrorKind::IsADirectory.into());
        }
        match sys::exchange(new, output) {
            Ok(()) => {
                // If it cannot be renamed, it stays under the name of the unfinished bundle.
                let backup = backups::keep(new, output).unwrap_or_else(|_| new.to_owned());
                sync_directory(output);
                return Ok(Some(backup));
            }
            // Another process moved it away.
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(_) => match backups::keep_output(output) {
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                moved => backup = Some(moved?),
            },
        }
    }
    Err(io::Error::other("other processes keep creating files of this name"))
}

/// Renames the complete file `new` to `output`, unless a file has that name: fails with `AlreadyExists` then. A file
/// without content, as of mktemp(1), is replaced.
pub(crate) fn take_free_name(new: &Path, output: &Path) -> io::Result<Option<PathBuf>> {
    match sys::rename_new(new, output) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            let is_empty = fs::symlink_metadata(output).is_ok_and(|meta| meta.is_file() && meta.len() == 0);
            if is_empty { replace(new, output) } else { Err(e) }
        }
        renamed => renamed.map(|()| {
            sync_directory(output);
            None
        }),
    }
}

/// Makes renames durable, where directories can be synced.
fn sync_directory(output: &Path) {
    #[cfg(any(test, fuzzing))]
    if crate::bundle::archive::buffered_file::faults::NO_SYNC.get() {
        return;
    }
    let _ = File::open(directory_of(output)).and_then(|directory| directory.sync_all());
}

/// An attempt fails only if another process changes the name at the same moment.
const MAX_ATTEMPTS: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::output::sys::faults::{NO_HARD_LINKS, NO_RENAME_FLAGS};
    use crate::bundle::test_dir::TestDir;
    use std::collections::BTreeSet;
    use std::thread;

    /// Calls `test` as on file systems with all operations, without flags of rename(2), and without hard links too.
    fn on_each_file_system(test: impl Fn(&TestDir)) {
        for (n, (no_flags, no_links)) in [(false, false), (true, false), (true, true)].into_iter().enumerate() {
            NO_RENAME_FLAGS.set(no_flags);
            NO_HARD_LINKS.set(no_links);
            test(&TestDir::new(&format!("replace{n}")));
        }
        NO_RENAME_FLAGS.set(false);
        NO_HARD_LINKS.set(false);
    }

    fn read(dir: &TestDir, name: &str) -> String {
        fs::read_to_string(dir.path(name)).unwrap()
    }

    #[test]
    fn every_replaced_file_is_kept() {
        on_each_file_system(|dir| {
            let (new, output) = (dir.path("a.zip.part"), dir.path("a.zip"));
            // Names that are taken, whatever they are, are passed over.
            fs::create_dir(dir.path("a.zip.3.bak")).unwrap();
            let mut backups = Vec::new();
            for n in 0..3 {
                fs::write(&new, n.to_string()).unwrap();
                backups.push(replace(&new, &output).unwrap());
                assert!(!new.exists());
            }
            assert_eq!(backups, [None, Some(dir.path("a.zip.4.bak")), Some(dir.path("a.zip.5.bak"))]);
            assert_eq!(["a.zip", "a.zip.5.bak", "a.zip.4.bak"].map(|name| read(dir, name)), ["2", "1", "0"]);
        });
    }

    #[test]
    fn a_directory_is_not_replaced() {
        on_each_file_system(|dir| {
            fs::create_dir(dir.path("a.zip")).unwrap();
            fs::write(dir.path("a.zip.part"), "new").unwrap();
            assert!(replace(&dir.path("a.zip.part"), &dir.path("a.zip")).is_err());
            assert_eq!(read(dir, "a.zip.part"), "new");
            assert!(dir.path("a.zip").is_dir());
        });
    }

    #[test]
    fn a_free_name_is_taken_and_an_empty_file_replaced_but_no_other() {
        on_each_file_system(|dir| {
            let (new, output) = (dir.path("a.zip.part"), dir.path("a.zip"));
            fs::write(&new, "new").unwrap();
            assert_eq!(take_free_name(&new, &output).unwrap(), None);
            fs::write(&new, "newer").unwrap();
            assert_eq!(take_free_name(&new, &output).unwrap_err().kind(), ErrorKind::AlreadyExists);
            assert_eq!([read(dir, "a.zip"), read(dir, "a.zip.part")], ["new", "newer"]);
            fs::write(&output, "").unwrap();
            assert_eq!(take_free_name(&new, &output).unwrap(), Some(dir.path("a.zip.bak")));
            assert_eq!(read(dir, "a.zip"), "newer");
        });
    }

    #[test]
    fn files_that_are_completed_at_the_same_time_are_all_kept() {
        for (no_flags, no_links) in [(false, false), (true, false), (true, true)] {
            let dir = TestDir::new("race");
            let output = dir.path("a.zip");
            thread::scope(|scope| {
                for n in 0..4 {
                    let (new, output) = (dir.path(&format!("a.zip.{n}.part")), &output);
                    scope.spawn(move || {
                        NO_RENAME_FLAGS.set(no_flags);
                        NO_HARD_LINKS.set(no_links);
                        for round in 0..20 {
                            fs::write(&new, format!("{n} {round}")).unwrap();
                            replace(&new, output).unwrap();
                        }
                    });
                }
            });
            let contents =
                fs::read_dir(dir.directory()).unwrap().map(|it| fs::read_to_string(it.unwrap().path()).unwrap());
            let found: BTreeSet<_> = contents.collect();
            assert_eq!(found, (0..80).map(|i| format!("{} {}", i / 20, i % 20)).collect());
        }
    }
}
