//! Both ends of one connection through the proxy in one hand: what is said at one is waited for at the other before anything
//! else is said, so nothing can arrive only because of what came after it.

use super::capture::Capture;
use super::connection::Connection;
use super::http2_frames::{GET, PREFACE, acknowledge, settings};
use super::origin::{Origin, TlsSetup};
use super::wait::TIMEOUT;
use std::sync::{Mutex, mpsc};

/// The two ends.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) client: Connection,
    pub(crate) origin: Connection,
    /// `host:port` of the origin.
    pub(crate) at: String,
    _listening: Origin,
}

impl Pair {
    /// Over TLS, where both agree on HTTP/2.
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

    /// The same, and both have said what HTTP/2 begins with.
    #[track_caller]
    pub(crate) fn http2_with_prefaces(capture: &Capture) -> Self {
        let mut pair = Self::http2(capture);
        pair.up([PREFACE, &settings(&[(0x3, 100), (0x4, 1 << 20)])].concat());
        pair.down([settings(&[(0x8, 1)]), acknowledge()].concat());
        pair.up(acknowledge());
        pair
    }

    /// In the clear, inside CONNECT.
    #[track_caller]
    pub(crate) fn clear(capture: &Capture) -> Self {
        Self::with(Origin::plain, |at| capture.connect(at))
    }

    #[track_caller]
    fn with(
        listen: impl FnOnce(Box<dyn Fn(Connection) + Send + Sync>) -> Origin,
        connect: impl FnOnce(&str) -> Connection,
    ) -> Self {
        let (tell, told) = mpsc::channel();
        let tell = Mutex::new(tell);
        let listening = listen(Box::new(move |connection| {
            // The test may be over.
            tell.lock().unwrap().send(connection).ok();
        }));
        let at = listening.at("localhost");
        let client = connect(&at);
        let origin = told.recv_timeout(TIMEOUT).unwrap();
        Self { client, origin, at, _listening: listening }
    }

    /// The client sends `bytes`, and they arrive.
    #[track_caller]
    pub(crate) fn up(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.client.send(bytes);
        assert_same(&self.origin.read_exactly(bytes.len()), bytes);
    }

    /// The origin sends `bytes`, and they arrive.
    #[track_caller]
    pub(crate) fn down(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.origin.send(bytes);
        assert_same(&self.client.read_exactly(bytes.len()), bytes);
    }

    /// Both end properly, the client first, and nothing was left over.
    #[track_caller]
    pub(crate) fn close(mut self) {
        self.client.finish();
        assert_eq!(self.origin.read_to_end(), (Vec::new(), super::connection::Ending::Clean));
        self.origin.finish();
        assert_eq!(self.client.read_to_end(), (Vec::new(), super::connection::Ending::Clean));
    }
}

/// The fields of a GET of `path`.
pub(crate) fn to(path: &str) -> String {
    GET.replace(":path /", &format!(":path {path}"))
}

#[track_caller]
fn assert_same(came: &[u8], sent: &[u8]) {
    assert!(came == sent, "{} came, {} was sent", came.escape_ascii(), sent.escape_ascii());
}
