//! A session against rustls' other, buffered form: both are to understand each other however bytes are cut.

use super::*;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection,
    SupportedProtocolVersion, version,
};
use std::io::{Read, Write};
use std::sync::Arc;

/// We, and a peer whose records are small, so that messages of the handshake, and the tickets after it, come in many.
struct Both {
    we: TlsSession,
    peer: Connection,
    /// What the peer said to us, and whether it has closed.
    heard: Vec<u8>,
    has_closed: bool,
    /// What we said to the peer, and whether we have closed.
    peer_heard: Vec<u8>,
    have_we_closed: bool,
}

/// On which end we are.
#[derive(Clone, Copy, Debug)]
enum As {
    Client,
    Server,
}

impl Both {
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
                server.max_fragment_size = Some(SMALL);
                let we = UnbufferedClientConnection::new(Arc::new(client), name).unwrap();
                (we.into(), ServerConnection::new(Arc::new(server)).unwrap().into())
            }
            As::Server => {
                client.max_fragment_size = Some(SMALL);
                let we = UnbufferedServerConnection::new(Arc::new(server)).unwrap();
                (we.into(), ClientConnection::new(Arc::new(client), name).unwrap().into())
            }
        };
        Self { we, peer, heard: Vec::new(), has_closed: false, peer_heard: Vec::new(), have_we_closed: false }
    }

    /// What we make of `bytes`, and what we say to them.
    fn open(&mut self, bytes: &[u8]) -> (Result<bool, Error>, Outbox) {
        let mut outbox = Outbox::default();
        let mut ciphertext = [self.we.unfinished(), bytes].concat();
        let heard = &mut self.heard;
        let result = self.we.open(&mut ciphertext, &mut outbox, &mut |plain| heard.extend_from_slice(plain));
        (result, outbox)
    }

    /// The peer hears what we say.
    fn tell(&mut self, outbox: &Outbox) {
        let mut bytes = outbox.bytes();
        while !bytes.is_empty() {
            self.peer.read_tls(&mut bytes).unwrap();
            self.peer.process_new_packets().unwrap();
            // An error says that there is no more for now.
            self.have_we_closed = self.peer.reader().read_to_end(&mut self.peer_heard).is_ok();
        }
    }

    /// What the peer has to say.
    fn said(&mut self) -> Vec<u8> {
        let mut said = Vec::new();
        while self.peer.wants_write() {
            self.peer.write_tls(&mut said).unwrap();
        }
        said
    }

    /// Speaks until neither has anything to say. What the peer says comes in pieces of `piece` bytes, and after each of them we
    /// say `word`, once we may.
    fn converse(&mut self, piece: usize, word: &[u8]) {
        let (_, outbox) = self.open(b"");
        self.tell(&outbox);
        loop {
            let said = self.said();
            if said.is_empty() {
                return;
            }
            for piece in said.chunks(piece) {
                let (result, mut outbox) = self.open(piece);
                self.has_closed |= result.unwrap();
                if !self.we.is_handshaking() {
                    self.we.seal(word, &mut outbox).unwrap();
                }
                self.tell(&outbox);
            }
        }
    }
}

#[test]
fn both_understand_each_other_however_bytes_are_cut() {
    for (version, end) in
        [&version::TLS12, &version::TLS13].into_iter().flat_map(|v| [(v, As::Client), (v, As::Server)])
    {
        for piece in [1, 2, 3, 7, 30, 100, usize::MAX] {
            let case = format!("{:?}, {end:?}, in pieces of {piece}", version.version);
            let mut both = Both::new(version, end);
            both.converse(piece, b"word ");
            assert!(!both.we.is_handshaking() && !both.peer.is_handshaking(), "{case}");
            let long: Vec<u8> = (0..5_000_u16).map(|n| n as u8).collect();
            both.peer.writer().write_all(&long).unwrap();
            both.peer.send_close_notify();
            both.converse(piece, b"word ");
            assert!(both.heard == long && both.has_closed, "{case}: {} bytes", both.heard.len());
            assert!(both.we.unfinished().is_empty(), "{case}");
            let mut outbox = Outbox::default();
            both.we.seal(&long, &mut outbox).unwrap();
            both.we.close(&mut outbox);
            both.tell(&outbox);
            let words = both.peer_heard.strip_suffix(&long[..]).unwrap_or_else(|| panic!("{case}: all arrives"));
            assert_eq!(words, b"word ".repeat(words.len() / 5), "{case}");
            assert!(both.have_we_closed, "{case}: it is told the end");
        }
    }
}

#[test]
fn who_violates_tls_is_told_so_once() {
    for end in [As::Client, As::Server] {
        let mut both = Both::new(&version::TLS13, end);
        both.converse(usize::MAX, b"");
        both.peer.writer().write_all(b"good").unwrap();
        let good = both.said();
        both.peer.writer().write_all(b"bad").unwrap();
        let mut bad = both.said();
        *bad.last_mut().unwrap() ^= 1;
        let (result, mut outbox) = both.open(&[good, bad, b"and more".to_vec()].concat());
        assert_eq!(result, Err(Error::DecryptError));
        assert_eq!(both.heard, b"good");
        // Whatever it is asked after that.
        assert_eq!(both.open(b"\x17\x03\x03\x00\x01x").0, Err(Error::DecryptError));
        assert_eq!(both.we.seal(b"word", &mut outbox), Err(Error::DecryptError));
        both.we.close(&mut outbox);
        assert_eq!(outbox.len(), SEALED_ALERT);
        let mut alert = outbox.bytes();
        both.peer.read_tls(&mut alert).unwrap();
        let told = both.peer.process_new_packets().unwrap_err();
        assert_eq!(told, Error::AlertReceived(AlertDescription::BadRecordMac));
    }
}

#[test]
fn nothing_is_sent_before_its_time_in_silence() {
    let mut both = Both::new(&version::TLS13, As::Client);
    let mut outbox = Outbox::default();
    both.open(b"").0.unwrap();
    assert_eq!(both.we.seal(b"too early", &mut outbox), Err(Error::HandshakeNotComplete));
    assert!(outbox.is_empty());
}

#[test]
fn what_follows_the_end_is_dropped() {
    let mut both = Both::new(&version::TLS13, As::Server);
    both.converse(usize::MAX, b"");
    both.peer.send_close_notify();
    let end = both.said();
    let (result, _) = both.open(&[&end[..], b"\x17\x03\x03\xff\xff"].concat());
    assert_eq!((result, both.we.unfinished()), (Ok(true), &b""[..]));
}

#[test]
fn a_message_of_a_handshake_that_does_not_end_is_refused() {
    // Of a ClientHello of 64 KiB, a byte in each record.
    let head = [1, 0, 0xff, 0xff];
    let record = |byte| [0x16, 3, 1, 0, 1, byte];
    let mut both = Both::new(&version::TLS13, As::Server);
    let mut most = 0;
    let refused = head.into_iter().chain(std::iter::repeat_n(0, 0xfffe)).any(|byte| {
        let (result, _) = both.open(&record(byte));
        most = most.max(both.we.unfinished().len());
        result.is_err()
    });
    assert!(refused && most <= MOST_UNFINISHED + 6, "{most} bytes are held");
}

#[test]
fn nothing_that_is_finished_is_held() {
    let mut both = Both::new(&version::TLS12, As::Client);
    both.converse(usize::MAX, b"");
    both.peer.writer().write_all(&[0; 10]).unwrap();
    let said = both.said();
    let (first, rest) = said.split_at(said.len() - 1);
    both.open(first).0.unwrap();
    assert!(!both.we.unfinished().is_empty());
    both.open(rest).0.unwrap();
    both.we.shrink();
    assert_eq!((both.heard.len(), both.we.unfinished.capacity()), (10, 0));
}

/// A record's head, level and description, the type of what is inside, the tag (RFC 8446 section 5.2).
const SEALED_ALERT: usize = 5 + 2 + 1 + 16;

/// The smallest that rustls makes.
const SMALL: usize = 32;
