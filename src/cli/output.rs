//! Results on stdout, and files that appear under their name only when they are complete.
//!
//! A capture contains passwords: from the first byte, only the owner may read an output file. Bundles have the same
//! mode.

use spectral_capture::output::{TemporaryFile, is_descriptor, trusted_target};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, StdoutLock, Write};
use std::path::Path;
use std::sync::Arc;

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
        file: BufWriter<Arc<File>>,
        /// `None` for a device, a pipe or a descriptor, which are written in place.
        temporary: Option<TemporaryFile>,
    },
}

impl Output {
    /// Opens `path` for writing, or stdout if there is none.
    ///
    /// # Errors
    /// If the path is a directory or cannot be written, or is a symbolic link that another user made or can replace.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, String> {
        let Some(path) = path.filter(|path| !STDOUT.iter().any(|stdout| *path == Path::new(stdout))) else {
            return Ok(Self::Stdout(BufWriter::new(io::stdout().lock())));
        };
        let failed = |e: io::Error| format!("cannot write {}: {e}", path.display());
        if is_descriptor(path) {
            // Appends: a shell may have opened the descriptor with >>.
            let file = OpenOptions::new().append(true).open(path).map_err(failed)?;
            return Ok(Self::File { file: BufWriter::new(Arc::new(file)), temporary: None });
        }
        // Replaces the target of a symbolic link, not the link.
        let output = trusted_target(path)
            .map_err(|e| format!("cannot write {}: {e}; choose another file with -o", path.display()))?;
        match fs::metadata(&output) {
            Ok(meta) if meta.is_dir() => Err(directory_error(path)),
            // A device or a pipe.
            Ok(meta) if !meta.is_file() => {
                let file = OpenOptions::new().write(true).open(&output).map_err(failed)?;
                Ok(Self::File { file: BufWriter::new(Arc::new(file)), temporary: None })
            }
            _ => {
                let temporary = TemporaryFile::create(&output).map_err(failed)?;
                let file = BufWriter::new(Arc::clone(temporary.file()));
                Ok(Self::File { file, temporary: Some(temporary) })
            }
        }
    }

    /// Flushes the output and renames a temporary file to its final name.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        match self {
            Self::File { temporary: Some(temporary), .. } => temporary.replace(),
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

/// The names of stdout. A second description of that file would begin at its start.
const STDOUT: [&str; 3] = ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];
