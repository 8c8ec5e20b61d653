//! What the benchmarks share: an origin, and ways to it.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;

/// How the origin is reached.
pub(crate) struct Route {
    pub(crate) origin: SocketAddr,
    pub(crate) proxy: Option<SocketAddr>,
    pub(crate) config: Arc<ClientConfig>,
}

impl Route {
    /// A new connection, with TLS on it.
    pub(crate) fn connect(&self) -> StreamOwned<ClientConnection, TcpStream> {
        let mut socket = TcpStream::connect(self.proxy.unwrap_or(self.origin)).unwrap();
        socket.set_nodelay(true).unwrap();
        if self.proxy.is_some() {
            write!(socket, "CONNECT localhost:{} HTTP/1.1\r\n\r\n", self.origin.port()).unwrap();
            assert!(head(&mut socket).starts_with("HTTP/1.1 200"));
        }
        let name = ServerName::try_from("localhost").unwrap();
        StreamOwned::new(ClientConnection::new(Arc::clone(&self.config), name).unwrap(), socket)
    }
}

/// Serves `GET /N` with N bytes, over TLS; `GET /N/M` with N of the M bytes that it announces, and then nothing more.
pub(crate) struct Origin {
    pub(crate) addr: SocketAddr,
}

impl Origin {
    /// Listens, and leaves the certificate to trust in `ca_file`.
    pub(crate) fn start(ca_file: &Path) -> Self {
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::new([]).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_certificate = ca.self_signed(&ca_key).unwrap();
        let pem = pem::encode(&pem::Pem::new("CERTIFICATE", ca_certificate.der().to_vec()));
        std::fs::write(ca_file, pem).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let leaf = leaf.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let config = Arc::new(config);
        thread::spawn(move || {
            for socket in listener.incoming() {
                let config = Arc::clone(&config);
                thread::spawn(move || serve(socket.unwrap(), config));
            }
        });
        Self { addr }
    }
}

fn serve(socket: TcpStream, config: Arc<ServerConfig>) {
    socket.set_nodelay(true).unwrap();
    let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), socket);
    let body = vec![b'x'; 64 << 10];
    loop {
        let asked = head(&mut stream);
        let numbers = asked.strip_prefix("GET /").and_then(|rest| rest.split(' ').next()).unwrap_or_default();
        let numbers: Vec<usize> = numbers.split('/').map_while(|number| number.parse().ok()).collect();
        let (Some(&size), Some(&announced)) = (numbers.first(), numbers.last()) else {
            return;
        };
        let mut left = size;
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {announced}\r\n\r\n").unwrap();
        while left > 0 {
            let most = left.min(body.len());
            // A client that was stopped takes no more.
            if stream.write_all(&body[..most]).is_err() {
                return;
            }
            left -= most;
        }
    }
}

/// Reads a head; empty at the end of the stream.
pub(crate) fn head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return String::new(),
        }
    }
    String::from_utf8(head).unwrap()
}

/// Trusts the certificates in `files`.
pub(crate) fn client_config(files: &[&Path]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for file in files {
        roots.add(CertificateDer::from_pem_file(file).unwrap()).unwrap();
    }
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}
