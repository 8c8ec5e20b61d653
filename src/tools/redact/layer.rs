//! Decodes escapes, and maps ranges of the decoded text back to the encoded one.
//!
//! ```text
//! encoded   a % 2 6 b
//! decoded   a   &   b       1..2 ─▶ 1..4
//! ```
//!
//! A replacement consists of letters, digits and `-`, which need no escape in any encoding. So nothing is encoded again: the
//! replacement takes the place of the encoded range, and all other bytes stay as they are.

use super::leaf::Layer;
use std::borrow::Cow;
use std::ops::Range;

/// A decoded text.
#[derive(Debug)]
pub(super) struct Decoded<'t> {
    pub(super) text: Cow<'t, str>,
    /// The starts of parts that correspond byte for byte, and of escapes, in order. Empty if nothing was decoded.
    parts: Vec<Part>,
    encoded_len: usize,
}

#[derive(Debug)]
struct Part {
    decoded: u32,
    encoded: u32,
    is_escape: bool,
}

impl Decoded<'_> {
    /// Returns true if there was an escape.
    pub(super) fn is_changed(&self) -> bool {
        !self.parts.is_empty()
    }

    /// Returns the range of the encoded text for a range of the decoded text. Escapes at its ends are included.
    pub(super) fn encoded(&self, range: Range<usize>) -> Range<usize> {
        if self.parts.is_empty() {
            return range;
        }
        let part_of = |offset: usize| {
            let next = self.parts.partition_point(|part| part.decoded as usize <= offset);
            (self.parts.get(next.wrapping_sub(1)), self.parts.get(next))
        };
        let start = match part_of(range.start) {
            (Some(part), _) if part.is_escape => part.encoded as usize,
            (Some(part), _) => {
                (part.encoded as usize).saturating_add(range.start.saturating_sub(part.decoded as usize))
            }
            (None, _) => range.start,
        };
        let end = match part_of(range.end.saturating_sub(1)) {
            (Some(part), next) if part.is_escape => next.map_or(self.encoded_len, |next| next.encoded as usize),
            (Some(part), _) => (part.encoded as usize).saturating_add(range.end.saturating_sub(part.decoded as usize)),
            (None, _) => range.end,
        };
        start..end.max(start)
    }
}

impl Layer {
    /// Decodes `text`. Malformed escapes stay as they are.
    pub(super) fn decode(self, text: &str) -> Decoded<'_> {
        let (marks, escape): (&[char], EscapeDecoder) = match self {
            Self::Plain => (&[], |_| None),
            Self::Percent => (&['%'], percent),
            Self::Form => (&['%', '+'], form),
            Self::Json => (&['\\'], json),
            Self::Xml => (&['&'], xml),
        };
        // Finding one character is several times as fast.
        let find = |rest: &str| match *marks {
            [mark] => rest.find(mark),
            _ => rest.find(marks),
        };
        let mut parts = Vec::new();
        let mut decoded = String::new();
        let mut at = 0;
        // The end of the encoded text that is in `decoded`.
        let mut copied = 0;
        while let Some(found) = text.get(at..).and_then(find) {
            at = at.saturating_add(found);
            let rest = text.get(at..).unwrap_or_default();
            let Some(Escape { text: plain, len }) = escape(rest) else {
                at = at.saturating_add(1);
                continue;
            };
            let before = text.get(copied..at).unwrap_or_default();
            if !before.is_empty() {
                parts.push(Part::new(decoded.len(), copied, false));
                decoded.push_str(before);
            }
            parts.push(Part::new(decoded.len(), at, true));
            decoded.push(plain);
            at = at.saturating_add(len);
            copied = at;
        }
        if parts.is_empty() {
            return Decoded { text: text.into(), parts, encoded_len: text.len() };
        }
        let rest = text.get(copied..).unwrap_or_default();
        if !rest.is_empty() {
            parts.push(Part::new(decoded.len(), copied, false));
            decoded.push_str(rest);
        }
        Decoded { text: decoded.into(), parts, encoded_len: text.len() }
    }
}

/// Removes the line breaks between lines of base64, as MIME (RFC 2045 section 6.8) and PEM have them.
pub(super) fn unfolded(text: &str) -> Decoded<'_> {
    let (mut parts, mut decoded, mut copied) = (Vec::new(), String::new(), 0);
    for (at, _) in text.match_indices('\n') {
        let line = text.get(copied..at).unwrap_or_default();
        let line = line.strip_suffix('\r').unwrap_or(line);
        let next = at.saturating_add(1);
        if text.as_bytes().get(next).is_some_and(|byte| is_base64(*byte)) && is_folded(line) {
            parts.push(Part::new(decoded.len(), copied, false));
            decoded.push_str(line);
            copied = next;
        }
    }
    if parts.is_empty() {
        return Decoded { text: text.into(), parts, encoded_len: text.len() };
    }
    parts.push(Part::new(decoded.len(), copied, false));
    decoded.push_str(text.get(copied..).unwrap_or_default());
    Decoded { text: decoded.into(), parts, encoded_len: text.len() }
}

/// Returns true for a line after which base64 may continue.
pub(super) fn is_folded(line: &str) -> bool {
    let last = line.len().checked_sub(MIN_FOLDED_BYTES).and_then(|start| line.as_bytes().get(start..));
    last.is_some_and(|last| last.iter().all(|byte| is_base64(*byte)))
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/=-_".contains(&byte)
}

/// Shorter lines are not folded base64.
const MIN_FOLDED_BYTES: usize = 32;

impl Part {
    fn new(decoded: usize, encoded: usize, is_escape: bool) -> Self {
        // Texts are far shorter than 4 GiB.
        let small = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        Self { decoded: small(decoded), encoded: small(encoded), is_escape }
    }
}

/// Decodes the escape at the start of a text.
type EscapeDecoder = fn(&str) -> Option<Escape>;

/// A decoded escape: a character, and the length of its encoding.
struct Escape {
    text: char,
    len: usize,
}

fn form(rest: &str) -> Option<Escape> {
    if rest.starts_with('+') { Some(Escape { text: ' ', len: 1 }) } else { percent(rest) }
}

/// Decodes `%C3%BC`: as many bytes as a character of UTF-8 has.
fn percent(rest: &str) -> Option<Escape> {
    let mut bytes = Vec::with_capacity(4);
    for start in [0, 3, 6, 9] {
        let digits = rest.get(start..)?.strip_prefix('%')?.get(..2)?;
        bytes.push(u8::try_from(hex(digits)?).ok()?);
        match std::str::from_utf8(&bytes) {
            Ok(text) => return Some(Escape { text: text.chars().next()?, len: bytes.len().saturating_mul(3) }),
            Err(e) if e.error_len().is_some() => return None,
            // The character has more bytes.
            Err(_) => {}
        }
    }
    None
}

fn json(rest: &str) -> Option<Escape> {
    let escaped = rest.get(1..)?.chars().next()?;
    let plain = match escaped {
        '"' | '\\' | '/' | '\'' => escaped,
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => {
            let unit = |at: usize| hex(rest.get(at..at.saturating_add(4))?).and_then(|unit| u16::try_from(unit).ok());
            let first = unit(2)?;
            let second = rest.get(6..8).filter(|mark| *mark == "\\u").and_then(|_| unit(8));
            let units = [Some(first), second].into_iter().flatten();
            let text = char::decode_utf16(units).next()?.ok()?;
            return Some(Escape { text, len: if text.len_utf16() == 2 { 12 } else { 6 } });
        }
        _ => return None,
    };
    Some(Escape { text: plain, len: 2 })
}

fn xml(rest: &str) -> Option<Escape> {
    let name = rest.get(1..)?.get(..rest.bytes().take(12).position(|byte| byte == b';')?.checked_sub(1)?)?;
    let text = match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => {
            let number = name.strip_prefix('#')?;
            let number = match number.strip_prefix(['x', 'X']) {
                Some(digits) => hex(digits)?,
                None => number.parse().ok()?,
            };
            char::from_u32(number)?
        }
    };
    Some(Escape { text, len: name.len().saturating_add(2) })
}

fn hex(digits: &str) -> Option<u32> {
    let is_hex = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    u32::from_str_radix(digits, 16).ok().filter(|_| is_hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_and_maps_back() {
        for (layer, encoded, decoded) in [
            (Layer::Plain, "a%41+\\n&amp;", "a%41+\\n&amp;"),
            (Layer::Percent, "a%41+%C3%BCb%zz%f", "aA+üb%zz%f"),
            (Layer::Percent, "%ff%41%E2%82", "%ffA%E2%82"),
            (Layer::Percent, "%F0%9f%98%80", "\u{1f600}"),
            (Layer::Form, "a+b%2B", "a b+"),
            (Layer::Json, r#"a\"\\\/\u00fc\n\x\ud83d\ude00"#, "a\"\\/ü\n\\x\u{1f600}"),
            (Layer::Json, r"\ud83d\u0041\u00", r"\ud83dA\u00"),
            (Layer::Xml, "&lt;a&#65;&#x42;&nbsp;&", "<aAB&nbsp;&"),
            (Layer::Xml, "&amp;quot;", "&quot;"),
        ] {
            assert_eq!(layer.decode(encoded).text, decoded, "{encoded}");
        }
        let decoded = Layer::Percent.decode("a%26%C3%BCb");
        assert_eq!(decoded.text, "a&üb");
        for (range, encoded) in
            [(0..1, 0..1), (1..2, 1..4), (2..4, 4..10), (0..5, 0..11), (4..5, 10..11), (3..4, 4..10)]
        {
            assert_eq!(decoded.encoded(range.clone()), encoded, "{range:?}");
        }
        assert_eq!(Layer::Percent.decode("%41").encoded(0..1), 0..3);
    }

    #[test]
    fn line_breaks_within_base64_are_removed() {
        let line = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo0MTIzNDU2";
        let text = format!("-----\n{line}\r\n{line}\n{line}\nQQ==\n-----\n\n");
        let unfolded = super::unfolded(&text);
        assert_eq!(unfolded.text, format!("-----\n{line}{line}{line}QQ==\n-----\n\n"));
        let found = unfolded.encoded(6 + 40..6 + 50);
        assert_eq!(&text[found], "NDU2\r\nQUJDRE");
        for text in ["a\nb", &format!("{line} \n{line}"), &format!("{line}\n\n"), &format!("{line}\n{}", ' '), ""] {
            assert!(!super::unfolded(text).is_changed(), "{text}");
        }
    }
}
