//! Temporary files for data that is too large for memory: beside the bundle, unlinked, gone when the process ends.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Creates a file in `directory` and unlinks it at once, so that only this process can reach it. Follows no link.
pub(crate) fn unlinked_file(directory: &Path) -> io::Result<File> {
    let name = format!(".spectral-{:016x}.spill", RandomState::new().hash_one(0));
    let path = directory.join(name);
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

/// Bytes that are appended, and read back later. They are buffered in memory, and stay there while the disk is full, so
/// appending never fails.
pub(crate) struct Spill {
    directory: PathBuf,
    file: Option<File>,
    /// The length of the file's valid content. A failed write may leave more.
    written: u64,
    buffer: Vec<u8>,
}

impl Spill {
    /// Opens the file now, while descriptors are available. If that fails, later appends try again.
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self { file: unlinked_file(&directory).ok(), directory, written: 0, buffer: Vec::new() }
    }

    pub(crate) fn len(&self) -> u64 {
        self.written.saturating_add(self.buffer.len() as u64)
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER_BYTES {
            // The next append tries again if this fails.
            let _ = self.write_out();
        }
    }

    /// Reads bytes at `offset` into `into` and returns their number. A read stops at the end of the file's content, so it may
    /// return fewer bytes than are left; it returns 0 only at the end.
    pub(crate) fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let Some(in_file) = self.written.checked_sub(offset).filter(|&n| n > 0) else {
            let start = usize::try_from(offset.saturating_sub(self.written)).unwrap_or(usize::MAX);
            let rest = self.buffer.get(start..).unwrap_or_default();
            let n = rest.len().min(into.len());
            into.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            return Ok(n);
        };
        let max = usize::try_from(in_file).unwrap_or(usize::MAX).min(into.len());
        let file = self.file.as_ref().ok_or(io::ErrorKind::UnexpectedEof)?;
        match file.read_at(into.get_mut(..max).unwrap_or_default(), offset)? {
            0 if max > 0 => Err(io::ErrorKind::UnexpectedEof.into()),
            n => Ok(n),
        }
    }

    fn write_out(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(unlinked_file(&self.directory)?),
        };
        file.write_all_at(&self.buffer, self.written)?;
        self.written = self.len();
        self.buffer.clear();
        Ok(())
    }
}

/// Appended bytes are written in blocks of at least this size.
const BUFFER_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appended_bytes_are_read_back_with_and_without_a_file() {
        for directory in [std::env::temp_dir(), "/nowhere/at/all".into()] {
            let mut spill = Spill::new(directory);
            let all: Vec<u8> = (0..200_000u32).map(|i| (i % 251) as u8).collect();
            all.chunks(1000).for_each(|chunk| spill.append(chunk));
            assert_eq!(spill.len(), all.len() as u64);
            let (mut read, mut buffer) = (Vec::new(), [0; 70_001]);
            loop {
                match spill.read_at(read.len() as u64, &mut buffer).unwrap() {
                    0 => break,
                    n => read.extend_from_slice(&buffer[..n]),
                }
            }
            assert!(read == all);
            let is_spilled = spill.file.is_some();
            assert_eq!((is_spilled, spill.buffer.len() < BUFFER_BYTES), (is_spilled, is_spilled));
        }
    }
}
