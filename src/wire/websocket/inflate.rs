//! permessage-deflate: parses the negotiated parameters and decompresses messages (RFC 7692 section 7).
//!
//! ```text
//! message = deflate blocks, flushed to a byte, without the last four bytes 00 00 ff ff      (section 7.2.1)
//! context = the window of 32 KiB; the next message of the direction continues with it or not (section 7.1.1)
//! ```
//!
//! Negotiated window bits limit only the sender. A receiver with the full window can decompress any smaller one.

use crate::wire::headers::{Headers, trim};
use crate::wire::tap::{Dir, Opaque};
use flate2::{Decompress, FlushDecompress, Status};

/// The negotiated parameters of permessage-deflate.
pub(super) struct DeflateParameters {
    client: DeflateContext,
    server: DeflateContext,
}

/// The handling of a sender's window between two messages.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum DeflateContext {
    /// The next message continues with the window (context takeover).
    Kept,
    /// Each message begins with an empty window.
    Reset,
}

/// Returns the parameters in the fields of the response that opens a WebSocket. Returns `None` if there is no compression, or
/// an unknown parameter.
pub(super) fn negotiated(response: &Headers) -> Option<DeflateParameters> {
    let mut deflate = DeflateParameters { client: DeflateContext::Kept, server: DeflateContext::Kept };
    let mut extensions =
        response.list("sec-websocket-extensions").map(|extension| extension.split(|&b| b == b';').map(trim));
    let parameters = extensions.find_map(|mut parts| (parts.next()? == b"permessage-deflate").then_some(parts))?;
    for parameter in parameters {
        let name = parameter.split(|&b| b == b'=').next().map(trim);
        match name.unwrap_or_default() {
            b"client_no_context_takeover" => deflate.client = DeflateContext::Reset,
            b"server_no_context_takeover" => deflate.server = DeflateContext::Reset,
            b"client_max_window_bits" | b"server_max_window_bits" => {}
            _ => return None,
        }
    }
    Some(deflate)
}

impl DeflateParameters {
    /// Creates a decompressor for the messages in direction `dir`. `limit` is the largest decompressed message.
    pub(super) fn inflater(&self, dir: Dir, limit: u64) -> Inflater {
        let context = match dir {
            Dir::Up => self.client,
            Dir::Down => self.server,
        };
        Inflater { context, limit, left: limit, stream: None, out: Vec::new() }
    }
}

/// Decompresses the messages of one direction.
pub(super) struct Inflater {
    context: DeflateContext,
    limit: u64,
    /// The bytes left up to the limit of the current message.
    left: u64,
    /// Created for the first compressed message: many WebSockets negotiate compression but never use it.
    stream: Option<InflateStream>,
    /// A buffer for decompressed bytes.
    out: Vec<u8>,
}

struct InflateStream {
    inflate: Decompress,
    /// True if nothing of this message was read, or nothing since a final block.
    is_fresh: bool,
}

impl Inflater {
    /// Begins a compressed message.
    pub(super) fn begin(&mut self) {
        self.left = self.limit;
        if let Some(stream) = &mut self.stream {
            stream.is_fresh = true;
            if self.context == DeflateContext::Reset {
                stream.reset();
            }
        }
    }

    /// Decompresses a piece of the message and passes the result to `sink` in pieces, never empty.
    pub(super) fn inflate(&mut self, mut bytes: &[u8], sink: &mut dyn FnMut(&[u8])) -> Result<(), Opaque> {
        self.out.resize(OUTPUT_BYTES, 0);
        let stream = self.stream.get_or_insert_with(InflateStream::new);
        loop {
            let (read, written) = (stream.inflate.total_in(), stream.inflate.total_out());
            let status = stream.inflate.decompress(bytes, &mut self.out, FlushDecompress::None);
            let read = stream.inflate.total_in().saturating_sub(read);
            let written = stream.inflate.total_out().saturating_sub(written);

            // Output before a malformed byte is reported. Otherwise the events would depend on how the bytes are split.
            let allowed = usize::try_from(written.min(self.left)).unwrap_or(OUTPUT_BYTES);
            let piece = self.out.get(..allowed).unwrap_or_default();
            if !piece.is_empty() {
                sink(piece);
            }
            self.left = self.left.checked_sub(written).ok_or(Opaque::Inflated)?;

            bytes = usize::try_from(read).ok().and_then(|read| bytes.get(read..)).unwrap_or_default();
            stream.is_fresh = stream.is_fresh && read == 0;
            match status.map_err(|_| Opaque::WebSocket)? {
                // A final block is not always the last one of the message (RFC 7692 section 7.2.3.4).
                Status::StreamEnd => stream.reset(),
                Status::Ok | Status::BufError if read == 0 && written == 0 && !bytes.is_empty() => {
                    return Err(Opaque::WebSocket);
                }
                Status::Ok | Status::BufError => {}
            }
            // If the buffer is full, there may be more output.
            if bytes.is_empty() && piece.len() < OUTPUT_BYTES {
                return Ok(());
            }
        }
    }

    /// Ends the message.
    pub(super) fn end(&mut self, sink: &mut dyn FnMut(&[u8])) -> Result<(), Opaque> {
        match &self.stream {
            Some(stream) if !stream.is_fresh => self.inflate(MESSAGE_TAIL, sink),
            // The message is empty or ends with a final block, as some senders do. There is no block for the tail to complete.
            _ => Ok(()),
        }
    }
}

impl InflateStream {
    fn new() -> Self {
        Self { inflate: Decompress::new(false), is_fresh: true }
    }

    fn reset(&mut self) {
        self.inflate.reset(false);
        self.is_fresh = true;
    }
}

/// The bytes that a sender removes from the end of each message (RFC 7692 section 7.2.2).
const MESSAGE_TAIL: &[u8] = &[0, 0, 0xff, 0xff];

/// The size of the output buffer.
const OUTPUT_BYTES: usize = 16 * 1024;

/// The largest decompressed message. Deflate expands one byte to at most 1032. Without a limit a sender of some MiB could
/// fill the disk. Browsers and common servers reject far smaller messages.
pub(super) const MAX_INFLATED_BYTES: u64 = 1 << 30;

#[cfg(test)]
pub(super) mod testing {
    use super::{DeflateContext, MESSAGE_TAIL};
    use flate2::{Compress, Compression, FlushCompress};

    /// Compresses `messages` as a sender does.
    pub(in crate::wire::websocket) fn deflated(messages: &[Vec<u8>], context: DeflateContext) -> Vec<Vec<u8>> {
        let mut compress = Compress::new(Compression::default(), false);
        let deflate = |message: &Vec<u8>| {
            let mut bytes = Vec::with_capacity(message.len() + 1024);
            if context == DeflateContext::Reset {
                compress.reset();
            }
            compress.compress_vec(message, &mut bytes, FlushCompress::Sync).unwrap();
            assert!(bytes.ends_with(MESSAGE_TAIL) || message.is_empty());
            bytes.truncate(bytes.len().saturating_sub(MESSAGE_TAIL.len()));
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
    use crate::wire::tap::testing::{DialogueStep, DialogueStep::*, events_in_any_pieces};
    use crate::wire::tap::{Ending, ExchangeId};

    fn headers(extensions: &str) -> Headers {
        let mut headers = Headers::default();
        headers.push(b"sec-websocket-extensions", extensions.as_bytes());
        headers
    }

    fn events(extensions: &str, steps: &[DialogueStep<'_>]) -> Vec<String> {
        let headers = headers(extensions);
        events_in_any_pieces(|| WebSocketTap::new(ExchangeId(0), &headers), steps)
    }

    fn down(extensions: &str, bytes: &[u8]) -> Vec<String> {
        events(extensions, &[Down(bytes)])
    }

    fn messages(texts: &[&str]) -> Vec<String> {
        let message = |text: &&str| {
            let data = (!text.is_empty()).then(|| format!("0< | {text}"));
            [Some("0< message Text".into()), data, Some("0< message ends Complete".into())].into_iter().flatten()
        };
        texts.iter().flat_map(message).collect()
    }

    const OPAQUE: [&str; 3] = ["0< message ends Opaque", "0 WebSocket ends", "opaque: a malformed WebSocket frame"];

    #[test]
    fn reads_the_examples_of_rfc_7692() {
        let cases: &[(&str, &[u8])] = &[
            ("one block", b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\0"),
            ("two fragments", b"\x41\x03\xf2\x48\xcd\x80\x04\xc9\xc9\x07\0"),
            ("a block without compression", b"\xc1\x0b\0\x05\0\xfa\xffHello\0"),
            ("a last block", b"\xc1\x08\xf3\x48\xcd\xc9\xc9\x07\0\0"),
            ("two blocks", b"\xc1\x0d\xf2\x48\x05\0\0\0\xff\xff\xca\xc9\xc9\x07\0"),
        ];
        for (name, bytes) in cases {
            assert_eq!(down("permessage-deflate", bytes), messages(&["Hello"]), "{name}");
            let twice = [*bytes, *bytes].concat();
            assert_eq!(down("permessage-deflate", &twice), messages(&["Hello", "Hello"]), "{name} twice");
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
            let events = down(reset, shared);
            assert_eq!(events[..3], messages(&["Hello"]), "{reset}");
            assert_eq!(events[3], "0< message Text");
            assert_eq!(events[events.len() - 3..], OPAQUE, "it refers to a window that was reset");
        }
        let events = events("permessage-deflate", &[Up(&shared[..9]), Down(&shared[9..])]);
        assert_eq!(events[events.len() - 3..], OPAQUE, "it refers to the other direction");
    }

    #[test]
    fn uncompressed_messages_do_not_change_the_context() {
        let bytes = b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\0\x81\x02hi\xc1\x05\xf2\0\x11\0\0\xc1\0\xc1\x01\0";
        assert_eq!(down("permessage-deflate", bytes), messages(&["Hello", "hi", "Hello", "", ""]));
    }

    #[test]
    fn reads_a_message_that_ends_with_a_final_block() {
        let bytes = b"\xc1\x07\xf3\x48\xcd\xc9\xc9\x07\0\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\0";
        assert_eq!(down("permessage-deflate", bytes), messages(&["Hello", "Hello"]));
    }

    #[test]
    fn unknown_extensions_and_misplaced_rsv1_are_opaque() {
        for extensions in ["", "x-webkit-deflate-frame", "permessage-bzip2", "permessage-deflate; novel"] {
            let bytes = b"\x81\x02hi\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\0";
            let events = down(extensions, bytes);
            assert_eq!(events[..3], messages(&["hi"]), "{extensions}");
            assert_eq!(events[3..], OPAQUE[1..], "{extensions}");
        }
        let continued = b"\x41\x03\xf2\x48\xcd\xc0\x04\xc9\xc9\x07\0";
        assert_eq!(down("permessage-deflate", continued)[2..], OPAQUE, "RSV1 on a continuation");
        assert_eq!(down("permessage-deflate", b"\xc9\0"), OPAQUE[1..], "RSV1 on a ping");
    }

    #[test]
    fn reports_the_output_before_a_malformed_byte() {
        let events = down("permessage-deflate", b"\xc1\x0b\0\x05\0\xfa\xffHello\x07");
        assert_eq!(events[..2], ["0< message Text", "0< | Hello"]);
        assert_eq!(events[2..], OPAQUE);
    }

    #[test]
    fn reports_a_truncated_message() {
        let truncated = [Down(b"\x41\x03\xf2\x48\xcd"), End(Dir::Down, Ending::Reset)];
        let events = events("permessage-deflate", &truncated);
        assert_eq!(events, ["0< message Text", "0< | He", "0< message ends Truncated(Reset)"]);
    }

    #[test]
    fn reads_fragmented_messages_with_pings_between() {
        let text = |n: usize| (0..n * 300).map(|i| b"abcdefgh \n"[(i * i + n) % 10]).collect::<Vec<_>>();
        let texts: Vec<_> = [1, 7, 0, 200, 3].map(text).to_vec();
        for (context, extensions) in [
            (DeflateContext::Kept, "permessage-deflate; client_max_window_bits=15"),
            (DeflateContext::Reset, "permessage-deflate; client_no_context_takeover"),
        ] {
            let mut bytes = Vec::new();
            for message in deflated(&texts, context) {
                let (first, rest) = message.split_at(message.len() / 3);
                bytes.extend(frame(0x42, Some([1, 2, 3, 4]), first));
                bytes.extend(frame(0x89, Some([5, 6, 7, 8]), b"?"));
                bytes.extend(frame(0x80, Some([9, 10, 11, 12]), rest));
            }
            let events = events(extensions, &[Up(&bytes)]);
            let joined = events.iter().filter_map(|line| line.strip_prefix("0> | ")).collect::<String>();
            assert_eq!(joined, texts.concat().escape_ascii().to_string());
            assert_eq!(events.iter().filter(|line| *line == "0> message ends Complete").count(), texts.len());
            assert_eq!(events.iter().filter(|line| *line == "0> Ping ?").count(), texts.len());
        }
    }

    #[test]
    fn reports_a_decompression_bomb_up_to_the_limit() {
        let limit = 100_000;
        let headers = headers("permessage-deflate");
        let events = |size: usize| {
            let message = deflated(&[vec![b'0'; size]], DeflateContext::Kept).remove(0);
            let bytes = [frame(0xc2, None, &message), b"\x81\x02hi".to_vec()].concat();
            events_in_any_pieces(|| WebSocketTap::with_limit(ExchangeId(0), &headers, limit), &[Down(&bytes)])
        };
        let whole = format!("0< | {}", "0".repeat(100_000));
        assert_eq!(events(100_000)[1..3], [&whole[..], "0< message ends Complete"]);
        let over = [
            "0< message Binary",
            &whole,
            OPAQUE[0],
            OPAQUE[1],
            "opaque: a WebSocket message that decompresses to more than the limit",
        ];
        assert_eq!(events(100_001), over);
        assert_eq!(events(5_000_000), over);
    }
}
