//! The fingerprint of a ClientHello: equal for all connections of one client program to one host, and usually different
//! for different programs. It resembles JA3, adapted to newer clients.
//!
//! ```text
//! cipher suites   in their order, without GREASE
//! extensions      sorted: browsers shuffle them; without GREASE and those that only some connections have
//! ```

use std::hash::{DefaultHasher, Hash, Hasher};

/// The fingerprint of a ClientHello.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint(u64);

impl Fingerprint {
    /// Returns the fingerprint of a ClientHello with this vector of cipher suites and these extension types.
    pub(crate) fn new(cipher_suites: &[u8], extensions: &[u16]) -> Self {
        let suites = cipher_suites.chunks_exact(2).filter_map(|pair| Some(u16::from_be_bytes(pair.try_into().ok()?)));
        let suites: Vec<u16> = suites.filter(|suite| !is_grease(*suite)).collect();
        let is_usual = |kind: &u16| !is_grease(*kind) && !OCCASIONAL_EXTENSIONS.contains(kind);
        let mut extensions: Vec<u16> = extensions.iter().copied().filter(is_usual).collect();
        extensions.sort_unstable();
        let mut hasher = DefaultHasher::new();
        (suites, extensions).hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// True for the values that clients insert at random (RFC 8701 section 2): 0x0a0a, 0x1a1a, …
fn is_grease(value: u16) -> bool {
    let [high, low] = value.to_be_bytes();
    high == low && low & 0x0f == 0x0a
}

/// Extensions that depend on the length of the others, on an earlier connection, or on the answer to the first
/// ClientHello: padding, session_ticket, pre_shared_key, early_data, cookie.
const OCCASIONAL_EXTENSIONS: [u16; 5] = [21, 35, 41, 42, 44];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_program_has_one_fingerprint() {
        let first = Fingerprint::new(&[0x1a, 0x1a, 0x13, 1, 0x13, 2], &[0x2a2a, 0, 10, 43]);
        // Other GREASE, another order of extensions, and a resumption with padding.
        let second = Fingerprint::new(&[0xfa, 0xfa, 0x13, 1, 0x13, 2], &[43, 21, 10, 0xcaca, 0, 41]);
        assert_eq!(first, second);
    }

    #[test]
    fn other_programs_have_other_fingerprints() {
        let all = [
            Fingerprint::new(&[0x13, 1, 0x13, 2], &[0, 10]),
            Fingerprint::new(&[0x13, 2, 0x13, 1], &[0, 10]),
            Fingerprint::new(&[0x13, 1], &[0, 10]),
            Fingerprint::new(&[0x13, 1, 0x13, 2], &[0, 10, 43]),
            Fingerprint::new(&[0x13, 1, 0x13, 2], &[]),
        ];
        for (i, one) in all.iter().enumerate() {
            assert!(!all[..i].contains(one), "{i}");
        }
    }
}
