//! One end of a connection, in the clear or over TLS: blocking, strict, and with a deadline on every read and write.
//!
//! ```text
//! Connection ─┬─ Reader   head(), exactly(), read_to_end()     may move to another thread
//!       └─ Writer   send(), finish(), ...
//! ```
//!
//! A link that is dropped says goodbye properly: close_notify, FIN, and reading until the other end did the same.
//! [`Connection::reset`] and [`Connection::close_abruptly`] are the ways to be rude.

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
    /// Read and not asked for yet.
    pending: Vec<u8>,
    ended: Option<Ending>,
    /// Told every byte.
    log: Option<super::wait::Watched<Vec<u8>>>,
}

/// The half that writes; a copy of it can go to another thread.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    tcp: Arc<TcpStream>,
    tls: Option<Tls>,
}

type Tls = Arc<Mutex<rustls::Connection>>;

/// How the other end stopped sending.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ending {
    /// FIN, after close_notify where TLS is spoken.
    Clean,
    /// FIN without close_notify.
    Truncated,
    /// RST.
    Reset,
    /// TLS broke; an alert, mostly.
    Tls(rustls::Error),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Close {
    Graceful,
    Abrupt,
}

/// A response as the client read it.
#[derive(Debug, PartialEq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Everything up to and with the empty line.
    pub(crate) head: String,
    /// As framed: chunks and all.
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The first value of a field, in any case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// The first value of a field in a head, in any case.
pub(crate) fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().skip(1).find_map(|line| {
        let (n, value) = line.split_once(':')?;
        n.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

impl Connection {
    /// Connects.
    #[track_caller]
    pub(crate) fn to(addr: SocketAddr) -> Self {
        let tcp = TcpStream::connect_timeout(&addr, TIMEOUT).unwrap_or_else(|e| panic!("cannot reach {addr}: {e}"));
        Self::over(tcp)
    }

    /// Speaks over `tcp`.
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

    /// Tells `log` every byte that is read, as plaintext where TLS is spoken.
    pub(crate) fn log_to(&mut self, log: super::wait::Watched<Vec<u8>>) {
        self.reader.log = Some(log);
    }

    /// Shakes hands as the client. `early` travels in the same flight as the handshake's end; `split_hello` may cut the first
    /// flight (the ClientHello) into the pieces it is sent in.
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

    /// Shakes hands as the server. `early` is sent before the client finished (RFC 8446 section 4.4.4).
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
        let broken = |e: &dyn std::fmt::Display| rustls::Error::General(format!("the handshake broke off: {e}"));
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
        self.reader.note(&plaintext);
        Ok(())
    }

    /// What the TLS connection says about itself.
    #[track_caller]
    pub(crate) fn tls<R>(&self, ask: impl FnOnce(&rustls::Connection) -> R) -> R {
        let tls = self.reader.tls.as_ref().expect("speaks TLS");
        ask(&tls.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The certificate the other end showed.
    #[track_caller]
    pub(crate) fn peer_certificate(&self) -> CertificateDer<'static> {
        self.tls(|tls| tls.peer_certificates().expect("a certificate")[0].clone().into_owned())
    }

    /// The application protocol that was agreed on.
    pub(crate) fn alpn(&self) -> Option<String> {
        self.tls(|tls| tls.alpn_protocol().map(|name| String::from_utf8(name.to_vec()).unwrap()))
    }

    /// Sends all of `bytes`.
    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.writer.send(bytes);
    }

    /// Ends our direction properly; the other goes on.
    pub(crate) fn finish(&mut self) {
        self.writer.finish();
    }

    /// See [`Reader::until`].
    #[track_caller]
    pub(crate) fn until(&mut self, end: &[u8]) -> Vec<u8> {
        self.reader.until(end)
    }

    /// See [`Reader::head`].
    #[track_caller]
    pub(crate) fn head(&mut self) -> String {
        self.reader.head()
    }

    /// See [`Reader::read_exactly`].
    #[track_caller]
    pub(crate) fn read_exactly(&mut self, len: usize) -> Vec<u8> {
        self.reader.read_exactly(len)
    }

    /// See [`Reader::read_to_end`].
    #[track_caller]
    pub(crate) fn read_to_end(&mut self) -> (Vec<u8>, Ending) {
        self.reader.read_to_end()
    }

    /// Reads one response: head, and a body by its length, its chunks, or to the end.
    #[track_caller]
    pub(crate) fn response(&mut self) -> Response {
        let head = self.head();
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or_else(|| panic!("a head: {head:?}"));
        let body = if matches!(status, 100..=199 | 204 | 304) {
            Vec::new()
        } else if header(&head, "transfer-encoding").is_some() {
            self.until(b"0\r\n\r\n")
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
        self.response()
    }

    /// Closes with RST.
    pub(crate) fn reset(mut self) {
        let at_once = nix::libc::linger { l_onoff: 1, l_linger: 0 };
        setsockopt(&*self.writer.tcp, sockopt::Linger, &at_once).unwrap();
        self.close = Close::Abrupt;
    }

    /// Closes with FIN, and without close_notify where TLS is spoken.
    pub(crate) fn close_abruptly(mut self) {
        self.close = Close::Abrupt;
    }

    /// Its own port.
    pub(crate) fn local_port(&self) -> u16 {
        self.writer.tcp.local_addr().unwrap().port()
    }

    /// Makes the kernel take in only so much of what the other end sends.
    pub(crate) fn receive_buffer(&self, bytes: usize) {
        setsockopt(&*self.writer.tcp, sockopt::RcvBuf, &bytes).unwrap();
    }

    /// Reads and writes as a stream, for libraries that want one.
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
        // Until the other end is done too: closing over unread bytes would send RST and take back what we sent.
        self.reader.tcp.set_read_timeout(Some(TIMEOUT)).ok();
        while matches!(self.reader.fill(), Ok(true)) {
            self.reader.pending.clear();
        }
        while matches!((&*self.reader.tcp).read(&mut [0; 4096]), Ok(1..)) {}
    }
}

impl Reader {
    /// Reads some more; false at the end.
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
                self.note(&buffer[..count]);
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
            self.note(&plaintext);
            if !plaintext.is_empty() || self.ended.is_some() {
                return Ok(!plaintext.is_empty());
            }
        }
    }

    fn note(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        if let Some(log) = &self.log {
            log.change(|log| log.extend_from_slice(bytes));
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

    /// Reads through `end`.
    #[track_caller]
    pub(crate) fn until(&mut self, end: &[u8]) -> Vec<u8> {
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

    /// Waits up to `patience` for each read from here on.
    pub(crate) fn set_read_timeout(&self, timeout: std::time::Duration) {
        self.tcp.set_read_timeout(Some(timeout)).unwrap();
    }

    /// Whether anything more comes.
    pub(crate) fn has_more(&mut self) -> bool {
        !self.pending.is_empty() || matches!(self.fill(), Ok(true))
    }

    /// Reads a head, through its empty line.
    #[track_caller]
    pub(crate) fn head(&mut self) -> String {
        String::from_utf8_lossy(&self.until(b"\r\n\r\n")).into_owned()
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

    /// Reads to the end.
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

    /// Sends all of `bytes`, if the other end takes them.
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

    /// Sends `bytes` as they are, below TLS.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        (&*self.tcp).write_all(bytes)
    }

    /// Ends our direction below TLS, whoever is writing.
    pub(crate) fn shut_down(&self) {
        self.tcp.shutdown(Shutdown::Write).ok();
    }

    /// Says that nothing more comes: close_notify where TLS is spoken, then FIN.
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

/// The begin of `bytes`, readable.
fn short(bytes: &[u8]) -> String {
    let begin = bytes[..bytes.len().min(300)].escape_ascii().to_string();
    format!("{begin} ({} bytes)", bytes.len())
}
