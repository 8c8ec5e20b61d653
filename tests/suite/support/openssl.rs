//! An origin that is `openssl s_server`.

use super::ca::Identity;
use super::peers::{BackgroundProcess, without_proxy_settings};
use super::temp::TempDir;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// A running `openssl s_server` that serves files of its folder over HTTP.
#[derive(Debug)]
pub(crate) struct OpensslOrigin {
    pub(crate) port: u16,
    _server: BackgroundProcess,
    _dir: Option<TempDir>,
}

impl OpensslOrigin {
    /// Starts it with a certificate and further `options`; `None` if this OpenSSL lacks one of them.
    pub(crate) fn start(openssl: &Path, identity: Identity, options: &[&str]) -> Option<Self> {
        let dir = TempDir::new();
        identity.write(&dir);
        let origin = Self::start_in(openssl, &dir, options)?;
        Some(Self { _dir: Some(dir), ..origin })
    }

    /// Starts it with `key.pem` and `cert.pem` in `dir`, and further `options`; `None` if this OpenSSL lacks one of them.
    pub(crate) fn start_in(openssl: &Path, dir: &TempDir, options: &[&str]) -> Option<Self> {
        let server = without_proxy_settings(&mut Command::new(openssl))
            .args(["s_server", "-accept", "127.0.0.1:0", "-HTTP", "-key", "key.pem", "-cert", "cert.pem"])
            .args(options)
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut server = BackgroundProcess(server);
        let mut lines = BufReader::new(server.0.stdout.take().unwrap()).lines();
        let port = lines.find_map(|line| line.ok()?.strip_prefix("ACCEPT ")?.rsplit(':').next()?.parse().ok())?;
        // It keeps writing to stdout, so the pipe must be drained.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self { port, _server: server, _dir: None })
    }
}
