//! Warnings at the start of a capture.

use super::message::warning_line;
use spectral_capture::{CertificateSource, Config};
use std::env;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Returns a line for each risk of a capture with this configuration, on a proxy that listens on `addr`.
///
/// `others` are texts of further warnings.
pub(crate) fn warnings(config: &Config, addr: SocketAddr, others: &[String]) -> String {
    let mut lines = String::new();
    if !addr.ip().to_canonical().is_loopback() && config.auth.is_none() {
        lines.push_str(&warning_line(&format!("anyone who can reach {addr} can use this proxy")));
    }
    for certificate in &config.client_certificates {
        if let CertificateSource::File(file) = &certificate.source {
            lines.extend(exposed_secret(file).as_deref().map(warning_line));
        }
    }
    if config.insecure {
        lines.push_str(&warning_line("certificates of origins are not verified (-k)"));
    }
    if let Some(file) = &config.key_log {
        let path = file.display();
        lines.push_str(&warning_line(&format!(
            "TLS secrets are written to {path}: anyone who can read this file can decrypt the traffic"
        )));
        lines.extend(exposed_secret(file).map(|text| warning_line(&text)));
    }
    lines.extend(others.iter().map(|text| warning_line(text)));
    lines
}

/// Returns a line for each client certificate of the capture.
pub(crate) fn identities(config: &Config) -> impl Iterator<Item = String> {
    config.client_certificates.iter().filter_map(|certificate| {
        let CertificateSource::File(file) = &certificate.source else { return None };
        let host = certificate.host.as_ref().map_or_else(|| "any host".to_owned(), ToString::to_string);
        Some(format!("  identity {} for {host}: all users of the proxy act with it", file.display()))
    })
}

/// Sets the key log to the file that `SSLKEYLOGFILE` names, unless an option names one.
pub(crate) fn read_key_log_variable(config: &mut Config) {
    let variable = || env::var_os("SSLKEYLOGFILE").filter(|path| !path.is_empty()).map(PathBuf::from);
    config.key_log = config.key_log.take().or_else(variable);
}

/// Returns the text of a warning if other users of this machine can read or change `file`, which has a secret.
pub(crate) fn exposed_secret(file: &Path) -> Option<String> {
    let mode = file.metadata().ok()?.mode();
    let path = file.display();
    (mode & READ_OR_WRITE_BY_OTHERS != 0)
        .then(|| format!("other users can read or change {path}; make it private with chmod 600"))
}

/// Permissions of the group and of all others.
const READ_OR_WRITE_BY_OTHERS: u32 = 0o066;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_risk_is_a_warning_line() {
        let mut config = Config::capture("x.zip");
        assert_eq!(warnings(&config, "127.0.0.1:1".parse().unwrap(), &[]), "");
        assert_eq!(warnings(&config, "[::ffff:127.0.0.1]:1".parse().unwrap(), &[]), "");
        config.insecure = true;
        let all = warnings(&config, "0.0.0.0:8080".parse().unwrap(), &["other".to_owned()]);
        let lines: Vec<_> = all.lines().collect();
        let expected = [
            "spectral: warning: anyone who can reach 0.0.0.0:8080 can use this proxy",
            "spectral: warning: certificates of origins are not verified (-k)",
            "spectral: warning: other",
        ];
        assert_eq!(lines, expected);
        config.auth = spectral_capture::Credentials::parse("me:secret");
        assert!(!warnings(&config, "0.0.0.0:8080".parse().unwrap(), &[]).contains("anyone"));
    }
}
