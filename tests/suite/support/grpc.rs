//! A gRPC client and origin that use Python's grpcio: `tests/peers/grpc_origin.py` and `grpc_client.py`.

use super::ca::{CertSpec, TestCa};
use super::capture::Capture;
use super::peers::{BackgroundProcess, python_with_grpc, run, script, serve};
use super::temp::TempDir;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A running origin.
#[derive(Debug)]
pub(crate) struct GrpcOrigin {
    python: PathBuf,
    is_tls: bool,
    port: u16,
    _server: BackgroundProcess,
    _dir: TempDir,
}

impl GrpcOrigin {
    /// Starts an origin with TLS; `None` without grpcio.
    #[track_caller]
    pub(crate) fn tls() -> Option<Self> {
        let (python, dir) = (python_with_grpc()?, TempDir::new());
        let (key, cert) = TestCa::trusted().issue(&CertSpec::default()).write(&dir);
        let (server, port) = serve(Command::new(&python).arg(script("grpc_origin.py")).args([key, cert]));
        Some(Self { python, is_tls: true, port, _server: server, _dir: dir })
    }

    /// Starts an origin in the clear; `None` without grpcio.
    #[track_caller]
    pub(crate) fn plain() -> Option<Self> {
        let python = python_with_grpc()?;
        let (server, port) = serve(Command::new(&python).arg(script("grpc_origin.py")));
        Some(Self { python, is_tls: false, port, _server: server, _dir: TempDir::new() })
    }

    /// Returns the URL of a method.
    pub(crate) fn url(&self, method: &str) -> String {
        format!("{}://localhost:{}/peer.Peer/{method}", if self.is_tls { "https" } else { "http" }, self.port)
    }

    /// Runs a client that makes `calls`, through `capture` or directly; returns its report.
    #[track_caller]
    pub(crate) fn run_client(&self, capture: Option<&Capture>, calls: &[&str]) -> String {
        let ca = capture.map_or(&TestCa::trusted().pem, |capture| capture.ca.as_ref().unwrap());
        self.run_client_with(capture.map(|capture| capture.addr), ca, calls)
    }

    /// Runs a client that makes `calls`, through the proxy at `proxy` or directly, and trusts `ca`; returns its report.
    #[track_caller]
    pub(crate) fn run_client_with(&self, proxy: Option<SocketAddr>, ca: &Path, calls: &[&str]) -> String {
        let mut command = Command::new(&self.python);
        if let Some(proxy) = proxy {
            command.env("grpc_proxy", format!("http://{proxy}"));
        }
        let ca = if self.is_tls { ca.to_str().unwrap() } else { "-" };
        command.arg(script("grpc_client.py")).args([&format!("localhost:{}", self.port), ca]).args(calls);
        run(&mut command).ok().text()
    }

    /// Asserts that the client's report is the same through `capture` and directly; returns it.
    #[track_caller]
    pub(crate) fn assert_same_as_direct(&self, capture: &Capture, calls: &[&str]) -> String {
        let through = self.run_client(Some(capture), calls);
        assert_eq!(through, self.run_client(None, calls), "through the proxy and directly");
        through
    }
}

/// Returns the length-prefixed messages of a body; each has a flag that is true if it is compressed.
#[track_caller]
pub(crate) fn messages(mut body: &[u8]) -> Vec<(bool, &[u8])> {
    let mut all = Vec::new();
    while let Some(([packed, length @ ..], rest)) = body.split_first_chunk::<5>() {
        let (message, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
        all.push((*packed == 1, message));
        body = rest;
    }
    assert!(body.is_empty(), "incomplete message: {body:?}");
    all
}
