//! Header fields, also malformed ones.
//!
//! ```text
//! Cookie: a=x; b=y                     two leaves
//! Sec-WebSocket-Protocol: bearer, x    x
//! Cookie a=x                           a line without a colon; the bundle has it as a name
//! ```

use super::super::forms::is_random;
use super::super::leaf::{Kind, Layer, Leaf, Place, Visitor};
use super::{cookies, unnamed, url};
use crate::wire::headers::is_tchar;

/// Lists the values in the value of a field.
pub(in super::super) fn leaves(name: &str, value: &str, visitor: &mut dyn Visitor) {
    // Some recipients ignore other characters in names.
    let mut name = name.to_ascii_lowercase();
    name.retain(is_in_name);
    match name.as_str() {
        "cookie" => cookies::cookies(value, visitor.is_secret_container(Place::Header, &name), visitor),
        "set-cookie" => cookies::set_cookie(value, visitor.is_secret_container(Place::Header, &name), visitor),
        "host" => url::authority(value, 0, visitor),
        "sec-websocket-protocol" => protocols(value, visitor),
        "referer" | "location" | "content-location" | "origin" => url::leaves(value, visitor),
        _ => visitor.leaf(Leaf { name: &name, ..unnamed(Place::Header, 0..value.len()) }),
    }
}

/// Lists the value in a line such as `Cookie a=b` or `Authorization Basic a:b`. The bundle has all of it up to the first colon as
/// the name of a field. Returns true if there is one: the value is then a part of it.
pub(in super::super) fn leaves_of_name(line: &str, visitor: &mut dyn Visitor) -> bool {
    let start = line.find(is_in_name).unwrap_or(line.len());
    let rest = line.get(start..).unwrap_or_default();
    let end = rest.find(|c| !is_in_name(c)).unwrap_or(rest.len());
    let (name, value) = rest.split_at(end);
    let Some(space) = value.find(is_in_name) else { return false };
    let name = name.to_ascii_lowercase();
    if !visitor.is_secret_container(Place::Header, &name) {
        return false;
    }
    let from = start.saturating_add(end).saturating_add(space);
    let range = from..from.saturating_add(value.get(space..).unwrap_or_default().trim_end().len());
    visitor.leaf(Leaf { name: &name, is_part_of_secret: true, ..unnamed(Place::Header, range) });
    true
}

/// Lists the subprotocols that are credentials: browsers can set no other field for a WebSocket.
pub(in super::super) fn protocols(value: &str, visitor: &mut dyn Visitor) {
    let mut at: usize = 0;
    let mut before = String::new();
    for item in value.split(',') {
        let start = at.saturating_add(item.len().saturating_sub(item.trim_start().len()));
        at = at.saturating_add(item.len()).saturating_add(1);
        let protocol = item.trim();
        let end = start.saturating_add(protocol.len());
        // Kubernetes: base64url.bearer.authorization.k8s.io.TOKEN.
        let is_prefixed = PREFIXES.iter().any(|prefix| protocol.to_ascii_lowercase().starts_with(prefix));
        let is_secret = is_prefixed || CREDENTIALS_FOLLOW.contains(&before.as_str()) || is_random(protocol);
        before = protocol.to_ascii_lowercase();
        let from = if is_prefixed {
            start.saturating_add(protocol.rfind('.').map_or(0, |dot| dot.saturating_add(1)))
        } else {
            start
        };
        if from < end {
            let name = if is_secret { "sec-websocket-protocol" } else { "" };
            visitor.leaf(Leaf {
                place: Place::Header,
                name,
                range: from..end,
                layer: Layer::Plain,
                kind: Kind::Text,
                is_part_of_secret: is_secret,
            });
        }
    }
}

/// Returns the offset of the credentials in the value of Authorization: after the scheme if it is a known one (RFC 9110 section
/// 11.6.2).
pub(in super::super) fn credentials_start(value: &str) -> usize {
    let (scheme, rest) = value.split_once([' ', '\t']).unwrap_or_default();
    match SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        true => value.len().saturating_sub(rest.trim_start().len()),
        false => 0,
    }
}

/// Returns true for a known scheme of authentication.
pub(super) fn is_scheme(word: &str) -> bool {
    SCHEMES.iter().any(|known| word.eq_ignore_ascii_case(known))
}

/// Returns true for a character of a field name (RFC 9110 section 5.1).
fn is_in_name(c: char) -> bool {
    u8::try_from(u32::from(c)).is_ok_and(|byte| is_tchar(&byte))
}

/// Schemes of authentication: the registered ones, and those of large services. The word before the credentials is secret if it
/// is none of these.
const SCHEMES: &[&str] = &[
    "basic",
    "bearer",
    "digest",
    "dpop",
    "gnap",
    "hoba",
    "mutual",
    "negotiate",
    "ntlm",
    "oauth",
    "privatetoken",
    "scram-sha-1",
    "scram-sha-256",
    "vapid",
    "token",
    "apikey",
    "api-key",
    "jwt",
    "hawk",
    "hmac",
    "signature",
    "aws4-hmac-sha256",
    "aws",
    "sharedkey",
    "sharedkeylite",
    "sharedaccesssignature",
    "goog4-rsa-sha256",
    "sso-key",
];

/// Subprotocols that announce credentials as the next one.
const CREDENTIALS_FOLLOW: &[&str] =
    &["bearer", "token", "access_token", "access-token", "auth", "authorization", "jwt", "basic", "apikey", "api-key"];

const PREFIXES: &[&str] = &["base64url.bearer.", "bearer.", "openai-insecure-api-key.", "auth.", "token.", "jwt."];

#[cfg(test)]
mod tests {
    use super::super::super::leaf::testing;
    use super::*;

    /// Treats the usual names as secret.
    struct Secrets<'t>(testing::Listing<'t>);

    impl Visitor for Secrets<'_> {
        fn is_secret_container(&mut self, _: Place, name: &str) -> bool {
            ["cookie", "set-cookie", "authorization"].contains(&name)
        }

        fn leaf(&mut self, leaf: Leaf<'_>) {
            self.0.leaf(leaf);
        }
    }

    #[test]
    fn lists_the_values_of_fields() {
        for (name, value, expected) in [
            (" Authorization\t", "Bearer x y", &["authorization=Bearer x y"][..]),
            ("Cookie\u{b}", "a=b; c", &["!a=b", "!=c"]),
            ("Set-Cookie", "a=b; Path=/", &["!a=b"]),
            ("Host", "u@a.test", &["user:password@=u"]),
            ("Referer", "https://a/?b=c", &["b=c"]),
            ("X-Any", "v w", &["x-any=v w"]),
            ("Sec-WebSocket-Protocol", "bearer, abc, chat.v2", &["=bearer", "!sec-websocket-protocol=abc", "=chat.v2"]),
            (
                "sec-websocket-protocol",
                "base64url.bearer.authorization.k8s.io.abc,v4.channel.k8s.io",
                &["!sec-websocket-protocol=abc", "=v4.channel.k8s.io"],
            ),
            (
                "sec-websocket-protocol",
                "graphql-transport-ws, a8Zk29xQ71mLp03vT5",
                &["=graphql-transport-ws", "!sec-websocket-protocol=a8Zk29xQ71mLp03vT5"],
            ),
        ] {
            let mut secrets = Secrets(testing::Listing(value, Vec::new()));
            leaves(name, value, &mut secrets);
            assert_eq!(secrets.0.1, expected, "{name}: {value}");
        }
    }

    #[test]
    fn credentials_follow_known_schemes() {
        for (value, expected) in [
            ("Bearer x y", "x y"),
            ("basic  eA==", "eA=="),
            ("KEY SECOND", "KEY SECOND"),
            ("OTHER SECOND", "OTHER SECOND"),
            ("opaque", "opaque"),
        ] {
            assert_eq!(&value[credentials_start(value)..], expected);
        }
    }

    #[test]
    fn lists_the_values_of_lines_without_a_colon() {
        for (line, expected) in [
            ("Authorization Basic s3cret", Some("!authorization=Basic s3cret")),
            ("\tcookie=s3cret; b=user", Some("!cookie=s3cret; b=user")),
            ("Cookies are s3cr", None),
            ("Cookie\u{1}", None),
            ("Authorization", None),
        ] {
            let mut secrets = Secrets(testing::Listing(line, Vec::new()));
            assert_eq!(leaves_of_name(line, &mut secrets), expected.is_some(), "{line}");
            assert_eq!(secrets.0.1.first().map(String::as_str), expected, "{line}");
        }
    }
}
