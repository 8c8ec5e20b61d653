//! Reads the chunked transfer coding (RFC 9112 section 7.1) without copying the body.
//!
//! ```text
//!     ┌───────────────────────────────────────────────────────┐
//!     ▼                                                       │
//!   size ─▶ spaces ─▶ extension ─▶ LF ─▶ data ─▶ CR ─▶ LF ────┘
//!                                   └─ size 0 ─▶ trailers ─▶ done
//! ```
//!
//! A bare LF ends a line as CRLF does. A bare CR is an error, because other recipients may take it for a line end.

use super::head;
use super::head_scanner::HeadReader;
use crate::wire::headers::Headers;
use crate::wire::tap::Opaque;

/// The next piece of a body with any framing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BodyPiece<'a> {
    /// Body bytes without chunk framing; never empty.
    Data(&'a [u8]),
    /// The end of the body, with its trailer fields; most bodies have none.
    End(Headers),
}

/// Reads one chunked body.
#[derive(Debug)]
pub(crate) struct Chunked {
    state: ChunkState,
    /// Length so far of the line with the chunk size.
    line_bytes: usize,
}

/// The position in the coding. The number is the size of the chunk, or in `Data` what is left of it.
#[derive(Debug)]
enum ChunkState {
    /// Before or in the hexadecimal digits of a size; `None` before the first digit.
    Size(Option<u64>),
    /// In spaces or tabs after the digits.
    Spaces(u64),
    /// In the extension, which is ignored up to the end of the line (section 7.1.1).
    Extension(u64),
    /// Between CR and LF at the end of the line with the size.
    SizeLf(u64),
    /// In the data.
    Data(u64),
    /// After the data, before CRLF.
    DataCr,
    /// After the data, between CR and LF.
    DataLf,
    /// In the trailer section after the last chunk.
    Trailers(HeadReader),
    Done,
}

impl Chunked {
    /// Creates a reader at the start of a body.
    pub(crate) fn new() -> Self {
        Self { state: ChunkState::Size(None), line_bytes: 0 }
    }

    /// Returns the next piece, and how many bytes of `input` it takes together with the framing before it, or `None` if all
    /// of `input` is used and more is needed.
    pub(crate) fn read<'a>(&mut self, input: &'a [u8]) -> Result<Option<(usize, BodyPiece<'a>)>, Opaque> {
        let mut rest = input;
        loop {
            let used = input.len().saturating_sub(rest.len());
            match &mut self.state {
                ChunkState::Data(left) if !rest.is_empty() => {
                    let len = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left = left.saturating_sub(len as u64);
                    if *left == 0 {
                        self.state = ChunkState::DataCr;
                    }
                    let data = rest.get(..len).unwrap_or_default();
                    return Ok(Some((used.saturating_add(len), BodyPiece::Data(data))));
                }
                ChunkState::Trailers(section) => {
                    let Some((len, section)) = section.read(rest)? else {
                        return Ok(None);
                    };
                    let trailers = head::trailers(&section)?;
                    self.state = ChunkState::Done;
                    return Ok(Some((used.saturating_add(len), BodyPiece::End(trailers))));
                }
                ChunkState::Done => return Ok(Some((used, BodyPiece::End(Headers::default())))),
                _ => {}
            }
            let Some((&byte, tail)) = rest.split_first() else {
                return Ok(None);
            };
            self.read_framing(byte)?;
            rest = tail;
        }
    }

    /// Returns the number of bytes allocated.
    pub(super) fn memory_bytes(&self) -> usize {
        if let ChunkState::Trailers(section) = &self.state { section.memory_bytes() } else { 0 }
    }

    /// Returns true if the whole body was read.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.state, ChunkState::Done)
    }

    /// Reads one byte of the framing: a byte outside data and trailers.
    fn read_framing(&mut self, byte: u8) -> Result<(), Opaque> {
        let next = match (&self.state, byte) {
            (ChunkState::Size(size), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                ChunkState::Size(Some(add_digit(size.unwrap_or(0), byte)?))
            }
            (&ChunkState::Size(Some(size)) | &ChunkState::Spaces(size), b' ' | b'\t') => ChunkState::Spaces(size),
            (&ChunkState::Size(Some(size)) | &ChunkState::Spaces(size), b';') => ChunkState::Extension(size),
            (&ChunkState::Size(Some(size)) | &ChunkState::Spaces(size) | &ChunkState::Extension(size), b'\r') => {
                ChunkState::SizeLf(size)
            }
            (
                &ChunkState::Size(Some(size))
                | &ChunkState::Spaces(size)
                | &ChunkState::Extension(size)
                | &ChunkState::SizeLf(size),
                b'\n',
            ) => {
                self.line_bytes = 0;
                self.state = match size {
                    0 => ChunkState::Trailers(HeadReader::for_trailers()),
                    size => ChunkState::Data(size),
                };
                return Ok(());
            }
            (&ChunkState::Extension(size), _) => ChunkState::Extension(size),
            (ChunkState::DataCr, b'\r') => ChunkState::DataLf,
            (ChunkState::DataCr | ChunkState::DataLf, b'\n') => ChunkState::Size(None),
            _ => return Err(Opaque::Framing),
        };
        if matches!(next, ChunkState::Size(Some(_)) | ChunkState::Spaces(_) | ChunkState::Extension(_)) {
            self.line_bytes = self.line_bytes.saturating_add(1);
            if self.line_bytes > MAX_CHUNK_LINE_BYTES {
                return Err(Opaque::LimitExceeded);
            }
        }
        self.state = next;
        Ok(())
    }
}

/// Appends a hexadecimal digit to a size.
///
/// An overflow is an error. If the size wrapped, the tap would read other chunks than the client and the origin.
fn add_digit(size: u64, digit: u8) -> Result<u64, Opaque> {
    let value = char::from(digit).to_digit(16).ok_or(Opaque::Framing)?;
    size.checked_mul(16).and_then(|size| size.checked_add(value.into())).ok_or(Opaque::Framing)
}

/// The longest line with a chunk size, without its line end. The longest extensions in use are signatures of about 100
/// bytes. The line is not stored; the limit exists because other implementations have one (Go 4 KiB, Node and hyper 16 KiB).
const MAX_CHUNK_LINE_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http1::head_scanner::MAX_HEAD_BYTES;

    /// The data, the trailers, and the number of bytes used.
    type ReadBody = (Vec<u8>, Headers, usize);

    /// Reads `input` in pieces of `size` bytes; `Ok(None)` if the body does not end.
    fn read(input: &[u8], size: usize) -> Result<Option<ReadBody>, Opaque> {
        let (mut body, mut data, mut used) = (Chunked::new(), Vec::new(), 0);
        for piece in input.chunks(size) {
            let mut piece = piece;
            while let Some((taken, next)) = body.read(piece)? {
                piece = &piece[taken..];
                used += taken;
                match next {
                    BodyPiece::Data(bytes) => data.extend_from_slice(bytes),
                    BodyPiece::End(trailers) => {
                        assert!(body.is_done());
                        return Ok(Some((data, trailers, used)));
                    }
                }
            }
            used += piece.len();
        }
        Ok(None)
    }

    fn read_in_any_pieces(input: &[u8]) -> Result<Option<ReadBody>, Opaque> {
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
            let (seen, trailers, used) = read_in_any_pieces(all.as_bytes()).unwrap().unwrap();
            assert_eq!((seen.escape_ascii().to_string(), used), (data.escape_default().to_string(), input.len()));
            assert!(trailers.is_empty());
        }
    }

    #[test]
    fn reads_trailers() {
        let (data, trailers, used) =
            read_in_any_pieces(b"1\r\na\r\n0\r\nX-Sum: 1\r\nx-sum:\r\n\r\nrest").unwrap().unwrap();
        assert_eq!((&data[..], used), (&b"a"[..], 29));
        assert_eq!(trailers.iter().collect::<Vec<_>>(), [(&b"X-Sum"[..], &b"1"[..]), (b"x-sum", b"")]);
        assert_eq!(read_in_any_pieces(b"0\r\nno field\r\n\r\n"), Err(Opaque::Framing));
    }

    #[test]
    fn refuses_ambiguous_framing() {
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
            assert_eq!(read_in_any_pieces(input.as_bytes()), Err(Opaque::Framing), "{input:?}");
        }
        let largest = read(b"ffffffffffffffff\r\nabc", 64);
        assert_eq!(largest, Ok(None));
    }

    #[test]
    fn limits_the_length_of_lines_and_trailers() {
        let line = |len: usize| format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(len - 2));
        assert!(read_in_any_pieces(line(MAX_CHUNK_LINE_BYTES).as_bytes()).unwrap().is_some());
        assert_eq!(read_in_any_pieces(line(MAX_CHUNK_LINE_BYTES + 1).as_bytes()), Err(Opaque::LimitExceeded));
        let zeros = "0".repeat(MAX_CHUNK_LINE_BYTES + 1);
        assert_eq!(read_in_any_pieces(zeros.as_bytes()), Err(Opaque::LimitExceeded));
        let section = format!("0\r\na:{}\r\n\r\n", "x".repeat(MAX_HEAD_BYTES));
        assert_eq!(read(section.as_bytes(), 1000), Err(Opaque::LimitExceeded));
    }

    #[test]
    fn reads_200_000_chunks_of_one_byte() {
        let input = ["1\r\na\r\n".repeat(200_000), "0\r\n\r\n".into()].concat();
        let (data, _, used) = read(input.as_bytes(), input.len()).unwrap().unwrap();
        assert_eq!((data.len(), used), (200_000, input.len()));
    }
}
