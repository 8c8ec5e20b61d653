//! An HTTP/2 client and origin that use Node: `tests/peers/http2_origin.js` and `http2_client.js`.

use super::ca::{CertSpec, TestCa};
use super::capture::Capture;
use super::peers::{BackgroundProcess, peer, run, script, serve};
use super::temp::TempDir;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;

/// A running origin.
#[derive(Debug)]
pub(crate) struct NodeOrigin {
    node: PathBuf,
    is_tls: bool,
    pub(crate) port: u16,
    _server: BackgroundProcess,
    _dir: TempDir,
}

impl NodeOrigin {
    /// Starts an origin that offers HTTP/2 and HTTP/1.1 over TLS; `None` without Node.
    #[track_caller]
    pub(crate) fn tls() -> Option<Self> {
        Self::offering(&["h2", "http/1.1"])
    }

    /// Starts an origin that offers one or both of these protocols over TLS.
    #[track_caller]
    pub(crate) fn offering(protocols: &[&str]) -> Option<Self> {
        let (node, dir) = (peer("node")?, TempDir::new());
        let (key, cert) = TestCa::trusted().issue(&CertSpec::default()).write(&dir);
        let mut command = Command::new(&node);
        command.arg(script("http2_origin.js")).args([key, cert]).arg(protocols.join(","));
        let (server, port) = serve(&mut command);
        Some(Self { node, is_tls: true, port, _server: server, _dir: dir })
    }

    /// Starts an origin with HTTP/2 in the clear, with prior knowledge.
    #[track_caller]
    pub(crate) fn plain() -> Option<Self> {
        let node = peer("node")?;
        let (server, port) = serve(Command::new(&node).arg(script("http2_origin.js")));
        Some(Self { node, is_tls: false, port, _server: server, _dir: TempDir::new() })
    }

    /// Returns `host:port`.
    pub(crate) fn authority(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// Returns the URL of `path`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", if self.is_tls { "https" } else { "http" }, self.authority())
    }

    /// Runs a client that sends `requests` one after another, through `capture` or directly; returns its report.
    #[track_caller]
    pub(crate) fn run_client(&self, capture: Option<&Capture>, requests: &Value) -> Value {
        self.run_client_with(capture, &json!({"offer": ["h2", "http/1.1"], "requests": requests}))
    }

    /// Runs a client with other settings, such as `at_once` or `offer`; returns its report.
    #[track_caller]
    pub(crate) fn run_client_with(&self, capture: Option<&Capture>, settings: &Value) -> Value {
        let mut job = settings.clone();
        job["proxy"] = capture.map(|capture| capture.addr.to_string()).into();
        job["host"] = "localhost".into();
        job["port"] = self.port.into();
        let ca = capture.map_or(&TestCa::trusted().pem, |capture| capture.ca.as_ref().unwrap());
        job["ca"] = self.is_tls.then(|| ca.to_str().unwrap()).into();
        let dir = TempDir::new();
        let job = dir.write("job.json", job.to_string());
        let output = run(Command::new(&self.node).arg(script("http2_client.js")).arg(job)).ok();
        serde_json::from_str(&output.text()).unwrap_or_else(|e| panic!("{e}: {output:?}"))
    }

    /// Asserts that the client's report is the same through `capture` and directly; returns it.
    #[track_caller]
    pub(crate) fn assert_same_as_direct(&self, capture: &Capture, requests: &Value) -> Value {
        let through = self.run_client(Some(capture), requests);
        assert_eq!(through, self.run_client(None, requests), "through the proxy and directly");
        through
    }
}

/// Returns a GET of `path`.
pub(crate) fn get(path: &str) -> Value {
    json!({"headers": {":path": path}})
}

/// Returns a POST to `path` with `body`.
pub(crate) fn post(path: &str, body: &str) -> Value {
    json!({"headers": {":path": path, ":method": "POST"}, "body": body})
}
