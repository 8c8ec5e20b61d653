//! The number of open client connections. The stop of a capture waits until it is zero.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// The number of open client connections.
#[derive(Debug, Default)]
pub(crate) struct LiveConnections {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    connections: usize,
    /// True if waiting is no longer allowed.
    is_forced: bool,
}

impl LiveConnections {
    /// Waits until there are no connections, or [`LiveConnections::stop_waiting`] is called. Returns their number.
    pub(crate) fn wait_for_none(&self) -> usize {
        let is_waiting = |state: &mut State| state.connections > 0 && !state.is_forced;
        self.changed.wait_while(self.lock(), is_waiting).unwrap_or_else(PoisonError::into_inner).connections
    }

    /// Ends all waiting, now and later.
    pub(crate) fn stop_waiting(&self) {
        self.lock().is_forced = true;
        self.changed.notify_all();
    }

    /// True once waiting has ended.
    pub(crate) fn is_forced(&self) -> bool {
        self.lock().is_forced
    }

    /// The number of connections.
    pub(crate) fn count(&self) -> usize {
        self.lock().connections
    }

    fn add(&self, n: isize) {
        let mut state = self.lock();
        state.connections = state.connections.saturating_add_signed(n);
        let is_none = state.connections == 0;
        drop(state);
        // Waiters need only zero, and each notification costs a connection time.
        if is_none {
            self.changed.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts one connection until it is dropped.
#[derive(Debug)]
pub(crate) struct ConnectionGuard(Arc<LiveConnections>);

impl ConnectionGuard {
    /// Adds a connection to `live`.
    pub(crate) fn new(live: &Arc<LiveConnections>) -> Self {
        live.add(1);
        Self(Arc::clone(live))
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}
