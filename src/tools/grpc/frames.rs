//! Counts the frames of a body. Their content is skipped, except trailers.

use super::base64_text::Base64Decoder;
use super::{Framing, GrpcMessages};
use crate::bundle::reader::Header;

/// Counts the messages of a body that arrives in blocks.
pub(super) struct Frames {
    framing: Framing,
    base64: Base64Decoder,
    /// The beginning of a frame's header.
    header: Vec<u8>,
    /// The flags of the frame whose content follows.
    flags: u8,
    /// The missing bytes of its content.
    left: u32,
    /// Trailers in the body, up to [`MAX_TRAILER_BYTES`].
    trailers: Vec<u8>,
    messages: GrpcMessages,
}

impl Frames {
    pub(super) fn new(framing: Framing) -> Self {
        Self {
            framing,
            base64: Base64Decoder::default(),
            header: Vec::new(),
            flags: 0,
            left: 0,
            trailers: Vec::new(),
            messages: GrpcMessages::default(),
        }
    }

    /// Reads the next block of the body.
    pub(super) fn push(&mut self, block: &[u8]) {
        if self.framing == Framing::WebText {
            let mut bytes = Vec::new();
            self.base64.push(block, &mut bytes);
            self.push_bytes(&bytes);
        } else {
            self.push_bytes(block);
        }
    }

    /// Returns the result at the end of the body.
    pub(super) fn finish(mut self) -> GrpcMessages {
        self.messages.is_truncated = !self.messages.is_malformed && (self.left > 0 || !self.header.is_empty());
        self.messages.trailers = fields(&self.trailers);
        self.messages
    }

    fn push_bytes(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.messages.is_malformed {
            if self.left > 0 {
                let len = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                let (content, after) = bytes.split_at(len);
                if self.flags & TRAILERS != 0 && self.trailers.len() < MAX_TRAILER_BYTES {
                    self.trailers.extend_from_slice(content);
                }
                self.left = self.left.saturating_sub(u32::try_from(len).unwrap_or(u32::MAX));
                if self.left == 0 {
                    self.end_frame();
                }
                bytes = after;
                continue;
            }
            let (header, after) = bytes.split_at(HEADER_LEN.saturating_sub(self.header.len()).min(bytes.len()));
            self.header.extend_from_slice(header);
            bytes = after;
            if let [flags, a, b, c, d] = self.header[..] {
                self.header.clear();
                self.begin_frame(flags, u32::from_be_bytes([a, b, c, d]));
            }
        }
    }

    fn begin_frame(&mut self, flags: u8, len: u32) {
        let known = if self.framing == Framing::Grpc { COMPRESSED } else { COMPRESSED | TRAILERS };
        (self.flags, self.left) = (flags, len);
        if flags & !known != 0 {
            self.messages.is_malformed = true;
        } else if len == 0 {
            self.end_frame();
        }
    }

    fn end_frame(&mut self) {
        if self.flags & TRAILERS == 0 {
            self.messages.count = self.messages.count.saturating_add(1);
            self.messages.compressed = self.messages.compressed.saturating_add((self.flags & COMPRESSED).into());
        } else if self.flags & COMPRESSED != 0 {
            // They cannot be read.
            self.trailers.clear();
        }
    }
}

/// Reads trailers: `grpc-status:5`, one per line.
fn fields(text: &[u8]) -> Vec<Header> {
    let text = String::from_utf8_lossy(text);
    let field = |(name, value): (&str, &str)| Header { name: name.trim().into(), value: value.trim().into() };
    text.lines().filter_map(|line| line.split_once(':').map(field)).collect()
}

const HEADER_LEN: usize = 5;
const COMPRESSED: u8 = 0x01;
const TRAILERS: u8 = 0x80;

/// More trailers than this are cut off.
const MAX_TRAILER_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Base64;

    fn frame(flags: u8, content: &[u8]) -> Vec<u8> {
        let len = u32::try_from(content.len()).unwrap();
        [&[flags][..], &len.to_be_bytes(), content].concat()
    }

    /// Reads `body` in blocks of several lengths, with one result.
    #[track_caller]
    fn read(framing: Framing, body: &[u8]) -> GrpcMessages {
        let results: Vec<_> = [1, 3, 7, 1000]
            .map(|len| {
                let mut frames = Frames::new(framing);
                body.chunks(len).for_each(|block| frames.push(block));
                frames.finish()
            })
            .into();
        assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "{results:?}");
        results[0].clone()
    }

    #[test]
    fn counts_messages_and_marks_what_is_missing() {
        let whole = [frame(0, b"one"), frame(1, b"compressed"), frame(0, b"")].concat();
        let counted = |body: &[u8]| {
            let messages = read(Framing::Grpc, body);
            (messages.count, messages.compressed, messages.is_truncated, messages.is_malformed)
        };
        assert_eq!(counted(&whole), (3, 1, false, false));
        assert_eq!(counted(b""), (0, 0, false, false));
        assert_eq!(counted(&whole[..whole.len() - 1]), (2, 1, true, false));
        assert_eq!(counted(&whole[..9]), (1, 0, true, false));
        assert_eq!(counted(&[&whole[..], b"\0\xff\xff\xff\xffx"].concat()), (3, 1, true, false));
        assert_eq!(counted(&[&whole[..], b"\x02\0\0\0\x01x\0\0\0\0\0"].concat()), (3, 1, false, true));
        assert_eq!(counted(&frame(0x80, b"grpc-status:0\r\n")), (0, 0, false, true), "no trailers in gRPC");
    }

    #[test]
    fn grpc_web_has_trailers_in_the_body() {
        let parts = [frame(0, b"one"), frame(0x80, b"grpc-status:5\r\nGrpc-Message: not%20found\r\n")];
        let text: String = parts.iter().map(|part| Base64(part).to_string()).collect();
        for (framing, body) in [(Framing::Web, parts.concat()), (Framing::WebText, text.into_bytes())] {
            let messages = read(framing, &body);
            assert_eq!((messages.count, messages.is_truncated, messages.is_malformed), (1, false, false));
            let trailers: Vec<_> = messages.trailers.iter().map(|field| (&*field.name, &*field.value)).collect();
            assert_eq!(trailers, [("grpc-status", "5"), ("Grpc-Message", "not%20found")]);
        }
        assert_eq!(read(Framing::Web, &frame(0x81, b"\x1f\x8b")).trailers, []);
    }
}
