//! A body on its way from one bundle to another: in memory or, if it is large, in an unlinked file.

use crate::bundle::spill::unlinked_file;
use crate::coding::Content;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// The bytes of a body.
pub(super) struct TempBody {
    directory: PathBuf,
    file: Option<File>,
    /// The length of the part in the file.
    spilled: u64,
    /// The part after it.
    memory: Vec<u8>,
    /// The first error of the file. Later bytes are discarded.
    error: Option<io::Error>,
}

impl TempBody {
    /// An empty body. Its file is created in `directory` when it is needed.
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory, file: None, spilled: 0, memory: Vec::new(), error: None }
    }

    /// Appends all of `source`. An error is that of `source`; [`TempBody::check`] returns that of the file.
    pub(super) fn push_all(&mut self, source: &mut dyn Read) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            match source.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(n) => self.push(buffer.get(..n).unwrap_or_default()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Fails if bytes could not be stored.
    pub(super) fn check(&self) -> io::Result<()> {
        self.error.as_ref().map_or(Ok(()), |error| Err(io::Error::new(error.kind(), error.to_string())))
    }

    /// Writes all bytes to `out`.
    pub(super) fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        self.read(|input| {
            loop {
                let bytes = input.fill_buf()?;
                if bytes.is_empty() {
                    return Ok(());
                }
                out.write_all(bytes)?;
                let n = bytes.len();
                input.consume(n);
            }
        })
    }

    /// Returns all bytes.
    #[cfg(test)]
    pub(super) fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.write_to(&mut bytes)?;
        Ok(bytes)
    }

    fn write_out(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(unlinked_file(&self.directory)?),
        };
        file.write_all_at(&self.memory, self.spilled)?;
        self.spilled = self.len();
        self.memory.clear();
        Ok(())
    }
}

impl Content for TempBody {
    fn len(&self) -> u64 {
        self.spilled.saturating_add(self.memory.len() as u64)
    }

    fn empty_like(&self) -> Self {
        Self::new(self.directory.clone())
    }

    fn push(&mut self, bytes: &[u8]) {
        if self.error.is_some() {
            return;
        }
        self.memory.extend_from_slice(bytes);
        if self.memory.len() >= MAX_MEMORY_BYTES {
            self.error = self.write_out().err();
        }
    }

    fn is_whole(&self) -> bool {
        self.error.is_none()
    }

    fn read<T>(&self, read: impl FnOnce(&mut dyn BufRead) -> T) -> T {
        let Some(file) = &self.file else { return read(&mut self.memory.as_slice()) };
        let part = FilePart { file, offset: 0, end: self.spilled };
        read(&mut BufReader::with_capacity(BUFFER_BYTES, part).chain(self.memory.as_slice()))
    }
}

/// Reads the start of a file.
struct FilePart<'f> {
    file: &'f File,
    offset: u64,
    end: u64,
}

impl Read for FilePart<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        let max = left.min(into.len());
        let n = self.file.read_at(into.get_mut(..max).unwrap_or_default(), self.offset)?;
        self.offset = self.offset.saturating_add(n as u64);
        Ok(n)
    }
}

/// The part of a body that is kept in memory.
const MAX_MEMORY_BYTES: usize = 1 << 20;

const BUFFER_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_in_memory_and_in_files_are_read_back() {
        for len in [0, 10, MAX_MEMORY_BYTES, 3 * MAX_MEMORY_BYTES + 7] {
            let bytes: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
            let mut body = TempBody::new(std::env::temp_dir());
            body.push_all(&mut bytes.as_slice()).unwrap();
            assert_eq!((body.len(), body.file.is_some()), (len as u64, len >= MAX_MEMORY_BYTES));
            assert!(body.to_bytes().unwrap() == bytes && body.is_whole());
        }
    }

    #[test]
    fn a_body_that_cannot_be_stored_is_not_whole() {
        let mut body = TempBody::new("/nowhere/at/all".into());
        body.push(&vec![0; MAX_MEMORY_BYTES]);
        assert!(!body.is_whole());
        let mut body = TempBody::new("/nowhere/at/all".into());
        body.push_all(&mut vec![0; MAX_MEMORY_BYTES].as_slice()).unwrap();
        assert_eq!(body.check().unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
