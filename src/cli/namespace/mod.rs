//! The namespaces of a command whose connections are all captured (`--all`): a network in which every address is this machine's, and
//! mounts with the command's roots. Linux only.
//!
//! ```text
//! user      privileges for the rest, in a user namespace          ports     services of the machine on loopback
//! route     addresses and routes: everything arrives here         dns       queries go to their resolver
//! firewall  TCP to our listener, UDP rejected                     mounts    the roots
//! message, netlink   the kernel's protocol for them
//! ```
//!
//! Namespaces belong to threads. One thread is inside: it opens sockets there, which all threads use, and starts the command.
//! All other threads are outside, and connect from there. The machine's own network and mounts are not changed.

mod dns;
mod firewall;
mod message;
mod mounts;
mod netlink;
mod ports;
mod route;
mod user;

use super::process::{Child, Inherited};
use netlink::Netlink;
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockProtocol, SockType, SockaddrStorage, connect, setsockopt, socket, sockopt,
};
use ports::Ports;
use spectral_capture::Environment;
use spectral_capture::sorting::sort_by;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};

/// The namespaces. They end with this process and the last process inside.
pub(crate) struct Namespace {
    jobs: Jobs,
    inside: Thread,
    /// The inode of the network namespace, which identifies it.
    inode: u64,
    /// The ports on which connections are captured. Empty if the firewall leads all ports to one listener.
    pub(crate) only_ports: &'static [u16],
}

type Job = Box<dyn FnOnce() + Send>;
type Jobs = Arc<Mutex<Vec<Job>>>;

/// The result of [`enter`]: listeners, the socket for DNS, the firewall, and the inode of the network namespace.
type Opened = (Vec<TcpListener>, UdpSocket, Option<Netlink>, u64);

impl Namespace {
    /// Creates the namespaces, and listeners for all connections of the command. Mounts `roots` over the system's. With `is_nested`, this
    /// process is in such namespaces already, and cannot read which ports are open outside them. Must be called before any thread
    /// exists.
    ///
    /// # Errors
    /// The reason why the system does not allow it, and the remedy.
    pub(crate) fn new(roots: Option<PathBuf>, is_nested: bool) -> Result<(Self, Vec<TcpListener>), String> {
        let has_user_namespace = user::acquire_privileges()?;
        let refused = |e| user::refused(&e, has_user_namespace);
        let outside = Netlink::open(SockProtocol::NetlinkSockDiag).map_err(|e| refused(e.into()))?;
        let jobs = Jobs::default();
        let queue = Arc::clone(&jobs);
        let inside = start("namespace", Box::new(move || work(&queue)))?;
        let has_ipv6 = has_ipv6_route();
        let opened = run(&jobs, &inside, move || enter(roots.as_deref(), is_nested, has_ipv6));
        let (listeners, resolver, firewall, inode) = opened.map_err(refused)?;
        let only_ports: &[u16] = if firewall.is_some() { &[] } else { COMMON_PORTS };
        if let Some(firewall) = firewall {
            let ports = Ports::new(outside, firewall);
            start("ports", Box::new(move || ports.follow()))?;
        }
        start("dns", Box::new(move || dns::forward(&resolver)))?;
        Ok((Self { jobs, inside, inode, only_ports }, listeners))
    }

    /// Starts a command inside.
    ///
    /// # Errors
    /// As [`Child::start`].
    pub(crate) fn start(
        &self,
        program: PathBuf,
        args: Vec<OsString>,
        variables: Environment,
        inherited: Inherited,
    ) -> io::Result<Child> {
        let start = move || Child::start(&program, &args, variables.iter(), &inherited);
        run(&self.jobs, &self.inside, start)
    }

    /// Begins a connection to a server inside, on a non-blocking socket.
    ///
    /// # Errors
    /// If `addr` is not an address of this machine inside, or there is no socket.
    pub(crate) fn connect(&self, addr: SocketAddr) -> io::Result<TcpStream> {
        let ip = addr.ip().to_canonical();
        // Our own listeners. Without a firewall, no connection passes them.
        let is_ours = addr.port() == PORT || self.only_ports.contains(&addr.port());
        if is_ours || !ip.is_loopback() && ip != IpAddr::from(OWN_V4) && ip != IpAddr::from(OWN_V6) {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        let socket = run(&self.jobs, &self.inside, move || unintercepted_socket(addr.is_ipv6()))?;
        match connect(socket.as_raw_fd(), &SockaddrStorage::from(addr)) {
            Ok(()) | Err(Errno::EINPROGRESS) => Ok(socket.into()),
            Err(e) => Err(e.into()),
        }
    }

    /// Returns the ports to which the command sent UDP that was rejected, and the number of packets. Port 0 is ping.
    pub(crate) fn refused(&self) -> Vec<(u16, u64)> {
        let mut refused = Vec::new();
        let Ok(firewall) = run(&self.jobs, &self.inside, || Netlink::open(SockProtocol::NetlinkNetFilter)) else {
            return refused;
        };
        // Without an answer, there is no list.
        let _ = firewall.send(&firewall::LIST_REFUSED, &mut |answer| {
            let elements = answer.get(4..).and_then(|answer| message::find(answer, firewall::ELEMENTS));
            refused
                .extend(message::attributes(elements.unwrap_or_default()).filter_map(|(_, it)| firewall::refused(it)));
        });
        sort_by(&mut refused, &|a, b| a.cmp(b));
        refused
    }

    /// Returns the number of processes inside. Without the capture, they have no network.
    pub(crate) fn processes(&self) -> usize {
        let is_inside = |process: &Path| fs::metadata(process.join("ns/net")).is_ok_and(|it| it.ino() == self.inode);
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        entries.filter(|entry| is_inside(&entry.path())).count()
    }
}

/// Starts a thread that runs until the process ends.
fn start(name: &str, work: Job) -> Result<Thread, String> {
    let started = thread::Builder::new().name(name.into()).spawn(work);
    started.map(|handle| handle.thread().clone()).map_err(|e| format!("cannot start a thread: {e}"))
}

/// Runs `job` on the thread `inside`, and returns its result.
fn run<T: Send + 'static>(jobs: &Jobs, inside: &Thread, job: impl FnOnce() -> T + Send + 'static) -> T {
    let result = Arc::new(Mutex::new(None));
    let (filled, caller) = (Arc::clone(&result), thread::current());
    lock(jobs).push(Box::new(move || {
        *lock(&filled) = Some(job());
        caller.unpark();
    }));
    inside.unpark();
    loop {
        if let Some(result) = lock(&result).take() {
            return result;
        }
        thread::park();
    }
}

/// Runs jobs until the process ends.
fn work(jobs: &Jobs) {
    loop {
        let waiting = std::mem::take(&mut *lock(jobs));
        waiting.into_iter().for_each(|job| job());
        if lock(jobs).is_empty() {
            thread::park();
        }
    }
}

/// Locks a mutex. None of the code under these locks panics.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Moves this thread into new namespaces, and sets them up.
fn enter(roots: Option<&Path>, is_nested: bool, has_ipv6: bool) -> io::Result<Opened> {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)?;
    mounts::make_private()?;
    let routes = Netlink::open(SockProtocol::NetlinkRoute)?;
    routes.send(&route::SETUP_V4, &mut |_| ())?;
    if has_ipv6 {
        // Best effort: programs then use IPv4.
        let _ = routes.send(&route::SETUP_V6, &mut |_| ());
    }
    let firewall = match start_firewall(is_nested) {
        Err(Errno::ENOENT | Errno::EOPNOTSUPP | Errno::EPROTONOSUPPORT) => None,
        started => Some(started?),
    };
    let ports = if firewall.is_some() { &[PORT] } else { COMMON_PORTS };
    let listeners = ports.iter().map(|port| on_any_address(|any| TcpListener::bind((any, *port))));
    let listeners = listeners.collect::<io::Result<_>>()?;
    let resolver = dns::open()?;
    if let Some(roots) = roots {
        mounts::cover_roots(roots);
    }
    Ok((listeners, resolver, firewall, fs::metadata("/proc/thread-self/ns/net")?.ino()))
}

/// Binds a socket to all addresses of both families, or of IPv4 alone on a kernel without IPv6.
fn on_any_address<T>(bind: impl Fn(IpAddr) -> io::Result<T>) -> io::Result<T> {
    bind(Ipv6Addr::UNSPECIFIED.into()).or_else(|e| match e.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EAFNOSUPPORT) => bind(Ipv4Addr::UNSPECIFIED.into()),
        _ => Err(e),
    })
}

/// Creates the rules. Returns the socket that can change them.
fn start_firewall(is_nested: bool) -> Result<Netlink, Errno> {
    let firewall = Netlink::open(SockProtocol::NetlinkNetFilter)?;
    let nested: &[u8] = if is_nested { &firewall::ANY_PORT } else { &[] };
    firewall.send(&[&firewall::BEGIN[..], &firewall::SETUP, nested, &firewall::END].concat(), &mut |_| ())?;
    Ok(firewall)
}

/// Opens a socket whose connections the firewall lets pass. Must be called on the thread inside.
fn unintercepted_socket(is_ipv6: bool) -> Result<OwnedFd, Errno> {
    let family = if is_ipv6 { AddressFamily::Inet6 } else { AddressFamily::Inet };
    let socket = socket(family, SockType::Stream, SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, sockopt::Mark, &MARK)?;
    Ok(socket)
}

/// True if the machine has a default route for IPv6.
fn has_ipv6_route() -> bool {
    let routes = fs::read_to_string("/proc/net/ipv6_route").unwrap_or_default();
    let is_default = |line: &str| line.starts_with(DEFAULT_IPV6) && !line.ends_with(" lo");
    routes.lines().any(is_default)
}

/// The destination of a default route, and the length of its prefix.
const DEFAULT_IPV6: &str = "00000000000000000000000000000000 00 ";

/// The mark of packets that the firewall lets pass.
const MARK: u32 = 0x5bec;
/// The port of our listener. A server of the command hardly uses it, and other users than root cannot.
const PORT: u16 = 1;
/// The ports of our listeners without a firewall. All addresses are this machine's, so they receive connections to any.
const COMMON_PORTS: &[u16] = &[80, 443, 3000, 5000, 8000, 8080, 8443, 9443];
/// The addresses of the namespace: the dummy address of RFC 7600, and one for documentation (RFC 3849). With a unique local one,
/// programs would prefer IPv4.
const OWN_V4: [u8; 4] = Ipv4Addr::new(192, 0, 0, 8).octets();
const OWN_V6: [u8; 16] = Ipv6Addr::new(0x2001, 0xdb8, 0x5bec, 0, 0, 0, 0, 1).octets();
