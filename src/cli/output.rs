//! Results on stdout, and files that appear under their name only when they are complete.
//!
//! A capture contains passwords: from the first byte, only the owner may read an output file. Bundles have the same
//! mode.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, StdoutLock, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Writes `text`, the result of a command, to `out`, which is stdout. A closed pipe is not an error: its reader needs no
/// more.
pub(crate) fn print(text: impl AsRef<[u8]>, out: &mut dyn Write) -> Result<(), String> {
    match out.write_all(text.as_ref()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(stdout_error(&e)),
        _ => Ok(()),
    }
}

/// Returns the message for a failed write to stdout.
pub(crate) fn stdout_error(cause: &io::Error) -> String {
    format!("cannot write to stdout: {cause}")
}

/// Returns the message for an output path that names a directory.
pub(crate) fn directory_error(path: &Path) -> String {
    format!("cannot write {}: it is a directory; name a file with -o", path.display())
}

/// The output of an export.
pub(crate) enum Output {
    Stdout(BufWriter<StdoutLock<'static>>),
    File {
        file: BufWriter<File>,
        /// `None` for a device or a pipe, which are written in place.
        temporary: Option<TempFile>,
    },
}

/// A file under a temporary name. It is renamed when it is complete, and deleted otherwise.
pub(crate) struct TempFile {
    part: PathBuf,
    output: PathBuf,
}

impl Output {
    /// Opens `path` for writing, or stdout if there is none.
    ///
    /// # Errors
    /// If the path is a directory or cannot be written.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, String> {
        let Some(path) = path else { return Ok(Self::Stdout(BufWriter::new(io::stdout().lock()))) };
        let failed = |e: io::Error| format!("cannot write {}: {e}", path.display());
        match fs::metadata(path) {
            Ok(meta) if meta.is_dir() => {
                return Err(directory_error(path));
            }
            // A device or a pipe.
            Ok(meta) if !meta.is_file() => {
                let file = OpenOptions::new().write(true).open(path).map_err(failed)?;
                return Ok(Self::File { file: BufWriter::new(file), temporary: None });
            }
            _ => {}
        }
        // Replaces the target of a symbolic link, not the link.
        let output = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let mut part = OsString::from(&output);
        part.push(format!(".{}.part", std::process::id()));
        let part = PathBuf::from(part);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part).map_err(failed)?;
        Ok(Self::File { file: BufWriter::new(file), temporary: Some(TempFile { part, output }) })
    }

    /// Flushes the output and renames a temporary file to its final name.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        match self {
            Self::File { temporary: Some(temporary), .. } => temporary.rename(),
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

impl TempFile {
    fn rename(self) -> io::Result<()> {
        fs::rename(&self.part, &self.output)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        // Fails if the file was renamed.
        let _ = fs::remove_file(&self.part);
    }
}
