//! An open file as the output of a capture. It is written in place, from its start: it has no name, no lock and no backup.

use super::sys;
use crate::error::{Error, OutputError};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An open file that the caller created.
pub(crate) struct OpenFile {
    file: Arc<File>,
    /// The name of its descriptor, for messages: `/dev/fd/5`.
    path: PathBuf,
}

impl OpenFile {
    /// Checks `file`: a regular file without content, open for reading and writing, not for appending. The bundle is read back
    /// while it is written, and each write has its offset.
    pub(crate) fn new(file: &Arc<File>) -> Result<Self, Error> {
        let path = PathBuf::from(format!("/dev/fd/{}", file.as_raw_fd()));
        match check(file) {
            Ok(()) => Ok(Self { file: Arc::clone(file), path }),
            Err(cause) => Err(Error::Output { path, cause }),
        }
    }

    pub(crate) fn file(&self) -> &Arc<File> {
        &self.file
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn check(file: &File) -> Result<(), OutputError> {
    let meta = file.metadata().map_err(OutputError::OpenFile)?;
    if !meta.is_file() {
        return Err(OutputError::NotAFile);
    }
    if meta.len() > 0 {
        return Err(OutputError::NotEmpty);
    }
    match sys::is_open_for_updates(file) {
        Ok(true) => Ok(()),
        Ok(false) => {
            Err(OutputError::OpenFile(io::Error::other("not open for reading and writing, or open for appending")))
        }
        Err(cause) => Err(OutputError::OpenFile(cause)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::test_dir::TestDir;
    use std::fs::OpenOptions;
    use std::io::Write;

    #[test]
    fn only_an_empty_file_for_reading_and_writing_is_accepted() {
        let dir = TestDir::new("open-file");
        let path = dir.path("a");
        let open = |set: &dyn Fn(&mut OpenOptions) -> &mut OpenOptions| {
            let file = Arc::new(set(&mut OpenOptions::new()).open(&path).unwrap());
            OpenFile::new(&file).map(|open| open.path().to_owned()).map_err(|e| e.to_string())
        };
        assert!(open(&|options| options.read(true).write(true).create(true)).unwrap().starts_with("/dev/fd"));
        let error = "not open for reading and writing, or open for appending";
        for refused in [
            open(&|options| options.read(true)),
            open(&|options| options.write(true)),
            open(&|options| options.read(true).append(true)),
        ] {
            let refused = refused.unwrap_err();
            assert!(refused.ends_with(error), "{refused}");
        }
        File::create(&path).unwrap().write_all(b"1").unwrap();
        let refused = open(&|options| options.read(true).write(true)).unwrap_err();
        assert!(refused.ends_with("the file is not empty"), "{refused}");
        assert_eq!(std::fs::read(&path).unwrap(), b"1");
        let null = Arc::new(OpenOptions::new().read(true).write(true).open("/dev/null").unwrap());
        assert!(matches!(OpenFile::new(&null), Err(Error::Output { cause: OutputError::NotAFile, .. })));
    }
}
