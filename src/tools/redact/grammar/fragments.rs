//! Text without a known grammar: scripts, GraphQL, logs, damaged documents. Lists the assignments in it, and the parameters of
//! URLs.
//!
//! ```text
//! "token" : "x"      token: 'x'      token = `x`      login(token: """x""")      quoted values
//! "token" : 123456                                                               numbers, after a quoted name
//! https://u:p@a/?token=x&b=y                                                     parameters, user information
//! token=x1y2z3w4     Authorization: Bearer x1y2z3w4                              other values if they look chosen by a machine
//! ```

use super::super::leaf::{Kind, Layer, Leaf, Place, Visitor};
use super::{form, headers, url};
use std::ops::Range;

/// Lists the values in `text`, in order.
pub(in super::super) fn leaves(text: &str, visitor: &mut dyn Visitor) {
    let mut at = 0;
    while let Some(found) = text.get(at..).and_then(|rest| rest.find([':', '='])) {
        let mark = at.saturating_add(found);
        at = mark.saturating_add(1);
        if let Some(assigned) = assigned(text, mark) {
            let Assigned { place, name, range, layer, kind } = assigned;
            // The next one may begin within this value if it is not a secret: `a="b:c"`.
            let name =
                if place == Place::Url && name != url::USERINFO { Layer::Form.decode(name).text } else { name.into() };
            visitor.leaf(Leaf { place, name: &name, range, layer, kind, is_part_of_secret: false });
        }
    }
}

struct Assigned<'t> {
    place: Place,
    name: &'t str,
    range: Range<usize>,
    layer: Layer,
    kind: Kind,
}

/// Returns the value that `:` or `=` at `mark` assigns to a name.
fn assigned(text: &str, mark: usize) -> Option<Assigned<'_>> {
    let (before, after) = (text.get(..mark)?, text.get(mark.saturating_add(1)..)?);
    let is_equals = text.get(mark..)?.starts_with('=');
    if let Some(rest) = after.strip_prefix("//").filter(|_| !is_equals) {
        return userinfo(rest, mark.saturating_add(3));
    }
    let trimmed = before.trim_end_matches([' ', '\t', '\n', '\r']);
    let quote = trimmed.chars().next_back().filter(|c| matches!(c, '"' | '\'' | '`'));
    let unquoted = if quote.is_some() { trimmed.get(..trimmed.len().saturating_sub(1))? } else { trimmed };
    let (prefix, name) = split_name(unquoted, quote.is_some());
    if name.is_empty() || quote.is_some_and(|quote| !prefix.ends_with(quote)) {
        return None;
    }
    let start = |rest: &str| text.len().saturating_sub(rest.len());
    let text_leaf = |range, layer| Assigned { place: Place::Text, name, range, layer, kind: Kind::Text };
    if is_equals && quote.is_none() && trimmed.len() == before.len() && prefix.ends_with(['?', '&', '#', ';']) {
        let range = start(after)..start(after).saturating_add(parameter_len(prefix, after));
        let found = Assigned { place: Place::Url, name, range, layer: Layer::Form, kind: Kind::Text };
        return Some(found).filter(|found| !found.range.is_empty());
    }
    let value = after.trim_start();
    if let Some(content) = value.strip_prefix("\"\"\"") {
        let len = content.find("\"\"\"").unwrap_or(content.len());
        return Some(text_leaf(start(content)..start(content).saturating_add(len), Layer::Plain));
    }
    if let Some(quote) = value.chars().next().filter(|c| matches!(c, '"' | '\'' | '`')) {
        let content = value.get(1..)?;
        let range = start(content)..start(content).saturating_add(literal_len(content, quote));
        return Some(text_leaf(range, Layer::Json)).filter(|found| !found.range.is_empty());
    }
    let len = value.bytes().take_while(|byte| is_in_bare(*byte)).count();
    let bare = value.get(..len)?;
    if quote.is_some() && !is_equals && !bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_digit()) {
        let range = start(value)..start(value).saturating_add(len);
        return Some(Assigned { kind: Kind::Number, ..text_leaf(range, Layer::Plain) });
    }
    // `Authorization: Bearer x`, in a log.
    let (value, bare) = match headers::is_scheme(bare) {
        true => {
            let rest = value.get(len..)?.trim_start_matches([' ', '\t']);
            (rest, rest.get(..rest.bytes().take_while(|byte| is_in_bare(*byte)).count())?)
        }
        false => (value, bare),
    };
    let looks_chosen = bare.len() >= 8 && bare.bytes().any(|byte| byte.is_ascii_digit());
    let range = start(value)..start(value).saturating_add(bare.len());
    looks_chosen.then(|| text_leaf(range, Layer::Plain))
}

/// Splits the name off the end of `text`.
fn split_name(text: &str, is_quoted: bool) -> (&str, &str) {
    let is_in_name = |byte: u8| match is_quoted {
        true => form::is_in_name(byte) || byte == b' ',
        false => form::is_in_name(byte) && !b"*!~".contains(&byte),
    };
    let len = text.bytes().rev().take(MAX_NAME_BYTES).take_while(|byte| is_in_name(*byte)).count();
    let mut at = text.len().saturating_sub(len);
    while !text.is_char_boundary(at) {
        at = at.saturating_add(1);
    }
    text.split_at(at)
}

/// Returns the length of a string up to its closing quote, or to the end of the line if it has none. Strings in backquotes have
/// several lines.
fn literal_len(content: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, c) in content.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '\n' | '\r' if quote != '`' => return at,
            c if c == quote => return at,
            _ => {}
        }
    }
    content.len()
}

/// Returns the length of a parameter's value in a URL within text. `prefix` is the text before the name: a quote or bracket before
/// the URL ends it.
fn parameter_len(prefix: &str, value: &str) -> usize {
    let is_open = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>' | '(');
    let near = prefix.char_indices().rev().take(MAX_URL_CHARS).find(|(_, c)| is_open(*c)).map(|(_, c)| c);
    let closing = match near {
        Some('\'') => Some('\''),
        Some('(') => Some(')'),
        _ => None,
    };
    let is_end = |(at, c): (usize, char)| match c {
        '&' | '#' | '"' | '<' | '>' | '`' | '\\' => true,
        ';' => value.get(at.saturating_add(1)..).is_some_and(form::starts_with_name),
        c => Some(c) == closing || c.is_whitespace() || c.is_control(),
    };
    value.char_indices().find(|found| is_end(*found)).map_or(value.len(), |(at, _)| at)
}

/// Returns the user information in a URL whose authority begins with `rest`, at `start`.
fn userinfo(rest: &str, start: usize) -> Option<Assigned<'_>> {
    let is_end = |c: char| matches!(c, '/' | '?' | '#' | '"' | '\'' | '<' | '>' | '`' | '\\') || c.is_whitespace();
    let authority = rest.get(..rest.find(is_end).unwrap_or(rest.len()))?;
    let (userinfo, _) = authority.rsplit_once('@').filter(|(userinfo, _)| !userinfo.is_empty())?;
    let range = start..start.saturating_add(userinfo.len());
    Some(Assigned { place: Place::Url, name: url::USERINFO, range, layer: Layer::Percent, kind: Kind::Text })
}

fn is_in_bare(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/=%".contains(&byte)
}

/// Longer names are not those of secrets.
const MAX_NAME_BYTES: usize = 256;

/// The characters before a parameter in which the beginning of its URL is searched.
const MAX_URL_CHARS: usize = 4096;

#[cfg(test)]
mod tests {
    use super::super::super::leaf::testing;
    use super::*;

    #[test]
    fn lists_assignments() {
        for (text, expected) in [
            ("var a = {\"token\" : \"x\\\"y\", b: 'z'};", &["token=x\"y", "b=z"][..]),
            ("mutation { login(password: \"x y\", n: 5) }", &["password=x y"]),
            ("a(token: \"\"\"x\n\"y\" \"\"\")", &["token=x\n\"y\" "]),
            ("{\"pin\":123456,\"b\":x}", &["pin=123456"]),
            ("API_KEY=abcdefgh1\nB=getToken", &["API_KEY=abcdefgh1"]),
            ("-H 'Authorization: Bearer abc123def' x", &["Authorization=abc123def"]),
            ("{\"a\":\"cut o", &["a=cut o"]),
            ("\"a\":\"x\ny\"", &["a=x"]),
            ("if (a == 'b') c = \"\"; 10:30", &[]),
            ("`a`: `x\ny`", &["a=x\ny"]),
        ] {
            assert_eq!(testing::leaves(text, leaves), expected, "{text}");
        }
    }

    #[test]
    fn lists_parameters_of_urls() {
        for (text, expected) in [
            ("see http://a/?b=c&token=ab'cd|ef;gh, x", &["b=c", "token=ab'cd|ef;gh,"][..]),
            ("href='/x?token=1&amp;b=2'", &["href=/x?token=1&amp;b=2", "token=1", "b=2"]),
            ("url(/x?token=1)", &["token=1"]),
            ("?a%5Bb%5D=c d", &["a[b]=c"]),
            ("x https://u:p%40@a.test/ y", &["user:password@=u:p@"]),
            ("https://a/@b ?= &=", &[]),
        ] {
            assert_eq!(testing::leaves(text, leaves), expected, "{text}");
        }
    }
}
