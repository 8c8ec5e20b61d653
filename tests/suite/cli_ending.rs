//! A capture that cannot be ended: the writer thread is stopped, as by a disk that hangs.

use crate::support::cli::{Spectral, capture_run};
use crate::support::peers::{BackgroundProcess, finish, peer, report_skipped};
use crate::support::{Connection, Origin, TempDir, eventually};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Stops the thread whose id it gets, and no other: PTRACE_ATTACH. Then waits until it is ended; without that, its process
/// would stay a zombie.
const STOP_THREAD: &str = "
import ctypes, os, sys
thread = int(sys.argv[1])
if ctypes.CDLL(None).ptrace(16, thread, None, None) != 0:
    print('denied', flush=True)
    sys.exit()
os.waitpid(thread, 0x40000000)
print('stopped', flush=True)
os.waitpid(thread, 0x40000000)
";

/// Stops the writer of process `pid`. Returns `None`, reported as skipped, where that is impossible.
fn stop_writer(pid: i32) -> Option<BackgroundProcess> {
    let python = peer("python3")?;
    if !cfg!(target_os = "linux") {
        report_skipped("ptrace of Linux");
        return None;
    }
    let name = |task: &Path| std::fs::read_to_string(task.join("comm")).unwrap_or_default();
    let tasks = || std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten().map(|task| task.path());
    let writer = eventually(|| tasks().find(|task| name(task).trim() == "writer"), || "no writer".into());
    let mut command = Command::new(python);
    command.args(["-c", STOP_THREAD]).arg(writer.file_name().unwrap());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let stopped = BackgroundProcess(child);
    if line.trim() != "stopped" {
        report_skipped("permission for ptrace");
        return None;
    }
    Some(stopped)
}

#[test]
fn a_second_signal_ends_a_capture_that_hangs() {
    let (dir, origin) = (TempDir::new(), Origin::plain_responding(OK));
    let running = Spectral::capture(&dir, &["-v"]);
    let host = origin.authority("127.0.0.1");
    let mut connection = Connection::to(running.addr);
    connection.request(format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    running.wait_for_line("200 GET");
    let Some(_stopped) = stop_writer(running.pid().as_raw()) else {
        return;
    };
    // A summary so far does not wait for the writer.
    running.signal(Signal::SIGUSR1);
    running.wait_for_line("  1 exchange, 0 WebSockets, 0 messages");
    running.signal(Signal::SIGINT);
    running.wait_for_line("Waiting for the bundle to be completed");
    running.signal(Signal::SIGUSR1);
    running.err.until("a second summary", |lines| {
        (lines.iter().filter(|line| line.starts_with("Summary after ")).count() == 2).then_some(())
    });
    running.signal(Signal::SIGINT);
    let output = running.wait_for_exit();
    assert_eq!(output.code, Some(1), "{}", output.err);
    let place = "capture.zip.part, make a bundle of it with: spectral capture recover capture.zip.part";
    assert!(output.err.contains(place), "{}", output.err);
    assert!(dir.join("capture.zip.part").exists() && !dir.join("capture.zip").exists());
}

#[test]
fn a_run_that_hangs_ends_with_an_error_if_the_command_succeeded() {
    let dir = TempDir::new();
    let mut command = capture_run(&dir, &[], &["sh", "-c", "echo ready; read line"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut String::new()).unwrap();
    let pid = i32::try_from(child.id()).unwrap();
    let Some(_stopped) = stop_writer(pid) else {
        drop(child.stdin.take());
        finish(child);
        return;
    };
    drop(child.stdin.take());
    let mut err = BufReader::new(child.stderr.take().unwrap());
    let mut text = String::new();
    while !text.contains("Waiting for the bundle to be completed") {
        assert!(err.read_line(&mut text).unwrap() > 0, "{text}");
    }
    kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    std::io::Read::read_to_string(&mut err, &mut text).unwrap();
    assert_eq!(finish(child).code, Some(1), "{text}");
    assert!(text.contains("spectral capture recover capture.zip.part"), "{text}");
}
