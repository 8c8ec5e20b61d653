//! The built program under a scenario, after which it must hold no more than before: its threads and descriptors are counted.
//!
//! ```text
//! start ─▶ count ─▶ scenario ─▶ count until it is no more than before ─▶ SIGINT ─▶ bundle, checked
//! ```
//!
//! A process of its own, since the tests of one process run side by side and open what they like.

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

/// What a process holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resources {
    pub(crate) threads: usize,
    pub(crate) descriptors: usize,
}

impl ProxyProcess {
    /// Captures everything.
    #[track_caller]
    pub(crate) fn start() -> Self {
        let dir = TempDir::new();
        Self::over(Spectral::capture(&dir, &[]), dir)
    }

    /// The same after `commands` of the shell, such as `ulimit -n 40`.
    #[track_caller]
    pub(crate) fn after(commands: &str) -> Self {
        let dir = TempDir::new();
        Self::over(Spectral::after(&dir, commands), dir)
    }

    /// The same with no more than `most` threads; `None`, which is said, where that cannot be had. The limit is a user's and does
    /// not bind root: root alone can run it, as `user`, who is to run nothing else.
    #[track_caller]
    pub(crate) fn with_threads(most: usize, user: u32) -> Option<Self> {
        let (prlimit, setpriv) = (peer("prlimit")?, peer("setpriv")?);
        let dir = TempDir::new();
        if std::fs::metadata(dir.path()).unwrap().uid() != 0 {
            peers::report_skipped("root");
            return None;
        }
        let mut command = Command::new(prlimit);
        command.arg(format!("--nproc={most}")).arg(setpriv);
        command.args(["--ruid", &user.to_string(), "--bounding-set", "-sys_admin,-sys_resource"]);
        command.arg(env!("CARGO_BIN_EXE_spectral")).args(["capture", "proxy", "-p", "0"]);
        command.current_dir(dir.path()).env("HOME", dir.path());
        Some(Self::over(Spectral::start(command), dir))
    }

    /// With `running`, which is at home in `dir`.
    pub(crate) fn over(running: Spectral, dir: TempDir) -> Self {
        Self { before: running.resources(), running, dir }
    }

    /// What it held before there was any connection; `None` where that cannot be known.
    pub(crate) fn initial_resources(&self) -> Option<Resources> {
        self.before
    }

    /// A connection to the proxy.
    #[track_caller]
    pub(crate) fn dial(&self) -> Connection {
        Connection::to(self.running.addr)
    }

    /// A connection on which a tunnel to `target` was asked for.
    #[track_caller]
    pub(crate) fn send_connect(&self, target: &str) -> Connection {
        let mut connection = self.dial();
        connection.send(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"));
        connection
    }

    /// A tunnel to `target`.
    #[track_caller]
    pub(crate) fn connect(&self, target: &str) -> Connection {
        let mut connection = self.send_connect(target);
        let head = connection.head();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        connection
    }

    /// A TLS client that trusts the proxy and calls the origin `localhost`.
    #[track_caller]
    pub(crate) fn client(&self) -> TlsClient {
        TlsClient::new("localhost", super::ca::certificates(&ca_in(self.dir.path())))
    }

    /// TLS through a tunnel to `target`.
    #[track_caller]
    pub(crate) fn tls(&self, target: &str) -> Connection {
        let mut connection = self.connect(target);
        self.client().start(&mut connection).unwrap_or_else(|e| panic!("TLS through {target}: {e}"));
        connection
    }

    /// Waits until it holds no more than at the start.
    #[track_caller]
    pub(crate) fn wait_for_release(&self) {
        let Some(before) = self.before else { return };
        let fits = |held: Resources| held.threads <= before.threads && held.descriptors <= before.descriptors;
        eventually(
            || self.running.resources().filter(|held| fits(*held)),
            || format!("{:?} are held, {before:?} before", self.running.resources()),
        );
    }

    /// Waits until it holds no more than at the start, ends it, and reads and checks its bundle, which is complete.
    #[track_caller]
    pub(crate) fn end(self) -> (Bundle, Output) {
        let (bundle, output) = self.end_with_losses();
        assert_eq!(output.code, Some(0), "{}", output.err);
        (bundle, output)
    }

    /// The same, if the bundle may lack something.
    #[track_caller]
    pub(crate) fn end_with_losses(self) -> (Bundle, Output) {
        self.wait_for_release();
        let output = self.running.interrupt();
        assert!(!output.err.contains("panicked"), "{}", output.err);
        (Bundle::open(&self.dir.join("capture.zip")), output)
    }
}
