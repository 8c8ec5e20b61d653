//! Replaces the values of `name=value` pairs: in URLs, in forms, and in URLs within text.

use crate::tools::urlencoded::decode;

/// A text with replaced values, and their number.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Replaced {
    pub(super) text: String,
    pub(super) values: u64,
}

/// Replaces the parameters `names` of a URL, in its query and in its fragment, where some servers put tokens.
pub(super) fn url(url: &str, names: &[String], hide: &dyn Fn(&str) -> String) -> Option<Replaced> {
    let start = url.find(['?', '#'])?;
    let (head, rest) = url.split_at(start);
    let replaced = separated(rest, &['?', '#', '&', ';'], names, hide)?;
    Some(Replaced { text: format!("{head}{}", replaced.text), values: replaced.values })
}

/// Replaces the user information of a URL, which usually contains a password (RFC 3986 section 3.2.1).
pub(super) fn userinfo(url: &str, hide: &dyn Fn(&str) -> String) -> Option<Replaced> {
    let (scheme, rest) = url.split_once("://")?;
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let Replaced { text, values } = self::authority(authority, hide)?;
    Some(Replaced { text: format!("{scheme}://{text}{path}"), values })
}

/// Replaces the user information before a host.
pub(super) fn authority(authority: &str, hide: &dyn Fn(&str) -> String) -> Option<Replaced> {
    let (userinfo, host) = authority.rsplit_once('@').filter(|(userinfo, _)| !userinfo.is_empty())?;
    Some(Replaced { text: format!("{}@{host}", hide(userinfo)), values: 1 })
}

/// Replaces the fields `names` of a form (`application/x-www-form-urlencoded`).
pub(super) fn form(text: &str, names: &[String], hide: &dyn Fn(&str) -> String) -> Option<Replaced> {
    separated(text, &['&', ';'], names, hide)
}

fn separated(text: &str, separators: &[char], names: &[String], hide: &dyn Fn(&str) -> String) -> Option<Replaced> {
    let mut replaced = Replaced { text: String::with_capacity(text.len()), values: 0 };
    for pair in text.split_inclusive(separators) {
        let (unpadded, separator) = match pair.strip_suffix(separators) {
            Some(unpadded) => (unpadded, pair.get(unpadded.len()..).unwrap_or_default()),
            None => (pair, ""),
        };
        match unpadded.split_once('=') {
            Some((name, value)) if !value.is_empty() && is_one_of(&decode(name), names) => {
                replaced.text.push_str(&format!("{name}={}{separator}", hide(&decode(value))));
                replaced.values = replaced.values.saturating_add(1);
            }
            _ => replaced.text.push_str(pair),
        }
    }
    (replaced.values > 0).then_some(replaced)
}

/// Replaces the parts `names` of `multipart/form-data` (RFC 7578).
pub(super) fn multipart(text: &str, names: &[String], hide: &dyn Fn(&str) -> String) -> Option<Replaced> {
    let mut replaced = Replaced { text: String::with_capacity(text.len()), values: 0 };
    let mut rest = text;
    while let Some(end) = rest.find(END_OF_HEAD) {
        let (head, after) = rest.split_at(end.saturating_add(END_OF_HEAD.len()));
        replaced.text.push_str(head);
        let (value, next) = after.split_at(after.find("\r\n--").unwrap_or(after.len()));
        let name = head.split(" name=\"").nth(1).and_then(|name| name.split('"').next());
        if name.is_some_and(|name| is_one_of(name, names)) && !value.is_empty() {
            replaced.text.push_str(&hide(value));
            replaced.values = replaced.values.saturating_add(1);
        } else {
            replaced.text.push_str(value);
        }
        rest = next;
    }
    replaced.text.push_str(rest);
    (replaced.values > 0).then_some(replaced)
}

/// Replaces the parameters `names` of URLs in any text: `?name=` or `&name=`, up to a character that ends a value.
pub(super) fn in_text(text: &str, names: &[String], hide: &dyn Fn(&str) -> String) -> Option<Replaced> {
    let mut replaced = Replaced { text: String::new(), values: 0 };
    let mut copied = 0;
    for (equals, _) in text.match_indices('=') {
        if equals < copied {
            continue;
        }
        let before = text.get(copied..equals).unwrap_or_default();
        let name = before.rsplit(|c: char| !is_in_name(c)).next().unwrap_or_default();
        // JSON may escape `&` as `\u0026`. HTML's `&amp;` ends in `;`.
        let name = name.strip_prefix("u0026").filter(|_| before.ends_with(&format!("\\{name}"))).unwrap_or(name);
        let lead = before.get(..before.len().saturating_sub(name.len())).unwrap_or_default();
        let is_parameter = lead.ends_with(['?', '&', '#', ';']) || lead.ends_with("\\u0026");
        let from = equals.saturating_add(1);
        let value = text.get(from..).unwrap_or_default();
        let value = value.get(..value.find(ends_value).unwrap_or(value.len())).unwrap_or_default();
        if is_parameter && !value.is_empty() && is_one_of(&decode(name), names) {
            replaced.text.push_str(text.get(copied..from).unwrap_or_default());
            replaced.text.push_str(&hide(&decode(value)));
            replaced.values = replaced.values.saturating_add(1);
            copied = from.saturating_add(value.len());
        }
    }
    replaced.text.push_str(text.get(copied..).unwrap_or_default());
    (replaced.values > 0).then_some(replaced)
}

/// Returns true if `name` is one of the lowercase `names`.
pub(super) fn is_one_of(name: &str, names: &[String]) -> bool {
    let lower = name.to_lowercase();
    names.contains(&lower)
}

/// Unreserved and percent-encoded characters, and those that frameworks use in names.
fn is_in_name(c: char) -> bool {
    c.is_alphanumeric() || "-._~%+[]$:@!*".contains(c)
}

fn ends_value(c: char) -> bool {
    c.is_whitespace() || c.is_control() || "&#;\"'<>\\`{}|^".contains(c)
}

/// The end of a part's header fields (RFC 2046 section 5.1).
const END_OF_HEAD: &str = "\r\n\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        vec!["token".into(), "a[b]".into()]
    }

    fn hide(value: &str) -> String {
        format!("<{value}>")
    }

    fn text(replaced: Option<Replaced>) -> Option<String> {
        replaced.map(|replaced| replaced.text)
    }

    #[test]
    fn replaces_user_information() {
        for (url, expected) in [
            ("http://u:p@a:81/b@c", Some("http://<u:p>@a:81/b@c")),
            ("https://u@w@a", Some("https://<u@w>@a")),
            ("http://a/b@c", None),
            ("http://a?b://c@d", None),
            ("http://@a/", None),
            ("/a@b", None),
        ] {
            assert_eq!(text(userinfo(url, &hide)).as_deref(), expected);
        }
    }

    #[test]
    fn replaces_url_parameters() {
        for (given, expected) in [
            ("https://a/?token=x", Some("https://a/?token=<x>")),
            ("https://a/?b=1&TOKEN=x%20y+z&c", Some("https://a/?b=1&TOKEN=<x y z>&c")),
            ("https://a/?%74oken=x#token=y;a%5bb%5D=z", Some("https://a/?%74oken=<x>#token=<y>;a%5bb%5D=<z>")),
            ("https://a/token=x?tokens=y&token=&xtoken=1", None),
            ("https://a/", None),
        ] {
            assert_eq!(text(url(given, &names(), &hide)).as_deref(), expected, "{given}");
        }
    }

    #[test]
    fn replaces_form_fields() {
        let replaced = form("token=a&b=c&Token=%61", &names(), &hide).unwrap();
        assert_eq!((replaced.text.as_str(), replaced.values), ("token=<a>&b=c&Token=<a>", 2));
        let parts = "--x\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\ns3\r\ncret\r\n--x\r\n\
                     Content-Disposition: form-data; name=\"b\"; filename=\"token\"\r\n\r\nc\r\n--x--\r\n";
        let replaced = multipart(parts, &names(), &hide).unwrap();
        assert_eq!(replaced.text, parts.replace("s3\r\ncret", "<s3\r\ncret>"));
    }

    #[test]
    fn replaces_parameters_of_urls_in_text() {
        for (given, expected) in [
            (r#"<a href="/x?token=1&amp;b=2&amp;token=3">"#, r#"<a href="/x?token=<1>&amp;b=2&amp;token=<3>">"#),
            (r#"{"next":"http:\/\/a\/?b=1\u0026token=2"}"#, r#"{"next":"http:\/\/a\/?b=1\u0026token=<2>"}"#),
            ("see http://a/?token=x, and b", "see http://a/?token=<x,> and b"),
            ("?token==x&y", "?token=<=x>&y"),
        ] {
            assert_eq!(text(in_text(given, &names(), &hide)).as_deref(), Some(expected), "{given}");
        }
        for same in ["token=x", "let token = 1; if (a=token) {}", "?token= x", "?mytoken=1", "=", "?=x"] {
            assert_eq!(in_text(same, &names(), &hide), None, "{same}");
        }
    }
}
