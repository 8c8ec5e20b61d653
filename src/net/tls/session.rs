//! One side's TLS without its socket: ciphertext in, plaintext out, and the other way round. rustls does all of it, in its
//! unbuffered form: the buffers are ours, so that ciphertext is decrypted where it was read, and a connection which idles holds
//! none.
//!
//! The rule not to break: whatever rustls is asked to do, it is shown what is unfinished. It has places in it in mind.

use crate::net::outbox::{Outbox, Put};
use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{CommonState, Error};
use std::ops::Deref;

/// A connection's TLS.
pub(crate) struct TlsSession {
    end: End,
    /// Ciphertext that begins a record, or a message of a handshake, whose end has yet to come. rustls remembers where in it it is.
    unfinished: Vec<u8>,
    /// What went wrong: rustls is asked nothing after that.
    broken: Option<Error>,
}

/// On which end of it we are.
enum End {
    Client(UnbufferedClientConnection),
    Server(UnbufferedServerConnection),
}

impl From<UnbufferedClientConnection> for TlsSession {
    fn from(client: UnbufferedClientConnection) -> Self {
        Self { end: End::Client(client), unfinished: Vec::new(), broken: None }
    }
}

impl From<UnbufferedServerConnection> for TlsSession {
    fn from(server: UnbufferedServerConnection) -> Self {
        Self { end: End::Server(server), unfinished: Vec::new(), broken: None }
    }
}

impl TlsSession {
    /// What ciphertext that comes belongs behind.
    pub(crate) fn unfinished(&self) -> &[u8] {
        &self.unfinished
    }

    /// Takes in `ciphertext`, which begins with what was unfinished; decrypts in it, and hands the plaintext on. What it has to
    /// say itself goes to `outbox`: all of a handshake, to begin with, for which there need be no ciphertext. True once the peer
    /// has said that it is done (close_notify, RFC 8446 section 6.1): what follows that is dropped.
    ///
    /// # Errors
    /// If the peer violates TLS, or sent a fatal alert: now or before. Our own alert is in the outbox then, once.
    pub(crate) fn open(
        &mut self,
        ciphertext: &mut [u8],
        outbox: &mut Outbox,
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<bool, Error> {
        if let Some(e) = &self.broken {
            return Err(e.clone());
        }
        let (mut used, mut has_closed) = (0_usize, false);
        // After an error nothing counts but the alert that says so. It comes first; rustls looks at the rest in any case.
        while self.broken.is_none() || self.end.wants_write() {
            let rest = ciphertext.get_mut(used..).unwrap_or_default();
            let (more, step) = self.end.step(rest, outbox, Wish::Nothing, take);
            used = used.saturating_add(more);
            match step {
                Ok(Step::More) => {}
                Ok(Step::Closed) => has_closed = true,
                Ok(Step::Done) => break,
                Err(e) => self.broken = self.broken.take().or(Some(e)),
            }
        }
        self.unfinished.clear();
        if !has_closed && self.broken.is_none() {
            self.unfinished.extend_from_slice(ciphertext.get(used..).unwrap_or_default());
        }
        if self.unfinished.len() > MOST_UNFINISHED {
            self.unfinished = Vec::new();
            self.broken = Some(Error::General("a message of its handshake does not end".into()));
        }
        match &self.broken {
            Some(e) => Err(e.clone()),
            None => Ok(has_closed),
        }
    }

    /// Puts `plain` into `outbox` as records.
    ///
    /// # Errors
    /// Before the handshake is over, after [`TlsSession::close`] or an error, or if more has been sent than the keys are good for,
    /// which only TLS 1.3 can mend.
    pub(crate) fn seal(&mut self, plain: &[u8], outbox: &mut Outbox) -> Result<(), Error> {
        self.say(Wish::Send(plain), outbox)
    }

    /// Says that nothing more will be sent.
    pub(crate) fn close(&mut self, outbox: &mut Outbox) {
        // To whom it cannot be said any more, the end of the stream says it.
        let _ = self.say(Wish::Close, outbox);
    }

    fn say(&mut self, wish: Wish<'_>, outbox: &mut Outbox) -> Result<(), Error> {
        if let Some(e) = &self.broken {
            return Err(e.clone());
        }
        // What it has to say itself may come first. Nothing is finished by this, so there is nothing to take.
        while let Step::More = self.end.step(&mut self.unfinished, outbox, wish, &mut |_| ()).1? {}
        Ok(())
    }

    /// Gives back the room that is not needed.
    pub(crate) fn shrink(&mut self) {
        self.unfinished.shrink_to_fit();
    }
}

impl Deref for TlsSession {
    type Target = CommonState;

    fn deref(&self) -> &CommonState {
        &self.end
    }
}

impl End {
    /// One step of rustls' state machine: also says how much of the ciphertext is used up.
    fn step(
        &mut self,
        ciphertext: &mut [u8],
        outbox: &mut Outbox,
        wish: Wish<'_>,
        take: &mut dyn FnMut(&[u8]),
    ) -> (usize, Result<Step, Error>) {
        match self {
            Self::Client(client) => follow(client.process_tls_records(ciphertext), outbox, wish, take),
            Self::Server(server) => follow(server.process_tls_records(ciphertext), outbox, wish, take),
        }
    }
}

impl Deref for End {
    type Target = CommonState;

    fn deref(&self) -> &CommonState {
        match self {
            Self::Client(client) => client,
            Self::Server(server) => server,
        }
    }
}

/// What to do once data can be sent.
#[derive(Clone, Copy)]
enum Wish<'p> {
    Nothing,
    Send(&'p [u8]),
    Close,
}

/// How far a step led.
enum Step {
    /// There is more to do.
    More,
    /// There is, and the peer has closed.
    Closed,
    /// All is done that can be with what is there.
    Done,
}

/// Does what `status` asks for.
fn follow<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    outbox: &mut Outbox,
    wish: Wish<'_>,
    take: &mut dyn FnMut(&[u8]),
) -> (usize, Result<Step, Error>) {
    let UnbufferedStatus { mut discard, state, .. } = status;
    let step = match state {
        Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
            match traffic.next_record() {
                None => break Ok(Step::More),
                Some(Ok(record)) => {
                    discard = discard.saturating_add(record.discard);
                    take(record.payload);
                }
                Some(Err(e)) => break Err(e),
            }
        },
        Ok(ConnectionState::EncodeTlsData(mut message)) => outbox
            .append(&mut |room| match message.encode(room) {
                Ok(n) => Put::Done(n),
                Err(EncodeError::InsufficientSize(need)) => Put::Needs(need.required_size),
                Err(EncodeError::AlreadyEncoded) => Put::Never,
            })
            .then_some(Step::More)
            .ok_or_else(|| Error::General("a message was to be sent twice".into())),
        Ok(ConnectionState::TransmitTlsData(sent)) => {
            sent.done();
            Ok(Step::More)
        }
        Ok(ConnectionState::PeerClosed) => Ok(Step::Closed),
        Ok(ConnectionState::WriteTraffic(mut traffic)) => {
            let is_said = match wish {
                Wish::Nothing => true,
                Wish::Send(plain) => outbox.append(&mut |room| put(traffic.encrypt(plain, room))),
                Wish::Close => outbox.append(&mut |room| put(traffic.queue_close_notify(room))),
            };
            is_said.then_some(Step::Done).ok_or(Error::EncryptError)
        }
        // Data before the handshake is nothing that we offer or accept, and no other state is known.
        Ok(ConnectionState::BlockedHandshake | ConnectionState::Closed | ConnectionState::ReadEarlyData(_) | _) => {
            match wish {
                Wish::Nothing => Ok(Step::Done),
                Wish::Send(_) | Wish::Close => Err(Error::HandshakeNotComplete),
            }
        }
        Err(e) => Err(e),
    };
    (discard, step)
}

fn put(encrypted: Result<usize, EncryptError>) -> Put {
    match encrypted {
        Ok(n) => Put::Done(n),
        Err(EncryptError::InsufficientSize(need)) => Put::Needs(need.required_size),
        Err(EncryptError::EncryptExhausted) => Put::Never,
    }
}

/// A message of a handshake has 64 KiB at most, as rustls has it; what frames its pieces counts too.
const MOST_UNFINISHED: usize = 128 << 10;

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
#[cfg(test)]
mod tests;
