//! Other programs, where they are installed.

use super::wait::{TIMEOUT, within_timeout};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;

/// Returns the path of `program`; `None` if it is not installed.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    // Debian has servers in a folder that only root has in its path.
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let found = folders.map(|folder| folder.join(program)).find(|file| file.is_file())?;
    // A version manager may have a shim for a program that is not installed.
    let works = Command::new(&found).arg("--version").stdin(Stdio::null()).output();
    // These have no such option, or had none.
    let has_no_version = ["openssl", "apache2", "nginx", "ip", "tinyproxy", "microsocks", "danted"].contains(&program);
    (has_no_version || works.is_ok_and(|output| output.status.success())).then_some(found)
}

/// Returns the path of `program`. If it is missing, reports the test as skipped, or fails if `SPECTRAL_REQUIRE_PEERS` lists it.
#[track_caller]
pub(crate) fn peer(program: &str) -> Option<PathBuf> {
    found(program, find(program))
}

#[track_caller]
fn found(name: &str, path: Option<PathBuf>) -> Option<PathBuf> {
    if path.is_none() {
        report_skipped(name);
    }
    path
}

/// Returns the path of a script in `tests/peers/`.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(name)
}

/// Returns the folder of the Node module har-validator from `SPECTRAL_HAR_VALIDATOR`.
#[track_caller]
pub(crate) fn har_validator() -> Option<PathBuf> {
    let named = std::env::var_os("SPECTRAL_HAR_VALIDATOR").map(PathBuf::from);
    found("har-validator", named.filter(|folder| folder.is_dir()))
}

/// Returns a Python that has gRPC; if missing, it is reported as `grpcio`.
#[track_caller]
pub(crate) fn python_with_grpc() -> Option<PathBuf> {
    found("grpcio", find_python_with("grpc"))
}

/// Returns a Python that has `module`; if missing, it is reported by that name.
#[track_caller]
pub(crate) fn python_with(module: &str) -> Option<PathBuf> {
    found(module, find_python_with(module))
}

/// Tries the Python in `SPECTRAL_PYTHON`, or else `python3`.
fn find_python_with(module: &str) -> Option<PathBuf> {
    let named = std::env::var_os("SPECTRAL_PYTHON").map(PathBuf::from);
    named.or_else(|| find("python3")).filter(|python| {
        let import = format!("import {module}");
        let tried = Command::new(python).args(["-c", &import]).stdin(Stdio::null()).stderr(Stdio::null()).status();
        tried.is_ok_and(|status| status.success())
    })
}

/// Reports that this test is skipped because `what` is missing; fails if `SPECTRAL_REQUIRE_PEERS` lists it.
#[track_caller]
pub(crate) fn report_skipped(what: &str) {
    let required = std::env::var("SPECTRAL_REQUIRE_PEERS").unwrap_or_default();
    assert!(!required.split(',').any(|name| name.trim() == what), "{what} is required but missing");
    // Written directly to stderr: the harness shows captured output only if the test fails.
    let test = thread::current().name().unwrap_or_default().to_owned();
    writeln!(std::io::stderr(), "skipped, no {what}: {test}").ok();
}

/// Returns the newest Python; 3.13 and later verify certificates strictly.
#[track_caller]
pub(crate) fn newest_python() -> Option<PathBuf> {
    ["python3.15", "python3.14", "python3.13"].into_iter().find_map(find).or_else(|| peer("python3"))
}

/// The exit code and the output of a program.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: Option<i32>,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

impl Output {
    /// Returns its stdout as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }

    /// Fails unless its exit code is 0.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{}\n{}", self.text(), self.err);
        self
    }
}

/// Runs a program to its end within the timeout, without proxy settings from the environment.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Output {
    let child = without_proxy_settings(command)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    finish(child)
}

/// Removes proxy settings from a program's environment.
pub(crate) fn without_proxy_settings(command: &mut Command) -> &mut Command {
    for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        // Keeps variables that the caller has set.
        for name in [name.to_owned(), name.to_uppercase()] {
            if !command.get_envs().any(|(set, _)| set == name.as_str()) {
                command.env_remove(name);
            }
        }
    }
    command
}

/// Waits for the end of `child` within the timeout.
#[track_caller]
pub(crate) fn finish(mut child: Child) -> Output {
    let collect = |pipe: Option<Box<dyn Read + Send>>| {
        let (done, result) = mpsc::channel();
        if let Some(mut pipe) = pipe {
            thread::spawn(move || {
                let mut bytes = Vec::new();
                pipe.read_to_end(&mut bytes).ok();
                done.send(bytes)
            });
        }
        result
    };
    let out = collect(child.stdout.take().map(|pipe| Box::new(pipe) as _));
    let err = collect(child.stderr.take().map(|pipe| Box::new(pipe) as _));
    let status = wait(&mut child);
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let out = out.recv_timeout(TIMEOUT).unwrap_or_default();
    let err = text(err.recv_timeout(TIMEOUT).unwrap_or_default());
    match status {
        Some(status) => Output { code: status.code(), out, err },
        None => panic!("a program does not end; stdout: {}; stderr: {err}", text(out)),
    }
}

/// Waits for the end of `child`; kills it after the timeout and returns `None`.
pub(crate) fn wait(child: &mut Child) -> Option<std::process::ExitStatus> {
    let pid = nix::unistd::Pid::from_raw(child.id().try_into().unwrap());
    let (done, ended) = mpsc::channel::<()>();
    let watchdog = thread::spawn(move || {
        let late = ended.recv_timeout(2 * TIMEOUT) == Err(mpsc::RecvTimeoutError::Timeout);
        if late {
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).ok();
        }
        late
    });
    let status = child.wait().unwrap();
    drop(done);
    (!watchdog.join().unwrap()).then_some(status)
}

/// Starts a server that prints its port on the first line.
#[track_caller]
pub(crate) fn serve(command: &mut Command) -> (BackgroundProcess, u16) {
    let child = without_proxy_settings(command).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut server = BackgroundProcess(child);
    let mut lines = BufReader::new(server.0.stdout.take().unwrap());
    let port = within_timeout("a server's first line", move || {
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        line.trim().parse().unwrap_or_else(|_| panic!("a port: {line:?}"))
    });
    (server, port)
}

/// A program in the background; killed when dropped.
#[derive(Debug)]
pub(crate) struct BackgroundProcess(pub(crate) Child);

impl Drop for BackgroundProcess {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
