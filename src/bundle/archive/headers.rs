//! The headers of ZIP entries as bytes, written and read (APPNOTE 6.3.10, whose sections are in brackets).
//!
//! ```text
//! local header [4.3.7] content │ local header content │ …     readable after a crash
//! central header [4.3.12] │ central header │ …                the directory
//! ```
//!
//! Sizes and checksums are in the local headers, so that entries can be read without a directory. Sizes and offsets
//! past 32 bits are in the ZIP64 extra field [4.5.3]. A local header may have an extra field of our own, the recovery
//! note; the directory leaves it out.

use super::dos_time::DosDateTime;
use super::le::{ZIP64_THRESHOLD, to_u16, to_u32, u16_at, u32_at, u64_at};
use super::signatures::{
    CENTRAL_SIGNATURE, DEFLATE_VERSION, END_SIGNATURE, LOCAL_SIGNATURE, MADE_ON_UNIX, ZIP64_END_SIGNATURE,
    ZIP64_VERSION,
};
use std::io;

/// An entry as its headers describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EntryHeader<N = String> {
    pub(crate) name: N,
    pub(crate) method: CompressionMethod,
    /// The CRC-32 of the uncompressed content.
    pub(crate) crc: u32,
    pub(crate) compressed_size: u64,
    /// The size of the uncompressed content.
    pub(crate) size: u64,
    /// True if the local header has the ZIP64 extra field, with space for sizes past 32 bits.
    pub(crate) is_zip64: bool,
}

/// The compression method of an entry [4.4.5].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CompressionMethod {
    Deflated,
    /// Uncompressed, for content that compression does not make smaller.
    Stored,
}

impl EntryHeader {
    /// True if `other` has the same name, content and method. The directory does not have the other members.
    pub(super) fn is_same_content(&self, other: &Self) -> bool {
        Self { is_zip64: other.is_zip64, ..self.clone() } == *other
    }

    /// Returns the local header. Its length does not depend on sizes or checksum. `note` is the recovery note, our own
    /// extra field.
    pub(super) fn local(&self, date: DosDateTime, note: &[u8]) -> io::Result<Vec<u8>> {
        let mut header = Vec::new();
        self.borrowed().append_local(date, note, &mut header)?;
        Ok(header)
    }

    /// Returns the local header of a gzip member as received, with an empty note, which marks it. No entry with ZIP64 sizes.
    pub(super) fn local_of_member(&self, date: DosDateTime) -> io::Result<Vec<u8>> {
        let mut header = self.local(date, &[])?;
        if let Some(extra_len) = header.get_mut(LOCAL_LEN - 2..LOCAL_LEN) {
            extra_len.copy_from_slice(&to_u16(EXTRA_HEAD_LEN)?.to_le_bytes());
        }
        header.extend_from_slice(&NOTE_EXTRA_ID.to_le_bytes());
        header.extend_from_slice(&[0; 2]);
        Ok(header)
    }

    /// Returns the same header with a borrowed name.
    pub(super) fn borrowed(&self) -> EntryHeader<&str> {
        let &Self { ref name, method, crc, compressed_size, size, is_zip64 } = self;
        EntryHeader { name, method, crc, compressed_size, size, is_zip64 }
    }
}

impl EntryHeader<&str> {
    /// Appends the local header to `header`. An error may leave a partial one there.
    pub(super) fn append_local(&self, date: DosDateTime, note: &[u8], header: &mut Vec<u8>) -> io::Result<()> {
        let zip64_len = if self.is_zip64 { ZIP64_LOCAL_EXTRA_LEN } else { 0 };
        let note_len = if note.is_empty() { 0 } else { note.len().saturating_add(EXTRA_HEAD_LEN) };
        let extra_len = zip64_len.saturating_add(note_len);
        header.reserve(LOCAL_LEN.saturating_add(self.name.len()).saturating_add(extra_len));
        // The ZIP64 field of a local header must hold both sizes [4.5.3].
        let sizes = if self.is_zip64 { [u32::MAX; 2] } else { [to_u32(self.compressed_size), to_u32(self.size)] };
        let mut fixed = [0; LOCAL_LEN];
        put(&mut fixed, 0, LOCAL_SIGNATURE.to_le_bytes());
        self.put_common(&mut fixed, 4, date, sizes, self.is_zip64)?;
        put(&mut fixed, 28, to_u16(extra_len)?.to_le_bytes());
        header.extend_from_slice(&fixed);
        header.extend_from_slice(self.name.as_bytes());
        if self.is_zip64 {
            header.extend_from_slice(&ZIP64_EXTRA_ID.to_le_bytes());
            header.extend_from_slice(&16u16.to_le_bytes());
            header.extend_from_slice(&self.size.to_le_bytes());
            header.extend_from_slice(&self.compressed_size.to_le_bytes());
        }
        if !note.is_empty() {
            header.extend_from_slice(&NOTE_EXTRA_ID.to_le_bytes());
            header.extend_from_slice(&to_u16(note.len())?.to_le_bytes());
            header.extend_from_slice(note);
        }
        Ok(())
    }

    /// Appends the central header of this entry, whose local header is at `offset`, to `directory`. An error may leave
    /// a partial header there.
    pub(super) fn append_central(&self, date: DosDateTime, offset: u64, directory: &mut Vec<u8>) -> io::Result<()> {
        // Only the fields that need ZIP64, in this order [4.5.3].
        let wide = [self.size, self.compressed_size, offset].map(|n| (n >= ZIP64_THRESHOLD).then_some(n));
        let wide_count = wide.iter().flatten().count();
        let sizes = [to_u32(self.compressed_size), to_u32(self.size)];
        let extra_len = if wide_count == 0 { 0 } else { to_u16(wide_count * 8 + EXTRA_HEAD_LEN)? };
        let mut fixed = [0; CENTRAL_LEN];
        put(&mut fixed, 0, CENTRAL_SIGNATURE.to_le_bytes());
        put(&mut fixed, 4, (MADE_ON_UNIX | ZIP64_VERSION).to_le_bytes());
        self.put_common(&mut fixed, 6, date, sizes, self.is_zip64 || wide_count > 0)?;
        put(&mut fixed, 30, extra_len.to_le_bytes());
        // No comment, disk 0, no internal attributes.
        put(&mut fixed, 38, (MODE << 16).to_le_bytes());
        put(&mut fixed, 42, to_u32(offset).to_le_bytes());
        directory.reserve(CENTRAL_LEN.saturating_add(self.name.len()).saturating_add(extra_len.into()));
        directory.extend_from_slice(&fixed);
        directory.extend_from_slice(self.name.as_bytes());
        if wide_count > 0 {
            directory.extend(ZIP64_EXTRA_ID.to_le_bytes());
            directory.extend(to_u16(wide_count * 8)?.to_le_bytes());
            wide.iter().flatten().for_each(|n| directory.extend(n.to_le_bytes()));
        }
        Ok(())
    }

    /// Puts the fields that both headers share at `at`, from the version needed to the length of the name.
    fn put_common(
        &self,
        fixed: &mut [u8],
        at: usize,
        date: DosDateTime,
        [compressed_size, size]: [u32; 2],
        needs_zip64: bool,
    ) -> io::Result<()> {
        let method: u16 = match self.method {
            CompressionMethod::Deflated => 8,
            CompressionMethod::Stored => 0,
        };
        put(fixed, at, if needs_zip64 { ZIP64_VERSION } else { DEFLATE_VERSION }.to_le_bytes());
        // No flags.
        put(fixed, at + 4, method.to_le_bytes());
        put(fixed, at + 6, date.0.to_le_bytes());
        put(fixed, at + 10, self.crc.to_le_bytes());
        put(fixed, at + 14, compressed_size.to_le_bytes());
        put(fixed, at + 18, size.to_le_bytes());
        put(fixed, at + 22, to_u16(self.name.len())?.to_le_bytes());
        Ok(())
    }
}

/// Replaces the bytes of the fixed part `fixed` at `at`. Filling an array takes less time than appending each field to the header.
#[inline(always)]
fn put<const N: usize>(fixed: &mut [u8], at: usize, field: [u8; N]) {
    if let Some(place) = fixed.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *place = field;
    }
}

/// The record at an offset of a file, by its signature.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ZipRecord {
    /// The fixed part of a local header that we could have written.
    Local(LocalHeader),
    /// The directory or an end record: no more entries follow.
    Directory,
    /// Anything else.
    Other,
}

/// The fixed part of a local header [4.3.7].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LocalHeader {
    method: CompressionMethod,
    crc: u32,
    compressed_size: u32,
    size: u32,
    pub(super) name_len: u16,
    pub(super) extra_len: u16,
}

/// Reads the record that begins with `bytes`, of which [`LOCAL_LEN`] are needed.
pub(super) fn zip_record(bytes: &[u8]) -> ZipRecord {
    match u32_at(bytes, 0) {
        Some(CENTRAL_SIGNATURE | ZIP64_END_SIGNATURE | END_SIGNATURE) => ZipRecord::Directory,
        Some(LOCAL_SIGNATURE) => LocalHeader::read(bytes).map_or(ZipRecord::Other, ZipRecord::Local),
        _ => ZipRecord::Other,
    }
}

impl LocalHeader {
    fn read(bytes: &[u8]) -> Option<Self> {
        let method = match u16_at(bytes, 8)? {
            0 => CompressionMethod::Stored,
            8 => CompressionMethod::Deflated,
            _ => return None,
        };
        // Neither encrypted (bit 0) nor with a data descriptor (bit 3). The UTF-8 flag does not matter to us.
        let flags = u16_at(bytes, 6)?;
        (flags & 0b1001 == 0).then_some(())?;
        Some(Self {
            method,
            crc: u32_at(bytes, 14)?,
            compressed_size: u32_at(bytes, 18)?,
            size: u32_at(bytes, 22)?,
            name_len: u16_at(bytes, 26)?,
            extra_len: u16_at(bytes, 28)?,
        })
    }

    /// Returns the entry and its recovery note, if it has one, from the name and the extra fields after the fixed part.
    pub(super) fn with_name<'b>(&self, name: &[u8], extra: &'b [u8]) -> Option<(EntryHeader, Option<&'b [u8]>)> {
        let zip64 = extra_field(extra, ZIP64_EXTRA_ID);
        let (size, compressed_size) = match zip64 {
            Some(sizes) if self.size == u32::MAX && self.compressed_size == u32::MAX => {
                (u64_at(sizes, 0)?, u64_at(sizes, 8)?)
            }
            _ => (self.size.into(), self.compressed_size.into()),
        };
        let name = String::from_utf8(name.to_vec()).ok()?;
        let (method, crc, is_zip64) = (self.method, self.crc, zip64.is_some());
        let entry = EntryHeader { name, method, crc, compressed_size, size, is_zip64 };
        Some((entry, extra_field(extra, NOTE_EXTRA_ID)))
    }
}

/// Returns the length of the local header that begins with `bytes`. The directory repeats its other fields.
pub(super) fn local_header_len(bytes: &[u8]) -> Option<u64> {
    (u32_at(bytes, 0)? == LOCAL_SIGNATURE).then_some(())?;
    let variable = u64::from(u16_at(bytes, 26)?).saturating_add(u16_at(bytes, 28)?.into());
    Some(variable.saturating_add(LOCAL_LEN as u64))
}

/// The fixed part of a central header [4.3.12].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CentralHeader {
    /// `None` if the method is unsupported or the entry encrypted.
    method: Option<CompressionMethod>,
    crc: u32,
    compressed_size: u32,
    size: u32,
    offset: u32,
    pub(super) name_len: u16,
    pub(super) extra_len: u16,
    pub(super) comment_len: u16,
}

impl CentralHeader {
    /// Reads the fixed part, of [`CENTRAL_LEN`] bytes.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        (u32_at(bytes, 0)? == CENTRAL_SIGNATURE).then_some(())?;
        let is_encrypted = u16_at(bytes, 8)? & 1 != 0;
        let method = match u16_at(bytes, 10)? {
            0 if !is_encrypted => Some(CompressionMethod::Stored),
            8 if !is_encrypted => Some(CompressionMethod::Deflated),
            _ => None,
        };
        Some(Self {
            method,
            crc: u32_at(bytes, 16)?,
            compressed_size: u32_at(bytes, 20)?,
            size: u32_at(bytes, 24)?,
            name_len: u16_at(bytes, 28)?,
            extra_len: u16_at(bytes, 30)?,
            comment_len: u16_at(bytes, 32)?,
            offset: u32_at(bytes, 42)?,
        })
    }

    /// The length of the header with its variable fields.
    pub(super) fn len(&self) -> u64 {
        [self.name_len, self.extra_len, self.comment_len]
            .into_iter()
            .fold(CENTRAL_LEN as u64, |len, n| len.saturating_add(n.into()))
    }

    /// Returns the entry `name` and the offset of its local header; `None` if its method is unsupported.
    pub(super) fn with_name(&self, name: &str, extra: &[u8]) -> Option<(EntryHeader, u64)> {
        let CentralSizes { size, compressed_size, offset } = self.sizes(extra);
        let (name, method) = (name.to_owned(), self.method?);
        Some((EntryHeader { name, method, crc: self.crc, compressed_size, size, is_zip64: false }, offset))
    }

    /// Returns the fields that may be in the ZIP64 extra field.
    pub(super) fn sizes(&self, extra: &[u8]) -> CentralSizes {
        // Only the fields that need ZIP64, in this order [4.5.3].
        let mut wide = extra_field(extra, ZIP64_EXTRA_ID).unwrap_or_default();
        let mut widened = |n: u32| match (u64::from(n), wide.split_first_chunk()) {
            (ZIP64_THRESHOLD, Some((n, rest))) => {
                wide = rest;
                u64::from_le_bytes(*n)
            }
            (n, _) => n,
        };
        let (size, compressed_size, offset) = (widened(self.size), widened(self.compressed_size), widened(self.offset));
        CentralSizes { size, compressed_size, offset }
    }
}

/// The sizes of an entry and the offset of its local header, as the directory claims them.
pub(super) struct CentralSizes {
    pub(super) size: u64,
    pub(super) compressed_size: u64,
    pub(super) offset: u64,
}

/// Returns the content of the extra field `id` [4.5.1].
fn extra_field(mut extra: &[u8], id: u16) -> Option<&[u8]> {
    loop {
        let (found, len) = (u16_at(extra, 0)?, usize::from(u16_at(extra, 2)?));
        let rest = extra.get(4..)?;
        if found == id {
            return rest.get(..len);
        }
        extra = rest.get(len..)?;
    }
}

/// The length of a local header's fixed part.
pub(super) const LOCAL_LEN: usize = 30;
/// The length of a central header's fixed part.
pub(super) const CENTRAL_LEN: usize = 46;

/// The length of an extra field before its content [4.5.1].
const EXTRA_HEAD_LEN: usize = 4;
/// The length of the ZIP64 extra field of a local header.
const ZIP64_LOCAL_EXTRA_LEN: usize = 20;

const ZIP64_EXTRA_ID: u16 = 1;
/// The id of the recovery note: "Sp", which is not registered [4.6].
const NOTE_EXTRA_ID: u16 = u16::from_le_bytes(*b"Sp");

/// A regular file that only its owner may read or write.
const MODE: u32 = 0o100_600;

#[cfg(test)]
mod tests {
    use super::super::end_records::end_records;
    use super::*;
    use std::time::Duration;

    fn entry(size: u64, is_zip64: bool) -> EntryHeader {
        let method = CompressionMethod::Deflated;
        EntryHeader { name: "a/b".into(), method, crc: 7, compressed_size: size / 2, size, is_zip64 }
    }

    #[test]
    fn local_headers_round_trip() {
        let date = DosDateTime::new(Duration::from_secs(1_795_338_429));
        for (size, is_zip64) in [(5, false), (5, true), (ZIP64_THRESHOLD, true), (u64::MAX, true)] {
            for note in [None, Some(&b"{}"[..]), Some(b"")] {
                let entry = entry(size, is_zip64);
                let bytes = match note {
                    Some(b"") if is_zip64 => continue,
                    Some(b"") => entry.local_of_member(date).unwrap(),
                    _ => entry.local(date, note.unwrap_or_default()).unwrap(),
                };
                let ZipRecord::Local(header) = zip_record(&bytes) else { panic!("{bytes:?}") };
                let (name, extra) = bytes[LOCAL_LEN..].split_at(header.name_len.into());
                assert_eq!(extra.len(), usize::from(header.extra_len));
                assert_eq!(header.with_name(name, extra), Some((entry, note)));
                for len in 0..LOCAL_LEN {
                    assert_eq!(zip_record(&bytes[..len]), ZipRecord::Other);
                }
            }
        }
    }

    #[test]
    fn rejects_local_headers_that_we_do_not_write() {
        let bytes = entry(5, false).local(DosDateTime::new(Duration::ZERO), b"").unwrap();
        // Encrypted; with a data descriptor; another compression method.
        for (at, value) in [(6, 1), (6, 8), (8, 12)] {
            let mut bytes = bytes.clone();
            bytes[at] = value;
            assert_eq!(zip_record(&bytes), ZipRecord::Other);
        }
        assert_eq!(zip_record(&[0; LOCAL_LEN]), ZipRecord::Other);
        assert_eq!(zip_record(&end_records(0, 0, 0)), ZipRecord::Directory);
        assert_eq!(zip_record(&end_records(70_000, 0, 0)), ZipRecord::Directory);
    }

    #[test]
    fn central_headers_round_trip() {
        let date = DosDateTime::new(Duration::ZERO);
        for size in [0, 5, ZIP64_THRESHOLD - 1, ZIP64_THRESHOLD, u64::MAX] {
            for offset in [0, 7, ZIP64_THRESHOLD, 1 << 40] {
                let entry = entry(size, false);
                let mut bytes = Vec::new();
                entry.borrowed().append_central(date, offset, &mut bytes).unwrap();
                let header = CentralHeader::read(&bytes).unwrap();
                let (name, extra) = bytes[CENTRAL_LEN..].split_at(header.name_len.into());
                assert_eq!((header.len(), name), (bytes.len() as u64, &b"a/b"[..]));
                assert_eq!(header.with_name("a/b", extra), Some((entry, offset)));
                for len in 0..CENTRAL_LEN {
                    assert_eq!(CentralHeader::read(&bytes[..len]), None);
                }
            }
        }
        // Encrypted; another compression method.
        for (at, value) in [(8, 1), (10, 12)] {
            let mut bytes = Vec::new();
            entry(5, false).borrowed().append_central(date, 0, &mut bytes).unwrap();
            bytes[at] = value;
            assert_eq!(CentralHeader::read(&bytes).unwrap().with_name("a/b", b""), None);
        }
    }

    #[test]
    fn ignores_truncated_extra_fields() {
        assert_eq!(extra_field(b"\x01\0\x02\0ab", 1), Some(&b"ab"[..]));
        assert_eq!(extra_field(b"\x01\0\x02\0abSp\0\0", NOTE_EXTRA_ID), Some(&b""[..]));
        for extra in [&b"\x01\0\x03\0ab"[..], b"\x01\0", b"", b"\x02\0\xff\xff\x01\0\0\0"] {
            assert_eq!(extra_field(extra, 1), None);
        }
    }
}
