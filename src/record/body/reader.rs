//! Reads a body: pieces from the spill file, then bytes in memory.

use super::chunk_pool::CHUNK_BYTES;
use super::spill_file::SpillFile;
use super::{Body, SpilledPiece};
use crate::bundle::archive::Content;
use std::io::{self, Read};
use std::ops::Range;

/// Reads a [`Body`].
pub(crate) struct BodyReader<'b> {
    spill: &'b SpillFile,
    /// The pieces that are not read yet, to their ends.
    pieces: &'b [SpilledPiece],
    /// The offset in the first of them.
    in_piece: usize,
    /// A buffer for bytes of pieces, once one is needed.
    block: Vec<u8>,
    /// The bytes of `block` that are not read yet.
    in_block: Range<usize>,
    chunks: &'b [Vec<u8>],
    last: &'b [u8],
    /// The offset in the bytes of `chunks` and `last`.
    in_memory: usize,
}

impl<'b> BodyReader<'b> {
    pub(super) fn new(body: &'b Body, at: u64) -> Self {
        let pieces = body.pieces();
        let index = pieces.partition_point(|piece| piece.end <= at);
        let start = index.checked_sub(1).and_then(|before| pieces.get(before)).map_or(0, |before| before.end);
        Self {
            spill: body.store.spill(),
            pieces: pieces.get(index..).unwrap_or_default(),
            in_piece: usize::try_from(at.saturating_sub(start)).unwrap_or(usize::MAX),
            block: Vec::new(),
            in_block: 0..0,
            chunks: body.chunks(),
            last: &body.last,
            in_memory: usize::try_from(at.saturating_sub(body.spilled_len())).unwrap_or(usize::MAX),
        }
    }

    /// Reads the next bytes of pieces into `into`. Returns 0 after the last piece.
    fn read_pieces(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while let Some((first, rest)) = self.pieces.split_first() {
            match self.spill.read_at(first.index, self.in_piece, into)? {
                0 => (self.pieces, self.in_piece) = (rest, 0),
                n => {
                    self.in_piece = self.in_piece.saturating_add(n);
                    return Ok(n);
                }
            }
        }
        Ok(0)
    }

    /// Fills the block with the next bytes of pieces.
    fn fill_block(&mut self) -> io::Result<()> {
        let mut block = std::mem::take(&mut self.block);
        block.resize(CHUNK_BYTES, 0);
        let mut filled = 0_usize;
        let result = loop {
            match block.get_mut(filled..) {
                None | Some([]) => break Ok(()),
                Some(free) => match self.read_pieces(free) {
                    Ok(0) => break Ok(()),
                    Ok(n) => filled = filled.saturating_add(n),
                    Err(e) => break Err(e),
                },
            }
        };
        self.block = block;
        self.in_block = 0..filled;
        // After some bytes, the next call returns the error.
        if filled == 0 { result } else { Ok(()) }
    }

    /// Returns the bytes in memory after the last piece, from the current offset on.
    fn memory(&self) -> impl Iterator<Item = &[u8]> {
        let chunks = self.chunks.get(self.in_memory / CHUNK_BYTES..).unwrap_or_default();
        let before = self.chunks.len().saturating_sub(chunks.len()).saturating_mul(CHUNK_BYTES);
        let mut to_skip = self.in_memory.saturating_sub(before);
        chunks.iter().map(Vec::as_slice).chain([self.last]).filter_map(move |bytes| {
            let rest = bytes.get(to_skip..);
            to_skip = to_skip.saturating_sub(bytes.len());
            rest.filter(|rest| !rest.is_empty())
        })
    }

    /// Returns the bytes of the block that are not read yet.
    fn block(&self) -> &[u8] {
        self.block.get(self.in_block.clone()).unwrap_or_default()
    }
}

impl Read for BodyReader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        let n = match self.block() {
            [] => match self.read_pieces(into)? {
                0 => self.memory().next().unwrap_or_default().read(into)?,
                n => return Ok(n),
            },
            mut block => block.read(into)?,
        };
        self.consume(n);
        Ok(n)
    }
}

/// Bytes in memory are not copied.
impl Content for BodyReader<'_> {
    fn blocks(&mut self) -> io::Result<Vec<&[u8]>> {
        if self.in_block.is_empty() && !self.pieces.is_empty() {
            self.fill_block()?;
        }
        Ok(match self.block() {
            [] => self.memory().take(MAX_BLOCKS).collect(),
            block => vec![block],
        })
    }

    fn consume(&mut self, n: usize) {
        if self.in_block.is_empty() {
            self.in_memory = self.in_memory.saturating_add(n);
        } else {
            self.in_block.start = self.in_block.start.saturating_add(n);
        }
    }
}

/// The number of chunks that are written with one system call, at most: 1 MiB. The kernel allows 1,024.
const MAX_BLOCKS: usize = 16;
