//! A property of sessions: any bytes of a peer, cut anywhere, end in plaintext or in an error, and the memory for them
//! is bounded.

#![expect(clippy::expect_used, clippy::panic, reason = "a property is made of these")]

use super::*;
use crate::cert::{Ca, Leaves};
use crate::clock::Moment;
use crate::net::tls::client::provider;
use crate::net::tls::server::ServerTls;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore};
use std::sync::{Arc, OnceLock};
use std::time::UNIX_EPOCH;

/// The first byte of `data` selects our side, the second the size of the pieces; the rest is sent by the peer.
pub(crate) fn check_any_split(data: &[u8]) {
    let [side, piece, sent @ ..] = data else { return };
    let mut session = if side & 1 == 0 { server() } else { client() };
    let mut outbox = Outbox::default();
    session.decrypt(&mut [], &mut outbox, &mut |_| ()).expect("no input is valid");
    for piece in sent.chunks(usize::from(*piece).max(1)) {
        let mut ciphertext = [session.unfinished(), piece].concat();
        let result = session.decrypt(&mut ciphertext, &mut outbox, &mut |_| panic!("plaintext without the keys"));
        assert!(session.unfinished().len() <= MAX_UNFINISHED_BYTES.min(ciphertext.len()));
        let before = outbox.len();
        let encrypted = session.encrypt(b"word", &mut outbox);
        assert_eq!(encrypted.is_ok(), outbox.len() > before, "data is never dropped silently");
        assert!(result.is_ok() || encrypted.is_err(), "nothing is sent after an error");
    }
    session.close(&mut outbox);
}

fn server() -> TlsSession {
    static LEAF: OnceLock<Arc<CertifiedKey>> = OnceLock::new();
    let leaf = LEAF.get_or_init(|| {
        let now = UNIX_EPOCH + Moment::now().since_epoch();
        let ca = Ca::ephemeral(now).expect("randomness");
        let name = ServerName::try_from("a.example").expect("a name");
        Leaves::new(Arc::new(ca)).expect("randomness").certificate(&name, now).expect("a signature")
    });
    static SERVERS: OnceLock<ServerTls> = OnceLock::new();
    let servers = SERVERS.get_or_init(|| ServerTls::new().expect("randomness"));
    servers.session(Arc::clone(leaf), Some(b"http/1.1")).expect("a session")
}

fn client() -> TlsSession {
    let config = ClientConfig::builder_with_provider(Arc::new(provider())).with_safe_default_protocol_versions();
    let config = config.expect("versions").with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    let name = ServerName::try_from("a.example").expect("a name");
    UnbufferedClientConnection::new(Arc::new(config), name).expect("a session").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::mutations::mutations;

    #[test]
    fn the_property_holds_for_mutations() {
        // The first flight of each side, whole and in small records.
        let mut hello = Outbox::default();
        client().decrypt(&mut [], &mut hello, &mut |_| ()).unwrap();
        let mut answer = Outbox::default();
        let mut ciphertext = hello.bytes().to_vec();
        server().decrypt(&mut ciphertext, &mut answer, &mut |_| ()).unwrap();
        let in_small_records = |records: &[u8]| -> Vec<u8> {
            let small = |part: &[u8]| [&[0x16, 3, 3, 0, part.len() as u8], part].concat();
            records.get(5..).unwrap().chunks(32).flat_map(small).collect()
        };
        let seeds: Vec<Vec<u8>> = [(0, hello.bytes()), (1, answer.bytes())]
            .into_iter()
            .flat_map(|(side, sent)| {
                [[&[side, 255], sent].concat(), [&[side, 7][..], &in_small_records(sent)].concat()]
            })
            .collect();
        seeds.iter().for_each(|seed| check_any_split(seed));
        mutations(&seeds, 3000, check_any_split);
    }
}
