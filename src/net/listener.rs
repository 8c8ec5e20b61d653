//! Accepts clients and gives each a thread.

use super::connection;
use super::shared::Shared;
use super::sys::{self, Interest};
use crate::notice::Reason;
use std::io::{self, ErrorKind};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Accepts until the capture stops. Clients that the machine cannot serve now wait in the listener's queue until it can.
pub(crate) fn listen(shared: &Arc<Shared>, listener: &TcpListener, live: &Arc<Live>) {
    let mut is_short = false;
    while let Some(has_client) = wait(shared, listener) {
        if !has_client {
            continue;
        }
        let served = listener.accept().and_then(|(client, _)| spawn(shared, live, client));
        match served {
            Ok(()) => is_short = false,
            // A client that left the queue, or another's wake-up.
            Err(e)
                if matches!(
                    e.kind(),
                    ErrorKind::WouldBlock | ErrorKind::ConnectionAborted | ErrorKind::Interrupted
                ) => {}
            Err(e) => {
                if !is_short {
                    is_short = true;
                    shared.tally.trouble(format!("cannot serve more connections for now: {e}"));
                }
                // Nothing says when there will be room, so it is tried again and again.
                let _ = sys::wait([(shared.stop.as_fd(), Interest::READ)], Some(RETRY));
            }
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

fn spawn(shared: &Arc<Shared>, live: &Arc<Live>, client: TcpStream) -> io::Result<()> {
    let shared = Arc::clone(shared);
    let counted = Counted::new(live);
    thread::Builder::new().name("connection".into()).stack_size(STACK).spawn(move || {
        let _counted = counted;
        // Nothing that the connection shares is left half changed: counts at worst miss one.
        if catch_unwind(AssertUnwindSafe(|| connection::serve(&shared, client))).is_err() {
            let _ = catch_unwind(AssertUnwindSafe(|| shared.tally.uncaptured("(a connection)", Reason::Internal)));
        }
    })?;
    Ok(())
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

    fn add(&self, n: isize) {
        let mut state = self.lock();
        state.connections = state.connections.saturating_add_signed(n);
        drop(state);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts one connection for as long as it lives.
struct Counted(Arc<Live>);

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

/// What a connection's deepest calls (TLS handshakes) need several times over.
const STACK: usize = 512 << 10;
const RETRY: Duration = Duration::from_millis(100);
