//! Proxy servers of other projects, on loopback.
//!
//! Names that a test requests through them must lead to its origin: Squid has a hosts file for them, and the others use the
//! system's resolver, which takes `127.1` for 127.0.0.1. For the proxy under test that is a name, not an address.

use super::peers::{BackgroundProcess, peer, without_proxy_settings};
use super::wait::eventually;
use nix::sys::signal::{Signal, kill};
use std::cell::RefCell;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A running proxy server. All but danted require the password in `credentials`.
pub(crate) struct ProxyServer {
    pub(crate) name: &'static str,
    scheme: &'static str,
    port: u16,
    /// A name of 127.0.0.1 for this server.
    pub(crate) host: &'static str,
    process: BackgroundProcess,
    dir: PathBuf,
}

impl ProxyServer {
    /// Starts Squid. It refuses tunnels to other ports than `tls_port`, as it does by default to others than 443.
    #[track_caller]
    pub(crate) fn squid(tls_port: u16) -> Option<Self> {
        Self::start("squid", "http", "example.test", |dir, port, command| {
            write(dir, "hosts", "127.0.0.1 example.test\n");
            write(
                dir,
                "password.sh",
                "while read -r line; do case $line in 'user secret') echo OK;; *) echo ERR;; esac; done\n",
            );
            let dir_name = dir.display();
            let settings = format!(
                "http_port 127.0.0.1:{port}\nvisible_hostname squid.test\nhosts_file {dir_name}/hosts\n\
                 pid_filename none\naccess_log none\ncache_log /dev/null\ncache_store_log none\ncache deny all\n\
                 netdb_filename none\npinger_enable off\nshutdown_lifetime 0 seconds\n\
                 auth_param basic program /bin/sh {dir_name}/password.sh\nauth_param basic children 1\n\
                 acl password proxy_auth REQUIRED\nacl tls port {tls_port}\nacl tunnel method CONNECT\n\
                 http_access deny tunnel !tls\nhttp_access allow password\nhttp_access deny all\n"
            );
            // The name of its shared memory.
            let service = format!("suite{}p{port}", std::process::id());
            command.args(["-N", "-n", &service, "-f"]).arg(write(dir, "squid.conf", &settings));
        })
    }

    /// Starts tinyproxy.
    #[track_caller]
    pub(crate) fn tinyproxy() -> Option<Self> {
        Self::start("tinyproxy", "http", "127.1", |dir, port, command| {
            let settings =
                format!("Port {port}\nListen 127.0.0.1\nBasicAuth user secret\nLogLevel Critical\nMaxClients 20\n");
            command.args(["-d", "-c"]).arg(write(dir, "tinyproxy.conf", &settings));
        })
    }

    /// Starts microsocks, a SOCKS5 server.
    #[track_caller]
    pub(crate) fn microsocks() -> Option<Self> {
        Self::start("microsocks", "socks5", "127.1", |_, port, command| {
            command.args(["-i", "127.0.0.1", "-p", &port.to_string(), "-u", "user", "-P", "secret"]);
        })
    }

    /// Starts Dante, a SOCKS5 server, without a password: it would be that of a user of this machine.
    #[track_caller]
    pub(crate) fn danted() -> Option<Self> {
        Self::start("danted", "socks5h", "127.1", |dir, port, command| {
            let rules = "pass { from: 127.0.0.0/8 to: 0.0.0.0/0 }";
            let settings = format!(
                "errorlog: /dev/null\nlogoutput: /dev/null\ninternal: 127.0.0.1 port = {port}\nexternal: lo\n\
                 clientmethod: none\nsocksmethod: none\nclient {rules}\nsocks {rules}\n"
            );
            command.arg("-f").arg(write(dir, "danted.conf", &settings)).arg("-p").arg(dir.join("pid"));
        })
    }

    #[track_caller]
    fn start(
        name: &'static str,
        scheme: &'static str,
        host: &'static str,
        configure: impl Fn(&Path, u16, &mut Command),
    ) -> Option<Self> {
        let program = peer(name)?;
        let dir = public_dir();
        // None of them can choose a free port. Another program may take this one first, so it is tried again.
        let (port, process) = (0..3)
            .find_map(|_| {
                let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
                let mut command = Command::new(&program);
                configure(&dir, port, &mut command);
                command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                let process = RefCell::new(BackgroundProcess(without_proxy_settings(&mut command).spawn().unwrap()));
                let is_listening = || TcpStream::connect(("127.0.0.1", port)).is_ok();
                let has_ended = || process.borrow_mut().0.try_wait().unwrap().is_some();
                let started = || if has_ended() { Some(false) } else { is_listening().then_some(true) };
                eventually(started, || format!("{name} does not start")).then(|| (port, process.into_inner()))
            })
            .unwrap_or_else(|| panic!("{name} does not start"));
        Some(Self { name, scheme, port, host, process, dir })
    }

    /// Returns its URL; `credentials` are `user:secret@`, or others, or none.
    pub(crate) fn url(&self, credentials: &str) -> String {
        format!("{}://{credentials}127.0.0.1:{}", self.scheme, self.port)
    }
}

impl Drop for ProxyServer {
    fn drop(&mut self) {
        // Squid deletes its shared memory.
        let pid = nix::unistd::Pid::from_raw(self.process.0.id().try_into().unwrap());
        kill(pid, Signal::SIGTERM).ok();
        super::peers::wait(&mut self.process.0);
        std::fs::remove_dir_all(&self.dir).ok();
    }
}

/// Creates a directory that a server that changes its user can read.
fn public_dir() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("spectral-suite-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let dir = std::env::temp_dir().join(name);
    std::fs::create_dir(&dir).unwrap();
    std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o755)).unwrap();
    dir
}

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    path
}
