//! A local port that forwards through the proxy, for clients that have no proxy setting.
//!
//! ```text
//! client ─▶ PortForward ─▶ CONNECT target ─▶ proxy ─▶ target
//! ```

use super::capture::Capture;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

/// A listening port; each connection to it is forwarded through the proxy.
#[derive(Debug)]
pub(crate) struct PortForward {
    addr: SocketAddr,
}

impl PortForward {
    /// Forwards to `target` through `capture`.
    pub(crate) fn start(capture: &Capture, target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let (proxy, target) = (capture.addr, target.to_owned());
        thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                let target = target.clone();
                thread::spawn(move || {
                    // Half-close is forwarded. Any error closes the client's connection.
                    if let Some(origin) = connect(proxy, &target) {
                        let back = (client.try_clone().unwrap(), origin.try_clone().unwrap());
                        let down = thread::spawn(move || copy(back.1, back.0));
                        copy(client, origin);
                        down.join().ok();
                    }
                });
            }
        });
        Self { addr }
    }

    /// Returns the URL of `path` on this port.
    pub(crate) fn url(&self, scheme: &str, path: &str) -> String {
        format!("{scheme}://localhost:{}{path}", self.addr.port())
    }
}

fn connect(proxy: SocketAddr, target: &str) -> Option<TcpStream> {
    let mut socket = TcpStream::connect(proxy).ok()?;
    socket.set_nodelay(true).ok()?;
    write!(socket, "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n").ok()?;
    // Byte by byte: the bytes after the head belong to the client.
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    head.starts_with(b"HTTP/1.1 200").then_some(socket)
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    std::io::copy(&mut from, &mut to).ok();
    to.shutdown(Shutdown::Write).ok();
}
