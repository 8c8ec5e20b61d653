//! The bytes that an entry of the archive is made of: a body, or the content of an entry that is in the archive already.

use crate::bundle::archive::located_entry::LocatedEntry;
use crate::bundle::archive::{CommittedGroup, CompressionMethod, Content};
use crate::coding::crc32::Crc;
use crate::coding::gzip;
use crate::record::body::Body;
use std::io::{self, BufReader, Read};
use std::sync::Arc;

/// Bytes that can be read several times, from any offset.
pub(super) enum Source {
    Empty,
    /// A body as received, or one that was packed.
    Body(Body),
    /// The compressed content of an entry.
    Committed(Arc<CommittedGroup>, Box<LocatedEntry>),
    /// A gzip member, put together again from the slice of it that is in the archive.
    Member {
        /// The group with the slice.
        group: Arc<CommittedGroup>,
        /// The entry whose content is the slice.
        slice: Box<LocatedEntry>,
        /// The bytes before the slice.
        header: Vec<u8>,
        /// The bytes after the slice.
        trailer: [u8; 8],
        /// The CRC-32 of all of it, once it was computed.
        crc: Option<u32>,
    },
}

impl Source {
    /// The gzip member that `slice` is a part of.
    pub(super) fn member(group: &Arc<CommittedGroup>, slice: LocatedEntry) -> Self {
        // The note is the header of the gzip member.
        let header = slice.note.clone();
        let trailer = gzip::trailer(slice.header.crc, slice.header.size as u32);
        Self::Member { group: Arc::clone(group), slice: Box::new(slice), header, trailer, crc: None }
    }

    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Body(body) => body.len(),
            Self::Committed(_, entry) => entry.header.compressed_size,
            Self::Member { slice, header, trailer, .. } => {
                (slice.header.compressed_size).saturating_add(header.len() as u64).saturating_add(trailer.len() as u64)
            }
        }
    }

    /// Returns the memory that the pieces of a body in the spill file take.
    pub(super) fn piece_bytes(&self) -> usize {
        if let Self::Body(body) = self { body.piece_bytes() } else { 0 }
    }

    /// Returns all bytes, if they are in one buffer.
    pub(super) fn in_one_buffer(&self) -> Option<&[u8]> {
        match self {
            Self::Empty => Some(&[]),
            Self::Body(body) => body.in_one_buffer(),
            Self::Committed(..) | Self::Member { .. } => None,
        }
    }

    /// Returns a reader from offset `at`. Each read may be a system call: use a large buffer.
    pub(super) fn reader_at(&self, at: u64) -> io::Result<Box<dyn Read + '_>> {
        Ok(match self {
            Self::Empty => Box::new(io::empty()),
            Self::Body(body) => Box::new(body.reader_at(at)),
            Self::Committed(group, entry) => Box::new(entry.compressed_from(group.file(), at)),
            Self::Member { group, slice, header, trailer, .. } => {
                let in_header = usize::try_from(at).unwrap_or(usize::MAX).min(header.len());
                let after_header = at.saturating_sub(header.len() as u64);
                let in_trailer = after_header.saturating_sub(slice.header.compressed_size);
                let in_trailer = usize::try_from(in_trailer).unwrap_or(usize::MAX).min(trailer.len());
                let header = header.get(in_header..).unwrap_or_default();
                let trailer = trailer.get(in_trailer..).unwrap_or_default();
                Box::new(header.chain(slice.compressed_from(group.file(), after_header)).chain(trailer))
            }
        })
    }

    /// As [`Source::reader_at`], to copy all that follows into the archive.
    pub(super) fn content_at(&self, at: u64) -> io::Result<Box<dyn Content + '_>> {
        Ok(match self {
            Self::Body(body) => Box::new(body.reader_at(at)),
            Self::Empty | Self::Committed(..) | Self::Member { .. } => {
                Box::new(BufReader::with_capacity(BUFFER_BYTES, self.reader_at(at)?))
            }
        })
    }

    /// Computes the CRC-32 of a gzip member, for which all of it is read.
    pub(super) fn compute_crc(&mut self) -> io::Result<()> {
        if matches!(self, Self::Member { .. }) {
            let computed = self.crc()?;
            if let Self::Member { crc, .. } = self {
                *crc = Some(computed);
            }
        }
        Ok(())
    }

    /// Returns the CRC-32 of all bytes.
    pub(super) fn crc(&self) -> io::Result<u32> {
        match self {
            Self::Body(body) => return Ok(body.crc()),
            Self::Committed(_, entry) if entry.header.method == CompressionMethod::Stored => {
                return Ok(entry.header.crc);
            }
            Self::Member { crc: Some(crc), .. } => return Ok(*crc),
            Self::Empty | Self::Committed(..) | Self::Member { .. } => {}
        }
        let mut crc = Crc::new();
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut reader = self.reader_at(0)?;
        loop {
            match reader.read(&mut buffer)? {
                0 => return Ok(crc.sum()),
                n => crc.update(buffer.get(..n).unwrap_or_default()),
            }
        }
    }
}

/// Bytes that are not in memory are read in blocks of this size.
const BUFFER_BYTES: usize = 64 * 1024;
