//! Certificates of origins that webpki does not accept: X.509 versions 1 and 2, unknown critical extensions, no
//! alternative names, other keys.

use super::x509_reader::{KeyKind, ServerAltName, X509};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct};
use std::time::Duration;

/// The certificate of an origin.
#[derive(Debug)]
pub(crate) struct OriginCertificate<'a>(X509<'a>);

/// The result of verifying a signature with a certificate's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignatureCheck {
    Valid,
    Wrong,
    /// The key or the algorithm is not supported.
    Unsupported,
}

impl<'a> OriginCertificate<'a> {
    /// Parses a certificate; `None` if it is malformed.
    pub(crate) fn parse(der: &'a CertificateDer<'_>) -> Option<Self> {
        X509::parse(der).ok().map(Self)
    }

    /// The subject as text.
    pub(crate) fn subject(&self) -> String {
        self.0.subject.to_text()
    }

    /// Checks the validity period.
    ///
    /// # Errors
    /// If it does not include `now`.
    pub(crate) fn check_validity(&self, now: UnixTime) -> Result<(), CertificateError> {
        let (not_before, not_after) = (unix_time(self.0.validity.not_before), unix_time(self.0.validity.not_after));
        if now < not_before {
            return Err(CertificateError::NotValidYetContext { time: now, not_before });
        }
        if now > not_after {
            return Err(CertificateError::ExpiredContext { time: now, not_after });
        }
        Ok(())
    }

    /// True if the certificate is for `name`. Without alternative names, its common name counts: RFC 9525 forbids that,
    /// OpenSSL and curl accept it.
    pub(crate) fn is_for(&self, name: &ServerName<'_>) -> bool {
        let text = name.to_str();
        match self.0.server_alt_names() {
            Ok(Some(names)) => names.iter().any(|given| match (given, name) {
                (ServerAltName::Dns(dns), ServerName::DnsName(_)) => matches(dns, &text),
                (ServerAltName::Ip(ip), ServerName::IpAddress(_)) => ip.to_string() == text,
                _ => false,
            }),
            Ok(None) => self.0.subject.common_names().any(|common| match name {
                ServerName::DnsName(_) => matches(&common, &text),
                _ => common == text,
            }),
            Err(_) => false,
        }
    }

    /// True if signatures of the certificate's key can be verified with one of `algorithms`.
    pub(crate) fn has_supported_key(&self, algorithms: &WebPkiSupportedAlgorithms) -> bool {
        let key = &self.0.public_key;
        let is_known = || algorithms.all.iter().any(|algorithm| *algorithm.public_key_alg_id() == *key.algorithm);
        let has_known_size = || match key.kind() {
            Ok(KeyKind::Rsa { bits, exponent }) => {
                RSA_BITS.contains(&bits) && exponent.is_some_and(|it| it <= MAX_RSA_EXPONENT)
            }
            Ok(_) => true,
            Err(_) => false,
        };
        has_known_size() && is_known()
    }

    /// Verifies the signature of a handshake, whatever else the certificate contains.
    pub(crate) fn check_signature(
        &self,
        message: &[u8],
        signature: &DigitallySignedStruct,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> SignatureCheck {
        let key = &self.0.public_key;
        if !self.has_supported_key(algorithms) {
            return SignatureCheck::Unsupported;
        }
        let of_scheme = algorithms.mapping.iter().filter(|(scheme, _)| *scheme == signature.scheme);
        let candidates = of_scheme.flat_map(|(_, algorithms)| *algorithms);
        let mut result = SignatureCheck::Unsupported;
        for algorithm in candidates.filter(|algorithm| *algorithm.public_key_alg_id() == *key.algorithm) {
            match algorithm.verify_signature(key.bits, message, signature.signature()) {
                Ok(()) => return SignatureCheck::Valid,
                Err(_) => result = SignatureCheck::Wrong,
            }
        }
        result
    }
}

/// True if `presented`, which may begin with the wildcard `*.` for one label, is the DNS name `name`.
fn matches(presented: &str, name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    match presented.strip_prefix("*.") {
        Some(domain) => name.split_once('.').is_some_and(|(_, parent)| parent.eq_ignore_ascii_case(domain)),
        None => presented.eq_ignore_ascii_case(name),
    }
}

/// Converts Unix seconds. Times before 1970 become 1970.
fn unix_time(seconds: i64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds.try_into().unwrap_or_default()))
}

/// The sizes of RSA keys that ring verifies with in all of TLS. (For PKCS#1 v1.5 alone, it accepts smaller ones.)
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// ring accepts exponents of up to 33 bits. Larger than 65537 are hardly used.
const MAX_RSA_EXPONENT: u64 = u32::MAX as u64;

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair};

    /// A certificate with alternative names and a common name.
    fn certificate(names: &[&str], common_name: &str) -> CertificateDer<'static> {
        let mut params =
            CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    #[test]
    fn a_certificate_is_for_its_alternative_names_or_else_its_common_name() {
        for (names, common_name, name, expected) in [
            (&["a.test"][..], "", "a.test", true),
            (&["A.test"], "", "a.test.", true),
            (&["a.test", "*.b.test"], "", "x.b.test", true),
            (&["*.b.test"], "", "b.test", false),
            (&["*.b.test"], "", "y.x.b.test", false),
            (&["192.0.2.1", "2001:db8::1"], "", "192.0.2.1", true),
            (&["192.0.2.1", "2001:db8::1"], "", "2001:db8::1", true),
            (&["192.0.2.1"], "", "192.0.2.2", false),
            (&["a.test"], "b.test", "b.test", false),
            (&[], "B.test", "b.test", true),
            (&[], "*.test", "b.test", true),
            (&[], "192.0.2.1", "192.0.2.1", true),
            (&[], "b.test", "c.test", false),
        ] {
            let (certificate, name) = (certificate(names, common_name), ServerName::try_from(name).unwrap());
            let is_for = OriginCertificate::parse(&certificate).unwrap().is_for(&name);
            assert_eq!(is_for, expected, "{names:?} {common_name} {name:?}");
        }
    }
}
