//! Reads the field lines of a head or a trailer section whose end is known (RFC 9112 section 5).
//!
//! ```text
//! field lines ─┬─ well-formed ─▶ httparse ───────────┬─▶ Fields
//!              └─ all others ──▶ line by line, as sent ─┘
//! ```
//!
//! No line is dropped: clients and origins differ in what they accept, and a malformed line is often the cause of a failure.
//! Names and values keep their bytes; only the spaces around a value are removed, and a folded value becomes one line.
//!
//! Malformed lines never determine the end of a body. If one of them could do so for another recipient, the fields are
//! ambiguous. This is the only file that names `httparse`.

use super::framing::FRAMING_FIELDS;
use crate::wire::headers::{Headers, is_space, resembles};
use crate::wire::tap::Dir;
use httparse::{EMPTY_HEADER, Header, Status};
use std::borrow::Cow;

/// The fields of a head or a trailer section.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) headers: Headers,
    /// True if recipients may disagree about the fields that determine the end of the body.
    pub(super) is_ambiguous: bool,
}

/// Reads the lines of `section`, which ends with its empty line, of a message in direction `dir`.
pub(super) fn read(section: &[u8], dir: Dir) -> Fields {
    match httparse::parse_headers(section, &mut [EMPTY_HEADER; USUAL_FIELDS]) {
        Ok(Status::Complete((used, fields))) if used == section.len() => {
            Fields { headers: well_formed(fields), is_ambiguous: false }
        }
        // Malformed, or more than the usual number of fields.
        _ => read_as_sent(section, dir),
    }
}

fn well_formed(fields: &[Header<'_>]) -> Headers {
    let bytes = fields.iter().map(|field| field.name.len().saturating_add(field.value.len())).sum();
    let mut headers = Headers::with_capacity(fields.len(), bytes);
    for field in fields {
        headers.push(field.name.as_bytes(), field.value);
    }
    headers
}

/// Reads lines of any bytes. Returns the same as `httparse` if it accepts them.
fn read_as_sent(section: &[u8], dir: Dir) -> Fields {
    let mut headers = Headers::with_capacity(0, section.len());
    let mut lines = section.split_inclusive(|&b| b == b'\n').map(split_line_end).peekable();
    while let Some((line, mut end)) = lines.next() {
        if line.is_empty() {
            continue;
        }
        // A line without a colon is a name without a value.
        let (name, value) = split_at_colon(line).unwrap_or((line, b""));
        let name = match dir {
            Dir::Up => name,
            // Spaces before the colon are removed from responses (section 5.1). In a request they may be why it is refused.
            Dir::Down => trim_end(name),
        };
        let mut value = Cow::Borrowed(value);
        while let Some((folded, next_end)) = lines.next_if(|(line, _)| line.first().is_some_and(is_space)) {
            // Line folding is replaced with spaces (section 5.2).
            let value = value.to_mut();
            value.resize(value.len().saturating_add(end.len()), b' ');
            value.extend_from_slice(folded);
            end = next_end;
        }
        headers.push(name, &value);
    }
    let is_ambiguous = has_unclear_framing(section, &headers);
    Fields { headers, is_ambiguous }
}

/// Returns true if a recipient may take a part of `section` for a framing field, and another may not.
///
/// This is a part that resembles the field: its name contains invalid bytes, it follows a bare CR, or its line starts with a
/// space. It is also a field whose value contains control characters.
fn has_unclear_framing(section: &[u8], headers: &Headers) -> bool {
    let is_control = |b: &u8| b.is_ascii_control() && *b != b'\t';
    let has_unclear_name = section.split(|&b| b == b'\n').any(|line| {
        // Some recipients take a bare CR for a line end (section 2.2).
        line.split(|&b| b == b'\r').enumerate().any(|(index, part)| {
            let name = split_at_colon(part).map_or(part, |(name, _)| name);
            FRAMING_FIELDS.iter().any(|framing| {
                resembles(name, framing) && !(index == 0 && name.eq_ignore_ascii_case(framing.as_bytes()))
            })
        })
    });
    has_unclear_name || FRAMING_FIELDS.iter().any(|framing| headers.all(framing).flatten().any(is_control))
}

/// Splits a line from its CRLF or LF.
fn split_line_end(line: &[u8]) -> (&[u8], &[u8]) {
    let content = line.strip_suffix(b"\n").map_or(line, |line| line.strip_suffix(b"\r").unwrap_or(line));
    line.split_at_checked(content.len()).unwrap_or((line, b""))
}

fn trim_end(name: &[u8]) -> &[u8] {
    let end = name.iter().rposition(|b| !is_space(b)).map_or(0, |last| last.saturating_add(1));
    name.get(..end).unwrap_or_default()
}

fn split_at_colon(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, value) = line.split_at_checked(line.iter().position(|&b| b == b':')?)?;
    Some((name, value.strip_prefix(b":")?))
}

/// `httparse` reads heads with up to this many fields. It needs an array, which is on the stack.
const USUAL_FIELDS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http1::head;
    use crate::wire::http1::head_scanner::{HeadScanner, leading_empty_lines};
    use crate::wire::mutations::mutations;

    type Lines<'a> = Vec<(&'a str, &'a str)>;

    /// Returns the fields in Latin-1, and whether they are ambiguous.
    fn fields(dir: Dir, section: &str) -> (Vec<(String, String)>, bool) {
        let bytes: Vec<u8> = section.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
        let Fields { headers, is_ambiguous } = read(&[&bytes, &b"\r\n"[..]].concat(), dir);
        let latin1 = |bytes: &[u8]| bytes.iter().copied().map(char::from).collect();
        (headers.iter().map(|(name, value)| (latin1(name), latin1(value))).collect(), is_ambiguous)
    }

    #[track_caller]
    fn assert_reads(section: &str, expected: Lines<'_>) {
        for dir in [Dir::Up, Dir::Down] {
            let (read, is_ambiguous) = fields(dir, section);
            assert_eq!(read.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect::<Lines<'_>>(), expected);
            assert!(!is_ambiguous, "{section:?}");
        }
    }

    #[test]
    fn keeps_lines_that_strict_parsers_reject() {
        assert_reads(
            "Set-Cookie: a=\x01b\r\nX: \x7f\nb:\0\r\n",
            vec![("Set-Cookie", "a=\x01b"), ("X", "\x7f"), ("b", "\0")],
        );
        assert_reads("Bad Name: x\r\nX-\u{e9}: b\r\n", vec![("Bad Name", "x"), ("X-\u{e9}", "b")]);
        assert_reads("X-[a]: b:c\r\nX/slash:\r\n", vec![("X-[a]", "b:c"), ("X/slash", "")]);
        assert_reads("X: a\rb\r\r\nY: c\r\n", vec![("X", "a\rb\r"), ("Y", "c")]);
        assert_reads("no field\r\n: no name\r\n\r\r\n", vec![("no field", ""), ("", "no name"), ("\r", "")]);
    }

    #[test]
    fn unfolds_lines() {
        assert_reads("X: one\r\n  two\n\tthree\r\nY: a\r\n", vec![("X", "one    two \tthree"), ("Y", "a")]);
        assert_reads(" first: a\r\n b\r\n", vec![(" first", "a   b")]);
        assert_reads("X\r\n y: z\r\n", vec![("X", "y: z")]);
    }

    #[test]
    fn removes_spaces_before_the_colon_from_responses() {
        assert_eq!(fields(Dir::Down, "Secured by X \t: a\r\n").0, [("Secured by X".into(), "a".into())]);
        assert_eq!(fields(Dir::Up, "Secured by X \t: a\r\n").0, [("Secured by X \t".into(), "a".into())]);
    }

    #[test]
    fn recognises_fields_that_may_determine_the_end_of_the_body() {
        for section in [
            "Transfer-Encoding : chunked\r\n",
            "transfer-encoding\t: chunked\r\n",
            "Transfer-Encoding\x0b: chunked\r\n",
            "Transfer-\0Encoding: chunked\r\n",
            " Transfer-Encoding: chunked\r\n",
            "X: a\r\n Transfer-Encoding: chunked\r\n",
            "X: a\rTransfer-Encoding: chunked\r\n",
            "X: a\r\n\rContent-Length: 5\r\n",
            "Transfer-Encoding: \x0bchunked\r\n",
            "Transfer-Encoding: chunked\r\n \x01\r\n",
            "Content-Length: 5\0\r\n",
            "Content-Length: 5\r\r\n",
            "\u{ff}Content-Length: 5\r\n",
            "Content-Length :\r\n",
        ] {
            for dir in [Dir::Up, Dir::Down] {
                assert!(fields(dir, section).1, "{section:?}");
            }
        }
        for section in [
            "Content-Length: 5\r\n",
            "Content-Length: +5\r\nX: \x01\r\n",
            "Transfer-Encoding:\r\n chunked\r\n",
            "X: Transfer-Encoding : chunked\r\n",
            "X-Content-Length : 5\r\n",
            "Content_Length : 5\r\n",
            "Connection : close\r\n",
        ] {
            assert!(!fields(Dir::Down, section).1, "{section:?}");
        }
    }

    #[test]
    fn reads_well_formed_heads_as_httparse_does() {
        let seeds: [&[u8]; 6] = [
            b"GET /a?b HTTP/1.1\r\nHost: a\r\nX-Y:\t1 \r\nx-y:\r\n\r\n",
            b"POST /\xc3\xa9 HTTP/1.0\nContent-Length: 5\nTransfer-Encoding: gzip, chunked\nX: \xff\xfe\n\n",
            b"HTTP/1.1 200 OK\r\nServer: a\r\nSet-Cookie: b=c; d\r\n\r\n",
            b"HTTP/1.0 404 Nicht gefunden\r\nX: a\r\n b\r\n\r\n",
            b"HTTP/1.1 204\n\n",
            b"Content-Length : 1\r\nBad Name: \x01\r\n",
        ];
        let accepted = std::cell::Cell::new(0);
        mutations(&seeds.map(<[u8]>::to_vec), 4_000, |bytes| {
            let bytes = &bytes[leading_empty_lines(bytes)..];
            let Ok(Some(end)) = HeadScanner::for_message().find(bytes) else { return };
            accepted.set(accepted.get() + usize::from(is_read_as_httparse_does(&bytes[..end])));
        });
        assert!(accepted.get() > 2_000, "{accepted:?}");
    }

    /// Asserts that `head` is read in the same way by [`head`], by [`read_as_sent`], and by `httparse` if it accepts it.
    /// Returns true if it does.
    fn is_read_as_httparse_does(head: &[u8]) -> bool {
        let mut array = [EMPTY_HEADER; 200];
        let mut request = httparse::Request::new(&mut array);
        let whole = Ok(Status::Complete(head.len()));
        if request.parse(head) == whole {
            let parsed = head::request(head).unwrap();
            assert_eq!(
                (&*parsed.method, &parsed.target[..]),
                (request.method.unwrap(), request.path.unwrap().as_bytes())
            );
            assert_eq!((&parsed.headers, parsed.is_ambiguous), (&well_formed(request.headers), false));
            assert_fields(head, &parsed.headers, Dir::Up);
            return true;
        }
        let mut array = [EMPTY_HEADER; 200];
        let mut response = httparse::Response::new(&mut array);
        if response.parse(head) == whole && response.code.is_some_and(|code| code >= 100) {
            let parsed = head::response(head).unwrap();
            assert_eq!(Some(parsed.status), response.code);
            // httparse omits reason phrases that are not ASCII.
            assert!(
                response
                    .reason
                    .is_some_and(|reason| reason.trim_ascii().as_bytes() == &*parsed.reason || reason.is_empty())
            );
            assert_eq!((&parsed.headers, parsed.is_ambiguous), (&well_formed(response.headers), false));
            assert_fields(head, &parsed.headers, Dir::Down);
            return true;
        }
        false
    }

    fn assert_fields(head: &[u8], headers: &Headers, dir: Dir) {
        let section = &head[head.iter().position(|&b| b == b'\n').unwrap() + 1..];
        let as_sent = read_as_sent(section, dir);
        assert_eq!((&as_sent.headers, as_sent.is_ambiguous), (headers, false), "{}", head.escape_ascii());
    }
}
