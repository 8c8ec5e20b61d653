//! `spectral capture run` passes signals on to its command.

use crate::support::bundle::Bundle;
use crate::support::cli::capture_run;
use crate::support::peers::{Output, finish, peer, run};
use crate::support::{TempDir, Watched};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

/// Starts a command that prints "ready", then waits for a line from the pipe or a signal.
fn waiting(dir: &TempDir, traps: &str) -> (Child, ChildStdin) {
    let line = format!("{traps}\necho ready >&2\nread line\necho \"read $line\"");
    let mut command = capture_run(dir, &["-q"], &["sh", "-c", &line]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut err = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    err.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    let pipe = child.stdin.take().unwrap();
    (child, pipe)
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
}

/// Returns the signals that the suite was not started to ignore: its children inherit that.
fn not_ignored(all: &[Signal]) -> Vec<Signal> {
    let ignored = mask("SigIgn:", &std::fs::read_to_string("/proc/self/status").unwrap_or_default());
    all.iter().copied().filter(|&signal| ignored & (1 << (signal as u32 - 1)) == 0).collect()
}

fn mask(name: &str, status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.map_or(0, |mask| u64::from_str_radix(mask.trim(), 16).unwrap())
}

const FORWARDED: &[Signal] =
    &[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2];

#[test]
fn each_signal_is_passed_on_and_ends_the_command() {
    for sent in not_ignored(FORWARDED) {
        let dir = TempDir::new();
        let (child, _pipe) = waiting(&dir, "ulimit -c 0");
        signal(&child, sent);
        assert_eq!(finish(child).code, Some(128 + sent as i32), "{sent}");
        Bundle::open(&dir.join("capture.zip"));
    }
}

#[test]
fn a_command_may_handle_the_signals() {
    for sent in not_ignored(FORWARDED) {
        let dir = TempDir::new();
        let name = sent.as_str().trim_start_matches("SIG");
        let (child, _pipe) = waiting(&dir, &format!("trap 'echo caught {name}; exit 9' {name}"));
        signal(&child, sent);
        let Output { code, out, .. } = finish(child);
        assert_eq!((code, String::from_utf8_lossy(&out).into_owned()), (Some(9), format!("caught {name}\n")));
    }
}

#[test]
fn the_command_starts_with_the_original_signal_dispositions() {
    if !std::path::Path::new("/proc/self/status").exists() {
        return;
    }
    let dir = TempDir::new();
    let mut command = Command::new("/bin/sh");
    let line = "trap '' HUP USR1; exec \"$0\" capture run -- cat /proc/self/status";
    command.args(["-c", line, env!("CARGO_BIN_EXE_spectral")]).current_dir(dir.path()).env("HOME", dir.path());
    let status = run(&mut command).ok().text();
    assert_eq!(mask("SigBlk:", &status), 0, "none is blocked");
    let ignored = mask("SigIgn:", &status);
    let bit = |signal: Signal| 1 << (signal as u32 - 1);
    assert_eq!(ignored & bit(Signal::SIGHUP), bit(Signal::SIGHUP), "ignored signals stay ignored: {ignored:x}");
    assert_eq!(ignored & bit(Signal::SIGUSR1), bit(Signal::SIGUSR1));
    assert_eq!(ignored & bit(Signal::SIGPIPE), 0, "the Rust runtime ignores it in our own process");
}

#[test]
fn the_command_starts_with_the_original_signal_mask() {
    let Some(python) = peer("python3") else {
        return;
    };
    if !std::path::Path::new("/proc/self/status").exists() {
        return;
    }
    // SIGUSR1 and SIGTERM are forwarded, SIGWINCH is not.
    let script = "
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGTERM, signal.SIGWINCH])
os.execv(sys.argv[1], ['spectral', 'capture', 'run', '--', 'cat', '/proc/self/status'])
";
    let dir = TempDir::new();
    let mut command = Command::new(python);
    command.args(["-c", script, env!("CARGO_BIN_EXE_spectral")]).current_dir(dir.path()).env("HOME", dir.path());
    let status = run(&mut command).ok().text();
    let bit = |signal: Signal| 1 << (signal as u32 - 1);
    let expected = bit(Signal::SIGUSR1) | bit(Signal::SIGTERM) | bit(Signal::SIGWINCH);
    assert_eq!(mask("SigBlk:", &status), expected, "{status}");
}

#[test]
fn ignored_signals_are_not_passed_on() {
    let dir = TempDir::new();
    let mut command = Command::new("/bin/sh");
    // The command resets the signal to its default action, as a program may.
    let program = "import signal, sys; signal.signal(signal.SIGHUP, signal.SIG_DFL); print('ready', flush=True); sys.stdin.readline()";
    let Some(python) = peer("python3") else {
        return;
    };
    let line = "trap '' HUP; exec \"$0\" capture run -q -- \"$1\" -c \"$2\"";
    let mut child = command
        .args(["-c", line, env!("CARGO_BIN_EXE_spectral")])
        .arg(python)
        .arg(program)
        .current_dir(dir.path())
        .env("HOME", dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut String::new()).unwrap();
    signal(&child, Signal::SIGHUP);
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    assert_eq!(finish(child).code, Some(0));
}

/// Runs its arguments on a new terminal: stdin is typed there, and the terminal's output goes to stdout.
const ON_A_TERMINAL: &str = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)";

fn on_a_terminal(python: &Path, run: &Command, dir: &TempDir) -> Child {
    Command::new(python)
        .args(["-c", ON_A_TERMINAL])
        .arg(run.get_program())
        .args(run.get_args())
        .current_dir(dir.path())
        .env("HOME", dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Counts SIGINTs until SIGQUIT. It uses sigwaitinfo, since a handler would see two pending signals as one.
const COUNT: &str = "
import signal
both = {signal.SIGINT, signal.SIGQUIT}
signal.pthread_sigmask(signal.SIG_BLOCK, both)
print('ready', flush=True)
count = 0
while signal.sigwaitinfo(both).si_signo == signal.SIGINT:
    count += 1
    print('caught', count, flush=True)
print('count', count, flush=True)
";

/// The number of SIGINTs typed: large enough that double delivery cannot stay unnoticed by chance.
const TYPED: usize = 20;

#[test]
fn a_signal_typed_on_the_terminal_reaches_the_command_once() {
    let Some(python) = peer("python3") else {
        return;
    };
    if not_ignored(FORWARDED).len() < FORWARDED.len() {
        return crate::support::peers::report_skipped("signals: the suite ignores some");
    }
    let dir = TempDir::new();
    let run = capture_run(&dir, &["-q"], &[python.as_os_str(), "-c".as_ref(), COUNT.as_ref()]);
    let mut terminal = on_a_terminal(&python, &run, &dir);
    let mut keyboard = terminal.stdin.take().unwrap();
    let shown = Watched::<String>::default();
    let (mut out, text) = (BufReader::new(terminal.stdout.take().unwrap()), shown.clone());
    let reader = std::thread::spawn(move || {
        let mut line = Vec::new();
        while out.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            text.update(|text| text.push_str(&String::from_utf8_lossy(&line)));
            line.clear();
        }
    });
    let seen = |part: &str| shown.until(part, |text| text.contains(part).then_some(()));
    seen("ready");
    for n in 1..=TYPED {
        keyboard.write_all(b"\x03").unwrap();
        seen(&format!("caught {n}"));
    }
    keyboard.write_all(b"\x1c").unwrap();
    seen(&format!("count {TYPED}\r"));
    let output = finish(terminal);
    reader.join().unwrap();
    assert_eq!(output.code, Some(0), "{}", output.err);
    Bundle::open(&dir.join("capture.zip"));
}

#[test]
fn a_signal_from_another_process_is_passed_on_from_the_foreground() {
    let Some(python) = peer("python3") else {
        return;
    };
    if !cfg!(target_os = "linux") || not_ignored(FORWARDED).len() < FORWARDED.len() {
        return crate::support::peers::report_skipped(
            "a system that reports the sender of a signal, with none ignored",
        );
    }
    let dir = TempDir::new();
    // spectral is the command's parent.
    let line = "trap 'echo caught INT; exit 9' INT; kill -INT $PPID; read line";
    let run = capture_run(&dir, &["-q"], &["sh", "-c", line]);
    let mut terminal = on_a_terminal(&python, &run, &dir);
    let _keyboard = terminal.stdin.take();
    let output = finish(terminal);
    assert_eq!((output.code, output.text().trim()), (Some(9), "caught INT"), "{}", output.err);
}
