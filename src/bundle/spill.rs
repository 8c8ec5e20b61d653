//! Files for what memory should not hold: beside the bundle, without a name, gone with the process.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A file in `folder` that only this process can reach: new, so that no link is followed, and unlinked at once.
pub(crate) fn unlinked(folder: &Path) -> io::Result<File> {
    let name = format!(".spectral-{:016x}.spill", RandomState::new().hash_one(0));
    let path = folder.join(name);
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

/// Bytes to be read again at the end. They wait in memory until there are enough of them for a write, or longer if the
/// disk takes none: appending never fails.
pub(crate) struct Spill {
    folder: PathBuf,
    file: Option<File>,
    /// How much of the file is meant.
    written: u64,
    buffer: Vec<u8>,
}

impl Spill {
    /// Goes to a file in `folder`: one that is there from the start does not run out of descriptors later. If there is none to
    /// be had, it is tried again.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { file: unlinked(&folder).ok(), folder, written: 0, buffer: Vec::new() }
    }

    pub(crate) fn len(&self) -> u64 {
        self.written.saturating_add(self.buffer.len() as u64)
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER {
            // If not now, then with the next.
            let _ = self.write_out();
        }
    }

    /// The bytes from `at` on, as many as fit `into` and are there.
    pub(crate) fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let Some(left) = self.written.checked_sub(at).filter(|&left| left > 0) else {
            let from = usize::try_from(at.saturating_sub(self.written)).unwrap_or(usize::MAX);
            let rest = self.buffer.get(from..).unwrap_or_default();
            let n = rest.len().min(into.len());
            into.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            return Ok(n);
        };
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(into.len());
        let file = self.file.as_ref().ok_or(io::ErrorKind::UnexpectedEof)?;
        match file.read_at(into.get_mut(..most).unwrap_or_default(), at)? {
            0 if most > 0 => Err(io::ErrorKind::UnexpectedEof.into()),
            n => Ok(n),
        }
    }

    fn write_out(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(unlinked(&self.folder)?),
        };
        file.write_all_at(&self.buffer, self.written)?;
        self.written = self.len();
        self.buffer.clear();
        Ok(())
    }
}

/// What is appended goes to the disk in pieces of this size.
const BUFFER: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_appended_is_read_again() {
        for folder in [std::env::temp_dir(), "/nowhere/at/all".into()] {
            let mut spill = Spill::new(folder);
            let all: Vec<u8> = (0..200_000u32).map(|i| (i % 251) as u8).collect();
            all.chunks(1000).for_each(|piece| spill.append(piece));
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
            assert_eq!((is_spilled, spill.buffer.len() < BUFFER), (is_spilled, is_spilled));
        }
    }
}
