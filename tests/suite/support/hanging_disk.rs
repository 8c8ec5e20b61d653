//! A file system that stops answering: bindfs, whose daemon is suspended.

use super::peers::{BackgroundProcess, peer, report_skipped};
use super::temp::TempDir;
use super::wait::eventually;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A folder on a file system that can hang.
#[derive(Debug)]
pub(crate) struct HangingDisk {
    mount: TempDir,
    _daemon: BackgroundProcess,
    pid: Pid,
    backing: TempDir,
}

/// The disk hangs until this is dropped.
#[derive(Debug)]
pub(crate) struct Hang(Pid);

impl HangingDisk {
    /// Mounts it. Returns `None`, and reports the test as skipped, if that is not possible.
    #[track_caller]
    pub(crate) fn mount() -> Option<Self> {
        let bindfs = peer("bindfs")?;
        let (backing, mount) = (TempDir::new(), TempDir::new());
        let mut command = Command::new(bindfs);
        command.arg("-f").args([backing.path(), mount.path()]).stdout(Stdio::null()).stderr(Stdio::null());
        let mut daemon = BackgroundProcess(command.spawn().unwrap());
        let pid = Pid::from_raw(daemon.0.id().try_into().unwrap());
        let mut ended = false;
        while !ended && !is_mounted(mount.path()) {
            ended = daemon.0.try_wait().unwrap().is_some();
        }
        if ended {
            report_skipped("bindfs");
            return None;
        }
        Some(Self { mount, _daemon: daemon, pid, backing })
    }

    /// Returns the path of `name` in it.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.mount.join(name)
    }

    /// Returns the path of `name` on the file system below, which does not hang.
    pub(crate) fn backing(&self, name: &str) -> PathBuf {
        self.backing.join(name)
    }

    /// Suspends the daemon: operations do not return until the returned value is dropped. Create it after the capture, so that it
    /// is dropped before if the test fails.
    pub(crate) fn hang(&self) -> Hang {
        kill(self.pid, Signal::SIGSTOP).unwrap();
        // The signal takes effect at some later moment.
        let stat = format!("/proc/{}/stat", self.pid);
        let state = || std::fs::read_to_string(&stat).unwrap().rsplit(") ").next().unwrap().to_owned();
        eventually(|| state().starts_with('T').then_some(()), state);
        Hang(self.pid)
    }
}

impl Drop for Hang {
    fn drop(&mut self) {
        kill(self.0, Signal::SIGCONT).ok();
    }
}

impl Drop for HangingDisk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(self.mount.path()).output().ok();
    }
}

fn is_mounted(path: &Path) -> bool {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
    let path = path.canonicalize().unwrap();
    mounts.lines().any(|line| line.split(' ').nth(1) == path.to_str())
}
