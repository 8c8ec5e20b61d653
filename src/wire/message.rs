//! Heads of HTTP messages, independent of the HTTP version. The taps produce these types, and the bundle is written from them.

use super::headers::Headers;
use std::borrow::Cow;

/// A request's head (RFC 9112 section 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestHead {
    /// The method, in its original case.
    pub method: Cow<'static, str>,
    /// The request target as sent: origin-form, absolute-form, authority-form or `*`. In HTTP/2 the `:path`, or the
    /// `:authority` of a CONNECT.
    pub target: Vec<u8>,
    /// The protocol's version.
    pub version: Version,
    /// The `:scheme` of HTTP/2; `None` in HTTP/1.
    pub scheme: Option<Vec<u8>>,
    /// The `:authority` of HTTP/2; `None` in HTTP/1.
    pub authority: Option<Vec<u8>>,
    /// The header fields, without pseudo-header fields.
    pub headers: Headers,
    /// True if recipients may disagree about the fields that determine the end of the body. Only in HTTP/1.
    pub is_ambiguous: bool,
}

/// A response's head (RFC 9112 section 4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResponseHead {
    /// The status code, 100 to 999.
    pub status: u16,
    /// The reason phrase as received, without outer spaces; empty in HTTP/2.
    pub reason: Cow<'static, [u8]>,
    /// The protocol's version.
    pub version: Version,
    /// The header fields.
    pub headers: Headers,
    /// True if recipients may disagree about the fields that determine the end of the body. Only in HTTP/1.
    pub is_ambiguous: bool,
}

impl RequestHead {
    /// Returns the number of bytes allocated.
    pub(crate) fn memory_bytes(&self) -> usize {
        let capacity = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::capacity);
        let method = if let Cow::Owned(method) = &self.method { method.capacity() } else { 0 };
        [method, self.target.capacity(), capacity(&self.scheme), capacity(&self.authority), self.headers.memory_bytes()]
            .into_iter()
            .sum()
    }
}

impl ResponseHead {
    /// Returns the number of bytes allocated.
    pub(crate) fn memory_bytes(&self) -> usize {
        let reason = if let Cow::Owned(reason) = &self.reason { reason.capacity() } else { 0 };
        reason.saturating_add(self.headers.memory_bytes())
    }
}

/// The version in a message's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// HTTP/1.0; connections close by default.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2.
    Http2,
}

/// Returns a method to store. Common methods need no allocation.
pub(crate) fn method(name: &str) -> Cow<'static, str> {
    match METHODS.into_iter().find(|common| *common == name) {
        Some(common) => common.into(),
        None => name.to_owned().into(),
    }
}

/// Returns a reason phrase to store. Common phrases need no allocation.
pub(crate) fn reason(phrase: &[u8]) -> Cow<'static, [u8]> {
    match REASONS.into_iter().find(|common| common.as_bytes() == phrase) {
        Some(common) => common.as_bytes().into(),
        None => phrase.to_owned().into(),
    }
}

/// Methods of RFC 9110 section 9.3 and RFC 5789, most frequent first.
const METHODS: [&str; 8] = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT"];

/// Reason phrases of RFC 9110 section 15, most frequent first.
const REASONS: [&str; 8] =
    ["OK", "Not Modified", "No Content", "Found", "Not Found", "Created", "Switching Protocols", "Unauthorized"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_methods_and_reasons_as_sent() {
        assert!(METHODS.into_iter().all(|name| matches!(method(name), Cow::Borrowed(_))));
        assert!(REASONS.into_iter().all(|phrase| matches!(reason(phrase.as_bytes()), Cow::Borrowed(_))));
        for word in METHODS.into_iter().chain(["get", "GETS", "", "M-SEARCH"]) {
            assert_eq!(method(word), word);
        }
        for phrase in REASONS.into_iter().chain(["Ok", "OK ", "", "Nicht gefunden"]) {
            assert_eq!(&reason(phrase.as_bytes())[..], phrase.as_bytes());
        }
    }
}
