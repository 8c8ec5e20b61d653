//! `--keylog` and `SSLKEYLOGFILE`: the secrets in the file are those that the client and the origin log themselves.

use crate::support::cli::{capture_run, spectral};
use crate::support::openssl::OpensslOrigin;
use crate::support::peers::{peer, run};
use crate::support::{Capture, CertSpec, TempDir, TestCa};
use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::Command;

/// Returns the lines of a key log. Each must be in NSS form, except comments.
#[track_caller]
fn lines(file: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.ends_with('\n'), "{text}");
    let lines: BTreeSet<_> = text.lines().filter(|line| !line.starts_with('#')).map(str::to_lowercase).collect();
    for line in &lines {
        let [label, random, secret] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        assert!(label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{line}");
        assert!(random.len() == 64 && [64, 96].contains(&secret.len()), "{line}");
        assert!([random, secret].iter().all(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit())), "{line}");
    }
    lines
}

#[test]
fn has_the_secrets_that_both_peers_log_themselves() {
    let (Some(openssl), Some(curl)) = (peer("openssl"), peer("curl")) else { return };
    for (version, labels) in [
        ("-tls1_2", &["client_random"][..]),
        ("-tls1_3", &["client_traffic_secret_0", "server_traffic_secret_0", "server_handshake_traffic_secret"]),
    ] {
        let dir = TempDir::new();
        TestCa::trusted().issue(&CertSpec::default()).write(&dir);
        dir.write("page", "HTTP/1.0 200 OK\r\n\r\nhello");
        let [ours, of_client, of_origin] = ["ours", "client", "origin"].map(|name| dir.join(name));
        let options = [version, "-keylogfile", of_origin.to_str().unwrap()];
        let origin = OpensslOrigin::start_in(&openssl, &dir, &options).unwrap();
        let capture = Capture::with(|config| config.key_log = Some(ours.clone()));
        let mut client = Command::new(&curl);
        client.args(["-sS", "--noproxy", "", "--proxy", &format!("http://{}", capture.addr), "--cacert"]);
        client.arg(capture.ca.as_deref().unwrap()).arg(format!("https://localhost:{}/page", origin.port));
        client.args([
            version.replace('-', "--").replace("tls1_", "tlsv1."),
            "--tls-max".into(),
            version[4..].replace('_', "."),
        ]);
        assert_eq!(run(client.env("SSLKEYLOGFILE", &of_client)).ok().text(), "hello");
        capture.stop().assert_no_warnings();
        assert_eq!(std::fs::metadata(&ours).unwrap().mode() & 0o777, 0o600);
        let ours = lines(&ours);
        for (side, file) in [("client", of_client), ("origin", of_origin)] {
            let theirs = lines(&file);
            for label in labels {
                assert!(theirs.iter().any(|line| line.starts_with(label)), "{version}: {label} of the {side}");
            }
            assert!(theirs.is_subset(&ours), "{version}, {side}: {theirs:#?} in {ours:#?}");
        }
        // Nothing else: the two handshakes have secrets of their own.
        let randoms: BTreeSet<_> = ours.iter().map(|line| line.split(' ').nth(1).unwrap()).collect();
        assert_eq!(randoms.len(), 2, "{version}");
    }
}

#[test]
fn appends_to_a_file_that_the_command_writes_too() {
    let (Some(openssl), Some(curl)) = (peer("openssl"), peer("curl")) else { return };
    let dir = TempDir::new();
    TestCa::trusted().issue(&CertSpec::default()).write(&dir);
    dir.write("page", "HTTP/1.0 200 OK\r\n\r\nhello");
    let origin = OpensslOrigin::start_in(&openssl, &dir, &["-tls1_3"]).unwrap();
    let url = format!("https://localhost:{}/page", origin.port);
    let command = |args: &[&str]| {
        let command = [curl.to_str().unwrap(), "-sS", &url];
        let mut run = capture_run(&dir, args, &command);
        run.env("SSLKEYLOGFILE", dir.join("both"));
        run
    };
    dir.write("both", "# an earlier line\n");
    let output = run(&mut command(&[])).ok();
    assert_eq!(output.text(), "hello");
    let warning = format!("warning: TLS secrets are written to {}: anyone", dir.join("both").display());
    assert!(output.err.contains(&warning), "{}", output.err);
    let text = std::fs::read_to_string(dir.join("both")).unwrap();
    assert!(text.starts_with("# an earlier line\n"), "{text}");
    // One connection with the client, logged by both, and one with the origin.
    let count = text.lines().filter(|line| line.starts_with("CLIENT_TRAFFIC_SECRET_0 ")).count();
    assert_eq!((count, lines(&dir.join("both")).len()), (3, 10), "{text}");

    // The option wins. The command still inherits the variable.
    let before = lines(&dir.join("both")).len();
    run(&mut command(&["--keylog", "ours"])).ok();
    assert_eq!(lines(&dir.join("both")).len(), before + 5);
    assert_eq!(lines(&dir.join("ours")).len(), 10);
}

#[test]
fn refuses_what_is_not_a_regular_file() {
    let dir = TempDir::new();
    dir.write("file", "");
    symlink(dir.join("file"), dir.join("link")).unwrap();
    nix::unistd::mkfifo(&dir.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for (name, cause) in [
        ("link", "it is a symbolic link"),
        ("fifo", "not a regular file"),
        (".", "not a regular file"),
        ("/dev/null", "not a regular file"),
        ("missing/file", "No such file or directory"),
    ] {
        let output = spectral(&dir, &["capture", "proxy", "-p", "0", "--keylog", name]);
        assert_eq!(output.code, Some(1), "{name}");
        let expected = format!("spectral: error: cannot open the key log {name}: {cause}");
        assert!(output.err.to_lowercase().contains(&expected.to_lowercase()), "{}", output.err);
        assert!(output.err.contains("--keylog"), "{}", output.err);
    }
    assert!(!dir.join("capture.zip").exists());
}
