//! The relay: two legs and one poll(2). Bytes read from one side are written to the other, and a watcher sees every
//! byte in between.
//!
//! ```text
//! client ─▶ receive ─▶ watcher.bytes(Up) ─▶ send ─▶ origin
//! client ◀─ send ◀─ watcher.bytes(Down) ◀─ receive ◀─ origin
//!               (spliced: client ═ pipe in the kernel ═ origin, watcher.count only)
//! ```
//!
//! - The watcher sees a piece before the other side gets it, and a piece is sent before the next one is read.
//! - A leg is read only while little is pending on the other: a slow peer slows its own transfer and costs no memory.
//! - An end on one side ends the same direction on the other side, in the same way.
//! - No wait has a timeout. A tick ([`Stop::next_tick`]) shows that time has passed; after one to two ticks without an
//!   event the relay frees memory and returns [`RelayEnd::Idle`].

use super::leg::Leg;
use super::stop::{Activity, Stop};
use super::sys::{self, Epoll, Interest};
use super::tls::session::TlsSession;
use crate::clock::Moment;
use crate::wire::tap::{Dir, Ending};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// Sees the bytes that are relayed.
pub(crate) trait Watcher {
    /// Sees `bytes` on their way and returns how many of them may pass. Upwards, the rest waits until
    /// [`Watcher::accepts_more`]; downwards, it is dropped.
    fn bytes(&mut self, dir: Dir, bytes: &[u8]) -> usize;

    /// True if it needs only byte counts: bytes may then be spliced.
    fn only_counts(&self) -> bool {
        false
    }

    /// Counts `bytes` that were spliced.
    fn count(&mut self, _dir: Dir, _bytes: usize) {}

    /// Sees that TLS with the peer that sends in direction `dir` failed. The end of that direction follows.
    fn tls_failed(&mut self, _dir: Dir, _error: &rustls::Error) {}

    /// Sees that a peer started another TLS handshake, which is refused. Called at least once, and before the other side
    /// sees an effect.
    fn renegotiated(&mut self) {}

    /// Sees the end of a direction.
    fn end(&mut self, dir: Dir, how: Ending);

    /// True if more bytes may pass upwards.
    fn accepts_more(&self) -> bool {
        true
    }

    /// The largest read in direction `dir`. What may not pass stays in memory.
    fn max_read(&self, _dir: Dir) -> usize {
        usize::MAX
    }

    /// True if the relay should end although both legs are still open.
    fn is_done(&self) -> bool {
        false
    }

    /// True if the client's connection ends with the bytes that were just seen. They are sent together with FIN, so that a
    /// client that has read them finds the end, and does not use the connection again.
    fn is_last(&self) -> bool {
        false
    }

    /// Returns bytes that were held back and pass now, before those that were seen last; and forgets them. Downwards only.
    fn take_released(&mut self) -> Vec<u8> {
        Vec::new()
    }

    /// True if the relay should end with [`RelayEnd::Unanswered`] at once: an upstream proxy refused the request.
    fn is_refused(&self) -> bool {
        false
    }

    /// True if the relay should end with [`RelayEnd::Unanswered`] once the origin ends.
    fn is_unanswered(&self) -> bool {
        false
    }
}

/// The reason why a relay returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RelayEnd {
    /// Both directions ended, or one side is gone.
    Closed,
    /// The watcher is done, and everything that passed was sent.
    Done,
    /// The origin ended before it answered, or was not asked. The watcher has not seen that end, and the client may still get an answer.
    Unanswered,
    /// The capture stops.
    Stopped,
    /// Nothing happened for a while. [`Relay::run`] continues once an event of [`Relay::interests`] occurs. Only where the
    /// system has epoll(7).
    Idle,
}

/// The two legs of a connection, and the state of the relay between them.
pub(crate) struct Relay {
    pub(crate) client: Leg,
    pub(crate) origin: Leg,
    notified: Notified,
}

impl Relay {
    /// Prepares to relay between `client` and `origin`.
    pub(crate) fn new(client: Leg, origin: Leg) -> Self {
        Self { client, origin, notified: Notified::default() }
    }

    /// Relays until both directions have ended, the watcher is done, the capture stops, or the connection is idle.
    pub(crate) fn run(&mut self, watcher: &mut dyn Watcher, stop: &Stop) -> RelayEnd {
        let mut activity = Activity::new();
        // Bytes that were read before this loop began; no poll announces them.
        forward_unread(Dir::Down, &mut self.origin, &mut self.client, watcher);
        let end = loop {
            let Self { client, origin, notified } = self;
            if watcher.accepts_more() {
                forward_unread(Dir::Up, client, origin, watcher);
            }
            propagate_end(Dir::Up, client, origin, watcher, notified);
            if watcher.is_refused() {
                return RelayEnd::Unanswered;
            }
            // If the client ended first, the origin's end follows from it.
            if watcher.is_unanswered() && origin.ended().is_some() && client.ended().is_none() {
                return RelayEnd::Unanswered;
            }
            propagate_end(Dir::Down, origin, client, watcher, notified);
            if watcher.is_done() && client.is_flushed() && origin.is_flushed() {
                return RelayEnd::Done;
            }
            if client.is_over() || origin.is_over() && client.is_flushed() {
                break RelayEnd::Closed;
            }

            let [of_client, of_origin] = self.interests(watcher);
            let Ok([ticked, client_ready, origin_ready]) =
                sys::wait([(activity.tick(stop), Interest::READ), of_client, of_origin], None)
            else {
                break RelayEnd::Closed;
            };
            if ticked.read && stop.is_set() {
                break RelayEnd::Stopped;
            }
            let Self { client, origin, notified } = self;
            let is_ready = client_ready != Interest::default() || origin_ready != Interest::default();
            if activity.note(ticked.read, is_ready) {
                client.shrink();
                origin.shrink();
                if Epoll::IS_SUPPORTED {
                    return RelayEnd::Idle;
                }
            }
            if client_ready.write {
                client.flush();
            }
            if origin_ready.write {
                origin.flush();
            }
            if client_ready.read {
                transfer(Dir::Up, client, origin, watcher);
                // Before the watcher sees data of the origin, which a client that left does not get.
                notify_end(Dir::Up, client, watcher, notified);
            }
            if origin_ready.read {
                transfer(Dir::Down, origin, client, watcher);
            }
        };
        let Self { client, origin, notified } = self;
        // Directions that are still open are abandoned.
        let how = if end == RelayEnd::Stopped { Ending::Stopped } else { Ending::Abandoned };
        if !notified.up {
            watcher.end(Dir::Up, client.ended().unwrap_or(how));
        }
        if !notified.down {
            watcher.end(Dir::Down, origin.ended().unwrap_or(how));
        }
        if end == RelayEnd::Closed {
            if origin.ended().is_none() {
                origin.abort();
            }
            linger(client, stop);
        }
        end
    }

    /// The events that the next step needs. A leg whose interest is empty must not be waited for.
    pub(crate) fn interests(&self, watcher: &dyn Watcher) -> [(BorrowedFd<'_>, Interest); 2] {
        let Self { client, origin, .. } = self;
        let may_read = watcher.accepts_more() || client.unread().len() < MAX_READ_AHEAD_BYTES;
        [(client.fd(), interest(client, origin, may_read)), (origin.fd(), interest(origin, client, true))]
    }
}

/// Ends the connection to a client after the last response was sent.
pub(crate) fn close(client: &mut Leg, stop: &Stop) {
    client.end(Ending::Clean);
    let deadline = Moment::now().plus(LINGER_TIMEOUT);
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

/// Reads and drops data of the client after our end of the connection was closed. Closing the socket with unread data
/// sends RST, which could overtake the response (RFC 9112 section 9.6).
fn linger(client: &mut Leg, stop: &Stop) {
    if client.ended().is_some() {
        return;
    }
    let deadline = Moment::now().plus(LINGER_TIMEOUT);
    loop {
        let left = deadline.since(Moment::now());
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

/// The events to poll for on `leg`: input while the other leg accepts it and has little pending, output while something
/// is pending. A leg whose write failed is always read: only that shows how it ended, and it delivers no more than
/// it has received.
fn interest(leg: &Leg, other: &Leg, may_read: bool) -> Interest {
    let is_wanted = may_read && other.is_writable() && other.has_room();
    Interest { read: leg.ended().is_none() && (is_wanted || leg.is_dead()), write: !leg.is_flushed() }
}

/// Reads once from `from` and sends the data to `to`, or splices a few times.
fn transfer(dir: Dir, from: &mut Leg, to: &mut Leg, watcher: &mut dyn Watcher) {
    if watcher.only_counts() && to.accepts_splice() {
        for _ in 0..MAX_SPLICE_ROUNDS {
            match from.splice(to) {
                0 => return,
                n => watcher.count(dir, n),
            }
            if !to.accepts_splice() {
                return;
            }
        }
        return;
    }
    let mut moved = 0;
    let read = from.receive(watcher.max_read(dir), &mut |bytes| {
        moved += bytes.len();
        forward(dir, bytes, to, watcher)
    });
    to.flush();
    // A violation of TLS, or a fatal alert. Our alert goes to the peer that caused it; the other side sees a
    // truncation.
    if let Err(e) = read {
        watcher.tls_failed(dir, &e);
        from.fail();
    }
    if from.tls().is_some_and(TlsSession::is_renegotiated) {
        watcher.renegotiated();
    }
    if moved >= MIN_SPLICE_BYTES && watcher.only_counts() {
        from.enable_splice(to);
    }
}

fn forward(dir: Dir, bytes: &[u8], to: &mut Leg, watcher: &mut dyn Watcher) -> usize {
    let passed = watcher.bytes(dir, bytes).min(bytes.len());
    let passing = bytes.get(..passed).unwrap_or_default();
    if dir == Dir::Down {
        to.queue(&watcher.take_released());
    }
    match dir {
        Dir::Up => to.queue(passing),
        Dir::Down if watcher.is_last() => to.queue_deferred(passing),
        Dir::Down => to.queue(passing),
    }
    if dir == Dir::Up { passed } else { bytes.len() }
}

fn forward_unread(dir: Dir, from: &mut Leg, to: &mut Leg, watcher: &mut dyn Watcher) {
    if !from.unread().is_empty() {
        from.reread(&mut |bytes| forward(dir, bytes, to, watcher));
        to.flush();
    }
}

/// If `from` has ended and all its data was forwarded, notifies the watcher and ends `to` in the same way.
fn propagate_end(dir: Dir, from: &Leg, to: &mut Leg, watcher: &mut dyn Watcher, notified: &mut Notified) {
    notify_end(dir, from, watcher, notified);
    if let Some(how) = from.ended().filter(|_| from.unread().is_empty()) {
        to.end(how);
    }
}

/// If `from` has ended and all its data was forwarded, notifies the watcher once.
fn notify_end(dir: Dir, from: &Leg, watcher: &mut dyn Watcher, notified: &mut Notified) {
    let is_notified = match dir {
        Dir::Up => &mut notified.up,
        Dir::Down => &mut notified.down,
    };
    if let Some(how) = from.ended().filter(|_| from.unread().is_empty() && !*is_notified) {
        *is_notified = true;
        watcher.end(dir, how);
    }
}

/// The directions whose end the watcher has seen.
#[derive(Default)]
struct Notified {
    up: bool,
    down: bool,
}

/// Limit on data that is read ahead of the next request. Reading ahead shows that a client left.
const MAX_READ_AHEAD_BYTES: usize = 4 << 10;
/// A read of this size is part of a large transfer, which is worth a pipe.
const MIN_SPLICE_BYTES: usize = 64 << 10;
/// Splice rounds before the other direction is served.
const MAX_SPLICE_ROUNDS: usize = 4;
/// Time that a client has to receive the last bytes, and then to stop sending.
const LINGER_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::resources::Resources;
    use std::io::Write;
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::sync::Arc;

    /// Logs what it sees.
    #[derive(Default)]
    struct Log(Vec<String>);

    impl Watcher for Log {
        fn bytes(&mut self, dir: Dir, bytes: &[u8]) -> usize {
            self.0.push(format!("{dir:?} {}", bytes.escape_ascii()));
            bytes.len()
        }

        fn end(&mut self, dir: Dir, how: Ending) {
            self.0.push(format!("{dir:?} {how:?}"));
        }
    }

    /// Returns a leg and its peer.
    fn leg() -> (Leg, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (Leg::new(listener.accept().unwrap().0, &Arc::<Resources>::default()).unwrap(), peer)
    }

    #[test]
    fn the_watcher_sees_the_end_of_a_client_before_data_that_came_with_it() {
        let ((client, client_peer), (origin, mut origin_peer)) = (leg(), leg());
        origin_peer.write_all(b"answer").unwrap();
        origin_peer.shutdown(Shutdown::Write).unwrap();
        client_peer.shutdown(Shutdown::Write).unwrap();
        // Both have arrived.
        for leg in [&client, &origin] {
            sys::wait([(leg.fd(), Interest::READ)], None).unwrap();
        }
        let mut log = Log::default();
        let end = Relay::new(client, origin).run(&mut log, &Stop::new().unwrap());
        assert_eq!(end, RelayEnd::Closed);
        assert_eq!(log.0, ["Up Clean", "Down answer", "Down Clean"]);
    }
}
