//! Reads a body according to its framing (RFC 9112 section 6).
//!
//! ```text
//! Framing ──▶ Http1BodyReader ──▶ BodyPiece::Data, BodyPiece::Data, … BodyPiece::End
//! ```
//!
//! The tap and the code that forwards plain requests use the same reader. They cannot disagree about the end of a message.

use super::chunked::{BodyPiece, Chunked};
use super::framing::Framing;
use crate::wire::headers::Headers;
use crate::wire::tap::{Ending, Finish, Opaque};

/// Reads one body in pieces.
#[derive(Debug)]
pub(crate) struct Http1BodyReader(BodyState);

#[derive(Debug)]
enum BodyState {
    /// Number of bytes up to the end.
    Length(u64),
    Chunked(Chunked),
    UntilClose,
    /// Read up to the close, but it may have ended before.
    Unknown,
}

impl Http1BodyReader {
    /// Creates a reader for a body with this framing.
    pub(crate) fn new(framing: Framing) -> Self {
        Self(match framing {
            Framing::Empty => BodyState::Length(0),
            Framing::Length(length) => BodyState::Length(length),
            Framing::Chunked => BodyState::Chunked(Chunked::new()),
            Framing::UntilClose => BodyState::UntilClose,
            Framing::Unknown => BodyState::Unknown,
        })
    }

    /// Returns the next piece, and how many bytes of `input` it takes together with the framing before it.
    ///
    /// Returns `None` if all of `input` is used and more is needed. A body may end without another byte, so call this with
    /// the remaining input, even if it is empty, until it returns `None` or [`BodyPiece::End`].
    pub(crate) fn read<'a>(&mut self, input: &'a [u8]) -> Result<Option<(usize, BodyPiece<'a>)>, Opaque> {
        match &mut self.0 {
            BodyState::Length(0) => Ok(Some((0, BodyPiece::End(Headers::default())))),
            _ if input.is_empty() => Ok(None),
            BodyState::Length(left) => {
                let data = input.get(..usize::try_from(*left).unwrap_or(usize::MAX)).unwrap_or(input);
                *left = left.saturating_sub(data.len() as u64);
                Ok(Some((data.len(), BodyPiece::Data(data))))
            }
            BodyState::Chunked(chunked) => chunked.read(input),
            BodyState::UntilClose | BodyState::Unknown => Ok(Some((input.len(), BodyPiece::Data(input)))),
        }
    }

    /// Reads `input` and returns how many bytes of it belong to the body, including framing and trailers. All do unless the
    /// body ends in `input`.
    pub(crate) fn skip(&mut self, input: &[u8]) -> Result<usize, Opaque> {
        let mut rest = input;
        while let Some((used, piece)) = self.read(rest)? {
            rest = rest.get(used..).unwrap_or_default();
            if matches!(piece, BodyPiece::End(_)) {
                return Ok(input.len().saturating_sub(rest.len()));
            }
        }
        Ok(input.len())
    }

    /// Returns the number of bytes allocated.
    pub(super) fn memory_bytes(&self) -> usize {
        match &self.0 {
            BodyState::Chunked(chunked) => chunked.memory_bytes(),
            BodyState::Length(_) | BodyState::UntilClose | BodyState::Unknown => 0,
        }
    }

    /// Returns true if the whole body was read.
    pub(crate) fn is_done(&self) -> bool {
        match &self.0 {
            BodyState::Length(left) => *left == 0,
            BodyState::Chunked(chunked) => chunked.is_done(),
            BodyState::UntilClose | BodyState::Unknown => false,
        }
    }

    /// Returns true if the body may have ended although its direction has not.
    pub(crate) fn is_end_unknown(&self) -> bool {
        matches!(self.0, BodyState::Unknown)
    }

    /// Returns how the body ends if its direction ends now.
    pub(crate) fn finish(&self, how: Ending) -> Finish {
        match self.0 {
            BodyState::UntilClose | BodyState::Unknown if how == Ending::Clean => Finish::Complete,
            _ if self.is_done() => Finish::Complete,
            _ => Finish::Truncated(how),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn counts_the_bytes_of_a_body() {
        let skip = |framing, input: &[u8]| {
            let mut body = Http1BodyReader::new(framing);
            (body.skip(input), body.is_done())
        };
        assert_eq!(skip(Framing::Empty, b"GET"), (Ok(0), true));
        assert_eq!(skip(Framing::Length(0), b""), (Ok(0), true));
        assert_eq!(skip(Framing::Length(3), b"ab"), (Ok(2), false));
        assert_eq!(skip(Framing::Length(3), b"abcGET"), (Ok(3), true));
        assert_eq!(skip(Framing::Chunked, b"1\r\na\r\n0\r\n\r\nGET"), (Ok(11), true));
        assert_eq!(skip(Framing::Chunked, b"1\r\na\r\n0\r\n"), (Ok(9), false));
        assert_eq!(skip(Framing::Chunked, b"x"), (Err(Opaque::Framing), false));
        assert_eq!(skip(Framing::UntilClose, b"abc"), (Ok(3), false));
    }

    #[test]
    fn distinguishes_complete_and_truncated_bodies() {
        assert_eq!(Http1BodyReader::new(Framing::UntilClose).finish(Ending::Clean), Finish::Complete);
        assert_eq!(
            Http1BodyReader::new(Framing::UntilClose).finish(Ending::Truncated),
            Finish::Truncated(Ending::Truncated)
        );
        assert_eq!(Http1BodyReader::new(Framing::Length(1)).finish(Ending::Clean), Finish::Truncated(Ending::Clean));
        assert_eq!(Http1BodyReader::new(Framing::Empty).finish(Ending::Reset), Finish::Complete);
    }
}
