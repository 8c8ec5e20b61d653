//! Recovers the exchanges of an interrupted capture: makes a bundle from its `.part`, or from any truncated bundle.
//!
//! ```text
//! NAME.zip.part ─▶ scan ─▶ body, body, trace.json ─▶ a group, copied as it is ─┐
//!   (unchanged)           payload, message.json ─▶ a group, copied as it is ───┼─▶ archive ─▶ NAME.zip
//!                         websocket.json, notes ─▶ known WebSockets ───────────┘     (new manifest, timeline)
//! ```
//!
//! An exchange or message is kept if its JSON and its bodies are complete and their checksums match. The JSON comes
//! last, so everything before the truncation is complete, except a large body that was still being written to its
//! reserved space. A WebSocket that was open has no JSON yet; the recovery note of its handshake replaces it.
//!
//! If an exchange is in the file more than once, its last intact group is copied. Bodies that the capture left as received
//! are decoded. Bodies may also follow their JSON, as other producers write them.
//!
//! The file may be damaged or hostile: no name in it reaches the file system, and all its claims are checked.

use crate::bundle::archive::scan::Scan;
use crate::bundle::archive::{Archive, FinishError};
use crate::bundle::meter::Meter;
use crate::bundle::output::identity::is_same;
use crate::bundle::output::part::{Owner, output_of, owner_of};
use crate::bundle::reader::{Bundle, LeftOut};
use failure::Failure;
use recovery::Recovery;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

mod bodies;
mod ending;
mod failure;
mod fallback;
mod groups;
mod items;
mod losses;
mod recovery;
mod waiting_items;

/// The options of a recovery.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Options {
    /// Measures the progress.
    pub meter: Meter,
}

/// The result of a recovery.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovered {
    /// The path of the new bundle.
    pub output: PathBuf,
    /// The backup of the bundle that had this path before.
    pub backup: Option<PathBuf>,
    /// The number of exchanges in it.
    pub exchanges: u64,
    /// The number of WebSockets in it.
    pub websockets: u64,
    /// The number of WebSocket messages in it.
    pub messages: u64,
    /// The number of bytes at the end of the file that belong to an incomplete exchange or message.
    pub truncated_bytes: u64,
    /// The number of entries before them that are damaged, or belong to a damaged exchange or message.
    pub damaged_entries: u64,
    /// The items to which those bytes and entries belong, as far as they are known. An entry that belongs to no item has its name.
    pub left_out: LeftOut,
    /// True if a capture is still writing the file, so the new bundle lacks what it adds later.
    pub is_running: bool,
}

/// The reason why nothing was recovered. The file to recover is not changed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read.
    Read {
        /// The file to recover.
        path: PathBuf,
        /// The error of the operating system.
        cause: io::Error,
    },
    /// The file does not begin as a bundle does.
    NotABundle(PathBuf),
    /// The file is a complete bundle, and its directory leads to more items than a recovery finds.
    Complete(PathBuf),
    /// The file has no complete item.
    NothingFound(PathBuf),
    /// A capture is still writing the file, and no output was given.
    Running(PathBuf),
    /// The file is left over from an interrupted merge, whose source bundles still exist.
    InterruptedMerge(PathBuf),
    /// No output was given, and the file's name does not end in `.part`.
    NoOutputName(PathBuf),
    /// The output is the file to recover.
    OutputIsInput(PathBuf),
    /// The output cannot be written.
    Write {
        /// The path of the output.
        path: PathBuf,
        /// The error of the operating system.
        cause: io::Error,
    },
    /// The output cannot be created.
    Output(crate::error::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, cause } => write!(f, "cannot read {}: {cause}", path.display()),
            Self::NotABundle(path) => {
                write!(f, "cannot recover {}: not a bundle, finished or unfinished", path.display())
            }
            Self::Complete(path) => {
                write!(f, "cannot recover {}: it has its directory, so it is read as a complete bundle", path.display())
            }
            Self::NothingFound(path) => {
                write!(f, "cannot recover {}: it has no complete exchange or message", path.display())
            }
            Self::Running(path) => write!(f, "cannot recover {}: a capture is still writing it", path.display()),
            Self::InterruptedMerge(path) => {
                write!(f, "cannot recover {}: left by an interrupted merge, whose bundles still exist", path.display())
            }
            Self::NoOutputName(path) => {
                write!(f, "cannot name the recovered bundle: {} does not end in .part", path.display())
            }
            Self::OutputIsInput(path) => {
                write!(f, "cannot replace {}: it is the file to recover", path.display())
            }
            Self::Write { path, cause } => write!(f, "cannot write {}: {cause}", path.display()),
            Self::Output(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read { cause, .. } | Self::Write { cause, .. } => Some(cause),
            Self::Output(e) => Some(e),
            Self::NotABundle(_)
            | Self::Complete(_)
            | Self::NothingFound(_)
            | Self::Running(_)
            | Self::InterruptedMerge(_)
            | Self::NoOutputName(_)
            | Self::OutputIsInput(_) => None,
        }
    }
}

/// Makes a bundle from the unfinished bundle `part`, which is not changed. It is written to `output`, or to the path
/// that `part` was to be renamed to. An existing bundle there is kept: as `.bak`, or
/// `.2.bak` and so on.
///
/// ```no_run
/// use spectral_capture::recover::{Options, from_part};
///
/// # fn main() -> Result<(), spectral_capture::recover::Error> {
/// let recovered = from_part("capture.zip.part".as_ref(), None, &Options::default())?;
/// println!("{} exchanges in {}", recovered.exchanges, recovered.output.display());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Returns [`Error::Read`] or [`Error::NotABundle`] if `part` cannot be read, [`Error::Output`] or [`Error::Write`] if the
/// output cannot be created or written, and the other variants for the reasons that they name.
pub fn from_part(part: &Path, output: Option<&Path>, options: &Options) -> Result<Recovered, Error> {
    let read_error = |cause| Error::Read { path: part.to_owned(), cause };
    let meta = fs::metadata(part).map_err(read_error)?;
    if !meta.is_file() {
        return Err(read_error(io::Error::other("not a regular file")));
    }
    let file = File::open(part).map_err(read_error)?;
    let is_running = owner_of(&file) == Owner::Alive;
    let output = match output {
        Some(output) => output.to_owned(),
        None if is_running => return Err(Error::Running(part.to_owned())),
        None => output_of(part).ok_or_else(|| Error::NoOutputName(part.to_owned()))?,
    };
    if fs::metadata(&output).is_ok_and(|found| is_same(&found, &meta)) {
        return Err(Error::OutputIsInput(part.to_owned()));
    }
    let mut scan = Scan::new(&file).map_err(read_error)?;
    if !scan.is_bundle().map_err(read_error)? {
        return Err(Error::NotABundle(part.to_owned()));
    }
    let modified = meta.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let archive = Archive::create_temporary(&output, modified.unwrap_or_default()).map_err(Error::Output)?;
    options.meter.expect(meta.len(), meta.len());
    let mut recovery = Recovery::new(&file, archive, &output, options.meter.clone());
    let result = recovery.run(&mut scan);
    let write_error = |cause| Error::Write { path: output.clone(), cause };
    if let Err(failure) = result {
        return Err(match failure {
            Failure::Read(cause) => read_error(cause),
            Failure::Write(cause) => write_error(cause),
        });
    }
    let (is_empty, has_merged_ids) = (recovery.info.is_empty(), recovery.has_merged_ids);
    if (is_empty || recovery.has_other_ids || !scan.has_directory()) && is_complete(part) {
        return Err(Error::Complete(part.to_owned()));
    }
    if is_empty {
        let error = if has_merged_ids { Error::InterruptedMerge } else { Error::NothingFound };
        return Err(error(part.to_owned()));
    }
    let damaged_entries = recovery.damaged_entries();
    let Recovery { archive, info, kept_end, losses, .. } = recovery;
    let finished = archive.finish().map_err(|FinishError { cause, .. }| write_error(cause))?;
    let truncated_bytes = if scan.has_directory() { 0 } else { scan.len().saturating_sub(kept_end) };
    let stats = info.stats();
    Ok(Recovered {
        output: finished.path,
        backup: finished.backup,
        exchanges: stats.trace_count,
        websockets: stats.ws_connection_count,
        messages: stats.ws_message_count,
        truncated_bytes,
        damaged_entries,
        left_out: losses.items,
        is_running,
    })
}

/// Returns true for a file with a directory and items.
fn is_complete(file: &Path) -> bool {
    Bundle::open(file).is_ok_and(|bundle| !bundle.traces().is_empty() || !bundle.websockets().is_empty())
}

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
#[cfg(test)]
mod tests;
