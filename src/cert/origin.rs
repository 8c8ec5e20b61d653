//! Certificates of origins that webpki does not accept: X.509 versions 1 and 2, unknown critical extensions, no
//! alternative names, other keys.

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct};
use std::net::IpAddr;
use std::time::Duration;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::public_key::PublicKey;
use x509_parser::time::ASN1Time;

/// The certificate of an origin.
#[derive(Debug)]
pub(crate) struct OriginCertificate<'a>(X509Certificate<'a>);

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
        x509_parser::parse_x509_certificate(der).ok().map(|(_, parsed)| Self(parsed))
    }

    /// The subject as text.
    pub(crate) fn subject(&self) -> String {
        self.0.subject().to_string()
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
        match self.0.subject_alternative_name() {
            Ok(Some(names)) => names.value.general_names.iter().any(|general| match (general, name) {
                (GeneralName::DNSName(dns), ServerName::DnsName(_)) => matches(dns, &text),
                (GeneralName::IPAddress(bytes), ServerName::IpAddress(_)) => {
                    ip_address(bytes).is_some_and(|ip| ip.to_string() == text)
                }
                _ => false,
            }),
            Ok(None) => self.0.subject().iter_common_name().any(|common| {
                common.as_str().is_ok_and(|common| match name {
                    ServerName::DnsName(_) => matches(common, &text),
                    _ => common == text,
                })
            }),
            Err(_) => false,
        }
    }

    /// True if signatures of the certificate's key can be verified with one of `algorithms`.
    pub(crate) fn has_supported_key(&self, algorithms: &WebPkiSupportedAlgorithms) -> bool {
        let spki = self.0.public_key();
        let is_known = || {
            let id = algorithm_id(spki.raw)?;
            Some(algorithms.all.iter().any(|algorithm| *algorithm.public_key_alg_id() == *id))
        };
        let has_known_size = match spki.parsed() {
            Ok(PublicKey::RSA(key)) => {
                RSA_BITS.contains(&key.key_size()) && key.try_exponent().is_ok_and(|e| e <= MAX_RSA_EXPONENT)
            }
            Ok(_) => true,
            Err(_) => false,
        };
        has_known_size && is_known().unwrap_or(false)
    }

    /// Verifies the signature of a handshake, whatever else the certificate contains.
    pub(crate) fn check_signature(
        &self,
        message: &[u8],
        signature: &DigitallySignedStruct,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> SignatureCheck {
        let spki = self.0.public_key();
        let (Some(id), true) = (algorithm_id(spki.raw), self.has_supported_key(algorithms)) else {
            return SignatureCheck::Unsupported;
        };
        let of_scheme = algorithms.mapping.iter().filter(|(scheme, _)| *scheme == signature.scheme);
        let candidates = of_scheme.flat_map(|(_, algorithms)| *algorithms);
        let mut result = SignatureCheck::Unsupported;
        for algorithm in candidates.filter(|algorithm| *algorithm.public_key_alg_id() == *id) {
            let key = &spki.subject_public_key.data;
            match algorithm.verify_signature(key, message, signature.signature()) {
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

fn ip_address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// The content of the AlgorithmIdentifier in a SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7).
fn algorithm_id(spki: &[u8]) -> Option<Vec<u8>> {
    let read = yasna::parse_der(spki, |reader| {
        reader.read_sequence(|reader| {
            let id = reader.next().read_der()?;
            reader.next().read_der()?;
            Ok(id)
        })
    });
    // Supported ones have fewer than 128 bytes, so their length is one byte.
    read.ok().and_then(|id| Some(id.get(2..)?.to_vec()))
}

fn unix_time(time: ASN1Time) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(time.timestamp().try_into().unwrap_or_default()))
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
