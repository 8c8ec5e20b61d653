//! The directory of an archive under construction: central headers, spilled until they are written at the end.
//!
//! ```text
//! add ─▶ uncommitted ─commit─▶ spill ─▶ the file's directory
//! retire ─▶ retired ──commit──▶ marks lines in the spill, which are then left out
//! ```
//!
//! The line of an entry whose CRC-32 and size are only claimed is marked until they are verified. A directory with marked
//! lines is not written, so no claim reaches it.
//!
//! A commit cannot fail: [`Spill`] keeps in memory what its file does not take.

use super::dos_time::DosDateTime;
use super::headers::{CENTRAL_LEN, CentralHeader, EntryHeader};
use super::le::u32_at;
use super::signatures::CENTRAL_SIGNATURE;
use crate::bundle::spill::{Spill, SpillPlace};
use std::io;

/// The directory of an archive that is being written.
pub(super) struct Directory {
    /// The lines of committed groups, retired ones included.
    spill: Spill,
    /// The number of committed entries, without retired ones.
    count: u64,
    /// The lines of uncommitted entries.
    uncommitted: Vec<u8>,
    /// The number of uncommitted entries.
    uncommitted_count: u32,
    /// The groups to remove with the next commit.
    retired: Vec<GroupPlace>,
}

/// The lines of a group in the directory: the central headers of its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupPlace {
    offset: u64,
    len: u32,
    entry_count: u32,
}

impl GroupPlace {
    /// The length of [`GroupPlace::encode`].
    pub(crate) const ENCODED_BYTES: usize = 16;

    /// Returns it as bytes, to keep many places on disk.
    pub(crate) fn encode(self) -> [u8; Self::ENCODED_BYTES] {
        (u128::from(self.offset) << 64 | u128::from(self.len) << 32 | u128::from(self.entry_count)).to_le_bytes()
    }

    /// Returns the place that `bytes` are the encoding of.
    pub(crate) fn decode(bytes: [u8; Self::ENCODED_BYTES]) -> Self {
        let bits = u128::from_le_bytes(bytes);
        Self { offset: (bits >> 64) as u64, len: (bits >> 32) as u32, entry_count: bits as u32 }
    }
}

/// A position in the uncommitted part of a [`Directory`].
#[derive(Clone, Copy, Default)]
pub(super) struct DirectoryMark {
    len: usize,
    count: u32,
    retired: usize,
}

impl Directory {
    pub(super) fn new(place: SpillPlace) -> Self {
        Self { spill: Spill::new(place), count: 0, uncommitted: Vec::new(), uncommitted_count: 0, retired: Vec::new() }
    }

    /// Returns the size of the committed lines.
    pub(super) fn bytes(&self) -> u64 {
        self.spill.len()
    }

    /// Adds an entry whose local header is at `offset`. An error may leave a partial line, which
    /// [`Directory::truncate`] removes.
    pub(super) fn add(&mut self, header: EntryHeader<&str>, date: DosDateTime, offset: u64) -> io::Result<()> {
        header.append_central(date, offset, &mut self.uncommitted)?;
        self.uncommitted_count = self.uncommitted_count.saturating_add(1);
        Ok(())
    }

    /// As [`Directory::add`], for an entry whose CRC-32 and size are only claimed.
    pub(super) fn add_claimed(&mut self, header: EntryHeader<&str>, date: DosDateTime, offset: u64) -> io::Result<()> {
        let start = self.uncommitted.len();
        self.add(header, date, offset)?;
        mark_claimed(self.uncommitted.get_mut(start..).unwrap_or_default());
        Ok(())
    }

    /// Adds an entry with this central header.
    pub(super) fn add_line(&mut self, central: &[u8]) {
        self.uncommitted.extend_from_slice(central);
        self.uncommitted_count = self.uncommitted_count.saturating_add(1);
    }

    /// Notes that the claims of a committed group are verified.
    pub(super) fn confirm(&mut self, place: GroupPlace) -> io::Result<()> {
        let mut lines = self.spilled_lines(place)?;
        let claimed: Vec<_> = unmark(&mut lines)?.into_iter().filter_map(|at| place.offset.checked_add(at)).collect();
        claimed.into_iter().for_each(|at| self.spill.patch(at, &CENTRAL_SIGNATURE.to_le_bytes()));
        Ok(())
    }

    /// Removes a committed group with the next commit.
    pub(super) fn retire(&mut self, place: GroupPlace) -> io::Result<()> {
        let signature = u32_at(&self.spilled_lines(place)?, 0);
        let is_live = signature == Some(CENTRAL_SIGNATURE) || signature == Some(CLAIMED_SIGNATURE);
        if !is_live || self.retired.contains(&place) {
            return Err(io::Error::other("the group was replaced already"));
        }
        self.retired.push(place);
        Ok(())
    }

    /// Returns the end of the uncommitted part.
    pub(super) fn mark(&self) -> DirectoryMark {
        DirectoryMark { len: self.uncommitted.len(), count: self.uncommitted_count, retired: self.retired.len() }
    }

    /// Discards what was added after `mark`.
    pub(super) fn truncate(&mut self, mark: DirectoryMark) {
        self.uncommitted.truncate(mark.len);
        self.uncommitted_count = mark.count;
        self.retired.truncate(mark.retired);
    }

    /// Returns the place of the entries added after `mark`.
    pub(super) fn group_since(&self, mark: DirectoryMark) -> io::Result<GroupPlace> {
        let too_large = |_| io::Error::other("a group has too many entries");
        Ok(GroupPlace {
            offset: self.spill.len().saturating_add(mark.len as u64),
            len: u32::try_from(self.uncommitted.len().saturating_sub(mark.len)).map_err(too_large)?,
            entry_count: self.uncommitted_count.saturating_sub(mark.count),
        })
    }

    /// True if nothing was added or retired since the last commit.
    pub(super) fn is_committed(&self) -> bool {
        self.uncommitted.is_empty() && self.retired.is_empty()
    }

    /// Commits what was added and retired.
    pub(super) fn commit(&mut self) {
        self.spill.append(&self.uncommitted);
        self.count = self.count.saturating_add(self.uncommitted_count.into());
        self.uncommitted.clear();
        self.uncommitted_count = 0;
        for GroupPlace { offset, len, entry_count } in self.retired.drain(..) {
            self.spill.patch(offset, [RETIRED_SIGNATURE, len].map(u32::to_le_bytes).as_flattened());
            self.count = self.count.saturating_sub(entry_count.into());
        }
    }

    /// Returns the lines of a committed group, without marks.
    pub(super) fn lines(&self, place: GroupPlace) -> io::Result<Vec<u8>> {
        let mut lines = self.spilled_lines(place)?;
        unmark(&mut lines)?;
        Ok(lines)
    }

    fn spilled_lines(&self, place: GroupPlace) -> io::Result<Vec<u8>> {
        let mut lines = vec![0; usize::try_from(place.len).unwrap_or(usize::MAX)];
        let n = self.read_at(place.offset, &mut lines)?;
        if n == 0 || n < lines.len() {
            return Err(io::Error::other("no such group in the directory"));
        }
        Ok(lines)
    }

    /// Passes the lines of all committed entries to `out`. Returns the number of entries, and of bytes.
    pub(super) fn write(&self, out: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<(u64, u64)> {
        let (mut offset, mut len, mut block) = (0u64, 0u64, vec![0; BLOCK_BYTES]);
        while offset < self.spill.len() {
            let n = self.read_at(offset, &mut block)?;
            let (live, retired) = leading_lines(block.get(..n).unwrap_or_default());
            if live == 0 && retired == 0 {
                let is_claimed = u32_at(&block, 0) == Some(CLAIMED_SIGNATURE);
                let cause =
                    if is_claimed { "a body could not be verified" } else { "the spilled directory is damaged" };
                return Err(io::Error::other(cause));
            }
            out(block.get(..live).unwrap_or_default())?;
            len = len.saturating_add(live as u64);
            offset = offset.saturating_add(live as u64).saturating_add(retired);
        }
        Ok((self.count, len))
    }

    /// Fills `into` from `offset`, up to the end. Returns the number of bytes.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(rest) = into.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.spill.read_at(offset.saturating_add(filled as u64), rest)? {
                0 => break,
                n => filled = filled.saturating_add(n),
            }
        }
        Ok(filled)
    }
}

/// Marks the line of an entry whose CRC-32 and size are only claimed.
pub(super) fn mark_claimed(line: &mut [u8]) {
    line.iter_mut().zip(CLAIMED_SIGNATURE.to_le_bytes()).for_each(|(to, from)| *to = from);
}

/// Removes the marks from `lines`. Returns the offsets of the lines that had one.
fn unmark(lines: &mut [u8]) -> io::Result<Vec<u64>> {
    let (mut at, mut marked) = (0, Vec::new());
    while let Some(line) = lines.get_mut(at..).filter(|line| !line.is_empty()) {
        if u32_at(line, 0) == Some(CLAIMED_SIGNATURE) {
            line.iter_mut().zip(CENTRAL_SIGNATURE.to_le_bytes()).for_each(|(to, from)| *to = from);
            marked.push(at as u64);
        }
        let header = line.get(..CENTRAL_LEN).and_then(CentralHeader::read);
        let len = header.and_then(|header| usize::try_from(header.len()).ok());
        at = at.saturating_add(len.ok_or_else(|| io::Error::other("a group is not in the directory any more"))?);
    }
    Ok(marked)
}

/// Returns the length of the live lines at the start of `block`, and that of the retired group after them, if any.
fn leading_lines(block: &[u8]) -> (usize, u64) {
    let mut live = 0;
    loop {
        let rest = block.get(live..).unwrap_or_default();
        if u32_at(rest, 0) == Some(RETIRED_SIGNATURE) {
            return (live, u32_at(rest, 4).unwrap_or_default().into());
        }
        let header = rest.get(..CENTRAL_LEN).and_then(CentralHeader::read);
        let len = header.and_then(|header| usize::try_from(header.len()).ok());
        match len.filter(|&len| len <= rest.len()) {
            Some(len) => live = live.saturating_add(len),
            None => return (live, 0),
        }
    }
}

/// Replaces the signature of a retired group's first line. The length of all its lines follows.
const RETIRED_SIGNATURE: u32 = 0;

/// Replaces the signature of a line whose CRC-32 and size are only claimed.
const CLAIMED_SIGNATURE: u32 = u32::from_le_bytes(*b"PK??");

/// The directory is written in blocks of this size. The longest line fits.
const BLOCK_BYTES: usize = 96 * 1024;
