//! The unfinished bundle is deleted or replaced during the capture: it is reported at once, and its content is copied at the end.

use crate::support::bundle::Bundle;
use crate::support::cli::{Spectral, capture_run, command, spectral};
use crate::support::peers::{peer, report_skipped, run, without_proxy_settings};
use crate::support::{Connection, Origin, TempDir, eventually};
use nix::sys::signal::Signal;
use std::fs;
use std::path::Path;
use std::process::Command;

const BODY_BYTES: usize = 300_000;

/// Starts an origin whose responses do not compress.
fn origin() -> Origin {
    let noise: Vec<u8> = (0..BODY_BYTES as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: {BODY_BYTES}\r\n\r\n");
    Origin::plain_responding([head.as_bytes(), &noise].concat())
}

/// Captures an exchange, and waits until it is in `part`.
#[track_caller]
fn request(running: &Spectral, origin: &Origin, part: Option<&Path>) {
    let host = origin.authority("127.0.0.1");
    Connection::to(running.addr).request(format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    if let Some(part) = part {
        let is_written = || (fs::metadata(part).unwrap().len() > BODY_BYTES as u64).then_some(());
        eventually(is_written, || "nothing was written".into());
    }
}

#[test]
fn a_deleted_bundle_is_reported_at_once_and_copied_at_the_end() {
    let (dir, origin) = (TempDir::new(), origin());
    for (foreign, copy) in [(None, "capture.rescued.zip"), (Some("foreign"), "capture.rescued.2.zip")] {
        let running = Spectral::capture(&dir, &[]);
        let part = dir.join("capture.zip.part");
        request(&running, &origin, Some(&part));
        fs::remove_file(&part).unwrap();
        if let Some(foreign) = foreign {
            fs::write(&part, foreign).unwrap();
        }
        // Nothing is sent meanwhile.
        let warning = running.wait_for_line("another process deleted or replaced capture.zip.part");
        let expected =
            "nothing is lost yet, the capture goes on, and its bundle will be written to capture.rescued.zip";
        assert!(warning.ends_with(expected), "{warning}");
        running.signal(Signal::SIGUSR1);
        running.wait_for_line(" in a file that was deleted or replaced");
        request(&running, &origin, None);
        let output = running.interrupt();
        assert_eq!((output.code, output.err.matches("goes on").count()), (Some(1), 1), "{}", output.err);
        assert!(
            output.err.contains(&format!("Capture bundle written to {copy}, not to capture.zip\n")),
            "{}",
            output.err
        );
        let told = format!("another process deleted or replaced capture.zip.part: the complete bundle is {copy}");
        assert!(output.err.contains(&told), "{}", output.err);
        let bundle = Bundle::open(&dir.join(copy));
        assert_eq!(bundle.traces.len(), 2);
        assert!(bundle.traces.iter().all(|trace| trace.response_body.len() == BODY_BYTES));
        assert_eq!(fs::read_to_string(&part).ok().as_deref(), foreign, "a foreign file is neither renamed nor deleted");
        assert!(!dir.join("capture.zip").exists());
    }
}

#[test]
fn a_command_may_delete_what_is_not_under_version_control() {
    let (Some(git), Some(curl)) = (peer("git"), peer("curl")) else { return };
    let (dir, origin) = (TempDir::new(), origin());
    let script = format!(
        "'{0}' init -q . && '{1}' -s -o /dev/null http://{2}/ && '{0}' clean -fdxq",
        git.display(),
        curl.display(),
        origin.authority("127.0.0.1")
    );
    let output = run(&mut capture_run(&dir, &[], &["sh", "-c", &script]));
    assert_eq!(output.code, Some(1), "{}", output.err);
    assert!(output.err.contains("the complete bundle is capture.rescued.zip"), "{}", output.err);
    assert!(output.err.contains("the command succeeded, but the capture is incomplete"), "{}", output.err);
    assert_eq!(Bundle::open(&dir.join("capture.rescued.zip")).traces.len(), 1);
}

#[test]
fn a_deleted_directory_is_replaced_by_the_working_directory() {
    let (dir, origin) = (TempDir::new(), origin());
    fs::create_dir(dir.join("out")).unwrap();
    for args in [&["-o", "out/a.zip"][..], &["-o", "out/a.zip", "--rotate", "1M"]] {
        fs::create_dir_all(dir.join("out")).unwrap();
        let running = Spectral::capture(&dir, args);
        request(&running, &origin, None);
        eventually(|| fs::read_dir(dir.join("out")).unwrap().next().map(drop), || "no file".into());
        fs::remove_dir_all(dir.join("out")).unwrap();
        let warning = running.wait_for_line("another process deleted or replaced out/a");
        let copy = warning.rsplit_once(' ').unwrap().1.to_owned();
        assert_eq!(Path::new(&copy).parent(), Some(fs::canonicalize(dir.path()).unwrap().as_path()));
        let output = running.interrupt();
        assert_eq!(output.code, Some(1), "{}", output.err);
        assert!(output.err.contains(&format!("the complete bundle is {copy}")), "{}", output.err);
        assert_eq!(Bundle::open(Path::new(&copy)).traces.len(), 1);
    }
}

/// Where no directory has space for all of it, its start is kept, and can be recovered.
#[test]
fn a_copy_that_does_not_fit_keeps_its_start() {
    let dir = TempDir::new();
    fs::create_dir(dir.join("small")).unwrap();
    let can_mount = Command::new("unshare").args(["-rm", "sh", "-c", "mount -t tmpfs tmpfs /tmp"]).output();
    if !can_mount.is_ok_and(|output| output.status.success()) {
        return report_skipped("mount namespace");
    }
    let origin = origin();
    // The capture takes more than half of the file system, and is all that the file system is for.
    let script = "mount -t tmpfs -o size=1300k tmpfs small && cd small && TMPDIR=$PWD exec \"$0\" capture proxy -p 0";
    let mut start = Command::new("unshare");
    start.args(["-rm", "sh", "-c", script, env!("CARGO_BIN_EXE_spectral")]);
    start.current_dir(dir.path()).env("HOME", dir.path());
    let running = Spectral::start(start);
    (0..3).for_each(|_| request(&running, &origin, None));
    // The directory in the namespace of the process.
    let small = Path::new("/proc").join(running.pid().to_string()).join("cwd");
    let part = small.join("capture.zip.part");
    eventually(
        || (fs::metadata(&part).ok()?.len() > 3 * BODY_BYTES as u64).then_some(()),
        || "nothing was written".into(),
    );
    fs::remove_file(&part).unwrap();
    running.wait_for_line("goes on");
    // Keeps the mount until the bundle is recovered.
    let kept = fs::File::open(&small).unwrap();
    let output = running.interrupt();
    assert_eq!(output.code, Some(1), "{}", output.err);
    let told =
        "capture.zip.part was deleted or replaced, and only a part of it could be copied: No space left on device";
    assert!(output.err.contains(told), "{}", output.err);
    assert!(output.err.contains("the unfinished bundle is capture.rescued.zip.part"), "{}", output.err);
    use std::os::fd::AsRawFd;
    let copy = Path::new("/proc/self/fd").join(kept.as_raw_fd().to_string()).join("capture.rescued.zip.part");
    fs::copy(copy, dir.join("capture.zip.part")).unwrap();
    let recovered = spectral(&dir, &["capture", "recover", "capture.zip.part"]).ok().text();
    assert!(recovered.starts_with("Recovered to capture.zip: 1 exchange,"), "{recovered}");
}

/// The second signal skips what is left to decode, and no more.
#[test]
fn a_forced_end_copies_too() {
    let (dir, origin) = (TempDir::new(), origin());
    let mut start = command(&dir, &["capture", "proxy", "-p", "0"]);
    without_proxy_settings(&mut start);
    let running = Spectral::start(start);
    let part = dir.join("capture.zip.part");
    request(&running, &origin, Some(&part));
    fs::remove_file(&part).unwrap();
    running.signal(Signal::SIGINT);
    running.signal(Signal::SIGINT);
    let output = running.wait_for_exit();
    assert_eq!(output.code, Some(1), "{}", output.err);
    assert_eq!(Bundle::open(&dir.join("capture.rescued.zip")).traces.len(), 1);
}
