//! The library's entry point: prepares and starts a capture, and connects its parts.

use crate::capture_options::CaSource;
use crate::cert::{self, Ca, CaCertificate, Leaves};
use crate::clock::Moment;
use crate::config::{Config, Mode, Transparent};
use crate::counters::Counters;
use crate::error::{CaExposure, Conflict, Error};
use crate::memory::Memory;
use crate::net::key_log::{self, KeyLog};
use crate::net::listener::listen;
use crate::net::listening::{ListenAddrs, Listening};
use crate::net::own_page::{OwnFile, OwnPage};
use crate::net::refusals::Refusals;
use crate::net::resources::Resources;
use crate::net::serving::Serving;
use crate::net::shared::{Capture, Shared};
use crate::net::stop::Stop;
use crate::net::sys::accept_any_destination;
use crate::net::timeouts::Timeouts;
use crate::net::tls::client::ClientTls;
use crate::net::tls::server::ServerTls;
use crate::net::upstream::Upstream;
use crate::recording::Recording;
use crate::running::Running;
use crate::trust::environment::Environment;
use crate::trust::page::{self, PageFile};
use crate::wire::pattern::HostFilter;
use crate::wire::upstream::proxy::UpstreamProxies;
use std::fmt;
use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

/// A capture that is ready to start.
pub struct Proxy {
    listening: Listening,
    serving: Arc<Serving>,
    ca_cert: Option<CaCertificate>,
    output: Option<Recording>,
    key_log: Option<OpenKeyLog>,
}

/// A key log and its file, which is written once the capture starts.
struct OpenKeyLog {
    log: Arc<KeyLog>,
    file: File,
}

impl Proxy {
    /// Prepares a capture: checks the settings, reads or creates the CA, reads the certificates to trust, creates the output, and binds the
    /// port, in this order.
    ///
    /// # Errors
    /// If one of these steps fails. Then no existing file was changed, and nothing listens.
    pub fn bind(config: Config) -> Result<Self, Error> {
        let addr = config.listen;
        Self::prepare(config, &[addr], || Listening::bind(addr))
    }

    /// As [`Proxy::bind`], on sockets that listen already instead of [`Config::listen`]: of another process (systemd's socket
    /// activation), or several. They are made non-blocking, and so are their duplicates.
    ///
    /// ```no_run
    /// use spectral_capture::{Config, Proxy};
    /// use std::net::TcpListener;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let listeners = vec![TcpListener::bind("127.0.0.1:8080")?, TcpListener::bind("[::1]:8080")?];
    /// let proxy = Proxy::bind_on(Config::capture("capture.zip"), listeners)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Proxy::bind`], and [`Conflict::NoListener`] if there is no socket.
    pub fn bind_on(config: Config, listeners: Vec<TcpListener>) -> Result<Self, Error> {
        let listen_error = |cause| Error::Listen { addr: config.listen, cause };
        let addrs = listeners.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>();
        let addrs = ListenAddrs::new(addrs.map_err(listen_error)?).ok_or(Error::Conflict(Conflict::NoListener))?;
        Self::prepare(config, &addrs.all.clone(), || Listening::new(listeners, addrs))
    }

    /// As [`Proxy::bind_on`], on the sockets that `listen` returns once everything else is prepared, which starts no thread. `listen` may
    /// therefore create namespaces for the process, and sockets in them. [`Config::listen`] must be the address by which clients reach
    /// the sockets: it decides who can use the proxy.
    ///
    /// # Errors
    /// As [`Proxy::bind_on`]; [`Error::Listen`] with the error of `listen`.
    pub fn bind_with(config: Config, listen: impl FnOnce() -> io::Result<Vec<TcpListener>>) -> Result<Self, Error> {
        let addr = config.listen;
        Self::prepare(config, &[addr], || {
            let listen_error = |cause| Error::Listen { addr, cause };
            let listeners = listen().map_err(listen_error)?;
            let addrs = listeners.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>();
            let addrs = ListenAddrs::new(addrs.map_err(listen_error)?).ok_or(Error::Conflict(Conflict::NoListener))?;
            Listening::new(listeners, addrs)
        })
    }

    /// Prepares a capture that will listen on `addrs`, on the sockets of `listen`.
    fn prepare(
        config: Config,
        addrs: &[SocketAddr],
        listen: impl FnOnce() -> Result<Listening, Error>,
    ) -> Result<Self, Error> {
        if config.auth.is_some() && config.transparent != Transparent::Off {
            return Err(Error::Conflict(Conflict::PasswordForRedirected));
        }
        if !config.client_certificates.is_empty() && config.auth.is_none() && !addrs.iter().all(is_loopback) {
            return Err(Error::Conflict(Conflict::CertificatesForAnyone));
        }
        let counters = Arc::new(Counters::new(config.on_notice.clone(), matches!(config.mode, Mode::Discover(_))));
        let memory = Arc::new(Memory::new(config.limits.memory));
        let key_log = config.key_log.as_ref().map(|_| Arc::new(KeyLog::new(config.on_notice.clone())));
        let (mut ca, mut output, mut capture) = (None, None, None);
        let roots = cert::machine_roots(Environment::current().root_locations().as_ref());
        let client_tls =
            |ca| ClientTls::new(roots, ca, &config.upstream_ca, config.insecure, &config.client_certificates);
        let mut client_tls = if let Mode::Capture(options) = config.mode {
            if options.rotate.is_some() && options.output.path().is_none() {
                return Err(Error::Conflict(Conflict::RotationWithoutPath));
            }
            let opened = open_ca(&options.ca)?;
            ca = Some(opened.certificate());
            let client_tls = client_tls(Some(opened.cert_der()))?;
            let mut server_tls = ServerTls::new()?;
            if let Some(log) = &key_log {
                server_tls.log_keys(Arc::clone(log) as Arc<dyn rustls::KeyLog>);
            }
            let leaves = Leaves::new(Arc::new(opened))?;
            let (recording, sink) = Recording::prepare(&options, config.limits, &memory, config.on_notice)?;
            output = Some(recording);
            capture = Some(Capture {
                filter: Arc::new(HostFilter {
                    include: options.include,
                    exclude: options.exclude,
                    function: options.filter,
                }),
                sink,
                leaves,
                server_tls,
                passthrough: Arc::default(),
                refusals: Arc::new(Refusals::new(options.passthrough_refused)),
            });
            client_tls
        } else {
            // A capture may have made the machine trust a CA, which this discovery does not read.
            client_tls(None)?
        };
        if let Some(log) = &key_log {
            client_tls.log_keys(Arc::clone(log) as Arc<dyn rustls::KeyLog>);
        }
        let listening = listen()?;
        if config.transparent != Transparent::Off {
            // Without the privilege, TPROXY does not find a listener. REDIRECT and DNAT do not need it.
            for listener in &listening.listeners {
                let _ = accept_any_destination(listener);
            }
        }
        let key_log = match (key_log, config.key_log) {
            (Some(log), Some(path)) => {
                let file = key_log::open(&path).map_err(|cause| Error::KeyLog { path, cause })?;
                Some(OpenKeyLog { log, file })
            }
            _ => None,
        };
        let has_spill_file = capture.as_ref().is_some_and(|capture| capture.sink.store().has_spill_file());
        let resources = Arc::new(Resources::new(&memory, has_spill_file));
        let stop = Stop::new().map_err(|cause| Error::System { what: "cannot create a pipe", cause })?;
        let shared = Shared {
            transparent: config.transparent,
            auth: config.auth,
            timeouts: Timeouts::default(),
            counters,
            upstream: Upstream::new(
                config.upstream_proxies,
                config.connector.0,
                listening.addrs.all.clone(),
                &resources,
                &stop,
            ),
            stop,
            resources,
            client_tls,
            is_clear_hop_reported: AtomicBool::new(false),
            own_page: own_page(ca.as_ref(), listening.addrs.first),
            capture,
        };
        let serving =
            Serving::new(shared).map_err(|cause| Error::System { what: "cannot create an epoll set", cause })?;
        Ok(Self { listening, serving: Arc::new(serving), ca_cert: ca, output, key_log })
    }

    /// The address on which it will listen, the first if there are several. The port is known.
    pub fn addr(&self) -> SocketAddr {
        self.listening.addrs.first
    }

    /// All addresses on which it will listen.
    pub fn addrs(&self) -> &[SocketAddr] {
        &self.listening.addrs.all
    }

    /// The CA certificate that clients must trust; `None` in discovery.
    pub fn ca(&self) -> Option<&CaCertificate> {
        self.ca_cert.as_ref()
    }

    /// The file of that certificate, in PEM; `None` if the CA is in memory only.
    pub fn ca_cert(&self) -> Option<&Path> {
        self.ca_cert.as_ref().and_then(CaCertificate::path)
    }

    /// The access that others have to the CA's key, as far as it is accepted.
    pub fn ca_exposures(&self) -> &[CaExposure] {
        self.ca_cert.as_ref().map_or(&[], CaCertificate::exposures)
    }

    /// The proxies through which origins are reached: those of the configuration, except this proxy itself.
    pub fn upstream_proxies(&self) -> &UpstreamProxies {
        self.serving.shared.upstream.proxies()
    }

    /// Starts the capture.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn start(self) -> Result<Running, Error> {
        let no_thread = |cause| Error::System { what: "cannot start a thread", cause };
        let sink = self.serving.shared.capture.as_ref().map(|capture| capture.sink.clone());
        let recording = self.output.zip(sink).map(|(recording, sink)| recording.start(sink));
        let recording = recording.transpose().map_err(no_thread)?.unwrap_or_default();
        let key_log = match self.key_log {
            Some(OpenKeyLog { log, file }) => {
                log.start(file).map_err(no_thread)?;
                Some(log)
            }
            None => None,
        };
        let Listening { listeners, addrs } = self.listening;
        let serving = Arc::clone(&self.serving);
        // Dropped on an error, which ends the threads that were started.
        let mut running =
            Running { addrs, started: Moment::now(), serving: self.serving, listening: Vec::new(), recording, key_log };
        for listener in listeners {
            let serving = Arc::clone(&serving);
            let listening = thread::Builder::new().name("listener".into()).spawn(move || listen(&serving, &listener));
            running.listening.push(listening.map_err(no_thread)?);
        }
        // Returns when the capture stops.
        thread::Builder::new().name("idle".into()).spawn(move || serving.watch_idle()).map_err(no_thread)?;
        Ok(running)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("addr", &self.addr()).finish_non_exhaustive()
    }
}

fn open_ca(source: &CaSource) -> Result<Ca, Error> {
    let now = Moment::now().wall();
    match source {
        CaSource::Home | CaSource::Dir(_) => Ca::open(&CaCertificate::directory(source.dir())?, now),
        CaSource::Pem(file) => Ca::from_pem(file, now).map_err(Error::CaInMemory),
        CaSource::Ephemeral => Ca::ephemeral(now).map_err(Error::CaInMemory),
    }
}

/// True if only programs on this machine can connect to `addr`.
fn is_loopback(addr: &SocketAddr) -> bool {
    addr.ip().to_canonical().is_loopback()
}

/// The page that a proxy at `addr` serves itself: for a capture, with its CA; without a CA, for a discovery.
fn own_page(ca: Option<&CaCertificate>, addr: SocketAddr) -> OwnPage {
    let files = match ca {
        Some(ca) => page::capture_page(ca, addr),
        None => page::discovery_page(),
    };
    let file = |PageFile { path, media_type, file_name, body }| OwnFile { path, media_type, file_name, body };
    OwnPage::new(files.into_iter().map(file).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{CertificateSource, ClientCertificate};
    use crate::net::budget::UnsentBudget;
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpStream;
    use std::time::Duration;

    const LONG: Duration = Duration::from_secs(20);

    /// Starts a discovery on a free port.
    fn start() -> Running {
        let mut config = Config::discover();
        config.listen.set_port(0);
        Proxy::bind(config).unwrap().start().unwrap()
    }

    fn resources(running: &Running) -> &Resources {
        &running.serving.shared.resources
    }

    /// Starts an origin that sends on each connection until it is closed.
    fn flooding_origin() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        thread::spawn(move || {
            while let Ok((mut socket, _)) = listener.accept() {
                thread::spawn(move || while socket.write_all(&[7; 64 << 10]).is_ok() {});
            }
        });
        addr
    }

    /// Opens a tunnel. The client has read the reply to CONNECT and nothing else.
    fn connect(running: &Running, origin: SocketAddr) -> TcpStream {
        let mut client = TcpStream::connect(running.addr()).unwrap();
        client.set_read_timeout(Some(LONG)).unwrap();
        client.write_all(format!("CONNECT {origin} HTTP/1.1\r\nHost: {origin}\r\n\r\n").as_bytes()).unwrap();
        let mut reply = [0; b"HTTP/1.1 200 Connection established\r\n\r\n".len()];
        client.read_exact(&mut reply).unwrap();
        assert!(reply.starts_with(b"HTTP/1.1 200 ") && reply.ends_with(b"\r\n\r\n"));
        client
    }

    /// Waits until `is_true`, at most for `timeout`.
    fn within(timeout: Duration, is_true: impl Fn() -> bool) -> bool {
        let deadline = Moment::now().plus(timeout);
        loop {
            if is_true() {
                return true;
            }
            if deadline.since(Moment::now()).is_zero() {
                return false;
            }
            thread::yield_now();
        }
    }

    #[test]
    fn slow_clients_of_one_capture_do_not_slow_another() {
        let (busy, other, origin) = (start(), start(), flooding_origin());
        // Clients that do not read, until the budget for unsent bytes stays spent: the kernel accepts bytes for a while.
        let is_spent = || resources(&busy).unsent.is_spent();
        let stays_spent =
            || within(Duration::from_millis(20), is_spent) && !within(Duration::from_millis(500), || !is_spent());
        let mut slow = Vec::new();
        while !stays_spent() {
            slow.push(connect(&busy, origin));
            assert!(slow.len() < 400, "{} bytes are held", resources(&busy).unsent.held());
        }
        let unaffected = UnsentBudget::default();
        let full = (unaffected.window(), unaffected.max_read());
        let now = |running: &Running| (resources(running).unsent.window(), resources(running).unsent.max_read());
        assert_ne!(now(&busy), full);
        assert_eq!(now(&other), full);
        let mut client = connect(&other, origin);
        let mut piece = vec![0; 1 << 20];
        for _ in 0..32 {
            client.read_exact(&mut piece).unwrap();
            assert!(piece.iter().all(|&byte| byte == 7));
        }
        assert_ne!(now(&busy), full);
        assert_eq!(now(&other), full);
        // At the stop, all of them end.
        busy.stop();
        other.stop();
    }

    #[test]
    fn a_capture_with_all_buffers_in_use_does_not_affect_another() {
        let (busy, other) = (start(), start());
        let mut in_use = vec![resources(&busy).buffers.acquire()];
        let large = in_use[0].len();
        while in_use.iter().all(|buffer| buffer.len() == large) {
            in_use.push(resources(&busy).buffers.acquire());
        }
        assert_eq!(resources(&other).buffers.acquire().len(), large);
    }

    #[test]
    fn a_stopped_capture_frees_its_resources() {
        let running = start();
        let client = connect(&running, flooding_origin());
        let serving = Arc::downgrade(&running.serving);
        running.stop();
        assert!(within(LONG, || serving.upgrade().is_none()));
        drop(client);
    }

    /// Sends `request` to the proxy at `addr`, and returns the status line of the response.
    fn status_line(addr: SocketAddr, request: &str) -> String {
        let mut client = TcpStream::connect(addr).unwrap();
        client.set_read_timeout(Some(LONG)).unwrap();
        client.write_all(request.as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::new(client).read_line(&mut line).unwrap();
        line
    }

    #[test]
    fn several_sockets_are_served() {
        let listeners: Vec<_> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let addrs: Vec<_> = listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
        let proxy = Proxy::bind_on(Config::discover(), listeners).unwrap();
        assert_eq!((proxy.addr(), proxy.addrs()), (addrs[0], &addrs[..]));
        let running = proxy.start().unwrap();
        assert_eq!((running.addr(), running.addrs()), (addrs[0], &addrs[..]));
        for &addr in &addrs {
            let request = format!("GET / HTTP/1.1\r\nHost: {addr}\r\n\r\n");
            assert_eq!(status_line(addr, &request), "HTTP/1.1 200 OK\r\n");
            // A tunnel to any of its own addresses would lead back to it.
            for own in &addrs {
                let request = format!("CONNECT {own} HTTP/1.1\r\nHost: {own}\r\n\r\n");
                let line = status_line(addr, &request);
                assert!(line.starts_with("HTTP/1.1 403 "), "{own} through {addr}: {line}");
            }
        }
        running.stop();
        assert!(addrs.iter().all(|addr| TcpStream::connect(addr).is_err()));
    }

    #[test]
    fn a_proxy_without_a_socket_is_an_error() {
        let error = Proxy::bind_on(Config::discover(), Vec::new()).unwrap_err();
        assert!(matches!(error, Error::Conflict(Conflict::NoListener)), "{error}");
    }

    #[test]
    fn client_certificates_need_a_password_if_any_socket_is_public() {
        let mut config = Config::discover();
        config.client_certificates = vec![ClientCertificate::new(CertificateSource::File("missing.pem".into()))];
        let bind = |addrs: [&str; 2]| {
            let listeners = addrs.map(|addr| TcpListener::bind(addr).unwrap());
            Proxy::bind_on(config.clone(), listeners.into()).unwrap_err()
        };
        let error = bind(["127.0.0.1:0", "0.0.0.0:0"]);
        assert!(matches!(error, Error::Conflict(Conflict::CertificatesForAnyone)), "{error}");
        let error = bind(["127.0.0.1:0", "127.0.0.1:0"]);
        assert!(matches!(error, Error::ClientCertificate { .. }), "{error}");
    }
}
