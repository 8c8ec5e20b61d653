//! The floor: a proxy that moves the bytes and does nothing else. What a capture costs is what is above it.
//!
//! ```text
//! CONNECT, then a ClientHello    decrypted and encrypted again, by the same TLS library
//! CONNECT, then anything else    copied
//! GET http://…                   copied, as it is
//! ```
//!
//! A thread per connection polls both sockets and writes blocking, which is enough while only one side speaks at a time. Not
//! here: HTTP, names of many hosts, back-pressure, half-close, ends that are told apart.

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

/// Serves until it is ended. Trusts `origin.pem` in `dir`, and leaves there in `floor.pem` what is to be trusted.
pub(crate) fn main(dir: &Path) {
    let towards_clients = Arc::new(self_signed(&dir.join("floor.pem")));
    let towards_origins = Arc::new(client_config(&[&dir.join("origin.pem")]));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    eprintln!("{}", listener.local_addr().unwrap());
    for client in listener.incoming() {
        let (client, towards_clients, towards_origins) =
            (client.unwrap(), Arc::clone(&towards_clients), Arc::clone(&towards_origins));
        // A connection that fails is one that the benchmark notices.
        thread::spawn(move || serve(client, towards_clients, towards_origins));
    }
}

fn serve(
    mut client: TcpStream,
    towards_clients: Arc<ServerConfig>,
    towards_origins: Arc<ClientConfig>,
) -> io::Result<()> {
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
    let towards_origin = ClientConnection::new(towards_origins, name).map_err(io::Error::other)?;
    let towards_client = ServerConnection::new(towards_clients).map_err(io::Error::other)?;
    let mut origin = Side::new(origin, Some(towards_origin.into()));
    let mut client = Side::new(client, Some(towards_client.into()));
    origin.shake_hands()?;
    client.shake_hands()?;
    relay(client, origin)
}

fn relay(mut client: Side, mut origin: Side) -> io::Result<()> {
    // What came with the last flight of a handshake, no poll announces.
    client.decrypt_for(&mut origin)?;
    origin.decrypt_for(&mut client)?;
    origin.flush()?;
    client.flush()?;
    loop {
        let mut sockets = [&client, &origin].map(|side| PollFd::new(side.socket.as_fd(), PollFlags::POLLIN));
        poll(&mut sockets, PollTimeout::NONE)?;
        let [from_client, from_origin] = sockets.map(|socket| socket.any() == Some(true));
        if from_client && !client.pass_on(&mut origin)? || from_origin && !origin.pass_on(&mut client)? {
            return Ok(());
        }
    }
}

/// One end of a connection.
struct Side {
    socket: TcpStream,
    tls: Option<Connection>,
    input: Vec<u8>,
    plain: Vec<u8>,
}

impl Side {
    fn new(socket: TcpStream, mut tls: Option<Connection>) -> Self {
        tls.iter_mut().for_each(|tls| tls.set_buffer_limit(None));
        Self { socket, tls, input: vec![0; LARGE], plain: vec![0; RECORD] }
    }

    fn shake_hands(&mut self) -> io::Result<()> {
        while let Some(tls) = self.tls.as_mut().filter(|tls| tls.is_handshaking()) {
            tls.complete_io(&mut self.socket)?;
        }
        self.flush()
    }

    /// Reads once, and writes to `to` what that was; false at the end.
    fn pass_on(&mut self, to: &mut Self) -> io::Result<bool> {
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

/// The type of a TLS record that begins a handshake.
const TLS_HANDSHAKE: u8 = 22;

/// Read at once: what the product reads.
const LARGE: usize = 128 << 10;

/// As much as a record of TLS holds.
const RECORD: usize = 16 << 10;
