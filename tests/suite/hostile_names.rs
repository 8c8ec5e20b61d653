//! Links and other files that another user has put where an output is to be written.

use crate::support::bundle::Bundle;
use crate::support::cli::{Spectral, command, spectral};
use crate::support::peers::{report_skipped, run};
use crate::support::{Connection, Origin, TempDir};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

/// The user id of another user.
const OTHER: u32 = 54_321;

/// Gives `name` to another user; `None`, reported as skipped, if only root can do that.
#[track_caller]
fn give_away(dir: &TempDir, name: &str) -> Option<()> {
    let given = lchown(dir.join(name), Some(OTHER), None);
    if given.is_err() {
        report_skipped("root");
    }
    given.ok()
}

/// Captures one exchange.
fn capture(dir: &TempDir) -> crate::support::peers::Output {
    let origin = Origin::plain_responding("HTTP/1.1 204 No Content\r\n\r\n");
    let running = Spectral::capture(dir, &[]);
    let host = origin.authority("127.0.0.1");
    Connection::to(running.addr).request(format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    running.interrupt()
}

/// The commands that write the file `output`, for a bundle `capture.zip`.
fn writers(output: &str) -> [Vec<&str>; 5] {
    [
        vec!["capture", "run", "-o", output, "--", "true"],
        vec!["capture", "merge", "capture.zip", "-o", output],
        vec!["capture", "redact", "capture.zip", "-o", output],
        vec!["capture", "recover", "capture.zip", "-o", output],
        vec!["capture", "export", "capture.zip", "--format", "har", "-o", output],
    ]
}

#[test]
fn a_link_of_another_user_is_not_followed() {
    let dir = TempDir::new();
    capture(&dir).ok();
    dir.write("precious", "precious");
    symlink("precious", dir.join("link")).unwrap();
    let Some(()) = give_away(&dir, "link") else { return };
    for mode in [0o1777, 0o755] {
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
        for args in writers("link") {
            let output = spectral(&dir, &args);
            assert_eq!(output.code, Some(1), "{args:?}: {}", output.err);
            let expected = "cannot write link: link is a symbolic link of another user (uid 54321), which is not followed; \
                            choose another file with -o";
            assert!(output.err.contains(expected), "{args:?}: {}", output.err);
        }
    }
    assert_eq!(fs::read(dir.join("precious")).unwrap(), b"precious");
    assert!(dir.join("link").is_symlink());
}

#[test]
fn a_link_that_others_can_replace_is_not_followed() {
    let dir = TempDir::new();
    capture(&dir).ok();
    dir.write("target", "target");
    symlink("target", dir.join("link")).unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    for args in writers("link") {
        let output = spectral(&dir, &args);
        assert!(output.code == Some(1) && output.err.contains("that others can replace"), "{args:?}: {}", output.err);
    }
    assert_eq!(fs::read(dir.join("target")).unwrap(), b"target");
    // As in /tmp: only its owner can replace a link there.
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    for args in writers("link").iter().skip(1) {
        spectral(&dir, args).ok();
    }
    assert!(dir.join("link").is_symlink() && fs::read(dir.join("target")).unwrap() != b"target");
}

#[test]
fn a_file_with_the_name_of_an_unfinished_bundle_is_called_what_it_is() {
    let dir = TempDir::new();
    let part = dir.join("capture.zip.part");
    type Make = fn(&Path);
    let mut kinds: Vec<(&str, Make)> = vec![
        ("a symbolic link", |part| symlink("elsewhere", part).unwrap()),
        ("a directory", |part| fs::create_dir(part).unwrap()),
        ("a named pipe", |part| nix::unistd::mkfifo(part, nix::sys::stat::Mode::S_IRWXU).unwrap()),
        ("a socket", |part| drop(UnixListener::bind(part).unwrap())),
    ];
    if fs::metadata(dir.path()).unwrap().uid() == 0 {
        kinds.push(("a file of another user (uid 54321)", |part| {
            fs::write(part, "PK").unwrap();
            chown(part, Some(OTHER), None).unwrap();
        }));
    }
    for (kind, make) in kinds {
        make(&part);
        let output = capture(&dir).ok();
        let expected = format!("capture.zip.part is {kind}, not an unfinished bundle of yours: it is left alone");
        assert_eq!(output.err.matches(&expected).count(), 1, "{}", output.err);
        assert!(!output.err.contains("recover"), "{}", output.err);
        assert!(fs::symlink_metadata(&part).is_ok());
        assert_eq!(Bundle::open(&dir.join("capture.zip")).traces.len(), 1);
        // A complete bundle is read, whatever is beside it.
        let listed = spectral(&dir, &["capture", "inspect", "capture.zip"]).ok();
        assert!(listed.text().contains("t_0001"), "{kind}");
        fs::remove_file(dir.join("capture.zip")).unwrap();
        let refused = spectral(&dir, &["capture", "inspect", "capture.zip"]);
        assert!(
            refused.code == Some(1) && refused.err.contains("cannot read capture.zip: No such file"),
            "{}",
            refused.err
        );
        fs::remove_file(&part).or_else(|_| fs::remove_dir(&part)).unwrap();
    }
}

#[test]
fn an_export_is_written_to_descriptors_and_a_bundle_is_not() {
    let dir = TempDir::new();
    capture(&dir).ok();
    let expected = spectral(&dir, &["capture", "export", "capture.zip", "--format", "har"]).ok().text();
    let export = "\"$0\" capture export capture.zip --format har -o";
    for (script, file) in [
        (format!("{export} /dev/stdout | cat"), None),
        (format!("{export} /dev/stdout >out"), Some("out")),
        (format!("{export} /dev/fd/3 3>out"), Some("out")),
        (format!("{export} /dev/fd/3 3>&1 >&2 | cat"), None),
        (format!("mkfifo pipe; cat pipe & {export} pipe; wait"), None),
    ] {
        let output =
            run(Command::new("sh").args(["-c", &script, env!("CARGO_BIN_EXE_spectral")]).current_dir(dir.path()));
        let written = file.map_or_else(|| output.text(), |file| fs::read_to_string(dir.join(file)).unwrap());
        assert!(output.code == Some(0) && written == expected, "{script}: {}", output.err);
    }
    for descriptor in ["/dev/stdout", "/dev/fd/1"] {
        for args in writers(descriptor).iter().take(4) {
            let output = run(command(&dir, args).stdin(Stdio::null()));
            let expected = format!("cannot write {descriptor}: not a regular file; choose another file with -o");
            assert!(output.code == Some(1) && output.err.contains(&expected), "{args:?}: {}", output.err);
        }
    }
}

#[test]
fn trust_files_follow_no_link() {
    let dir = TempDir::new();
    dir.write("precious", "precious");
    fs::create_dir(dir.join("trust")).unwrap();
    for name in ["spectral-roots.pem", "spectral-node.js"] {
        symlink("../precious", dir.join(&format!("trust/{name}"))).unwrap();
    }
    spectral(&dir, &["ca", "env", "--trust-dir", "trust"]).ok();
    assert_eq!(fs::read(dir.join("precious")).unwrap(), b"precious");
    let roots = fs::symlink_metadata(dir.join("trust/spectral-roots.pem")).unwrap();
    assert!(roots.is_file() && roots.permissions().mode() & 0o777 == 0o644);
    // A pipe does not stall an export of the certificate.
    nix::unistd::mkfifo(&dir.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let output = spectral(&dir, &["ca", "export", "-o", "pipe"]);
    assert!(output.code == Some(1) && output.err.contains("it exists with other contents"), "{}", output.err);
}
