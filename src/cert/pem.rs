//! PEM, as people's CA files have it: a key and certificates in any order, with other things before, between and after.

use super::ca::Flaw;
use pem::{EncodeConfig, LineEnding, Pem};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// What counts in a file.
pub(super) struct Contents {
    /// The first private key.
    pub(super) key: PrivateKeyDer<'static>,
    /// All certificates, in their order.
    pub(super) certificates: Vec<CertificateDer<'static>>,
}

/// Reads a file that should hold a key and a certificate of it.
pub(super) fn read(file: &[u8]) -> Result<Contents, Flaw> {
    if file.trim_ascii().is_empty() {
        return Err(Flaw::Empty);
    }
    let mut key = None;
    let mut certificates = Vec::new();
    for block in pem::parse_many(file).map_err(|e| Flaw::Damaged(e.to_string()))? {
        // RFC 1421 section 4.6.1.1: how OpenSSL marks a key in PKCS#1 or SEC1 that has a passphrase.
        let encrypted = block.headers().get("Proc-Type").is_some_and(|value| value.contains("ENCRYPTED"));
        let found = match block.tag() {
            "CERTIFICATE" => {
                certificates.push(block.into_contents().into());
                continue;
            }
            "ENCRYPTED PRIVATE KEY" => return Err(Flaw::Passphrase),
            _ if encrypted => return Err(Flaw::Passphrase),
            "PRIVATE KEY" => PrivateKeyDer::Pkcs8(block.into_contents().into()),
            "RSA PRIVATE KEY" => PrivateKeyDer::Pkcs1(block.into_contents().into()),
            "EC PRIVATE KEY" => PrivateKeyDer::Sec1(block.into_contents().into()),
            _ => continue, // EC PARAMETERS, DH PARAMETERS and the like
        };
        key.get_or_insert(found);
    }
    Ok(Contents { key: key.ok_or(Flaw::NoKey)?, certificates })
}

/// The first certificate in a file that should hold nothing else.
pub(super) fn first_certificate(file: &[u8]) -> Option<CertificateDer<'static>> {
    pem::parse_many(file)
        .ok()?
        .into_iter()
        .find(|block| block.tag() == "CERTIFICATE")
        .map(|it| it.into_contents().into())
}

/// A certificate as a file.
pub(super) fn certificate(der: &CertificateDer<'_>) -> String {
    encode("CERTIFICATE", der)
}

/// What stands between the first line of such a file and the last.
pub(super) fn base64(bytes: &[u8]) -> String {
    encode("", bytes).lines().filter(|line| !line.starts_with("-----")).collect()
}

/// A private key as a file.
pub(super) fn private_key(pkcs8: &[u8]) -> String {
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

    fn flaw(file: &str) -> Flaw {
        read(file.as_bytes()).err().unwrap()
    }

    #[test]
    fn takes_blocks_in_any_order_and_with_any_line_ends() {
        let both = [format!("{KEY}{CERTIFICATE}"), format!("{CERTIFICATE}{KEY}")];
        for file in both.iter().flat_map(|file| [file.clone(), file.replace('\n', "\r\n"), format!("text\n\n{file}\n")])
        {
            let contents = read(file.as_bytes()).unwrap();
            assert_eq!(contents.key.secret_der(), [1, 2, 3]);
            assert_eq!(contents.certificates, [CertificateDer::from(vec![4, 5, 6])]);
        }
    }

    #[test]
    fn tells_what_is_wrong() {
        assert!(matches!(flaw(""), Flaw::Empty));
        assert!(matches!(flaw(" \r\n\n"), Flaw::Empty));
        assert!(matches!(flaw(CERTIFICATE), Flaw::NoKey));
        assert!(matches!(flaw("not PEM at all"), Flaw::NoKey));
        assert!(matches!(flaw(&KEY.replace("AQID", "A*ID")), Flaw::Damaged(_)));
        assert!(matches!(flaw(&format!("{}{CERTIFICATE}", KEY.split("-----END").next().unwrap())), Flaw::Damaged(_)));
        assert!(matches!(flaw(&KEY.replace("PRIVATE", "ENCRYPTED PRIVATE")), Flaw::Passphrase));
        let headers = "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAQID";
        let marked = KEY.replace("PRIVATE", "RSA PRIVATE").replace("AQID", headers);
        assert!(matches!(flaw(&marked), Flaw::Passphrase));
        assert!(matches!(flaw(&marked.replace('\n', "\r\n")), Flaw::Passphrase));
    }

    #[test]
    fn writes_what_it_reads() {
        let file = certificate(&CertificateDer::from(vec![4, 5, 6])) + &private_key(&[1, 2, 3]);
        assert_eq!(file, format!("{CERTIFICATE}{KEY}"));
        assert_eq!(first_certificate(file.as_bytes()), Some(vec![4, 5, 6].into()));
        assert_eq!(first_certificate(KEY.as_bytes()), None);
        assert_eq!(base64(&[7; 100]).len(), 136, "on one line");
    }
}
