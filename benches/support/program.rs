//! What is measured runs as a process of its own, so that its memory and its CPU time are its own too.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A proxy that runs.
pub(crate) struct Program {
    child: Child,
    said: BufReader<ChildStderr>,
    pub(crate) addr: SocketAddr,
}

impl Program {
    /// The program as its users run it, capturing into `capture.zip` in `dir`, with the CA there in `ca`.
    pub(crate) fn spectral(dir: &Path, more: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_spectral"));
        command.args(["capture", "proxy", "-q", "-p", "0", "-o"]).arg(dir.join("capture.zip"));
        command.arg("--ca-dir").arg(dir.join("ca")).args(more);
        Self::start(command)
    }

    /// This benchmark again, as [`super::floor`].
    pub(crate) fn floor(dir: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("--floor").arg(dir);
        Self::start(command)
    }

    fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        let addr = line.trim().parse().expect("an address in its first line");
        Self { child, said, addr }
    }

    /// The CPU time that it took so far, all its threads together, those that ended too; `None` where there is no /proc.
    pub(crate) fn cpu(&self) -> Option<Duration> {
        let (_, fields) = stat(&self.proc("stat"))?;
        let ticks = fields.get(USER)?.parse::<u64>().ok()? + fields.get(SYSTEM)?.parse::<u64>().ok()?;
        Some(Duration::from_secs(ticks) / TICKS)
    }

    /// Waits until it has nothing more to do, and says what [`Program::cpu`] is then.
    pub(crate) fn cpu_at_rest(&self) -> Option<Duration> {
        let mut before = self.cpu();
        loop {
            thread::sleep(REST);
            let now = self.cpu();
            if now == before && !self.is_busy() {
                return now;
            }
            before = now;
        }
    }

    /// Whether a thread of it wants the processor or waits for the disk.
    fn is_busy(&self) -> bool {
        let threads = fs::read_dir(self.proc("task")).into_iter().flatten().flatten();
        threads.filter_map(|thread| stat(&thread.path().join("stat"))).any(|(state, _)| state != "S")
    }

    fn proc(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.child.id()))
    }

    /// The most it was resident so far, in MB; `None` once it is gone.
    pub(crate) fn peak(&self) -> Option<u64> {
        Some(self.memory("VmHWM:")? / 1024)
    }

    /// How much of it is resident, in KB; `None` where there is no /proc.
    pub(crate) fn resident(&self) -> Option<u64> {
        self.memory("VmRSS:")
    }

    fn memory(&self, field: &str) -> Option<u64> {
        let status = fs::read_to_string(self.proc("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        line.trim().trim_end_matches(" kB").parse().ok()
    }

    /// Interrupts it as Ctrl+C does, and waits for its end.
    pub(crate) fn stop(mut self) -> Stopped {
        let began = Instant::now();
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
        let mut peak = None;
        let status = loop {
            peak = self.peak().or(peak);
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None => thread::sleep(Duration::from_millis(1)),
            }
        };
        let took = began.elapsed();
        let mut said = String::new();
        self.said.read_to_string(&mut said).unwrap();
        Stopped { status, took, peak, said }
    }
}

impl Drop for Program {
    /// A benchmark that fails leaves nothing behind that runs.
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

/// A program that has ended.
pub(crate) struct Stopped {
    pub(crate) status: ExitStatus,
    /// From the signal to its end.
    pub(crate) took: Duration,
    /// The most it was ever resident, in MB, if that could be seen.
    pub(crate) peak: Option<u64>,
    /// What it said after its address.
    pub(crate) said: String,
}

/// What proc(5)'s `stat` says of a process or thread: its state, and all that follows it.
fn stat(file: &Path) -> Option<(String, Vec<String>)> {
    let stat = fs::read_to_string(file).ok()?;
    // Its second field is a name in parentheses, and the name may have anything in it.
    let mut fields = stat.rsplit(") ").next()?.split(' ').map(str::to_owned);
    Some((fields.next()?, fields.collect()))
}

/// Where `utime` and `stime` stand, counted from behind the state.
const USER: usize = 10;
const SYSTEM: usize = 11;

/// In a second; Linux shows programs a hundred, whatever its own clock does.
const TICKS: u32 = 100;

/// Longer than anything waits that has something to do, but for a disk.
const REST: Duration = Duration::from_millis(40);
