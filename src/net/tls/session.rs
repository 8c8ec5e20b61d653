//! The TLS of one connection without its socket: ciphertext in, plaintext out, and the reverse. rustls does the work,
//! in its unbuffered form. The buffers are ours, so that ciphertext is decrypted where it was read, and an idle
//! connection holds none.
//!
//! ```text
//!                     ┌─▶ sink       plaintext
//! ciphertext ─▶ decrypt
//!                     └─▶ outbox     handshake messages, alerts
//! plaintext ──▶ encrypt ─▶ outbox    records
//! ```
//!
//! Invariant: every call of rustls gets all of the unfinished ciphertext. rustls keeps offsets into it, and panics if it
//! gets less.

use super::records::{Record, complete_records};
use crate::net::outbox::{Append, Outbox};
use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{AlertDescription, CommonState, Error, ProtocolVersion};
use std::ops::Deref;

/// The TLS of one connection.
pub(crate) struct TlsSession {
    side: Side,
    /// The start of a record or of a handshake message whose rest was not received yet. rustls keeps offsets into it.
    unfinished: Vec<u8>,
    /// The first error. rustls is not called after it, except to write our alert.
    error: Option<Error>,
    /// A warning of the peer that it ends the handshake, in clear. rustls skips it.
    closing_alert: Option<AlertDescription>,
    /// True once the peer started another handshake in TLS 1.2. rustls refuses it.
    is_renegotiated: bool,
}

/// Our role in the connection.
enum Side {
    Client(UnbufferedClientConnection),
    Server(UnbufferedServerConnection),
}

impl From<UnbufferedClientConnection> for TlsSession {
    fn from(client: UnbufferedClientConnection) -> Self {
        Self::new(Side::Client(client))
    }
}

impl From<UnbufferedServerConnection> for TlsSession {
    fn from(server: UnbufferedServerConnection) -> Self {
        Self::new(Side::Server(server))
    }
}

impl TlsSession {
    fn new(side: Side) -> Self {
        Self { side, unfinished: Vec::new(), error: None, closing_alert: None, is_renegotiated: false }
    }

    /// The warning with which the peer ended the handshake, if it sent one.
    pub(crate) fn closing_alert(&self) -> Option<AlertDescription> {
        self.closing_alert
    }

    /// True once the peer started another handshake after the first one.
    pub(crate) fn is_renegotiated(&self) -> bool {
        self.is_renegotiated
    }

    /// The ciphertext that must precede the next one.
    pub(crate) fn unfinished(&self) -> &[u8] {
        &self.unfinished
    }

    /// Decrypts `ciphertext`, which starts with [`TlsSession::unfinished`], in place and passes the plaintext to
    /// `sink`. Messages of TLS itself go to `outbox`; the first call, with no ciphertext, starts the handshake of a
    /// client. Returns true once the peer has sent close_notify (RFC 8446 section 6.1); what follows that is dropped.
    ///
    /// # Errors
    /// If the peer violates TLS or sent a fatal alert, now or in an earlier call. Our own alert is in the outbox then,
    /// once.
    pub(crate) fn decrypt(
        &mut self,
        ciphertext: &mut [u8],
        outbox: &mut Outbox,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<bool, Error> {
        if let Some(e) = &self.error {
            return Err(e.clone());
        }
        self.note_records(ciphertext);
        let (mut used, mut has_closed) = (0_usize, false);
        // After an error the loop only writes our alert. rustls produces it first, whatever the rest of the ciphertext
        // is.
        while self.error.is_none() || self.side.wants_write() {
            let rest = ciphertext.get_mut(used..).unwrap_or_default();
            let (more, step) = self.side.step(rest, outbox, Action::Receive, sink);
            used = used.saturating_add(more);
            match step {
                Ok(Step::Continue) => {}
                Ok(Step::PeerClosed) => has_closed = true,
                Ok(Step::Done) => break,
                Err(e) => self.error = self.error.take().or(Some(e)),
            }
        }
        self.unfinished.clear();
        if !has_closed && self.error.is_none() {
            self.unfinished.extend_from_slice(ciphertext.get(used..).unwrap_or_default());
        }
        if self.unfinished.len() > MAX_UNFINISHED_BYTES {
            self.unfinished = Vec::new();
            self.error = Some(Error::General("handshake message too long".into()));
        }
        match &self.error {
            Some(e) => Err(e.clone()),
            None => Ok(has_closed),
        }
    }

    /// Notes records that rustls does not report.
    fn note_records(&mut self, ciphertext: &[u8]) {
        if self.is_handshaking() {
            let alerts = complete_records(ciphertext).find_map(|record| record.closing_alert());
            self.closing_alert = self.closing_alert.or(alerts);
        } else if self.protocol_version() == Some(ProtocolVersion::TLSv1_2) {
            self.is_renegotiated |= complete_records(ciphertext).any(|record| Record::is_handshake(&record));
        }
    }

    /// Encrypts `plain` into `outbox`.
    ///
    /// # Errors
    /// Before the end of the handshake, after [`TlsSession::close`] or an error, or when the keys are exhausted. (TLS 1.3
    /// updates its keys before that; TLS 1.2 cannot.)
    pub(crate) fn encrypt(&mut self, plain: &[u8], outbox: &mut Outbox) -> Result<(), Error> {
        self.send(Action::Send(plain), outbox)
    }

    /// Puts close_notify into `outbox`.
    pub(crate) fn close(&mut self, outbox: &mut Outbox) {
        // If that fails, the peer sees only the end of the TCP stream.
        let _ = self.send(Action::Close, outbox);
    }

    fn send(&mut self, action: Action<'_>, outbox: &mut Outbox) -> Result<(), Error> {
        if let Some(e) = &self.error {
            return Err(e.clone());
        }
        // Messages of TLS itself may come first. No record is complete, so there is no plaintext.
        while let Step::Continue = self.side.step(&mut self.unfinished, outbox, action, &mut |_| ()).1? {}
        Ok(())
    }

    /// Frees memory that is not needed now.
    pub(crate) fn shrink(&mut self) {
        self.unfinished.shrink_to_fit();
    }
}

impl Deref for TlsSession {
    type Target = CommonState;

    fn deref(&self) -> &CommonState {
        &self.side
    }
}

impl Side {
    /// Makes one step of rustls' state machine. Also returns the number of bytes of ciphertext that it used.
    fn step(
        &mut self,
        ciphertext: &mut [u8],
        outbox: &mut Outbox,
        action: Action<'_>,
        sink: &mut dyn FnMut(&[u8]),
    ) -> (usize, Result<Step, Error>) {
        match self {
            Self::Client(client) => handle(client.process_tls_records(ciphertext), outbox, action, sink),
            Self::Server(server) => handle(server.process_tls_records(ciphertext), outbox, action, sink),
        }
    }
}

impl Deref for Side {
    type Target = CommonState;

    fn deref(&self) -> &CommonState {
        match self {
            Self::Client(client) => client,
            Self::Server(server) => server,
        }
    }
}

/// The caller's purpose: what to send once data can be sent.
#[derive(Clone, Copy)]
enum Action<'p> {
    /// Nothing.
    Receive,
    Send(&'p [u8]),
    /// close_notify.
    Close,
}

/// The result of one step.
enum Step {
    /// Another step is possible.
    Continue,
    /// Another step is possible, and the peer has sent close_notify.
    PeerClosed,
    /// No step is possible until more ciphertext is received.
    Done,
}

/// Handles the state that rustls reports.
fn handle<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    outbox: &mut Outbox,
    action: Action<'_>,
    sink: &mut dyn FnMut(&[u8]),
) -> (usize, Result<Step, Error>) {
    let UnbufferedStatus { mut discard, state, .. } = status;
    let step = match state {
        Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
            match traffic.next_record() {
                None => break Ok(Step::Continue),
                Some(Ok(record)) => {
                    discard = discard.saturating_add(record.discard);
                    sink(record.payload);
                }
                Some(Err(e)) => break Err(e),
            }
        },
        Ok(ConnectionState::EncodeTlsData(mut message)) => outbox
            .append(&mut |room| match message.encode(room) {
                Ok(n) => Append::Written(n),
                Err(EncodeError::InsufficientSize(need)) => Append::Needs(need.required_size),
                Err(EncodeError::AlreadyEncoded) => Append::Impossible,
            })
            .then_some(Step::Continue)
            .ok_or_else(|| Error::General("message already encoded".into())),
        Ok(ConnectionState::TransmitTlsData(sent)) => {
            sent.done();
            Ok(Step::Continue)
        }
        Ok(ConnectionState::PeerClosed) => Ok(Step::PeerClosed),
        Ok(ConnectionState::WriteTraffic(mut traffic)) => {
            let is_written = match action {
                Action::Receive => true,
                Action::Send(plain) => outbox.append(&mut |room| append(traffic.encrypt(plain, room))),
                Action::Close => outbox.append(&mut |room| append(traffic.queue_close_notify(room))),
            };
            is_written.then_some(Step::Done).ok_or(Error::EncryptError)
        }
        // Early data is neither offered nor accepted, and rustls has no other states.
        Ok(ConnectionState::BlockedHandshake | ConnectionState::Closed | ConnectionState::ReadEarlyData(_) | _) => {
            match action {
                Action::Receive => Ok(Step::Done),
                Action::Send(_) | Action::Close => Err(Error::HandshakeNotComplete),
            }
        }
        Err(e) => Err(e),
    };
    (discard, step)
}

fn append(encrypted: Result<usize, EncryptError>) -> Append {
    match encrypted {
        Ok(n) => Append::Written(n),
        Err(EncryptError::InsufficientSize(need)) => Append::Needs(need.required_size),
        Err(EncryptError::EncryptExhausted) => Append::Impossible,
    }
}

/// rustls accepts handshake messages of up to 64 KiB. The record headers around their fragments count too.
const MAX_UNFINISHED_BYTES: usize = 128 << 10;

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
#[cfg(test)]
mod tests;
