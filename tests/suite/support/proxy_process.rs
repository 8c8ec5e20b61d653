//! The built program as a process whose threads and descriptors are counted: after a scenario it must hold no more than before.
//!
//! ```text
//! start ─▶ count ─▶ scenario ─▶ wait until the count is back ─▶ SIGINT ─▶ bundle, checked
//! ```
//!
//! It is a separate process, because the tests of one process run concurrently and open descriptors too.

use super::bundle::Bundle;
use super::capture::TlsClient;
use super::cli::{Spectral, ca_in};
use super::connection::Connection;
use super::peers::{self, Output, peer};
use super::temp::TempDir;
use super::wait::eventually;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

/// A `spectral capture proxy` whose threads and descriptors are counted.
#[derive(Debug)]
pub(crate) struct ProxyProcess {
    pub(crate) running: Spectral,
    pub(crate) dir: TempDir,
    before: Option<Resources>,
}

/// The resources of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resources {
    pub(crate) threads: usize,
    pub(crate) descriptors: usize,
}

impl ProxyProcess {
    /// Starts a capture of all hosts.
    #[track_caller]
    pub(crate) fn start() -> Self {
        let dir = TempDir::new();
        Self::from_running(Spectral::capture(&dir, &[]), dir)
    }

    /// Runs shell `commands` such as `ulimit -n 40`, then starts a capture.
    #[track_caller]
    pub(crate) fn after_shell(commands: &str) -> Self {
        let dir = TempDir::new();
        Self::from_running(Spectral::after_shell(&dir, commands), dir)
    }

    /// Starts a capture that can have at most `max` threads; `None`, reported as skipped, where that is impossible. The limit
    /// applies to a user and not to root. Therefore root runs the program as `user`, who must have no other processes.
    #[track_caller]
    pub(crate) fn with_max_threads(max: usize, user: u32) -> Option<Self> {
        let (prlimit, setpriv) = (peer("prlimit")?, peer("setpriv")?);
        let dir = TempDir::new();
        if std::fs::metadata(dir.path()).unwrap().uid() != 0 {
            peers::report_skipped("root");
            return None;
        }
        let mut command = Command::new(prlimit);
        command.arg(format!("--nproc={max}")).arg(setpriv);
        command.args(["--ruid", &user.to_string(), "--bounding-set", "-sys_admin,-sys_resource"]);
        command.arg(env!("CARGO_BIN_EXE_spectral")).args(["capture", "proxy", "-p", "0"]);
        command.current_dir(dir.path()).env("HOME", dir.path());
        Some(Self::from_running(Spectral::start(command), dir))
    }

    /// Uses `running`, whose home is `dir`.
    pub(crate) fn from_running(running: Spectral, dir: TempDir) -> Self {
        Self { before: running.resources(), running, dir }
    }

    /// Opens a connection to the proxy.
    #[track_caller]
    pub(crate) fn dial(&self) -> Connection {
        Connection::to(self.running.addr)
    }

    /// Sends CONNECT for `target` on a new connection.
    #[track_caller]
    pub(crate) fn send_connect(&self, target: &str) -> Connection {
        let mut connection = self.dial();
        connection.send(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"));
        connection
    }

    /// Opens a tunnel to `target`.
    #[track_caller]
    pub(crate) fn connect(&self, target: &str) -> Connection {
        let mut connection = self.send_connect(target);
        let head = connection.read_head();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        connection
    }

    /// Sends CONNECT for `target` and a ClientHello. Until the origin answers, the connection holds a thread.
    #[track_caller]
    pub(crate) fn send_hello(&self, target: &str) -> Connection {
        let mut connection = self.send_connect(target);
        connection.send(self.client().hello());
        connection
    }

    /// Waits until it has no more threads than without connections; returns false if they cannot be counted, or threads are
    /// not released.
    #[track_caller]
    pub(crate) fn wait_until_idle(&self) -> bool {
        if !cfg!(target_os = "linux") {
            peers::report_skipped("epoll");
            return false;
        }
        let threads = || self.running.resources().unwrap().threads;
        eventually(|| (threads() <= self.before.unwrap().threads).then_some(()), || format!("{} threads", threads()));
        true
    }

    /// Returns a TLS client that trusts the proxy and verifies `localhost`.
    #[track_caller]
    pub(crate) fn client(&self) -> TlsClient {
        TlsClient::new("localhost", super::ca::certificates(&ca_in(self.dir.path())))
    }

    /// Opens TLS through a tunnel to `target`.
    #[track_caller]
    pub(crate) fn tls(&self, target: &str) -> Connection {
        let mut connection = self.connect(target);
        self.client().start(&mut connection).unwrap_or_else(|e| panic!("TLS through {target}: {e}"));
        connection
    }

    /// Waits until it holds no more resources than at the start.
    #[track_caller]
    pub(crate) fn wait_for_release(&self) {
        let Some(before) = self.before else { return };
        let fits = |held: Resources| held.threads <= before.threads && held.descriptors <= before.descriptors;
        eventually(
            || self.running.resources().filter(|held| fits(*held)),
            || format!("{:?} now, {before:?} at the start", self.running.resources()),
        );
    }

    /// Waits until it holds no more resources than at the start, stops it, then checks and reads its bundle. Nothing may be lost.
    #[track_caller]
    pub(crate) fn stop(self) -> (Bundle, Output) {
        let (bundle, output) = self.stop_with_losses();
        assert_eq!(output.code, Some(0), "{}", output.err);
        (bundle, output)
    }

    /// Does the same as [`ProxyProcess::stop`], but permits losses.
    #[track_caller]
    pub(crate) fn stop_with_losses(self) -> (Bundle, Output) {
        self.wait_for_release();
        let output = self.running.interrupt();
        assert!(!output.err.contains("panicked"), "{}", output.err);
        (Bundle::open(&self.dir.join("capture.zip")), output)
    }
}
