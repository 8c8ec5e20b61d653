//! Accepts clients and gives each a thread.
//!
//! ```text
//! client waits ─▶ descriptors for it? ─▶ a thread for it? ─▶ accepted, served
//!       ▲                 │ no                  │ no
//!       └── 100 ms, again ┴─────────────────────┘
//! ```
//!
//! A client is accepted only when everything that it needs is available. Until then it waits in the backlog, and
//! connections that are being served are not affected.

use super::serving::Serving;
use super::sys::{self, Interest};
use super::thread_pool::Worker;
use crate::notice::Warning;
use std::io::{self, ErrorKind};
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

/// Accepts clients until the capture stops. If one cannot be served now, it waits, and the reason is reported once.
pub(crate) fn listen(serving: &Arc<Serving>, listener: &TcpListener) {
    let mut acceptor = Acceptor { serving, listener, limit: ConnectionLimit::of_process(), worker: None };
    while let Some(has_client) = wait_for_client(serving, listener) {
        if !has_client {
            continue;
        }
        if let Err(shortage) = acceptor.accept() {
            serving.warn(shortage.warning());
            // Not every shortage ends with an event, so this polls.
            let _ = sys::wait([(serving.shared.stop.as_fd(), Interest::READ)], Some(RETRY_INTERVAL));
        }
    }
}

/// Waits for a client; returns true if there is one, `None` once the capture stops.
fn wait_for_client(serving: &Serving, listener: &TcpListener) -> Option<bool> {
    let wanted = [(serving.shared.stop.as_fd(), Interest::READ), (listener.as_fd(), Interest::READ)];
    match sys::wait(wanted, None) {
        Ok([stopped, _]) if stopped.read => None,
        Ok([_, client]) => Some(client.read),
        Err(_) => Some(false),
    }
}

struct Acceptor<'a> {
    serving: &'a Arc<Serving>,
    listener: &'a TcpListener,
    limit: ConnectionLimit,
    /// A thread without a client. It is acquired first: a client that was accepted without a thread would be lost.
    worker: Option<Worker>,
}

impl Acceptor<'_> {
    /// Accepts one client, if there still is one.
    fn accept(&mut self) -> Result<(), Shortage> {
        if self.serving.live.count() >= self.limit.connections {
            return Err(Shortage::Descriptors(self.limit));
        }
        let worker = match self.worker.take() {
            Some(worker) => worker,
            None => self.serving.shared.resources.threads.acquire().map_err(Shortage::Threads)?,
        };
        match self.listener.accept() {
            Ok((client, _)) => {
                self.serving.serve(client, worker);
                Ok(())
            }
            // The client has left the backlog, or the wake-up was spurious.
            Err(e)
                if matches!(
                    e.kind(),
                    ErrorKind::WouldBlock | ErrorKind::ConnectionAborted | ErrorKind::Interrupted
                ) =>
            {
                Ok(())
            }
            Err(e) => {
                self.worker = Some(worker);
                Err(Shortage::Accept(e))
            }
        }
    }
}

/// The reason why new clients wait.
enum Shortage {
    /// The descriptors do not suffice for more connections.
    Descriptors(ConnectionLimit),
    /// No more threads can be started.
    Threads(io::Error),
    /// accept(2) failed for lack of descriptors or memory.
    Accept(io::Error),
}

impl Shortage {
    fn warning(&self) -> Warning {
        match self {
            Self::Descriptors(ConnectionLimit { connections, descriptors }) => {
                Warning::DescriptorLimit { descriptors: *descriptors, connections: *connections }
            }
            Self::Threads(e) => Warning::no_thread(e),
            Self::Accept(e) => Warning::AcceptFailed { cause: e.to_string() },
        }
    }
}

/// The number of connections for which descriptors suffice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ConnectionLimit {
    connections: usize,
    /// The limit of open files from which it is computed.
    descriptors: usize,
}

impl ConnectionLimit {
    /// The limit for this process, with the descriptors that are open now.
    fn of_process() -> Self {
        Self::new(sys::open_descriptors(), sys::descriptor_limit())
    }

    /// The limit with `open` descriptors open, out of `descriptors`.
    fn new(open: usize, descriptors: usize) -> Self {
        let free = descriptors.saturating_sub(open).saturating_sub(SPARE_DESCRIPTORS);
        Self { connections: (free / DESCRIPTORS_PER_CONNECTION).max(1), descriptors }
    }
}

const RETRY_INTERVAL: Duration = Duration::from_millis(100);
/// The client, its origin, and the two ends of a pipe. (A connection with a pipe in each direction takes descriptors that other
/// connections leave unused.) Without this limit, accepted clients could use up all descriptors and wait for each other.
const DESCRIPTORS_PER_CONNECTION: usize = 4;
/// For short uses: name resolution, an origin's second address, the folder that is synced at the end.
const SPARE_DESCRIPTORS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_has_its_descriptors() {
        for (open, descriptors, connections) in [(0, 0, 1), (12, 20, 1), (12, 40, 5), (12, 1024, 251), (50, 40, 1)] {
            assert_eq!(ConnectionLimit::new(open, descriptors), ConnectionLimit { connections, descriptors });
        }
        let now = ConnectionLimit::of_process();
        assert!(now.connections * DESCRIPTORS_PER_CONNECTION < now.descriptors, "{now:?}");
    }
}
