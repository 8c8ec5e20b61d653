//! Serves connections on threads of the pool. An idle tunnel releases its thread; one thread waits for events on all
//! idle tunnels.
//!
//! ```text
//!           served by a thread of the pool
//! a tick without a byte │        ▲ a byte, an end, the stop
//!                       ▼        │
//!            idle, its sockets in one epoll(7)
//! ```
//!
//! The thread of a connection takes three times the memory of its TLS, taps and recorder. The stack pages that the
//! deepest call, the handshake, has touched stay allocated, and the C library keeps memory for each thread. An idle
//! connection needs neither.

use super::connection;
use super::idle::{Descriptors, IdleSet};
use super::live::{ConnectionGuard, LiveConnections};
use super::shared::Shared;
use super::thread_pool::Worker;
use super::tunnel::Tunnel;
use crate::clock::Moment;
use crate::notice::{Reason, Warning};
use std::collections::HashSet;
use std::io;
use std::mem::{self, Discriminant};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The connections of a running capture.
pub(crate) struct Serving {
    pub(crate) shared: Shared,
    pub(crate) live: Arc<LiveConnections>,
    idle: IdleSet<IdleConnection>,
    /// The kinds of warnings that were reported.
    warned: Mutex<HashSet<Discriminant<Warning>>>,
}

/// A tunnel without a thread. It counts as a connection.
#[derive(Debug)]
struct IdleConnection {
    tunnel: Tunnel,
    guard: ConnectionGuard,
}

impl Descriptors for IdleConnection {
    fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
        self.tunnel.descriptors()
    }
}

impl Serving {
    /// Prepares to serve. No connection exists yet.
    ///
    /// # Errors
    /// If no descriptor is left.
    pub(crate) fn new(shared: Shared) -> io::Result<Self> {
        let idle = IdleSet::new(shared.stop.as_fd())?;
        Ok(Self { shared, live: Arc::default(), idle, warned: Mutex::default() })
    }

    /// Serves `client` on the thread of `worker`.
    pub(crate) fn serve(self: &Arc<Self>, client: TcpStream, worker: Worker) {
        let (serving, guard) = (Arc::clone(self), ConnectionGuard::new(&self.live));
        worker.run(move || {
            if let Some(tunnel) = serving.catch_panic(|| connection::serve(&serving.shared, client)) {
                serving.resume(IdleConnection { tunnel, guard });
            }
        });
    }

    /// Relays on this thread until the connection ends or is idle again.
    fn resume(&self, mut connection: IdleConnection) {
        loop {
            let IdleConnection { tunnel, guard } = connection;
            let Some(tunnel) = self.catch_panic(|| tunnel.relay(&self.shared.stop)) else { return };
            match self.idle.insert(IdleConnection { tunnel, guard }) {
                None => return,
                Some(returned) => connection = returned,
            }
        }
    }

    /// Resumes idle connections that have an event, and ticks for all others. Returns when the capture stops, after the
    /// idle connections have ended.
    pub(crate) fn watch_idle(self: &Arc<Self>) {
        let shared = &self.shared;
        // Connections with an event that wait for a thread.
        let mut woken = Vec::new();
        let mut next_tick = Moment::now().plus(TICK_INTERVAL);
        while !shared.stop.is_set() {
            let left = next_tick.since(Moment::now());
            if left.is_zero() {
                shared.stop.tick();
                next_tick = Moment::now().plus(TICK_INTERVAL);
            }
            woken.extend(self.idle.wait(left));
            while let Some(connection) = woken.pop() {
                match shared.resources.threads.acquire() {
                    Ok(worker) => {
                        let serving = Arc::clone(self);
                        worker.run(move || serving.resume(connection));
                    }
                    Err(e) => {
                        woken.push(connection);
                        self.warn(Warning::no_thread(&e));
                        break;
                    }
                }
            }
        }
        // The stop is set: each relay returns at once.
        for connection in self.idle.close().into_iter().chain(woken) {
            self.resume(connection);
        }
    }

    /// Runs `serve` for one connection. A panic ends this connection only; it is reported.
    fn catch_panic<T>(&self, serve: impl FnOnce() -> Option<T>) -> Option<T> {
        // Unwind safety: a connection leaves no shared state half changed; a count may be too small by one.
        catch_unwind(AssertUnwindSafe(serve)).unwrap_or_else(|_| {
            let report = || self.shared.counters.add_uncaptured("(a connection)", Reason::Internal);
            let _ = catch_unwind(AssertUnwindSafe(report));
            None
        })
    }

    /// Reports the first warning of each kind. A panic of the observer does not end the calling thread, on which all
    /// connections depend.
    pub(crate) fn warn(&self, warning: Warning) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.insert(mem::discriminant(&warning)) {
            drop(warned);
            self.catch_panic(|| {
                self.shared.counters.warn(warning);
                None::<()>
            });
        }
    }
}

/// A tunnel becomes idle after one to two ticks without an event.
const TICK_INTERVAL: Duration = Duration::from_millis(250);
