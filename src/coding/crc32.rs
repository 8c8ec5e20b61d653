//! CRC-32, as gzip and ZIP use it (RFC 1952 section 8).

use crc32fast::Hasher;

/// The CRC-32 of bytes that are added piece by piece.
#[derive(Clone, Debug, Default)]
pub(crate) struct Crc(Hasher);

impl Crc {
    /// The CRC-32 of no bytes.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds `bytes`.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Adds the bytes of `following`.
    pub(crate) fn combine(&mut self, following: &Self) {
        self.0.combine(&following.0);
    }

    /// Returns the CRC-32.
    pub(crate) fn sum(&self) -> u32 {
        self.0.clone().finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_have_the_crc_of_the_whole() {
        assert_eq!(Crc::new().sum(), 0);
        let all = b"123456789".repeat(1000);
        let mut whole = Crc::new();
        whole.update(&all);
        for at in [0, 1, 9, 100, 4500, 9000] {
            let (mut first, mut second) = (Crc::new(), Crc::new());
            first.update(&all[..at]);
            second.update(&all[at..]);
            first.combine(&second);
            assert_eq!(first.sum(), whole.sum());
        }
        // The check value of the catalogue of parametrised CRC algorithms, CRC-32/ISO-HDLC.
        let mut check = Crc::new();
        check.update(b"123456789");
        assert_eq!(check.sum(), 0xcbf4_3926);
    }
}
