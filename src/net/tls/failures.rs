//! Failures of TLS in words: errors of rustls and alerts, as clauses for people and as the [`Reason`] to report.
//!
//! rustls' own texts contain the output of `Debug`, up to a kilobyte of it. None of them is shown: what has no words
//! here is described in general terms.

use crate::notice::{Distrust, Reason};
use rustls::{AlertDescription, CertificateError, Error};

/// The reason to report for a failed handshake with an origin.
pub(crate) fn origin_reason(e: &Error) -> Reason {
    match e {
        Error::InvalidCertificate(e) => Reason::OriginNotTrusted(distrust(e)),
        e => Reason::OriginTls(describe(e)),
    }
}

/// True if the next handshake with this origin would fail in the same way for any client. Most alerts do not imply
/// that: they may concern this client's protocols, or a temporary failure.
pub(crate) fn is_lasting(e: &Error) -> bool {
    match e {
        Error::InvalidCertificate(_) | Error::PeerIncompatible(_) => true,
        Error::AlertReceived(alert) => {
            matches!(alert, AlertDescription::ProtocolVersion | AlertDescription::InsufficientSecurity)
        }
        _ => false,
    }
}

/// Describes an error of rustls, with the terms of RFC 8446 where it has some.
pub(crate) fn describe(e: &Error) -> String {
    let words = match e {
        Error::AlertReceived(alert) => return format!("alert {}", alert_name(*alert)),
        Error::InvalidCertificate(e) => return distrust(e).to_string(),
        // Our own errors, and some of rustls in words.
        Error::General(words) => return words.clone(),
        Error::PeerIncompatible(_) => "no version, cipher suite or group in common",
        Error::NoApplicationProtocol => "no application protocol in common",
        Error::InvalidMessage(_) => "a message that is not valid TLS",
        Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => "an unexpected TLS message",
        Error::PeerMisbehaved(_) => "a violation of TLS",
        Error::NoCertificatesPresented => "no certificate was sent",
        Error::DecryptError => "a record that cannot be decrypted",
        Error::PeerSentOversizedRecord => "a record that is too large",
        _ => "an internal error of TLS",
    };
    words.to_owned()
}

/// The name of an alert in RFC 8446 section 6, such as `unknown_ca`; for older and newer alerts, the one in IANA's
/// registry "TLS Alerts".
pub(crate) fn alert_name(alert: AlertDescription) -> String {
    let number = u8::from(alert);
    match ALERTS.iter().find(|(known, _)| *known == number) {
        Some((_, name)) => (*name).to_owned(),
        None => format!("number {number}"),
    }
}

/// True for an alert that is about our certificate and nothing else.
pub(crate) fn is_about_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
    )
}

/// True for an alert with which an origin may reject a client certificate: many send a general one.
pub(crate) fn may_reject_certificate(alert: AlertDescription) -> bool {
    is_about_certificate(alert)
        || matches!(
            alert,
            AlertDescription::CertificateRequired | AlertDescription::HandshakeFailure | AlertDescription::DecryptError
        )
}

/// Returns the words for a certificate of an origin that was not accepted.
#[expect(deprecated, reason = "rustls may still return the variant without context")]
fn distrust(e: &CertificateError) -> Distrust {
    let flaw = match e {
        CertificateError::UnknownIssuer => return Distrust::UnknownIssuer,
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "its certificate expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "its certificate is for another name"
        }
        CertificateError::Revoked => "its certificate was revoked",
        CertificateError::BadEncoding => "its certificate is malformed",
        CertificateError::BadSignature => "the signature of its certificate is wrong",
        CertificateError::UnhandledCriticalExtension => "its certificate has an unknown critical extension",
        CertificateError::UnsupportedSignatureAlgorithmContext { signature_algorithm_id: id, .. }
            if SHA1_SIGNATURES.iter().any(|sha1| id.ends_with(sha1)) =>
        {
            "its certificate is signed with SHA-1"
        }
        CertificateError::UnsupportedSignatureAlgorithm
        | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "its certificate has a signature or a key of an unsupported kind"
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "its certificate is not one for a server"
        }
        CertificateError::UnknownRevocationStatus
        | CertificateError::ExpiredRevocationList
        | CertificateError::ExpiredRevocationListContext { .. }
        | CertificateError::InvalidOcspResponse => "it is unknown whether its certificate was revoked",
        // For webpki errors without a variant in rustls, `Display` writes the name of the webpki variant.
        CertificateError::Other(e) => match &*e.0.to_string() {
            // `openssl req -x509` makes such certificates.
            "CaUsedAsEndEntity" => return Distrust::CaCertificate,
            name => WEBPKI_ERRORS.iter().find(|(known, _)| *known == name).map_or(NOT_ACCEPTED, |(_, words)| words),
        },
        _ => NOT_ACCEPTED,
    };
    Distrust::Flaw(flaw.to_owned())
}

/// For errors of a certificate that have no words.
const NOT_ACCEPTED: &str = "its certificate is not accepted";

/// The webpki errors of a certificate that rustls passes on by name.
const WEBPKI_ERRORS: [(&str, &str); 18] = [
    ("CertDistrusted", "the key of its certificate is distrusted"),
    ("EmptyEkuExtension", "its certificate is not one for a server"),
    ("EndEntityUsedAsCa", "its certificate was issued by one that is not a CA"),
    ("ExtensionValueInvalid", "its certificate has a malformed extension"),
    ("InvalidNetworkMaskConstraint", "its CA has malformed name constraints"),
    ("InvalidSerialNumber", "its certificate has a malformed serial number"),
    ("MalformedDnsIdentifier", "its certificate has a malformed name"),
    ("MalformedExtensions", "its certificate has malformed extensions"),
    ("MalformedNameConstraint", "its CA has malformed name constraints"),
    ("MaximumNameConstraintComparisonsExceeded", "its chain of certificates is too complex"),
    ("MaximumPathBuildCallsExceeded", "its chain of certificates is too complex"),
    ("MaximumPathDepthExceeded", "its chain of certificates is too long"),
    ("MaximumSignatureChecksExceeded", "its chain of certificates is too complex"),
    ("NameConstraintViolation", "its CA must not issue certificates for this name"),
    ("PathLenConstraintViolated", "its chain of certificates is longer than its CA allows"),
    ("SignatureAlgorithmMismatch", "its certificate names two signature algorithms"),
    ("UnsupportedCertVersion", "its certificate is not X.509 version 3"),
    ("UnsupportedNameType", "its certificate has a name of an unsupported kind"),
];

/// The last bytes of the object identifiers sha1WithRSAEncryption and ecdsa-with-SHA1 (RFC 3279 section 2.2), the
/// first with its NULL parameter too.
const SHA1_SIGNATURES: [&[u8]; 3] = [
    &[0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5],
    &[0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5, 5, 0],
    &[0x86, 0x48, 0xce, 0x3d, 4, 1],
];

/// IANA's registry "TLS Alerts".
const ALERTS: [(u8, &str); 35] = [
    (0, "close_notify"),
    (10, "unexpected_message"),
    (20, "bad_record_mac"),
    (21, "decryption_failed"),
    (22, "record_overflow"),
    (30, "decompression_failure"),
    (40, "handshake_failure"),
    (41, "no_certificate"),
    (42, "bad_certificate"),
    (43, "unsupported_certificate"),
    (44, "certificate_revoked"),
    (45, "certificate_expired"),
    (46, "certificate_unknown"),
    (47, "illegal_parameter"),
    (48, "unknown_ca"),
    (49, "access_denied"),
    (50, "decode_error"),
    (51, "decrypt_error"),
    (60, "export_restriction"),
    (70, "protocol_version"),
    (71, "insufficient_security"),
    (80, "internal_error"),
    (86, "inappropriate_fallback"),
    (90, "user_canceled"),
    (100, "no_renegotiation"),
    (109, "missing_extension"),
    (110, "unsupported_extension"),
    (111, "certificate_unobtainable"),
    (112, "unrecognized_name"),
    (113, "bad_certificate_status_response"),
    (114, "bad_certificate_hash_value"),
    (115, "unknown_psk_identity"),
    (116, "certificate_required"),
    (120, "no_application_protocol"),
    (121, "ech_required"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::{ServerName, UnixTime};
    use rustls::{InvalidMessage, OtherError, PeerIncompatible, PeerMisbehaved};
    use std::sync::Arc;

    #[test]
    fn alerts_have_their_names_in_the_registry() {
        for (alert, name) in [
            (AlertDescription::UnknownCA, "unknown_ca"),
            (AlertDescription::BadCertificate, "bad_certificate"),
            (AlertDescription::UnknownPSKIdentity, "unknown_psk_identity"),
            (AlertDescription::ProtocolVersion, "protocol_version"),
            (AlertDescription::Unknown(99), "number 99"),
        ] {
            assert_eq!(alert_name(alert), name);
        }
    }

    /// An error whose `Display` is the name of a variant, as webpki's is.
    #[derive(Debug)]
    struct Named(&'static str);

    impl std::fmt::Display for Named {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.0)
        }
    }

    impl std::error::Error for Named {}

    fn named(name: &'static str) -> CertificateError {
        CertificateError::Other(OtherError(Arc::new(Named(name))))
    }

    /// Fails if `text` contains what only `Debug` writes, or the name of a type or variant.
    #[track_caller]
    fn assert_is_prose(text: &str) {
        let words: Vec<_> = text.split([' ', ',', '.']).collect();
        let is_camel =
            |word: &str| word.chars().skip(1).any(|c| c.is_ascii_uppercase()) && word != "SHA-1" && word != "CA";
        assert!(!words.iter().any(|word| is_camel(word) && !["TLS", "HTTP"].contains(word)), "{text}");
        assert!(!text.contains(['{', '}', '[', ']', '"', '(', '_']) && text.len() < 100, "{text}");
    }

    #[test]
    #[expect(deprecated, reason = "the variant without context has words too")]
    fn each_flaw_of_a_certificate_has_words() {
        let time = UnixTime::now();
        let id = || vec![6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5];
        let all = [
            CertificateError::BadEncoding,
            CertificateError::Expired,
            CertificateError::ExpiredContext { time, not_after: time },
            CertificateError::NotValidYet,
            CertificateError::NotValidYetContext { time, not_before: time },
            CertificateError::Revoked,
            CertificateError::UnhandledCriticalExtension,
            CertificateError::UnknownIssuer,
            CertificateError::UnknownRevocationStatus,
            CertificateError::ExpiredRevocationList,
            CertificateError::ExpiredRevocationListContext { time, next_update: time },
            CertificateError::BadSignature,
            CertificateError::UnsupportedSignatureAlgorithm,
            CertificateError::UnsupportedSignatureAlgorithmContext {
                signature_algorithm_id: id(),
                supported_algorithms: Vec::new(),
            },
            CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext {
                signature_algorithm_id: id(),
                public_key_algorithm_id: id(),
            },
            CertificateError::NotValidForName,
            CertificateError::NotValidForNameContext {
                expected: ServerName::try_from("a.test").unwrap(),
                presented: vec!["DnsName(\"b.test\")".into()],
            },
            CertificateError::InvalidPurpose,
            CertificateError::InvalidPurposeContext {
                required: rustls::ExtendedKeyPurpose::ServerAuth,
                presented: vec![rustls::ExtendedKeyPurpose::ClientAuth],
            },
            CertificateError::InvalidOcspResponse,
            CertificateError::ApplicationVerificationFailure,
            named("CaUsedAsEndEntity"),
            named("AnErrorOfALaterVersion"),
        ];
        for error in all.into_iter().chain(WEBPKI_ERRORS.map(|(name, _)| named(name))) {
            assert_is_prose(&distrust(&error).to_string());
        }
        let sha1 = CertificateError::UnsupportedSignatureAlgorithmContext {
            signature_algorithm_id: id(),
            supported_algorithms: Vec::new(),
        };
        assert!(distrust(&sha1).to_string().contains("SHA-1"));
        assert_eq!(distrust(&named("CaUsedAsEndEntity")), Distrust::CaCertificate);
    }

    #[test]
    fn each_failure_of_a_handshake_has_words() {
        for error in [
            Error::InvalidMessage(InvalidMessage::InvalidContentType),
            Error::PeerMisbehaved(PeerMisbehaved::IllegalMiddleboxChangeCipherSpec),
            Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon),
            Error::InappropriateMessage { expect_types: Vec::new(), got_type: rustls::ContentType::Alert },
            Error::InappropriateHandshakeMessage {
                expect_types: Vec::new(),
                got_type: rustls::HandshakeType::HelloRequest,
            },
            Error::InvalidCertificate(CertificateError::UnknownIssuer),
            Error::DecryptError,
            Error::NoApplicationProtocol,
            Error::PeerSentOversizedRecord,
            Error::NoCertificatesPresented,
            Error::HandshakeNotComplete,
        ] {
            assert_is_prose(&describe(&error));
        }
        assert_eq!(describe(&Error::AlertReceived(AlertDescription::HandshakeFailure)), "alert handshake_failure");
    }
}
