//! Signatures and versions of ZIP records (APPNOTE 6.3.10, whose sections are in brackets).

pub(super) const LOCAL_SIGNATURE: u32 = 0x0403_4b50;
pub(super) const CENTRAL_SIGNATURE: u32 = 0x0201_4b50;
pub(super) const END_SIGNATURE: u32 = 0x0605_4b50;
pub(super) const ZIP64_END_SIGNATURE: u32 = 0x0606_4b50;
pub(super) const ZIP64_LOCATOR_SIGNATURE: u32 = 0x0706_4b50;

/// The version needed for deflate [4.4.3].
pub(super) const DEFLATE_VERSION: u16 = 20;
/// The version needed for ZIP64 [4.4.3].
pub(super) const ZIP64_VERSION: u16 = 45;
/// The upper byte of "version made by" [4.4.2]: external attributes are Unix modes.
pub(super) const MADE_ON_UNIX: u16 = 3 << 8;
