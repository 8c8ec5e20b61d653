//! Commands that write a file from a bundle, and are interrupted: they leave nothing behind.

use crate::support::cli::{Spectral, command, spectral};
use crate::support::peers::run;
use crate::support::{Connection, Origin, TempDir, eventually};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};

/// The body of the bundle's exchange: long enough for a command to be interrupted.
const BODY_BYTES: usize = 24 << 20;

/// Returns a directory with the bundle `capture.zip`.
fn dir_with_bundle() -> TempDir {
    let dir = TempDir::new();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {BODY_BYTES}\r\n\r\n[");
    let numbers: Vec<u8> = (0u64..)
        .flat_map(|n| format!("{},", n.wrapping_mul(0x9E37_79B9_7F4A_7C15)).into_bytes())
        .take(BODY_BYTES - 1)
        .collect();
    let origin = Origin::plain_responding([head.as_bytes(), &numbers].concat());
    let running = Spectral::capture(&dir, &[]);
    let host = origin.authority("127.0.0.1");
    Connection::to(running.addr).request(format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    running.interrupt().ok();
    dir
}

/// The commands, each writing `out`.
fn commands() -> [Vec<&'static str>; 4] {
    [
        vec!["capture", "export", "capture.zip", "--format", "har", "-o", "out"],
        vec!["capture", "redact", "capture.zip", "--json", "nothing", "-o", "out"],
        vec!["capture", "merge", "capture.zip", "-o", "out"],
        vec!["capture", "recover", "capture.zip", "-o", "out"],
    ]
}

/// Starts a command and stops it (SIGSTOP) while it has a locked temporary file. Returns `None` if it was too fast.
fn start(dir: &TempDir, args: &[&str], change: impl FnOnce(&mut Command)) -> Option<Child> {
    let mut command = command(dir, args);
    change(&mut command);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let pid = Pid::from_raw(child.id().try_into().unwrap());
    while child.try_wait().unwrap().is_none() {
        if !temporary(dir).is_empty() {
            kill(pid, Signal::SIGSTOP).unwrap();
            let state = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let is_stopped = || [") T", ") Z"].iter().any(|mark| state().contains(mark)).then_some(());
            eventually(is_stopped, state);
            let is_locked = |name: &String| fs::File::open(dir.join(name)).is_ok_and(|file| file.try_lock().is_err());
            if temporary(dir).first().is_some_and(is_locked) {
                return Some(child);
            }
            kill(pid, Signal::SIGCONT).unwrap();
        }
    }
    None
}

/// Starts a command until it is stopped in time.
#[track_caller]
fn start_until_stopped(dir: &TempDir, args: &[&str], change: impl Fn(&mut Command)) -> Child {
    let started = (0..50).find_map(|_| start(dir, args, &change));
    started.unwrap_or_else(|| panic!("{args:?} is never interrupted"))
}

/// Returns the names of temporary files.
fn temporary(dir: &TempDir) -> Vec<String> {
    dir.names().into_iter().filter(|name| name.contains("out.") && name.ends_with(".tmp")).collect()
}

fn send(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
}

#[test]
fn a_signal_leaves_no_file_behind() {
    let dir = dir_with_bundle();
    let before: Vec<_> = dir.names();
    for args in commands() {
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT] {
            let mut child = start_until_stopped(&dir, &args, |_| ());
            send(&child, signal);
            send(&child, Signal::SIGCONT);
            let status = child.wait().unwrap();
            assert_eq!(status.signal(), Some(signal as i32), "{args:?}: a shell has to see the signal");
            fs::remove_file(dir.join("out")).ok();
            // SIGQUIT dumps core where the limit allows it.
            let names: Vec<_> = dir.names().into_iter().filter(|name| !name.starts_with("core")).collect();
            assert_eq!(names, before, "{args:?} {signal}");
        }
    }
}

#[test]
fn an_export_with_redaction_leaves_nothing_in_the_temporary_directory() {
    let dir = dir_with_bundle();
    let temporary = dir.join("temporary");
    fs::create_dir(&temporary).unwrap();
    let args = ["capture", "export", "capture.zip", "--redact", "--format", "har", "-o", "out"];
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGKILL] {
        let mut command = command(&dir, &args);
        command.env("TMPDIR", &temporary).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let files = || {
            let links = fs::read_dir(format!("/proc/{}/fd", child.id())).into_iter().flatten().flatten();
            links.filter_map(|link| fs::read_link(link.path()).ok()).collect::<Vec<_>>()
        };
        // The redacted copy is being written.
        let is_begun = || files().iter().any(|file| file.starts_with(&temporary)).then_some(());
        eventually(is_begun, || format!("{:?}", files()));
        send(&child, signal);
        assert_eq!(child.wait().unwrap().signal(), Some(signal as i32), "it is not finished yet");
        assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0, "{signal}");
        assert!(!dir.join("out").exists());
    }
}

#[test]
fn the_next_command_deletes_what_a_killed_one_left() {
    let dir = dir_with_bundle();
    let part = dir.write("out.part", "of a capture");
    for args in commands() {
        let mut child = start_until_stopped(&dir, &args, |_| ());
        let left = temporary(&dir);
        // One that is running is not affected.
        spectral(&dir, &args).ok();
        assert_eq!(temporary(&dir), left, "{args:?}");
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(temporary(&dir), left, "nothing could be deleted");
        spectral(&dir, &args).ok();
        assert!(temporary(&dir).is_empty(), "{args:?}: {:?}", dir.names());
        assert_eq!(fs::read(&part).unwrap(), b"of a capture");
    }
}

#[test]
fn an_ignored_signal_does_not_end_a_command() {
    let dir = dir_with_bundle();
    let args = &commands()[2];
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' HUP INT; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_spectral")]).args(args);
    shell.current_dir(dir.path()).process_group(0).stdout(Stdio::null());
    let child = shell.spawn().unwrap();
    eventually(|| (!temporary(&dir).is_empty() || dir.join("out").exists()).then_some(()), || "did not start".into());
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGHUP).ok();
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).ok();
    let mut child = child;
    assert!(child.wait().unwrap().success());
    assert!(dir.join("out").exists() && temporary(&dir).is_empty());
}

#[test]
fn a_file_that_was_deleted_meanwhile_is_an_error() {
    let dir = dir_with_bundle();
    for args in commands() {
        for foreign in [None, Some("foreign")] {
            let mut child = start_until_stopped(&dir, &args, |_| ());
            let name = temporary(&dir).pop().unwrap();
            fs::remove_file(dir.join(&name)).unwrap();
            if let Some(foreign) = foreign {
                dir.write(&name, foreign);
            }
            send(&child, Signal::SIGCONT);
            assert_eq!(child.wait().unwrap().code(), Some(1), "{args:?}");
            assert!(!dir.join("out").exists() || foreign.is_none());
            assert_eq!(fs::read_to_string(dir.join(&name)).ok().as_deref(), foreign, "{args:?}");
            fs::remove_file(dir.join(&name)).ok();
            fs::remove_file(dir.join("out")).ok();
        }
    }
    let shown = run(&mut command(&dir, &["capture", "inspect", "capture.zip"])).ok();
    assert!(shown.text().contains("t_0001"));
}
