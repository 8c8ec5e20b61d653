//! Our certificate, as each platform takes it. Never the key.

use super::{Ca, pem, store};
use crate::clock::Moment;
use crate::error::Error;
use crate::trust::p12;
use ring::digest;
use rustls::pki_types::CertificateDer;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use x509_parser::certificate::X509Certificate;

/// The certificate that apps have to trust, without its key.
#[derive(Clone, Debug)]
pub struct CaCertificate {
    der: CertificateDer<'static>,
    pem: String,
    name: String,
    path: PathBuf,
}

/// What a certificate says, for people.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CertificateDetails {
    /// Whose it is.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// From when it is good.
    pub from: SystemTime,
    /// Until when it is good.
    pub until: SystemTime,
    /// The kind of its key, such as `EC P-256`.
    pub key: String,
    /// SHA-256 of its DER, in hex with colons.
    pub sha256: String,
    /// SHA-1 of its DER, by which keychains still name it.
    pub sha1: String,
    /// SHA-256 of its key in base64, for Chromium's `--ignore-certificate-errors-spki-list`.
    pub spki: String,
}

impl CaCertificate {
    /// The CA in `dir` (`.mitmproxy` in the home folder if that is `None`), which is made if there is none.
    ///
    /// # Errors
    /// Says what is wrong with the one that is there, or why none can be made.
    pub fn open(dir: Option<&Path>) -> Result<Self, Error> {
        let dir = Self::folder(dir)?;
        Ok(Ca::open(&dir, Moment::now().wall())?.certificate())
    }

    /// The folder that [`CaCertificate::open`] looks in.
    ///
    /// # Errors
    /// If none is given and there is no home folder.
    pub fn folder(dir: Option<&Path>) -> Result<PathBuf, Error> {
        dir.map_or_else(store::default_dir, |dir| Ok(dir.to_owned()))
    }

    /// Whether there is a CA in `dir` already.
    ///
    /// # Errors
    /// If no folder is given and there is no home folder.
    pub fn exists(dir: Option<&Path>) -> Result<bool, Error> {
        Ok(store::has_ca(&Self::folder(dir)?))
    }

    pub(super) fn new(der: CertificateDer<'static>, path: PathBuf) -> Self {
        let pem = pem::certificate(&der);
        let name = match parse(&der) {
            Some(parsed) => common_name(&parsed).unwrap_or_else(|| parsed.subject().to_string()),
            None => String::new(),
        };
        Self { der, pem, name, path }
    }

    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        super::testing::new_ca(super::testing::now()).certificate()
    }

    /// Its file: one of its own, or else the one with the key too.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// For people.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// For programs.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// What it is called: its common name, or else its whole one.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A store that Java and Windows read, with [`super::P12_PASSWORD`].
    pub fn p12(&self) -> Vec<u8> {
        p12::store([(&self.der, Some(self.name.as_str()))].into_iter())
    }

    /// A configuration profile for iOS, iPadOS and macOS, not signed. The same certificate is the same profile, so that a second
    /// installation replaces the first.
    pub fn mobileconfig(&self) -> String {
        let base64 = pem::base64(&self.der);
        let (payload, profile) = (self.uuid(b"payload"), self.uuid(b"profile"));
        let name = escape_xml(&self.name);
        MOBILECONFIG
            .replace("{name}", &name)
            .replace("{payload}", &payload)
            .replace("{profile}", &profile)
            .replace("{base64}", &base64)
    }

    /// What it says; `None` if it cannot be read, which [`CaCertificate::open`] would have found.
    pub fn details(&self) -> Option<CertificateDetails> {
        let parsed = parse(&self.der)?;
        let time = |seconds: i64| UNIX_EPOCH + Duration::from_secs(seconds.try_into().unwrap_or(0));
        let key = parsed.public_key();
        let bits = key.parsed().map_or(0, |key| key.key_size());
        let kind = match key.algorithm.algorithm.to_id_string().as_str() {
            "1.2.840.113549.1.1.1" => format!("RSA {bits}"),
            "1.2.840.10045.2.1" => format!("EC P-{bits}"),
            "1.3.101.112" => "Ed25519".to_owned(),
            other => other.to_owned(),
        };
        Some(CertificateDetails {
            subject: parsed.subject().to_string(),
            issuer: parsed.issuer().to_string(),
            from: time(parsed.validity().not_before.timestamp()),
            until: time(parsed.validity().not_after.timestamp()),
            key: kind,
            sha256: self.fingerprint(&digest::SHA256),
            sha1: self.fingerprint(&digest::SHA1_FOR_LEGACY_USE_ONLY),
            spki: pem::base64(digest::digest(&digest::SHA256, key.raw).as_ref()),
        })
    }

    fn fingerprint(&self, algorithm: &'static digest::Algorithm) -> String {
        let digest = digest::digest(algorithm, &self.der);
        digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
    }

    /// RFC 9562 section 5.8: of a form of our own, made from the certificate.
    fn uuid(&self, purpose: &[u8]) -> String {
        let digest = digest::digest(&digest::SHA256, &[purpose, &self.der].concat());
        let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
        let part = |from: usize, len: usize| hex.chars().skip(from).take(len).collect::<String>();
        format!("{}-{}-8{}-8{}-{}", part(0, 8), part(8, 4), part(12, 3), part(15, 3), part(18, 12))
    }
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    Some(x509_parser::parse_x509_certificate(der).ok()?.1)
}

fn common_name(certificate: &X509Certificate<'_>) -> Option<String> {
    certificate.subject().iter_common_name().find_map(|name| Some(name.as_str().ok()?.to_owned()))
}

fn escape_xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Apple's "Configuration Profile Reference": one payload, a root certificate.
const MOBILECONFIG: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>PayloadContent</key>
  <array>
    <dict>
      <key>PayloadType</key><string>com.apple.security.root</string>
      <key>PayloadVersion</key><integer>1</integer>
      <key>PayloadIdentifier</key><string>spectral.ca.{payload}</string>
      <key>PayloadUUID</key><string>{payload}</string>
      <key>PayloadDisplayName</key><string>{name}</string>
      <key>PayloadCertificateFileName</key><string>mitmproxy-ca-cert.cer</string>
      <key>PayloadContent</key><data>{base64}</data>
    </dict>
  </array>
  <key>PayloadType</key><string>Configuration</string>
  <key>PayloadVersion</key><integer>1</integer>
  <key>PayloadIdentifier</key><string>spectral.ca.{profile}</string>
  <key>PayloadUUID</key><string>{profile}</string>
  <key>PayloadDisplayName</key><string>{name}</string>
  <key>PayloadDescription</key><string>Lets the owner of this CA read the traffic of this device that is sent through their proxy. Remove it when you are done.</string>
  <key>PayloadRemovalDisallowed</key><false/>
</dict>
</plist>
"#;

#[cfg(test)]
mod tests {
    use super::super::testing::{ca_of, new_ca, now};

    #[test]
    fn it_tells_what_people_compare() {
        for (file, subject, key) in [
            ("rsa-pkcs1.pem", "CN=", "RSA 2048"),
            ("p384-pkcs8.pem", "CN=", "EC P-384"),
            ("ed25519.pem", "CN=", "Ed25519"),
        ] {
            let about = ca_of(file).certificate().details().unwrap();
            assert!(about.subject.contains(subject), "{about:?}");
            assert_eq!(about.key, key);
            assert_eq!((about.sha256.len(), about.sha1.len()), (32 * 3 - 1, 20 * 3 - 1));
            assert!(about.from < about.until);
        }
        let made = new_ca(now()).certificate();
        assert!(made.name().starts_with("Spectral Capture CA "), "{}", made.name());
        assert_eq!(made.details().unwrap().key, "EC P-256");
    }

    #[test]
    fn a_profile_is_the_same_each_time_and_its_ids_differ() {
        let certificate = new_ca(now()).certificate();
        let profile = certificate.mobileconfig();
        assert_eq!(profile, certificate.mobileconfig());
        assert!(!profile.contains('{'), "every blank is filled in: {profile}");
        assert_ne!(certificate.uuid(b"payload"), certificate.uuid(b"profile"));
        assert_eq!(certificate.uuid(b"x").split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
    }

    #[test]
    fn nothing_of_it_holds_the_key() {
        let certificate = ca_of("rsa-pkcs1.pem").certificate();
        assert_eq!(certificate.pem().matches("BEGIN").count(), 1);
        // A P12 with a key in it has at least one of these bags: keyBag, pkcs8ShroudedKeyBag.
        for last in [1_u8, 2] {
            let bag = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01, last];
            assert!(!certificate.p12().windows(bag.len()).any(|part| part == bag));
        }
    }
}
