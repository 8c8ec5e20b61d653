//! Multipart bodies (RFC 2046 section 5.1, RFC 7578). Parts may be binary, so these leaves are parts of bytes.
//!
//! ```text
//! --b                                                     the boundary, from Content-Type or the first line
//! Content-Disposition: form-data;name=token
//!                                                         an empty line
//! x                                                       the content, up to a line break and "--b"
//! --b--
//! ```

use crate::tools::redact::leaf::Layer;
use std::ops::Range;

/// A part.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::tools) struct Part {
    /// The name of the form field; empty without one.
    pub(in crate::tools) name: String,
    pub(in crate::tools) content_type: String,
    /// The range of the fields of the part.
    pub(in crate::tools) head: Range<usize>,
    pub(in crate::tools) content: Range<usize>,
}

/// Returns the parts of `body`. `boundary` is that of the Content-Type.
pub(in crate::tools) fn parts(body: &[u8], boundary: Option<&str>) -> Vec<Part> {
    let first_line = body.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let from_body = || std::str::from_utf8(first_line).ok()?.trim_end().strip_prefix("--").map(str::to_owned);
    let boundary = boundary.map(str::to_owned).filter(|boundary| !boundary.is_empty()).or_else(from_body);
    let Some(boundary) = boundary.filter(|boundary| !boundary.is_empty()) else { return Vec::new() };
    let delimiter = ["--", &boundary].concat();
    let lines = delimiter_lines(body, delimiter.as_bytes());
    let ends = lines.iter().skip(1).map(|line| line.start).chain([body.len()]);
    lines.iter().zip(ends).map(|(line, end)| part(body, line.end.min(end)..end)).collect()
}

/// Returns the value of `parameter` in the value of a field such as Content-Type. Reads `name=x`, `name="x\"y"` and
/// `name*=UTF-8''x` (RFC 2231).
pub(in crate::tools) fn parameter(value: &str, parameter: &str) -> Option<String> {
    let mut rest = value;
    loop {
        rest = rest.get(rest.find(';')?.saturating_add(1)..)?.trim_start();
        let (name, after) = rest.split_once('=')?;
        let (content, after) = quoted_or_token(after.trim_start());
        let name = name.trim();
        if name.eq_ignore_ascii_case(parameter) {
            return Some(content);
        }
        if name.strip_suffix('*').is_some_and(|name| name.eq_ignore_ascii_case(parameter)) {
            let encoded = content.splitn(3, '\'').nth(2).unwrap_or(&content);
            return Some(Layer::Percent.decode(encoded).text.into_owned());
        }
        rest = after;
    }
}

/// Returns the name and the value of a field in the head of a part, unless the field has parameters that name the part.
pub(in super::super) fn field(line: &str) -> Option<(&str, Range<usize>)> {
    let (name, value) = line.split_once(':')?;
    let is_known = |known: &&str| name.trim().eq_ignore_ascii_case(known);
    if ["content-disposition", "content-type"].iter().any(is_known) {
        return None;
    }
    let start = line.len().saturating_sub(value.trim_start().len());
    Some((name.trim(), start..start.saturating_add(value.trim().len())))
}

/// Returns the range of the parameter `name` in a line; empty without one.
pub(in super::super) fn name_range(line: &str) -> Range<usize> {
    let is_parameter = |at: &usize| line.get(..*at).unwrap_or_default().ends_with([';', ' ', '\t']);
    let Some(start) = line.match_indices("name=").map(|(at, _)| at).find(is_parameter) else { return 0..0 };
    let value = line.get(start.saturating_add(5)..).unwrap_or_default();
    let (_, rest) = quoted_or_token(value);
    start..line.len().saturating_sub(rest.len())
}

/// Returns a value without its quotes, and the text after it.
fn quoted_or_token(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let (token, rest) = text.split_at(text.find(';').unwrap_or(text.len()));
        return (token.trim().to_owned(), rest);
    };
    let mut content = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (content, quoted.get(at.saturating_add(1)..).unwrap_or_default()),
            '\\' => content.extend(chars.next().map(|(_, escaped)| escaped)),
            _ => content.push(c),
        }
    }
    (content, "")
}

/// Returns the ranges of delimiters with the line breaks around them, so that contents lie between them.
fn delimiter_lines(body: &[u8], delimiter: &[u8]) -> Vec<Range<usize>> {
    let mut lines = Vec::new();
    let mut start = 0;
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let end = start + line.len();
        let is_delimiter = line.strip_prefix(delimiter).is_some_and(|rest| {
            let rest = rest.strip_prefix(b"--").unwrap_or(rest);
            rest.iter().all(u8::is_ascii_whitespace)
        });
        if is_delimiter {
            let before = body.get(..start).unwrap_or_default();
            let before = before.strip_suffix(b"\n").unwrap_or(before);
            let before = before.strip_suffix(b"\r").unwrap_or(before);
            lines.push(before.len()..end);
        }
        start = end;
    }
    lines
}

/// Splits a part into fields and content.
fn part(body: &[u8], range: Range<usize>) -> Part {
    let bytes = body.get(range.clone()).unwrap_or_default();
    let mut part = Part::default();
    let mut at: usize = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        at = at.saturating_add(line.len());
        let line = line.trim_ascii();
        if line.is_empty() {
            break;
        }
        let line = String::from_utf8_lossy(line);
        let Some((name, value)) = line.split_once(':') else { continue };
        if name.trim().eq_ignore_ascii_case("content-disposition") {
            part.name = parameter(value, "name").unwrap_or_default();
        } else if name.trim().eq_ignore_ascii_case("content-type") {
            value.trim().clone_into(&mut part.content_type);
        }
    }
    let content = range.start.saturating_add(at);
    (part.head, part.content) = (range.start..content, content..range.end.max(content));
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(body: &str, boundary: Option<&str>) -> Vec<(String, String, String)> {
        let parts = parts(body.as_bytes(), boundary).into_iter();
        parts.map(|part| (part.name, part.content_type, body[part.content].to_owned())).collect()
    }

    #[test]
    fn contents_end_at_their_boundary() {
        let body = "preamble\r\n--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\n--bc\r\n--y\r\n--b\r\n\
                    content-disposition:form-data;filename=\"f;name=no\";name=token\r\nContent-Type: text/plain\r\n\r\n\r\nz\r\n--b--\r\n";
        let expected = [("a", "", "x\r\n--bc\r\n--y"), ("token", "text/plain", "\r\nz"), ("", "", "")];
        let expected = expected.map(|(name, media, content)| (name.into(), media.into(), content.into()));
        assert_eq!(listed(body, Some("b")), expected);
        assert_eq!(listed("--q\nContent-Disposition: form-data; name=a\n\nx\n--q--", None)[0].2, "x");
        assert_eq!(listed("--q\r\nContent-Disposition: form-data; name=a\r\n\r\ncut", None)[0].2, "cut");
        assert_eq!(listed("no parts", None), []);
    }

    #[test]
    fn names_of_parts_are_told_from_other_fields() {
        for (line, expected) in [
            ("Content-Disposition: form-data; name=\"a;\\\"b\"; filename=\"name=c\"\r\n", "name=\"a;\\\"b\""),
            ("Content-Disposition: form-data;filename=c;name=d", "name=d"),
            ("Content-Disposition: form-data; filename=\"c\"", ""),
        ] {
            assert_eq!((&line[name_range(line)], field(line)), (expected, None), "{line}");
        }
        let line = "X-Token:  a b \r\n";
        assert_eq!(field(line).map(|(name, value)| (name, &line[value])), Some(("X-Token", "a b")));
        assert_eq!(field("\r\n"), None);
    }

    #[test]
    fn parameters_are_parsed() {
        for (value, expected) in [
            ("form-data; name=\"a\\\"b\"", Some("a\"b")),
            ("form-data;name=a;x", Some("a")),
            ("form-data; filename=\"; name=x\"; NAME = y", Some("y")),
            ("form-data; name*=UTF-8''%C3%BC", Some("ü")),
            ("form-data; xname=a", None),
            ("name=a", None),
        ] {
            assert_eq!(parameter(value, "name").as_deref(), expected, "{value}");
        }
    }
}
