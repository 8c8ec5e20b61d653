//! A bundle that stands is never lost to another: backups are numbered, and an empty capture replaces nothing.

use crate::support::bundle::Bundle;
use crate::support::cli::{Spectral, capture_run, spectral};
use crate::support::peers::{Output, run};
use crate::support::{Connection, Origin, TempDir};
use std::collections::BTreeSet;
use std::fs;

fn origin() -> Origin {
    Origin::plain_responding("HTTP/1.1 204 No Content\r\n\r\n")
}

/// Captures one exchange of `origin` with the path `path` by `capture proxy` with `args`.
#[track_caller]
fn capture(dir: &TempDir, origin: &Origin, path: &str, args: &[&str]) -> Output {
    let running = Spectral::capture(dir, args);
    request(&running, origin, path);
    running.interrupt()
}

#[track_caller]
fn request(running: &Spectral, origin: &Origin, path: &str) {
    let host = origin.authority("127.0.0.1");
    Connection::to(running.addr).request(format!("GET http://{host}{path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
}

/// Returns the path of the only exchange in a bundle.
#[track_caller]
fn only_path(dir: &TempDir, bundle: &str) -> String {
    let bundle = Bundle::open(&dir.join(bundle));
    bundle.urls().pop().unwrap().rsplit_once('/').unwrap().1.to_owned()
}

#[test]
fn three_captures_leave_three_bundles() {
    let (dir, origin) = (TempDir::new(), origin());
    for (path, backup) in [("/1", None), ("/2", Some("capture.zip.bak")), ("/3", Some("capture.zip.2.bak"))] {
        let output = capture(&dir, &origin, path, &[]).ok();
        let line = backup.map(|name| format!("\n  The previous bundle is kept as {name}"));
        assert_eq!(output.err.contains("previous bundle"), backup.is_some());
        assert!(line.is_none_or(|line| output.err.contains(&line)), "{}", output.err);
    }
    let bundles = ["capture.zip.bak", "capture.zip.2.bak", "capture.zip"];
    assert_eq!(bundles.map(|name| only_path(&dir, name)), ["1", "2", "3"]);
}

#[test]
fn old_backups_are_deleted_only_on_request() {
    let (dir, origin) = (TempDir::new(), origin());
    for n in 1..=4 {
        capture(&dir, &origin, &format!("/{n}"), &[]).ok();
    }
    let output = capture(&dir, &origin, "/5", &["--keep-backups", "2"]).ok();
    assert!(
        output.err.contains("kept as capture.zip.4.bak\n  2 old backups were deleted (--keep-backups)"),
        "{}",
        output.err
    );
    let bundles = ["capture.zip.3.bak", "capture.zip.4.bak", "capture.zip"];
    assert_eq!(bundles.map(|name| only_path(&dir, name)), ["3", "4", "5"]);
    // The bundle to merge is a backup that would be deleted.
    let merge =
        ["capture", "merge", "capture.zip.3.bak", "capture.zip.4.bak", "-o", "capture.zip", "--keep-backups", "1"];
    let merged = spectral(&dir, &merge).ok().text();
    assert!(merged.contains("\n  The previous bundle is kept as capture.zip.5.bak\n"), "{merged}");
    assert!(dir.join("capture.zip.3.bak").exists() && dir.join("capture.zip.4.bak").exists());
    let redact = ["capture", "redact", "capture.zip.3.bak", "-o", "capture.zip", "--keep-backups", "1"];
    let redacted = spectral(&dir, &redact).ok().text();
    let expected = "kept as capture.zip.6.bak\n  2 old backups were deleted (--keep-backups)";
    assert!(redacted.contains(expected), "{redacted}");
    assert_eq!(only_path(&dir, "capture.zip.3.bak"), "3");
    fs::copy(dir.join("capture.zip"), dir.join("capture.zip.part")).unwrap();
    let recovered = spectral(&dir, &["capture", "recover", "capture.zip.part", "--keep-backups", "1"]).ok().text();
    let expected = "kept as capture.zip.7.bak\n  2 old backups were deleted (--keep-backups)";
    assert!(recovered.contains(expected), "{recovered}");
    let left: Vec<_> = dir.names().into_iter().filter(|name| name.starts_with("capture.zip")).collect();
    assert_eq!(left, ["capture.zip", "capture.zip.7.bak", "capture.zip.part"]);
    for (args, problem) in [
        (&["capture", "proxy", "--keep-backups", "0"][..], "invalid number of backups '0': expected 1 or more"),
        (&["capture", "proxy", "--keep-backups", "2", "--rotate", "1M"], "--keep-backups cannot be used with --rotate"),
    ] {
        let output = spectral(&dir, args);
        assert!(output.code == Some(2) && output.err.contains(problem), "{}", output.err);
    }
}

#[test]
fn a_capture_of_nothing_does_not_replace_a_bundle() {
    let (dir, origin) = (TempDir::new(), origin());
    // Where no bundle is, an empty one is written. Over a file without content, too.
    fs::write(dir.join("empty.zip"), "").unwrap();
    for bundle in ["new.zip", "empty.zip"] {
        Spectral::capture(&dir, &["-o", bundle]).interrupt().ok();
        assert!(Bundle::open(&dir.join(bundle)).traces.is_empty());
    }
    capture(&dir, &origin, "/1", &[]).ok();
    let bundle = fs::read(dir.join("capture.zip")).unwrap();
    let problem = "nothing was captured: capture.zip is an earlier bundle, which was not replaced";
    for args in [&[][..], &["-q"], &["--stop-after", "1s"]] {
        let running = Spectral::capture(&dir, args);
        let output = if args.len() == 2 { running.wait_for_exit() } else { running.interrupt() };
        assert_eq!(output.code, Some(1), "{}", output.err);
        assert!(output.err.trim_end().ends_with(&format!("spectral: error: {problem}")), "{}", output.err);
        assert!(!output.err.contains("previous bundle is kept"), "{}", output.err);
    }
    for (command, code) in [("true", 1), ("exit 7", 7)] {
        let output = run(&mut capture_run(&dir, &[], &["sh", "-c", command]));
        assert_eq!(output.code, Some(code), "{}", output.err);
        assert!(output.err.contains(problem), "{}", output.err);
    }
    assert_eq!(fs::read(dir.join("capture.zip")).unwrap(), bundle);
    assert!(
        dir.names().iter().all(|name| !name.ends_with(".part") && !name.ends_with(".bak") || name == "empty.zip.bak")
    );
}

#[test]
fn captures_that_end_at_the_same_time_are_all_kept() {
    let (dir, origin) = (TempDir::new(), origin());
    let running: Vec<_> = (0..4).map(|_| Spectral::capture(&dir, &[])).collect();
    for (n, running) in running.iter().enumerate() {
        request(running, &origin, &format!("/{n}"));
    }
    running.iter().for_each(|running| running.signal(nix::sys::signal::Signal::SIGINT));
    for running in running {
        running.wait_for_exit().ok();
    }
    let bundles = ["capture.zip", "capture.zip.bak", "capture.zip.2.bak", "capture.zip.3.bak"];
    let paths: BTreeSet<_> = bundles.iter().map(|name| only_path(&dir, name)).collect();
    assert_eq!(paths.into_iter().collect::<Vec<_>>(), ["0", "1", "2", "3"]);
    assert!(dir.names().iter().all(|name| !name.ends_with(".part")));
}

#[test]
fn a_taken_backup_name_is_left_alone() {
    let (dir, origin) = (TempDir::new(), origin());
    capture(&dir, &origin, "/1", &[]).ok();
    fs::create_dir(dir.join("capture.zip.bak")).unwrap();
    std::os::unix::fs::symlink("elsewhere", dir.join("capture.zip.2.bak")).unwrap();
    let output = capture(&dir, &origin, "/2", &["--keep-backups", "1"]).ok();
    assert!(output.err.contains("kept as capture.zip.3.bak"), "{}", output.err);
    assert_eq!(only_path(&dir, "capture.zip.3.bak"), "1");
    assert!(dir.join("capture.zip.bak").is_dir() && dir.join("capture.zip.2.bak").is_symlink());
}
