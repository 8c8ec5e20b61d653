//! Peers that make a proxy hold as much memory as they can. All of them connect through tunnels in cleartext, and keep their
//! connections open.

use super::wait_until;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;

/// The open connections of a scenario. Dropping them closes them.
pub(crate) struct Connections {
    pub(crate) clients: Vec<TcpStream>,
}

/// An origin that reads all it gets and counts it.
struct Sink {
    addr: SocketAddr,
    received: Arc<AtomicU64>,
}

impl Sink {
    /// Starts it. Each connection begins with `serve`.
    fn start(serve: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (addr, received) = (listener.local_addr().unwrap(), Arc::<AtomicU64>::default());
        let (count, serve) = (Arc::clone(&received), Arc::new(serve));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (count, serve) = (Arc::clone(&count), Arc::clone(&serve));
                let read = move || {
                    let mut stream = stream.unwrap();
                    serve(&mut stream);
                    let mut piece = vec![0; 32 << 10];
                    while let Ok(n @ 1..) = stream.read(&mut piece) {
                        count.fetch_add(n as u64, SeqCst);
                    }
                };
                thread::Builder::new().stack_size(128 << 10).spawn(read).unwrap();
            }
        });
        Self { addr, received }
    }

    /// Sends `bytes` on each of `count` new tunnels, and waits until all have arrived.
    fn flood(&self, proxy: SocketAddr, count: usize, bytes: &[u8]) -> Connections {
        let clients: Vec<_> = (0..count).map(|_| tunnel(proxy, self.addr)).collect();
        thread::scope(|scope| {
            for part in clients.chunks(count.div_ceil(16)) {
                scope.spawn(move || part.iter().for_each(|mut client| client.write_all(bytes).unwrap()));
            }
        });
        let all = (count * bytes.len()) as u64;
        wait_until("all bytes to arrive", || self.received.load(SeqCst) >= all);
        Connections { clients }
    }
}

/// Opens a tunnel.
pub(crate) fn tunnel(proxy: SocketAddr, origin: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(proxy).unwrap();
    stream.write_all(format!("CONNECT {origin} HTTP/1.1\r\nHost: {origin}\r\n\r\n").as_bytes()).unwrap();
    let mut reply = [0; b"HTTP/1.1 200 Connection established\r\n\r\n".len()];
    stream.read_exact(&mut reply).unwrap();
    assert!(reply.starts_with(b"HTTP/1.1 200 "));
    stream
}

/// Requests of 27 bytes without a response.
pub(crate) fn pipelined(proxy: SocketAddr, count: usize, bytes: usize) -> Connections {
    let get = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    Sink::start(|_| ()).flood(proxy, count, &get.repeat(bytes / get.len()))
}

/// HTTP/2 streams that stay open, each with `size` bytes of fields.
pub(crate) fn open_streams(proxy: SocketAddr, count: usize, streams: u32, size: usize) -> Connections {
    let field = [&[0, 1, b'a'][..], &integer(0, 7, size), &vec![b'x'; size]].concat();
    Sink::start(|_| ()).flood(proxy, count, &http2_requests(streams, &[], &field))
}

/// HTTP/2 streams with fields of 4,000 bytes, each of which takes one byte on the wire: 142 KB are 512 MB.
pub(crate) fn indexed_fields(proxy: SocketAddr, count: usize, streams: u32, fields: usize) -> Connections {
    let first = [&[0x40, 1, b'a'][..], &integer(0, 7, 4000), &[b'x'; 4000]].concat();
    Sink::start(|_| ()).flood(proxy, count, &http2_requests(streams, &first, &vec![0xbe; fields]))
}

/// The start of an HTTP/2 connection and requests without END_STREAM. `first` are fields of the first one only.
fn http2_requests(streams: u32, first: &[u8], fields: &[u8]) -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    for n in 0..streams {
        let block = [&[0x82, 0x84, 0x87][..], if n == 0 { first } else { &[] }, fields].concat();
        let length = u32::try_from(block.len()).unwrap().to_be_bytes();
        bytes.extend([&length[1..], &[1, 4], &(2 * n + 1).to_be_bytes(), &block].concat());
    }
    bytes
}

/// An HPACK integer with a prefix of `bits` after the bits of `first`.
fn integer(first: u8, bits: u32, value: usize) -> Vec<u8> {
    let max = (1 << bits) - 1;
    assert!(value >= max);
    let (mut bytes, mut rest) = (vec![first | max as u8], value - max);
    while rest >= 128 {
        bytes.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    bytes.push(rest as u8);
    bytes
}

/// WebSockets on which both sides send one compressed message.
pub(crate) fn compressed_websockets(proxy: SocketAddr, count: usize) -> Connections {
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    let response = format!("HTTP/1.1 101 S\r\nSec-WebSocket-Extensions: permessage-deflate\r\n{upgrade}");
    let sink = Sink::start(move |stream| {
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(&[response.as_bytes(), b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\0"].concat());
    });
    let mut clients: Vec<_> = (0..count).map(|_| tunnel(proxy, sink.addr)).collect();
    for client in &mut clients {
        client.write_all(format!("GET / HTTP/1.1\r\nHost: a\r\n{upgrade}").as_bytes()).unwrap();
    }
    let frame = b"\xc1\x87\0\0\0\0\xf2\x48\xcd\xc9\xc9\x07\0";
    for client in &mut clients {
        let mut received = Vec::new();
        while !received.ends_with(b"\xc9\x07\0") {
            let mut piece = [0; 1024];
            let n = client.read(&mut piece).unwrap();
            assert!(n > 0, "it was closed");
            received.extend_from_slice(&piece[..n]);
        }
        client.write_all(frame).unwrap();
    }
    wait_until("all frames to arrive", || sink.received.load(SeqCst) >= (count * frame.len()) as u64);
    Connections { clients }
}

/// Heads of `bytes` bytes that never end.
pub(crate) fn unfinished_heads(proxy: SocketAddr, count: usize, bytes: usize) -> Connections {
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(bytes));
    Sink::start(|_| ()).flood(proxy, count, head.as_bytes())
}

/// The same as [`unfinished_heads`], in plain requests to the proxy.
pub(crate) fn unfinished_plain_heads(proxy: SocketAddr, count: usize, bytes: usize) -> Connections {
    let head = format!("GET http://127.0.0.1:1/ HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(bytes));
    let clients: Vec<_> = (0..count)
        .map(|_| {
            let mut client = TcpStream::connect(proxy).unwrap();
            // Past its limits the proxy refuses the request.
            let _ = client.write_all(head.as_bytes());
            client
        })
        .collect();
    Connections { clients }
}

/// Clients that do not read what an origin sends without end.
pub(crate) fn slow_readers(proxy: SocketAddr, count: usize) -> Connections {
    let flood = Sink::start(|stream| {
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[7; 64 << 10]).is_ok() {}
    });
    let mut clients: Vec<_> = (0..count).map(|_| tunnel(proxy, flood.addr)).collect();
    for client in &mut clients {
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    }
    // Until nothing moves any more.
    thread::sleep(std::time::Duration::from_secs(3));
    Connections { clients }
}
