//! The outer layer of TLS records, which is never encrypted (RFC 5246 section 6.2): some of what a peer wants shows
//! there and not in rustls.
//!
//! ```text
//! type (1) | version (2) | length (2) | fragment
//! ```

use rustls::AlertDescription;

/// A complete record.
pub(super) struct Record<'c> {
    kind: u8,
    fragment: &'c [u8],
}

/// The complete records in `ciphertext`, which begins with one.
pub(super) fn complete_records(mut ciphertext: &[u8]) -> impl Iterator<Item = Record<'_>> {
    std::iter::from_fn(move || {
        let [kind, _, _, high, low, rest @ ..] = ciphertext else { return None };
        let (fragment, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))?;
        ciphertext = rest;
        Some(Record { kind: *kind, fragment })
    })
}

impl Record<'_> {
    /// True for a handshake message. After a handshake of TLS 1.2 it starts a renegotiation: a HelloRequest of the
    /// server, or a ClientHello (RFC 5246 sections 7.4.1.1 and 7.4.1.2).
    pub(super) fn is_handshake(&self) -> bool {
        self.kind == HANDSHAKE
    }

    /// The alert, if the record is an unencrypted warning that the peer ends the handshake. rustls skips these warnings
    /// in TLS 1.2 and waits for more.
    pub(super) fn closing_alert(&self) -> Option<AlertDescription> {
        match (self.kind, self.fragment) {
            (ALERT, [WARNING, alert]) => Some(AlertDescription::from(*alert))
                .filter(|alert| matches!(alert, AlertDescription::CloseNotify | AlertDescription::UserCanceled)),
            _ => None,
        }
    }
}

/// `ContentType` (RFC 5246 section 6.2.1).
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
/// `AlertLevel.warning` (RFC 5246 section 7.2).
const WARNING: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_complete_records_count() {
        let bytes = [23, 3, 3, 0, 1, 9, 22, 3, 3, 0, 2, 1, 1, 21, 3, 3, 0, 2, 1, 0];
        let kinds = |end: usize| complete_records(&bytes[..end]).map(|record| record.kind).collect::<Vec<_>>();
        for (end, expected) in [(0, &[][..]), (5, &[]), (6, &[23]), (12, &[23]), (13, &[23, 22]), (20, &[23, 22, 21])] {
            assert_eq!(kinds(end), expected, "{end}");
        }
        assert_eq!(complete_records(&bytes).filter(Record::is_handshake).count(), 1);
        assert_eq!(
            complete_records(&bytes).find_map(|record| record.closing_alert()),
            Some(AlertDescription::CloseNotify)
        );
    }

    #[test]
    fn other_alerts_do_not_end_a_handshake() {
        // A fatal one, which rustls reports; a warning that is only information; an encrypted one.
        for fragment in [&[2, 0][..], &[1, 112], &[1, 0, 7]] {
            assert_eq!(Record { kind: ALERT, fragment }.closing_alert(), None, "{fragment:?}");
        }
    }
}
