//! The fingerprint of a ClientHello: equal for all connections of one client program to one host, and usually different
//! for different programs. It has the parts of JA4, without those that differ from connection to connection.
//!
//! ```text
//! cipher suites, versions, groups, signature algorithms, ALPN   in their order, without GREASE
//! extensions      sorted: browsers shuffle them; without GREASE and those that only some connections have
//! ```
//!
//! Of all other extensions, such as key shares, only the types count.

use std::hash::{DefaultHasher, Hash, Hasher};

/// The fingerprint of a ClientHello.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint(u64);

/// The parts of a ClientHello that make its fingerprint.
#[derive(Clone, Debug, Default)]
pub(crate) struct FingerprintParts<'h> {
    /// The cipher suites, as sent.
    pub cipher_suites: &'h [u8],
    /// The types of the extensions.
    pub extensions: &'h [u16],
    /// The offered versions.
    pub versions: &'h [u16],
    /// The elements of supported_groups, as sent.
    pub groups: &'h [u8],
    /// The elements of signature_algorithms, as sent.
    pub signature_algorithms: &'h [u8],
    /// The offered application protocols.
    pub alpn: &'h [Vec<u8>],
}

impl Fingerprint {
    /// Returns the fingerprint of a ClientHello with these parts.
    pub(crate) fn new(parts: &FingerprintParts<'_>) -> Self {
        let is_usual = |kind: &u16| !OCCASIONAL_EXTENSIONS.contains(kind);
        let mut extensions: Vec<u16> = without_grease(parts.extensions.iter().copied()).filter(is_usual).collect();
        extensions.sort_unstable();
        let lists = [parts.cipher_suites, parts.groups, parts.signature_algorithms].map(elements);
        let versions: Vec<u16> = without_grease(parts.versions.iter().copied()).collect();
        let mut hasher = DefaultHasher::new();
        (extensions, lists, versions, parts.alpn).hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// The numbers of two bytes in `list`, without GREASE.
fn elements(list: &[u8]) -> Vec<u16> {
    let pairs = list.chunks_exact(2).filter_map(|pair| Some(u16::from_be_bytes(pair.try_into().ok()?)));
    without_grease(pairs).collect()
}

/// Removes the values that clients insert at random (RFC 8701 section 2): 0x0a0a, 0x1a1a, …
fn without_grease(values: impl Iterator<Item = u16>) -> impl Iterator<Item = u16> {
    values.filter(|value| {
        let [high, low] = value.to_be_bytes();
        high != low || low & 0x0f != 0x0a
    })
}

/// Extensions that depend on the length of the others, on an earlier connection, or on the answer to the first
/// ClientHello: padding, session_ticket, pre_shared_key, early_data, cookie.
const OCCASIONAL_EXTENSIONS: [u16; 5] = [21, 35, 41, 42, 44];

#[cfg(test)]
mod tests {
    use super::*;

    fn usual() -> FingerprintParts<'static> {
        FingerprintParts {
            cipher_suites: &[0x1a, 0x1a, 0x13, 1, 0x13, 2],
            extensions: &[0x2a2a, 0, 10, 43],
            versions: &[0x3a3a, 0x0304, 0x0303],
            groups: &[0x4a, 0x4a, 0, 29, 0, 23],
            signature_algorithms: &[4, 3, 8, 4],
            alpn: &[],
        }
    }

    #[test]
    fn one_program_has_one_fingerprint() {
        let other = FingerprintParts {
            // Other GREASE, another order of extensions, and a resumption with padding.
            cipher_suites: &[0xfa, 0xfa, 0x13, 1, 0x13, 2],
            extensions: &[43, 21, 10, 0xcaca, 0, 41],
            versions: &[0xdada, 0x0304, 0x0303],
            groups: &[0xea, 0xea, 0, 29, 0, 23],
            ..usual()
        };
        assert_eq!(Fingerprint::new(&other), Fingerprint::new(&usual()));
    }

    #[test]
    fn other_programs_have_other_fingerprints() {
        let h2 = [b"h2".to_vec()];
        let joined = [b"h2http/1.1".to_vec()];
        let both = [b"h2".to_vec(), b"http/1.1".to_vec()];
        let all = [
            usual(),
            FingerprintParts { cipher_suites: &[0x13, 2, 0x13, 1], ..usual() },
            FingerprintParts { cipher_suites: &[0x13, 1], ..usual() },
            FingerprintParts { extensions: &[0, 10, 43, 16], ..usual() },
            FingerprintParts { extensions: &[], ..usual() },
            FingerprintParts { versions: &[0x0303], ..usual() },
            FingerprintParts { groups: &[0, 23, 0, 29], ..usual() },
            FingerprintParts { signature_algorithms: &[8, 4], ..usual() },
            FingerprintParts { alpn: &h2, ..usual() },
            FingerprintParts { alpn: &both, ..usual() },
            FingerprintParts { alpn: &joined, ..usual() },
        ]
        .map(|parts| Fingerprint::new(&parts));
        for (i, one) in all.iter().enumerate() {
            assert!(!all[..i].contains(one), "{i}");
        }
    }
}
