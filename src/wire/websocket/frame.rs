//! Parses frame headers and unmasks payloads (RFC 6455 section 5.2).
//!
//! ```text
//! FIN RSV1-3 opcode | MASK length | more length (0, 2 or 8) | masking key (0 or 4) | payload …
//! ```

use crate::wire::tap::{Opaque, Opcode};

/// A frame with a complete header.
pub(super) struct Frame {
    /// True for the last frame of a message (FIN).
    pub is_final: bool,
    pub reserved: ReservedBits,
    pub role: FrameRole,
    /// The number of payload bytes left.
    left: u64,
    mask: Option<Mask>,
}

/// The role of a frame in its message.
#[derive(Clone, Copy)]
pub(super) enum FrameRole {
    /// The first frame of a data message. `None` for a reserved opcode.
    First(Option<Opcode>),
    /// A further frame of a data message.
    Continuation,
    /// A control frame. `None` for a reserved opcode.
    Control(Option<Opcode>),
}

/// The reserved bits of a frame that are set. Their meaning depends on the negotiated extensions.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ReservedBits {
    None,
    /// RSV1 only.
    Rsv1,
    /// Others, perhaps beside RSV1.
    Other,
}

impl Frame {
    /// Returns true if the payload of a control frame has a size that is allowed. Call it before the payload is read.
    pub(super) fn fits_control(&self) -> bool {
        self.left <= MAX_CONTROL_PAYLOAD_BYTES
    }

    /// Returns true if the payload is complete.
    pub(super) fn is_complete(&self) -> bool {
        self.left == 0
    }

    /// Removes the next piece of the payload from `bytes` and returns it without the mask; `None` if `bytes` has no more of it.
    ///
    /// A masked piece is unmasked into `scratch`.
    pub(super) fn read_payload<'p, 'b: 'p>(
        &mut self,
        bytes: &mut &'b [u8],
        scratch: &'p mut Vec<u8>,
    ) -> Option<&'p [u8]> {
        let max = usize::try_from(self.left).unwrap_or(usize::MAX);
        let max = if self.mask.is_some() { max.min(MAX_SCRATCH_BYTES) } else { max };
        let (piece, rest) = bytes.split_at_checked(max).unwrap_or((bytes, &[]));
        *bytes = rest;
        self.left = self.left.saturating_sub(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        let piece = match &mut self.mask {
            Some(mask) => mask.unmask(piece, scratch),
            None => piece,
        };
        (!piece.is_empty()).then_some(piece)
    }
}

/// Reads frame headers that may arrive in pieces.
#[derive(Default)]
pub(super) struct FrameHeaderReader {
    /// The first bytes of an incomplete header.
    partial: [u8; MAX_HEADER_BYTES],
    len: usize,
}

impl FrameHeaderReader {
    /// Removes the next frame header from `bytes`; removes all bytes and returns `None` if it is incomplete.
    pub(super) fn read(&mut self, bytes: &mut &[u8]) -> Result<Option<Frame>, Opaque> {
        let known = std::mem::take(&mut self.len);
        if known == 0
            && let Some((used, frame)) = parse(bytes)?
        {
            *bytes = bytes.get(used..).unwrap_or_default();
            return Ok(Some(frame));
        }
        let added = bytes.len().min(MAX_HEADER_BYTES.saturating_sub(known));
        let (more, rest) = bytes.split_at_checked(added).unwrap_or((bytes, &[]));
        if let Some(space) = self.partial.get_mut(known..known + added) {
            space.copy_from_slice(more);
        }
        match parse(self.partial.get(..known + added).unwrap_or_default())? {
            Some((used, frame)) => {
                *bytes = bytes.get(used.saturating_sub(known)..).unwrap_or_default();
                Ok(Some(frame))
            }
            None => {
                self.len = known + added;
                *bytes = rest;
                Ok(None)
            }
        }
    }
}

/// Parses the frame header at the start of `bytes`; returns its size and the frame.
fn parse(bytes: &[u8]) -> Result<Option<(usize, Frame)>, Opaque> {
    let &[first, second, ref rest @ ..] = bytes else {
        return Ok(None);
    };
    let length = match second & 0x7f {
        126 => rest.split_first_chunk().map(|(length, rest)| (u64::from(u16::from_be_bytes(*length)), rest)),
        127 => rest.split_first_chunk().map(|(length, rest)| (u64::from_be_bytes(*length), rest)),
        length => Some((u64::from(length), rest)),
    };
    let Some((left, rest)) = length else {
        return Ok(None);
    };
    if left > MAX_PAYLOAD_BYTES {
        return Err(Opaque::WebSocket);
    }
    let masked = match second & 0x80 {
        0 => Some((None, rest)),
        _ => rest.split_first_chunk().map(|(key, rest)| (Some(Mask::new(*key)), rest)),
    };
    let Some((mask, rest)) = masked else {
        return Ok(None);
    };
    let reserved = match first & 0x70 {
        0 => ReservedBits::None,
        0x40 => ReservedBits::Rsv1,
        _ => ReservedBits::Other,
    };
    let role = match first & 0x0f {
        0x0 => FrameRole::Continuation,
        0x1 => FrameRole::First(Some(Opcode::Text)),
        0x2 => FrameRole::First(Some(Opcode::Binary)),
        0x3..=0x7 => FrameRole::First(None),
        0x8 => FrameRole::Control(Some(Opcode::Close)),
        0x9 => FrameRole::Control(Some(Opcode::Ping)),
        0xa => FrameRole::Control(Some(Opcode::Pong)),
        _ => FrameRole::Control(None),
    };
    let used = bytes.len().saturating_sub(rest.len());
    Ok(Some((used, Frame { is_final: first & 0x80 != 0, reserved, role, left, mask })))
}

/// A masking key, rotated so that it begins with the byte for the next payload byte (RFC 6455 section 5.3).
struct Mask([u8; 4]);

impl Mask {
    fn new(key: [u8; 4]) -> Self {
        Self(key)
    }

    /// Unmasks `bytes` into `scratch`.
    fn unmask<'a>(&mut self, bytes: &[u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
        scratch.clear();
        scratch.extend_from_slice(bytes);
        let [a, b, c, d] = self.0;
        let key = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
        let (words, rest) = scratch.as_chunks_mut::<8>();
        for word in words {
            *word = (u64::from_ne_bytes(*word) ^ key).to_ne_bytes();
        }
        for (byte, key) in rest.iter_mut().zip(self.0.iter().cycle()) {
            *byte ^= key;
        }
        self.0.rotate_left(bytes.len() % 4);
        scratch
    }
}

/// The longest frame header: 2 bytes, 8 bytes of length, 4 bytes of masking key.
const MAX_HEADER_BYTES: usize = 14;

/// The longest payload of a control frame (RFC 6455 section 5.5).
const MAX_CONTROL_PAYLOAD_BYTES: u64 = 125;

/// The longest payload: the most significant bit of its length must be 0 (RFC 6455 section 5.2).
const MAX_PAYLOAD_BYTES: u64 = u64::MAX >> 1;

/// The largest number of bytes unmasked at once: fits into the L1 cache, and limits the memory of each WebSocket.
const MAX_SCRATCH_BYTES: usize = 16 * 1024;

#[cfg(test)]
pub(super) mod testing {
    /// Encodes a frame whose first byte is `first`.
    pub(in crate::wire::websocket) fn frame(first: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
        let bit = if mask.is_some() { 0x80 } else { 0 };
        let mut frame = vec![first];
        match payload.len() {
            len @ 0..=125 => frame.push(bit | len as u8),
            len @ 126..=0xffff => frame.extend([&[bit | 126][..], &(len as u16).to_be_bytes()].concat()),
            len => frame.extend([&[bit | 127][..], &(len as u64).to_be_bytes()].concat()),
        }
        mask.inspect(|key| frame.extend(key));
        match mask {
            Some(mask) => frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key)),
            None => frame.extend_from_slice(payload),
        }
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::super::WebSocketTap;
    use super::*;
    use crate::wire::headers::Headers;
    use crate::wire::tap::testing::{DialogueStep, events_in_any_pieces};
    use crate::wire::tap::{Dir, Ending, ExchangeId};
    use std::io::{self, Read, Write};
    use tungstenite::protocol::{CloseFrame, Message, Role};

    #[test]
    fn unmasks_in_pieces_of_any_size() {
        let key = [1, 2, 4, 8];
        let plain: Vec<u8> = (0..=255).cycle().take(3000).collect();
        let masked: Vec<u8> = plain.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        for size in 1..50 {
            let (mut mask, mut scratch, mut seen) = (Mask::new(key), Vec::new(), Vec::new());
            for piece in masked.chunks(size) {
                seen.extend_from_slice(mask.unmask(piece, &mut scratch));
            }
            assert_eq!(seen, plain, "in pieces of {size}");
        }
    }

    #[test]
    fn unmasks_a_large_frame_in_pieces() {
        let bytes = testing::frame(0x82, Some([9, 8, 7, 6]), &[b'x'; 100_000]);
        let mut rest = &bytes[..];
        let mut frame = FrameHeaderReader::default().read(&mut rest).unwrap().unwrap();
        let (mut scratch, mut seen) = (Vec::new(), 0);
        while let Some(piece) = frame.read_payload(&mut rest, &mut scratch) {
            assert!(piece.iter().all(|&byte| byte == b'x'));
            seen += piece.len();
        }
        assert!(frame.is_complete() && seen == 100_000 && scratch.capacity() <= MAX_SCRATCH_BYTES);
    }

    /// A stream that collects written bytes and never has any to read.
    #[derive(Default)]
    struct WriteOnly(Vec<u8>);

    impl Write for WriteOnly {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Read for WriteOnly {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::WouldBlock.into())
        }
    }

    #[test]
    fn reads_frames_of_tungstenite() {
        let sent = |role| {
            let mut peer = tungstenite::WebSocket::from_raw_socket(WriteOnly::default(), role, None);
            peer.send(Message::text("grüße")).unwrap();
            peer.send(Message::Ping("?".into())).unwrap();
            peer.send(Message::binary(vec![b'b'; 70_000])).unwrap();
            peer.close(Some(CloseFrame { code: 1000.into(), reason: "bye".into() })).unwrap();
            peer.get_ref().0.clone()
        };
        let (client, server) = (sent(Role::Client), sent(Role::Server));
        let seen = events_in_any_pieces(
            || WebSocketTap::new(ExchangeId(0), &Headers::default()),
            &[
                DialogueStep::Up(&client),
                DialogueStep::Down(&server),
                DialogueStep::End(Dir::Up, Ending::Clean),
                DialogueStep::End(Dir::Down, Ending::Clean),
            ],
        );
        let side = |arrow: &str| {
            let large = format!("| {}", "b".repeat(70_000));
            let lines = [
                "message Text",
                r"| gr\xc3\xbc\xc3\x9fe",
                "message ends Complete",
                "Ping ?",
                "message Binary",
                &large,
                "message ends Complete",
                r"Close \x03\xe8bye",
            ];
            lines.map(|line| format!("0{arrow} {line}")).to_vec()
        };
        assert_eq!(seen, [side(">"), side("<"), vec!["0 WebSocket ends Truncated(Abandoned)".to_owned()]].concat());
    }
}
