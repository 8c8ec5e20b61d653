//! The configuration profile that installs the CA on Apple devices.

use super::markup::escape_markup;
use crate::cert::CaCertificate;
use crate::text::Base64;
use ring::digest;

impl CaCertificate {
    /// Returns an unsigned configuration profile for iOS, iPadOS and macOS.
    ///
    /// The same certificate always gives the same profile, so installing it again replaces the first.
    pub fn mobileconfig(&self) -> String {
        MOBILECONFIG
            .replace("{name}", &escape_markup(self.name()))
            .replace("{payload}", &uuid(self, b"payload"))
            .replace("{profile}", &uuid(self, b"profile"))
            .replace("{base64}", &Base64(self.der()).to_string())
    }
}

/// Returns a UUID of version 8 (RFC 9562 section 5.8), derived from the certificate and `purpose`.
fn uuid(certificate: &CaCertificate, purpose: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, &[purpose, certificate.der()].concat());
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    let part = |from: usize, len: usize| hex.chars().skip(from).take(len).collect::<String>();
    format!("{}-{}-8{}-8{}-{}", part(0, 8), part(8, 4), part(12, 3), part(15, 3), part(18, 12))
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
    use super::*;

    #[test]
    fn a_profile_is_reproducible_and_its_ids_differ() {
        let certificate = CaCertificate::for_tests();
        let profile = certificate.mobileconfig();
        assert_eq!(profile, certificate.mobileconfig());
        assert!(!profile.contains('{'), "a placeholder is left: {profile}");
        assert_ne!(uuid(&certificate, b"payload"), uuid(&certificate, b"profile"));
        assert_eq!(uuid(&certificate, b"x").split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
    }
}
