//! Splits one direction into frame headers and payloads, and removes padding (RFC 9113 sections 4.1 and 6).
//!
//! ```text
//! length 3 │ type 1 │ flags 1 │ stream 4 │ [pad length 1] │ [priority 5] │ payload … │ [padding]
//! └──────────── Header ──────────────────┘                               └ Payload ┘           End
//! ```

use crate::wire::tap::Opaque;

/// Reads the frames of one direction, in pieces of any size.
pub(super) struct FrameReader {
    state: FrameState,
    /// The largest frame that the receiver accepts (SETTINGS_MAX_FRAME_SIZE).
    max_size: u32,
}

/// A frame header (RFC 9113 section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub frame_type: FrameType,
    /// The stream id; 0 is the connection.
    pub stream: u32,
    flags: u8,
    length: u32,
}

/// The frame types that are relevant for a tap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameType {
    Data,
    Headers,
    Reset,
    Settings,
    PushPromise,
    GoAway,
    Continuation,
    /// PRIORITY, PING, WINDOW_UPDATE, and extension frames (section 5.5).
    Other,
}

/// The next part of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FramePart<'a> {
    Header,
    /// A piece of the payload, never empty.
    Payload(&'a [u8]),
    End,
}

enum FrameState {
    /// In the frame header: its bytes, and how many have arrived.
    Header([u8; HEADER_BYTES], usize),
    /// Before the pad length, if there is one.
    PadLength(FrameHeader),
    /// In the payload, after the pad length.
    Payload(FrameHeader, RemainingBytes),
}

/// The bytes left of each part of a frame.
#[derive(Clone, Copy)]
struct RemainingBytes {
    priority: u32,
    payload: u32,
    padding: u32,
}

impl FrameReader {
    pub(super) fn new() -> Self {
        Self { state: FrameState::Header([0; HEADER_BYTES], 0), max_size: DEFAULT_MAX_FRAME_BYTES }
    }

    /// Sets the largest frame that the receiver accepts (section 6.5.2).
    ///
    /// A smaller value than before has no effect: until the sender acknowledges it, larger frames may still arrive.
    pub(super) fn set_max_size(&mut self, size: u32) {
        self.max_size = self.max_size.max(size);
    }

    /// Removes the next part from the start of `bytes` and returns it; `None` if more bytes are needed.
    pub(super) fn read<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Option<(FrameHeader, FramePart<'a>)>, Opaque> {
        loop {
            match &mut self.state {
                FrameState::Header(partial, len) => {
                    let (space, taken) = (partial.get_mut(*len..).unwrap_or_default(), *bytes);
                    let (taken, rest) = taken.split_at_checked(space.len()).unwrap_or((taken, &[]));
                    space.iter_mut().zip(taken).for_each(|(to, from)| *to = *from);
                    *len += taken.len();
                    *bytes = rest;
                    if *len < HEADER_BYTES {
                        return Ok(None);
                    }
                    let frame = FrameHeader::parse(*partial);
                    frame.check(self.max_size)?;
                    self.state = FrameState::PadLength(frame);
                    return Ok(Some((frame, FramePart::Header)));
                }
                FrameState::PadLength(frame) => {
                    let frame = *frame;
                    let padding = match (frame.is_padded(), bytes.split_first()) {
                        (false, _) => 0,
                        (true, Some((&padding, rest))) => {
                            *bytes = rest;
                            padding
                        }
                        (true, None) => return Ok(None),
                    };
                    self.state = FrameState::Payload(frame, frame.remaining_bytes(padding)?);
                }
                FrameState::Payload(frame, left) => {
                    let frame = *frame;
                    take(&mut left.priority, bytes);
                    if let Some(piece) = take(&mut left.payload, bytes) {
                        return Ok(Some((frame, FramePart::Payload(piece))));
                    }
                    take(&mut left.padding, bytes);
                    if left.priority > 0 || left.payload > 0 || left.padding > 0 {
                        return Ok(None);
                    }
                    self.state = FrameState::Header([0; HEADER_BYTES], 0);
                    return Ok(Some((frame, FramePart::End)));
                }
            }
        }
    }
}

/// Removes up to `left` bytes from the start of `bytes` and returns them; `None` if there are none.
fn take<'a>(left: &mut u32, bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let max = usize::try_from(*left).unwrap_or(usize::MAX);
    let (piece, rest) = bytes.split_at_checked(max).unwrap_or((bytes, &[]));
    *bytes = rest;
    *left = left.saturating_sub(u32::try_from(piece.len()).unwrap_or(u32::MAX));
    (!piece.is_empty()).then_some(piece)
}

impl FrameHeader {
    fn parse(bytes: [u8; HEADER_BYTES]) -> Self {
        let [a, b, c, frame_type, flags, s, t, u, v] = bytes;
        let frame_type = match frame_type {
            0x0 => FrameType::Data,
            0x1 => FrameType::Headers,
            0x3 => FrameType::Reset,
            0x4 => FrameType::Settings,
            0x5 => FrameType::PushPromise,
            0x7 => FrameType::GoAway,
            0x9 => FrameType::Continuation,
            _ => FrameType::Other,
        };
        // The highest bit of the stream id is reserved and ignored.
        let stream = u32::from_be_bytes([s & 0x7f, t, u, v]);
        Self { frame_type, stream, flags, length: u32::from_be_bytes([0, a, b, c]) }
    }

    /// Returns true if the frame is the last one of its stream in this direction (END_STREAM).
    pub(super) fn ends_stream(self) -> bool {
        matches!(self.frame_type, FrameType::Data | FrameType::Headers) && self.flags & 0x1 != 0
    }

    /// Returns true if the frame completes a field block (END_HEADERS).
    pub(super) fn ends_block(self) -> bool {
        matches!(self.frame_type, FrameType::Headers | FrameType::PushPromise | FrameType::Continuation)
            && self.flags & 0x4 != 0
    }

    /// Returns true if the frame acknowledges settings.
    pub(super) fn is_ack(self) -> bool {
        self.frame_type == FrameType::Settings && self.flags & 0x1 != 0
    }

    fn is_padded(self) -> bool {
        matches!(self.frame_type, FrameType::Data | FrameType::Headers | FrameType::PushPromise)
            && self.flags & 0x8 != 0
    }

    fn has_priority(self) -> bool {
        self.frame_type == FrameType::Headers && self.flags & 0x20 != 0
    }

    /// Checks the frame before its payload arrives. This detects most connections that do not use HTTP/2.
    fn check(self, max_size: u32) -> Result<(), Opaque> {
        let is_connection_frame = matches!(self.frame_type, FrameType::Settings | FrameType::GoAway);
        let is_valid = match self.frame_type {
            _ if self.is_padded() && self.length == 0 => false,
            FrameType::Reset => self.length == 4,
            FrameType::Settings if self.is_ack() => self.length == 0,
            FrameType::Settings => self.length.is_multiple_of(6),
            FrameType::GoAway => self.length >= 8,
            _ => true,
        } && (self.frame_type == FrameType::Other || is_connection_frame == (self.stream == 0))
            // DATA may have any size, because it is not buffered.
            && (self.frame_type == FrameType::Data || self.length <= max_size);
        if is_valid { Ok(()) } else { Err(Opaque::Http2) }
    }

    /// Returns the sizes of the parts after the pad length.
    fn remaining_bytes(self, padding: u8) -> Result<RemainingBytes, Opaque> {
        let padding = u32::from(padding);
        let priority = if self.has_priority() { 5 } else { 0 };
        let payload = self.length.checked_sub(u32::from(self.is_padded()) + priority + padding).ok_or(Opaque::Http2)?;
        Ok(RemainingBytes { priority, payload, padding })
    }
}

/// The size of a frame header (section 4.1).
const HEADER_BYTES: usize = 9;

/// The initial value of SETTINGS_MAX_FRAME_SIZE (section 6.5.2).
const DEFAULT_MAX_FRAME_BYTES: u32 = 1 << 14;

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(bytes: &[u8]) -> Result<Vec<String>, Opaque> {
        let (mut frames, mut rest, mut seen) = (FrameReader::new(), bytes, Vec::new());
        while let Some((frame, part)) = frames.read(&mut rest)? {
            seen.push(match part {
                FramePart::Header => format!("{:?} {}", frame.frame_type, frame.stream),
                FramePart::Payload(bytes) => bytes.escape_ascii().to_string(),
                FramePart::End => "end".into(),
            });
        }
        assert!(rest.is_empty());
        Ok(seen)
    }

    #[test]
    fn removes_padding_and_priority() {
        let seen =
            parts(b"\0\0\x05\0\x08\x80\0\0\x03\x02ab\0\0\0\0\x0a\x01\x28\0\0\0\x01\x03\0\0\0\0\0x\0\0\0").unwrap();
        assert_eq!(seen, ["Data 3", "ab", "end", "Headers 1", "x", "end"]);
        assert_eq!(parts(b"\0\0\x03\0\x08\0\0\0\x03\x02\0\0").unwrap(), ["Data 3", "end"]);
        assert_eq!(parts(b"\0\0\0\0\0\0\0\0\x03").unwrap(), ["Data 3", "end"]);
    }

    #[test]
    fn rejects_padding_longer_than_the_frame() {
        for bytes in [
            &b"\0\0\x03\0\x08\0\0\0\x03\x03\0\0"[..],
            b"\0\0\0\0\x08\0\0\0\x03\0",
            b"\0\0\x04\x01\x20\0\0\0\x03\0\0\0\0",
            b"\0\0\x06\x01\x28\0\0\0\x03\x01",
        ] {
            assert_eq!(parts(bytes), Err(Opaque::Http2));
        }
    }

    #[test]
    fn rejects_invalid_frame_headers() {
        for bytes in [
            b"\0\x40\x01\x01\0\0\0\0\x01",
            b"HTTP/1.1 ",
            b"\0\0\x03\x03\0\0\0\0\x01",
            b"\0\0\x05\x04\0\0\0\0\0",
            b"\0\0\x06\x04\x01\0\0\0\0",
            b"\0\0\x06\x04\0\0\0\0\x01",
            b"\0\0\x07\x07\0\0\0\0\0",
            b"\0\0\0\0\0\0\0\0\0",
            b"\0\0\0\x01\0\0\0\0\0",
        ] {
            assert_eq!(parts(bytes), Err(Opaque::Http2), "{}", bytes.escape_ascii());
        }
        // DATA may have any size, and frames of unknown types may have any stream id.
        assert_eq!(parts(b"\xff\xff\xff\0\0\0\0\0\x01a").unwrap(), ["Data 1", "a"]);
        assert_eq!(parts(b"\0\0\0\xbb\xff\0\0\0\0").unwrap(), ["Other 0", "end"]);
    }
}
