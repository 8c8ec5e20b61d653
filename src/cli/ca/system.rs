//! `spectral ca install` and `uninstall`: the system's own store, by the system's own tools.
//!
//! Every command is shown before it is run. Whoever may not change the store is told what to run, and is asked for nothing.

use super::super::process;
use super::super::text::shell_word;
use super::{Doing, file_to_hand_on, say};
use spectral_capture::CaCertificate;
use std::env;
use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;
use std::process::Command;

pub(super) fn install(ca: &CaCertificate, doing: Doing, out: &mut dyn Write) -> Result<(), String> {
    carry_out(&Store::of_this_system()?.install(&Certificate::of(ca)?), doing, process::is_root(), out)
}

pub(super) fn uninstall(ca: &CaCertificate, doing: Doing, out: &mut dyn Write) -> Result<(), String> {
    let java = Path::new(JAVA_STORE).exists() && has("keytool");
    carry_out(&Store::of_this_system()?.uninstall(&Certificate::of(ca)?, java), doing, process::is_root(), out)
}

fn has(tool: &str) -> bool {
    process::find_program(OsStr::new(tool), env::var_os("PATH").as_deref()).is_ok()
}

/// How a system keeps the roots that all its programs trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Store {
    /// Debian, Ubuntu, Alpine: files in a folder, and a program that puts them together.
    CaCertificates,
    /// Fedora, RHEL, Arch, SUSE: p11-kit.
    TrustAnchors,
    /// macOS.
    Keychain,
}

impl Store {
    /// By the tool that is there, since that is what is run.
    fn of_this_system() -> Result<Self, String> {
        // SUSE has a program of the same name that looks elsewhere. Debian may have `trust`, with nowhere to write to.
        if has("update-ca-certificates") && !Path::new(SUSE_ANCHORS).is_dir() {
            Ok(Self::CaCertificates)
        } else if has("trust") {
            Ok(Self::TrustAnchors)
        } else if has("security") {
            Ok(Self::Keychain)
        } else {
            Err("this system's store is not known here (none of update-ca-certificates, trust and security is there): \
                 use 'spectral ca export' and the system's own way, or 'spectral capture run', which needs no store"
                .into())
        }
    }

    fn install(self, ca: &Certificate) -> Vec<Vec<String>> {
        match self {
            Self::CaCertificates => {
                vec![line(&["install", "-m", "0644", &ca.file, &ca.in_folder()]), line(&["update-ca-certificates"])]
            }
            Self::TrustAnchors => vec![line(&["trust", "anchor", "--store", &ca.file])],
            Self::Keychain => {
                vec![line(&["security", "add-trusted-cert", "-d", "-r", "trustRoot", "-k", KEYCHAIN, &ca.file])]
            }
        }
    }

    fn uninstall(self, ca: &Certificate, java: bool) -> Vec<Vec<String>> {
        match self {
            Self::CaCertificates => {
                let mut lines =
                    vec![line(&["rm", "-f", &ca.in_folder()]), line(&["update-ca-certificates", "--fresh"])];
                if java {
                    // Its hook took the certificate in, and is not told that it is gone.
                    let alias = format!("debian:{}.pem", ca.name());
                    lines.push(line(&[
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
                lines
            }
            Self::TrustAnchors => vec![line(&["trust", "anchor", "--remove", &ca.file])],
            Self::Keychain => vec![
                line(&["security", "remove-trusted-cert", "-d", &ca.file]),
                line(&["security", "delete-certificate", "-Z", &ca.sha1, KEYCHAIN]),
            ],
        }
    }
}

/// What commands need to know of a certificate.
struct Certificate {
    file: String,
    /// In hex.
    sha1: String,
}

impl Certificate {
    fn of(ca: &CaCertificate) -> Result<Self, String> {
        let file = file_to_hand_on(ca)?;
        let file = std::path::absolute(file).map_err(|e| e.to_string())?;
        let file = file.to_str().ok_or("the path of the certificate is not UTF-8")?.to_owned();
        let sha1 = ca.details().map(|about| about.sha1.replace(':', "")).unwrap_or_default();
        Ok(Self { file, sha1 })
    }

    /// One of its own: several CAs may be installed.
    fn name(&self) -> String {
        let short: String = self.sha1.chars().take(8).collect();
        format!("spectral-{}", short.to_lowercase())
    }

    fn in_folder(&self) -> String {
        format!("{CA_FOLDER}/{}.crt", self.name())
    }
}

fn carry_out(commands: &[Vec<String>], doing: Doing, may: bool, out: &mut dyn Write) -> Result<(), String> {
    for words in commands {
        let shown = words.iter().map(|word| shell_word(word)).collect::<Vec<_>>().join(" ");
        let sudo = if may { "" } else { "sudo " };
        say(out, format!("{sudo}{shown}\n").as_bytes())?;
        if doing == Doing::DryRun || !may {
            continue;
        }
        let (program, args) = words.split_first().ok_or("there is nothing to run")?;
        let status = Command::new(program).args(args).status().map_err(|e| format!("cannot run {program}: {e}"))?;
        if !status.success() {
            return Err(format!("{program} failed ({status}): nothing more is done"));
        }
    }
    match doing {
        Doing::ForReal if !may => Err("only root may change the system's store: run the lines above".into()),
        _ => Ok(()),
    }
}

fn line(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Where update-ca-certificates(8) looks for what an administrator adds.
const CA_FOLDER: &str = "/usr/local/share/ca-certificates";
const SUSE_ANCHORS: &str = "/etc/pki/trust/anchors";
/// Where Debian's ca-certificates-java keeps the same roots for Java.
const JAVA_STORE: &str = "/etc/ssl/certs/java/cacerts";
const KEYCHAIN: &str = "/Library/Keychains/System.keychain";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_may_not_is_told_what_to_run() {
        let commands = [line(&["false", "a b"]), line(&["/no/such/program"])];
        let mut out = Vec::new();
        let said = carry_out(&commands, Doing::ForReal, false, &mut out).unwrap_err();
        assert!(said.contains("only root"), "{said}");
        assert_eq!(out, b"sudo false 'a b'\nsudo /no/such/program\n");
        assert_eq!(carry_out(&commands, Doing::DryRun, false, &mut Vec::new()), Ok(()));
    }

    #[test]
    fn what_fails_ends_it() {
        let mut out = Vec::new();
        let said = carry_out(&[line(&["false"]), line(&["echo"])], Doing::ForReal, true, &mut out).unwrap_err();
        assert!(said.starts_with("false failed"), "{said}");
        assert_eq!(out, b"false\n");
    }

    #[test]
    fn each_store_has_its_commands() {
        let ca = Certificate { file: "/home/me/ca.pem".into(), sha1: "00AABBCCDDEE".into() };
        let shown = |lines: Vec<Vec<String>>| lines.iter().map(|words| words.join(" ")).collect::<Vec<_>>();
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
            assert_eq!(shown(store.install(&ca)), install);
            assert_eq!(shown(store.uninstall(&ca, false)), uninstall);
        }
        let with_java = shown(Store::CaCertificates.uninstall(&ca, true));
        assert_eq!(
            with_java.last().map(String::as_str),
            Some(
                "keytool -delete -alias debian:spectral-00aabbcc.pem -storepass changeit -keystore /etc/ssl/certs/java/cacerts"
            )
        );
    }
}
