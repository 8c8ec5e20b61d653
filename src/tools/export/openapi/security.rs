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
        let is_token_of_a_form = lower.contains("csrf") || lower.contains("xsrf");
        let is_key = is_secret_name(name, true) && !lower.starts_with("sec-") && !is_token_of_a_form;
        (is_key && lower != "proxy-authorization").then_some(Self::Header(lower))
    }

    pub(super) fn of_query(name: &str, value: &str) -> Option<Self> {
        let looks_random =
            value.len() >= MIN_KEY_BYTES && IdKind::of(value).is_some_and(|kind| kind != IdKind::Integer);
        let lower = name.to_ascii_lowercase();
        // A password is that of a login, not of each request.
        let is_of_login = LOGIN_PARTS.iter().any(|part| lower.contains(part));
        (!is_of_login && is_secret_name(name, looks_random)).then(|| Self::Query(name.to_owned()))
    }

    pub(super) fn of_cookie(name: &str) -> Option<Self> {
        let lower = name.to_ascii_lowercase();
        let is_session = SESSION_PARTS.iter().any(|part| lower.contains(part));
        (is_session || is_secret_name(name, true)).then(|| Self::Cookie(name.to_owned()))
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

/// The registered schemes that clients use (<https://www.iana.org/assignments/http-authschemes>).
const HTTP_SCHEMES: [&str; 9] =
    ["basic", "bearer", "digest", "dpop", "gnap", "hoba", "mutual", "negotiate", "privatetoken"];

const SESSION_PARTS: [&str; 5] = ["sess", "auth", "token", "jwt", "sid"];

/// Parts of the names of parameters that a login or the grant of a token has (RFC 6749).
const LOGIN_PARTS: [&str; 8] = ["pass", "pwd", "secret", "code", "otp", "refresh", "assertion", "verifier"];

const MIN_KEY_BYTES: usize = 12;
