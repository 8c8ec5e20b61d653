//! Tests of a session against rustls' buffered form: the two interoperate however bytes are cut.

use super::*;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection,
    SupportedProtocolVersion, version,
};
use std::io::{Read, Write};
use std::sync::Arc;

/// A session and a peer that sends small records, so that handshake messages and tickets take many records.
struct Pair {
    we: TlsSession,
    peer: Connection,
    /// Plaintext received from the peer, and true once it has sent close_notify.
    received: Vec<u8>,
    has_closed: bool,
    /// Plaintext that the peer received, and true once it received our close_notify.
    peer_received: Vec<u8>,
    peer_saw_close: bool,
}

/// Our role.
#[derive(Clone, Copy, Debug)]
enum As {
    Client,
    Server,
}

impl Pair {
    fn new(version: &'static SupportedProtocolVersion, end: As) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["a.example".to_owned()]).unwrap().self_signed(&key).unwrap();
        let certificate = CertificateDer::from(certificate.der().to_vec());
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let mut client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let name = ServerName::try_from("a.example").unwrap();
        let (we, peer) = match end {
            As::Client => {
                server.max_fragment_size = Some(MIN_RECORD_BYTES);
                let we = UnbufferedClientConnection::new(Arc::new(client), name).unwrap();
                (we.into(), ServerConnection::new(Arc::new(server)).unwrap().into())
            }
            As::Server => {
                client.max_fragment_size = Some(MIN_RECORD_BYTES);
                let we = UnbufferedServerConnection::new(Arc::new(server)).unwrap();
                (we.into(), ClientConnection::new(Arc::new(client), name).unwrap().into())
            }
        };
        Self { we, peer, received: Vec::new(), has_closed: false, peer_received: Vec::new(), peer_saw_close: false }
    }

    /// Decrypts `bytes`; returns the result and our messages.
    fn decrypt(&mut self, bytes: &[u8]) -> (Result<bool, Error>, Outbox) {
        let mut outbox = Outbox::default();
        let mut ciphertext = [self.we.unfinished(), bytes].concat();
        let received = &mut self.received;
        let result = self.we.decrypt(&mut ciphertext, &mut outbox, &mut |plain| received.extend_from_slice(plain));
        (result, outbox)
    }

    /// Delivers `outbox` to the peer.
    fn deliver(&mut self, outbox: &Outbox) {
        let mut bytes = outbox.bytes();
        while !bytes.is_empty() {
            self.peer.read_tls(&mut bytes).unwrap();
            self.peer.process_new_packets().unwrap();
            // An error means that there is no more data now.
            self.peer_saw_close = self.peer.reader().read_to_end(&mut self.peer_received).is_ok();
        }
    }

    /// The ciphertext that the peer has to send.
    fn sent(&mut self) -> Vec<u8> {
        let mut sent = Vec::new();
        while self.peer.wants_write() {
            self.peer.write_tls(&mut sent).unwrap();
        }
        sent
    }

    /// Exchanges messages until neither side has any. The peer's ciphertext is cut into pieces of `piece` bytes; after
    /// each of them, once the handshake is complete, we send `word`.
    fn exchange(&mut self, piece: usize, word: &[u8]) {
        let (_, outbox) = self.decrypt(b"");
        self.deliver(&outbox);
        loop {
            let sent = self.sent();
            if sent.is_empty() {
                return;
            }
            for piece in sent.chunks(piece) {
                let (result, mut outbox) = self.decrypt(piece);
                self.has_closed |= result.unwrap();
                if !self.we.is_handshaking() {
                    self.we.encrypt(word, &mut outbox).unwrap();
                }
                self.deliver(&outbox);
            }
        }
    }
}

#[test]
fn notes_a_handshake_message_after_a_handshake_of_tls_1_2() {
    // Encrypted, so that rustls fails to decrypt it; its type is never encrypted.
    let record = [&[22, 3, 3, 0, 28][..], &[7; 28]].concat();
    for (version, end, expected) in [
        (&version::TLS12, As::Client, true),
        (&version::TLS12, As::Server, true),
        (&version::TLS13, As::Client, false),
        (&version::TLS13, As::Server, false),
    ] {
        for cut in [1, 5, 20, record.len()] {
            let mut pair = Pair::new(version, end);
            pair.exchange(usize::MAX, b"");
            pair.peer.writer().write_all(b"data before it").unwrap();
            let data = pair.sent();
            pair.decrypt(&data).0.unwrap();
            assert!(!pair.we.is_renegotiated(), "{version:?}");
            for piece in record.chunks(cut) {
                let _ = pair.decrypt(piece);
            }
            assert_eq!(pair.we.is_renegotiated(), expected, "{version:?}, {cut}");
        }
    }
}

#[test]
fn notes_a_warning_that_ends_the_handshake() {
    for (alert, expected) in [
        (0, Some(AlertDescription::CloseNotify)),
        (90, Some(AlertDescription::UserCanceled)),
        // unrecognized_name
        (112, None),
    ] {
        let mut pair = Pair::new(&version::TLS12, As::Server);
        let hello = pair.sent();
        pair.decrypt(&hello).0.unwrap();
        for byte in [21, 3, 3, 0, 2, 1, alert] {
            pair.decrypt(&[byte]).0.unwrap();
        }
        assert_eq!(pair.we.closing_alert(), expected);
    }
}

#[test]
fn interoperates_however_bytes_are_cut() {
    for (version, end) in
        [&version::TLS12, &version::TLS13].into_iter().flat_map(|v| [(v, As::Client), (v, As::Server)])
    {
        for piece in [1, 2, 3, 7, 30, 100, usize::MAX] {
            let case = format!("{:?}, {end:?}, in pieces of {piece}", version.version);
            let mut pair = Pair::new(version, end);
            pair.exchange(piece, b"word ");
            assert!(!pair.we.is_handshaking() && !pair.peer.is_handshaking(), "{case}");
            let long: Vec<u8> = (0..5_000_u16).map(|n| n as u8).collect();
            pair.peer.writer().write_all(&long).unwrap();
            pair.peer.send_close_notify();
            pair.exchange(piece, b"word ");
            assert!(pair.received == long && pair.has_closed, "{case}: {} bytes", pair.received.len());
            assert!(pair.we.unfinished().is_empty(), "{case}");
            let mut outbox = Outbox::default();
            pair.we.encrypt(&long, &mut outbox).unwrap();
            pair.we.close(&mut outbox);
            pair.deliver(&outbox);
            let words = pair.peer_received.strip_suffix(&long[..]).unwrap_or_else(|| panic!("{case}: all arrives"));
            assert_eq!(words, b"word ".repeat(words.len() / 5), "{case}");
            assert!(pair.peer_saw_close, "{case}: the peer sees the end");
        }
    }
}

#[test]
fn a_violation_of_tls_is_answered_with_one_alert() {
    for end in [As::Client, As::Server] {
        let mut pair = Pair::new(&version::TLS13, end);
        pair.exchange(usize::MAX, b"");
        pair.peer.writer().write_all(b"good").unwrap();
        let good = pair.sent();
        pair.peer.writer().write_all(b"bad").unwrap();
        let mut bad = pair.sent();
        *bad.last_mut().unwrap() ^= 1;
        let (result, mut outbox) = pair.decrypt(&[good, bad, b"and more".to_vec()].concat());
        assert_eq!(result, Err(Error::DecryptError));
        assert_eq!(pair.received, b"good");
        // Every later call returns the same error.
        assert_eq!(pair.decrypt(b"\x17\x03\x03\x00\x01x").0, Err(Error::DecryptError));
        assert_eq!(pair.we.encrypt(b"word", &mut outbox), Err(Error::DecryptError));
        pair.we.close(&mut outbox);
        assert_eq!(outbox.len(), ENCRYPTED_ALERT_BYTES);
        let mut alert = outbox.bytes();
        pair.peer.read_tls(&mut alert).unwrap();
        let error = pair.peer.process_new_packets().unwrap_err();
        assert_eq!(error, Error::AlertReceived(AlertDescription::BadRecordMac));
    }
}

#[test]
fn data_before_the_end_of_the_handshake_is_an_error() {
    let mut pair = Pair::new(&version::TLS13, As::Client);
    let mut outbox = Outbox::default();
    pair.decrypt(b"").0.unwrap();
    assert_eq!(pair.we.encrypt(b"too early", &mut outbox), Err(Error::HandshakeNotComplete));
    assert!(outbox.is_empty());
}

#[test]
fn data_after_close_notify_is_dropped() {
    let mut pair = Pair::new(&version::TLS13, As::Server);
    pair.exchange(usize::MAX, b"");
    pair.peer.send_close_notify();
    let end = pair.sent();
    let (result, _) = pair.decrypt(&[&end[..], b"\x17\x03\x03\xff\xff"].concat());
    assert_eq!((result, pair.we.unfinished()), (Ok(true), &b""[..]));
}

#[test]
fn an_endless_handshake_message_is_rejected() {
    // A ClientHello of 64 KiB, with one byte in each record.
    let head = [1, 0, 0xff, 0xff];
    let record = |byte| [0x16, 3, 1, 0, 1, byte];
    let mut pair = Pair::new(&version::TLS13, As::Server);
    let mut most = 0;
    let refused = head.into_iter().chain(std::iter::repeat_n(0, 0xfffe)).any(|byte| {
        let (result, _) = pair.decrypt(&record(byte));
        most = most.max(pair.we.unfinished().len());
        result.is_err()
    });
    assert!(refused && most <= MAX_UNFINISHED_BYTES + 6, "{most} bytes are held");
}

#[test]
fn no_memory_is_held_for_complete_records() {
    let mut pair = Pair::new(&version::TLS12, As::Client);
    pair.exchange(usize::MAX, b"");
    pair.peer.writer().write_all(&[0; 10]).unwrap();
    let sent = pair.sent();
    let (first, rest) = sent.split_at(sent.len() - 1);
    pair.decrypt(first).0.unwrap();
    assert!(!pair.we.unfinished().is_empty());
    pair.decrypt(rest).0.unwrap();
    pair.we.shrink();
    assert_eq!((pair.received.len(), pair.we.unfinished.capacity()), (10, 0));
}

/// Record header, level and description, inner content type, tag (RFC 8446 section 5.2).
const ENCRYPTED_ALERT_BYTES: usize = 5 + 2 + 1 + 16;

/// The smallest record size that rustls allows.
const MIN_RECORD_BYTES: usize = 32;
