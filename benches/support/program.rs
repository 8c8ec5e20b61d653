//! A proxy under measurement, in a process of its own so that its memory and CPU time can be read separately.

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A running proxy.
pub(crate) struct Program {
    child: Child,
    stderr: BufReader<ChildStderr>,
    pub(crate) addr: SocketAddr,
}

impl Program {
    /// Starts `spectral capture proxy`. It captures into `capture.zip` in `dir`, with its CA in `ca` there.
    pub(crate) fn spectral(dir: &Path, more: &[&str]) -> Self {
        Self::start_build(Path::new(env!("CARGO_BIN_EXE_spectral")), dir, more)
    }

    /// Starts another build of `spectral` in the same way.
    pub(crate) fn start_build(program: &Path, dir: &Path, more: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(["capture", "proxy", "-q", "-p", "0", "-o"]).arg(dir.join("capture.zip"));
        command.arg("--ca-dir").arg(dir.join("ca")).args(more);
        Self::start(command)
    }

    /// Starts this benchmark's own program as the reference proxy, [`super::floor`].
    pub(crate) fn floor(dir: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("--floor").arg(dir);
        Self::start(command)
    }

    fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        let addr = line.trim().parse().expect("the first line is the address");
        Self { child, stderr, addr }
    }

    /// Returns the CPU time of all its threads so far, including those that ended; `None` without /proc.
    pub(crate) fn cpu(&self) -> Option<Duration> {
        let (_, fields) = stat(&self.proc("stat"))?;
        let ticks = fields.get(USER)?.parse::<u64>().ok()? + fields.get(SYSTEM)?.parse::<u64>().ok()?;
        Some(Duration::from_secs(ticks) / TICKS)
    }

    /// Waits until it is idle, then returns [`Program::cpu`].
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

    /// Returns true if one of its threads is runnable or waits for the disk.
    fn is_busy(&self) -> bool {
        let threads = fs::read_dir(self.proc("task")).into_iter().flatten().flatten();
        threads.filter_map(|thread| stat(&thread.path().join("stat"))).any(|(state, _)| state != "S")
    }

    fn proc(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.child.id()))
    }

    /// Returns its peak resident memory in MB; `None` once it has ended.
    pub(crate) fn peak(&self) -> Option<u64> {
        Some(self.status("VmHWM:")? / 1024)
    }

    /// Returns its resident memory in KB; `None` without /proc.
    pub(crate) fn resident(&self) -> Option<u64> {
        self.status("VmRSS:")
    }

    /// Returns the number of its threads; `None` without /proc.
    pub(crate) fn threads(&self) -> Option<u64> {
        self.status("Threads:")
    }

    /// Returns the number of its open descriptors, and the bytes on disk of open files that have no name; `None` without /proc.
    pub(crate) fn descriptors(&self) -> Option<(u64, u64)> {
        let (mut count, mut unlinked) = (0, 0);
        for entry in fs::read_dir(self.proc("fd")).ok()?.flatten() {
            count += 1;
            // It may have been closed meanwhile.
            let file = fs::metadata(entry.path()).ok().filter(|file| file.is_file() && file.nlink() == 0);
            unlinked += file.map_or(0, |file| file.blocks() * 512);
        }
        Some((count, unlinked))
    }

    fn status(&self, field: &str) -> Option<u64> {
        let status = fs::read_to_string(self.proc("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        line.trim().trim_end_matches(" kB").parse().ok()
    }

    /// Sends SIGTERM, which ends a capture as Ctrl+C does, and waits until it has ended. (SIGINT is ignored if the benchmark
    /// runs in the background of a shell without job control.)
    pub(crate) fn stop(self) -> Stopped {
        self.end(STOP_TIMEOUT)
    }

    /// As [`Program::stop`], and sends a second signal if it has not ended after `patience`. [`Stopped::took`] then is the time
    /// from the second signal.
    pub(crate) fn stop_in_a_hurry(self, patience: Duration) -> Stopped {
        self.end(patience)
    }

    fn end(mut self, patience: Duration) -> Stopped {
        let ended_before = cpu_of_ended_children();
        let mut began = Instant::now();
        let mut patience = Some(patience);
        self.terminate();
        let mut peak = None;
        let status = loop {
            peak = self.peak().or(peak);
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None => {
                    if patience.take_if(|patience| began.elapsed() >= *patience).is_some() {
                        began = Instant::now();
                        self.terminate();
                    }
                    assert!(began.elapsed() < STOP_TIMEOUT, "the program has not ended {STOP_TIMEOUT:?} after SIGTERM");
                    thread::sleep(Duration::from_millis(1));
                }
            }
        };
        let took = began.elapsed();
        let cpu = cpu_of_ended_children().saturating_sub(ended_before);
        let mut stderr = String::new();
        self.stderr.read_to_string(&mut stderr).unwrap();
        Stopped { status, took, cpu, peak, stderr }
    }

    fn terminate(&self) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    }
}

impl Drop for Program {
    /// Ends the process if the benchmark fails.
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

/// The result of a program that has ended.
pub(crate) struct Stopped {
    pub(crate) status: ExitStatus,
    /// The time from the signal to the end.
    pub(crate) took: Duration,
    /// The CPU time of all its threads, from its start to its end.
    pub(crate) cpu: Duration,
    /// Peak resident memory in MB; `None` without /proc.
    pub(crate) peak: Option<u64>,
    /// Its output to stderr after the address.
    pub(crate) stderr: String,
}

/// Returns the CPU time of all child processes that were waited for.
fn cpu_of_ended_children() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    let seconds =
        |time: nix::sys::time::TimeVal| Duration::new(time.tv_sec().try_into().unwrap(), time.tv_usec() as u32 * 1000);
    seconds(usage.user_time()) + seconds(usage.system_time())
}

/// Returns the state and the later fields of a process's or thread's `stat` file, proc(5).
fn stat(file: &Path) -> Option<(String, Vec<String>)> {
    let stat = fs::read_to_string(file).ok()?;
    // The second field is the name in parentheses, which may itself contain spaces and parentheses.
    let mut fields = stat.rsplit(") ").next()?.split(' ').map(str::to_owned);
    Some((fields.next()?, fields.collect()))
}

/// The positions of `utime` and `stime` after the state.
const USER: usize = 10;
const SYSTEM: usize = 11;

/// Clock ticks per second in proc(5). Linux reports 100, whatever the kernel's timer frequency.
const TICKS: u32 = 100;

/// Longer than any stop takes: 1 GB in flight is compressed and written in some seconds.
const STOP_TIMEOUT: Duration = Duration::from_secs(120);

/// Interval of the idle check; longer than any wait of a busy thread, except for the disk.
const REST: Duration = Duration::from_millis(40);
