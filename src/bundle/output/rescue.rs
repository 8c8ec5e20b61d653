//! Copies an open file that has lost its path: another process deleted or replaced it, or its directory. A deleted file cannot
//! get a name again (linkat(2) refuses it), so its content is copied to the first place that can hold it.
//!
//! ```text
//! open file ─▶ the output's directory ─▶ the working directory ─▶ the temporary directory
//!                  NAME.rescued.zip, NAME.rescued.2.zip, …        each tried if the one before fails
//! ```

use super::identity::remove_own;
use super::names::{directory_of, with_suffix};
use super::sys;
use crate::bundle::disk_watch::{timed, timed_sync};
use crate::sorting::sort_by_key;
use std::env;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The content of a file to copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// A complete bundle.
    Complete,
    /// A bundle without its end, whose exchanges can be recovered.
    Truncated,
}

/// The result of a copy.
#[derive(Debug)]
pub(crate) enum Rescued {
    /// The file was copied to this path.
    Copied(PathBuf),
    /// Only its start could be copied to this path. Its exchanges can be recovered.
    Partly { copy: PathBuf, cause: io::Error },
    /// Nothing could be copied; the error in the first directory.
    Nothing(io::Error),
}

/// Copies `file`, which was to become `output`.
pub(super) fn copy(file: &File, output: &Path, content: Content) -> Rescued {
    let mut first_error = None;
    let mut partial = Vec::new();
    for directory in directories(output) {
        let copied = create(&directory, output, content).and_then(|(copy, path)| match fill(file, &copy) {
            Ok(()) => Ok(path),
            Err(e) => {
                let len = timed(|| copy.metadata()).map_or(0, |meta| meta.len());
                partial.push((len, path, copy));
                Err(e)
            }
        });
        match copied {
            Ok(path) => {
                partial.iter().for_each(|(_, path, copy)| remove_own(copy, path));
                return Rescued::Copied(path);
            }
            Err(e) => drop(first_error.get_or_insert(e)),
        }
    }
    sort_by_key(&mut partial, &|(len, ..)| *len);
    let longest = partial.pop_if(|(len, ..)| *len > 0);
    partial.iter().for_each(|(_, path, copy)| remove_own(copy, path));
    let cause = first_error.unwrap_or_else(|| ErrorKind::NotFound.into());
    match longest {
        Some((_, path, _)) if content == Content::Truncated => Rescued::Partly { copy: path, cause },
        Some((_, path, _)) => {
            let part = with_suffix(&path, ".part");
            let copy = sys::rename_new(&path, &part).map_or(path, |()| part);
            Rescued::Partly { copy, cause }
        }
        None => Rescued::Nothing(cause),
    }
}

/// Returns the path to which `output` would be copied now.
pub(crate) fn first_choice(output: &Path) -> PathBuf {
    let directory = directories(output).into_iter().find(|directory| timed(|| directory.is_dir()));
    path_in(&directory.unwrap_or_default(), output, Content::Complete, 1)
}

/// Returns the directories to try, in this order.
fn directories(output: &Path) -> Vec<PathBuf> {
    let of_output = directory_of(output).to_owned();
    [Some(of_output), env::current_dir().ok(), Some(env::temp_dir())].into_iter().flatten().collect()
}

/// Creates the copy under the first free name in `directory`.
fn create(directory: &Path, output: &Path, content: Content) -> io::Result<(File, PathBuf)> {
    let mut n = 1;
    loop {
        let path = path_in(directory, output, content, n);
        // `create_new`: follows no link and overwrites no file.
        match timed(|| OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)) {
            Ok(file) => return Ok((file, path)),
            Err(e) if e.kind() == ErrorKind::AlreadyExists && n < MAX_NAMES => n = n.saturating_add(1),
            Err(e) => return Err(e),
        }
    }
}

/// Returns `NAME.rescued.zip` in `directory`, or `NAME.rescued.2.zip` for number 2, with `.part` if the bundle has no end.
fn path_in(directory: &Path, output: &Path, content: Content, number: u32) -> PathBuf {
    let mut name = output.file_stem().unwrap_or_default().to_owned();
    name.push(".rescued");
    if number > 1 {
        name.push(format!(".{number}"));
    }
    if let Some(extension) = output.extension() {
        name.push(".");
        name.push(extension);
    }
    if content == Content::Truncated {
        name.push(".part");
    }
    let path = directory.join(name);
    path.strip_prefix("./").map(Path::to_owned).unwrap_or(path)
}

/// Copies `file` to `copy`.
fn fill(mut file: &File, mut copy: &File) -> io::Result<()> {
    // No other code uses the file's offset.
    file.seek(SeekFrom::Start(0))?;
    // In steps, each of which is short enough for a disk that works.
    while timed(|| io::copy(&mut file.take(STEP_BYTES), &mut copy))? > 0 {}
    timed_sync(|| copy.sync_all())
}

/// The number of names that are tried in a directory.
const MAX_NAMES: u32 = 100;

const STEP_BYTES: u64 = 4 << 20;
