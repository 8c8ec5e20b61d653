//! Serves connections on threads of the pool. An idle connection releases its thread; one thread waits for events on all
//! idle connections.
//!
//! ```text
//!           served by a thread of the pool
//! a tick without a byte │        ▲ a byte, an end, a deadline, the stop
//!                       ▼        │
//!            idle, its sockets in one epoll(7)
//! ```
//!
//! The thread of a connection takes three times the memory of its TLS, taps and recorder. The stack pages that the
//! deepest call, the handshake, has touched stay allocated, and the C library keeps memory for each thread. An idle
//! connection needs neither.

use super::connection::Connection;
use super::idle::{IdleSet, Waiting};
use super::live::{ConnectionGuard, LiveConnections};
use super::shared::Shared;
use super::sys::Interest;
use super::thread_pool::Worker;
use crate::clock::Moment;
use crate::notice::{Reason, Warning};
use std::collections::HashSet;
use std::io;
use std::mem::{self, Discriminant};
use std::net::TcpStream;
use std::num::NonZero;
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// The connections of a running capture.
pub(crate) struct Serving {
    pub(crate) shared: Shared,
    pub(crate) live: Arc<LiveConnections>,
    idle: IdleSet<IdleConnection>,
    /// The kinds of warnings that were reported.
    warned: Mutex<HashSet<Discriminant<Warning>>>,
}

/// A connection without a thread. It is counted.
struct IdleConnection {
    connection: Connection,
    guard: ConnectionGuard,
}

impl Waiting for IdleConnection {
    fn interests(&self) -> [(BorrowedFd<'_>, Interest); 2] {
        self.connection.interests()
    }

    fn deadline(&self) -> Option<Moment> {
        self.connection.deadline()
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
            if let Some(connection) = serving.catch_panic(|| Connection::new(&serving.shared, client)) {
                serving.resume(IdleConnection { connection, guard });
            }
        });
    }

    /// Serves a connection on this thread until it ends or is idle again.
    fn resume(&self, mut resumed: IdleConnection) {
        loop {
            let IdleConnection { connection, guard } = resumed;
            let Some(connection) = self.catch_panic(|| connection.serve(&self.shared)) else { return };
            match self.idle.insert(IdleConnection { connection, guard }) {
                None => return,
                Some(returned) => resumed = returned,
            }
        }
    }

    /// Resumes idle connections that have an event or reach their deadline, and ticks for all others. Returns when the capture stops, after the
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
        woken.extend(self.idle.close());
        self.end_all(woken);
    }

    /// Ends `idle` connections after the stop, on as many threads as there are processors.
    fn end_all(self: &Arc<Self>, idle: Vec<IdleConnection>) {
        let idle = Arc::new(Mutex::new(idle));
        for _ in 1..thread::available_parallelism().map_or(1, NonZero::get) {
            // Without another thread this one ends them alone.
            let Ok(worker) = self.shared.resources.threads.acquire() else { break };
            let (serving, idle) = (Arc::clone(self), Arc::clone(&idle));
            worker.run(move || serving.end_some(&idle));
        }
        self.end_some(&idle);
    }

    fn end_some(&self, idle: &Mutex<Vec<IdleConnection>>) {
        let next = || idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        // The stop is set: each connection ends at once.
        while let Some(connection) = next() {
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

/// A connection becomes idle after one to two ticks without an event.
const TICK_INTERVAL: Duration = Duration::from_millis(250);

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;
    use crate::net::timeouts::Timeouts;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn idle_clients_without_a_whole_request_have_deadlines() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let timeouts = Timeouts { first_byte: 6 * TICK_INTERVAL, head: 8 * TICK_INTERVAL };
        let serving = Arc::new(Serving::new(Shared::for_test(timeouts, listener.local_addr().unwrap())).unwrap());
        let idle = Arc::clone(&serving);
        let watching = thread::spawn(move || idle.watch_idle());
        let began = Moment::now();
        let clients = ["", "GET http://"].map(|begin| {
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            client.set_read_timeout(Some(LONG)).unwrap();
            client.write_all(begin.as_bytes()).unwrap();
            serving.serve(listener.accept().unwrap().0, serving.shared.resources.threads.acquire().unwrap());
            client
        });
        // On a busy machine they may reach their deadlines first.
        while serving.idle.len() < clients.len() && serving.live.count() == clients.len() {
            thread::yield_now();
        }
        let received = clients.map(|mut client| {
            let mut received = String::new();
            client.read_to_string(&mut received).unwrap();
            received
        });
        assert!(received[0].is_empty() && received[1].starts_with("HTTP/1.1 408 "), "{received:?}");
        assert!(Moment::now().since(began) >= timeouts.head);
        serving.live.wait_for_none();
        serving.shared.stop.set();
        watching.join().unwrap();
    }
}
