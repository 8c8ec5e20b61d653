//! Frames: one direction cut into heads and payloads, and payloads without their padding (RFC 9113 sections 4.1 and 6).
//!
//! ```text
//! length 3 │ type 1 │ flags 1 │ stream 4 │ [pad length 1] │ [priority 5] │ payload … │ [padding]
//! └────────────── Head ──────────────────┘                               └ Payload ┘           End
//! ```

use crate::wire::tap::Opaque;

/// Reads the frames of one direction, in pieces of any size.
pub(super) struct Frames {
    at: At,
    /// The largest frame that the reader announced it takes.
    most: u32,
}

/// A frame's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub kind: Kind,
    /// 0 is the connection.
    pub stream: u32,
    flags: u8,
    length: u32,
}

/// The frames that say something to an observer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Data,
    Headers,
    Reset,
    Settings,
    PushPromise,
    GoAway,
    Continuation,
    /// PRIORITY, PING, WINDOW_UPDATE, and what extensions add (section 5.5).
    Other,
}

/// What comes next in a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    Head,
    /// Never empty.
    Payload(&'a [u8]),
    End,
}

enum At {
    /// Bytes of a head so far.
    Head([u8; HEAD], usize),
    Lead(Head),
    Payload(Head, Lengths),
}

/// What a frame still has.
#[derive(Clone, Copy)]
struct Lengths {
    skipped: u32,
    payload: u32,
    padding: u32,
}

impl Frames {
    pub(super) fn new() -> Self {
        Self { at: At::Head([0; HEAD], 0), most: DEFAULT_MOST }
    }

    /// The reader takes frames of this size (section 6.5.2). It may not mean them to become smaller again before the writer
    /// knows: what was allowed once is let through.
    pub(super) fn allow(&mut self, size: u32) {
        self.most = self.most.max(size);
    }

    /// The next part that `bytes` hold, taken from them; `None` if there is none before more come.
    pub(super) fn read<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Option<(Head, Part<'a>)>, Opaque> {
        loop {
            match &mut self.at {
                At::Head(partial, len) => {
                    let (space, taken) = (partial.get_mut(*len..).unwrap_or_default(), *bytes);
                    let (taken, rest) = taken.split_at_checked(space.len()).unwrap_or((taken, &[]));
                    space.iter_mut().zip(taken).for_each(|(to, from)| *to = *from);
                    *len += taken.len();
                    *bytes = rest;
                    if *len < HEAD {
                        return Ok(None);
                    }
                    let head = Head::new(*partial);
                    head.check(self.most)?;
                    self.at = At::Lead(head);
                    return Ok(Some((head, Part::Head)));
                }
                At::Lead(head) => {
                    let head = *head;
                    let padding = match (head.is_padded(), bytes.split_first()) {
                        (false, _) => 0,
                        (true, Some((&padding, rest))) => {
                            *bytes = rest;
                            padding
                        }
                        (true, None) => return Ok(None),
                    };
                    self.at = At::Payload(head, head.lengths(padding)?);
                }
                At::Payload(head, left) => {
                    let head = *head;
                    take(&mut left.skipped, bytes);
                    if let Some(piece) = take(&mut left.payload, bytes) {
                        return Ok(Some((head, Part::Payload(piece))));
                    }
                    take(&mut left.padding, bytes);
                    if left.skipped > 0 || left.payload > 0 || left.padding > 0 {
                        return Ok(None);
                    }
                    self.at = At::Head([0; HEAD], 0);
                    return Ok(Some((head, Part::End)));
                }
            }
        }
    }
}

/// As much of `left` as `bytes` have.
fn take<'a>(left: &mut u32, bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let most = usize::try_from(*left).unwrap_or(usize::MAX);
    let (piece, rest) = bytes.split_at_checked(most).unwrap_or((bytes, &[]));
    *bytes = rest;
    *left = left.saturating_sub(u32::try_from(piece.len()).unwrap_or(u32::MAX));
    (!piece.is_empty()).then_some(piece)
}

impl Head {
    fn new(bytes: [u8; HEAD]) -> Self {
        let [a, b, c, kind, flags, s, t, u, v] = bytes;
        let kind = match kind {
            0x0 => Kind::Data,
            0x1 => Kind::Headers,
            0x3 => Kind::Reset,
            0x4 => Kind::Settings,
            0x5 => Kind::PushPromise,
            0x7 => Kind::GoAway,
            0x9 => Kind::Continuation,
            _ => Kind::Other,
        };
        // The highest bit of the stream is reserved and ignored.
        let stream = u32::from_be_bytes([s & 0x7f, t, u, v]);
        Self { kind, stream, flags, length: u32::from_be_bytes([0, a, b, c]) }
    }

    /// Whether it is the last of its stream in this direction.
    pub(super) fn ends_stream(self) -> bool {
        matches!(self.kind, Kind::Data | Kind::Headers) && self.flags & 0x1 != 0
    }

    /// Whether the block of fields is whole with it.
    pub(super) fn ends_block(self) -> bool {
        matches!(self.kind, Kind::Headers | Kind::PushPromise | Kind::Continuation) && self.flags & 0x4 != 0
    }

    /// Whether it acknowledges settings.
    pub(super) fn is_ack(self) -> bool {
        self.kind == Kind::Settings && self.flags & 0x1 != 0
    }

    fn is_padded(self) -> bool {
        matches!(self.kind, Kind::Data | Kind::Headers | Kind::PushPromise) && self.flags & 0x8 != 0
    }

    fn has_priority(self) -> bool {
        self.kind == Kind::Headers && self.flags & 0x20 != 0
    }

    /// What can be said of it before its payload comes: most of what is no HTTP/2 is found out here.
    fn check(self, most: u32) -> Result<(), Opaque> {
        let is_connections = matches!(self.kind, Kind::Settings | Kind::GoAway);
        let is_sound = match self.kind {
            _ if self.is_padded() && self.length == 0 => false,
            Kind::Reset => self.length == 4,
            Kind::Settings if self.is_ack() => self.length == 0,
            Kind::Settings => self.length.is_multiple_of(6),
            Kind::GoAway => self.length >= 8,
            _ => true,
        } && (self.kind == Kind::Other || is_connections == (self.stream == 0))
            // A body passes through, whatever the size of its pieces.
            && (self.kind == Kind::Data || self.length <= most);
        if is_sound { Ok(()) } else { Err(Opaque::Http2) }
    }

    /// What follows the pad length, if there is one.
    fn lengths(self, padding: u8) -> Result<Lengths, Opaque> {
        let padding = u32::from(padding);
        let skipped = if self.has_priority() { 5 } else { 0 };
        let payload = self.length.checked_sub(u32::from(self.is_padded()) + skipped + padding).ok_or(Opaque::Http2)?;
        Ok(Lengths { skipped, payload, padding })
    }
}

const HEAD: usize = 9;

/// What every end takes (section 6.5.2).
const DEFAULT_MOST: u32 = 1 << 14;

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(bytes: &[u8]) -> Result<Vec<String>, Opaque> {
        let (mut frames, mut rest, mut seen) = (Frames::new(), bytes, Vec::new());
        while let Some((head, part)) = frames.read(&mut rest)? {
            seen.push(match part {
                Part::Head => format!("{:?} {}", head.kind, head.stream),
                Part::Payload(bytes) => bytes.escape_ascii().to_string(),
                Part::End => "end".into(),
            });
        }
        assert!(rest.is_empty());
        Ok(seen)
    }

    #[test]
    fn padding_and_priority_are_left_out() {
        let seen =
            parts(b"\0\0\x05\0\x08\x80\0\0\x03\x02ab\0\0\0\0\x0a\x01\x28\0\0\0\x01\x03\0\0\0\0\0x\0\0\0").unwrap();
        assert_eq!(seen, ["Data 3", "ab", "end", "Headers 1", "x", "end"]);
        assert_eq!(parts(b"\0\0\x03\0\x08\0\0\0\x03\x02\0\0").unwrap(), ["Data 3", "end"]);
        assert_eq!(parts(b"\0\0\0\0\0\0\0\0\x03").unwrap(), ["Data 3", "end"]);
    }

    #[test]
    fn more_padding_than_frame() {
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
    fn heads_that_make_no_sense() {
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
        // Data of any size, and frames of no known type anywhere.
        assert_eq!(parts(b"\xff\xff\xff\0\0\0\0\0\x01a").unwrap(), ["Data 1", "a"]);
        assert_eq!(parts(b"\0\0\0\xbb\xff\0\0\0\0").unwrap(), ["Other 0", "end"]);
    }
}
