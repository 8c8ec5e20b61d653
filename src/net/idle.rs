//! Tunnels in which nothing happens: they give their threads back, and one thread waits for all of them.
//!
//! ```text
//!            relayed, by a thread of the crew
//! a tick without a byte │        ▲ a byte, an end, the stop
//!                       ▼        │
//!            rests, its sockets in one epoll(7)
//! ```
//!
//! A thread costs a connection three times what TLS, taps and recorder remember of it: what its deepest call, the handshake,
//! has touched of its stack stays touched, and the C library keeps memory for each. That is a price for work, not for silence.

use super::crew::CREW;
use super::listener::{Counted, guarded, warn};
use super::shared::Shared;
use super::stop::Stop;
use super::sys::Epoll;
use super::tunnel::Tunnel;
use crate::clock::Moment;
use crate::notice::Warning;
use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The tunnels that rest.
#[derive(Debug)]
pub(crate) struct Idle {
    /// Their sockets, and the stop.
    sockets: Epoll,
    /// `None` once the capture stops.
    guests: Mutex<Option<Guests>>,
}

/// A tunnel, counted as a connection for as long as it lives.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) tunnel: Tunnel,
    pub(super) counted: Counted,
}

#[derive(Debug, Default)]
struct Guests {
    resting: HashMap<u64, Guest>,
    last: u64,
}

impl Idle {
    /// # Errors
    /// If no descriptor is left.
    pub(crate) fn new(stop: &Stop) -> io::Result<Self> {
        let sockets = Epoll::new()?;
        if Epoll::IS_SUPPORTED {
            sockets.add(stop.as_fd(), STOP)?;
        }
        Ok(Self { sockets, guests: Mutex::new(Some(Guests::default())) })
    }

    /// Keeps `guest` until something happens in it; one that cannot be kept is given back.
    fn keep(&self, guest: Guest) -> Option<Guest> {
        let mut lock = self.lock();
        let Some(guests) = &mut *lock else { return Some(guest) };
        guests.last = guests.last.wrapping_add(1);
        let added = guest.tunnel.sockets().try_for_each(|socket| self.sockets.add(socket, guests.last));
        if added.is_err() {
            self.forget(&guest);
            return Some(guest);
        }
        // What happens from here on finds it: looking for it takes the lock.
        guests.resting.insert(guests.last, guest);
        None
    }

    /// The guest with this key, if it still rests.
    fn take(&self, key: u64) -> Option<Guest> {
        let guest = self.lock().as_mut()?.resting.remove(&key)?;
        self.forget(&guest);
        Some(guest)
    }

    /// All guests. None is kept from here on.
    fn close(&self) -> impl Iterator<Item = Guest> {
        self.lock().take().unwrap_or_default().resting.into_values()
    }

    fn forget(&self, guest: &Guest) {
        for socket in guest.tunnel.sockets() {
            self.sockets.remove(socket);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Guests>> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Relays for as long as something happens, on this thread; then the guest rests.
pub(super) fn carry_on(shared: &Shared, mut guest: Guest) {
    loop {
        let Guest { tunnel, counted } = guest;
        let Some(tunnel) = guarded(shared, || tunnel.relay(&shared.stop)) else { return };
        match shared.idle.keep(Guest { tunnel, counted }) {
            None => return,
            Some(back) => guest = back,
        }
    }
}

/// Waits for those that rest, and tells all others that time passes; until the capture stops, which ends them all.
pub(crate) fn attend(shared: &Arc<Shared>) {
    // Something happened in these, and no thread is to be had for them.
    let mut woken = Vec::new();
    let mut is_told = false;
    let mut next_tick = Moment::now().plus(TICK);
    while !shared.stop.is_now() {
        let left = next_tick.since(Moment::now());
        if left.is_zero() {
            shared.stop.tick();
            next_tick = Moment::now().plus(TICK);
        }
        for key in shared.idle.sockets.wait(left) {
            woken.extend(shared.idle.take(key));
        }
        while let Some(guest) = woken.pop() {
            match CREW.hire() {
                Ok(hand) => {
                    let shared = Arc::clone(shared);
                    hand.give(move || carry_on(&shared, guest));
                }
                Err(e) => {
                    woken.push(guest);
                    if !is_told {
                        is_told = true;
                        warn(shared, Warning::no_thread(&e));
                    }
                    break;
                }
            }
        }
    }
    // Each of them ends at once.
    for guest in shared.idle.close().chain(woken) {
        carry_on(shared, guest);
    }
}

/// What tells the stop from guests.
const STOP: u64 = 0;
/// A tunnel rests after one to two of these.
const TICK: Duration = Duration::from_millis(250);
