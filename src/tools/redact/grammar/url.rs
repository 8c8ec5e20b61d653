//! URLs, absolute and relative (RFC 3986).
//!
//! ```text
//! https://user:pw@host:81/a;sid=1/b?token=x#access_token=y
//!         └userinfo┘        └────┘   └─────┘ └────────────┘    host and port are no leaves
//! ```

use super::super::leaf::{Kind, Layer, Leaf, Place, Visitor};
use super::{Shifted, form, unnamed};

/// The name of the leaf for user information, which usually contains a password (RFC 3986 section 3.2.1).
pub(in super::super) const USERINFO: &str = "user:password@";

/// Lists the values in a URL.
pub(in super::super) fn leaves(url: &str, visitor: &mut dyn Visitor) {
    let path_start = match url.find("://").filter(|at| is_scheme(url.get(..*at).unwrap_or_default())) {
        Some(at) => {
            let start = at.saturating_add(3);
            let rest = url.get(start..).unwrap_or_default();
            let len = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            authority(rest.get(..len).unwrap_or_default(), start, visitor);
            start.saturating_add(len)
        }
        None => 0,
    };
    let rest = url.get(path_start..).unwrap_or_default();
    let path_len = rest.find(['?', '#']).unwrap_or(rest.len());
    path(rest.get(..path_len).unwrap_or_default(), path_start, visitor);
    let query_start = path_start.saturating_add(path_len);
    let (rest, fragment) = rest
        .get(path_len..)
        .unwrap_or_default()
        .split_once('#')
        .map_or_else(|| (rest.get(path_len..).unwrap_or_default(), None), |(query, fragment)| (query, Some(fragment)));
    if let Some(query) = rest.strip_prefix('?') {
        form::leaves(query, Place::Url, &mut Shifted { visitor, by: query_start.saturating_add(1) });
    }
    if let Some(fragment) = fragment {
        let start = query_start.saturating_add(rest.len()).saturating_add(1);
        let shifted = &mut Shifted { visitor, by: start };
        match fragment.find('?') {
            // A route of an application in a page.
            Some(_) => leaves(fragment, shifted),
            None if form::is_form(fragment) => form::leaves(fragment, Place::Url, shifted),
            None if fragment.is_empty() => {}
            None => shifted.leaf(Leaf { layer: Layer::Percent, ..unnamed(Place::Url, 0..fragment.len()) }),
        }
    }
}

/// Lists the user information before a host.
pub(super) fn authority(authority: &str, start: usize, visitor: &mut dyn Visitor) {
    if let Some((userinfo, _)) = authority.rsplit_once('@').filter(|(userinfo, _)| !userinfo.is_empty()) {
        let range = start..start.saturating_add(userinfo.len());
        visitor.leaf(Leaf { name: USERINFO, layer: Layer::Percent, ..unnamed(Place::Url, range) });
    }
}

/// Returns true for a URL with parts to search.
pub(super) fn is_url(text: &str) -> bool {
    let has_scheme = text.find("://").is_some_and(|at| is_scheme(text.get(..at).unwrap_or_default()));
    let is_relative = text.starts_with(['/', '?', '#', '.']) && text.contains('=');
    (has_scheme || is_relative) && !text.contains(['"', '<', '>', '`'])
}

fn is_scheme(text: &str) -> bool {
    text.len() < 32
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// Lists the segments of a path, and their parameters (`;jsessionid=…`).
fn path(path: &str, start: usize, visitor: &mut dyn Visitor) {
    let mut at = start;
    for segment in path.split('/') {
        for (n, part) in segment.split(';').enumerate() {
            let end = at.saturating_add(part.len());
            let equals = if n > 0 { part.find('=') } else { None };
            let value = equals.map_or(at, |equals| at.saturating_add(equals).saturating_add(1));
            let name = equals.and_then(|equals| part.get(..equals)).unwrap_or_default();
            if value < end {
                let name = Layer::Percent.decode(name);
                let (kind, layer) = (Kind::Text, Layer::Percent);
                let range = value..end;
                visitor.leaf(Leaf {
                    place: Place::Url,
                    name: &name.text,
                    range,
                    layer,
                    kind,
                    is_part_of_secret: false,
                });
            }
            at = end.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::leaf::testing;
    use super::*;

    #[test]
    fn lists_all_values_but_hosts() {
        for (url, expected) in [
            ("https://a.test/b/c?token=x;y&d=e#f=g", &["=b", "=c", "token=x;y", "d=e", "f=g"][..]),
            ("http://u:p@a:81/b@c", &["user:password@=u:p", "=b@c"]),
            ("https://u@w@a", &["user:password@=u@w"]),
            ("http://a?b=x://c@d", &["b=x://c@d"]),
            ("/login;jsessionid=1;x?y", &["=login", "jsessionid=1", "=x", "=y"]),
            ("https://a/#/route?token=x", &["=route", "token=x"]),
            ("https://a/#top%20of", &["=top of"]),
            ("?token=abc?d", &["token=abc?d"]),
            ("http://@a/", &[]),
            ("", &[]),
        ] {
            assert_eq!(testing::leaves(url, leaves), expected, "{url}");
        }
    }
}
