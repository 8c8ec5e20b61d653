//! The least of HTTP/2: a client that sends one GET at a time, and an origin that answers 1 KB of JSON. Neither uses priorities,
//! pushes or Huffman codes. The client's first WINDOW_UPDATE grants all that one connection can carry.

use super::origin::{Route, Stream, skip};
use super::samples::{
    DATA, END_STREAM, HEADERS, SETTINGS, http2_frame, http2_preface, http2_request, http2_response, json,
};
use std::io::{Read, Write};

/// The client of one connection.
pub(crate) struct Client {
    stream: Stream,
    next_id: u32,
}

impl Client {
    pub(crate) fn connect(route: &Route) -> Self {
        let mut stream = route.connect();
        let window = (u32::MAX / 2 - INITIAL_WINDOW).to_be_bytes();
        let start = [http2_preface(), http2_frame(WINDOW_UPDATE, 0, 0, &window)].concat();
        stream.get_mut().write_all(&start).unwrap();
        Self { stream, next_id: 1 }
    }

    /// Sends a GET of [`PATH`] and reads the whole response.
    pub(crate) fn get(&mut self) {
        self.stream.get_mut().write_all(&http2_request(self.next_id)).unwrap();
        loop {
            let frame = Frame::read(&mut self.stream).expect("a response");
            if frame.kind == DATA && frame.flags & END_STREAM != 0 {
                assert_eq!(frame.stream, self.next_id);
                break;
            }
        }
        self.next_id += 2;
    }
}

/// Serves a connection after the first line of its preface.
pub(crate) fn serve(stream: &mut Stream) -> Option<()> {
    skip(stream, b"SM\r\n\r\n".len())?;
    stream.get_mut().write_all(&http2_frame(SETTINGS, 0, 0, b"")).ok()?;
    loop {
        let frame = Frame::read(stream)?;
        let answer = match (frame.kind, frame.flags & ACK) {
            (SETTINGS, 0) => http2_frame(SETTINGS, ACK, 0, b""),
            (HEADERS, _) => {
                let body = http2_frame(DATA, END_STREAM, frame.stream, &json(BODY_BYTES));
                [http2_response(frame.stream, BODY_BYTES), body].concat()
            }
            _ => continue,
        };
        stream.get_mut().write_all(&answer).ok()?;
    }
}

/// A frame without its payload (RFC 9113 section 4.1).
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
}

impl Frame {
    /// Returns `None` at the end of the stream.
    fn read(stream: &mut Stream) -> Option<Self> {
        let mut head = [0; 9];
        stream.read_exact(&mut head).ok()?;
        let [a, b, c, kind, flags, id @ ..] = head;
        skip(stream, u32::from_be_bytes([0, a, b, c]) as usize)?;
        Some(Self { kind, flags, stream: u32::from_be_bytes(id) })
    }
}

/// The path of the requests, without the query.
pub(crate) const PATH: &str = "/api/v1/items";

const WINDOW_UPDATE: u8 = 8;

/// A flag of SETTINGS. On HEADERS this bit is [`END_STREAM`], which is not looked at.
const ACK: u8 = 1;

/// The flow-control window of a new connection (RFC 9113 section 6.9.2).
const INITIAL_WINDOW: u32 = 65_535;

const BODY_BYTES: usize = 1 << 10;
