//! Apache as an origin.

use super::ca::{CertSpec, TestCa};
use super::peers::{BackgroundProcess, peer, without_proxy_settings};
use super::temp::TempDir;
use super::wait::eventually;
use std::cell::RefCell;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A running Apache. It serves `/page`, and `/private/page` to clients with a certificate that [`TestCa::trusted`]
/// issued: it requests that after the request.
pub(crate) struct Apache {
    pub(crate) port: u16,
    dir: TempDir,
    _process: BackgroundProcess,
}

impl Apache {
    /// Starts Apache with one version of TLS, such as `TLSv1.2`; `None` if it is not installed.
    #[track_caller]
    pub(crate) fn start(version: &str) -> Option<Self> {
        let program = peer("apache2")?;
        let dir = TempDir::new();
        TestCa::trusted().issue(&CertSpec::default()).write(&dir);
        for folder in ["", "private"] {
            let folder = dir.join("site").join(folder);
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(folder.join("page"), "hello").unwrap();
        }
        // Apache cannot choose a free port. Another program may take this one first, so it is tried again.
        (0..3)
            .find_map(|_| {
                let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
                dir.write("apache.conf", configuration(&dir, port, version));
                let process = RefCell::new(run(&program, &dir));
                let is_listening = || TcpStream::connect(("127.0.0.1", port)).is_ok();
                let has_ended = || process.borrow_mut().0.try_wait().unwrap().is_some();
                let started = || if has_ended() { Some(false) } else { is_listening().then_some(true) };
                eventually(started, || "Apache does not start".into()).then(|| (port, process.into_inner()))
            })
            .map(|(port, process)| Self { port, dir, _process: process })
            .or_else(|| panic!("Apache does not start"))
    }

    /// The options of curl for a client certificate that it accepts.
    pub(crate) fn client_certificate(&self) -> [PathBuf; 4] {
        ["--cert".into(), self.dir.join("cert.pem"), "--key".into(), self.dir.join("key.pem")]
    }
}

fn run(program: &Path, dir: &TempDir) -> BackgroundProcess {
    let mut command = Command::new(program);
    // -X: one process, in the foreground.
    command.args(["-X", "-f"]).arg(dir.join("apache.conf")).stdin(Stdio::null()).stdout(Stdio::null());
    BackgroundProcess(without_proxy_settings(&mut command).stderr(Stdio::null()).spawn().unwrap())
}

fn configuration(dir: &TempDir, port: u16, version: &str) -> String {
    let modules: String = ["mpm_event", "authz_core", "ssl"]
        .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
        .concat();
    format!(
        "ServerRoot {dir}\n{modules}PidFile pid\nErrorLog error.log\nMutex posixsem\nListen 127.0.0.1:{port}\n\
         ServerName localhost\nDocumentRoot {dir}/site\nSSLEngine on\nSSLProtocol -all +{version}\n\
         SSLCertificateFile cert.pem\nSSLCertificateKeyFile key.pem\nSSLCACertificateFile {ca}\n\
         <Location /private>\nSSLVerifyClient require\nSSLVerifyDepth 1\n</Location>\n",
        dir = dir.path().display(),
        ca = TestCa::trusted().pem.display(),
    )
}
