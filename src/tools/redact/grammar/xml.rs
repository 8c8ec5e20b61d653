//! XML and HTML: attributes, and the text in elements, also in CDATA sections, comments and scripts.
//!
//! ```text
//! <a:token b='x'>y&amp;z</a:token>            b=x  a:token=y&z
//! <input name="csrf" value="x">               name=csrf  csrf=x     a pair
//! <token><![CDATA[x]]></token>                token=x
//! ```
//!
//! HTML is lexed as any browser would read it roughly, and nothing is an error. Names of elements and attributes are no leaves.

use super::super::leaf::{Kind, Layer, Leaf, Place, Visitor};
use super::unnamed;
use std::ops::Range;

/// Lists the values in `text`.
pub(in super::super) fn leaves(text: &str, visitor: &mut dyn Visitor) {
    let mut lexer = Lexer { text, visitor, open: Vec::new() };
    let mut at = 0;
    while at < text.len() {
        at = lexer.next(at);
    }
}

struct Lexer<'t, 'v> {
    text: &'t str,
    visitor: &'v mut dyn Visitor,
    /// The elements that are open, as far as they are known to be closed.
    open: Vec<Element<'t>>,
}

struct Element<'t> {
    name: &'t str,
    is_secret: bool,
}

struct Attribute<'t> {
    name: &'t str,
    value: Range<usize>,
}

impl<'t> Lexer<'t, '_> {
    /// Lexes the part at `at`, and returns its end.
    fn next(&mut self, at: usize) -> usize {
        let rest = self.rest(at);
        for (open, close, layer) in [("<!--", "-->", Layer::Plain), ("<![CDATA[", "]]>", Layer::Plain)] {
            if let Some(content) = rest.strip_prefix(open) {
                let len = content.find(close).unwrap_or(content.len());
                let start = at.saturating_add(open.len());
                self.text(start..start.saturating_add(len), layer);
                return start.saturating_add(len).saturating_add(close.len());
            }
        }
        if let Some(name) = rest.strip_prefix("</").map(word).filter(|name| name.starts_with(starts_name)) {
            // Elements of HTML that are never closed end with their parent.
            if let Some(open) = self.open.iter().rposition(|open| open.name.eq_ignore_ascii_case(name)) {
                self.open.truncate(open);
            }
            let len = rest.find('>').unwrap_or(rest.len());
            self.text(at.saturating_add(2).saturating_add(name.len())..at.saturating_add(len), Layer::Xml);
            return at.saturating_add(len).saturating_add(1);
        }
        if starts_tag(rest) {
            return self.start_tag(at);
        }
        // Text, a declaration or a lone "<".
        let skipped = rest.get(1..).map_or(0, |_| 1);
        let len =
            rest.get(skipped..).and_then(|rest| rest.find('<')).map_or(rest.len(), |len| len.saturating_add(skipped));
        let end = at.saturating_add(len.max(1));
        self.text(at..end.min(self.text.len()), Layer::Xml);
        end
    }

    fn start_tag(&mut self, at: usize) -> usize {
        let name = word(self.rest(at.saturating_add(1)));
        let mut end = at.saturating_add(1).saturating_add(name.len());
        let mut attributes: Vec<Attribute<'t>> = Vec::new();
        let is_closed = loop {
            end = self.skip_space(end);
            let rest = self.rest(end);
            if rest.starts_with("/>") {
                end = end.saturating_add(2);
                break true;
            }
            if rest.is_empty() || rest.starts_with('>') {
                end = end.saturating_add(1);
                break false;
            }
            let attribute = word(rest);
            // A slash, a quote, or an equals sign alone.
            end = end.saturating_add(attribute.len().max(rest.chars().next().map_or(1, char::len_utf8)));
            let after = self.skip_space(end);
            if !attribute.is_empty() && self.rest(after).starts_with('=') {
                let value = self.value(self.skip_space(after.saturating_add(1)));
                end = value.end;
                if self.rest(end).starts_with(['"', '\'']) {
                    end = end.saturating_add(1);
                }
                attributes.push(Attribute { name: attribute, value });
            }
        };
        let is_secret = self.is_in_secret() || self.visitor.is_secret_container(Place::Markup, name);
        self.attributes(&attributes, is_secret);
        let end = end.min(self.text.len());
        if is_closed || is_void(name) {
            return end;
        }
        if ["script", "style"].iter().any(|raw| name.eq_ignore_ascii_case(raw)) {
            let close = ["</", name].concat();
            let rest = self.rest(end);
            let len = rest.find(&close).unwrap_or(rest.len());
            self.text(end..end.saturating_add(len), Layer::Plain);
            return end.saturating_add(len);
        }
        if self.open.len() < MAX_DEPTH {
            self.open.push(Element { name, is_secret });
        }
        end
    }

    /// Lists attributes. `value` and `content` have the name that another attribute gives.
    fn attributes(&mut self, attributes: &[Attribute<'t>], is_secret: bool) {
        let find = |names: &[&str]| {
            let mut named = attributes.iter().filter(|attribute| names.contains(&attribute.name));
            named.next().and_then(|attribute| self.text.get(attribute.value.clone()))
        };
        let pair_name = find(&["name", "id", "property", "key", "http-equiv"]);
        for Attribute { name, value } in attributes {
            let is_value = ["value", "content"].contains(name);
            let name = pair_name.filter(|_| is_value).unwrap_or(name);
            if !value.is_empty() {
                self.visitor.leaf(Leaf {
                    place: Place::Markup,
                    name,
                    range: value.clone(),
                    layer: Layer::Xml,
                    kind: Kind::Text,
                    is_part_of_secret: is_secret && is_value,
                });
            }
        }
    }

    /// Lists text in the innermost element.
    fn text(&mut self, range: Range<usize>, layer: Layer) {
        let raw = self.text.get(range.clone()).unwrap_or_default();
        let start = range.start.saturating_add(raw.len().saturating_sub(raw.trim_start().len()));
        let range = start..start.saturating_add(raw.trim().len());
        if !range.is_empty() {
            let name = self.open.last().map_or("", |element| element.name);
            let is_part_of_secret = self.is_in_secret();
            self.visitor.leaf(Leaf { name, layer, is_part_of_secret, ..unnamed(Place::Markup, range) });
        }
    }

    /// Returns the range of an attribute's value at `at`, without quotes.
    fn value(&self, at: usize) -> Range<usize> {
        let rest = self.rest(at);
        match rest.chars().next().filter(|c| matches!(c, '"' | '\'')) {
            Some(quote) => {
                let start = at.saturating_add(1);
                let content = self.rest(start);
                start..start.saturating_add(content.find(quote).unwrap_or(content.len()))
            }
            None => at..at.saturating_add(rest.find(|c: char| c == '>' || c.is_whitespace()).unwrap_or(rest.len())),
        }
    }

    fn is_in_secret(&self) -> bool {
        self.open.last().is_some_and(|element| element.is_secret)
    }

    fn skip_space(&self, at: usize) -> usize {
        let rest = self.rest(at);
        at.saturating_add(rest.len().saturating_sub(rest.trim_start().len()))
    }

    fn rest(&self, at: usize) -> &'t str {
        self.text.get(at..).unwrap_or_default()
    }
}

/// Returns the name at the start of `text`.
fn word(text: &str) -> &str {
    let is_end = |c: char| c.is_whitespace() || matches!(c, '=' | '>' | '/' | '"' | '\'' | '<');
    text.get(..text.find(is_end).unwrap_or(text.len())).unwrap_or_default()
}

/// Returns true if `text` begins as a document or a piece of one does.
pub(super) fn starts_markup(text: &str) -> bool {
    text.starts_with("<!") || text.starts_with("<?") || starts_tag(text)
}

/// Returns true for a name between "<" and a space or the end of a tag: `<https://a/>` in a Link field is none.
fn starts_tag(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('<').filter(|rest| rest.starts_with(starts_name)) else { return false };
    let after = rest.get(word(rest).len()..).unwrap_or_default();
    after.is_empty() || after.starts_with([' ', '\t', '\r', '\n', '>']) || after.starts_with("/>")
}

fn starts_name(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

/// Elements of HTML without content.
fn is_void(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"]
        .contains(&&*name)
}

/// Deeper elements count as text of the deepest one.
const MAX_DEPTH: usize = 200;

#[cfg(test)]
mod tests {
    use super::super::super::leaf::testing;
    use super::*;

    #[test]
    fn lists_attributes_and_text() {
        for (text, expected) in [
            (
                "<?xml version='1.0'?>\n<a:token b='x'>y&amp;z</a:token>",
                &["=<?xml version='1.0'?>", "b=x", "a:token=y&z"][..],
            ),
            ("<secret><a b=\"c\">x</a>y</secret><d>z</d>", &["b=c", "!a=x", "!secret=y", "d=z"]),
            ("<secret xmlns:n='u' value='x'/>", &["xmlns:n=u", "!value=x"]),
            ("<t><![CDATA[x<y]]></t><!-- c -->", &["t=x<y", "=c"]),
            ("<input name=\"csrf\" value=\"x\">", &["name=csrf", "csrf=x"]),
            ("<meta content='x' name=token />t", &["token=x", "name=token", "=t"]),
            ("<p>a<br>b<p>c</p>", &["p=a", "p=b", "p=c"]),
            ("<script>var a = '<b>';</script>", &["=var a = '<b>';"]),
            ("<a title=\"5\"\">x</a>", &["title=5", "a=x"]),
            ("<a b = 'x' c>1 < 2</a>", &["b=x", "a=1", "a=< 2"]),
            ("<a b='x", &["b=x"]),
            ("<a", &[]),
            ("<", &["=<"]),
            ("<é>x</é y>", &["é=x", "=y"]),
            ("a<https://b/?c=d></?e>", &["=a", "=<https://b/?c=d>", "=</?e>"]),
        ] {
            assert_eq!(testing::leaves(text, leaves), expected, "{text}");
        }
    }
}
