//! `spectral ca install` and `uninstall`: the system's trust store, changed with the system's own tools.
//!
//! Each command is shown before it runs. Without root privileges the commands are only shown; no password is requested.

use super::files::certificate_file;
use super::request::Execution;
use crate::cli::output::print;
use crate::cli::process;
use crate::cli::text::shell_word;
use spectral_capture::CaCertificate;
use std::env;
use std::ffi::OsStr;
use std::io::Write;
use std::path::{self, Path};
use std::process::Command;

/// Adds the certificate to the store.
pub(super) fn install(ca: &CaCertificate, execution: Execution, out: &mut dyn Write) -> Result<(), String> {
    let commands = Store::of_this_system()?.install_commands(&Certificate::of(ca)?);
    run_all(&commands, execution, process::is_root(), out)
}

/// Removes the certificate from the store.
pub(super) fn uninstall(ca: &CaCertificate, execution: Execution, out: &mut dyn Write) -> Result<(), String> {
    let with_java = Path::new(JAVA_STORE).exists() && has_tool("keytool");
    let commands = Store::of_this_system()?.uninstall_commands(&Certificate::of(ca)?, with_java);
    run_all(&commands, execution, process::is_root(), out)
}

fn has_tool(tool: &str) -> bool {
    process::find_program(OsStr::new(tool), env::var_os("PATH").as_deref()).is_ok()
}

/// The kind of trust store that a system has for all its programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Store {
    /// Debian, Ubuntu, Alpine: a directory of certificates, and a program that combines them.
    CaCertificates,
    /// Fedora, RHEL, Arch, SUSE: p11-kit.
    TrustAnchors,
    /// macOS.
    Keychain,
}

impl Store {
    /// Detects the store by its tool, since that tool is run.
    fn of_this_system() -> Result<Self, String> {
        // SUSE's update-ca-certificates reads another directory. Debian may have `trust` without a writable store.
        if has_tool("update-ca-certificates") && !Path::new(SUSE_ANCHORS).is_dir() {
            Ok(Self::CaCertificates)
        } else if has_tool("trust") {
            Ok(Self::TrustAnchors)
        } else if has_tool("security") {
            Ok(Self::Keychain)
        } else {
            Err("cannot find the system's trust store: none of update-ca-certificates, trust and security is \
                 installed; export the certificate with 'spectral ca export' and add it yourself, or use 'spectral \
                 capture run', which needs no trust store"
                .into())
        }
    }

    fn install_commands(self, ca: &Certificate) -> Vec<Vec<String>> {
        match self {
            Self::CaCertificates => {
                vec![
                    words(&["install", "-m", "0644", &ca.file, &ca.path_in_store()]),
                    words(&["update-ca-certificates"]),
                ]
            }
            Self::TrustAnchors => vec![words(&["trust", "anchor", "--store", &ca.file])],
            Self::Keychain => {
                vec![words(&["security", "add-trusted-cert", "-d", "-r", "trustRoot", "-k", KEYCHAIN, &ca.file])]
            }
        }
    }

    fn uninstall_commands(self, ca: &Certificate, with_java: bool) -> Vec<Vec<String>> {
        match self {
            Self::CaCertificates => {
                let mut commands =
                    vec![words(&["rm", "-f", &ca.path_in_store()]), words(&["update-ca-certificates", "--fresh"])];
                if with_java {
                    // The hook of ca-certificates-java added the certificate and does not remove it.
                    let alias = format!("debian:{}.pem", ca.name());
                    commands.push(words(&[
                        "keytool",
                        "-delete",
                        "-alias",
                        &alias,
                        "-storepass",
                        "changeit",
                        "-keystore",
                        JAVA_STORE,
                    ]));
                }
                commands
            }
            Self::TrustAnchors => vec![words(&["trust", "anchor", "--remove", &ca.file])],
            Self::Keychain => vec![
                words(&["security", "remove-trusted-cert", "-d", &ca.file]),
                words(&["security", "delete-certificate", "-Z", &ca.sha1, KEYCHAIN]),
            ],
        }
    }
}

/// The certificate, as the commands name it.
struct Certificate {
    file: String,
    /// The SHA-1 fingerprint in hex.
    sha1: String,
}

impl Certificate {
    fn of(ca: &CaCertificate) -> Result<Self, String> {
        let file = path::absolute(certificate_file(ca)?).map_err(|e| e.to_string())?;
        let file =
            file.to_str().ok_or_else(|| format!("cannot use the path {}: not UTF-8", file.display()))?.to_owned();
        let sha1 = ca.details().map(|details| details.sha1.replace(':', "")).unwrap_or_default();
        Ok(Self { file, sha1 })
    }

    /// Returns a name in the store that is unique to this CA: several may be installed.
    fn name(&self) -> String {
        let short: String = self.sha1.chars().take(8).collect();
        format!("spectral-{}", short.to_lowercase())
    }

    /// Returns the path in the directory that update-ca-certificates(8) reads.
    fn path_in_store(&self) -> String {
        format!("{CA_DIR}/{}.crt", self.name())
    }
}

/// Shows each command and runs it, unless this is a dry run or root privileges are missing.
fn run_all(commands: &[Vec<String>], execution: Execution, is_root: bool, out: &mut dyn Write) -> Result<(), String> {
    for command in commands {
        let shown = command.iter().map(|word| shell_word(word)).collect::<Vec<_>>().join(" ");
        let sudo = if is_root { "" } else { "sudo " };
        print(format!("{sudo}{shown}\n"), out)?;
        if execution == Execution::DryRun || !is_root {
            continue;
        }
        let Some((program, args)) = command.split_first() else { continue };
        let status = Command::new(program).args(args).status().map_err(|e| format!("cannot run {program}: {e}"))?;
        if !status.success() {
            return Err(format!("{program} failed: {status}; the remaining commands were not run"));
        }
    }
    match execution {
        Execution::Real if !is_root => {
            Err("cannot change the system's trust store: root privileges required; run the commands above".into())
        }
        _ => Ok(()),
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// The directory in which update-ca-certificates(8) looks for local certificates.
const CA_DIR: &str = "/usr/local/share/ca-certificates";
const SUSE_ANCHORS: &str = "/etc/pki/trust/anchors";
/// The trust store of Debian's ca-certificates-java.
const JAVA_STORE: &str = "/etc/ssl/certs/java/cacerts";
const KEYCHAIN: &str = "/Library/Keychains/System.keychain";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_root_privileges_commands_are_only_shown() {
        let commands = [words(&["false", "a b"]), words(&["/no/such/program"])];
        let mut out = Vec::new();
        let error = run_all(&commands, Execution::Real, false, &mut out).unwrap_err();
        assert!(error.contains("root privileges required"), "{error}");
        assert_eq!(out, b"sudo false 'a b'\nsudo /no/such/program\n");
        assert_eq!(run_all(&commands, Execution::DryRun, false, &mut Vec::new()), Ok(()));
    }

    #[test]
    fn stops_at_a_command_that_fails() {
        let mut out = Vec::new();
        let error = run_all(&[words(&["false"]), words(&["echo"])], Execution::Real, true, &mut out).unwrap_err();
        assert!(error.starts_with("false failed: "), "{error}");
        assert_eq!(out, b"false\n");
    }

    #[test]
    fn each_kind_of_store_has_its_commands() {
        let ca = Certificate { file: "/home/me/ca.pem".into(), sha1: "00AABBCCDDEE".into() };
        let shown = |commands: Vec<Vec<String>>| commands.iter().map(|words| words.join(" ")).collect::<Vec<_>>();
        for (store, install, uninstall) in [
            (
                Store::CaCertificates,
                &[
                    "install -m 0644 /home/me/ca.pem /usr/local/share/ca-certificates/spectral-00aabbcc.crt",
                    "update-ca-certificates",
                ][..],
                &["rm -f /usr/local/share/ca-certificates/spectral-00aabbcc.crt", "update-ca-certificates --fresh"][..],
            ),
            (
                Store::TrustAnchors,
                &["trust anchor --store /home/me/ca.pem"],
                &["trust anchor --remove /home/me/ca.pem"],
            ),
            (
                Store::Keychain,
                &["security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain /home/me/ca.pem"],
                &[
                    "security remove-trusted-cert -d /home/me/ca.pem",
                    "security delete-certificate -Z 00AABBCCDDEE /Library/Keychains/System.keychain",
                ],
            ),
        ] {
            assert_eq!(shown(store.install_commands(&ca)), install);
            assert_eq!(shown(store.uninstall_commands(&ca, false)), uninstall);
        }
        let with_java = shown(Store::CaCertificates.uninstall_commands(&ca, true));
        assert_eq!(
            with_java.last().map(String::as_str),
            Some(
                "keytool -delete -alias debian:spectral-00aabbcc.pem -storepass changeit -keystore /etc/ssl/certs/java/cacerts"
            )
        );
    }
}
