//! Both ends of one connection through the proxy. Bytes sent at one end are awaited at the other before more are sent, so the
//! proxy cannot depend on later bytes to forward earlier ones.

use super::capture::Capture;
use super::connection::Connection;
use super::http2_frames::{GET, PREFACE, acknowledge, settings};
use super::origin::{Origin, TlsSetup};
use super::wait::TIMEOUT;
use std::sync::{Mutex, mpsc};

/// The client's end and the origin's end.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) client: Connection,
    pub(crate) origin: Connection,
    /// `host:port` of the origin.
    pub(crate) at: String,
    _listening: Origin,
}

impl Pair {
    /// Connects over TLS with HTTP/2.
    #[track_caller]
    pub(crate) fn http2(capture: &Capture) -> Self {
        let setup = TlsSetup { alpn: &["h2"], ..TlsSetup::default() };
        Self::with(
            |script| Origin::tls_with(setup, script),
            |at| {
                let connection = capture.tls_with(at, &capture.client("localhost").alpn(&["h2", "http/1.1"]));
                assert_eq!(connection.alpn().as_deref(), Some("h2"));
                connection
            },
        )
    }

    /// Connects over TLS with HTTP/2 and exchanges the connection prefaces.
    #[track_caller]
    pub(crate) fn http2_with_prefaces(capture: &Capture) -> Self {
        let mut pair = Self::http2(capture);
        pair.up([PREFACE, &settings(&[(0x3, 100), (0x4, 1 << 20)])].concat());
        pair.down([settings(&[(0x8, 1)]), acknowledge()].concat());
        pair.up(acknowledge());
        pair
    }

    /// Connects in the clear through CONNECT.
    #[track_caller]
    pub(crate) fn clear(capture: &Capture) -> Self {
        Self::with(Origin::plain, |at| capture.connect(at))
    }

    #[track_caller]
    fn with(
        listen: impl FnOnce(Box<dyn Fn(Connection) + Send + Sync>) -> Origin,
        connect: impl FnOnce(&str) -> Connection,
    ) -> Self {
        let (sender, receiver) = mpsc::channel();
        let sender = Mutex::new(sender);
        let listening = listen(Box::new(move |connection| {
            // The test may have ended.
            sender.lock().unwrap().send(connection).ok();
        }));
        let at = listening.authority("localhost");
        let client = connect(&at);
        let origin = receiver.recv_timeout(TIMEOUT).unwrap();
        Self { client, origin, at, _listening: listening }
    }

    /// Sends `bytes` from the client and awaits them at the origin.
    #[track_caller]
    pub(crate) fn up(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.client.send(bytes);
        assert_same(&self.origin.read_exactly(bytes.len()), bytes);
    }

    /// Sends `bytes` from the origin and awaits them at the client.
    #[track_caller]
    pub(crate) fn down(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.origin.send(bytes);
        assert_same(&self.client.read_exactly(bytes.len()), bytes);
    }

    /// Closes gracefully, the client first; fails if either end receives more bytes.
    #[track_caller]
    pub(crate) fn close(mut self) {
        self.client.finish();
        assert_eq!(self.origin.read_to_end(), (Vec::new(), super::connection::Ending::Clean));
        self.origin.finish();
        assert_eq!(self.client.read_to_end(), (Vec::new(), super::connection::Ending::Clean));
    }
}

/// Returns the header fields of a GET of `path`.
pub(crate) fn to(path: &str) -> String {
    GET.replace(":path /", &format!(":path {path}"))
}

#[track_caller]
fn assert_same(received: &[u8], sent: &[u8]) {
    assert!(received == sent, "received {}, sent {}", received.escape_ascii(), sent.escape_ascii());
}
