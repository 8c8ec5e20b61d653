//! `spectral ca`: the certificate, handed on.

use crate::support::cli::{Spectral, ca_in, command, spectral};
use crate::support::peers::{find, peer, run, skipped};
use crate::support::{Origin, TempDir, ca};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

#[test]
fn it_is_made_where_there_is_none_and_shown() {
    let dir = TempDir::new();
    let path = spectral(&dir, &["ca", "path"]).ok().text();
    assert_eq!(Path::new(path.trim_end()), ca_in(dir.path()));
    let shown = spectral(&dir, &["ca", "show"]).ok().text();
    assert!(shown.contains("Spectral Capture CA ") && shown.contains("EC P-256"), "{shown}");
    if let Some(openssl) = peer("openssl") {
        let args = ["x509", "-noout", "-fingerprint", "-sha256", "-in", path.trim_end()];
        let theirs = run(Command::new(&openssl).args(args)).ok().text();
        let print = theirs.trim_end().rsplit_once('=').unwrap().1;
        assert!(shown.contains(print), "{print} in {shown}");
    }
    let other = spectral(&dir, &["ca", "--ca-dir", "other", "path"]).ok().text();
    assert_eq!(other, "other/mitmproxy-ca-cert.pem\n");
}

/// Exports into a file, and gives its path.
#[track_caller]
fn export(dir: &TempDir, format: &str) -> PathBuf {
    let file = format!("ca.{format}");
    spectral(dir, &["ca", "export", "--format", format, "-o", &file]).ok();
    let piped = spectral(dir, &["ca", "export", "--format", format]).ok();
    assert_eq!((std::fs::read(dir.join(&file)).unwrap(), piped.err.as_str()), (piped.out, ""), "{format}");
    dir.join(&file)
}

#[test]
fn others_read_each_format() {
    let dir = TempDir::new();
    let pem = export(&dir, "pem");
    let der = ca::certificates(&ca_in(dir.path()))[0].clone();
    assert_eq!(ca::certificates(&pem), std::slice::from_ref(&der));
    assert_eq!(std::fs::read(export(&dir, "der")).unwrap(), der.as_ref());
    let p12 = export(&dir, "p12");
    if let Some(openssl) = peer("openssl") {
        let args = ["pkcs12", "-passin", "pass:changeit", "-nokeys", "-in", p12.to_str().unwrap()];
        let said = run(Command::new(&openssl).args(args)).ok();
        dir.write("read.pem", said.out);
        assert_eq!(ca::certificates(&dir.join("read.pem")), std::slice::from_ref(&der));
        let args = ["pkcs12", "-passin", "pass:wrong", "-nokeys", "-in", p12.to_str().unwrap()];
        assert_ne!(run(Command::new(&openssl).args(args)).code, Some(0), "its checksum is keyed");
    }
    let keytool = find("java").and_then(|java| Some(std::fs::canonicalize(java).ok()?.with_file_name("keytool")));
    match keytool.filter(|keytool| keytool.exists()) {
        Some(keytool) => {
            let args = ["-J-Duser.language=en", "-list", "-storepass", "changeit", "-keystore", p12.to_str().unwrap()];
            let said = run(Command::new(keytool).args(args)).ok().text();
            assert!(said.contains("contains 1 entry") && said.contains("trustedCertEntry"), "{said}");
        }
        None => skipped("keytool"),
    }
    let profile = export(&dir, "mobileconfig");
    if let Some(python) = peer("python3") {
        let program = "import plistlib, sys; p = plistlib.load(open(sys.argv[1], 'rb')); c, = p['PayloadContent']; \
                       assert c['PayloadType'] == 'com.apple.security.root' and p['PayloadType'] == 'Configuration'; \
                       sys.stdout.buffer.write(c['PayloadContent'])";
        assert_eq!(run(Command::new(python).args(["-c", program]).arg(profile)).ok().out, der.as_ref());
    }
}

#[test]
fn an_export_overwrites_nothing() {
    let dir = TempDir::new();
    spectral(&dir, &["ca", "path"]).ok();
    let key = dir.join(".mitmproxy/mitmproxy-ca.pem");
    let before = std::fs::read(&key).unwrap();
    let said = spectral(&dir, &["ca", "export", "-o", key.to_str().unwrap()]);
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert_eq!(std::fs::read(&key).unwrap(), before);
    for _ in 0..2 {
        spectral(&dir, &["ca", "export", "-o", "same.pem"]).ok();
    }
}

#[test]
fn what_is_binary_does_not_go_to_a_terminal() {
    let Some(python) = peer("python3") else {
        return;
    };
    let on_a_terminal = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
    for (format, code) in [("der", 1), ("p12", 1), ("pem", 0), ("mobileconfig", 0)] {
        let dir = TempDir::new();
        let mut command = Command::new(&python);
        command.args(["-c", on_a_terminal, env!("CARGO_BIN_EXE_spectral"), "ca", "export", "--format", format]);
        let said = run(command.current_dir(dir.path()).env("HOME", dir.path()));
        assert_eq!(said.code, Some(code), "{format}: {}", said.err);
        assert_eq!(said.text().contains("-o"), code == 1, "{}", said.text());
    }
}

/// What a shell says to `script`, in which `$spectral` is ours and `$url` an origin's, with a proxy at `$port`.
fn in_shell(program: &Path, dir: &TempDir, script: &str, vars: &[(&str, &str)]) -> String {
    let mut command = Command::new(program);
    command.args(["-c", script]).current_dir(dir.path()).env("HOME", dir.path()).envs(vars.iter().copied());
    command.env("spectral", env!("CARGO_BIN_EXE_spectral"));
    run(&mut command).ok().text()
}

#[test]
fn a_shell_goes_through_and_comes_back() {
    let Some(curl) = peer("curl") else {
        return;
    };
    let origin = Origin::tls_answering(HELLO);
    let shells = [
        ("sh", "eval \"$($spectral ca env -p $port)\"; $curl -sS $url; eval \"$($spectral ca env --unset)\""),
        (
            "fish",
            "$spectral ca env -p $port --shell fish | source; $curl -sS $url; $spectral ca env --shell fish --unset | source",
        ),
        (
            "pwsh",
            "& $env:spectral ca env -p $env:port --shell powershell | Out-String | Invoke-Expression; & $env:curl -sS $env:url; \
             & $env:spectral ca env --shell powershell --unset | Out-String | Invoke-Expression",
        ),
    ];
    for (shell, script) in shells {
        let Some(program) = (if shell == "sh" { Some("/bin/sh".into()) } else { peer(shell) }) else {
            continue;
        };
        let dir = TempDir::new();
        let running = Spectral::capture(&dir, &[]);
        let (port, url) = (running.addr.port().to_string(), format!("https://{}/", origin.at("localhost")));
        let vars = [
            ("port", port.as_str()),
            ("url", &url),
            ("curl", curl.to_str().unwrap()),
            ("NO_PROXY", "it's mine, \\ and $this"),
            ("SSL_CERT_FILE", "/a b.pem"),
        ];
        let out = in_shell(&program, &dir, &format!("env; {script}; echo; echo ====; env"), &vars);
        let (before, after) = out.split_once("====").unwrap();
        let (before, said) = before.trim_end().rsplit_once('\n').unwrap();
        assert!(said.ends_with("hello"), "{shell}: {said}");
        let sorted = |text: &str| {
            // What shells themselves change.
            let own = |line: &&str| !["_=", "PWD=", "SHLVL=", "OLDPWD="].iter().any(|name| line.starts_with(name));
            let mut lines: Vec<_> =
                text.lines().filter(|line| !line.is_empty()).filter(own).map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(before), sorted(after), "{shell}");
        assert_eq!(running.interrupt().code, Some(0));
        assert_eq!(crate::support::bundle::Bundle::open(&dir.join("capture.zip")).urls(), [&url], "{shell}");
    }
}

#[test]
fn lines_for_a_shell_are_whole_though_it_has_them_already() {
    let dir = TempDir::new();
    let once = "$spectral ca env -p 1";
    let again = "eval \"$($spectral ca env -p 2)\"; $spectral ca env -p 1";
    let sh = Path::new("/bin/sh");
    assert_eq!(in_shell(sh, &dir, once, &[]), in_shell(sh, &dir, again, &[]));
    let said = in_shell(sh, &dir, "$spectral ca env --unset; eval \"$($spectral ca env --unset)\"", &[]);
    assert!(said.starts_with("# nothing to undo") && said.lines().count() == 1, "{said}");
    // The file is there for as long as the CA is.
    assert!(std::fs::read_to_string(dir.join(".mitmproxy/spectral-roots.pem")).unwrap().contains("BEGIN CERTIFICATE"));
}

/// A folder with programs that write down how they are called.
fn recording(dir: &TempDir, tools: &[&str]) -> PathBuf {
    let bin = dir.join("bin");
    std::fs::create_dir(&bin).unwrap();
    for tool in tools {
        let script = format!("#!/bin/sh\necho \"{tool}${{*:+ $*}}\" >> {}\n", dir.join("calls").display());
        std::fs::write(bin.join(tool), script).unwrap();
        std::fs::set_permissions(bin.join(tool), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    bin
}

#[test]
fn the_systems_store_is_changed_by_its_own_tools_and_each_is_shown_first() {
    let is_root = nix::unistd::geteuid().is_root();
    let systems: [(&[&str], &str, &str); 3] = [
        (
            &["update-ca-certificates", "install", "rm", "trust"],
            "install -m 0644 CA /usr/local/share/",
            "rm -f /usr/local/share/",
        ),
        (&["trust"], "trust anchor --store CA", "trust anchor --remove CA"),
        (&["security"], "security add-trusted-cert -d -r trustRoot -k ", "security remove-trusted-cert -d CA"),
    ];
    for (tools, install, uninstall) in systems {
        let dir = TempDir::new();
        let bin = recording(&dir, tools);
        let ca = ca_in(dir.path());
        for (verb, expected) in [("install", install), ("uninstall", uninstall)] {
            let expected = expected.replace("CA", ca.to_str().unwrap());
            for dry in [true, false] {
                std::fs::remove_file(dir.join("calls")).ok();
                let mut command = command(&dir, &["ca", verb]);
                command.args(dry.then_some("--dry-run")).env("PATH", &bin);
                let said = run(&mut command);
                let shown = said.text().replace("sudo ", "");
                assert!(shown.starts_with(&expected), "{expected}\n{shown}{}", said.err);
                assert_eq!(said.code, Some(if dry || is_root { 0 } else { 1 }), "{}", said.err);
                let calls = std::fs::read_to_string(dir.join("calls")).unwrap_or_default();
                assert_eq!(calls, if dry || !is_root { String::new() } else { shown }, "shown is what is done");
            }
        }
    }
}

#[test]
fn a_system_that_is_not_known_is_told_what_else_there_is() {
    let dir = TempDir::new();
    let said = run(command(&dir, &["ca", "install"]).env("PATH", recording(&dir, &[])));
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("ca export") && said.err.contains("capture run"), "{}", said.err);
    let said = spectral(&dir, &["ca", "--ca-dir", "none", "uninstall"]);
    assert!(said.code == Some(1) && !dir.join("none").exists(), "it makes none to uninstall: {}", said.err);
}

#[test]
fn a_key_is_never_handed_on_with_its_certificate() {
    let dir = TempDir::new();
    spectral(&dir, &["ca", "path"]).ok();
    let folder = dir.join(".mitmproxy");
    // As in a folder that others made and that cannot be written to: only the file with both is there, or is right.
    let other = TempDir::new();
    spectral(&other, &["ca", "path"]).ok();
    std::fs::copy(ca_in(other.path()), folder.join("mitmproxy-ca-cert.pem")).unwrap();
    let both = folder.join("mitmproxy-ca.pem");
    assert_eq!(spectral(&dir, &["ca", "path"]).ok().text().trim_end(), both.to_str().unwrap());
    let said = run(command(&dir, &["ca", "install", "--dry-run"]).env("PATH", recording(&dir, &["trust"])));
    assert_eq!((said.code, said.text().as_str()), (Some(1), ""), "{}", said.err);
    assert!(!spectral(&dir, &["ca", "help", "wsl"]).ok().text().contains(both.to_str().unwrap()));
    for format in ["pem", "der", "p12", "mobileconfig"] {
        let said = spectral(&dir, &["ca", "export", "--format", format]).ok();
        assert!(!said.text().contains("PRIVATE"), "{format}");
    }
}

#[test]
fn there_are_steps_for_every_platform() {
    let dir = TempDir::new();
    for platform in ["firefox", "chrome", "ios", "android", "java", "wsl"] {
        let said = spectral(&dir, &["ca", "help", platform, "-p", "4711"]).ok().text();
        for word in [" 1. ", " 2. ", " 3. ", "Afterwards"] {
            assert!(said.contains(word), "{word} in {said}");
        }
        assert!(said.contains("4711"), "{said}");
        assert!(!said.contains('`') && !said.contains('{'), "{said}");
    }
    let said = spectral(&dir, &["ca", "help", "Chrome"]).ok().text();
    let file = dir.join(".mitmproxy/mitmproxy-ca-cert.pem");
    let to_copy = format!("\n        certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n spectral -i {}\n", file.display());
    assert!(said.contains(&to_copy), "a command is whole, and alone on its line: {said}");
    let said = spectral(&dir, &["ca", "help", "amiga"]);
    assert!(said.code == Some(2) && said.err.contains("android"), "{}", said.err);
}

#[test]
fn an_output_that_nobody_reads_is_nothing_to_complain_about() {
    let dir = TempDir::new();
    let mut child = command(&dir, &["ca", "show"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let said = crate::support::peers::finish(child);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
}
