//! permessage-deflate: what was negotiated, and messages without their compression (RFC 7692 section 7).
//!
//! ```text
//! message = deflate blocks, flushed to a byte, less the last four bytes 00 00 ff ff   (section 7.2.1)
//! context = the window of 32 KiB that the next message of that direction goes on with, or not (section 7.1.1)
//! ```
//!
//! The window bits that were negotiated bind the sender: whoever has the full window reads all of them.

use crate::wire::message::{Headers, trim};
use crate::wire::tap::{Dir, Opaque};
use flate2::{Decompress, FlushDecompress, Status};

/// What the two ends agreed on.
pub(super) struct Negotiated {
    client: Context,
    server: Context,
}

/// What becomes of a sender's window between two messages.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Context {
    TakenOver,
    Reset,
}

/// What the fields of a 101 say; `None` if its messages are not deflated, or in a way that is not known.
pub(super) fn negotiated(response: &Headers) -> Option<Negotiated> {
    let mut negotiated = Negotiated { client: Context::TakenOver, server: Context::TakenOver };
    let mut extensions =
        response.list("sec-websocket-extensions").map(|extension| extension.split(|&b| b == b';').map(trim));
    let parameters = extensions.find_map(|mut parts| (parts.next()? == b"permessage-deflate").then_some(parts))?;
    for parameter in parameters {
        let name = parameter.split(|&b| b == b'=').next().map(trim);
        match name.unwrap_or_default() {
            b"client_no_context_takeover" => negotiated.client = Context::Reset,
            b"server_no_context_takeover" => negotiated.server = Context::Reset,
            b"client_max_window_bits" | b"server_max_window_bits" => {}
            _ => return None,
        }
    }
    Some(negotiated)
}

impl Negotiated {
    /// For the messages that go in direction `dir`, each of which may inflate to `limit` bytes.
    pub(super) fn inflater(&self, dir: Dir, limit: u64) -> Inflater {
        let context = match dir {
            Dir::Up => self.client,
            Dir::Down => self.server,
        };
        Inflater { context, limit, left: limit, stream: None, out: Vec::new() }
    }
}

/// Inflates the messages of one direction.
pub(super) struct Inflater {
    context: Context,
    limit: u64,
    /// What the message may still inflate to.
    left: u64,
    /// Made for the first deflated message: many sockets that agree on compression never use it.
    stream: Option<Stream>,
    out: Vec<u8>,
}

struct Stream {
    inflate: Decompress,
    /// Nothing was read of this message, or nothing since a block that said it was the last.
    fresh: bool,
}

impl Inflater {
    /// A deflated message begins.
    pub(super) fn begin(&mut self) {
        self.left = self.limit;
        if let Some(stream) = &mut self.stream {
            stream.fresh = true;
            if self.context == Context::Reset {
                stream.reset();
            }
        }
    }

    /// A piece of the message came; `sink` gets pieces of what it inflates to, never empty ones.
    pub(super) fn inflate(&mut self, mut bytes: &[u8], sink: &mut dyn FnMut(&[u8])) -> Result<(), Opaque> {
        self.out.resize(OUT, 0);
        let stream = self.stream.get_or_insert_with(Stream::new);
        loop {
            let (read, written) = (stream.inflate.total_in(), stream.inflate.total_out());
            let status = stream.inflate.decompress(bytes, &mut self.out, FlushDecompress::None);
            let read = stream.inflate.total_in().saturating_sub(read);
            let written = stream.inflate.total_out().saturating_sub(written);

            // What was inflated before something malformed counts, so that it does not matter how the bytes are cut.
            let allowed = usize::try_from(written.min(self.left)).unwrap_or(OUT);
            let piece = self.out.get(..allowed).unwrap_or_default();
            if !piece.is_empty() {
                sink(piece);
            }
            self.left = self.left.checked_sub(written).ok_or(Opaque::Inflated)?;

            bytes = usize::try_from(read).ok().and_then(|read| bytes.get(read..)).unwrap_or_default();
            stream.fresh = stream.fresh && read == 0;
            match status.map_err(|_| Opaque::WebSocket)? {
                // The last block of a stream is not the last of the message (RFC 7692 section 7.2.3.4).
                Status::StreamEnd => stream.reset(),
                Status::Ok | Status::BufError if read == 0 && written == 0 && !bytes.is_empty() => {
                    return Err(Opaque::WebSocket);
                }
                Status::Ok | Status::BufError => {}
            }
            // A full buffer may have left something behind.
            if bytes.is_empty() && piece.len() < OUT {
                return Ok(());
            }
        }
    }

    /// The message is over.
    pub(super) fn end(&mut self, sink: &mut dyn FnMut(&[u8])) -> Result<(), Opaque> {
        match &self.stream {
            Some(stream) if !stream.fresh => self.inflate(TAIL, sink),
            // Some senders make nothing at all of an empty message, or end one with the last block of a stream: there is no
            // block that the tail would complete.
            _ => Ok(()),
        }
    }
}

impl Stream {
    fn new() -> Self {
        Self { inflate: Decompress::new(false), fresh: true }
    }

    fn reset(&mut self) {
        self.inflate.reset(false);
        self.fresh = true;
    }
}

/// What a sender leaves out at the end of each message (RFC 7692 section 7.2.2).
const TAIL: &[u8] = &[0, 0, 0xff, 0xff];

/// Inflated at once.
const OUT: usize = 16 * 1024;

/// What a message may inflate to. Deflate makes at most 1032 of 1, so that a sender of some MiB could otherwise fill a disk
/// with what no peer would take; browsers and common servers refuse far smaller messages.
pub(super) const MAX_INFLATED: u64 = 1 << 30;

#[cfg(test)]
pub(super) mod testing {
    use super::{Context, TAIL};
    use flate2::{Compress, Compression, FlushCompress};

    /// What a sender makes of `messages`.
    pub(in crate::wire::websocket) fn deflated(messages: &[Vec<u8>], context: Context) -> Vec<Vec<u8>> {
        let mut compress = Compress::new(Compression::default(), false);
        let deflate = |message: &Vec<u8>| {
            let mut bytes = Vec::with_capacity(message.len() + 1024);
            if context == Context::Reset {
                compress.reset();
            }
            compress.compress_vec(message, &mut bytes, FlushCompress::Sync).unwrap();
            assert!(bytes.ends_with(TAIL) || message.is_empty());
            bytes.truncate(bytes.len().saturating_sub(TAIL.len()));
            bytes
        };
        messages.iter().map(deflate).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::WebSocketTap;
    use super::super::frame::testing::frame;
    use super::testing::deflated;
    use super::*;
    use crate::wire::tap::testing::{DialogueStep, DialogueStep::*, seen_however_cut};
    use crate::wire::tap::{Ending, ExchangeId};

    fn headers(extensions: &str) -> Headers {
        let mut headers = Headers::default();
        headers.push(b"sec-websocket-extensions", extensions.as_bytes());
        headers
    }

    fn seen(extensions: &str, steps: &[DialogueStep<'_>]) -> Vec<String> {
        let headers = headers(extensions);
        seen_however_cut(|| WebSocketTap::new(ExchangeId(0), &headers), steps)
    }

    fn down(extensions: &str, bytes: &[u8]) -> Vec<String> {
        seen(extensions, &[Down(bytes)])
    }

    fn messages(texts: &[&str]) -> Vec<String> {
        let message = |text: &&str| {
            let data = (!text.is_empty()).then(|| format!("0< | {text}"));
            [Some("0< message Text".into()), data, Some("0< message ends Complete".into())].into_iter().flatten()
        };
        texts.iter().flat_map(message).collect()
    }

    const OPAQUE: [&str; 3] = ["0< message ends Opaque", "0 socket ends", "opaque: a malformed WebSocket frame"];

    #[test]
    fn the_examples_of_rfc_7692() {
        let cases: &[(&str, &[u8])] = &[
            ("one block", b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\0"),
            ("two fragments", b"\x41\x03\xf2\x48\xcd\x80\x04\xc9\xc9\x07\0"),
            ("a block without compression", b"\xc1\x0b\0\x05\0\xfa\xffHello\0"),
            ("a last block", b"\xc1\x08\xf3\x48\xcd\xc9\xc9\x07\0\0"),
            ("two blocks", b"\xc1\x0d\xf2\x48\x05\0\0\0\xff\xff\xca\xc9\xc9\x07\0"),
        ];
        for (what, bytes) in cases {
            assert_eq!(down("permessage-deflate", bytes), messages(&["Hello"]), "{what}");
            let twice = [*bytes, *bytes].concat();
            assert_eq!(down("permessage-deflate", &twice), messages(&["Hello", "Hello"]), "{what} twice");
        }
        let shared = b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\0\xc1\x05\xf2\0\x11\0\0";
        assert_eq!(down("permessage-deflate", shared), messages(&["Hello", "Hello"]));
    }

    #[test]
    fn each_direction_has_its_own_context() {
        let shared = b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\0\xc1\x05\xf2\0\x11\0\0";
        for kept in [
            "permessage-deflate; client_no_context_takeover",
            "x-other; a=b, permessage-deflate;server_max_window_bits=\"10\"",
        ] {
            assert_eq!(down(kept, shared), messages(&["Hello", "Hello"]), "{kept}");
        }
        for reset in [
            "permessage-deflate; server_no_context_takeover",
            "permessage-deflate ;client_max_window_bits = 9; server_no_context_takeover",
        ] {
            let seen = down(reset, shared);
            assert_eq!(seen[..3], messages(&["Hello"]), "{reset}");
            assert_eq!(seen[3], "0< message Text");
            assert_eq!(seen[seen.len() - 3..], OPAQUE, "it refers to what is gone");
        }
        let seen = seen("permessage-deflate", &[Up(&shared[..9]), Down(&shared[9..])]);
        assert_eq!(seen[seen.len() - 3..], OPAQUE, "it refers to what the other end said");
    }

    #[test]
    fn messages_without_compression_leave_the_context_alone() {
        let bytes = b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\0\x81\x02hi\xc1\x05\xf2\0\x11\0\0\xc1\0\xc1\x01\0";
        assert_eq!(down("permessage-deflate", bytes), messages(&["Hello", "hi", "Hello", "", ""]));
    }

    #[test]
    fn a_stream_that_ends_with_the_message() {
        let bytes = b"\xc1\x07\xf3\x48\xcd\xc9\xc9\x07\0\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\0";
        assert_eq!(down("permessage-deflate", bytes), messages(&["Hello", "Hello"]));
    }

    #[test]
    fn an_extension_that_is_not_known() {
        for extensions in ["", "x-webkit-deflate-frame", "permessage-bzip2", "permessage-deflate; novel"] {
            let bytes = b"\x81\x02hi\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\0";
            let seen = down(extensions, bytes);
            assert_eq!(seen[..3], messages(&["hi"]), "{extensions}");
            assert_eq!(seen[3..], OPAQUE[1..], "{extensions}");
        }
        let continued = b"\x41\x03\xf2\x48\xcd\xc0\x04\xc9\xc9\x07\0";
        assert_eq!(down("permessage-deflate", continued)[2..], OPAQUE, "said again on a continuation");
        assert_eq!(down("permessage-deflate", b"\xc9\0"), OPAQUE[1..], "said of a ping");
    }

    #[test]
    fn what_was_inflated_before_something_malformed_is_seen() {
        let seen = down("permessage-deflate", b"\xc1\x0b\0\x05\0\xfa\xffHello\x07");
        assert_eq!(seen[..2], ["0< message Text", "0< | Hello"]);
        assert_eq!(seen[2..], OPAQUE);
    }

    #[test]
    fn a_message_that_is_cut_off() {
        let cut = [Down(b"\x41\x03\xf2\x48\xcd"), End(Dir::Down, Ending::Reset)];
        let seen = seen("permessage-deflate", &cut);
        assert_eq!(seen, ["0< message Text", "0< | He", "0< message ends Truncated(Reset)"]);
    }

    #[test]
    fn many_messages_in_fragments_with_pings_between() {
        let text = |n: usize| (0..n * 300).map(|i| b"abcdefgh \n"[(i * i + n) % 10]).collect::<Vec<_>>();
        let texts: Vec<_> = [1, 7, 0, 200, 3].map(text).to_vec();
        for (context, extensions) in [
            (Context::TakenOver, "permessage-deflate; client_max_window_bits=15"),
            (Context::Reset, "permessage-deflate; client_no_context_takeover"),
        ] {
            let mut bytes = Vec::new();
            for message in deflated(&texts, context) {
                let (first, rest) = message.split_at(message.len() / 3);
                bytes.extend(frame(0x42, Some([1, 2, 3, 4]), first));
                bytes.extend(frame(0x89, Some([5, 6, 7, 8]), b"?"));
                bytes.extend(frame(0x80, Some([9, 10, 11, 12]), rest));
            }
            let seen = seen(extensions, &[Up(&bytes)]);
            let joined = seen.iter().filter_map(|line| line.strip_prefix("0> | ")).collect::<String>();
            assert_eq!(joined, texts.concat().escape_ascii().to_string());
            assert_eq!(seen.iter().filter(|line| *line == "0> message ends Complete").count(), texts.len());
            assert_eq!(seen.iter().filter(|line| *line == "0> Ping ?").count(), texts.len());
        }
    }

    #[test]
    fn a_bomb_is_seen_up_to_the_limit() {
        let limit = 100_000;
        let headers = headers("permessage-deflate");
        let seen = |size: usize| {
            let message = deflated(&[vec![b'0'; size]], Context::TakenOver).remove(0);
            let bytes = [frame(0xc2, None, &message), b"\x81\x02hi".to_vec()].concat();
            seen_however_cut(|| WebSocketTap::with_limit(ExchangeId(0), &headers, limit), &[Down(&bytes)])
        };
        let whole = format!("0< | {}", "0".repeat(100_000));
        assert_eq!(seen(100_000)[1..3], [&whole[..], "0< message ends Complete"]);
        let over = [
            "0< message Binary",
            &whole,
            OPAQUE[0],
            OPAQUE[1],
            "opaque: a WebSocket message that decompresses to more than the limit",
        ];
        assert_eq!(seen(100_001), over);
        assert_eq!(seen(5_000_000), over);
    }
}
