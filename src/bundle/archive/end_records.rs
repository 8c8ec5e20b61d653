//! The records after a ZIP directory [4.3.14 to 4.3.16] (APPNOTE 6.3.10).
//!
//! ```text
//! directory │ [zip64 end, zip64 locator] │ end, comment
//! ```

use super::le::{ZIP64_THRESHOLD, to_u32, u16_at, u32_at, u64_at};
use super::signatures::{END_SIGNATURE, MADE_ON_UNIX, ZIP64_END_SIGNATURE, ZIP64_LOCATOR_SIGNATURE, ZIP64_VERSION};

/// The claims that an end record makes about the directory.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct EndOfDirectory {
    pub(super) count: u64,
    pub(super) len: u64,
    pub(super) offset: u64,
}

/// Returns the records after a directory of `count` entries and `len` bytes at `offset`.
pub(super) fn end_records(count: u64, len: u64, offset: u64) -> Vec<u8> {
    let mut end = Vec::new();
    if count >= u64::from(u16::MAX) || len >= ZIP64_THRESHOLD || offset >= ZIP64_THRESHOLD {
        end.extend(ZIP64_END_SIGNATURE.to_le_bytes());
        end.extend(44u64.to_le_bytes());
        end.extend([(MADE_ON_UNIX | ZIP64_VERSION).to_le_bytes(), ZIP64_VERSION.to_le_bytes()].concat());
        end.extend([0; 8]);
        [count, count, len, offset].iter().for_each(|n| end.extend(n.to_le_bytes()));
        end.extend(ZIP64_LOCATOR_SIGNATURE.to_le_bytes());
        end.extend(0u32.to_le_bytes());
        end.extend(offset.saturating_add(len).to_le_bytes());
        end.extend(1u32.to_le_bytes());
    }
    let short_count = u16::try_from(count).unwrap_or(u16::MAX).to_le_bytes();
    end.extend(END_SIGNATURE.to_le_bytes());
    end.extend([[0; 2], [0; 2], short_count, short_count].concat());
    end.extend([to_u32(len).to_le_bytes(), to_u32(offset).to_le_bytes()].concat());
    end.extend([0; 2]);
    end
}

/// Reads the end record [4.3.16] if `bytes` are one, with its comment, up to the end of the file.
pub(super) fn end_of_directory(bytes: &[u8]) -> Option<EndOfDirectory> {
    let comment = usize::from(u16_at(bytes, 20)?);
    (u32_at(bytes, 0)? == END_SIGNATURE && bytes.len().checked_sub(END_LEN)? == comment).then_some(())?;
    Some(EndOfDirectory {
        count: u16_at(bytes, 10)?.into(),
        len: u32_at(bytes, 12)?.into(),
        offset: u32_at(bytes, 16)?.into(),
    })
}

/// Reads the ZIP64 locator [4.3.15], and returns the offset of the ZIP64 end record.
pub(super) fn zip64_locator(bytes: &[u8]) -> Option<u64> {
    (u32_at(bytes, 0)? == ZIP64_LOCATOR_SIGNATURE).then_some(())?;
    u64_at(bytes, 8)
}

/// Reads the ZIP64 end record [4.3.14].
pub(super) fn zip64_end(bytes: &[u8]) -> Option<EndOfDirectory> {
    (u32_at(bytes, 0)? == ZIP64_END_SIGNATURE).then_some(())?;
    Some(EndOfDirectory { count: u64_at(bytes, 32)?, len: u64_at(bytes, 40)?, offset: u64_at(bytes, 48)? })
}

/// The length of the end record without its comment.
pub(super) const END_LEN: usize = 22;
/// The length of the ZIP64 locator.
pub(super) const ZIP64_LOCATOR_LEN: usize = 20;
/// The length of the ZIP64 end record.
pub(super) const ZIP64_END_LEN: usize = 56;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn end_records_round_trip() {
        let small = end_records(3, 100, 200);
        assert_eq!(end_of_directory(&small), Some(EndOfDirectory { count: 3, len: 100, offset: 200 }));
        assert_eq!(end_of_directory(&[&small[..], b"x"].concat()), None, "a comment longer than its length field");
        let large = end_records(70_000, 1 << 33, 1 << 34);
        let (record, rest) = large.split_at(ZIP64_END_LEN);
        assert_eq!(zip64_end(record), Some(EndOfDirectory { count: 70_000, len: 1 << 33, offset: 1 << 34 }));
        assert_eq!(zip64_locator(&rest[..ZIP64_LOCATOR_LEN]), Some((1 << 33) + (1 << 34)));
        assert_eq!(rest.len(), ZIP64_LOCATOR_LEN + END_LEN);
        assert_eq!((zip64_end(&small), zip64_locator(&small), end_of_directory(b"")), (None, None, None));
    }
}
