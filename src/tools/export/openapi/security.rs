//! Security schemes: how requests carry credentials.

use super::id_kind::IdKind;
use super::json_value::{Json, Object};
use crate::tools::redact::is_secret_name;

/// A way to carry credentials.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scheme {
    /// An authentication scheme of HTTP, in lower case: `bearer`.
    Http(String),
    /// A key in a header field, in lower case.
    Header(String),
    Query(String),
    Cookie(String),
}

impl Scheme {
    pub(super) fn of_header(name: &str, value: &str) -> Option<Self> {
        let lower = name.to_ascii_lowercase();
        if lower == "authorization" {
            let scheme = value.split(' ').next().unwrap_or_default().to_ascii_lowercase();
            let is_known = value.contains(' ') && HTTP_SCHEMES.contains(&scheme.as_str());
            return Some(if is_known { Self::Http(scheme) } else { Self::Header(lower) });
        }
        let is_key = is_secret_name(name, true) && !lower.starts_with("sec-") && !is_token_of_a_form(&lower);
        (is_key && lower != "proxy-authorization").then_some(Self::Header(lower))
    }

    pub(super) fn of_query(name: &str, value: &str) -> Option<Self> {
        let looks_random =
            value.len() >= MIN_KEY_BYTES && IdKind::of(value).is_some_and(|kind| kind != IdKind::Integer);
        let lower = name.to_ascii_lowercase();
        // A password is that of a login, not of each request.
        let is_key = is_secret_name(name, looks_random) && !is_of_login(&lower) && !is_token_of_a_form(&lower);
        (is_key && !is_of_page(&lower)).then(|| Self::Query(name.to_owned()))
    }

    pub(super) fn of_cookie(name: &str) -> Option<Self> {
        let lower = name.to_ascii_lowercase();
        let is_session = SESSION_PARTS.iter().any(|part| lower.contains(part)) || lower.ends_with("sid");
        let is_key = (is_session || is_secret_name(name, true)) && !is_token_of_a_form(&lower);
        is_key.then(|| Self::Cookie(name.to_owned()))
    }

    /// Returns the name of the scheme in the document.
    pub(super) fn key(&self) -> String {
        let key = match self {
            Self::Http(scheme) => scheme.clone(),
            Self::Header(name) => ["header-", name].concat(),
            Self::Query(name) => ["query-", name].concat(),
            Self::Cookie(name) => ["cookie-", name].concat(),
        };
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        key.chars().map(|c| if is_allowed(c) { c } else { '_' }).collect()
    }

    /// Returns the security scheme object (OpenAPI section 4.8.27).
    pub(super) fn describe(&self) -> Json {
        let key = |location: &str, name: &str| {
            Object::default().with("type", "apiKey").with("in", location).with("name", name)
        };
        match self {
            Self::Http(scheme) => Object::default().with("type", "http").with("scheme", scheme.as_str()),
            Self::Header(name) => key("header", name),
            Self::Query(name) => key("query", name),
            Self::Cookie(name) => key("cookie", name),
        }
        .into()
    }
}

/// True if values of a parameter called `name` are secret, be it that of a request, a login or a form.
pub(super) fn is_secret_parameter(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    is_secret_name(name, true) || is_of_login(&lower) || is_token_of_a_form(&lower)
}

/// True for the name of a parameter of a login, in lower case.
fn is_of_login(name: &str) -> bool {
    LOGIN_PARTS.iter().any(|part| name.contains(part))
}

/// True for the name of a token that is no credential but continues a list, in lower case: `batch_token`.
fn is_of_page(name: &str) -> bool {
    name.strip_suffix("token").is_some_and(|whose| {
        let whose = whose.trim_end_matches(['_', '-', '.']);
        !whose.is_empty() && !TOKEN_OWNERS.iter().any(|known| whose.ends_with(known))
    })
}

/// True for the name of a token against forged requests, in lower case.
fn is_token_of_a_form(name: &str) -> bool {
    name.contains("csrf") || name.contains("xsrf")
}

/// The registered schemes that clients use (<https://www.iana.org/assignments/http-authschemes>).
const HTTP_SCHEMES: [&str; 9] =
    ["basic", "bearer", "digest", "dpop", "gnap", "hoba", "mutual", "negotiate", "privatetoken"];

const SESSION_PARTS: [&str; 4] = ["sess", "auth", "token", "jwt"];

/// Parts of the names of parameters that a login or the grant of a token has (RFC 6749).
const LOGIN_PARTS: [&str; 8] = ["pass", "pwd", "secret", "code", "otp", "refresh", "assertion", "verifier"];

/// Words before `token` in the name of a credential.
const TOKEN_OWNERS: [&str; 12] =
    ["access", "api", "auth", "oauth", "app", "bearer", "jwt", "private", "security", "session", "user", "x"];

const MIN_KEY_BYTES: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::export::openapi::testing::value;
    use serde_json::json;

    #[test]
    fn schemes_of_http_are_named() {
        for (value, expected) in [
            ("Bearer abc", Scheme::Http("bearer".into())),
            ("basic YTpi", Scheme::Http("basic".into())),
            ("Digest username=\"a\", realm=\"b\"", Scheme::Http("digest".into())),
            ("Negotiate abc", Scheme::Http("negotiate".into())),
            // AWS signature version 4, and others that are not registered.
            ("AWS4-HMAC-SHA256 Credential=A/20260131/eu/s3/aws4_request", Scheme::Header("authorization".into())),
            ("Token abc", Scheme::Header("authorization".into())),
            ("Bearer", Scheme::Header("authorization".into())),
            ("0123456789abcdef", Scheme::Header("authorization".into())),
            ("", Scheme::Header("authorization".into())),
        ] {
            assert_eq!(Scheme::of_header("Authorization", value), Some(expected), "{value}");
        }
    }

    #[test]
    fn header_fields_with_keys_are_schemes() {
        for name in ["X-API-Key", "x-auth-token", "X-Amz-Security-Token", "apikey"] {
            assert_eq!(Scheme::of_header(name, "a"), Some(Scheme::Header(name.to_ascii_lowercase())), "{name}");
        }
        for name in [
            "X-CSRF-Token",
            "X-XSRF-TOKEN",
            "Sec-WebSocket-Key",
            "Idempotency-Key",
            "Proxy-Authorization",
            "X-Request-Id",
            "Accept",
        ] {
            assert_eq!(Scheme::of_header(name, "a"), None, "{name}");
        }
    }

    #[test]
    fn keys_in_a_query_are_schemes() {
        for (name, value) in [
            ("api_key", "a"),
            ("access_token", "a"),
            ("key", "AIzaSyD4x7Qw9Lm2Pk8Rt5"),
            ("X-Amz-Signature", "a"),
            ("X-Amz-Credential", "a"),
            ("X-Amz-Security-Token", "a"),
            ("Signature", "a"),
            ("sig", "a"),
        ] {
            assert_eq!(Scheme::of_query(name, value), Some(Scheme::Query(name.into())), "{name}");
        }
        for (name, value) in [
            ("page_token", "CAUQAA"),
            ("nextPageToken", "Q0FVUUFBRTM0NTY3ODk"),
            ("continuation-token", "a"),
            ("key", "name"),
            ("key", "170000000000"),
            ("csrf_token", "a"),
            ("X-Amz-Expires", "900"),
            ("X-Amz-Date", "20260131T000000Z"),
            // Of a login or a grant.
            ("password", "a"),
            ("client_secret", "a"),
            ("refresh_token", "a"),
            ("code", "a"),
        ] {
            assert_eq!(Scheme::of_query(name, value), None, "{name}");
        }
    }

    #[test]
    fn cookies_of_sessions_are_schemes() {
        for name in [
            "session",
            "PHPSESSID",
            "JSESSIONID",
            "connect.sid",
            "sid",
            "SAPISID",
            "auth",
            "access_token",
            "jwt",
            "__Host-session",
            "laravel_session",
        ] {
            assert_eq!(Scheme::of_cookie(name), Some(Scheme::Cookie(name.into())), "{name}");
        }
        for name in ["theme", "sidebar", "inside", "lang", "csrftoken", "XSRF-TOKEN", "consent"] {
            assert_eq!(Scheme::of_cookie(name), None, "{name}");
        }
    }

    #[test]
    fn schemes_are_objects_with_names_that_are_allowed() {
        for (scheme, key, expected) in [
            (Scheme::Http("bearer".into()), "bearer", json!({"type": "http", "scheme": "bearer"})),
            (
                Scheme::Header("x-api-key".into()),
                "header-x-api-key",
                json!({"type": "apiKey", "in": "header", "name": "x-api-key"}),
            ),
            (
                Scheme::Query("a[b] ü".into()),
                "query-a_b___",
                json!({"type": "apiKey", "in": "query", "name": "a[b] ü"}),
            ),
            (Scheme::Cookie("sid".into()), "cookie-sid", json!({"type": "apiKey", "in": "cookie", "name": "sid"})),
        ] {
            assert_eq!((scheme.key().as_str(), value(&scheme.describe())), (key, expected));
        }
    }
}
