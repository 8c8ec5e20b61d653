//! Where an export goes: stdout, or a file that is there only once it is whole.
//!
//! What was captured holds passwords: the file is its owner's alone from its first byte, as bundles are.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, StdoutLock, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// See above.
pub(crate) enum Output {
    Stdout(BufWriter<StdoutLock<'static>>),
    File { file: BufWriter<File>, name: Option<Unnamed> },
}

/// A file under another name than the one it is to get; gone if it does not get it.
pub(crate) struct Unnamed {
    part: PathBuf,
    output: PathBuf,
}

impl Output {
    /// Opens `path`, or stdout.
    ///
    /// # Errors
    /// Says what is wrong with the path.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, String> {
        let Some(path) = path else { return Ok(Self::Stdout(BufWriter::new(io::stdout().lock()))) };
        let fail = |e: io::Error| format!("cannot write {}: {e}", path.display());
        match fs::metadata(path) {
            Ok(meta) if meta.is_dir() => return Err(format!("cannot write {}: that is a folder", path.display())),
            // A device or a pipe takes what it is given.
            Ok(meta) if !meta.is_file() => {
                let file = OpenOptions::new().write(true).open(path).map_err(fail)?;
                return Ok(Self::File { file: BufWriter::new(file), name: None });
            }
            _ => {}
        }
        // The file that a link means is replaced, and the link stays one.
        let output = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let mut part = OsString::from(&output);
        part.push(format!(".{}.part", std::process::id()));
        let part = PathBuf::from(part);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part).map_err(fail)?;
        Ok(Self::File { file: BufWriter::new(file), name: Some(Unnamed { part, output }) })
    }

    /// All is written.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        match self {
            Self::File { name: Some(name), .. } => name.give(),
            Self::File { .. } | Self::Stdout(_) => Ok(()),
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(out) => out.write(bytes),
            Self::File { file, .. } => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(out) => out.flush(),
            Self::File { file, .. } => file.flush(),
        }
    }
}

impl Unnamed {
    fn give(self) -> io::Result<()> {
        fs::rename(&self.part, &self.output)
    }
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        // Not there any more if it has its name.
        let _ = fs::remove_file(&self.part);
    }
}
