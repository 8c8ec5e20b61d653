//! One side of a connection: a socket, optionally TLS on it, and the bytes that the socket has not accepted yet. Client
//! and origin are two values of this type.
//!
//! ```text
//!          receive                       send
//! socket ──────────▶ (decrypt) ─▶ sink   ────▶ (encrypt) ─▶ outbox ─▶ socket
//!             ▲                                             pipe ───▲   spliced bytes
//!          unread: plaintext that was read before it could be used
//! ```
//!
//! Nothing here waits. The caller polls the socket, and calls [`Leg::receive`] and [`Leg::flush`] when it is ready.
//!
//! Invariant: TLS never touches the socket. It decrypts the bytes that were read and writes its own messages into the
//! outbox, so that all bytes pending for a slow peer are counted in one place ([`Leg::pending`]).

use super::buffer_pool::PooledBuffer;
use super::outbox::Outbox;
use super::own_sockets::OwnAddress;
use super::resources::Resources;
use super::splice::{Filled, Pipe};
use super::sys;
use super::tls::session::TlsSession;
use crate::record::account::Account;
use crate::wire::tap::Ending;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// One side of a connection.
pub(crate) struct Leg {
    /// The address of a socket that leads to an origin.
    _own_address: Option<OwnAddress>,
    socket: TcpStream,
    tls: Option<Box<TlsSession>>,
    /// Plaintext that was read and not used. It precedes all data in the socket.
    unread: Vec<u8>,
    /// Charged for the capacity of `unread`, as of the last [`Leg::charge_unread`].
    account: Account,
    outbox: Outbox,
    /// True while the outbox may wait for more bytes to send ([`Leg::defer_pending`]).
    is_deferred: bool,
    /// The pipe from the other leg's socket to this one, where bytes are spliced. It is filled only while nothing is
    /// pending, and nothing is read for this leg until it is empty.
    pipe: Option<Pipe>,
    input: Input,
    output: Output,
    resources: Arc<Resources>,
}

/// The state of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    Open,
    Ended(Ending),
}

/// The state of writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    Open,
    /// Ends in this way once nothing is pending.
    Ending(Ending),
    /// FIN was sent.
    Ended,
    /// A write failed: the peer accepts nothing more, and what is sent is dropped.
    Dead,
}

impl Leg {
    /// Creates a leg without TLS on `socket`, which becomes non-blocking.
    ///
    /// # Errors
    /// If the socket cannot be made non-blocking.
    pub(crate) fn new(socket: TcpStream, resources: &Arc<Resources>) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        // Small writes must not wait for the acknowledgement of earlier ones. (Fails only on a dead socket.)
        let _ = socket.set_nodelay(true);
        sys::enable_keepalive(&socket);
        Ok(Self {
            _own_address: None,
            socket,
            tls: None,
            unread: Vec::new(),
            account: Account::new(&resources.recording),
            outbox: Outbox::new(&resources.unsent),
            is_deferred: false,
            pipe: None,
            input: Input::Open,
            output: Output::Open,
            resources: Arc::clone(resources),
        })
    }

    /// Creates a leg on a `socket` that leads to an origin and has this address.
    ///
    /// # Errors
    /// If the socket cannot be made non-blocking.
    pub(crate) fn to_origin(
        socket: TcpStream,
        own_address: OwnAddress,
        resources: &Arc<Resources>,
    ) -> io::Result<Self> {
        Ok(Self { _own_address: Some(own_address), ..Self::new(socket, resources)? })
    }

    /// Starts TLS. `read_before` is ciphertext that was read already.
    ///
    /// # Errors
    /// If that ciphertext is rejected. Nothing has been sent then, and [`Leg::stop_tls`] undoes the start.
    pub(crate) fn start_tls(&mut self, session: TlsSession, read_before: &[u8]) -> Result<(), rustls::Error> {
        let is_dead = self.is_dead();
        let tls = self.tls.insert(Box::new(session));
        let ciphertext = &mut read_before.to_vec();
        let ended = decrypt(tls, ciphertext, &mut self.outbox, is_dead, &mut self.unread, &mut |_| 0)?;
        self.input = ended.unwrap_or(self.input);
        Ok(())
    }

    /// Removes TLS as if it had not been started, with `unread` still to be read. Allowed only before anything was
    /// flushed.
    pub(crate) fn stop_tls(&mut self, unread: Vec<u8>) {
        self.tls = None;
        self.outbox.free();
        self.unread = unread;
    }

    /// The TLS session, if there is one.
    pub(crate) fn tls(&self) -> Option<&TlsSession> {
        self.tls.as_deref()
    }

    /// The socket's descriptor, to poll.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// The number of bytes that the socket has not accepted yet.
    pub(crate) fn pending(&self) -> usize {
        self.outbox.len() + self.piped()
    }

    fn piped(&self) -> usize {
        self.pipe.as_ref().map_or(0, Pipe::len)
    }

    /// True if so little is pending that more may be read for this leg.
    pub(crate) fn has_room(&self) -> bool {
        self.outbox.len() < self.resources.unsent.window() && self.piped() == 0
    }

    /// The way in which the peer ended, if it did.
    pub(crate) fn ended(&self) -> Option<Ending> {
        match self.input {
            Input::Open => None,
            Input::Ended(how) => Some(how),
        }
    }

    /// True while the output is open and the peer accepts data.
    pub(crate) fn is_writable(&self) -> bool {
        self.output == Output::Open
    }

    /// True if nothing is pending that must be sent now, neither bytes nor the end of the output.
    pub(crate) fn is_flushed(&self) -> bool {
        (self.pending() == 0 || self.is_deferred) && !matches!(self.output, Output::Ending(_))
    }

    /// True if a write failed: the peer is gone, or about to be.
    pub(crate) fn is_dead(&self) -> bool {
        self.output == Output::Dead
    }

    /// True if both directions have ended.
    pub(crate) fn is_over(&self) -> bool {
        self.ended().is_some() && matches!(self.output, Output::Ended | Output::Dead)
    }

    /// Plaintext that was read and not used.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.unread
    }

    /// Charges the capture's memory for the unread bytes. Returns false if too little is left: the caller must not wait for
    /// more of them.
    pub(crate) fn charge_unread(&mut self) -> bool {
        self.account.set(self.unread.capacity())
    }

    /// Removes the first `n` bytes of [`Leg::unread`].
    pub(crate) fn consume(&mut self, n: usize) {
        self.unread.drain(..n.min(self.unread.len()));
        if self.unread.is_empty() {
            self.unread.shrink_to(MAX_KEPT_UNREAD_BYTES);
        }
        self.charge_unread();
    }

    /// Passes the unread bytes to `sink`, which returns how many it used.
    pub(crate) fn reread(&mut self, sink: &mut dyn FnMut(&[u8]) -> usize) {
        let unread = std::mem::take(&mut self.unread);
        let used = sink(&unread).min(unread.len());
        self.unread = match used {
            0 => unread,
            n => unread.get(n..).unwrap_or_default().to_vec(),
        };
        self.charge_unread();
    }

    /// Reads once from the socket, as [`Leg::receive`], for bytes that are only used once there are more of them.
    ///
    /// # Errors
    /// As [`Leg::receive`].
    pub(crate) fn receive_unread(&mut self) -> Result<(), rustls::Error> {
        self.receive(MAX_UNUSED_READ_BYTES, &mut |_| 0)
    }

    /// Reads at most `max_bytes` once from the socket and passes the plaintext to `sink`, which returns how much of each
    /// piece it used. The rest of a piece, and everything after it, stays unread.
    ///
    /// # Errors
    /// If the peer violates TLS or sent a fatal alert. Our own alert is in the outbox then.
    pub(crate) fn receive(
        &mut self,
        max_bytes: usize,
        sink: &mut dyn FnMut(&[u8]) -> usize,
    ) -> Result<(), rustls::Error> {
        if self.input != Input::Open {
            return Ok(());
        }
        let mut buffer = self.resources.buffers.acquire();
        // New ciphertext belongs behind the unfinished record.
        let unfinished = self.tls.as_ref().map_or(0, |tls| tls.unfinished().len());
        if unfinished > buffer.len() / 2 {
            buffer = PooledBuffer::twice(unfinished);
        }
        let room = buffer.get_mut(unfinished..).unwrap_or_default();
        let max_bytes = max_bytes.min(self.resources.unsent.max_read()).min(room.len());
        let n = match (&self.socket).read(room.get_mut(..max_bytes).unwrap_or_default()) {
            Ok(0) => {
                drop(buffer);
                self.input = Input::Ended(self.end_of_stream());
                return Ok(());
            }
            Ok(n) => n,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return Ok(()),
            Err(_) => {
                drop(buffer);
                self.input = Input::Ended(Ending::Reset);
                self.die();
                return Ok(());
            }
        };
        if let (Some(tls), Some(front)) = (&self.tls, buffer.get_mut(..unfinished)) {
            front.copy_from_slice(tls.unfinished());
        }
        let bytes = buffer.get_mut(..unfinished.saturating_add(n)).unwrap_or_default();
        match &mut self.tls {
            Some(tls) => {
                let is_dead = self.output == Output::Dead;
                let pending = self.outbox.len();
                let ended = decrypt(tls, bytes, &mut self.outbox, is_dead, &mut self.unread, sink);
                // A message of TLS itself may not wait.
                self.is_deferred &= self.outbox.len() == pending;
                self.input = ended?.unwrap_or(self.input);
            }
            None => offer(&mut self.unread, bytes, sink),
        }
        Ok(())
    }

    /// Lets bytes from this leg's peer be spliced to `to` from now on, if neither has TLS and a pipe is available: the
    /// pipe that the other direction does not use now, or a new one. One pipe serves both directions, because a
    /// connection that is not recorded has two descriptors to spare.
    pub(crate) fn enable_splice(&mut self, to: &mut Self) {
        if self.tls.is_some() || to.tls.is_some() || to.pipe.is_some() || self.piped() > 0 {
            return;
        }
        to.pipe = self.pipe.take().or_else(|| Pipe::new(&self.resources.unsent));
    }

    /// True if bytes may be spliced to this leg now.
    pub(crate) fn accepts_splice(&self) -> bool {
        self.pipe.is_some() && self.pending() == 0 && self.is_writable()
    }

    /// Splices once from this leg to `to`, which accepts it. Returns the number of bytes.
    pub(crate) fn splice(&mut self, to: &mut Self) -> usize {
        let Some(pipe) = &mut to.pipe else { return 0 };
        match pipe.fill(&self.socket) {
            Filled::With(n) => {
                to.flush();
                return n;
            }
            Filled::End => self.input = Input::Ended(self.end_of_stream()),
            Filled::Reset => {
                self.input = Input::Ended(Ending::Reset);
                self.die();
            }
            Filled::Empty => {}
            Filled::Unsupported => to.pipe = None,
        }
        0
    }

    /// The ending that an end of the TCP stream means.
    fn end_of_stream(&self) -> Ending {
        match (self.output, &self.tls) {
            // The failed write has cleared the socket's error.
            (Output::Dead, _) => Ending::Reset,
            // TLS ends with close_notify, which was not received (RFC 8446 section 6.1).
            (_, Some(_)) => Ending::Truncated,
            (_, None) => Ending::Clean,
        }
    }

    /// Sends `plain`. Bytes that the socket does not accept at once are pending. If the peer accepts nothing, they are
    /// dropped.
    pub(crate) fn send(&mut self, plain: &[u8]) {
        self.queue(plain);
        self.flush();
    }

    /// Sends `plain`, but may keep some TLS records for [`Leg::flush`], so that they leave together.
    pub(crate) fn queue(&mut self, plain: &[u8]) {
        if !self.is_writable() || plain.is_empty() {
            return;
        }
        self.is_deferred = false;
        let is_nothing_pending = self.pending() == 0;
        match &mut self.tls {
            Some(tls) => {
                if tls.encrypt(plain, &mut self.outbox).is_err() {
                    self.end(Ending::Truncated);
                } else if self.outbox.len() >= MAX_COALESCED_BYTES {
                    self.flush();
                }
            }
            None if is_nothing_pending => {
                let written = (&self.socket).write(plain);
                let accepted = self.accepted(written);
                if self.output != Output::Dead {
                    self.outbox.push(plain.get(accepted..).unwrap_or_default());
                }
            }
            None => {
                self.outbox.push(plain);
                self.flush();
            }
        }
    }

    /// Lets the pending bytes wait for the next ones, for [`Leg::end`] or for [`Leg::shrink`].
    pub(crate) fn defer_pending(&mut self) {
        self.is_deferred = true;
    }

    /// Queues bytes without TLS, and lets them wait as [`Leg::defer_pending`] does.
    pub(crate) fn queue_deferred(&mut self, bytes: &[u8]) {
        if self.is_writable() {
            self.outbox.push(bytes);
            self.is_deferred = true;
        }
    }

    /// Writes pending bytes as far as the socket accepts them. Then, if nothing is pending and [`Leg::end`] was called,
    /// ends the output.
    pub(crate) fn flush(&mut self) {
        if self.is_deferred {
            return;
        }
        while let Some(pipe) = self.pipe.as_mut().filter(|pipe| pipe.len() > 0) {
            let drained = pipe.drain(&self.socket);
            if self.accepted(drained) == 0 {
                return;
            }
        }
        while !self.outbox.is_empty() {
            let written = match self.output {
                // FIN leaves in the same segment.
                Output::Ending(Ending::Clean) => sys::send_more(&self.socket, self.outbox.bytes()),
                _ => (&self.socket).write(self.outbox.bytes()),
            };
            let accepted = self.accepted(written);
            if self.output == Output::Dead {
                return;
            }
            self.outbox.consume(accepted);
            if accepted == 0 {
                return;
            }
        }
        if let Output::Ending(how) = self.output {
            self.output = Output::Ended;
            match how {
                Ending::Clean | Ending::Truncated => {
                    // Fails only if the peer is gone, which the next read shows.
                    let _ = self.socket.shutdown(Shutdown::Write);
                }
                Ending::Reset | Ending::Abandoned | Ending::Stopped => {
                    sys::reset_on_close(&self.socket);
                    self.input = Input::Ended(self.ended().unwrap_or(Ending::Abandoned));
                }
            }
        }
    }

    /// The number of bytes that the socket accepted in a write.
    fn accepted(&mut self, written: io::Result<usize>) -> usize {
        match written {
            Ok(n) => n,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => 0,
            Err(_) => {
                // Reading goes on: a response that the peer sent before it closed must not be lost.
                self.die();
                0
            }
        }
    }

    /// Marks the output as dead and drops pending bytes.
    fn die(&mut self) {
        self.output = Output::Dead;
        self.outbox.free();
        self.pipe = None;
    }

    /// Ends the output as the other side ended, after the pending bytes: with close_notify and FIN, with FIN alone, or
    /// with RST.
    pub(crate) fn end(&mut self, how: Ending) {
        if !self.is_writable() {
            return;
        }
        if let (Ending::Clean, Some(tls)) = (how, &mut self.tls) {
            tls.close(&mut self.outbox);
        }
        self.output = Output::Ending(how);
        self.is_deferred = false;
        self.flush();
    }

    /// Ends both directions after a violation of TLS: sends our alert and FIN, and reads nothing more.
    pub(crate) fn fail(&mut self) {
        self.input = Input::Ended(Ending::Reset);
        self.end(Ending::Truncated);
    }

    /// Ends both directions at once with RST. Pending bytes are dropped.
    pub(crate) fn abort(&mut self) {
        sys::reset_on_close(&self.socket);
        self.input = Input::Ended(self.ended().unwrap_or(Ending::Abandoned));
        self.die();
    }

    /// Frees the memory that earlier transfers needed, and sends deferred bytes.
    pub(crate) fn shrink(&mut self) {
        if std::mem::take(&mut self.is_deferred) {
            self.flush();
        }
        if self.outbox.is_empty() {
            self.outbox.free();
        }
        self.unread.shrink_to_fit();
        self.charge_unread();
        if let Some(tls) = &mut self.tls {
            tls.shrink();
        }
        if self.piped() == 0 {
            self.pipe = None;
        }
    }

    /// Reads once from the socket and drops the data. Returns true once the peer has ended.
    pub(crate) fn discard(&mut self) -> bool {
        match (&self.socket).read(&mut self.resources.buffers.acquire()) {
            Ok(0) => true,
            Ok(_) => false,
            Err(e) => !matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        }
    }
}

/// Decrypts `ciphertext` in place and passes the plaintext to `sink`; messages of TLS itself go to `outbox`. Returns
/// the new state of the input once the peer has sent close_notify.
fn decrypt(
    tls: &mut TlsSession,
    ciphertext: &mut [u8],
    outbox: &mut Outbox,
    is_dead: bool,
    unread: &mut Vec<u8>,
    sink: &mut dyn FnMut(&[u8]) -> usize,
) -> Result<Option<Input>, rustls::Error> {
    let has_closed = tls.decrypt(ciphertext, outbox, &mut |plain| offer(unread, plain, sink));
    if is_dead {
        outbox.free();
    }
    Ok(has_closed?.then_some(Input::Ended(Ending::Clean)))
}

/// Passes `bytes` to `sink` unless earlier bytes are unread. Unused bytes become unread.
fn offer(unread: &mut Vec<u8>, bytes: &[u8], sink: &mut dyn FnMut(&[u8]) -> usize) {
    let used = if unread.is_empty() { sink(bytes) } else { 0 };
    unread.extend_from_slice(bytes.get(used..).unwrap_or_default());
}

/// The largest capacity that is kept for further unread bytes. Most heads of requests are shorter.
const MAX_KEPT_UNREAD_BYTES: usize = 4 << 10;

/// A read of bytes that may stay unread for long. What it returns is in memory, whether or not the limit has room for it.
pub(crate) const MAX_UNUSED_READ_BYTES: usize = 16 << 10;

/// TLS records leave together up to this size, the largest that a kernel passes to a network card, or over loopback, in
/// one piece.
const MAX_COALESCED_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests;
