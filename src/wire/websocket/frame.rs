//! Frames: their heads, and their payloads without the mask (RFC 6455 section 5.2).
//!
//! ```text
//! FIN RSV1-3 opcode | MASK length | more length (0, 2 or 8) | masking key (0 or 4) | payload …
//! ```

use crate::wire::tap::{Opaque, Opcode};
use std::io::Cursor;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// A frame of which the head is whole.
pub(super) struct Frame {
    /// The last one of its message.
    pub is_final: bool,
    /// The first reserved bit; the others are never set.
    pub rsv1: bool,
    pub kind: Kind,
    /// How much of the payload is to come.
    left: u64,
    mask: Option<Mask>,
}

#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// The first frame of a data message.
    Begin(Opcode),
    /// A further frame of it.
    Continue,
    /// A message of its own, final and short.
    Control(Opcode),
}

impl Frame {
    pub(super) fn is_over(&self) -> bool {
        self.left == 0
    }

    /// The next piece of the payload, never empty, taken from `bytes` and unmasked into `scratch` if it is masked.
    /// `None` if no more is in `bytes`.
    pub(super) fn piece<'p, 'b: 'p>(&mut self, bytes: &mut &'b [u8], scratch: &'p mut Vec<u8>) -> Option<&'p [u8]> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let most = if self.mask.is_some() { most.min(SCRATCH) } else { most };
        let (piece, rest) = bytes.split_at_checked(most).unwrap_or((bytes, &[]));
        *bytes = rest;
        self.left = self.left.saturating_sub(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        let piece = match &mut self.mask {
            Some(mask) => mask.remove(piece, scratch),
            None => piece,
        };
        (!piece.is_empty()).then_some(piece)
    }
}

/// Reads the heads of frames that may come in several pieces.
#[derive(Default)]
pub(super) struct Heads {
    /// The first bytes of a head that is not whole.
    partial: [u8; MAX_HEAD],
    len: usize,
}

impl Heads {
    /// Takes the next head from `bytes`; takes them all if it is not whole.
    pub(super) fn read(&mut self, bytes: &mut &[u8]) -> Result<Option<Frame>, Opaque> {
        let known = std::mem::take(&mut self.len);
        if known == 0
            && let Some((used, frame)) = parse(bytes)?
        {
            *bytes = bytes.get(used..).unwrap_or_default();
            return Ok(Some(frame));
        }
        let added = bytes.len().min(MAX_HEAD.saturating_sub(known));
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

/// The frame whose head `bytes` begin with.
fn parse(bytes: &[u8]) -> Result<Option<(usize, Frame)>, Opaque> {
    let mut cursor = Cursor::new(bytes);
    let Some((head, length)) = FrameHeader::parse(&mut cursor).map_err(|_| Opaque::WebSocket)? else {
        return Ok(None);
    };
    let kind = match head.opcode {
        OpCode::Data(Data::Continue) => Kind::Continue,
        OpCode::Data(Data::Text) => Kind::Begin(Opcode::Text),
        OpCode::Data(Data::Binary) => Kind::Begin(Opcode::Binary),
        OpCode::Control(Control::Ping) => Kind::Control(Opcode::Ping),
        OpCode::Control(Control::Pong) => Kind::Control(Opcode::Pong),
        OpCode::Control(Control::Close) => Kind::Control(Opcode::Close),
        OpCode::Data(Data::Reserved(_)) | OpCode::Control(Control::Reserved(_)) => return Err(Opaque::WebSocket),
    };
    let control_fits = !matches!(kind, Kind::Control(_)) || (head.is_final && length <= MAX_CONTROL);
    if head.rsv2 || head.rsv3 || length > MAX_LENGTH || !control_fits {
        return Err(Opaque::WebSocket);
    }
    let used = usize::try_from(cursor.position()).unwrap_or(bytes.len());
    let mask = head.mask.map(Mask::new);
    Ok(Some((used, Frame { is_final: head.is_final, rsv1: head.rsv1, kind, left: length, mask })))
}

/// A masking key, turned so that it begins with the byte that is due (RFC 6455 section 5.3).
struct Mask([u8; 4]);

impl Mask {
    fn new(key: [u8; 4]) -> Self {
        Self(key)
    }

    /// `bytes` without the mask, in `scratch`.
    fn remove<'a>(&mut self, bytes: &[u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
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

/// The longest head: 2 bytes, 8 of length, 4 of masking key.
const MAX_HEAD: usize = 14;

/// The longest payload of a control frame (RFC 6455 section 5.5).
const MAX_CONTROL: u64 = 125;

/// The most significant bit of a length must be 0 (RFC 6455 section 5.2).
const MAX_LENGTH: u64 = u64::MAX >> 1;

/// Unmasked at once: as much as the fastest cache holds, and no more memory than a socket is worth.
const SCRATCH: usize = 16 * 1024;

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// A frame of which `first` is the first byte.
    pub(in crate::wire::websocket) fn frame(first: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        FrameHeader { mask, ..FrameHeader::default() }.format(payload.len() as u64, &mut frame).unwrap();
        frame[0] = first;
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
    use crate::wire::message::Headers;
    use crate::wire::tap::testing::{DialogueStep, seen_however_cut};
    use crate::wire::tap::{Dir, Ending, ExchangeId};
    use std::io::{self, Read, Write};
    use tungstenite::protocol::{CloseFrame, Message, Role};

    #[test]
    fn a_mask_goes_on_across_pieces_of_any_size() {
        let key = [1, 2, 4, 8];
        let plain: Vec<u8> = (0..=255).cycle().take(3000).collect();
        let masked: Vec<u8> = plain.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        for size in 1..50 {
            let (mut mask, mut scratch, mut seen) = (Mask::new(key), Vec::new(), Vec::new());
            for piece in masked.chunks(size) {
                seen.extend_from_slice(mask.remove(piece, &mut scratch));
            }
            assert_eq!(seen, plain, "in pieces of {size}");
        }
    }

    #[test]
    fn a_large_masked_frame_is_unmasked_in_pieces() {
        let bytes = testing::frame(0x82, Some([9, 8, 7, 6]), &[b'x'; 100_000]);
        let mut rest = &bytes[..];
        let mut frame = Heads::default().read(&mut rest).unwrap().unwrap();
        let (mut scratch, mut seen) = (Vec::new(), 0);
        while let Some(piece) = frame.piece(&mut rest, &mut scratch) {
            assert!(piece.iter().all(|&byte| byte == b'x'));
            seen += piece.len();
        }
        assert!(frame.is_over() && seen == 100_000 && scratch.capacity() <= SCRATCH);
    }

    /// The end of a connection that only sends.
    #[derive(Default)]
    struct Wire(Vec<u8>);

    impl Write for Wire {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Read for Wire {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::WouldBlock.into())
        }
    }

    #[test]
    fn what_a_real_peer_sends() {
        let sent = |role| {
            let mut peer = tungstenite::WebSocket::from_raw_socket(Wire::default(), role, None);
            peer.send(Message::text("grüße")).unwrap();
            peer.send(Message::Ping("?".into())).unwrap();
            peer.send(Message::binary(vec![b'b'; 70_000])).unwrap();
            peer.close(Some(CloseFrame { code: 1000.into(), reason: "bye".into() })).unwrap();
            peer.get_ref().0.clone()
        };
        let (client, server) = (sent(Role::Client), sent(Role::Server));
        let seen = seen_however_cut(
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
        assert_eq!(seen, [side(">"), side("<"), vec!["0 socket ends".to_owned()]].concat());
    }
}
