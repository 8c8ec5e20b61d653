//! Accepts clients and gives each a thread.
//!
//! ```text
//! client waits ─▶ room for its descriptors? ─▶ a thread for it? ─▶ accepted, handed over
//!       ▲                  │ no                     │ no
//!       └── 100 ms, again ─┴────────────────────────┘
//! ```
//!
//! A client is accepted only when everything it will need is there. Until then it waits in the system's queue, and those that
//! are being served do not notice.

use super::connection;
use super::crew::{CREW, Hand};
use super::idle::{self, Guest};
use super::shared::Shared;
use super::sys::{self, Interest};
use crate::notice::{Reason, Warning};
use std::collections::HashSet;
use std::io::{self, ErrorKind};
use std::mem;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Accepts until the capture stops. Clients that the machine cannot serve now wait until it can; why is told once.
pub(crate) fn listen(shared: &Arc<Shared>, listener: &TcpListener, live: &Arc<Live>) {
    let mut door = Door { shared, listener, live, room: Room::now(), hand: None };
    let mut told = HashSet::new();
    while let Some(has_client) = wait(shared, listener) {
        if !has_client {
            continue;
        }
        if let Err(shortage) = door.admit() {
            if told.insert(mem::discriminant(&shortage)) {
                warn(shared, shortage.warning());
            }
            // Not everything says when there is room again, so it is tried again and again.
            let _ = sys::wait([(shared.stop.as_fd(), Interest::READ)], Some(RETRY));
        }
    }
}

/// Whether there is a client; `None` once the capture stops.
fn wait(shared: &Shared, listener: &TcpListener) -> Option<bool> {
    let wanted = [(shared.stop.as_fd(), Interest::READ), (listener.as_fd(), Interest::READ)];
    match sys::wait(wanted, None) {
        Ok([stopped, _]) if stopped.read => None,
        Ok([_, client]) => Some(client.read),
        Err(_) => Some(false),
    }
}

/// Where clients come in.
struct Door<'a> {
    shared: &'a Arc<Shared>,
    listener: &'a TcpListener,
    live: &'a Arc<Live>,
    room: Room,
    /// A thread that has no client yet: one that was accepted before its thread was sure would be lost without it.
    hand: Option<Hand>,
}

impl Door<'_> {
    /// Lets one client in, if there still is one.
    fn admit(&mut self) -> Result<(), Shortage> {
        if self.live.count() >= self.room.connections {
            return Err(Shortage::Room(self.room));
        }
        let hand = match self.hand.take() {
            Some(hand) => hand,
            None => CREW.hire().map_err(Shortage::Threads)?,
        };
        match self.listener.accept() {
            Ok((client, _)) => {
                let (shared, counted) = (Arc::clone(self.shared), Counted::new(self.live));
                hand.give(move || serve(&shared, client, counted));
                Ok(())
            }
            // A client that left the queue, or another's wake-up.
            Err(e)
                if matches!(
                    e.kind(),
                    ErrorKind::WouldBlock | ErrorKind::ConnectionAborted | ErrorKind::Interrupted
                ) =>
            {
                Ok(())
            }
            Err(e) => {
                self.hand = Some(hand);
                Err(Shortage::Accept(e))
            }
        }
    }
}

/// Serves a client to its end, or until nothing happens.
fn serve(shared: &Arc<Shared>, client: TcpStream, counted: Counted) {
    if let Some(tunnel) = guarded(shared, || connection::serve(shared, client)) {
        idle::carry_on(shared, Guest { tunnel, counted });
    }
}

/// What a panic in `serving` a connection ends is no more than that.
pub(super) fn guarded<T>(shared: &Shared, serving: impl FnOnce() -> Option<T>) -> Option<T> {
    // Nothing that the connection shares is left half changed: counts at worst miss one.
    catch_unwind(AssertUnwindSafe(serving)).unwrap_or_else(|_| {
        let _ = catch_unwind(AssertUnwindSafe(|| shared.counters.add_uncaptured("(a connection)", Reason::Internal)));
        None
    })
}

/// Tells of something on a thread that all connections depend on, which an observer that panics must not end.
pub(super) fn warn(shared: &Shared, warning: Warning) {
    guarded(shared, || {
        shared.counters.warn(warning);
        None::<()>
    });
}

/// The reason why new clients wait.
enum Shortage {
    /// As many connections as there may be.
    Room(Room),
    /// No thread.
    Threads(io::Error),
    /// What accept(2) said: no descriptor, no memory.
    Accept(io::Error),
}

impl Shortage {
    fn warning(&self) -> Warning {
        match self {
            Self::Room(Room { connections, descriptors }) => {
                Warning::DescriptorLimit { descriptors: *descriptors, connections: *connections }
            }
            Self::Threads(e) => Warning::no_thread(e),
            Self::Accept(e) => Warning::AcceptFailed { cause: e.to_string() },
        }
    }
}

/// How many connections the descriptors suffice for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Room {
    connections: usize,
    /// The limit that this comes from.
    descriptors: usize,
}

impl Room {
    fn now() -> Self {
        Self::beside(sys::open_descriptors(), sys::descriptor_limit())
    }

    /// Beside `open` ones, of `descriptors` in all.
    fn beside(open: usize, descriptors: usize) -> Self {
        let free = descriptors.saturating_sub(open).saturating_sub(SPARE_DESCRIPTORS);
        Self { connections: (free / EACH_DESCRIPTORS).max(1), descriptors }
    }
}

/// How many connections there are, so that the end of a capture can wait for them.
#[derive(Debug, Default)]
pub(crate) struct Live {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    connections: usize,
    is_hurried: bool,
}

impl Live {
    /// Waits until there is no connection, or somebody is in a hurry. Returns how many there are.
    pub(crate) fn wait_for_none(&self) -> usize {
        let waiting = |state: &mut State| state.connections > 0 && !state.is_hurried;
        self.changed.wait_while(self.lock(), waiting).unwrap_or_else(PoisonError::into_inner).connections
    }

    /// Ends the waiting, now and later.
    pub(crate) fn hurry(&self) {
        self.lock().is_hurried = true;
        self.changed.notify_all();
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.lock().connections
    }

    fn add(&self, n: isize) {
        let mut state = self.lock();
        state.connections = state.connections.saturating_add_signed(n);
        let is_none = state.connections == 0;
        drop(state);
        // Nobody waits for another number, and each connection would pay for telling it.
        if is_none {
            self.changed.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts one connection for as long as it lives.
#[derive(Debug)]
pub(super) struct Counted(Arc<Live>);

impl Counted {
    fn new(live: &Arc<Live>) -> Self {
        live.add(1);
        Self(Arc::clone(live))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}

const RETRY: Duration = Duration::from_millis(100);
/// The client, its origin, and a body each way in a file (HTTP/2 may want more files, and takes them from what others leave).
/// Were clients accepted without regard to that, they would hold all the descriptors and wait for each other's, and bodies would
/// be cut off.
const EACH_DESCRIPTORS: usize = 4;
/// For what comes and goes: a name's resolution, an origin's second address, the folder that is synced at the end.
const SPARE_DESCRIPTORS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_has_its_descriptors() {
        for (open, descriptors, connections) in [(0, 0, 1), (12, 20, 1), (12, 40, 5), (12, 1024, 251), (50, 40, 1)] {
            assert_eq!(Room::beside(open, descriptors), Room { connections, descriptors });
        }
        let now = Room::now();
        assert!(now.connections * EACH_DESCRIPTORS < now.descriptors, "{now:?}");
    }
}
