//! nginx as an origin.

use super::ca::Identity;
use super::peers::BackgroundProcess;
use super::temp::TempDir;
use super::wait::eventually;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

/// A running nginx.
#[derive(Debug)]
pub(crate) struct Nginx {
    /// Its addresses for TLS 1.2 only and for TLS 1.3 only.
    pub(crate) addrs: [SocketAddr; 2],
    _process: BackgroundProcess,
    _dir: TempDir,
}

impl Nginx {
    /// Starts `program` with a certificate and further `settings` of each server. Session tickets have their defaults.
    #[track_caller]
    pub(crate) fn start(program: &Path, identity: &Identity, settings: &str) -> Self {
        let dir = TempDir::new();
        identity.write(&dir);
        // nginx cannot report a port that it chose, so it listens on sockets in its folder.
        let server = |version: &str| {
            format!(
                "server {{ listen unix:{}/{version} ssl; ssl_protocols {version}; ssl_certificate cert.pem; \
                 ssl_certificate_key key.pem; {settings} }}",
                dir.path().display()
            )
        };
        // Its default folders exist only if it was installed by root.
        let folders: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {}; ", dir.join(name).display()))
            .concat();
        let versions = ["TLSv1.2", "TLSv1.3"];
        let config = format!(
            "daemon off; master_process off; pid {}; error_log stderr; events {{}} \
             http {{ access_log off; {folders} {} }}",
            dir.join("pid").display(),
            versions.map(server).concat()
        );
        let config = dir.write("nginx.conf", config);
        let mut command = Command::new(program);
        command.arg("-p").arg(dir.path()).arg("-c").arg(config).args(["-e", "stderr"]);
        let child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let process = BackgroundProcess(child);
        let sockets = versions.map(|name| dir.join(name));
        let is_listening = || sockets.iter().all(|socket| UnixStream::connect(socket).is_ok());
        eventually(|| is_listening().then_some(()), || "no nginx".into());
        Self { addrs: sockets.map(forward), _process: process, _dir: dir }
    }
}

/// Starts a port that forwards to a socket of the file system; returns its address.
fn forward(socket: PathBuf) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        while let (Ok((mut client, _)), Ok(mut server)) = (listener.accept(), UnixStream::connect(&socket)) {
            let (mut to_client, mut from_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || {
                std::io::copy(&mut client, &mut server).ok();
                server.shutdown(Shutdown::Write).ok();
            });
            thread::spawn(move || {
                std::io::copy(&mut from_server, &mut to_client).ok();
                TcpStream::shutdown(&to_client, Shutdown::Write).ok();
            });
        }
    });
    addr
}
