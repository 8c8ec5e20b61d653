//! The memory that a decoder needs for its window, before it decodes.

use super::name::Coding;

/// Returns the window of a body in `coding` that begins with `head`, of which [`HEAD_BYTES`] are enough. It is an upper
/// bound if they do not show it. While a zstd window grows, up to twice as much is allocated for a moment.
pub(crate) fn bytes(coding: Coding, head: &[u8]) -> u64 {
    match coding {
        Coding::Gzip | Coding::Deflate => DEFLATE_BYTES,
        Coding::Brotli => brotli_bytes(head),
        Coding::Zstd => zstd_bytes(head),
    }
}

/// The window of a Brotli stream [RFC 7932 section 9.1].
pub(super) fn brotli_bytes(head: &[u8]) -> u64 {
    let first = head.first().copied().unwrap_or_default();
    let bits = match (first & 1, first >> 1 & 7, first >> 4 & 7) {
        (0, ..) => 16,
        (_, n @ 1.., _) => u32::from(n).saturating_add(17),
        (_, _, 0) => 17,
        // A large window, which is refused.
        (_, _, 1) => 0,
        (_, _, n) => u32::from(n).saturating_add(8),
    };
    1 << bits
}

/// The window of the first zstd frame. Later frames may have larger ones.
fn zstd_bytes(head: &[u8]) -> u64 {
    let frame = head.strip_prefix(&ZSTD_MAGIC.to_le_bytes());
    frame.and_then(zstd_frame_bytes).unwrap_or(MAX_BYTES).min(MAX_BYTES)
}

/// Returns the window of a zstd frame, from its header after the magic number [RFC 8878 section 3.1.1.1].
pub(super) fn zstd_frame_bytes(header: &[u8]) -> Option<u64> {
    let (descriptor, rest) = header.split_first()?;
    if descriptor & SINGLE_SEGMENT == 0 {
        let (exponent, mantissa) = (rest.first()? >> 3, rest.first()? & 7);
        let base = 1u64 << (10 + u32::from(exponent));
        return Some(base.saturating_add((base / 8).saturating_mul(mantissa.into())));
    }
    // The window is the content. Its size, in 1, 2, 4 or 8 bytes, comes after the id of a dictionary.
    let dictionary_len = match descriptor & 3 {
        0 => 0,
        1 => 1,
        2 => 2,
        _ => 4,
    };
    let rest = rest.get(dictionary_len..)?;
    let size = |len: usize| {
        let mut bytes = [0; 8];
        bytes.get_mut(..len)?.copy_from_slice(rest.get(..len)?);
        Some(u64::from_le_bytes(bytes))
    };
    match descriptor >> 6 {
        0 => size(1),
        1 => Some(size(2)?.saturating_add(256)),
        2 => size(4),
        _ => size(8),
    }
}

/// The number of bytes at the start of a body that show its window.
pub(crate) const HEAD_BYTES: usize = 18;

/// The largest window of any decoder, that of zstd. HTTP allows windows of 8 MiB (RFC 9659 section 3); some tools write
/// larger ones.
pub(crate) const MAX_BYTES: u64 = 32 << 20;

/// The window of deflate [RFC 1951 section 2].
const DEFLATE_BYTES: u64 = 32 << 10;

/// The first bytes of a zstd frame.
pub(super) const ZSTD_MAGIC: u32 = 0xfd2f_b528;

/// The flag of a zstd frame without a window descriptor.
const SINGLE_SEGMENT: u8 = 1 << 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_known_before_decoding() {
        let (br, zst) = (crate::coding::testing::TEXT_BR, crate::coding::testing::TEXT_ZST);
        assert_eq!(bytes(Coding::Gzip, b""), 32 << 10);
        for (first, bits) in
            [(0b0, 16), (0b0000_0001, 17), (0b0011, 18), (0b1111, 24), (0b0010_0001, 10), (0b0111_0001, 15)]
        {
            assert_eq!(bytes(Coding::Brotli, &[first]), 1 << bits, "{first:b}");
        }
        assert!((1 << 16..=1 << 24).contains(&bytes(Coding::Brotli, br)));
        assert!((128 << 10..=8 << 20).contains(&bytes(Coding::Zstd, zst)), "{}", bytes(Coding::Zstd, zst));
        let frame = |rest: &[u8]| bytes(Coding::Zstd, &[&ZSTD_MAGIC.to_le_bytes()[..], rest].concat());
        // A window descriptor: 2^13 and 3/8 of it.
        assert_eq!(frame(&[0, 3 << 3 | 3]), 8192 + 3 * 1024);
        // Single segments, with a content size of 1, 2, 4 and 8 bytes, one of them after a dictionary id of 2 bytes.
        assert_eq!(frame(&[0x20, 77]), 77);
        assert_eq!(frame(&[0x60, 1, 0]), 257);
        assert_eq!(frame(&[0xa2, 9, 9, 0, 0, 1, 0]), 65_536);
        assert_eq!(frame(&[0xe0, 0, 0, 0, 0, 0, 0, 0, 1]), MAX_BYTES);
        // Too short, or a skippable frame: the largest window.
        assert_eq!(frame(&[0x60, 1]), MAX_BYTES);
        assert_eq!(bytes(Coding::Zstd, b"\x50\x2a\x4d\x18"), MAX_BYTES);
    }
}
