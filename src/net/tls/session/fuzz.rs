//! Whatever a peer sends, in whatever pieces, and whatever is to be said to it meanwhile: it ends in plaintext or in an error, and
//! what is held of it is bounded.

#![expect(clippy::expect_used, clippy::panic, reason = "what a property is made of")]

use super::*;
use crate::net::tls::{TowardsClients, provider};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore};
use std::sync::{Arc, OnceLock};

/// The first byte of `data` says on which end we are, the second the size of the pieces; the rest is what the peer sends.
pub(crate) fn cut_anyhow(data: &[u8]) {
    let [end, piece, sent @ ..] = data else { return };
    let mut session = if end & 1 == 0 { server() } else { client() };
    let mut outbox = Outbox::default();
    session.open(&mut [], &mut outbox, &mut |_| ()).expect("nothing is wrong with nothing");
    for piece in sent.chunks(usize::from(*piece).max(1)) {
        let mut ciphertext = [session.unfinished(), piece].concat();
        let result = session.open(&mut ciphertext, &mut outbox, &mut |_| panic!("nobody has the keys"));
        assert!(session.unfinished().len() <= MOST_UNFINISHED.min(ciphertext.len()));
        let before = outbox.len();
        let said = session.seal(b"word", &mut outbox);
        assert_eq!(said.is_ok(), outbox.len() > before, "what is not said is not said in silence");
        assert!(result.is_ok() || said.is_err(), "nothing is said after an error");
    }
    session.close(&mut outbox);
}

fn server() -> TlsSession {
    static LEAF: OnceLock<Arc<CertifiedKey>> = OnceLock::new();
    let leaf = LEAF.get_or_init(|| {
        let key = KeyPair::generate().expect("randomness");
        let params = CertificateParams::new(["a.example".to_owned()]).expect("a name");
        let certificate = params.self_signed(&key).expect("a signature").der().clone();
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let key = rustls::crypto::ring::sign::any_supported_type(&key).expect("a key of a known type");
        Arc::new(CertifiedKey::new(vec![certificate], key))
    });
    static SERVERS: OnceLock<TowardsClients> = OnceLock::new();
    let servers = SERVERS.get_or_init(|| TowardsClients::new().expect("randomness"));
    servers.connection(Arc::clone(leaf), Some(b"http/1.1")).expect("a session")
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
    fn mutations_hold() {
        // What each end begins with, whole and in small records.
        let mut hello = Outbox::default();
        client().open(&mut [], &mut hello, &mut |_| ()).unwrap();
        let mut answer = Outbox::default();
        let mut ciphertext = hello.bytes().to_vec();
        server().open(&mut ciphertext, &mut answer, &mut |_| ()).unwrap();
        let in_small_records = |records: &[u8]| -> Vec<u8> {
            let small = |part: &[u8]| [&[0x16, 3, 3, 0, part.len() as u8], part].concat();
            records.get(5..).unwrap().chunks(32).flat_map(small).collect()
        };
        let seeds: Vec<Vec<u8>> = [(0, hello.bytes()), (1, answer.bytes())]
            .into_iter()
            .flat_map(|(end, said)| [[&[end, 255], said].concat(), [&[end, 7][..], &in_small_records(said)].concat()])
            .collect();
        seeds.iter().for_each(|seed| cut_anyhow(seed));
        mutations(&seeds, 3000, cut_anyhow);
    }
}
