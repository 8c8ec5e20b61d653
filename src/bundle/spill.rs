//! Temporary files for data that is too large for memory: in one folder, unlinked, gone when the process ends.

use super::disk_watch::timed;
use super::output::names::directory_of;
use super::output::sys::unnamed_file;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The place for data that is too large for memory.
#[derive(Clone, Debug)]
pub(crate) enum SpillPlace {
    /// Unlinked files in this folder.
    Folder(PathBuf),
    /// Memory after all: no file is created.
    Memory,
}

impl SpillPlace {
    /// The folder of the bundle `output`.
    pub(crate) fn beside(output: &Path) -> Self {
        Self::Folder(directory_of(output).to_owned())
    }

    /// Creates a file without a name.
    pub(crate) fn create_file(&self) -> io::Result<File> {
        match self {
            Self::Folder(folder) => unlinked_file(folder),
            Self::Memory => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

impl From<PathBuf> for SpillPlace {
    fn from(folder: PathBuf) -> Self {
        Self::Folder(folder)
    }
}

/// Creates a file in `directory` that only this process can reach. It has no name; where that is not possible, it is unlinked at
/// once, and only a signal in between leaves it, empty. Follows no link.
pub(crate) fn unlinked_file(directory: &Path) -> io::Result<File> {
    let name = format!(".spectral-{:016x}.spill", RandomState::new().hash_one(0));
    let path = directory.join(name);
    timed(|| {
        if let Ok(file) = unnamed_file(directory) {
            return Ok(file);
        }
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        fs::remove_file(&path)?;
        Ok(file)
    })
}

/// Bytes that are appended, and read back later. They are buffered in memory, and stay there while the disk is full, so
/// appending and patching never fail.
pub(crate) struct Spill {
    place: SpillPlace,
    file: Option<File>,
    /// The length of the file's valid content. A failed write may leave more.
    written: u64,
    buffer: Vec<u8>,
    /// Patches that the file has not taken, with their offsets.
    patches: Vec<(u64, Vec<u8>)>,
}

impl Spill {
    /// Opens the file now, while descriptors are available. If that fails, later appends try again.
    pub(crate) fn new(place: impl Into<SpillPlace>) -> Self {
        let place = place.into();
        Self { file: place.create_file().ok(), place, written: 0, buffer: Vec::new(), patches: Vec::new() }
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

    /// Removes all bytes.
    pub(crate) fn clear(&mut self) {
        self.buffer.clear();
        self.patches.clear();
        self.written = 0;
        // If this fails, the file only takes more space.
        let _ = self.file.as_ref().map(|file| timed(|| file.set_len(0)));
    }

    /// Replaces appended bytes at `offset`.
    pub(crate) fn patch(&mut self, offset: u64, bytes: &[u8]) {
        let in_file = usize::try_from(self.written.saturating_sub(offset)).unwrap_or(usize::MAX).min(bytes.len());
        let (to_file, to_buffer) = bytes.split_at(in_file);
        overlay(self.written, &mut self.buffer, offset.saturating_add(in_file as u64), to_buffer);
        if !to_file.is_empty() {
            self.patches.push((offset, to_file.to_owned()));
            if let Some(file) = &self.file {
                // In order, because later patches may replace earlier ones. The next patch tries again if one fails.
                let failed =
                    self.patches.iter().position(|(at, bytes)| timed(|| file.write_all_at(bytes, *at)).is_err());
                self.patches.drain(..failed.unwrap_or(self.patches.len()));
            }
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
        let into = into.get_mut(..max).unwrap_or_default();
        let n = match timed(|| file.read_at(into, offset))? {
            0 if max > 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => n,
        };
        let into = into.get_mut(..n).unwrap_or_default();
        self.patches.iter().for_each(|(at, bytes)| overlay(offset, into, *at, bytes));
        Ok(n)
    }

    #[cfg(test)]
    pub(crate) fn memory_bytes(&self) -> usize {
        self.buffer.capacity()
    }

    fn write_out(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(self.place.create_file()?),
        };
        timed(|| file.write_all_at(&self.buffer, self.written))?;
        self.written = self.len();
        self.buffer.clear();
        Ok(())
    }
}

/// Copies the part of `patch`, which begins at offset `at`, that lies within `bytes`, which begin at `offset`.
fn overlay(offset: u64, bytes: &mut [u8], at: u64, patch: &[u8]) {
    let distance = |from: u64, to: u64| usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
    let target = bytes.get_mut(distance(offset, at)..).unwrap_or_default();
    let source = patch.get(distance(at, offset)..).unwrap_or_default();
    target.iter_mut().zip(source).for_each(|(to, from)| *to = *from);
}

/// Appended bytes are written in blocks of at least this size.
const BUFFER_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appended_bytes_are_read_back_with_and_without_a_file() {
        for directory in
            [std::env::temp_dir().into(), SpillPlace::beside(Path::new("/nowhere/at/all")), SpillPlace::Memory]
        {
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

    #[test]
    #[cfg(target_os = "linux")]
    fn files_have_no_name() {
        use std::os::unix::fs::MetadataExt;
        let Ok(unnamed) = unnamed_file(&std::env::temp_dir()) else { return };
        let file = unlinked_file(&std::env::temp_dir()).unwrap();
        for file in [unnamed, file] {
            let meta = file.metadata().unwrap();
            assert_eq!((meta.nlink(), meta.mode() & 0o777), (0, 0o600));
            let descriptor = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
            let path = fs::read_link(descriptor).unwrap();
            assert!(!path.to_string_lossy().contains(".spill"), "{path:?}");
            file.write_all_at(b"a", 5).unwrap();
        }
    }

    #[test]
    fn patches_replace_bytes_in_the_file_and_in_memory() {
        let all: Vec<u8> = (0..BUFFER_BYTES as u32 + 1000).map(|i| (i % 251) as u8).collect();
        // In memory only; in a file; in a file that has become read-only.
        for case in 0..3 {
            let mut spill = Spill::new(if case == 0 { SpillPlace::Memory } else { std::env::temp_dir().into() });
            spill.append(&all[..BUFFER_BYTES]);
            if case == 2 {
                let path = std::env::temp_dir().join(format!("spectral-patch-{}", std::process::id()));
                fs::write(&path, &all[..BUFFER_BYTES]).unwrap();
                spill.file = Some(File::open(&path).unwrap());
                fs::remove_file(path).unwrap();
            }
            spill.append(&all[BUFFER_BYTES..]);
            let mut expected = all.clone();
            // The third lies across the end of the file, the last replaces a part of the first.
            for (at, patch) in
                [(5, b"first"), (BUFFER_BYTES + 7, b"buffe"), (BUFFER_BYTES - 2, b"acros"), (7, b"again")]
            {
                spill.patch(at as u64, patch);
                expected[at..at + 5].copy_from_slice(patch);
            }
            assert_eq!(spill.patches.is_empty(), case != 2);
            for size in [1, 3, 1000, 2 * BUFFER_BYTES] {
                let (mut read, mut buffer) = (Vec::new(), vec![0; size]);
                while let n @ 1.. = spill.read_at(read.len() as u64, &mut buffer).unwrap() {
                    read.extend_from_slice(&buffer[..n]);
                }
                assert!(read == expected, "{case}");
            }
        }
    }
}
