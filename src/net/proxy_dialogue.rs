//! Connects to an upstream proxy, and leads the dialogue that opens a tunnel.
//!
//! ```text
//! dial ─▶ send output ─▶ wait ─▶ peek ─▶ dialogue.input ─▶ take the bytes it used ─┐
//!             ▲────────────────────────────────────────────────────────────────────┴─▶ open
//! ```
//!
//! Bytes behind the proxy's answer stay in the socket: an origin may send first. Connecting and the dialogue share the time limit
//! of a connection to an origin.

use super::dial::{CONNECT_TIMEOUT, DialError, Dialed, Dialer};
use super::stop::Stop;
use super::sys::{self, Interest};
use crate::clock::Moment;
use crate::wire::authority::Authority;
use crate::wire::upstream::Dialogue;
use crate::wire::upstream::proxy::UpstreamProxy;
use crate::wire::upstream::refusal::Refusal;
use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::time::Duration;

/// Connects to `proxy` and opens a tunnel to `origin`; without an origin, only connects.
///
/// # Errors
/// If there is no connection or no tunnel.
pub(crate) fn dial(
    proxy: &UpstreamProxy,
    origin: Option<&Authority>,
    dialer: &Dialer,
    stop: &Stop,
) -> Result<Dialed, DialError> {
    let began = Moment::now();
    let failed = |cause| match cause {
        DialogueError::Stopped | DialogueError::Unreachable(DialError::Stopped) => DialError::Stopped,
        cause => DialError::Upstream {
            proxy: proxy.to_string(),
            forbids_tunnel: matches!(&cause, DialogueError::Refused(refusal) if refusal.is_rule()),
            cause: Box::new(cause),
        },
    };
    let Dialed { own_address, socket, connect_ms, .. } =
        dialer.dial(proxy.authority(), stop).map_err(|cause| failed(DialogueError::Unreachable(cause)))?;
    if let Some(origin) = origin {
        let used = Duration::try_from_secs_f64(connect_ms / 1000.0).unwrap_or_default();
        let deadline = Moment::now().plus(CONNECT_TIMEOUT.saturating_sub(used));
        open(&socket, &mut *proxy.tunnel_to(origin), deadline, stop).map_err(failed)?;
    }
    // The answer does not show how much of the time the proxy needed for the origin.
    Ok(Dialed { own_address, socket, dns_ms: 0.0, connect_ms: Moment::now().ms_since(began) })
}

/// Leads `dialogue` on `socket`, which is non-blocking, until the tunnel is open.
fn open(
    mut socket: &TcpStream,
    dialogue: &mut dyn Dialogue,
    deadline: Moment,
    stop: &Stop,
) -> Result<(), DialogueError> {
    let mut unsent = Vec::new();
    let mut buffer = [0; PEEK_BYTES];
    loop {
        unsent.append(&mut dialogue.output());
        if !unsent.is_empty() {
            let sent = would_block(socket.write(&unsent))?.unwrap_or(0);
            unsent.drain(..sent.min(unsent.len()));
        }
        if dialogue.is_open() {
            return Ok(());
        }
        let left = deadline.since(Moment::now());
        let interest = Interest { read: true, write: !unsent.is_empty() };
        let wanted = [(stop.as_fd(), Interest::READ), (socket.as_fd(), interest)];
        let [stopped, ready] = sys::wait(wanted, Some(left)).map_err(DialogueError::Io)?;
        if stopped.read {
            return Err(DialogueError::Stopped);
        }
        // Also for a proxy that sends byte by byte.
        if left.is_zero() {
            return Err(DialogueError::Timeout);
        }
        if !ready.read {
            continue;
        }
        let Some(peeked) = would_block(socket.peek(&mut buffer))? else { continue };
        let bytes = buffer.get_mut(..peeked).filter(|bytes| !bytes.is_empty()).ok_or(DialogueError::Ended)?;
        let used = dialogue.input(bytes).map_err(DialogueError::Refused)?;
        if let Some(used) = bytes.get_mut(..used) {
            // They were peeked at, so this read does not block.
            socket.read_exact(used).map_err(ended)?;
        }
    }
}

/// Returns the number of bytes, or `None` if the socket is not ready.
fn would_block(moved: io::Result<usize>) -> Result<Option<usize>, DialogueError> {
    match moved {
        Ok(n) => Ok(Some(n)),
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
        Err(e) => Err(ended(e)),
    }
}

/// The meaning of an error of the socket.
fn ended(error: io::Error) -> DialogueError {
    match error.kind() {
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof => DialogueError::Ended,
        _ => DialogueError::Io(error),
    }
}

/// The reason why an upstream proxy does not lead to an origin. `Display` is a clause about the proxy.
#[derive(Debug)]
enum DialogueError {
    /// There is no connection to the proxy.
    Unreachable(DialError),
    /// It refused the request.
    Refused(Refusal),
    /// It closed the connection before its answer was complete.
    Ended,
    /// Its answer was not complete in time.
    Timeout,
    /// The socket failed.
    Io(io::Error),
    /// The capture stops.
    Stopped,
}

impl fmt::Display for DialogueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(cause) => write!(f, "cannot be reached: {cause}"),
            Self::Refused(cause) => cause.fmt(f),
            Self::Ended => f.write_str("closed the connection before it answered"),
            Self::Timeout => write!(f, "did not answer within {} seconds", CONNECT_TIMEOUT.as_secs()),
            Self::Io(cause) => write!(f, "cannot be used: {cause}"),
            Self::Stopped => f.write_str("was left because the capture stopped"),
        }
    }
}

impl Error for DialogueError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unreachable(cause) => Some(cause),
            Self::Refused(cause) => Some(cause),
            Self::Io(cause) => Some(cause),
            Self::Ended | Self::Timeout | Self::Stopped => None,
        }
    }
}

/// Longer than the usual answer; a longer one is read in pieces.
const PEEK_BYTES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::thread_pool::ThreadPool;
    use std::net::TcpListener;
    use std::thread;

    const LONG: Duration = Duration::from_secs(20);

    fn origin() -> Authority {
        Authority::from_connect_target(b"origin.invalid:443").unwrap()
    }

    /// Leads a dialogue with a proxy that runs `script`. Returns the error as text, or the socket.
    fn dialogue(
        url: &str,
        timeout: Duration,
        script: impl FnOnce(TcpStream) + Send + 'static,
    ) -> Result<TcpStream, String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        socket.set_nonblocking(true).unwrap();
        let peer = listener.accept().unwrap().0;
        let script = thread::spawn(move || script(peer));
        let proxy = UpstreamProxy::parse(url).unwrap();
        let result =
            open(&socket, &mut *proxy.tunnel_to(&origin()), Moment::now().plus(timeout), &Stop::new().unwrap());
        let result = result.map(|()| socket).map_err(|cause| cause.to_string());
        script.join().unwrap();
        result
    }

    fn read_head(socket: &mut TcpStream) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
    }

    #[test]
    fn bytes_of_the_origin_behind_the_answer_stay_in_the_socket() {
        for step in [1, 7, 1000] {
            let socket = dialogue("http://h", LONG, move |mut proxy| {
                proxy.set_nodelay(true).unwrap();
                read_head(&mut proxy);
                for piece in b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n220 ready\r\n".chunks(step) {
                    proxy.write_all(piece).unwrap();
                }
            });
            let mut socket = socket.unwrap();
            socket.set_nonblocking(false).unwrap();
            let mut rest = String::new();
            socket.read_to_string(&mut rest).unwrap();
            assert_eq!(rest, "220 ready\r\n");
        }
    }

    #[test]
    fn a_long_answer_is_read_in_pieces() {
        let socket = dialogue("http://h", LONG, |mut proxy| {
            read_head(&mut proxy);
            proxy.write_all(format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "x".repeat(50_000)).as_bytes()).unwrap();
        });
        assert!(socket.is_ok(), "{socket:?}");
    }

    #[test]
    fn a_silent_or_slow_proxy_has_a_time_limit() {
        let short = Duration::from_millis(200);
        let error = "did not answer within 30 seconds";
        for url in ["http://h", "socks5://h"] {
            let silent = dialogue(url, short, |mut proxy| {
                // Until the client gives up.
                let _ = proxy.read_to_end(&mut Vec::new());
            });
            assert_eq!(silent.unwrap_err(), error, "{url}");
        }
        let slow = dialogue("http://h", short, move |mut proxy| {
            proxy.set_nodelay(true).unwrap();
            proxy.set_read_timeout(Some(short / 50)).unwrap();
            let mut answer = b"HTTP/1.1 200 ".iter().copied().chain(std::iter::repeat(b'x'));
            while proxy.write_all(&[answer.next().unwrap()]).is_ok() {
                let _ = proxy.read(&mut [0; 1000]);
            }
        });
        assert_eq!(slow.unwrap_err(), error);
    }

    #[test]
    fn a_proxy_that_closes_early_has_not_answered() {
        for (url, answer) in [("http://h", &b"HTTP/1.1 200 Conn"[..]), ("http://h", b""), ("socks5://h", b"\x05")] {
            let closed = dialogue(url, LONG, move |mut proxy| {
                let _ = proxy.read(&mut [0; 1000]).unwrap();
                proxy.write_all(answer).unwrap();
            });
            assert_eq!(closed.unwrap_err(), "closed the connection before it answered", "{url}");
        }
    }

    #[test]
    fn a_dead_proxy_is_reported_in_the_words_of_origins() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let dialer =
            Dialer::new(vec![([127, 0, 0, 1], 1).into()], ThreadPool::default(), crate::connector::Kind::System);
        let error = |url: &str, stop: &Stop| {
            dial(&UpstreamProxy::parse(url).unwrap(), Some(&origin()), &dialer, stop).unwrap_err()
        };
        let stop = Stop::new().unwrap();
        let url = format!("http://user:secret@127.0.0.1:{port}");
        assert_eq!(
            error(&url, &stop).to_string(),
            format!("the upstream proxy http://127.0.0.1:{port} cannot be reached: it refused the connection")
        );
        assert!(!format!("{:?}", error(&url, &stop)).contains("secret"));
        let itself = error("socks5://127.0.0.1:1", &stop).to_string();
        assert_eq!(itself, "the upstream proxy socks5://127.0.0.1:1 cannot be reached: it is this proxy itself");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        stop.set();
        let silent = error(&format!("http://{}", listener.local_addr().unwrap()), &stop);
        assert!(matches!(silent, DialError::Stopped), "{silent}");
    }
}
