//! Programs that others wrote, if this machine has them.

use super::wait::{TIMEOUT, within_timeout};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;

/// The path of `program`, or `None` if it is not there.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())?;
    // A version manager's shim may stand for a program that is not installed.
    let works = Command::new(&found).arg("--version").stdin(Stdio::null()).output();
    let old = program == "openssl";
    (old || works.is_ok_and(|output| output.status.success())).then_some(found)
}

/// The path of `program`; says so if it is missing, and fails if `SPECTRAL_REQUIRE_PEERS` lists it.
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

/// The path of a script that a peer runs.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(name)
}

/// The folder of the Node module har-validator, which `SPECTRAL_HAR_VALIDATOR` names.
#[track_caller]
pub(crate) fn har_validator() -> Option<PathBuf> {
    let named = std::env::var_os("SPECTRAL_HAR_VALIDATOR").map(PathBuf::from);
    found("har-validator", named.filter(|folder| folder.is_dir()))
}

/// A Python that has gRPC. Missing, it is called `grpcio`.
#[track_caller]
pub(crate) fn python_with_grpc() -> Option<PathBuf> {
    found("grpcio", find_python_with("grpc"))
}

/// A Python that has `module`. Missing, it is called by the module's name.
#[track_caller]
pub(crate) fn python_with(module: &str) -> Option<PathBuf> {
    found(module, find_python_with(module))
}

/// The one that `SPECTRAL_PYTHON` names, else `python3`.
fn find_python_with(module: &str) -> Option<PathBuf> {
    let named = std::env::var_os("SPECTRAL_PYTHON").map(PathBuf::from);
    named.or_else(|| find("python3")).filter(|python| {
        let import = format!("import {module}");
        let tried = Command::new(python).args(["-c", &import]).stdin(Stdio::null()).stderr(Stdio::null()).status();
        tried.is_ok_and(|status| status.success())
    })
}

/// Says that this test is skipped for want of `what`, and fails if `SPECTRAL_REQUIRE_PEERS` lists that.
#[track_caller]
pub(crate) fn report_skipped(what: &str) {
    let required = std::env::var("SPECTRAL_REQUIRE_PEERS").unwrap_or_default();
    assert!(!required.split(',').any(|name| name.trim() == what), "{what} is required and not there");
    // Past the harness, which shows what a test prints only if it fails.
    let test = thread::current().name().unwrap_or_default().to_owned();
    writeln!(std::io::stderr(), "skipped, no {what}: {test}").ok();
}

/// The newest Python there is: 3.13 verifies certificates strictly.
#[track_caller]
pub(crate) fn newest_python() -> Option<PathBuf> {
    ["python3.15", "python3.14", "python3.13"].into_iter().find_map(find).or_else(|| peer("python3"))
}

/// What a program said and how it ended.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: Option<i32>,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

impl Output {
    /// What it wrote to stdout.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }

    /// Fails unless it ended well.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{}\n{}", self.text(), self.err);
        self
    }
}

/// Runs a program to its end, in time, without the proxy settings that the suite itself may run under.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Output {
    let child = clean(command).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    finish(child)
}

/// Takes the proxy settings out of a program's environment.
pub(crate) fn clean(command: &mut Command) -> &mut Command {
    for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        // Only where the caller has not set it.
        for name in [name.to_owned(), name.to_uppercase()] {
            if !command.get_envs().any(|(set, _)| set == name.as_str()) {
                command.env_remove(name);
            }
        }
    }
    command
}

/// Waits for the end of `child`, in time.
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
        None => panic!("a program does not end; it said {} and {err}", text(out)),
    }
}

/// Waits for the end of `child`; kills it if that takes too long.
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

/// Starts a server that says its port in its first line.
#[track_caller]
pub(crate) fn serve(command: &mut Command) -> (BackgroundProcess, u16) {
    let child = clean(command).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut server = BackgroundProcess(child);
    let mut lines = BufReader::new(server.0.stdout.take().unwrap());
    let port = within_timeout("a server's first line", move || {
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        line.trim().parse().unwrap_or_else(|_| panic!("a port: {line:?}"))
    });
    (server, port)
}

/// A program that runs beside the test and is killed at its end.
#[derive(Debug)]
pub(crate) struct BackgroundProcess(pub(crate) Child);

impl Drop for BackgroundProcess {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
