//! The origin, and routes to it.

use super::http2;
use super::prepared::Responses;
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

/// A way to reach the origin.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) origin: SocketAddr,
    pub(crate) proxy: Option<SocketAddr>,
    pub(crate) transport: Transport,
}

/// The protocol of a connection.
#[derive(Clone)]
pub(crate) enum Transport {
    /// TLS; through a proxy, after CONNECT.
    Tls(Arc<ClientConfig>),
    /// HTTP in the clear; through a proxy, after CONNECT.
    Clear,
    /// HTTP in the clear; through a proxy, with absolute URLs.
    Plain,
}

/// A buffered stream over TCP or TLS.
pub(crate) type Stream = BufReader<Box<dyn Bytes>>;

pub(crate) trait Bytes: Read + Write + Send {}

impl<T: Read + Write + Send> Bytes for T {}

impl Route {
    /// Opens a new connection.
    pub(crate) fn connect(&self) -> Stream {
        let mut socket = TcpStream::connect(self.proxy.unwrap_or(self.origin)).unwrap();
        socket.set_nodelay(true).unwrap();
        if self.proxy.is_some() && !matches!(self.transport, Transport::Plain) {
            let request = format!("CONNECT localhost:{} HTTP/1.1\r\n\r\n", self.origin.port());
            socket.write_all(request.as_bytes()).unwrap();
            // Read byte by byte: the bytes after the head belong to TLS.
            let response = head(&mut BufReader::with_capacity(1, &socket));
            assert!(response.starts_with("HTTP/1.1 200"), "{response}");
        }
        let Transport::Tls(config) = &self.transport else { return buffered(socket) };
        let name = ServerName::try_from("localhost").unwrap();
        buffered(StreamOwned::new(ClientConnection::new(Arc::clone(config), name).unwrap(), socket))
    }

    /// Returns the head of a request for `/path` with these header lines.
    pub(crate) fn request(&self, method: &str, path: &str, fields: &str) -> String {
        let Self { origin, .. } = self;
        let target = match (&self.transport, self.proxy) {
            (Transport::Plain, Some(_)) => format!("http://{origin}/{path}"),
            _ => format!("/{path}"),
        };
        format!("{method} {target} HTTP/1.1\r\nHost: {origin}\r\nUser-Agent: bench\r\nAccept: */*\r\n{fields}\r\n")
    }
}

/// An origin, with and without TLS. It ignores queries.
/// - `GET /N` returns N bytes; `GET /N/M` announces M bytes, sends N and stalls,
/// - `GET` of a prepared path returns its response,
/// - `POST` returns an empty body once the request's body was read,
/// - a WebSocket of `GET /echo` echoes frames of [`ECHOED`] bytes, and one of `GET /N` sends N messages of one byte,
/// - HTTP/2 requests get [`http2::serve`].
pub(crate) struct Origin {
    pub(crate) addr: SocketAddr,
}

impl Origin {
    /// Listens, and writes the certificate to trust to `ca_file`.
    pub(crate) fn start(ca_file: &Path) -> Self {
        Self::start_prepared(ca_file, Responses::new())
    }

    /// As [`Origin::start`], with `responses` for their paths.
    pub(crate) fn start_prepared(ca_file: &Path, responses: Responses) -> Self {
        let mut config = self_signed(ca_file);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let (config, responses) = (Arc::new(config), Arc::new(responses));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        thread::spawn(move || {
            for socket in listener.incoming() {
                let (config, responses) = (Arc::clone(&config), Arc::clone(&responses));
                let serve = move || serve(socket.unwrap(), config, &responses);
                thread::Builder::new().stack_size(256 << 10).spawn(serve).unwrap();
            }
        });
        Self { addr }
    }
}

fn serve(socket: TcpStream, config: Arc<ServerConfig>, responses: &Responses) {
    socket.set_nodelay(true).unwrap();
    let mut first = [0];
    let _ = socket.peek(&mut first);
    let mut stream = match first {
        [b'A'..=b'Z'] => buffered(socket),
        _ => buffered(StreamOwned::new(ServerConnection::new(config).unwrap(), socket)),
    };
    // Ends when the client has closed the connection.
    while respond(&mut stream, responses).is_some() {}
}

fn respond(stream: &mut Stream, responses: &Responses) -> Option<()> {
    let request = head(stream);
    if request.starts_with("PRI ") {
        return http2::serve(stream);
    }
    if request.contains("Upgrade: ") {
        stream.get_mut().write_all(SWITCHING.as_bytes()).ok()?;
        return match request.split([' ', '/', '?']).nth(2)?.parse() {
            Ok(count) => send_messages(stream, count),
            Err(_) => echo(stream),
        };
    }
    let target = request.split([' ', '?']).nth(1)?.trim_start_matches("http://");
    if let Some((_, length)) = request.split_once("Content-Length: ") {
        skip(stream, length.lines().next()?.parse().ok()?)?;
        return stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").ok();
    }
    if let Some(response) = responses.get(target) {
        return stream.get_mut().write_all(response).ok();
    }
    let numbers: Vec<usize> = target.split('/').skip(1).map_while(|number| number.parse().ok()).collect();
    let (&size, &announced) = (numbers.first()?, numbers.last()?);
    let (kind, body) = if size <= MAX_TEXT_SIZE { ("json", json(size)) } else { ("zip", noise(PIECE_SIZE)) };
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
    // Two bytes, two of length, four of mask (RFC 6455 section 5.2); the echo has no mask.
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

fn send_messages(stream: &mut Stream, mut count: usize) -> Option<()> {
    let frames = MESSAGE.repeat(PIECE_SIZE / MESSAGE.len());
    while count > 0 {
        let sent = count.min(PIECE_SIZE / MESSAGE.len());
        stream.get_mut().write_all(&frames[..sent * MESSAGE.len()]).ok()?;
        count -= sent;
    }
    Some(())
}

fn buffered(stream: impl Bytes + 'static) -> Stream {
    BufReader::with_capacity(PIECE_SIZE, Box::new(stream))
}

/// Reads a head; returns an empty string at the end of the stream.
pub(crate) fn head(stream: &mut impl BufRead) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).ok().is_none_or(|n| n == 0) {
            return String::new();
        }
    }
    head
}

/// Opens a WebSocket for `/path`.
pub(crate) fn websocket(route: &Route, path: &str) -> Stream {
    let mut stream = route.connect();
    stream.get_mut().write_all(route.request("GET", path, UPGRADE).as_bytes()).unwrap();
    assert!(head(&mut stream).starts_with("HTTP/1.1 101"));
    stream
}

/// Reads and discards `size` bytes; returns `None` if the stream ends earlier.
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

/// Makes a certificate for `localhost` with a new CA, whose certificate it writes to `ca_file`.
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

/// Returns a client configuration that trusts the certificates in `files`.
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

/// Returns the same configuration without session resumption: each connection makes a full handshake.
pub(crate) fn without_resumption(files: &[&Path]) -> Arc<ClientConfig> {
    let mut config = client_config(files);
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// The fields of a WebSocket handshake.
pub(crate) const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                                  Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A text message of one byte (RFC 6455 section 5.2).
pub(crate) const MESSAGE: &[u8] = b"\x81\x01a";

/// Bytes of an echoed payload.
pub(crate) const ECHOED: usize = 1 << 10;

/// Bodies up to this size are text; larger ones do not compress.
const MAX_TEXT_SIZE: usize = 1 << 20;

/// The size of a read or write.
const PIECE_SIZE: usize = 64 << 10;
