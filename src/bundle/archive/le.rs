//! Little-endian integers of ZIP records: bounds-checked reads and checked narrowing. Sections of APPNOTE 6.3.10 are in
//! brackets.

use std::io;

/// Returns `N` bytes at `offset`, or `None` past the end.
pub(super) fn array_at<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..offset.checked_add(N)?)?.try_into().ok()
}

pub(super) fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    array_at(bytes, offset).map(u16::from_le_bytes)
}

pub(super) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    array_at(bytes, offset).map(u32::from_le_bytes)
}

pub(super) fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    array_at(bytes, offset).map(u64::from_le_bytes)
}

/// Returns a length as the 16 bits that a header has for it.
pub(super) fn to_u16(len: usize) -> io::Result<u16> {
    u16::try_from(len).map_err(|_| io::Error::other("an entry name or recovery note exceeds 65,535 bytes"))
}

/// Returns `n`, or the value that refers readers to the ZIP64 field [4.5.3].
pub(super) fn to_u32(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// The first number that needs ZIP64: the largest 32-bit value is itself the reference to ZIP64.
pub(super) const ZIP64_THRESHOLD: u64 = u32::MAX as u64;
