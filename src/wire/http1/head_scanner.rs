//! Finds the end of a message's head, or of a trailer section (RFC 9112 section 2.2).
//!
//! ```text
//! bytes ──▶ HeadScanner: position of the empty line       resumes where the last call stopped
//!    └────▶ HeadReader:  the bytes of the whole head      copies only a head that arrives in pieces
//! ```
//!
//! The end is searched before anything is parsed. Each byte is then searched once, even if a head arrives byte by byte, and
//! the result does not depend on how the bytes are split.

use crate::wire::headers::is_tchar;
use crate::wire::tap::{Dir, Opaque};
use std::borrow::Cow;

/// Returns the number of bytes in the empty lines at the start. A recipient skips them before a message (RFC 9112 section
/// 2.2).
pub(crate) fn leading_empty_lines(bytes: &[u8]) -> usize {
    bytes.iter().position(|b| !matches!(b, b'\r' | b'\n')).unwrap_or(bytes.len())
}

/// Fails if `bytes`, which begin at offset `at` of a message, cannot belong to its head.
///
/// This rejects other protocols at their first byte, instead of collecting bytes up to [`MAX_HEAD_BYTES`].
pub(crate) fn check_start(dir: Dir, at: usize, bytes: &[u8]) -> Result<(), Opaque> {
    let is_possible = match dir {
        // A method is a token (RFC 9110 section 9.1).
        Dir::Up => at > 0 || bytes.first().is_none_or(is_tchar),
        Dir::Down => STATUS_LINE_PREFIX.iter().skip(at).zip(bytes).all(|(expected, byte)| expected == byte),
    };
    match (is_possible, dir) {
        (true, _) => Ok(()),
        (false, Dir::Up) => Err(Opaque::Request),
        (false, Dir::Down) => Err(Opaque::Response),
    }
}

/// Returns true if `bytes` begin an HTTP/1 response; `None` if more bytes are needed.
pub(crate) fn starts_with_response(bytes: &[u8]) -> Option<bool> {
    let is_possible = check_start(Dir::Down, 0, bytes).is_ok();
    if is_possible && bytes.len() < STATUS_LINE_PREFIX.len() { None } else { Some(is_possible) }
}

/// Finds the empty line that ends a head: CRLF CRLF, LF LF, or one of each (RFC 9112 section 2.2).
#[derive(Debug)]
pub(crate) struct HeadScanner {
    /// Number of bytes searched so far; the end is not among them.
    searched: usize,
    line: LineContent,
}

/// The content of the current line up to the scanner's position.
#[derive(Clone, Copy, Debug)]
enum LineContent {
    /// Empty, and so were all lines before it: an empty line does not end the head yet.
    Leading,
    /// Empty: if the line ends here, so does the head.
    Empty,
    /// A single CR.
    Cr,
    /// Any other bytes.
    Text,
}

impl HeadScanner {
    /// Creates a scanner for the head of a request or a response.
    pub(crate) fn for_message() -> Self {
        Self { searched: 0, line: LineContent::Leading }
    }

    /// Creates a scanner for a trailer section, which may be empty.
    pub(crate) fn for_trailers() -> Self {
        Self { searched: 0, line: LineContent::Empty }
    }

    /// Returns how many bytes of `next` belong to the head, or `None` if all of them do and the head continues.
    ///
    /// `next` follows the bytes of the last call. Returns [`Opaque::LimitExceeded`] as soon as the head cannot end within
    /// [`MAX_HEAD_BYTES`].
    pub(crate) fn find(&mut self, next: &[u8]) -> Result<Option<usize>, Opaque> {
        let allowed = MAX_HEAD_BYTES.saturating_sub(self.searched);
        let mut at = 0;
        while let Some(&byte) = next.get(at).filter(|_| at < allowed) {
            at = at.saturating_add(1);
            self.line = match (self.line, byte) {
                (LineContent::Leading, b'\r' | b'\n') => LineContent::Leading,
                (LineContent::Empty | LineContent::Cr, b'\n') => return Ok(Some(at)),
                (_, b'\n') => LineContent::Empty,
                (LineContent::Empty, b'\r') => LineContent::Cr,
                _ => {
                    // Skip to the end of the line: its other bytes do not matter.
                    let rest = next.get(at..).unwrap_or_default();
                    at = at.saturating_add(rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len()));
                    LineContent::Text
                }
            };
        }
        if next.len() >= allowed {
            return Err(Opaque::LimitExceeded);
        }
        self.searched = self.searched.saturating_add(next.len());
        Ok(None)
    }
}

/// The number of input bytes that belong to a head, and the bytes of the whole head. They are borrowed from the input if
/// it holds all of them.
pub(crate) type WholeHead<'a> = (usize, Cow<'a, [u8]>);

/// Collects one head that may arrive in pieces. A head that arrives whole is not copied.
#[derive(Debug)]
pub(crate) struct HeadReader {
    scanner: HeadScanner,
    /// The bytes received so far. They do not contain the end, so they are shorter than [`MAX_HEAD_BYTES`].
    bytes: Vec<u8>,
}

impl HeadReader {
    /// Creates a reader for the head of a request or a response.
    pub(crate) fn for_message() -> Self {
        Self { scanner: HeadScanner::for_message(), bytes: Vec::new() }
    }

    /// Creates a reader for a trailer section.
    pub(crate) fn for_trailers() -> Self {
        Self { scanner: HeadScanner::for_trailers(), bytes: Vec::new() }
    }

    /// Returns the number of bytes held of an incomplete head.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Returns the number of bytes allocated.
    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Returns the whole head and how many bytes of `input` belong to it, or `None` if all do and the head continues.
    pub(crate) fn read<'a>(&mut self, input: &'a [u8]) -> Result<Option<WholeHead<'a>>, Opaque> {
        let Some(used) = self.scanner.find(input)? else {
            self.bytes.extend_from_slice(input);
            return Ok(None);
        };
        let last = input.get(..used).unwrap_or_default();
        if self.bytes.is_empty() {
            return Ok(Some((used, Cow::Borrowed(last))));
        }
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.extend_from_slice(last);
        Ok(Some((used, Cow::Owned(bytes))))
    }

    /// Returns the bytes of an incomplete head: those received so far and `next`, up to [`MAX_HEAD_BYTES`].
    pub(crate) fn take_incomplete(&mut self, next: &[u8]) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.bytes);
        let allowed = MAX_HEAD_BYTES.saturating_sub(bytes.len());
        bytes.extend_from_slice(next.get(..allowed).unwrap_or(next));
        bytes
    }
}

/// The longest head that is read, including its empty line. Limits of servers: Node 16 KiB, nginx 32 KiB; of clients, for
/// responses: Chromium 256 KiB, curl 300 KiB. What a client sends has no limit; curl's tests send 900 KiB.
pub(crate) const MAX_HEAD_BYTES: usize = 1024 * 1024;

/// The longest method that is recognized where bytes may be something else than a request. The longest registered method,
/// `UPDATEREDIRECTREF`, has 17 characters.
pub(crate) const MAX_METHOD_BYTES: usize = 32;

/// The first bytes of every HTTP/1 response.
const STATUS_LINE_PREFIX: &[u8] = b"HTTP/1.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http1::head::parse_request;

    #[test]
    fn finds_the_end_in_every_spelling() {
        for (head, rest) in [
            ("A\r\nb\r\n\r\n", "\r\n"),
            ("A\nb\n\n", "\n"),
            ("A\r\nb\n\r\n", "x"),
            ("A\r\n\n", "x"),
            ("A\r\n\r\r\n\r\n", ""),
            ("\r\n\r\nA\n\r\n", "\r\n"),
        ] {
            let all = [head, rest].concat();
            assert_eq!(HeadScanner::for_message().find(all.as_bytes()), Ok(Some(head.len())), "{all:?}");
            let (mut scanner, mut used) = (HeadScanner::for_message(), 0);
            while scanner.find(&all.as_bytes()[used..=used]) == Ok(None) {
                used += 1;
            }
            assert_eq!(used + 1, head.len(), "{all:?} byte by byte");
        }
        assert_eq!(HeadScanner::for_trailers().find(b"\r\nGET"), Ok(Some(2)));
    }

    #[test]
    fn accepts_a_head_of_exactly_the_limit() {
        let head = |len: usize| format!("GET / HTTP/1.1\r\na: {}\r\n\r\n", "x".repeat(len - 23));
        let (used, _) = parse_request(head(MAX_HEAD_BYTES).as_bytes()).unwrap().unwrap();
        assert_eq!(used, MAX_HEAD_BYTES);
        assert_eq!(parse_request(head(MAX_HEAD_BYTES + 1).as_bytes()), Err(Opaque::LimitExceeded));
        let unfinished = head(MAX_HEAD_BYTES);
        assert_eq!(parse_request(&unfinished.as_bytes()[..MAX_HEAD_BYTES - 1]), Ok(None));
        let mut reader = HeadReader::for_message();
        for byte in unfinished.as_bytes()[..MAX_HEAD_BYTES - 1].chunks(1) {
            assert_eq!(reader.read(byte), Ok(None));
        }
        assert_eq!(reader.read(b"x"), Err(Opaque::LimitExceeded));
    }
}
