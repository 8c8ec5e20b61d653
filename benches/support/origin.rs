//! The ends of the connections: an origin, and ways to it.

use super::samples::{json, noise};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;

/// How the origin is reached.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) origin: SocketAddr,
    pub(crate) proxy: Option<SocketAddr>,
    pub(crate) carried: Carried,
}

/// What a connection carries.
#[derive(Clone)]
pub(crate) enum Carried {
    /// TLS, after a CONNECT where there is a proxy.
    Tls(Arc<ClientConfig>),
    /// HTTP, after a CONNECT where there is a proxy.
    Clear,
    /// HTTP, which a proxy is asked for.
    Plain,
}

/// One end of a connection, whatever it carries.
pub(crate) type Stream = BufReader<Box<dyn Bytes>>;

pub(crate) trait Bytes: Read + Write + Send {}

impl<T: Read + Write + Send> Bytes for T {}

impl Route {
    /// A new connection.
    pub(crate) fn connect(&self) -> Stream {
        let mut socket = TcpStream::connect(self.proxy.unwrap_or(self.origin)).unwrap();
        socket.set_nodelay(true).unwrap();
        if self.proxy.is_some() && !matches!(self.carried, Carried::Plain) {
            let asked = format!("CONNECT localhost:{} HTTP/1.1\r\n\r\n", self.origin.port());
            socket.write_all(asked.as_bytes()).unwrap();
            // Byte by byte: whose they are after the head is not known yet.
            let answer = head(&mut BufReader::with_capacity(1, &socket));
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
        let Carried::Tls(config) = &self.carried else { return buffered(socket) };
        let name = ServerName::try_from("localhost").unwrap();
        buffered(StreamOwned::new(ClientConnection::new(Arc::clone(config), name).unwrap(), socket))
    }

    /// Asks for `/path` with these fields, a line each.
    pub(crate) fn request(&self, method: &str, path: &str, fields: &str) -> String {
        let Self { origin, .. } = self;
        let target = match (&self.carried, self.proxy) {
            (Carried::Plain, Some(_)) => format!("http://{origin}/{path}"),
            _ => format!("/{path}"),
        };
        format!("{method} {target} HTTP/1.1\r\nHost: {origin}\r\nUser-Agent: bench\r\nAccept: */*\r\n{fields}\r\n")
    }
}

/// Serves, with TLS or without:
/// - `GET /N` with N bytes; `GET /N/M` with N of the M bytes that it announces, and then nothing more,
/// - `POST` with nothing, once the body was read,
/// - WebSockets, frames of [`ECHOED`] bytes by the same frames.
pub(crate) struct Origin {
    pub(crate) addr: SocketAddr,
}

impl Origin {
    /// Listens, and leaves the certificate to trust in `ca_file`.
    pub(crate) fn start(ca_file: &Path) -> Self {
        let config = Arc::new(self_signed(ca_file));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        thread::spawn(move || {
            for socket in listener.incoming() {
                let config = Arc::clone(&config);
                let serve = move || serve(socket.unwrap(), config);
                thread::Builder::new().stack_size(256 << 10).spawn(serve).unwrap();
            }
        });
        Self { addr }
    }
}

fn serve(socket: TcpStream, config: Arc<ServerConfig>) {
    socket.set_nodelay(true).unwrap();
    let mut first = [0];
    let _ = socket.peek(&mut first);
    let mut stream = match first {
        [b'A'..=b'Z'] => buffered(socket),
        _ => buffered(StreamOwned::new(ServerConnection::new(config).unwrap(), socket)),
    };
    // A client that leaves or is stopped takes no more.
    while answer(&mut stream).is_some() {}
}

fn answer(stream: &mut Stream) -> Option<()> {
    let asked = head(stream);
    if asked.contains("Upgrade: ") {
        stream.get_mut().write_all(SWITCHING.as_bytes()).ok()?;
        return echo(stream);
    }
    let target = asked.split(' ').nth(1)?.trim_start_matches("http://");
    if let Some((_, length)) = asked.split_once("Content-Length: ") {
        skip(stream, length.lines().next()?.parse().ok()?)?;
        return stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").ok();
    }
    let numbers: Vec<usize> = target.split('/').skip(1).map_while(|number| number.parse().ok()).collect();
    let (&size, &announced) = (numbers.first()?, numbers.last()?);
    let (kind, body) = if size <= SMALL { ("json", json(size)) } else { ("zip", noise(PIECE)) };
    let mut bytes =
        format!("HTTP/1.1 200 OK\r\nContent-Type: application/{kind}\r\nContent-Length: {announced}\r\n\r\n")
            .into_bytes();
    let mut left = size;
    while left > 0 {
        let most = left.min(body.len());
        bytes.extend_from_slice(&body[..most]);
        stream.get_mut().write_all(&bytes).ok()?;
        bytes.clear();
        left -= most;
    }
    Some(())
}

fn echo(stream: &mut Stream) -> Option<()> {
    // Two bytes, two of length, four of mask; the answer has no mask.
    let mut frame = [0; 8 + ECHOED];
    loop {
        stream.read_exact(&mut frame).ok()?;
        let (start, payload) = frame.split_at_mut(8);
        payload.iter_mut().zip(start[4..].iter().cycle()).for_each(|(byte, key)| *byte ^= key);
        start[1] &= 0x7f;
        frame.copy_within(..4, 4);
        stream.get_mut().write_all(&frame[4..]).ok()?;
    }
}

fn buffered(stream: impl Bytes + 'static) -> Stream {
    BufReader::with_capacity(PIECE, Box::new(stream))
}

/// Reads a head; empty at the end of the stream.
pub(crate) fn head(stream: &mut impl BufRead) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).ok().is_none_or(|n| n == 0) {
            return String::new();
        }
    }
    head
}

/// Reads so many bytes; `None` if they do not come.
pub(crate) fn skip(stream: &mut impl BufRead, mut size: usize) -> Option<()> {
    while size > 0 {
        let n = stream.fill_buf().ok()?.len().min(size);
        stream.consume(n);
        size -= n;
        if n == 0 {
            return None;
        }
    }
    Some(())
}

/// For `localhost`, by a CA that was made for it, whose certificate goes to `ca_file`.
pub(crate) fn self_signed(ca_file: &Path) -> ServerConfig {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new([]).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_certificate = ca.self_signed(&ca_key).unwrap();
    std::fs::write(ca_file, pem::encode(&pem::Pem::new("CERTIFICATE", ca_certificate.der().to_vec()))).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap()
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

/// The same, for apps that shake hands anew each time.
pub(crate) fn forgetful(files: &[&Path]) -> Arc<ClientConfig> {
    let mut config = client_config(files);
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// The payload of a message.
pub(crate) const ECHOED: usize = 1 << 10;

/// Bodies up to this size are text; larger ones are such as are packed already.
const SMALL: usize = 1 << 20;

/// What is read and written at once.
const PIECE: usize = 64 << 10;
