//! The chunked transfer coding (RFC 9112 section 7.1), read without copying a byte of the body.
//!
//! ```text
//!     ┌───────────────────────────────────────────────────────┐
//!     ▼                                                       │
//!   size ─▶ blanks ─▶ extension ─▶ LF ─▶ data ─▶ CR ─▶ LF ────┘
//!                                   └─ size 0 ─▶ trailers ─▶ done
//! ```
//!
//! A bare LF ends a line as CRLF does; a bare CR ends nothing and is an error, since others may think it does.

use super::body::Piece;
use super::head::{self, HeadReader};
use crate::wire::message::Headers;
use crate::wire::tap::Opaque;

/// Reads one chunked body.
#[derive(Debug)]
pub(crate) struct Chunked {
    state: State,
    /// How long the line with the chunk's size is so far.
    line: usize,
}

#[derive(Debug)]
enum State {
    /// Before or in the hexadecimal digits of a size; `None` before the first.
    Size(Option<u64>),
    /// In blanks after the digits.
    Blanks(u64),
    /// In the extension: up to the end of the line, whatever it is (section 7.1.1).
    Extension(u64),
    /// After the CR that ends the line with the size.
    SizeLf(u64),
    /// In the data, so many bytes before its end.
    Data(u64),
    /// At the end of the data: before CRLF.
    DataCr,
    /// At the end of the data: between CR and LF.
    DataLf,
    /// After the last chunk.
    Trailers(HeadReader),
    Done,
}

impl Chunked {
    pub(crate) fn new() -> Self {
        Self { state: State::Size(None), line: 0 }
    }

    /// The next piece, and how many bytes of `input` it and the framing before it take; `None` if all of `input` is
    /// taken and more is needed.
    pub(crate) fn read<'a>(&mut self, input: &'a [u8]) -> Result<Option<(usize, Piece<'a>)>, Opaque> {
        let mut rest = input;
        loop {
            let used = input.len().saturating_sub(rest.len());
            match &mut self.state {
                State::Data(left) if !rest.is_empty() => {
                    let len = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left = left.saturating_sub(len as u64);
                    if *left == 0 {
                        self.state = State::DataCr;
                    }
                    let data = rest.get(..len).unwrap_or_default();
                    return Ok(Some((used.saturating_add(len), Piece::Data(data))));
                }
                State::Trailers(section) => {
                    let Some((len, section)) = section.read(rest)? else {
                        return Ok(None);
                    };
                    let trailers = head::trailers(&section)?;
                    self.state = State::Done;
                    return Ok(Some((used.saturating_add(len), Piece::End(trailers))));
                }
                State::Done => return Ok(Some((used, Piece::End(Headers::default())))),
                _ => {}
            }
            let Some((&byte, tail)) = rest.split_first() else {
                return Ok(None);
            };
            self.framing(byte)?;
            rest = tail;
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Takes one byte that is neither data nor of the trailers.
    fn framing(&mut self, byte: u8) -> Result<(), Opaque> {
        let next = match (&self.state, byte) {
            (State::Size(size), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                State::Size(Some(add_digit(size.unwrap_or(0), byte)?))
            }
            (&State::Size(Some(size)) | &State::Blanks(size), b' ' | b'\t') => State::Blanks(size),
            (&State::Size(Some(size)) | &State::Blanks(size), b';') => State::Extension(size),
            (&State::Size(Some(size)) | &State::Blanks(size) | &State::Extension(size), b'\r') => State::SizeLf(size),
            (
                &State::Size(Some(size)) | &State::Blanks(size) | &State::Extension(size) | &State::SizeLf(size),
                b'\n',
            ) => {
                self.line = 0;
                self.state = match size {
                    0 => State::Trailers(HeadReader::trailers()),
                    size => State::Data(size),
                };
                return Ok(());
            }
            (&State::Extension(size), _) => State::Extension(size),
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataCr | State::DataLf, b'\n') => State::Size(None),
            _ => return Err(Opaque::Framing),
        };
        if matches!(next, State::Size(Some(_)) | State::Blanks(_) | State::Extension(_)) {
            self.line = self.line.saturating_add(1);
            if self.line > MAX_CHUNK_LINE {
                return Err(Opaque::TooLong);
            }
        }
        self.state = next;
        Ok(())
    }
}

/// A size that does not fit must not wrap: what follows would be read as other chunks than the two ends read.
fn add_digit(size: u64, digit: u8) -> Result<u64, Opaque> {
    let value = char::from(digit).to_digit(16).ok_or(Opaque::Framing)?;
    size.checked_mul(16).and_then(|size| size.checked_add(value.into())).ok_or(Opaque::Framing)
}

/// The longest line with a chunk's size, without its end. Longest extensions in use: signatures, of some 100 bytes.
/// Nothing of the line is kept; the limit is there because nobody reads on beyond it (Go 4 KiB, Node and hyper 16 KiB).
const MAX_CHUNK_LINE: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http1::head::MAX_HEAD;

    /// The data, the trailers, and how much was used.
    type Seen = (Vec<u8>, Headers, usize);

    /// What is seen in pieces of `size` bytes; `Ok(None)` if it never ends.
    fn read(input: &[u8], size: usize) -> Result<Option<Seen>, Opaque> {
        let (mut body, mut data, mut used) = (Chunked::new(), Vec::new(), 0);
        for piece in input.chunks(size) {
            let mut piece = piece;
            while let Some((taken, step)) = body.read(piece)? {
                piece = &piece[taken..];
                used += taken;
                match step {
                    Piece::Data(bytes) => data.extend_from_slice(bytes),
                    Piece::End(trailers) => {
                        assert!(body.is_done());
                        return Ok(Some((data, trailers, used)));
                    }
                }
            }
            used += piece.len();
        }
        Ok(None)
    }

    fn read_however_cut(input: &[u8]) -> Result<Option<Seen>, Opaque> {
        let whole = read(input, input.len());
        for size in [1, 2, 3, 5] {
            assert_eq!(read(input, size), whole, "{} in pieces of {size}", input.escape_ascii());
        }
        whole
    }

    #[test]
    fn reads_every_spelling() {
        for (input, data) in [
            ("0\r\n\r\n", ""),
            ("5\r\nhello\r\n0\r\n\r\n", "hello"),
            ("5\nhello\n0\n\n", "hello"),
            ("000000000000000000000005\r\nhello\r\n00\r\n\r\n", "hello"),
            ("A;n=v;q=\"a;b\" ; x\r\n0123456789\r\n0;end\r\n\r\n", "0123456789"),
            ("2 \t\r\nab\r\na ;x\r\n0123456789\r\n0 \r\n\r\n", "ab0123456789"),
            ("2\r\n\r\n\r\n1\r\n0\r\n0\r\n\r\n", "\r\n0"),
        ] {
            let all = [input, "GET"].concat();
            let (seen, trailers, used) = read_however_cut(all.as_bytes()).unwrap().unwrap();
            assert_eq!((seen.escape_ascii().to_string(), used), (data.escape_default().to_string(), input.len()));
            assert!(trailers.is_empty());
        }
    }

    #[test]
    fn reads_trailers() {
        let (data, trailers, used) =
            read_however_cut(b"1\r\na\r\n0\r\nX-Sum: 1\r\nx-sum:\r\n\r\nrest").unwrap().unwrap();
        assert_eq!((&data[..], used), (&b"a"[..], 29));
        assert_eq!(trailers.iter().collect::<Vec<_>>(), [(&b"X-Sum"[..], &b"1"[..]), (b"x-sum", b"")]);
        assert_eq!(read_however_cut(b"0\r\nno field\r\n\r\n"), Err(Opaque::Framing));
    }

    #[test]
    fn refuses_what_could_be_read_in_two_ways() {
        for input in [
            "\r\n",
            ";x\r\n",
            "g\r\n",
            "-1\r\n",
            "+1\r\n",
            " 1\r\n",
            "0x1\r\n",
            "1 1\r\n",
            "1\rx",
            "1;x\rx",
            "1\r\nab",
            "1\r\na\rb",
            "10000000000000000\r\n",
        ] {
            assert_eq!(read_however_cut(input.as_bytes()), Err(Opaque::Framing), "{input:?}");
        }
        let most = read(b"ffffffffffffffff\r\nabc", 64);
        assert_eq!(most, Ok(None));
    }

    #[test]
    fn bounds_lines_and_trailers() {
        let line = |len: usize| format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(len - 2));
        assert!(read_however_cut(line(MAX_CHUNK_LINE).as_bytes()).unwrap().is_some());
        assert_eq!(read_however_cut(line(MAX_CHUNK_LINE + 1).as_bytes()), Err(Opaque::TooLong));
        let zeros = "0".repeat(MAX_CHUNK_LINE + 1);
        assert_eq!(read_however_cut(zeros.as_bytes()), Err(Opaque::TooLong));
        let section = format!("0\r\na:{}\r\n\r\n", "x".repeat(MAX_HEAD));
        assert_eq!(read(section.as_bytes(), 1000), Err(Opaque::TooLong));
    }

    #[test]
    fn many_small_chunks_are_no_trouble() {
        let input = ["1\r\na\r\n".repeat(200_000), "0\r\n\r\n".into()].concat();
        let (data, _, used) = read(input.as_bytes(), input.len()).unwrap().unwrap();
        assert_eq!((data.len(), used), (200_000, input.len()));
    }
}
