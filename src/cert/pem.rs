//! PEM files (RFC 7468): a private key and certificates in any order, with other text and blocks around them.

use crate::error::ca::BoxError;
use pem::{EncodeConfig, LineEnding, Pem};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The parts of a PEM file that are used.
pub(super) struct PemFile {
    /// The first private key.
    pub(super) key: PrivateKeyDer<'static>,
    /// All certificates, in file order.
    pub(super) certificates: Vec<CertificateDer<'static>>,
}

/// The defect of a PEM file.
#[derive(Debug)]
pub(super) enum PemError {
    Empty,
    /// The file is not valid PEM.
    Damaged(BoxError),
    /// The private key is encrypted.
    Passphrase,
    NoKey,
}

/// Parses a file with a private key and certificates. Returns the first key and all certificates.
pub(super) fn parse(file: &[u8]) -> Result<PemFile, PemError> {
    if file.trim_ascii().is_empty() {
        return Err(PemError::Empty);
    }
    let mut key = None;
    let mut certificates = Vec::new();
    for block in pem::parse_many(file).map_err(|e| PemError::Damaged(e.into()))? {
        // RFC 1421 section 4.6.1.1: OpenSSL marks an encrypted PKCS#1 or SEC1 key with this header.
        let is_encrypted = block.headers().get("Proc-Type").is_some_and(|value| value.contains("ENCRYPTED"));
        let found = match block.tag() {
            "CERTIFICATE" => {
                certificates.push(block.into_contents().into());
                continue;
            }
            "ENCRYPTED PRIVATE KEY" => return Err(PemError::Passphrase),
            _ if is_encrypted => return Err(PemError::Passphrase),
            "PRIVATE KEY" => PrivateKeyDer::Pkcs8(block.into_contents().into()),
            "RSA PRIVATE KEY" => PrivateKeyDer::Pkcs1(block.into_contents().into()),
            "EC PRIVATE KEY" => PrivateKeyDer::Sec1(block.into_contents().into()),
            _ => continue, // for example EC PARAMETERS and DH PARAMETERS
        };
        key.get_or_insert(found);
    }
    Ok(PemFile { key: key.ok_or(PemError::NoKey)?, certificates })
}

/// Returns the first certificate in `file`, or `None` if it has none or is not valid PEM.
pub(super) fn first_certificate(file: &[u8]) -> Option<CertificateDer<'static>> {
    pem::parse_many(file)
        .ok()?
        .into_iter()
        .find(|block| block.tag() == "CERTIFICATE")
        .map(|it| it.into_contents().into())
}

/// Encodes a certificate in PEM.
pub(crate) fn encode_certificate(der: &CertificateDer<'_>) -> String {
    encode("CERTIFICATE", der)
}

/// Encodes a PKCS#8 private key in PEM.
pub(crate) fn encode_private_key(pkcs8: &[u8]) -> String {
    encode("PRIVATE KEY", pkcs8)
}

fn encode(tag: &str, der: &[u8]) -> String {
    pem::encode_config(&Pem::new(tag, der), EncodeConfig::new().set_line_ending(LineEnding::LF))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nAQID\n-----END PRIVATE KEY-----\n";
    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nBAUG\n-----END CERTIFICATE-----\n";

    fn error(file: &str) -> PemError {
        parse(file.as_bytes()).err().unwrap()
    }

    #[test]
    fn accepts_blocks_in_any_order_and_any_line_endings() {
        let both = [format!("{KEY}{CERTIFICATE}"), format!("{CERTIFICATE}{KEY}")];
        for file in both.iter().flat_map(|file| [file.clone(), file.replace('\n', "\r\n"), format!("text\n\n{file}\n")])
        {
            let parsed = parse(file.as_bytes()).unwrap();
            assert_eq!(parsed.key.secret_der(), [1, 2, 3]);
            assert_eq!(parsed.certificates, [CertificateDer::from(vec![4, 5, 6])]);
        }
    }

    #[test]
    fn reports_the_defect_of_a_file() {
        assert!(matches!(error(""), PemError::Empty));
        assert!(matches!(error(" \r\n\n"), PemError::Empty));
        assert!(matches!(error(CERTIFICATE), PemError::NoKey));
        assert!(matches!(error("not PEM at all"), PemError::NoKey));
        assert!(matches!(error(&KEY.replace("AQID", "A*ID")), PemError::Damaged(_)));
        let unterminated = format!("{}{CERTIFICATE}", KEY.split("-----END").next().unwrap());
        assert!(matches!(error(&unterminated), PemError::Damaged(_)));
        assert!(matches!(error(&KEY.replace("PRIVATE", "ENCRYPTED PRIVATE")), PemError::Passphrase));
        let headers = "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAQID";
        let encrypted = KEY.replace("PRIVATE", "RSA PRIVATE").replace("AQID", headers);
        assert!(matches!(error(&encrypted), PemError::Passphrase));
        assert!(matches!(error(&encrypted.replace('\n', "\r\n")), PemError::Passphrase));
    }

    #[test]
    fn parses_the_files_it_encodes() {
        let file = encode_certificate(&CertificateDer::from(vec![4, 5, 6])) + &encode_private_key(&[1, 2, 3]);
        assert_eq!(file, format!("{CERTIFICATE}{KEY}"));
        assert_eq!(first_certificate(file.as_bytes()), Some(vec![4, 5, 6].into()));
        assert_eq!(first_certificate(KEY.as_bytes()), None);
    }
}
