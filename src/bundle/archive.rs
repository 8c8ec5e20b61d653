//! The ZIP file, and its way from `NAME.zip.part` to `NAME.zip`.
//!
//! ```text
//! group: body, body, trace.json ──▶ zip ──▶ sink ──▶ NAME.zip.part     all of a group or nothing of it
//!                                                        │
//! finish: directory, fsync ──────────────────────────────┤
//!   NAME.zip.bak ◀── NAME.zip ◀──────────── rename ──────┘
//! ```
//!
//! What a group wrote has left the process when [`Archive::group`] returns, with its sizes in the local headers: after
//! a crash `zip -FF` finds it. The file with the output's own name is always a whole bundle, the old or the new one.
//!
//! What stays in memory of an entry is its line in the directory, some 280 bytes.

use crate::error::Error;
use sink::Sink;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

pub(super) mod sink;

/// A bundle being written.
pub(crate) struct Archive {
    zip: ZipWriter<Sink>,
    part: Part,
    output: PathBuf,
    modified: DateTime,
    /// How many entries the group under way has begun.
    begun: usize,
}

/// How an entry is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    /// Compressed.
    Deflated,
    /// As it is, for what would not get smaller.
    Stored,
}

/// The output has not got its name.
#[derive(Debug)]
pub(crate) struct Unplaced {
    /// Where it is instead.
    pub(crate) part: PathBuf,
    pub(crate) state: PartState,
    pub(crate) cause: io::Error,
}

/// What a `.part` is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PartState {
    /// It is a whole bundle and lacks the name only.
    Whole,
    /// It lacks its end; the exchanges in it can be recovered.
    Cut,
}

impl Archive {
    /// Opens `output`'s part, with `modified` (since the epoch) as the time of all entries. The parts of others that were
    /// in the way are returned too; they stay.
    pub(crate) fn create(output: &Path, modified: Duration) -> Result<(Self, Vec<PathBuf>), Error> {
        let fail = |what: String| Error::Output { path: output.to_owned(), what };
        let Some(name) = output.file_name() else {
            return Err(fail("that names no file: choose one with -o".into()));
        };
        if output.as_os_str().as_encoded_bytes().ends_with(b"/") {
            return Err(fail("that is a folder: name a file in it with -o".into()));
        }
        let mut output = output.with_file_name(name);
        if output.is_symlink() {
            // The file it means is replaced, and the link stays one.
            output = fs::canonicalize(&output).map_err(|e| fail(format!("it is a link that leads nowhere ({e})")))?;
        }
        match fs::metadata(&output) {
            Ok(meta) if meta.is_dir() => return Err(fail("that is a folder: name a file in it with -o".into())),
            Ok(meta) if !meta.is_file() => return Err(fail("that is no ordinary file: choose another with -o".into())),
            _ => {}
        }
        let (file, path, others) = Part::open(&output).map_err(|e| fail(advice(&output, &e)))?;
        let archive = Self {
            zip: ZipWriter::new(Sink::new(file)),
            part: Part { path, keep: false },
            output,
            modified: date(modified),
            begun: 0,
        };
        Ok((archive, others))
    }

    /// Where the bundle is until it is finished.
    pub(crate) fn part(&self) -> &Path {
        &self.part.path
    }

    /// Writes entries that belong together: `fill` begins each with [`Archive::entry`] and writes it. If anything
    /// fails, or `fill` panics, none of them is in the archive, and the next group takes their place.
    pub(crate) fn group(&mut self, fill: impl FnOnce(&mut Self) -> io::Result<()>) -> io::Result<()> {
        self.undo();
        let result = fill(self).and_then(|()| self.end_group());
        match result {
            Ok(()) => {
                self.begun = 0;
                self.part.keep = true;
            }
            Err(_) => self.undo(),
        }
        result
    }

    /// Begins an entry of at most `size` bytes.
    pub(crate) fn entry(&mut self, name: &str, size: u64, packing: Packing) -> io::Result<()> {
        let options = SimpleFileOptions::default()
            .unix_permissions(0o600)
            .last_modified_time(self.modified)
            .large_file(size >= LARGE);
        let options = match packing {
            Packing::Deflated => options.compression_method(CompressionMethod::Deflated).compression_level(Some(LEVEL)),
            Packing::Stored => options.compression_method(CompressionMethod::Stored),
        };
        self.zip.start_file(name, options)?;
        self.begun = self.begun.saturating_add(1);
        Ok(())
    }

    /// Ends the last entry and hands all to the system.
    fn end_group(&mut self) -> io::Result<()> {
        // The crate ends an entry only when asked for something else; the cheapest is to hide what is not there.
        match self.zip.hide_file("") {
            Ok(()) | Err(ZipError::FileNotFound) => {}
            Err(e) => return Err(e.into()),
        }
        self.zip.flush()?;
        self.zip.get_ref().map_or(Ok(()), Sink::failure)
    }

    fn undo(&mut self) {
        while let Some(less) = self.begun.checked_sub(1) {
            self.begun = less;
            // It fails only where there is nothing to abort.
            let _ = self.zip.abort_file();
        }
        let _ = self.zip.get_ref().map(Sink::failure);
    }

    /// Writes the directory, makes sure that all is on the disk, and gives the bundle its name.
    pub(crate) fn finish(mut self) -> Result<PathBuf, Unplaced> {
        self.undo();
        self.part.keep = true;
        let part = self.part.path.clone();
        let unplaced = |state| move |cause| Unplaced { part, state, cause };
        let finished = self.zip.finish().map_err(io::Error::from).and_then(Sink::finish);
        finished.map_err(unplaced.clone()(PartState::Cut))?;
        place(&self.part.path, &self.output).map_err(unplaced(PartState::Whole))?;
        Ok(self.output)
    }
}

impl Write for Archive {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.zip.write(bytes)
    }

    /// Does nothing, as [`Archive::group`] does it at its end, and in the middle of an entry it would cost compression.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The file until it has its name; gone with the archive if nothing was written.
struct Part {
    path: PathBuf,
    keep: bool,
}

impl Part {
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

impl Drop for Part {
    fn drop(&mut self) {
        if !self.keep {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Renames `part` to `output`. A file of that name is kept as `.bak`, and there is no moment without one of the two.
fn place(part: &Path, output: &Path) -> io::Result<()> {
    if fs::symlink_metadata(output).is_ok() {
        let kept = beside(output, ".bak");
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

/// What a person can do about it.
fn advice(output: &Path, error: &io::Error) -> String {
    let folder = folder(output).display();
    match error.kind() {
        io::ErrorKind::NotFound => format!("there is no folder {folder}: make it, or choose another file with -o"),
        io::ErrorKind::NotADirectory => format!("{folder} is no folder: choose another file with -o"),
        io::ErrorKind::PermissionDenied => {
            format!("not allowed to write to the folder {folder}: choose another file with -o")
        }
        io::ErrorKind::ReadOnlyFilesystem => format!("the folder {folder} is read-only: choose another file with -o"),
        io::ErrorKind::AlreadyExists => {
            format!("too many unfinished bundles (.part) in the folder {folder}: remove those not needed")
        }
        _ => error.to_string(),
    }
}

/// ZIP knows the years 1980 to 2107.
fn date(since_epoch: Duration) -> DateTime {
    let time = time::OffsetDateTime::UNIX_EPOCH.saturating_add(since_epoch.try_into().unwrap_or(time::Duration::ZERO));
    let (year, month, day) = time.to_calendar_date();
    let (hour, minute, second) = time.to_hms();
    let year = u16::try_from(year).unwrap_or_default();
    DateTime::from_date_and_time(year, month.into(), day, hour, minute, second).unwrap_or_default()
}

/// A bundle being read.
pub(crate) struct Opened(ZipArchive<BufReader<File>>);

impl Opened {
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        let file = File::open(path).map_err(|e| e.to_string())?;
        ZipArchive::new(BufReader::new(file)).map(Self).map_err(|e| explain(&e))
    }

    /// What is in it, but for names that nobody could ask for.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        self.0.file_names().filter_map(|name| Some(name.ok()?.into_owned()))
    }

    /// An entry's content if it is there, and if its size is at most `most`.
    pub(crate) fn read(&mut self, name: &str, most: u64) -> Result<Option<Vec<u8>>, String> {
        let entry = match self.0.by_name(name) {
            Ok(entry) => entry,
            Err(ZipError::FileNotFound) => return Ok(None),
            Err(e) => return Err(explain(&e)),
        };
        let size = entry.size();
        if size > most {
            return Err(format!("is too large ({size} bytes)"));
        }
        // The size is a claim: memory grows with what is really there.
        let mut content = Vec::new();
        let read = entry.take(size.saturating_add(1)).read_to_end(&mut content).map_err(|e| e.to_string())?;
        if read as u64 != size {
            return Err("has another size than the archive says".into());
        }
        Ok(Some(content))
    }
}

fn explain(error: &ZipError) -> String {
    match error {
        ZipError::Io(e) => e.to_string(),
        ZipError::InvalidArchive(_) => "it is no ZIP archive, or is cut off".into(),
        e => e.to_string(),
    }
}

/// The fastest: a capture should not keep a core busy, and JSON still gets to a third.
const LEVEL: i64 = 1;

/// From here on an entry has room for sizes past 4 GiB; a little less, as what does not compress grows.
const LARGE: u64 = 0xffff_ffff - (16 << 20);

/// More unfinished bundles than this mean that something else is wrong.
const MOST_PARTS: u32 = 100;

#[cfg(test)]
mod tests;
