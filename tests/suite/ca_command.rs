//! `spectral ca`: exports the certificate and helps others to trust it.

use crate::support::cli::{Spectral, ca_in, command, spectral};
use crate::support::peers::{find, peer, report_skipped, run};
use crate::support::{Origin, TempDir, ca};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

#[test]
fn export_creates_a_missing_ca_and_show_prints_it() {
    let dir = TempDir::new();
    spectral(&dir, &["ca", "export"]).ok();
    let path = spectral(&dir, &["ca", "path"]).ok().text();
    assert_eq!(Path::new(path.trim_end()), ca_in(dir.path()));
    let shown = spectral(&dir, &["ca", "show"]).ok().text();
    assert!(shown.contains("Spectral Capture CA ") && shown.contains("EC P-256"), "{shown}");
    if let Some(openssl) = peer("openssl") {
        let args = ["x509", "-noout", "-fingerprint", "-sha256", "-in", path.trim_end()];
        let output = run(Command::new(&openssl).args(args)).ok().text();
        let fingerprint = output.trim_end().rsplit_once('=').unwrap().1;
        assert!(shown.contains(fingerprint), "{fingerprint} in {shown}");
    }
    std::fs::create_dir(dir.join("other")).unwrap();
    spectral(&dir, &["ca", "--ca-dir", "other", "export"]).ok();
    let other = spectral(&dir, &["ca", "--ca-dir", "other", "path"]).ok().text();
    assert_eq!(other, "other/mitmproxy-ca-cert.pem\n");
}

#[test]
fn commands_that_show_or_remove_create_no_ca() {
    let dir = TempDir::new();
    std::fs::create_dir(dir.join("empty")).unwrap();
    let home = dir.join(".mitmproxy");
    let default = format!(
        "spectral: error: no CA in {}: create one with 'spectral ca export' or by starting a capture\n",
        home.display()
    );
    let mistyped = "spectral: error: no CA in mistyped: no such directory; check --ca-dir, or start a capture with it to \
                    create the CA\n";
    let empty = "spectral: error: no CA in empty: create one with 'spectral ca export --ca-dir empty' or by starting a \
                 capture\n";
    for (ca_dir, expected) in
        [(&[][..], default.as_str()), (&["--ca-dir", "mistyped"], mistyped), (&["--ca-dir", "empty"], empty)]
    {
        let problem = expected.strip_prefix("spectral: error: ").unwrap().split(':').next().unwrap();
        let to_remove = format!(
            "spectral: error: {problem}, so the certificate to remove is unknown; choose the CA's directory with --ca-dir\n"
        );
        for (command, expected) in [
            (&["path"][..], expected),
            (&["show"], expected),
            (&["uninstall"], &to_remove),
            (&["uninstall", "--dry-run"], &to_remove),
        ] {
            let output = spectral(&dir, &[&["ca"], command, ca_dir].concat());
            assert_eq!(
                (output.code, output.text().as_str(), output.err.as_str()),
                (Some(1), "", expected),
                "{command:?}"
            );
        }
        // The steps are printed nevertheless.
        let output = spectral(&dir, &[&["ca", "help", "firefox"], ca_dir].concat()).ok();
        assert_eq!(output.err, expected.replace("error", "warning"));
        assert!(output.text().contains(" 1. "), "{}", output.text());
    }
    assert_eq!(dir.names(), ["empty"]);
    assert_eq!(std::fs::read_dir(dir.join("empty")).unwrap().count(), 0);
}

#[test]
fn a_ca_that_captures_reject_is_shown_and_can_be_removed() {
    let dir = TempDir::new();
    std::fs::create_dir(dir.join("ca")).unwrap();
    dir.write_private("ca/mitmproxy-ca.pem", include_str!("../data/ca/name-constraints.pem"));
    let shown = spectral(&dir, &["ca", "--ca-dir", "ca", "show"]).ok().text();
    assert!(shown.contains("CN=mitmproxy"), "{shown}");
    for command in [&["path"][..], &["export"], &["env"], &["install", "--dry-run"]] {
        let output = spectral(&dir, &[&["ca", "--ca-dir", "ca"], command].concat());
        assert_eq!((output.code, output.text().as_str()), (Some(1), ""), "{command:?}");
        assert!(output.err.contains("the certificate has name constraints"), "{}", output.err);
    }
    // Where this system has a known trust store; the error is another one elsewhere.
    let removed = spectral(&dir, &["ca", "--ca-dir", "ca", "uninstall", "--dry-run"]);
    assert!(!removed.err.contains("cannot use the CA"), "{}", removed.err);
}

#[test]
fn commands_that_use_the_certificate_do_not_create_a_mistyped_folder() {
    let dir = TempDir::new();
    dir.write("file", "");
    for command in [&["export"][..], &["env"], &["install"], &["install", "--dry-run"]] {
        let output = spectral(&dir, &[&["ca", "--ca-dir", "mistyped"], command].concat());
        assert_eq!((output.code, output.text().as_str()), (Some(1), ""), "{command:?}");
        assert!(output.err.starts_with("spectral: error: no CA in mistyped: no such directory; "), "{}", output.err);
        let output = spectral(&dir, &[&["ca", "--ca-dir", "file"], command].concat());
        assert_eq!(output.err, "spectral: error: no CA in file: not a directory\n");
    }
    assert_eq!(dir.names(), ["file"]);
}

/// Exports the certificate into a file and returns its path.
#[track_caller]
fn export(dir: &TempDir, format: &str) -> PathBuf {
    let file = format!("ca.{format}");
    spectral(dir, &["ca", "export", "--format", format, "-o", &file]).ok();
    let piped = spectral(dir, &["ca", "export", "--format", format]).ok();
    assert_eq!((std::fs::read(dir.join(&file)).unwrap(), piped.err.as_str()), (piped.out, ""), "{format}");
    dir.join(&file)
}

#[test]
fn other_programs_read_each_format() {
    let dir = TempDir::new();
    let pem = export(&dir, "pem");
    let der = ca::certificates(&ca_in(dir.path()))[0].clone();
    assert_eq!(ca::certificates(&pem), std::slice::from_ref(&der));
    assert_eq!(std::fs::read(export(&dir, "der")).unwrap(), der.as_ref());
    let p12 = export(&dir, "p12");
    if let Some(openssl) = peer("openssl") {
        let args = ["pkcs12", "-passin", "pass:changeit", "-nokeys", "-in", p12.to_str().unwrap()];
        let output = run(Command::new(&openssl).args(args)).ok();
        dir.write("read.pem", output.out);
        assert_eq!(ca::certificates(&dir.join("read.pem")), std::slice::from_ref(&der));
        let args = ["pkcs12", "-passin", "pass:wrong", "-nokeys", "-in", p12.to_str().unwrap()];
        assert_ne!(run(Command::new(&openssl).args(args)).code, Some(0), "its checksum depends on the password");
    }
    let keytool = find("java").and_then(|java| Some(std::fs::canonicalize(java).ok()?.with_file_name("keytool")));
    match keytool.filter(|keytool| keytool.exists()) {
        Some(keytool) => {
            let args = ["-J-Duser.language=en", "-list", "-storepass", "changeit", "-keystore", p12.to_str().unwrap()];
            let output = run(Command::new(keytool).args(args)).ok().text();
            assert!(output.contains("contains 1 entry") && output.contains("trustedCertEntry"), "{output}");
        }
        None => report_skipped("keytool"),
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
    spectral(&dir, &["ca", "export"]).ok();
    let key = dir.join(".mitmproxy/mitmproxy-ca.pem");
    let before = std::fs::read(&key).unwrap();
    let output = spectral(&dir, &["ca", "export", "-o", key.to_str().unwrap()]);
    assert_eq!(output.code, Some(1), "{}", output.err);
    assert_eq!(std::fs::read(&key).unwrap(), before);
    for _ in 0..2 {
        spectral(&dir, &["ca", "export", "-o", "same.pem"]).ok();
    }
}

#[test]
fn binary_formats_are_not_written_to_a_terminal() {
    let Some(python) = peer("python3") else {
        return;
    };
    let on_a_terminal = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
    for (format, code) in [("der", 1), ("p12", 1), ("pem", 0), ("mobileconfig", 0)] {
        let dir = TempDir::new();
        let mut command = Command::new(&python);
        command.args(["-c", on_a_terminal, env!("CARGO_BIN_EXE_spectral"), "ca", "export", "--format", format]);
        let output = run(command.current_dir(dir.path()).env("HOME", dir.path()));
        assert_eq!(output.code, Some(code), "{format}: {}", output.err);
        assert_eq!(output.text().contains("-o"), code == 1, "{}", output.text());
    }
}

/// Runs `script` in a shell and returns its output. `$spectral` is our program; `vars` are more variables.
fn in_shell(program: &Path, dir: &TempDir, script: &str, vars: &[(&str, &str)]) -> String {
    let mut command = Command::new(program);
    command.args(["-c", script]).current_dir(dir.path()).env("HOME", dir.path()).envs(vars.iter().copied());
    command.env("spectral", env!("CARGO_BIN_EXE_spectral"));
    run(&mut command).ok().text()
}

#[test]
fn a_shell_uses_the_proxy_and_can_undo_it() {
    let Some(curl) = peer("curl") else {
        return;
    };
    let origin = Origin::tls_responding(HELLO);
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
        let (port, url) = (running.addr.port().to_string(), format!("https://{}/", origin.authority("localhost")));
        let vars = [
            ("port", port.as_str()),
            ("url", &url),
            ("curl", curl.to_str().unwrap()),
            ("NO_PROXY", "it's mine, \\ and $this"),
            ("SSL_CERT_FILE", "/a b.pem"),
        ];
        let out = in_shell(&program, &dir, &format!("env; {script}; echo; echo ====; env"), &vars);
        let (before, after) = out.split_once("====").unwrap();
        let (before, output) = before.trim_end().rsplit_once('\n').unwrap();
        assert!(output.ends_with("hello"), "{shell}: {output}");
        let sorted = |text: &str| {
            // Variables that shells change themselves.
            let is_kept = |line: &&str| !["_=", "PWD=", "SHLVL=", "OLDPWD="].iter().any(|name| line.starts_with(name));
            let mut lines: Vec<_> =
                text.lines().filter(|line| !line.is_empty()).filter(is_kept).map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(before), sorted(after), "{shell}");
        assert_eq!(running.interrupt().code, Some(0));
        assert_eq!(crate::support::bundle::Bundle::open(&dir.join("capture.zip")).urls(), [&url], "{shell}");
    }
}

#[test]
fn an_environment_file_is_enough_for_a_program_with_other_files_and_user() {
    let Some(curl) = peer("curl") else {
        return;
    };
    let origin = Origin::tls_responding(HELLO);
    let dir = TempDir::new();
    let running = Spectral::capture(&dir, &[]);
    let (port, url) = (running.addr.port().to_string(), format!("https://{}/", origin.authority("localhost")));
    let trust = dir.join("new/trust");
    let args = ["ca", "env", "--format", "env", "-p", &port, "--trust-dir", trust.to_str().unwrap()];
    let file = spectral(&dir, &args).ok().text();
    let names: Vec<_> = std::fs::read_dir(&trust).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(names.len(), 4, "{names:?}");
    for path in names {
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        assert!(!String::from_utf8_lossy(&std::fs::read(&path).unwrap()).contains("PRIVATE KEY"));
    }
    // The CA's own directory, which only its owner may read, is not named.
    assert!(!file.contains(".mitmproxy"), "{file}");
    let variables: Vec<_> = file.lines().map(|line| line.split_once('=').unwrap()).collect();
    let mut command = Command::new(curl);
    command.env_clear().envs(variables).args(["-sS", &url]);
    assert_eq!(run(&mut command).ok().text(), "hello");
    assert_eq!(running.interrupt().code, Some(0));
    assert_eq!(crate::support::bundle::Bundle::open(&dir.join("capture.zip")).urls(), [&url]);
}

#[test]
fn an_environment_file_has_no_values_that_its_readers_change() {
    let dir = TempDir::new();
    let output = spectral(&dir, &["ca", "env", "--format", "env", "--trust-dir", "a$b"]);
    assert_eq!((output.code, output.text().as_str()), (Some(1), ""), "{}", output.err);
    assert!(output.err.contains("a$b") && output.err.contains("--trust-dir"), "{}", output.err);
}

#[test]
fn env_prints_all_variables_even_if_the_shell_has_them() {
    let dir = TempDir::new();
    let once = "$spectral ca env -p 1";
    let again = "eval \"$($spectral ca env -p 2)\"; $spectral ca env -p 1";
    let sh = Path::new("/bin/sh");
    assert_eq!(in_shell(sh, &dir, once, &[]), in_shell(sh, &dir, again, &[]));
    let output = in_shell(sh, &dir, "$spectral ca env --unset; eval \"$($spectral ca env --unset)\"", &[]);
    assert!(output.starts_with("# nothing to undo") && output.lines().count() == 1, "{output}");
    // The trust files exist as long as the CA does.
    assert!(std::fs::read_to_string(dir.join(".mitmproxy/spectral-roots.pem")).unwrap().contains("BEGIN CERTIFICATE"));
}

/// A directory with programs that record their arguments.
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
fn the_systems_own_tools_change_its_store_and_are_shown_first() {
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
                let output = run(&mut command);
                let shown = output.text().replace("sudo ", "");
                assert!(shown.starts_with(&expected), "{expected}\n{shown}{}", output.err);
                assert_eq!(output.code, Some(if dry || is_root { 0 } else { 1 }), "{}", output.err);
                let calls = std::fs::read_to_string(dir.join("calls")).unwrap_or_default();
                assert_eq!(
                    calls,
                    if dry || !is_root { String::new() } else { shown },
                    "the commands shown are those that run"
                );
            }
        }
    }
}

#[test]
fn an_unknown_system_gets_alternatives() {
    let dir = TempDir::new();
    let output = run(command(&dir, &["ca", "install"]).env("PATH", recording(&dir, &[])));
    assert_eq!(output.code, Some(1));
    assert!(output.err.contains("ca export") && output.err.contains("capture run"), "{}", output.err);
}

#[test]
fn a_key_is_never_passed_on_with_its_certificate() {
    let dir = TempDir::new();
    spectral(&dir, &["ca", "export"]).ok();
    let folder = dir.join(".mitmproxy");
    // As in a directory without write permission: only the file with key and certificate is there, or is current.
    let other = TempDir::new();
    spectral(&other, &["ca", "export"]).ok();
    std::fs::copy(ca_in(other.path()), folder.join("mitmproxy-ca-cert.pem")).unwrap();
    let both = folder.join("mitmproxy-ca.pem");
    assert_eq!(spectral(&dir, &["ca", "path"]).ok().text().trim_end(), both.to_str().unwrap());
    let output = run(command(&dir, &["ca", "install", "--dry-run"]).env("PATH", recording(&dir, &["trust"])));
    assert_eq!((output.code, output.text().as_str()), (Some(1), ""), "{}", output.err);
    assert!(!spectral(&dir, &["ca", "help", "wsl"]).ok().text().contains(both.to_str().unwrap()));
    for format in ["pem", "der", "p12", "mobileconfig"] {
        let output = spectral(&dir, &["ca", "export", "--format", format]).ok();
        assert!(!output.text().contains("PRIVATE"), "{format}");
    }
}

#[test]
fn every_platform_has_steps() {
    let dir = TempDir::new();
    for platform in ["firefox", "chrome", "ios", "android", "java", "wsl"] {
        let output = spectral(&dir, &["ca", "help", platform, "-p", "4711"]).ok().text();
        for word in [" 1. ", " 2. ", " 3. ", "Afterwards"] {
            assert!(output.contains(word), "{word} in {output}");
        }
        assert!(output.contains("4711"), "{output}");
        assert!(!output.contains('`') && !output.contains('{'), "{output}");
    }
    let output = spectral(&dir, &["ca", "help", "Chrome"]).ok().text();
    let file = dir.join(".mitmproxy/mitmproxy-ca-cert.pem");
    let to_copy = format!("\n        certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n spectral -i {}\n", file.display());
    assert!(output.contains(&to_copy), "a command is unbroken and alone on its line: {output}");
    let output = spectral(&dir, &["ca", "help", "amiga"]);
    assert!(output.code == Some(2) && output.err.contains("android"), "{}", output.err);
}

#[test]
fn a_closed_stdout_is_not_an_error() {
    let dir = TempDir::new();
    spectral(&dir, &["ca", "export"]).ok();
    let mut child = command(&dir, &["ca", "show"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = crate::support::peers::finish(child);
    assert_eq!((output.code, output.err.as_str()), (Some(0), ""));
}
