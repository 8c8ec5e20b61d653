//! One side of a connection: a socket, TLS on it perhaps, and what is still owed to the socket.
//!
//! ```text
//!          receive                       send
//! socket ──────────▶ (decrypt) ─▶ sink   ────▶ (encrypt) ─▶ outbox ─▶ socket
//!             ▲
//!          unread: bytes that were read before anyone could use them
//! ```
//!
//! Client and origin are two values of this one type. Nothing here waits: whoever drives legs polls, and calls
//! [`Leg::receive`] and [`Leg::flush`] when the socket is ready.
//!
//! The rule not to break: TLS never touches the socket. It decrypts in what was read and puts what it says into the outbox, so
//! that what is owed to a slow peer is visible in one place ([`Leg::owed`]).

use super::outbox::{self, Outbox};
use super::splice::{Filled, Pipe};
use super::tls::session::TlsSession;
use super::{buffers, sys};
use crate::wire::tap::Ending;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};

/// One side of a connection.
pub(crate) struct Leg {
    socket: TcpStream,
    tls: Option<Box<TlsSession>>,
    /// Plaintext that was read and not used; comes before anything the socket has.
    unread: Vec<u8>,
    outbox: Outbox,
    /// Between the other leg's socket and this one, where bytes pass unseen. Filled only while nothing is owed, and nothing is
    /// read for this leg until it is empty.
    pipe: Option<Pipe>,
    input: Input,
    output: Output,
}

/// Where reading stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    Open,
    Ended(Ending),
}

/// Where writing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    Open,
    /// To be ended in this way once the outbox is empty.
    Ending(Ending),
    /// FIN is sent.
    Ended,
    /// The peer takes no more: what is sent is dropped.
    Dead,
}

impl Leg {
    /// A leg in the clear on `socket`, which becomes non-blocking.
    ///
    /// # Errors
    /// If the socket cannot be made non-blocking.
    pub(crate) fn new(socket: TcpStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        // Small writes must not wait for the acknowledgement of earlier ones. (Fails only on a dead socket.)
        let _ = socket.set_nodelay(true);
        sys::enable_keepalive(&socket);
        Ok(Self {
            socket,
            tls: None,
            unread: Vec::new(),
            outbox: Outbox::default(),
            pipe: None,
            input: Input::Open,
            output: Output::Open,
        })
    }

    /// Speaks TLS from here on. Bytes that were read before are fed to it first.
    ///
    /// # Errors
    /// If those bytes are refused; nothing has been sent then, [`Leg::stop_tls`] takes everything back.
    pub(crate) fn start_tls(&mut self, session: TlsSession, read_before: &[u8]) -> Result<(), rustls::Error> {
        self.tls = Some(Box::new(session));
        self.decrypt(&mut read_before.to_vec(), &mut |_| 0)
    }

    /// Back to the clear, as if TLS had never begun and `unread` were to be read: only before anything was flushed.
    pub(crate) fn stop_tls(&mut self, unread: Vec<u8>) {
        self.tls = None;
        self.outbox = Outbox::default();
        self.unread = unread;
    }

    /// The TLS session, where there is one.
    pub(crate) fn tls(&self) -> Option<&TlsSession> {
        self.tls.as_deref()
    }

    /// The socket's descriptor, to poll.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Bytes that the socket has not taken yet.
    pub(crate) fn owed(&self) -> usize {
        self.outbox.len() + self.piped()
    }

    fn piped(&self) -> usize {
        self.pipe.as_ref().map_or(0, Pipe::held)
    }

    /// Whether it owes so little that more may be read for it.
    pub(crate) fn has_room(&self) -> bool {
        self.outbox.len() < outbox::high_water() && self.piped() == 0
    }

    /// How the peer ended, if it did.
    pub(crate) fn ended(&self) -> Option<Ending> {
        match self.input {
            Input::Open => None,
            Input::Ended(how) => Some(how),
        }
    }

    /// Whether the peer takes anything more.
    pub(crate) fn takes(&self) -> bool {
        self.output == Output::Open
    }

    /// Whether everything sent has left, and the end of it too if there is one.
    pub(crate) fn is_flushed(&self) -> bool {
        self.owed() == 0 && !matches!(self.output, Output::Ending(_))
    }

    /// Whether the peer refused what we sent: it is gone, or about to be.
    pub(crate) fn is_dead(&self) -> bool {
        self.output == Output::Dead
    }

    /// Whether the peer is gone: nothing more can happen in either direction.
    pub(crate) fn is_over(&self) -> bool {
        self.ended().is_some() && matches!(self.output, Output::Ended | Output::Dead)
    }

    /// Whether there is nothing to do until the peer does something.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.input == Input::Open && self.takes() && self.owed() == 0 && self.unread.is_empty()
    }

    /// Plaintext that was read and not used.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.unread
    }

    /// Takes the first `n` bytes of [`Leg::unread`] away.
    pub(crate) fn consume(&mut self, n: usize) {
        self.unread.drain(..n.min(self.unread.len()));
    }

    /// Hands what was left unread to `sink`, which says how much of it it used.
    pub(crate) fn reread(&mut self, sink: &mut dyn FnMut(&[u8]) -> usize) {
        let unread = std::mem::take(&mut self.unread);
        let used = sink(&unread).min(unread.len());
        self.unread = match used {
            0 => unread,
            n => unread.get(n..).unwrap_or_default().to_vec(),
        };
    }

    /// Reads once from the socket and hands the plaintext to `sink`, which says how much of each piece it used; the rest, and
    /// all that follows it, stays unread.
    ///
    /// # Errors
    /// If the peer violates TLS, or sent a fatal alert. Our own alert is in the outbox then.
    pub(crate) fn receive(&mut self, sink: &mut dyn FnMut(&[u8]) -> usize) -> Result<(), rustls::Error> {
        if self.input != Input::Open {
            return Ok(());
        }
        let mut buffer = buffers::lend();
        // Ciphertext belongs behind what is unfinished.
        let unfinished = self.tls.as_ref().map_or(0, |tls| tls.unfinished().len());
        if unfinished > buffer.len() / 2 {
            buffer = buffers::larger(unfinished);
        }
        let room = buffer.get_mut(unfinished..).unwrap_or_default();
        let most = outbox::most_at_once().min(room.len());
        let n = match self.socket.read(room.get_mut(..most).unwrap_or_default()) {
            Ok(0) => {
                self.input = Input::Ended(self.end_of_stream());
                return Ok(());
            }
            Ok(n) => n,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return Ok(()),
            Err(_) => {
                self.input = Input::Ended(Ending::Reset);
                self.die();
                return Ok(());
            }
        };
        if let (Some(tls), Some(front)) = (&self.tls, buffer.get_mut(..unfinished)) {
            front.copy_from_slice(tls.unfinished());
        }
        let bytes = buffer.get_mut(..unfinished.saturating_add(n)).unwrap_or_default();
        if self.tls.is_some() {
            return self.decrypt(bytes, sink);
        }
        offer(&mut self.unread, bytes, sink);
        Ok(())
    }

    /// Has what the peer sends pass to `to` unseen from now on, if both are in the clear and there is a pipe to be had: the one
    /// that the other direction has no use for now, or a new one. So there is one for both directions, of the two descriptors
    /// that a connection of which nothing is recorded has to spare.
    pub(crate) fn join(&mut self, to: &mut Self) {
        if self.tls.is_some() || to.tls.is_some() || to.pipe.is_some() || self.piped() > 0 {
            return;
        }
        to.pipe = self.pipe.take().or_else(Pipe::new);
    }

    /// Whether what the other leg's peer sends may pass unseen.
    pub(crate) fn is_joined(&self) -> bool {
        self.pipe.is_some() && self.owed() == 0 && self.takes()
    }

    /// Passes once what the peer has sent on to `to`, which is joined; says how much.
    pub(crate) fn pass(&mut self, to: &mut Self) -> usize {
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
            Filled::Never => to.pipe = None,
        }
        0
    }

    /// What it means that nothing more can be read.
    fn end_of_stream(&self) -> Ending {
        match (self.output, &self.tls) {
            // The write that failed has taken the socket's error with it.
            (Output::Dead, _) => Ending::Reset,
            // TLS has a word for its end that was not said (RFC 8446 section 6.1).
            (_, Some(_)) => Ending::Truncated,
            (_, None) => Ending::Clean,
        }
    }

    /// Decrypts in `ciphertext` and hands on what comes out. What TLS has to say itself goes to the outbox.
    fn decrypt(&mut self, ciphertext: &mut [u8], sink: &mut dyn FnMut(&[u8]) -> usize) -> Result<(), rustls::Error> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        let unread = &mut self.unread;
        let has_closed = tls.open(ciphertext, &mut self.outbox, &mut |plain| offer(unread, plain, sink));
        if self.output == Output::Dead {
            self.outbox = Outbox::default();
        }
        if has_closed? {
            self.input = Input::Ended(Ending::Clean);
        }
        Ok(())
    }

    /// Sends `plain`; what the socket does not take at once is owed. To a peer that takes nothing more it is dropped.
    pub(crate) fn send(&mut self, plain: &[u8]) {
        self.put(plain);
        self.flush();
    }

    /// The same, but some records of TLS may wait for [`Leg::flush`], to leave together.
    pub(crate) fn put(&mut self, plain: &[u8]) {
        if !self.takes() || plain.is_empty() {
            return;
        }
        let is_nothing_owed = self.owed() == 0;
        match &mut self.tls {
            Some(tls) => {
                if tls.seal(plain, &mut self.outbox).is_err() {
                    self.end(Ending::Truncated);
                } else if self.outbox.len() >= TOGETHER {
                    self.flush();
                }
            }
            None if is_nothing_owed => {
                let taken = self.write(plain);
                if self.output != Output::Dead {
                    self.outbox.push(plain.get(taken..).unwrap_or_default());
                }
            }
            None => {
                self.outbox.push(plain);
                self.flush();
            }
        }
    }

    /// Gives the socket what it takes of what is owed; once that is nothing, ends the output if that was asked for.
    pub(crate) fn flush(&mut self) {
        while let Some(pipe) = self.pipe.as_mut().filter(|pipe| pipe.held() > 0) {
            let drained = pipe.drain(&self.socket);
            if self.taken(drained) == 0 {
                return;
            }
        }
        while !self.outbox.is_empty() {
            let outbox = std::mem::take(&mut self.outbox);
            let taken = self.write(outbox.bytes());
            if self.output == Output::Dead {
                return;
            }
            self.outbox = outbox;
            self.outbox.consume(taken);
            if taken == 0 {
                return;
            }
        }
        if let Output::Ending(how) = self.output {
            self.output = Output::Ended;
            match how {
                Ending::Clean | Ending::Truncated => {
                    // Fails only if the peer is gone, which reading finds out.
                    let _ = self.socket.shutdown(Shutdown::Write);
                }
                Ending::Reset | Ending::Abandoned | Ending::Stopped => {
                    sys::reset_on_close(&self.socket);
                    self.input = Input::Ended(self.ended().unwrap_or(Ending::Abandoned));
                }
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> usize {
        let written = self.socket.write(bytes);
        self.taken(written)
    }

    /// How much the socket took.
    fn taken(&mut self, written: io::Result<usize>) -> usize {
        match written {
            Ok(n) => n,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => 0,
            Err(_) => {
                // Reading goes on: an answer that was sent before the peer stopped listening must not be lost.
                self.die();
                0
            }
        }
    }

    /// The peer takes nothing more.
    fn die(&mut self) {
        self.output = Output::Dead;
        self.outbox = Outbox::default();
        self.pipe = None;
    }

    /// Ends the output in the way that the other side ended, after what is owed: a close_notify and FIN, FIN alone, or RST.
    pub(crate) fn end(&mut self, how: Ending) {
        if !self.takes() {
            return;
        }
        if let (Ending::Clean, Some(tls)) = (how, &mut self.tls) {
            tls.close(&mut self.outbox);
        }
        self.output = Output::Ending(how);
        self.flush();
    }

    /// Ends both ways after a violation of TLS: our alert leaves, then FIN, and nothing more is read.
    pub(crate) fn fail(&mut self) {
        self.input = Input::Ended(Ending::Reset);
        self.end(Ending::Truncated);
    }

    /// Ends both ways at once: RST, what is owed is dropped.
    pub(crate) fn abort(&mut self) {
        sys::reset_on_close(&self.socket);
        self.input = Input::Ended(self.ended().unwrap_or(Ending::Abandoned));
        self.die();
    }

    /// Drops the room that large transfers needed, while nothing is under way.
    pub(crate) fn shrink(&mut self) {
        if self.outbox.is_empty() {
            self.outbox = Outbox::default();
        }
        self.unread.shrink_to_fit();
        if let Some(tls) = &mut self.tls {
            tls.shrink();
        }
        if self.piped() == 0 {
            self.pipe = None;
        }
    }

    /// Reads and drops what the peer still sends. True once it has ended.
    pub(crate) fn discard(&mut self) -> bool {
        match self.socket.read(&mut buffers::lend()) {
            Ok(0) => true,
            Ok(_) => false,
            Err(e) => !matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        }
    }
}

/// Gives `bytes` to `sink`, unless earlier ones are unread already; keeps what is not used.
fn offer(unread: &mut Vec<u8>, bytes: &[u8], sink: &mut dyn FnMut(&[u8]) -> usize) {
    let used = if unread.is_empty() { sink(bytes) } else { 0 };
    unread.extend_from_slice(bytes.get(used..).unwrap_or_default());
}

/// Records of TLS leave together up to this size, which is what a system hands to a card, or to itself, in one piece.
const TOGETHER: usize = 64 << 10;

#[cfg(test)]
mod tests;
