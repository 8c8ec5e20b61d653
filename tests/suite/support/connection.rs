//! One end of a connection, in the clear or over TLS: blocking, with a timeout on each read and write.
//!
//! ```text
//! Connection ─┬─ Reader   read_head(), read_exactly(), …   may move to another thread
//!             └─ Writer   send(), finish(), …
//! ```
//!
//! A dropped connection closes gracefully: it sends close_notify and FIN, then reads until the peer has done the same.
//! [`Connection::reset`] and [`Connection::close_abruptly`] close it abruptly.

use super::wait::TIMEOUT;
use nix::sys::socket::{setsockopt, sockopt};
use rustls::pki_types::{CertificateDer, ServerName};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) reader: Reader,
    pub(crate) writer: Writer,
    close: Close,
}

/// The half that reads.
#[derive(Debug)]
pub(crate) struct Reader {
    tcp: Arc<TcpStream>,
    tls: Option<Tls>,
    /// Received, but not yet returned.
    pending: Vec<u8>,
    ended: Option<Ending>,
    /// Receives a copy of each byte.
    log: Option<super::wait::Watched<Vec<u8>>>,
}

/// The half that writes; it can be cloned for another thread.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    tcp: Arc<TcpStream>,
    tls: Option<Tls>,
}

type Tls = Arc<Mutex<rustls::Connection>>;

/// The way in which the peer stopped sending.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ending {
    /// FIN; over TLS, after close_notify.
    Clean,
    /// FIN without close_notify.
    Truncated,
    /// RST.
    Reset,
    /// A TLS error, usually an alert.
    Tls(rustls::Error),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Close {
    Graceful,
    Abrupt,
}

/// A response as received.
#[derive(Debug, PartialEq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// The head with its empty line.
    pub(crate) head: String,
    /// The body with its framing.
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// Returns the first value of a field; the name is case-insensitive.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// Returns the body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Returns the first value of a field in a head; the name is case-insensitive.
pub(crate) fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().skip(1).find_map(|line| {
        let (n, value) = line.split_once(':')?;
        n.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

impl Connection {
    /// Connects to `addr`.
    #[track_caller]
    pub(crate) fn to(addr: SocketAddr) -> Self {
        let tcp = TcpStream::connect_timeout(&addr, TIMEOUT).unwrap_or_else(|e| panic!("cannot reach {addr}: {e}"));
        Self::over(tcp)
    }

    /// Uses a connected socket.
    pub(crate) fn over(tcp: TcpStream) -> Self {
        tcp.set_nodelay(true).unwrap();
        tcp.set_read_timeout(Some(TIMEOUT)).unwrap();
        tcp.set_write_timeout(Some(TIMEOUT)).unwrap();
        let tcp = Arc::new(tcp);
        Self {
            reader: Reader { tcp: Arc::clone(&tcp), tls: None, pending: Vec::new(), ended: None, log: None },
            writer: Writer { tcp, tls: None },
            close: Close::Graceful,
        }
    }

    /// Copies each received byte to `log`; over TLS, the plaintext.
    pub(crate) fn log_to(&mut self, log: super::wait::Watched<Vec<u8>>) {
        self.reader.log = Some(log);
    }

    /// Does the handshake as the client. `early` is application data in the last flight of the handshake; `split_hello` splits
    /// the ClientHello into the pieces in which it is sent.
    pub(crate) fn start_tls(
        &mut self,
        config: &Arc<rustls::ClientConfig>,
        name: &str,
        early: &[u8],
        split_hello: impl FnOnce(Vec<u8>) -> Vec<Vec<u8>>,
    ) -> Result<(), rustls::Error> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut tls = rustls::ClientConnection::new(Arc::clone(config), name)?;
        let mut hello = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut hello).unwrap();
        }
        for piece in split_hello(hello) {
            (&*self.writer.tcp).write_all(&piece).unwrap();
        }
        tls.writer().write_all(early).unwrap();
        self.handshake(tls.into())
    }

    /// Does the handshake as the server. `early` is sent before the client's Finished (RFC 8446 section 4.4.4).
    pub(crate) fn accept_tls(&mut self, config: &Arc<rustls::ServerConfig>, early: &[u8]) -> Result<(), rustls::Error> {
        let mut tls = rustls::ServerConnection::new(Arc::clone(config))?;
        tls.writer().write_all(early).unwrap();
        self.handshake(tls.into())
    }

    fn handshake(&mut self, mut tls: rustls::Connection) -> Result<(), rustls::Error> {
        let tcp = &*self.writer.tcp;
        let flush = |tls: &mut rustls::Connection| -> io::Result<()> {
            let mut out = Vec::new();
            while tls.wants_write() {
                tls.write_tls(&mut out)?;
            }
            (&*tcp).write_all(&out)
        };
        let broken = |e: &dyn std::fmt::Display| rustls::Error::General(format!("the handshake failed: {e}"));
        let mut plaintext = Vec::new();
        let mut early = std::mem::take(&mut self.reader.pending);
        loop {
            let mut input = &early[..];
            while !input.is_empty() {
                tls.read_tls(&mut input).unwrap();
                let result = tls.process_new_packets();
                if let Err(e) = result {
                    flush(&mut tls).ok();
                    return Err(e);
                }
                tls.reader().read_to_end(&mut plaintext).ok();
            }
            flush(&mut tls).map_err(|e| broken(&e))?;
            if !tls.is_handshaking() {
                break;
            }
            early.resize(16 * 1024, 0);
            match (&*tcp).read(&mut early) {
                Ok(0) => return Err(broken(&"end")),
                Ok(n) => early.truncate(n),
                Err(e) => return Err(broken(&e)),
            }
        }
        let tls = Arc::new(Mutex::new(tls));
        self.reader.tls = Some(Arc::clone(&tls));
        self.writer.tls = Some(tls);
        self.reader.append(&plaintext);
        Ok(())
    }

    /// Calls `read` with the TLS connection.
    #[track_caller]
    pub(crate) fn tls<R>(&self, read: impl FnOnce(&rustls::Connection) -> R) -> R {
        let tls = self.reader.tls.as_ref().expect("TLS");
        read(&tls.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the certificate of the peer.
    #[track_caller]
    pub(crate) fn peer_certificate(&self) -> CertificateDer<'static> {
        self.tls(|tls| tls.peer_certificates().expect("a certificate")[0].clone().into_owned())
    }

    /// Returns the negotiated application protocol.
    pub(crate) fn alpn(&self) -> Option<String> {
        self.tls(|tls| tls.alpn_protocol().map(|name| String::from_utf8(name.to_vec()).unwrap()))
    }

    /// Sends all of `bytes`.
    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.writer.send(bytes);
    }

    /// Ends the sending direction gracefully; the other stays open.
    pub(crate) fn finish(&mut self) {
        self.writer.finish();
    }

    /// Calls [`Reader::read_until`].
    #[track_caller]
    pub(crate) fn read_until(&mut self, end: &[u8]) -> Vec<u8> {
        self.reader.read_until(end)
    }

    /// Calls [`Reader::read_head`].
    #[track_caller]
    pub(crate) fn read_head(&mut self) -> String {
        self.reader.read_head()
    }

    /// Calls [`Reader::read_exactly`].
    #[track_caller]
    pub(crate) fn read_exactly(&mut self, len: usize) -> Vec<u8> {
        self.reader.read_exactly(len)
    }

    /// Calls [`Reader::read_to_end`].
    #[track_caller]
    pub(crate) fn read_to_end(&mut self) -> (Vec<u8>, Ending) {
        self.reader.read_to_end()
    }

    /// Reads a response: the head, and a body with Content-Length, in chunks, or to the end of the stream.
    #[track_caller]
    pub(crate) fn read_response(&mut self) -> Response {
        let head = self.read_head();
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or_else(|| panic!("a head: {head:?}"));
        let body = if matches!(status, 100..=199 | 204 | 304) {
            Vec::new()
        } else if header(&head, "transfer-encoding").is_some() {
            self.read_until(b"0\r\n\r\n")
        } else if let Some(len) = header(&head, "content-length") {
            self.read_exactly(len.parse().unwrap())
        } else {
            self.read_to_end().0
        };
        Response { status, head, body }
    }

    /// Sends a request and reads its response.
    #[track_caller]
    pub(crate) fn request(&mut self, request: impl AsRef<[u8]>) -> Response {
        self.send(request);
        self.read_response()
    }

    /// Closes with RST.
    pub(crate) fn reset(mut self) {
        let at_once = nix::libc::linger { l_onoff: 1, l_linger: 0 };
        setsockopt(&*self.writer.tcp, sockopt::Linger, &at_once).unwrap();
        self.close = Close::Abrupt;
    }

    /// Closes with FIN; over TLS, without close_notify.
    pub(crate) fn close_abruptly(mut self) {
        self.close = Close::Abrupt;
    }

    /// Returns the local port.
    pub(crate) fn local_port(&self) -> u16 {
        self.writer.tcp.local_addr().unwrap().port()
    }

    /// Sets the size of the receive buffer in the kernel.
    pub(crate) fn set_receive_buffer(&self, bytes: usize) {
        setsockopt(&*self.writer.tcp, sockopt::RcvBuf, &bytes).unwrap();
    }

    /// Converts it to a stream that implements `Read` and `Write`.
    pub(crate) fn stream(self) -> ConnectionStream {
        ConnectionStream(self)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.close == Close::Abrupt || std::thread::panicking() {
            return;
        }
        self.writer.finish();
        // Reads until the peer closes too: closing with unread bytes sends RST, which discards data on its way to the peer.
        self.reader.tcp.set_read_timeout(Some(TIMEOUT)).ok();
        while matches!(self.reader.fill(), Ok(true)) {
            self.reader.pending.clear();
        }
        while matches!((&*self.reader.tcp).read(&mut [0; 4096]), Ok(1..)) {}
    }
}

impl Reader {
    /// Receives more bytes; returns false at the end of the stream.
    fn fill(&mut self) -> io::Result<bool> {
        if self.ended.is_some() {
            return Ok(false);
        }
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let count = match (&*self.tcp).read(&mut buffer) {
                Ok(count) => count,
                Err(e) if matches!(e.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
                    self.ended = Some(Ending::Reset);
                    return Ok(false);
                }
                Err(e) => return Err(e),
            };
            let Some(tls) = self.tls.clone() else {
                self.append(&buffer[..count]);
                if count == 0 {
                    self.ended = Some(Ending::Clean);
                }
                return Ok(count > 0);
            };
            let mut tls = tls.lock().unwrap_or_else(PoisonError::into_inner);
            let mut input = &buffer[..count];
            let mut plaintext = Vec::new();
            loop {
                tls.read_tls(&mut input)?;
                let closed = match tls.process_new_packets() {
                    Ok(state) => state.peer_has_closed(),
                    Err(e) => {
                        tls.write_tls(&mut &*self.tcp).ok();
                        self.ended = Some(Ending::Tls(e));
                        break;
                    }
                };
                tls.reader().read_to_end(&mut plaintext).ok();
                if closed {
                    self.ended = Some(Ending::Clean);
                    break;
                }
                if input.is_empty() {
                    break;
                }
            }
            drop(tls);
            if count == 0 && self.ended.is_none() {
                self.ended = Some(Ending::Truncated);
            }
            self.append(&plaintext);
            if !plaintext.is_empty() || self.ended.is_some() {
                return Ok(!plaintext.is_empty());
            }
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        if let Some(log) = &self.log {
            log.update(|log| log.extend_from_slice(bytes));
        }
    }

    #[track_caller]
    fn more(&mut self, what: &str) {
        let had = self.pending.len();
        match self.fill() {
            Ok(true) => {}
            Ok(false) => {
                panic!("{:?} instead of {what}, after {:?}", self.ended, short(&self.pending))
            }
            Err(e) => panic!("{e} instead of {what}, after {had} bytes: {:?}", short(&self.pending)),
        }
    }

    /// Reads up to and including `end`.
    #[track_caller]
    pub(crate) fn read_until(&mut self, end: &[u8]) -> Vec<u8> {
        let mut searched = 0;
        loop {
            let found = self.pending[searched..].windows(end.len()).position(|window| window == end);
            if let Some(at) = found {
                let rest = self.pending.split_off(searched + at + end.len());
                return std::mem::replace(&mut self.pending, rest);
            }
            searched = self.pending.len().saturating_sub(end.len() - 1);
            self.more(&format!("{:?}", end.escape_ascii().to_string()));
        }
    }

    /// Sets the timeout of later reads.
    pub(crate) fn set_read_timeout(&self, timeout: std::time::Duration) {
        self.tcp.set_read_timeout(Some(timeout)).unwrap();
    }

    /// Returns true if more bytes arrive before the end.
    pub(crate) fn has_more(&mut self) -> bool {
        !self.pending.is_empty() || matches!(self.fill(), Ok(true))
    }

    /// Reads a head with its empty line.
    #[track_caller]
    pub(crate) fn read_head(&mut self) -> String {
        String::from_utf8_lossy(&self.read_until(b"\r\n\r\n")).into_owned()
    }

    /// Reads `len` bytes.
    #[track_caller]
    pub(crate) fn read_exactly(&mut self, len: usize) -> Vec<u8> {
        while self.pending.len() < len {
            self.more(&format!("{len} bytes"));
        }
        let rest = self.pending.split_off(len);
        std::mem::replace(&mut self.pending, rest)
    }

    /// Reads to the end of the stream.
    #[track_caller]
    pub(crate) fn read_to_end(&mut self) -> (Vec<u8>, Ending) {
        loop {
            match self.fill() {
                Ok(true) => {}
                Ok(false) if self.ended.is_some() => break,
                Ok(false) => {}
                Err(e) => panic!("{e} instead of the end, after {:?}", short(&self.pending)),
            }
        }
        (std::mem::take(&mut self.pending), self.ended.clone().unwrap())
    }
}

impl Writer {
    /// Sends all of `bytes`.
    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        if let Err(e) = self.try_send(bytes) {
            panic!("{e} while sending {:?}", short(bytes));
        }
    }

    /// Sends all of `bytes`; fails if the peer has closed.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(tls) = &self.tls else {
            return (&*self.tcp).write_all(bytes);
        };
        for piece in bytes.chunks(32 * 1024) {
            let mut out = Vec::with_capacity(40 * 1024);
            {
                let mut tls = tls.lock().unwrap_or_else(PoisonError::into_inner);
                tls.writer().write_all(piece)?;
                while tls.wants_write() {
                    tls.write_tls(&mut out)?;
                }
            }
            (&*self.tcp).write_all(&out)?;
        }
        Ok(())
    }

    /// Sends `bytes` on the TCP socket, without TLS.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        (&*self.tcp).write_all(bytes)
    }

    /// Sends FIN without close_notify.
    pub(crate) fn shut_down(&self) {
        self.tcp.shutdown(Shutdown::Write).ok();
    }

    /// Ends the sending direction: over TLS with close_notify, then FIN.
    pub(crate) fn finish(&mut self) {
        if let Some(tls) = &self.tls {
            let mut out = Vec::new();
            {
                let mut tls = tls.lock().unwrap_or_else(PoisonError::into_inner);
                tls.send_close_notify();
                while tls.wants_write() {
                    tls.write_tls(&mut out).unwrap();
                }
            }
            (&*self.tcp).write_all(&out).ok();
        }
        self.tcp.shutdown(Shutdown::Write).ok();
    }
}

/// A [`Connection`] as `Read` and `Write`.
#[derive(Debug)]
pub(crate) struct ConnectionStream(pub(crate) Connection);

impl Read for ConnectionStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.0.reader.pending.is_empty() {
            self.0.reader.fill()?;
        }
        let pending = &mut self.0.reader.pending;
        let count = pending.len().min(buf.len());
        buf[..count].copy_from_slice(&pending[..count]);
        pending.drain(..count);
        Ok(count)
    }
}

impl Write for ConnectionStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.writer.try_send(buf)?;
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns the first bytes, escaped.
fn short(bytes: &[u8]) -> String {
    let begin = bytes[..bytes.len().min(300)].escape_ascii().to_string();
    format!("{begin} ({} bytes)", bytes.len())
}
