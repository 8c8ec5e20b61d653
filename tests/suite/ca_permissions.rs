//! The access that others have to the CA's key.

use crate::support::TempDir;
use crate::support::ca::TestCa;
use crate::support::cli::spectral;
use crate::support::peers::run;
use std::fs::{Permissions, set_permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

fn set_mode(path: &Path, mode: u32) {
    set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn an_exposed_key_is_refused_with_the_command_that_mends_it() {
    let ca = TestCa::trusted().ca_dir();
    let key = ca.join("mitmproxy-ca.pem");
    let dir = TempDir::new();
    let start = || spectral(&dir, &["capture", "run", "-q", "--ca-dir", ca.path().to_str().unwrap(), "--", "true"]);
    for (path, mode, remedy) in
        [(&*key, 0o644, "chmod 600"), (&key, 0o602, "chmod 600"), (ca.path(), 0o777, "chmod go-w")]
    {
        set_mode(path, mode);
        let output = start();
        let remedy = format!("{remedy} {}", path.display());
        assert!(output.code == Some(1) && output.err.trim_end().ends_with(&remedy), "{mode:o}: {}", output.err);
        assert!(dir.names().is_empty(), "nothing was written");
        let mended = run(Command::new("sh").args(["-c", &remedy]));
        assert_eq!((mended.code, start().code), (Some(0), Some(0)));
        for name in dir.names() {
            let path = dir.join(&name);
            std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir_all(&path)).unwrap();
        }
    }
    set_mode(&key, 0o640);
    set_mode(ca.path(), 0o755);
    let proxy = ["capture", "proxy", "-p", "0", "--stop-after", "1s", "--ca-dir", ca.path().to_str().unwrap()];
    for output in [
        spectral(&dir, &["capture", "run", "-o", "run.zip", "--ca-dir", ca.path().to_str().unwrap(), "--", "true"]),
        spectral(&dir, &proxy),
    ] {
        let warnings: Vec<_> = output.err.lines().filter(|line| line.contains("warning")).collect();
        assert_eq!((warnings.len(), output.code), (1, Some(0)), "{}", output.err);
        assert!(warnings[0].contains("a group can read") && warnings[0].contains("chmod 600"), "{}", output.err);
    }
}

/// As Kubernetes mounts a secret: links, mode 0644 in a folder with mode 1777, read-only.
#[test]
fn a_mounted_secret_is_used_with_a_warning() {
    let ca = TestCa::trusted().ca_dir();
    let dir = TempDir::new();
    std::fs::create_dir(dir.join("ca")).unwrap();
    let script = "
        mount -t tmpfs -o mode=1777 tmpfs ca && mkdir ca/..2026 && cp \"$1\" ca/..2026/mitmproxy-ca.pem || exit 77
        chmod 644 ca/..2026/mitmproxy-ca.pem && ln -s ..2026 ca/..data || exit 77
        ln -s ..data/mitmproxy-ca.pem ca/mitmproxy-ca.pem || exit 77
        [ -z \"$2\" ] || mount -o remount,ro ca || exit 77
        exec \"$0\" capture run --ca-dir ca -- true";
    let start = |read_only: &str| {
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-c", script, env!("CARGO_BIN_EXE_spectral")]);
        command.arg(ca.join("mitmproxy-ca.pem")).arg(read_only).current_dir(dir.path()).env("HOME", dir.path());
        run(&mut command)
    };
    let can_mount = Command::new("unshare").args(["-rm", "sh", "-c", "mount -t tmpfs tmpfs /tmp"]).output();
    if !can_mount.is_ok_and(|output| output.status.success()) {
        // Directly to stderr: the test harness hides the output of passing tests.
        writeln!(std::io::stderr(), "skipped, no mount namespace: a_mounted_secret_is_used_with_a_warning").unwrap();
        return;
    }
    let output = start("ro");
    assert_eq!(output.code, Some(0), "{}", output.err);
    let warnings: Vec<_> = output.err.lines().filter(|line| line.contains("warning")).collect();
    assert_eq!(warnings.len(), 2, "{}", output.err);
    assert!(
        warnings[0].contains("everyone can replace files") && warnings[1].contains("everyone can read"),
        "{}",
        output.err
    );
    assert!(!output.err.contains("chmod"), "{}", output.err);
    let output = start("");
    assert!(output.code == Some(1) && output.err.contains("chmod go-w ca"), "{}", output.err);
}
