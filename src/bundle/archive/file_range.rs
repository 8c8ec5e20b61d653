//! A range of a file as a reader, by `pread`: readers of one file do not share a position.

use crate::bundle::disk_watch::timed;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// A range of a file. Reads end early if the file does.
pub(crate) struct FileRange<'f> {
    file: &'f File,
    offset: u64,
    end: u64,
}

impl<'f> FileRange<'f> {
    pub(super) fn new(file: &'f File, range: Range<u64>) -> Self {
        Self { file, offset: range.start, end: range.end }
    }

    /// Returns the number of bytes to the end of the range.
    pub(super) fn remaining(&self) -> u64 {
        self.end.saturating_sub(self.offset)
    }
}

impl Read for FileRange<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let len = usize::try_from(self.remaining()).unwrap_or(usize::MAX).min(into.len());
        let n = timed(|| self.file.read_at(into.get_mut(..len).unwrap_or_default(), self.offset))?;
        self.offset = self.offset.saturating_add(n as u64);
        Ok(n)
    }
}

/// Reads the first `max` bytes of the range; fewer if the range or the file is shorter.
pub(super) fn read_up_to(file: &File, range: Range<u64>, max: usize) -> io::Result<Vec<u8>> {
    let mut range = FileRange::new(file, range);
    let mut bytes = vec![0; usize::try_from(range.remaining()).unwrap_or(usize::MAX).min(max)];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match range.read(rest) {
            Ok(0) => break,
            Ok(n) => filled = filled.saturating_add(n),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}
