//! The library's front door: bind, start, stop.

use crate::cert::{self, Ca, Leaves};
use crate::clock::Moment;
use crate::config::{Config, Mode};
use crate::counters::Counters;
use crate::error::Error;
use crate::net::connection::Patience;
use crate::net::idle::{Idle, attend};
use crate::net::listener::{Live, listen};
use crate::net::shared::{Capture, Shared, Unintercepted};
use crate::net::stop::Stop;
use crate::net::sys::maximize_backlog;
use crate::net::tls::{TowardsClients, TowardsOrigins};
use crate::notice::{Progress, Summary, Warning};
use crate::record::item::Item;
use crate::record::queue::{Receiver, Sender, queue};
use crate::record::sink::ItemSink;
use crate::record::writer::{self, CaptureLimits, Writer};
use crate::trust::environment::Environment;
use crate::wire::pattern::HostFilter;
use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};

/// A capture that is ready to begin.
pub struct Proxy {
    listener: TcpListener,
    shared: Arc<Shared>,
    ca_cert: Option<PathBuf>,
    output: Option<Output>,
}

struct Output {
    writer: Writer,
    items: Receiver<Item>,
    sender: Sender<Item>,
}

impl Proxy {
    /// Checks all that can be checked beforehand, in this order: the CA is read or made, the certificates to trust are read,
    /// the output is opened, the port is bound.
    ///
    /// # Errors
    /// Says what cannot be used; no file that was there is changed and nothing listens.
    pub fn bind(config: Config) -> Result<Self, Error> {
        let counters = Arc::new(Counters::new(config.on_notice.clone(), config.mode == Mode::Discover));
        let system = |what| move |cause| Error::System { what, cause };
        let (mut ca_cert, mut output, mut capture) = (None, None, None);
        if let Mode::Capture { output: path } = &config.mode {
            let dir = config.ca_dir.clone().map_or_else(cert::default_dir, Ok)?;
            let ca = Ca::open(&dir, Moment::now().wall())?;
            ca_cert = Some(ca.cert_path().to_owned());
            let certificate = ca.certificate();
            let roots = cert::machine_roots(Environment::current().root_locations().as_ref());
            let towards_origins = TowardsOrigins::new(roots, ca.cert_der(), &config.upstream_ca, config.insecure)?;
            let limits = CaptureLimits { memory: config.memory, max_body: config.max_body };
            let writer = Writer::create(path, limits, config.on_notice.clone(), Moment::now())?;
            let (sender, items) = queue();
            let store = Arc::clone(writer.store());
            capture = Some(Capture {
                filter: HostFilter { include: config.include, exclude: config.exclude },
                sink: ItemSink::new(sender.clone(), store),
                leaves: Leaves::new(Arc::new(ca))?,
                ca: certificate,
                towards_clients: TowardsClients::new()?,
                towards_origins,
                unintercepted: Unintercepted::default(),
                passthrough_refused: config.passthrough_refused,
            });
            output = Some(Output { writer, items, sender });
        }
        let unbound = |cause| Error::Listen { addr: config.listen, cause };
        let listener = TcpListener::bind(config.listen).map_err(unbound)?;
        listener.set_nonblocking(true).map_err(unbound)?;
        maximize_backlog(&listener);
        let stop = Stop::new().map_err(system("cannot make a pipe"))?;
        let shared = Arc::new(Shared {
            listen: listener.local_addr().map_err(unbound)?,
            transparent: config.transparent,
            patience: Patience::default(),
            idle: Idle::new(&stop).map_err(system("cannot make a descriptor to wait with"))?,
            stop,
            counters,
            capture,
        });
        Ok(Self { listener, shared, ca_cert, output })
    }

    /// Where it will listen, the port known.
    pub fn addr(&self) -> SocketAddr {
        self.shared.listen
    }

    /// The certificate (PEM) that clients have to trust; `None` where nothing is intercepted.
    pub fn ca_cert(&self) -> Option<&Path> {
        self.ca_cert.as_deref()
    }

    /// Begins to serve.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(self) -> Result<Running, Error> {
        let no_thread = |cause| Error::System { what: "cannot start a thread", cause };
        let live = Arc::new(Live::default());
        let writing = match self.output {
            None => None,
            Some(Output { writer, items, sender }) => {
                let part = writer.unfinished_path().to_owned();
                let thread = thread::Builder::new().name("writer".into()).spawn(move || writer.run(&items));
                Some(Writing { thread: thread.map_err(no_thread)?, sender, part })
            }
        };
        let (shared, counted, listener) = (Arc::clone(&self.shared), Arc::clone(&live), self.listener);
        let listening = thread::Builder::new()
            .name("listener".into())
            .spawn(move || listen(&shared, &listener, &counted))
            .map_err(no_thread)?;
        let running = Running { shared: Arc::clone(&self.shared), live, listening: Some(listening), writing };
        // Ends by itself when the capture stops.
        thread::Builder::new().name("idle".into()).spawn(move || attend(&self.shared)).map_err(no_thread)?;
        Ok(running)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("addr", &self.addr()).finish_non_exhaustive()
    }
}

/// A capture under way. Dropping it stops it.
pub struct Running {
    shared: Arc<Shared>,
    live: Arc<Live>,
    listening: Option<JoinHandle<()>>,
    writing: Option<Writing>,
}

struct Writing {
    thread: JoinHandle<writer::WriterSummary>,
    sender: Sender<Item>,
    /// Where the bundle is until it is finished.
    part: PathBuf,
}

impl Running {
    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.shared.listen
    }

    /// A handle that ends the waiting of [`Running::stop`] from another thread.
    pub fn force_stop(&self) -> ForceStop {
        ForceStop { live: Arc::clone(&self.live) }
    }

    /// A handle that tells how the capture is doing, for as long as it goes on.
    pub fn gauge(&self) -> Gauge {
        let part = self.writing.as_ref().map(|writing| writing.part.clone());
        Gauge { bytes: self.shared.counters.relayed_bytes(), live: Arc::clone(&self.live), part }
    }

    /// Stops accepting, ends all connections, records what was in flight, completes the bundle.
    pub fn stop(mut self) -> Summary {
        self.end()
    }

    fn end(&mut self) -> Summary {
        self.shared.stop.now();
        if let Some(thread) = self.listening.take() {
            // If it panicked it accepts no more either.
            let _ = thread.join();
        }
        // They end at once, but for those that wait for the writer to take what they have.
        let remaining = self.live.wait_for_none();
        let mut summary = Summary {
            uncaptured: self.shared.counters.uncaptured(),
            domains: self.shared.counters.domains(),
            ..Summary::default()
        };
        if let Some(Writing { thread, sender, .. }) = self.writing.take() {
            // Fails only if the writer is gone, which joining it shows.
            let _ = sender.send_urgent(Item::CaptureEnd);
            drop(sender);
            match thread.join() {
                Ok(written) => {
                    summary.bundle = written.bundle;
                    summary.exchanges = written.exchanges;
                    summary.websockets = written.websockets;
                    summary.messages = written.messages;
                    summary.lost = written.lost;
                    summary.truncated = written.truncated;
                    summary.warnings = written.warnings;
                }
                Err(_) => summary.warnings.push(Warning::WriterPanicked),
            }
            summary.lost += self.shared.capture.as_ref().map_or(0, |capture| capture.sink.dropped_items());
            if remaining > 0 {
                summary.warnings.push(Warning::ConnectionsAbandoned { count: remaining });
            }
        }
        summary
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.listening.is_some() {
            self.end();
        }
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("addr", &self.addr()).finish_non_exhaustive()
    }
}

/// Tells how a capture is doing.
#[derive(Clone)]
pub struct Gauge {
    bytes: Arc<AtomicU64>,
    live: Arc<Live>,
    part: Option<PathBuf>,
}

impl Gauge {
    /// How it is doing now.
    pub fn read(&self) -> Progress {
        let size = |part: &PathBuf| std::fs::metadata(part).map_or(0, |meta| meta.len());
        Progress {
            open: self.live.count(),
            bytes: self.bytes.load(Relaxed),
            bundle: self.part.as_ref().map_or(0, size),
        }
    }
}

impl fmt::Debug for Gauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gauge").field(&self.read()).finish()
    }
}

/// Ends the waiting of [`Running::stop`] for connections that do not end; the bundle is completed all the same.
#[derive(Clone, Debug)]
pub struct ForceStop {
    live: Arc<Live>,
}

impl ForceStop {
    /// Do not wait.
    pub fn now(&self) {
        self.live.hurry();
    }
}
