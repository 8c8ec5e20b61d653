//! A network of a test's own, in two network namespaces: a client, and its gateway, whose firewall redirects connections.
//!
//! ```text
//! client 192.0.2.2 ─────▶ 192.0.2.1 gateway: firewall ─▶ proxy ─▶ origins on 198.51.100.1 and 198.51.100.2
//!   2001:db8::2             2001:db8::1                                      2001:db8:1::1
//! ```
//!
//! A namespace belongs to a thread, and the threads and processes that it starts inherit it.

use super::connection::Connection;
use super::peers::{find, report_skipped, run};
use super::wait::{TIMEOUT, within_timeout};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Pid, gettid};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;

/// The network of a test, which runs on the gateway.
pub(crate) struct Network {
    ip: PathBuf,
    nft: PathBuf,
    /// Runs functions on a thread of the client.
    client: mpsc::Sender<Box<dyn FnOnce() + Send>>,
}

impl Network {
    /// Runs `test` on the gateway. Reports it as skipped where that is impossible.
    #[track_caller]
    pub(crate) fn run(test: impl FnOnce(&Self) + Send + 'static) {
        let name = thread::current().name().unwrap_or_default().to_owned();
        let gateway = move || match Self::new() {
            Ok(network) => test(&network),
            Err(missing) => report_skipped(missing),
        };
        // The thread of the harness keeps its namespace.
        let thread = thread::Builder::new().name(name).spawn(gateway).unwrap();
        thread.join().unwrap_or_else(|panic| resume_unwind(panic));
    }

    /// Makes this thread the gateway, or returns what is missing.
    fn new() -> Result<Self, &'static str> {
        let (ip, nft) = (find("ip").ok_or("ip")?, find("nft").ok_or("nft")?);
        unshare(CloneFlags::CLONE_NEWNET).map_err(|_| "network namespaces")?;
        let (client, work) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
        thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            work.into_iter().for_each(|work| work());
        });
        let network = Self { ip, nft, client };
        network.connect();
        Ok(network)
    }

    /// Gives both ends their addresses.
    fn connect(&self) {
        let client: Pid = self.on_client(gettid);
        self.ip(&format!("link add gw0 type veth peer name cl0 netns {client}"));
        for line in [
            "link set lo up",
            "link set gw0 up",
            "addr add 192.0.2.1/24 dev gw0",
            "addr add 2001:db8::1/64 dev gw0 nodad",
            "addr add 198.51.100.1/32 dev lo",
            "addr add 198.51.100.2/32 dev lo",
            "addr add 2001:db8:1::1/128 dev lo nodad",
        ] {
            self.ip(line);
        }
        let ip = self.ip.clone();
        self.on_client(move || {
            for line in [
                "link set cl0 up",
                "addr add 192.0.2.2/24 dev cl0",
                "addr add 2001:db8::2/64 dev cl0 nodad",
                "route add default via 192.0.2.1",
                "-6 route add default via 2001:db8::1",
            ] {
                run(Command::new(&ip).args(line.split(' '))).ok();
            }
        });
    }

    /// Runs ip(8) on the gateway.
    #[track_caller]
    pub(crate) fn ip(&self, line: &str) {
        run(Command::new(&self.ip).args(line.split(' '))).ok();
    }

    /// Adds nftables rules on the gateway.
    #[track_caller]
    pub(crate) fn firewall(&self, rules: &str) {
        let mut nft = Command::new(&self.nft).args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
        nft.stdin.take().unwrap().write_all(rules.as_bytes()).unwrap();
        assert!(nft.wait().unwrap().success(), "{rules}");
    }

    /// Redirects all connections of the client to the origins' addresses to `port`.
    #[track_caller]
    pub(crate) fn redirect_to(&self, port: u16) {
        self.firewall(&format!(
            "table inet proxy {{ chain incoming {{ type nat hook prerouting priority dstnat; \
             ip daddr 198.51.100.0/24 tcp dport 1-65535 redirect to :{port}; \
             ip6 daddr 2001:db8:1::/48 tcp dport 1-65535 redirect to :{port}; }}; }}"
        ));
    }

    /// Connects the client to `addr`.
    #[track_caller]
    pub(crate) fn dial(&self, addr: &str) -> Connection {
        self.try_dial(addr).unwrap_or_else(|e| panic!("cannot reach {addr}: {e}"))
    }

    /// Connects the client to `addr`. The error may be a reset that follows the handshake at once.
    pub(crate) fn try_dial(&self, addr: &str) -> io::Result<Connection> {
        let addr: SocketAddr = addr.parse().unwrap();
        self.on_client(move || TcpStream::connect_timeout(&addr, TIMEOUT)).map(Connection::over)
    }

    /// Runs `work` on the client.
    #[track_caller]
    fn on_client<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (sender, result) = mpsc::channel();
        self.client.send(Box::new(move || _ = sender.send(work()))).unwrap();
        within_timeout("the client", move || result.recv().expect("the client's thread runs"))
    }
}
