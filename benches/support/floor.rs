//! The floor: a reference proxy that only forwards bytes. The cost of a capture is the difference to it.
//!
//! ```text
//! CONNECT, then a ClientHello    decrypted and encrypted again, by the same TLS library
//! CONNECT, then anything else    copied
//! GET http://…                   copied, as it is
//! ```
//!
//! A thread per connection polls both sockets and writes blocking, which suffices while only one side sends at a time. Out of
//! scope: HTTP, more than one host name, back-pressure, half-close, and the reasons why a connection ends.

use super::origin::{client_config, self_signed};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::thread;

/// Serves until the process is killed. Trusts `origin.pem` in `dir`, and writes its own certificate to `floor.pem` there.
pub(crate) fn main(dir: &Path) {
    let server_tls = Arc::new(self_signed(&dir.join("floor.pem")));
    let client_tls = Arc::new(client_config(&[&dir.join("origin.pem")]));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    eprintln!("{}", listener.local_addr().unwrap());
    for client in listener.incoming() {
        let (client, server_tls, client_tls) = (client.unwrap(), Arc::clone(&server_tls), Arc::clone(&client_tls));
        // If a connection fails, the benchmark's client notices.
        thread::spawn(move || serve(client, server_tls, client_tls));
    }
}

fn serve(mut client: TcpStream, server_tls: Arc<ServerConfig>, client_tls: Arc<ClientConfig>) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut first = [0; 4096];
    let head = client.read(&mut first)?;
    let head = String::from_utf8_lossy(&first[..head]);
    let target = head.split(' ').nth(1).unwrap_or_default();
    let authority = target.trim_start_matches("http://").split('/').next().unwrap_or_default();
    let mut origin = TcpStream::connect(authority)?;
    origin.set_nodelay(true)?;
    if !head.starts_with("CONNECT ") {
        origin.write_all(head.as_bytes())?;
        return relay(Side::new(client, None), Side::new(origin, None));
    }
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    let mut kind = [0];
    client.peek(&mut kind)?;
    if kind != [TLS_HANDSHAKE] {
        return relay(Side::new(client, None), Side::new(origin, None));
    }
    let name = authority.split(':').next().unwrap_or_default().to_owned();
    let name = ServerName::try_from(name).map_err(io::Error::other)?;
    let tls_to_origin = ClientConnection::new(client_tls, name).map_err(io::Error::other)?;
    let tls_to_client = ServerConnection::new(server_tls).map_err(io::Error::other)?;
    let mut origin = Side::new(origin, Some(tls_to_origin.into()));
    let mut client = Side::new(client, Some(tls_to_client.into()));
    origin.handshake()?;
    client.handshake()?;
    relay(client, origin)
}

fn relay(mut client: Side, mut origin: Side) -> io::Result<()> {
    // Application data may have arrived with the last flight of the handshake; poll does not report it.
    client.decrypt_for(&mut origin)?;
    origin.decrypt_for(&mut client)?;
    origin.flush()?;
    client.flush()?;
    loop {
        let mut sockets = [&client, &origin].map(|side| PollFd::new(side.socket.as_fd(), PollFlags::POLLIN));
        poll(&mut sockets, PollTimeout::NONE)?;
        let [from_client, from_origin] = sockets.map(|socket| socket.any() == Some(true));
        if from_client && !client.forward(&mut origin)? || from_origin && !origin.forward(&mut client)? {
            return Ok(());
        }
    }
}

/// The client's or the origin's connection.
struct Side {
    socket: TcpStream,
    tls: Option<Connection>,
    input: Vec<u8>,
    plain: Vec<u8>,
}

impl Side {
    fn new(socket: TcpStream, mut tls: Option<Connection>) -> Self {
        tls.iter_mut().for_each(|tls| tls.set_buffer_limit(None));
        Self { socket, tls, input: vec![0; READ_SIZE], plain: vec![0; MAX_RECORD] }
    }

    fn handshake(&mut self) -> io::Result<()> {
        while let Some(tls) = self.tls.as_mut().filter(|tls| tls.is_handshaking()) {
            tls.complete_io(&mut self.socket)?;
        }
        self.flush()
    }

    /// Reads once and forwards to `to`; returns false at the end of the stream.
    fn forward(&mut self, to: &mut Self) -> io::Result<bool> {
        let n = self.socket.read(&mut self.input)?;
        if self.tls.is_none() {
            to.socket.write_all(&self.input[..n])?;
        }
        let mut at = 0;
        while let Some(tls) = self.tls.as_mut().filter(|_| at < n) {
            at += tls.read_tls(&mut &self.input[at..n])?;
            self.decrypt_for(to)?;
        }
        to.flush()?;
        self.flush()?;
        Ok(n > 0)
    }

    fn decrypt_for(&mut self, to: &mut Self) -> io::Result<()> {
        let (Some(from), Some(to)) = (&mut self.tls, &mut to.tls) else { return Ok(()) };
        let mut left = from.process_new_packets().map_err(io::Error::other)?.plaintext_bytes_to_read();
        while left > 0 {
            let n = from.reader().read(&mut self.plain)?;
            to.writer().write_all(&self.plain[..n])?;
            left -= n;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        while let Some(tls) = self.tls.as_mut().filter(|tls| tls.wants_write()) {
            tls.write_tls(&mut self.socket)?;
        }
        Ok(())
    }
}

/// The content type of a TLS handshake record, RFC 8446 section 5.1.
const TLS_HANDSHAKE: u8 = 22;

/// The size of a read; the product uses the same.
const READ_SIZE: usize = 128 << 10;

/// The maximum plaintext of a TLS record.
const MAX_RECORD: usize = 16 << 10;
