//! An HTTP proxy between the proxy under test and an origin. Every name leads to that origin, so tests need no resolver.
//!
//! ```text
//! Connection ─▶ Capture ─▶ UpstreamProxy ─▶ Origin
//! ```

use super::wait::Watched;
use spectral_capture::UpstreamProxies;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

/// A running upstream proxy.
#[derive(Debug)]
pub(crate) struct UpstreamProxy {
    pub(crate) addr: SocketAddr,
    /// The heads of the first request on each connection.
    pub(crate) heads: Watched<Vec<String>>,
}

impl UpstreamProxy {
    /// Starts a proxy that forwards tunnels and plain requests to `origin`.
    pub(crate) fn to(origin: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self { addr: listener.local_addr().unwrap(), heads: Watched::default() };
        let heads = proxy.heads.clone();
        thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                let heads = heads.clone();
                // Any error closes the connection.
                thread::spawn(move || serve(client, origin, &heads));
            }
        });
        proxy
    }

    /// Returns the setting for a capture that uses it, with a password.
    pub(crate) fn setting(&self) -> UpstreamProxies {
        through(self.addr)
    }
}

/// Returns the setting for a capture that uses the HTTP proxy at `addr`, with a password.
pub(crate) fn through(addr: SocketAddr) -> UpstreamProxies {
    UpstreamProxies::all(spectral_capture::UpstreamProxy::parse(&format!("http://user:secret@{addr}")).unwrap())
}

/// The field with the password of [`through`].
pub(crate) const AUTHORIZATION: &str = "Proxy-Authorization: Basic dXNlcjpzZWNyZXQ=\r\n";

fn serve(mut client: TcpStream, origin: SocketAddr, heads: &Watched<Vec<String>>) -> Option<()> {
    let mut head = Vec::new();
    // Byte by byte: what follows belongs to the origin.
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).ok()?;
        head.extend(byte);
    }
    let head = String::from_utf8(head).unwrap();
    heads.update(|all| all.push(head.clone()));
    let mut origin = TcpStream::connect(origin).ok()?;
    if head.starts_with("CONNECT ") {
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").ok()?;
    } else {
        origin.write_all(head.replacen(AUTHORIZATION, "", 1).as_bytes()).ok()?;
    }
    let back = (client.try_clone().ok()?, origin.try_clone().ok()?);
    let down = thread::spawn(move || copy(back.1, back.0));
    copy(client, origin);
    down.join().ok()
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    std::io::copy(&mut from, &mut to).ok();
    to.shutdown(Shutdown::Write).ok();
}
