//! The file that an archive is written to: the unfinished bundle of a capture, an open file, or the temporary file of a tool.

use crate::bundle::output::identity::Presence;
use crate::bundle::output::open_file::OpenFile;
use crate::bundle::output::part::PartFile;
use crate::bundle::output::path::bundle_path;
use crate::bundle::output::rescue::{Content, Rescued};
use crate::bundle::output::temporary::TemporaryFile;
use crate::error::{Error, OutputError};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The output of a capture.
#[derive(Clone, Copy)]
pub(crate) enum OutputFile<'f> {
    /// A path, for a file that appears there once it is complete.
    Path(&'f Path),
    /// A file that is open, which is written in place.
    Open(&'f Arc<File>),
}

/// The file of an archive until it is finished.
pub(super) enum UnfinishedFile {
    Part(PartFile),
    Open(OpenFile),
    Temporary(TemporaryFile),
}

/// A bundle that stands.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) path: PathBuf,
    /// The present path of the file that had the path before.
    pub(crate) backup: Option<PathBuf>,
}

/// The error of a bundle that was not finished.
#[derive(Debug)]
pub(crate) struct FinishError {
    /// The path of the file.
    pub(crate) path: PathBuf,
    pub(crate) state: UnfinishedState,
    pub(crate) cause: io::Error,
}

/// The state of a bundle that was not finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UnfinishedState {
    /// A complete bundle that could not be renamed.
    Complete,
    /// A bundle without its end, whose exchanges can be recovered.
    Truncated,
    /// Another process deleted or replaced the file; a complete copy is at this path.
    Copied(PathBuf),
    /// Another process deleted or replaced the file, and its content is lost.
    Lost,
    /// Nothing: the bundle has no items, and another bundle has the output path.
    Discarded,
}

impl UnfinishedFile {
    /// Creates the unfinished bundle of a capture. Also returns the paths of other files with such a name.
    pub(super) fn of_capture(output: OutputFile<'_>) -> Result<(Self, Vec<PathBuf>), Error> {
        let output = match output {
            OutputFile::Path(output) => resolved(output)?,
            OutputFile::Open(file) => return Ok((Self::Open(OpenFile::new(file)?), Vec::new())),
        };
        let (part, others) = PartFile::create(output.clone()).map_err(|cause| Error::Output { path: output, cause })?;
        Ok((Self::Part(part), others))
    }

    /// Creates the temporary file of a tool.
    pub(super) fn temporary(output: &Path) -> Result<Self, Error> {
        let path = resolved(output)?;
        match TemporaryFile::create(&path) {
            Ok(temporary) => Ok(Self::Temporary(temporary)),
            Err(cause) => {
                let directory = crate::bundle::output::names::directory_of(&path).to_owned();
                Err(Error::Output { path, cause: OutputError::Create { directory, cause } })
            }
        }
    }

    pub(super) fn file(&self) -> &Arc<File> {
        match self {
            Self::Part(part) => part.file(),
            Self::Open(open) => open.file(),
            Self::Temporary(temporary) => temporary.file(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Part(part) => part.path(),
            Self::Open(open) => open.path(),
            Self::Temporary(temporary) => temporary.path(),
        }
    }

    pub(super) fn output(&self) -> &Path {
        match self {
            Self::Part(part) => part.output(),
            Self::Open(open) => open.path(),
            Self::Temporary(temporary) => temporary.output(),
        }
    }

    /// True if another process deleted or replaced the file.
    pub(super) fn is_lost(&self) -> bool {
        match self {
            Self::Part(part) => part.presence() != Presence::Present,
            // It needs no path. A tool reports an error at the end.
            Self::Open(_) | Self::Temporary(_) => false,
        }
    }

    /// Sets whether the file of a capture outlives this value.
    pub(super) fn keep(&mut self, is_kept: bool) {
        if let Self::Part(part) = self {
            part.keep(is_kept);
        }
    }

    /// Renames the complete file to its output path. A file there becomes a backup.
    pub(super) fn finish(self) -> Result<Finished, FinishError> {
        let (path, output) = (self.path().to_owned(), self.output().to_owned());
        let renamed = match self {
            Self::Part(part) if part.presence() != Presence::Present => {
                return Err(rescued(&part, Content::Complete, None));
            }
            Self::Part(part) => part.finish(),
            Self::Open(_) => Ok(None),
            Self::Temporary(temporary) => temporary.replace_with_backup(),
        };
        finished(path, output, renamed)
    }

    /// As [`UnfinishedFile::finish`], but discards the bundle of a capture if a file is at the output path.
    pub(super) fn finish_if_free(self) -> Result<Finished, FinishError> {
        let Self::Part(mut part) = self else { return self.finish() };
        let (path, output) = (part.path().to_owned(), part.output().to_owned());
        let renamed = match part.presence() {
            Presence::Present => part.finish_if_free(),
            // It has no items.
            Presence::Gone | Presence::Foreign if output.exists() => Err(io::ErrorKind::AlreadyExists.into()),
            Presence::Gone | Presence::Foreign => return Err(rescued(&part, Content::Complete, None)),
        };
        match renamed {
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {
                part.keep(false);
                Err(FinishError { path: output, state: UnfinishedState::Discarded, cause })
            }
            renamed => finished(path, output, renamed),
        }
    }

    /// Leaves a file that cannot be completed because of `cause`.
    pub(super) fn leave(self, cause: io::Error) -> FinishError {
        match self {
            Self::Part(part) if part.presence() != Presence::Present => rescued(&part, Content::Truncated, Some(cause)),
            unfinished => FinishError { path: unfinished.path().to_owned(), state: UnfinishedState::Truncated, cause },
        }
    }
}

fn finished(path: PathBuf, output: PathBuf, renamed: io::Result<Option<PathBuf>>) -> Result<Finished, FinishError> {
    match renamed {
        Ok(backup) => Ok(Finished { path: output, backup }),
        Err(cause) => Err(FinishError { path, state: UnfinishedState::Complete, cause }),
    }
}

/// Copies a file that has lost its path. `unfinished` is the reason why it has no end.
fn rescued(part: &PartFile, content: Content, unfinished: Option<io::Error>) -> FinishError {
    let path = part.path().to_owned();
    match (part.rescue(content), unfinished) {
        (Rescued::Copied(copy), None) => {
            FinishError { path, state: UnfinishedState::Copied(copy), cause: io::ErrorKind::NotFound.into() }
        }
        (Rescued::Copied(copy), Some(cause)) => FinishError { path: copy, state: UnfinishedState::Truncated, cause },
        (Rescued::Partly { copy, cause }, _) => {
            let cause =
                format!("{} was deleted or replaced, and only a part of it could be copied: {cause}", path.display());
            FinishError { path: copy, state: UnfinishedState::Truncated, cause: io::Error::other(cause) }
        }
        (Rescued::Nothing(cause), _) => FinishError { path, state: UnfinishedState::Lost, cause },
    }
}

fn resolved(output: &Path) -> Result<PathBuf, Error> {
    bundle_path(output).map_err(|cause| Error::Output { path: output.to_owned(), cause })
}
