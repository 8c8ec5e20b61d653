//! The records of a ZIP file as bytes, written and read (APPNOTE 6.3.10, whose sections are in brackets).
//!
//! ```text
//! local header [4.3.7] content │ local header content │ …     what a crash leaves
//! central header [4.3.12] │ central header │ …                the directory
//! [zip64 end, locator: 4.3.14, 4.3.15] end [4.3.16]
//! ```
//!
//! Sizes and checksums stand in the local headers, so that entries can be read without a directory. Sizes and offsets past
//! 32 bits go to ZIP64's extra field [4.5.3]. A field of our own may stand in a local header; the directory leaves it out.

use std::io;
use std::time::Duration;

/// What the headers say of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EntryHeader {
    pub(crate) name: String,
    pub(crate) method: CompressionMethod,
    pub(crate) crc: u32,
    /// Compressed.
    pub(crate) compressed_size: u64,
    /// As it is read.
    pub(crate) size: u64,
    /// Whether the local header has room for sizes past 32 bits.
    pub(crate) is_zip64: bool,
}

/// How an entry is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CompressionMethod {
    /// Compressed.
    Deflated,
    /// As it is, for what would not get smaller.
    Stored,
}

/// A date and time as ZIP has them, of 2 seconds each [4.4.6].
#[derive(Clone, Copy, Debug)]
pub(super) struct DosDateTime(u32);

impl DosDateTime {
    /// ZIP knows the years 1980 to 2107; what is outside becomes the nearest.
    pub(super) fn new(since_epoch: Duration) -> Self {
        let since = since_epoch.try_into().unwrap_or(time::Duration::MAX);
        let time = time::OffsetDateTime::UNIX_EPOCH.saturating_add(since);
        let (year, month, day) = time.to_calendar_date();
        let (hour, minute, second) = time.to_hms();
        let Some(years) = year.checked_sub(1980).and_then(|years| u32::try_from(years).ok()) else {
            return Self(1 << 21 | 1 << 16);
        };
        let date = years.min(127) << 9 | u32::from(u8::from(month)) << 5 | u32::from(day);
        let time = u32::from(hour) << 11 | u32::from(minute) << 5 | u32::from(second) >> 1;
        Self(date << 16 | time)
    }
}

impl EntryHeader {
    /// The local header; as long as this whatever the sizes and the checksum are. `note` is our own extra field.
    pub(super) fn local(&self, date: DosDateTime, note: &[u8]) -> io::Result<Vec<u8>> {
        let mut extra = Vec::new();
        if self.is_zip64 {
            extra.extend([EXTRA_ZIP64.to_le_bytes(), 16u16.to_le_bytes()].concat());
            extra.extend([self.size.to_le_bytes(), self.compressed_size.to_le_bytes()].concat());
        }
        if !note.is_empty() {
            extra.extend(EXTRA_NOTE.to_le_bytes());
            extra.extend(short(note.len())?.to_le_bytes());
            extra.extend(note);
        }
        let mut header = Vec::with_capacity(LOCAL.saturating_add(self.name.len()).saturating_add(extra.len()));
        header.extend(SIGN_LOCAL.to_le_bytes());
        // With the extra field, both sizes are in it [4.5.3].
        let sizes = if self.is_zip64 { [u32::MAX; 2] } else { [clipped(self.compressed_size), clipped(self.size)] };
        self.common(&mut header, date, sizes, self.is_zip64)?;
        header.extend(short(extra.len())?.to_le_bytes());
        header.extend(self.name.as_bytes());
        header.extend(extra);
        Ok(header)
    }

    /// Appends to `lines` the line in the directory of an entry whose local header is at `at`. If it fails, some of it may be
    /// there.
    pub(super) fn central(&self, date: DosDateTime, at: u64, lines: &mut Vec<u8>) -> io::Result<()> {
        // Only what does not fit, in this order.
        let past: Vec<_> = [self.size, self.compressed_size, at].into_iter().filter(|&n| n >= FULL).collect();
        lines.extend(SIGN_CENTRAL.to_le_bytes());
        lines.extend((MADE_ON_UNIX | ZIP64_VERSION).to_le_bytes());
        self.common(
            lines,
            date,
            [clipped(self.compressed_size), clipped(self.size)],
            self.is_zip64 || !past.is_empty(),
        )?;
        lines.extend(if past.is_empty() { 0 } else { short(past.len() * 8 + 4)? }.to_le_bytes());
        // No comment, the first disk, no internal attributes.
        lines.extend([0; 6]);
        lines.extend((MODE << 16).to_le_bytes());
        lines.extend(clipped(at).to_le_bytes());
        lines.extend(self.name.as_bytes());
        if !past.is_empty() {
            lines.extend(EXTRA_ZIP64.to_le_bytes());
            lines.extend(short(past.len() * 8)?.to_le_bytes());
            past.iter().for_each(|n| lines.extend(n.to_le_bytes()));
        }
        Ok(())
    }

    /// From the version that is needed to the length of the name, the same in both headers.
    fn common(&self, header: &mut Vec<u8>, date: DosDateTime, [packed, size]: [u32; 2], zip64: bool) -> io::Result<()> {
        header.extend(if zip64 { ZIP64_VERSION } else { DEFLATE_VERSION }.to_le_bytes());
        header.extend(0u16.to_le_bytes());
        header.extend(match self.method {
            CompressionMethod::Deflated => 8u16.to_le_bytes(),
            CompressionMethod::Stored => 0u16.to_le_bytes(),
        });
        header.extend(date.0.to_le_bytes());
        header.extend(self.crc.to_le_bytes());
        header.extend(packed.to_le_bytes());
        header.extend(size.to_le_bytes());
        header.extend(short(self.name.len())?.to_le_bytes());
        Ok(())
    }
}

/// The records after a directory of `count` lines and `len` bytes that begins at `at`.
pub(super) fn end(count: u64, len: u64, at: u64) -> Vec<u8> {
    let mut end = Vec::new();
    if count >= u64::from(u16::MAX) || len >= FULL || at >= FULL {
        end.extend(SIGN_ZIP64_END.to_le_bytes());
        end.extend(44u64.to_le_bytes());
        end.extend([(MADE_ON_UNIX | ZIP64_VERSION).to_le_bytes(), ZIP64_VERSION.to_le_bytes()].concat());
        end.extend([0; 8]);
        [count, count, len, at].iter().for_each(|n| end.extend(n.to_le_bytes()));
        end.extend(SIGN_ZIP64_LOCATOR.to_le_bytes());
        end.extend(0u32.to_le_bytes());
        end.extend(at.saturating_add(len).to_le_bytes());
        end.extend(1u32.to_le_bytes());
    }
    let few = u16::try_from(count).unwrap_or(u16::MAX).to_le_bytes();
    end.extend(SIGN_END.to_le_bytes());
    end.extend([[0; 2], [0; 2], few, few].concat());
    end.extend([clipped(len).to_le_bytes(), clipped(at).to_le_bytes()].concat());
    end.extend([0; 2]);
    end
}

/// What begins at some place in a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ZipRecord {
    /// A local header of our kind, up to its name.
    Local(LocalHeader),
    /// The directory: there are no more entries.
    Directory,
    /// Nothing that we write.
    Other,
}

/// The fixed part of a local header.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LocalHeader {
    method: CompressionMethod,
    crc: u32,
    compressed_size: u32,
    size: u32,
    pub(super) name: u16,
    pub(super) extra: u16,
}

/// Reads the first [`LOCAL`] bytes of a record, or as many as there are.
pub(super) fn record(bytes: &[u8]) -> ZipRecord {
    match long_at(bytes, 0) {
        Some(SIGN_CENTRAL | SIGN_ZIP64_END | SIGN_END) => ZipRecord::Directory,
        Some(SIGN_LOCAL) => local(bytes).map_or(ZipRecord::Other, ZipRecord::Local),
        _ => ZipRecord::Other,
    }
}

fn local(bytes: &[u8]) -> Option<LocalHeader> {
    let packing = match short_at(bytes, 8)? {
        0 => CompressionMethod::Stored,
        8 => CompressionMethod::Deflated,
        _ => return None,
    };
    // Neither encrypted nor with its sizes elsewhere; a name in UTF-8 is one in ASCII for us.
    let flags = short_at(bytes, 6)?;
    (flags & 0b1001 == 0).then_some(())?;
    Some(LocalHeader {
        method: packing,
        crc: long_at(bytes, 14)?,
        compressed_size: long_at(bytes, 18)?,
        size: long_at(bytes, 22)?,
        name: short_at(bytes, 26)?,
        extra: short_at(bytes, 28)?,
    })
}

impl LocalHeader {
    /// The whole header: the entry, and our own field.
    pub(super) fn complete<'b>(&self, name: &[u8], extra: &'b [u8]) -> Option<(EntryHeader, &'b [u8])> {
        let zip64 = field(extra, EXTRA_ZIP64);
        let (size, packed) = match zip64 {
            Some(sizes) if self.size == u32::MAX && self.compressed_size == u32::MAX => {
                (u64::from_le_bytes(array_at(sizes, 0)?), u64::from_le_bytes(array_at(sizes, 8)?))
            }
            _ => (self.size.into(), self.compressed_size.into()),
        };
        let name = String::from_utf8(name.to_vec()).ok()?;
        let entry = EntryHeader {
            name,
            method: self.method,
            crc: self.crc,
            compressed_size: packed,
            size,
            is_zip64: zip64.is_some(),
        };
        Some((entry, field(extra, EXTRA_NOTE).unwrap_or_default()))
    }
}

/// The fixed part of a line in the directory [4.3.12].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CentralHeader {
    /// `None`: in a way that we do not know, or encrypted.
    method: Option<CompressionMethod>,
    crc: u32,
    compressed_size: u32,
    size: u32,
    at: u32,
    pub(super) name: u16,
    pub(super) extra: u16,
    pub(super) comment: u16,
}

/// Reads the first [`CENTRAL`] bytes of a line.
pub(super) fn central(bytes: &[u8]) -> Option<CentralHeader> {
    (long_at(bytes, 0)? == SIGN_CENTRAL).then_some(())?;
    let is_encrypted = short_at(bytes, 8)? & 1 != 0;
    let packing = match short_at(bytes, 10)? {
        0 if !is_encrypted => Some(CompressionMethod::Stored),
        8 if !is_encrypted => Some(CompressionMethod::Deflated),
        _ => None,
    };
    Some(CentralHeader {
        method: packing,
        crc: long_at(bytes, 16)?,
        compressed_size: long_at(bytes, 20)?,
        size: long_at(bytes, 24)?,
        name: short_at(bytes, 28)?,
        extra: short_at(bytes, 30)?,
        comment: short_at(bytes, 32)?,
        at: long_at(bytes, 42)?,
    })
}

impl CentralHeader {
    /// The whole line's length.
    pub(super) fn len(&self) -> u64 {
        [self.name, self.extra, self.comment].into_iter().fold(CENTRAL as u64, |len, n| len.saturating_add(n.into()))
    }

    /// The entry `name`, and where its local header is; `None` if it is packed in a way that we do not know.
    pub(super) fn complete(&self, name: &str, extra: &[u8]) -> Option<(EntryHeader, u64)> {
        // Only what does not fit, in this order.
        let mut past = field(extra, EXTRA_ZIP64).unwrap_or_default();
        let mut wide = |n: u32| match (u64::from(n), past.split_first_chunk()) {
            (FULL, Some((wide, rest))) => {
                past = rest;
                u64::from_le_bytes(*wide)
            }
            (n, _) => n,
        };
        let (size, packed, at) = (wide(self.size), wide(self.compressed_size), wide(self.at));
        let (name, packing) = (name.to_owned(), self.method?);
        Some((EntryHeader { name, method: packing, crc: self.crc, compressed_size: packed, size, is_zip64: false }, at))
    }
}

/// The length of a local header, from its fixed part. What else it says, the directory says too.
pub(super) fn local_len(bytes: &[u8]) -> Option<u64> {
    (long_at(bytes, 0)? == SIGN_LOCAL).then_some(())?;
    let variable = u64::from(short_at(bytes, 26)?).saturating_add(short_at(bytes, 28)?.into());
    Some(variable.saturating_add(LOCAL as u64))
}

/// What the records after a directory say of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct EndOfDirectory {
    pub(super) count: u64,
    pub(super) len: u64,
    pub(super) at: u64,
}

/// Reads the end record [4.3.16], if `bytes` are one up to the end of the file.
pub(super) fn end_of_directory(bytes: &[u8]) -> Option<EndOfDirectory> {
    let comment = usize::from(short_at(bytes, 20)?);
    (long_at(bytes, 0)? == SIGN_END && bytes.len().checked_sub(END)? == comment).then_some(())?;
    Some(EndOfDirectory {
        count: short_at(bytes, 10)?.into(),
        len: long_at(bytes, 12)?.into(),
        at: long_at(bytes, 16)?.into(),
    })
}

/// ZIP64's end record, and the locator that says where it is [4.3.14, 4.3.15].
pub(super) mod zip64_end {
    use super::{EndOfDirectory, SIGN_ZIP64_END, SIGN_ZIP64_LOCATOR, array_at, long_at};

    /// The record's length.
    pub(in super::super) const LEN: usize = 56;

    /// Where the record is, if `bytes` are a locator.
    pub(in super::super) fn place(bytes: &[u8]) -> Option<u64> {
        (long_at(bytes, 0)? == SIGN_ZIP64_LOCATOR).then_some(())?;
        array_at(bytes, 8).map(u64::from_le_bytes)
    }

    /// Reads the record.
    pub(in super::super) fn read(bytes: &[u8]) -> Option<EndOfDirectory> {
        (long_at(bytes, 0)? == SIGN_ZIP64_END).then_some(())?;
        let number = |at| array_at(bytes, at).map(u64::from_le_bytes);
        Some(EndOfDirectory { count: number(32)?, len: number(40)?, at: number(48)? })
    }
}

/// The extra field `id` [4.5.1].
fn field(mut extra: &[u8], id: u16) -> Option<&[u8]> {
    loop {
        let (found, len) = (short_at(extra, 0)?, usize::from(short_at(extra, 2)?));
        let rest = extra.get(4..)?;
        if found == id {
            return rest.get(..len);
        }
        extra = rest.get(len..)?;
    }
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn short_at(bytes: &[u8], at: usize) -> Option<u16> {
    array_at(bytes, at).map(u16::from_le_bytes)
}

fn long_at(bytes: &[u8], at: usize) -> Option<u32> {
    array_at(bytes, at).map(u32::from_le_bytes)
}

fn short(n: usize) -> io::Result<u16> {
    u16::try_from(n).map_err(|_| io::Error::other("a name or a note is too long"))
}

fn clipped(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// The length of a local header's fixed part.
pub(super) const LOCAL: usize = 30;

/// The length of a line's fixed part in the directory.
pub(super) const CENTRAL: usize = 46;
/// The length of the end record without its comment, and of ZIP64's locator before it.
pub(super) const END: usize = 22;
pub(super) const LOCATOR: usize = 20;

/// From here on a number does not fit, as this value itself means that it does not.
const FULL: u64 = u32::MAX as u64;

const SIGN_LOCAL: u32 = 0x0403_4b50;
const SIGN_CENTRAL: u32 = 0x0201_4b50;
const SIGN_END: u32 = 0x0605_4b50;
const SIGN_ZIP64_END: u32 = 0x0606_4b50;
const SIGN_ZIP64_LOCATOR: u32 = 0x0706_4b50;

const EXTRA_ZIP64: u16 = 1;
/// Ours: "Sp", which nobody has registered [4.6].
const EXTRA_NOTE: u16 = u16::from_le_bytes(*b"Sp");

const DEFLATE_VERSION: u16 = 20;
const ZIP64_VERSION: u16 = 45;
const MADE_ON_UNIX: u16 = 3 << 8;
/// An ordinary file that its owner alone can read.
const MODE: u32 = 0o100_600;

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(size: u64, large: bool) -> EntryHeader {
        EntryHeader {
            name: "a/b".into(),
            method: CompressionMethod::Deflated,
            crc: 7,
            compressed_size: size / 2,
            size,
            is_zip64: large,
        }
    }

    #[test]
    fn a_local_header_is_read_as_it_was_written() {
        let date = DosDateTime::new(Duration::from_secs(1_795_338_429));
        for (size, large) in [(5, false), (5, true), (FULL, true), (u64::MAX, true)] {
            for note in [&b""[..], b"{}"] {
                let entry = entry(size, large);
                let bytes = entry.local(date, note).unwrap();
                let ZipRecord::Local(head) = record(&bytes) else { panic!("{bytes:?}") };
                let (name, extra) = bytes[LOCAL..].split_at(head.name.into());
                assert_eq!(extra.len(), usize::from(head.extra));
                assert_eq!(head.complete(name, extra), Some((entry, note)));
                for cut in 0..LOCAL {
                    assert_eq!(record(&bytes[..cut]), ZipRecord::Other);
                }
            }
        }
    }

    #[test]
    fn what_we_would_not_write_is_not_read() {
        let bytes = entry(5, false).local(DosDateTime::new(Duration::ZERO), b"").unwrap();
        // Encrypted; with a data descriptor; another compression.
        for (at, value) in [(6, 1), (6, 8), (8, 12)] {
            let mut bytes = bytes.clone();
            bytes[at] = value;
            assert_eq!(record(&bytes), ZipRecord::Other);
        }
        assert_eq!(record(&[0; LOCAL]), ZipRecord::Other);
        assert_eq!(record(&end(0, 0, 0)), ZipRecord::Directory);
        assert_eq!(record(&end(70_000, 0, 0)), ZipRecord::Directory);
    }

    #[test]
    fn a_line_of_the_directory_is_read_as_it_was_written() {
        let date = DosDateTime::new(Duration::ZERO);
        for size in [0, 5, FULL - 1, FULL, u64::MAX] {
            for at in [0, 7, FULL, 1 << 40] {
                let entry = entry(size, false);
                let mut bytes = Vec::new();
                entry.central(date, at, &mut bytes).unwrap();
                let head = central(&bytes).unwrap();
                let (name, extra) = bytes[CENTRAL..].split_at(head.name.into());
                assert_eq!((head.len(), name), (bytes.len() as u64, &b"a/b"[..]));
                assert_eq!(head.complete("a/b", extra), Some((entry, at)));
                for cut in 0..CENTRAL {
                    assert_eq!(central(&bytes[..cut]), None);
                }
            }
        }
        // Encrypted; another compression.
        for (at, value) in [(8, 1), (10, 12)] {
            let mut bytes = Vec::new();
            entry(5, false).central(date, 0, &mut bytes).unwrap();
            bytes[at] = value;
            assert_eq!(central(&bytes).unwrap().complete("a/b", b""), None);
        }
    }

    #[test]
    fn the_records_at_the_end_are_read_as_they_were_written() {
        let small = end(3, 100, 200);
        assert_eq!(end_of_directory(&small), Some(EndOfDirectory { count: 3, len: 100, at: 200 }));
        assert_eq!(end_of_directory(&[&small[..], b"x"].concat()), None, "a comment that it does not speak of");
        let large = end(70_000, 1 << 33, 1 << 34);
        let (record, rest) = large.split_at(zip64_end::LEN);
        assert_eq!(zip64_end::read(record), Some(EndOfDirectory { count: 70_000, len: 1 << 33, at: 1 << 34 }));
        assert_eq!(zip64_end::place(&rest[..LOCATOR]), Some((1 << 33) + (1 << 34)));
        assert_eq!(rest.len(), LOCATOR + END);
        assert_eq!((zip64_end::read(&small), zip64_end::place(&small), end_of_directory(b"")), (None, None, None));
    }

    #[test]
    fn a_field_that_is_cut_off_is_not_there() {
        assert_eq!(field(b"\x01\0\x02\0ab", 1), Some(&b"ab"[..]));
        assert_eq!(field(b"\x01\0\x02\0abSp\0\0", EXTRA_NOTE), Some(&b""[..]));
        for extra in [&b"\x01\0\x03\0ab"[..], b"\x01\0", b"", b"\x02\0\xff\xff\x01\0\0\0"] {
            assert_eq!(field(extra, 1), None);
        }
    }

    #[test]
    fn dates_stay_within_what_zip_knows() {
        let parts =
            |date: DosDateTime| (1980 + (date.0 >> 25), date.0 >> 21 & 15, date.0 >> 16 & 31, date.0 >> 11 & 31);
        assert_eq!(parts(DosDateTime::new(Duration::ZERO)), (1980, 1, 1, 0));
        assert_eq!(parts(DosDateTime::new(Duration::from_secs(1_795_338_429))), (2026, 11, 22, 9));
        assert_eq!(parts(DosDateTime::new(Duration::MAX)).0, 2107);
    }
}
