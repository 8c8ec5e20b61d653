//! Two legs and one poll(2): what comes in on one side goes out on the other, and a watcher sees every byte in between.
//!
//! ```text
//! client ─▶ receive ─▶ watch.pass(Up) ─▶ send ─▶ origin
//! client ◀─ send ◀─ watch.pass(Down) ◀─ receive ◀─ origin
//! ```
//!
//! - The watcher sees a piece before the other side gets it, and a piece leaves before the next is read.
//! - A leg is read only while the other owes its peer little: a slow peer slows its own transfer and costs no memory.
//! - A direction that ends ends the other side the same way, that direction alone.

use super::leg::Leg;
use super::stop::Stop;
use super::sys::{self, Interest};
use crate::clock::Moment;
use crate::wire::tap::{Dir, Ending};
use std::os::fd::AsFd;
use std::time::Duration;

/// Sees what is relayed.
pub(crate) trait Watch {
    /// `bytes` are on their way; says how many of them may pass. Less than all only upwards, where the rest waits until
    /// [`Watch::is_open`].
    fn pass(&mut self, dir: Dir, bytes: &[u8]) -> usize;

    /// Whether it looks at no byte: then they may pass without being shown to it, and it is told how many there were.
    fn is_blind(&self) -> bool {
        false
    }

    /// So many bytes were not shown to it.
    fn passed_unseen(&mut self, _dir: Dir, _bytes: usize) {}

    /// A direction ended.
    fn end(&mut self, dir: Dir, how: Ending);

    /// Whether bytes upwards may pass.
    fn is_open(&self) -> bool {
        true
    }

    /// Whether the legs are to be given back, though both may live on.
    fn is_over(&self) -> bool {
        false
    }

    /// Whether the legs are to be given back while nothing happens, to be relayed on when something does.
    fn may_rest(&self) -> bool {
        false
    }
}

/// Why a relay came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relayed {
    /// Both directions ended, or one side is gone.
    Closed,
    /// The watcher said that it is over; all that was passed has left.
    Over,
    /// The capture stops.
    Stopped,
    /// Nothing has happened for a while, and nothing is held here that the next relay would not find in the legs.
    Idle,
}

/// Relays until both directions have ended, the watcher calls it over, the capture stops, or nothing happens that it would
/// have to be here for.
pub(crate) fn relay(client: &mut Leg, origin: &mut Leg, watch: &mut dyn Watch, stop: &Stop) -> Relayed {
    let mut told = Told::default();
    // Whether something has happened since the last tick; and whether, as nothing had for one, the legs were asked to give back
    // what room they have.
    let (mut is_busy, mut is_idle) = (true, false);
    // Bytes that no poll will announce: they were read before this loop began.
    pass_unread(Dir::Down, origin, client, watch);
    let relayed = loop {
        if watch.is_open() {
            pass_unread(Dir::Up, client, origin, watch);
        }
        propagate_end(Dir::Up, client, origin, watch, &mut told);
        propagate_end(Dir::Down, origin, client, watch, &mut told);
        if watch.is_over() && client.is_flushed() && origin.is_flushed() {
            return Relayed::Over;
        }
        if client.is_over() || origin.is_over() && client.is_flushed() {
            break Relayed::Closed;
        }

        let client_has_room = watch.is_open() || client.unread().len() < HELD_BACK;
        let wanted = [
            (if is_idle { stop.as_fd() } else { stop.next_tick() }, Interest::READ),
            (client.fd(), interest(client, origin, client_has_room)),
            (origin.fd(), interest(origin, client, true)),
        ];
        let Ok([told_time, of_client, of_origin]) = sys::wait(wanted, None) else {
            break Relayed::Closed;
        };
        if told_time.read && stop.is_now() {
            break Relayed::Stopped;
        }
        let is_ready = of_client != Interest::default() || of_origin != Interest::default();
        is_busy |= is_ready;
        is_idle &= !is_ready;
        if told_time.read && !std::mem::take(&mut is_busy) {
            is_idle = true;
            client.shrink();
            origin.shrink();
            if watch.may_rest() && client.is_at_rest() && origin.is_at_rest() {
                return Relayed::Idle;
            }
        }
        if of_client.write {
            client.flush();
        }
        if of_origin.write {
            origin.flush();
        }
        if of_client.read {
            pump(Dir::Up, client, origin, watch);
        }
        if of_origin.read {
            pump(Dir::Down, origin, client, watch);
        }
    };
    // Whoever still speaks speaks to nobody.
    let how = if relayed == Relayed::Stopped { Ending::Stopped } else { Ending::Abandoned };
    if !told.up {
        watch.end(Dir::Up, client.ended().unwrap_or(how));
    }
    if !told.down {
        watch.end(Dir::Down, origin.ended().unwrap_or(how));
    }
    if relayed == Relayed::Closed {
        if origin.ended().is_none() {
            origin.abort();
        }
        linger(client, stop);
    }
    relayed
}

/// Ends the connection to a client that was given its last word, once it has it.
pub(crate) fn part(client: &mut Leg, stop: &Stop) {
    client.end(Ending::Clean);
    let deadline = Moment::now().plus(LINGER);
    while !client.is_flushed() {
        let left = deadline.since(Moment::now());
        let wanted = [(stop.as_fd(), Interest::READ), (client.fd(), Interest::WRITE)];
        match sys::wait(wanted, Some(left)) {
            Ok([stopped, _]) if !stopped.read && !left.is_zero() => client.flush(),
            _ => return,
        }
    }
    linger(client, stop);
}

/// Reads and drops what the client still sends after its connection was ended towards it: closing at once would reset it, and
/// the reset could overtake the answer that it has yet to read (RFC 9112 section 9.6).
fn linger(client: &mut Leg, stop: &Stop) {
    if client.ended().is_some() {
        return;
    }
    let end = Moment::now().plus(LINGER);
    loop {
        let left = end.since(Moment::now());
        let wanted = [(stop.as_fd(), Interest::READ), (client.fd(), Interest::READ)];
        match sys::wait(wanted, Some(left)) {
            Ok([stopped, input]) if input.read && !stopped.read && !left.is_zero() => {
                if client.discard() {
                    return;
                }
            }
            _ => return,
        }
    }
}

/// Input is wanted of a leg while the other takes it and owes little; room for output while something is owed. A leg that
/// refused what it was sent is read in any case: that alone tells how it ended, and it has no more than it has received.
fn interest(leg: &Leg, other: &Leg, has_room: bool) -> Interest {
    let is_wanted = has_room && other.takes() && other.has_room();
    Interest { read: leg.ended().is_none() && (is_wanted || leg.is_dead()), write: !leg.is_flushed() }
}

/// Reads `from` once and sends it on.
fn pump(dir: Dir, from: &mut Leg, to: &mut Leg, watch: &mut dyn Watch) {
    if watch.is_blind() && to.is_joined() {
        for _ in 0..ROUNDS {
            match from.pass(to) {
                0 => return,
                n => watch.passed_unseen(dir, n),
            }
            if !to.is_joined() {
                return;
            }
        }
        return;
    }
    let mut moved = 0;
    let read = from.receive(&mut |bytes| {
        moved += bytes.len();
        forward(dir, bytes, to, watch)
    });
    to.flush();
    // A violation of TLS in mid-stream, or a fatal alert: our alert goes to the one who caused it, and the other side learns
    // of a cut.
    if read.is_err() {
        from.fail();
    }
    if moved >= BULK && watch.is_blind() {
        from.join(to);
    }
}

fn forward(dir: Dir, bytes: &[u8], to: &mut Leg, watch: &mut dyn Watch) -> usize {
    let passed = watch.pass(dir, bytes).min(bytes.len());
    to.put(bytes.get(..passed).unwrap_or_default());
    passed
}

fn pass_unread(dir: Dir, from: &mut Leg, to: &mut Leg, watch: &mut dyn Watch) {
    if !from.unread().is_empty() {
        from.reread(&mut |bytes| forward(dir, bytes, to, watch));
        to.flush();
    }
}

/// If `from` has ended and all of it was passed on, the watcher is told and `to` is ended the same way.
fn propagate_end(dir: Dir, from: &Leg, to: &mut Leg, watch: &mut dyn Watch, told: &mut Told) {
    let Some(how) = from.ended() else { return };
    let told = match dir {
        Dir::Up => &mut told.up,
        Dir::Down => &mut told.down,
    };
    if !*told && from.unread().is_empty() {
        *told = true;
        watch.end(dir, how);
        to.end(how);
    }
}

/// Of which directions the watcher knows that they ended.
#[derive(Default)]
struct Told {
    up: bool,
    down: bool,
}

/// As much of the next requests is read while one is under way; reading on is what shows that a client left.
const HELD_BACK: usize = 64 << 10;
/// A read that brings so much is part of a large transfer, which is worth a pipe.
const BULK: usize = 64 << 10;
/// So often a pipe is filled and emptied before the other direction has its turn.
const ROUNDS: usize = 4;
/// As long as a client that was answered may go on sending.
const LINGER: Duration = Duration::from_secs(5);
