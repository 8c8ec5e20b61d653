//! Runs the built program.

use super::ca::TestCa;
use super::peers::{Output, wait, without_proxy_settings};
use super::proxy_process::Resources;
use super::temp::TempDir;
use super::wait::{TIMEOUT, Watched, eventually};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};

/// Runs `spectral` with `args` in `dir` and waits for its end.
#[track_caller]
pub(crate) fn spectral(dir: &TempDir, args: &[&str]) -> Output {
    super::peers::run(&mut command(dir, args))
}

/// Returns the command `spectral` with `args`; `dir` is its home and working directory.
pub(crate) fn command(dir: &TempDir, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spectral"));
    command.args(args).current_dir(dir.path()).env("HOME", dir.path());
    command
}

/// Returns a shell command that runs `commands`, then `spectral capture proxy -p 0`, which trusts the suite's origins.
pub(crate) fn shell(shell: impl AsRef<OsStr>, dir: &TempDir, commands: &str) -> Command {
    let mut command = Command::new(shell);
    let line = format!("{commands}; exec \"$0\" capture proxy -p 0 --upstream-ca \"$1\"");
    command.args(["-c", &line, env!("CARGO_BIN_EXE_spectral")]).arg(&TestCa::trusted().pem);
    command.current_dir(dir.path()).env("HOME", dir.path());
    command
}

/// Returns the command `spectral capture run ARGS -- RUN`, which trusts the suite's origins.
pub(crate) fn capture_run<A: AsRef<OsStr>>(dir: &TempDir, args: &[&str], run: &[A]) -> Command {
    let mut command = command(dir, &["capture", "run", "--upstream-ca"]);
    command.arg(&TestCa::trusted().pem).args(args).arg("--").args(run);
    command
}

/// A running `spectral`.
#[derive(Debug)]
pub(crate) struct Spectral {
    child: Child,
    /// Lines of stderr so far.
    pub(crate) err: Watched<Vec<String>>,
    readers: Vec<JoinHandle<()>>,
    out: Watched<Vec<u8>>,
    /// The address on which it listens.
    pub(crate) addr: SocketAddr,
}

impl Spectral {
    /// Starts `spectral capture proxy -p 0` with `args`, which trusts the suite's origins; returns when it listens.
    #[track_caller]
    pub(crate) fn capture(dir: &TempDir, args: &[&str]) -> Self {
        let ca = TestCa::trusted().pem.to_str().unwrap();
        let mut all = vec!["capture", "proxy", "-p", "0", "--upstream-ca", ca];
        all.extend(args);
        Self::start(command(dir, &all))
    }

    /// Starts `spectral capture discover -p 0` with `args`; returns when it listens.
    #[track_caller]
    pub(crate) fn discover(dir: &TempDir, args: &[&str]) -> Self {
        let mut all = vec!["capture", "discover", "-p", "0"];
        all.extend(args);
        Self::start(command(dir, &all))
    }

    /// Starts `spectral capture proxy -p 0` with SIGHUP ignored, as under nohup; returns when it listens.
    #[track_caller]
    pub(crate) fn under_nohup(dir: &TempDir) -> Self {
        Self::after_shell(dir, "trap '' HUP")
    }

    /// Runs shell `commands` such as `ulimit -n 40`, then does [`Spectral::capture`].
    #[track_caller]
    pub(crate) fn after_shell(dir: &TempDir, commands: &str) -> Self {
        Self::start(shell("/bin/sh", dir, commands))
    }

    /// Starts `command`, which runs `spectral`; returns when it has printed the address on which it listens.
    #[track_caller]
    pub(crate) fn start(mut command: Command) -> Self {
        without_proxy_settings(&mut command).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (err, out) = (Watched::<Vec<String>>::default(), Watched::<Vec<u8>>::default());
        let mut readers = Vec::new();
        let (pipe, lines) = (child.stderr.take().unwrap(), err.clone());
        readers.push(thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while pipe.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
                let text = String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned();
                lines.update(|all| all.push(text));
                line.clear();
            }
        }));
        let (mut pipe, bytes) = (child.stdout.take().unwrap(), out.clone());
        readers.push(thread::spawn(move || {
            let mut all = Vec::new();
            pipe.read_to_end(&mut all).ok();
            bytes.update(|bytes| *bytes = all);
        }));
        let addr = err.within(TIMEOUT, |lines| lines.iter().find_map(|line| listening(line)));
        let Some(addr) = addr else {
            child.kill().ok();
            child.wait().ok();
            panic!("no address in {:?}", err.read(Clone::clone));
        };
        Self { child, err, readers, out, addr }
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap())
    }

    /// Sends a signal to it.
    #[track_caller]
    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Waits for a line of stderr that contains `part`.
    #[track_caller]
    pub(crate) fn wait_for_line(&self, part: &str) -> String {
        self.err.until(&format!("a line with {part:?}"), |lines| lines.iter().find(|line| line.contains(part)).cloned())
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait_for_exit(mut self) -> Output {
        let status = wait(&mut self.child);
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        let err = self.err.read(|lines| lines.join("\n"));
        let status = status.unwrap_or_else(|| panic!("does not end; stderr: {err}"));
        Output { code: status.code(), out: self.out.read(Clone::clone), err }
    }

    /// Waits until its main thread has ended; the kernel may keep other threads. Linux only.
    #[track_caller]
    pub(crate) fn wait_for_end_of_main_thread(&self) {
        let stat = || std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let is_zombie = || stat().rsplit(") ").next().is_some_and(|fields| fields.starts_with('Z'));
        eventually(|| is_zombie().then_some(()), stat);
    }

    /// Sends SIGINT, as Ctrl+C does, and waits for its end.
    #[track_caller]
    pub(crate) fn interrupt(self) -> Output {
        self.signal(Signal::SIGINT);
        self.wait_for_exit()
    }

    /// Returns the number of its threads and descriptors; `None` without /proc.
    pub(crate) fn resources(&self) -> Option<Resources> {
        let count = |what| Some(std::fs::read_dir(format!("/proc/{}/{what}", self.child.id())).ok()?.count());
        Some(Resources { threads: count("task")?, descriptors: count("fd")? })
    }

    /// Returns the number of times that its thread `name` has gone to sleep; `None` without /proc.
    pub(crate) fn sleeps_of_thread(&self, name: &str) -> Option<u64> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).ok()?;
        let file = |task: &Path, file: &str| std::fs::read_to_string(task.join(file)).unwrap_or_default();
        let task = tasks.flatten().map(|task| task.path()).find(|task| file(task, "comm").trim() == name)?;
        let status = file(&task, "status");
        status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?.trim().parse().ok()
    }

    /// Returns its peak resident memory in KiB; `None` without /proc.
    pub(crate) fn peak_memory(&self) -> Option<usize> {
        peak_memory(&self.child)
    }

    /// Returns its CPU time in clock ticks of 10 ms; `None` without /proc.
    pub(crate) fn cpu_ticks(&self) -> Option<u64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).ok()?;
        let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
    }
}

/// Returns the peak resident memory of a process in KiB; `None` without /proc.
pub(crate) fn peak_memory(process: &Child) -> Option<usize> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

impl Drop for Spectral {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Returns the address in a line of the banner, if it has one.
fn listening(line: &str) -> Option<SocketAddr> {
    line.split(|c: char| c.is_whitespace() || matches!(c, '/' | ',' | ';' | '(' | ')')).find_map(|word| {
        let addr: SocketAddr = word.trim_end_matches('.').parse().ok()?;
        (addr.port() != 0).then_some(addr)
    })
}

/// Returns the path of the CA certificate in a home folder.
pub(crate) fn ca_in(home: &Path) -> std::path::PathBuf {
    home.join(".mitmproxy/mitmproxy-ca-cert.pem")
}
