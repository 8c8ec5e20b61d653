//! Replaces secrets in header fields, also in malformed ones.
//!
//! ```text
//! Authorization: Bearer x        ─▶  Authorization: Bearer redacted-…
//! Cookie: a=x; b=y               ─▶  Cookie: a=redacted-…; b=redacted-…
//! Cookie a=x                     ─▶  Cookie redacted-…                     a line without a colon
//! ```

use super::{Redactor, pairs, replacer};
use crate::bundle::reader::Header;
use crate::wire::headers::is_tchar;

impl Redactor {
    /// Redacts a field of a request or a response.
    pub(super) fn redact_header(&mut self, header: &mut Header) {
        if self.redact_line_without_colon(header) {
            return;
        }
        // Some recipients ignore other characters in names.
        let name = header.name.to_ascii_lowercase().replace(|c| !is_in_name(c), "");
        match name.as_str() {
            _ if header.value.is_empty() => {}
            _ if self.rules.is_header(&name) => {
                self.counts.headers = self.counts.headers.saturating_add(1);
                header.value = self.placeholder(&header.value);
            }
            "authorization" | "proxy-authorization" => {
                self.counts.headers = self.counts.headers.saturating_add(1);
                // The authentication scheme is not secret (RFC 9110 section 11.6.2).
                header.value = match header.value.split_once(' ') {
                    Some((scheme, credentials)) => format!("{scheme} {}", self.placeholder(credentials.trim())),
                    None => self.placeholder(&header.value),
                };
            }
            "cookie" => {
                let cookies: Vec<_> = header.value.split(';').map(|cookie| self.redact_cookie(cookie)).collect();
                header.value = cookies.join(";");
            }
            "set-cookie" => {
                let (cookie, attributes) = match header.value.split_once(';') {
                    Some((cookie, attributes)) => (cookie, Some(attributes)),
                    None => (header.value.as_str(), None),
                };
                let cookie = self.redact_cookie(cookie);
                header.value = attributes.map_or(cookie.clone(), |attributes| format!("{cookie};{attributes}"));
            }
            "referer" | "location" | "content-location" | "origin" => header.value = self.redact_url(&header.value),
            _ => {
                let hide = replacer(&self.placeholders);
                let replaced = match name.as_str() {
                    "host" => pairs::authority(&header.value, &hide),
                    _ => pairs::in_text(&header.value, &self.rules.query, &hide),
                };
                if let Some(pairs::Replaced { text, values }) = replaced {
                    self.counts.parameters = self.counts.parameters.saturating_add(values);
                    header.value = text;
                }
            }
        }
    }

    /// Redacts a malformed line such as `Cookie a=b` or `Authorization Basic a:b`, and returns true. The bundle has all of it up
    /// to the first colon as the name of a field.
    fn redact_line_without_colon(&mut self, header: &mut Header) -> bool {
        let line = header.name.trim_start_matches(|c| !is_in_name(c));
        let end = line.find(|c| !is_in_name(c)).unwrap_or(line.len());
        let Some((name, rest)) = line.split_at_checked(end).filter(|(_, rest)| rest.contains(is_in_name)) else {
            return false;
        };
        let lower = name.to_ascii_lowercase();
        let is_secret = matches!(&*lower, "authorization" | "proxy-authorization" | "cookie" | "set-cookie");
        if !is_secret && !self.rules.is_header(&lower) {
            return false;
        }
        self.counts.headers = self.counts.headers.saturating_add(1);
        header.name = format!("{name} {}", self.placeholder(rest));
        if !header.value.is_empty() {
            header.value = self.placeholder(&header.value);
        }
        true
    }

    /// Redacts `name=value`. A cookie without `=` is a value.
    fn redact_cookie(&mut self, cookie: &str) -> String {
        let (name, value) = cookie.split_once('=').map_or(("", cookie), |(name, value)| (name, value));
        let (space, unpadded) = value.split_at(value.len().saturating_sub(value.trim_start().len()));
        if unpadded.is_empty() {
            return cookie.to_owned();
        }
        self.counts.cookies = self.counts.cookies.saturating_add(1);
        let equals = if cookie.contains('=') { "=" } else { "" };
        format!("{name}{equals}{space}{}", self.placeholder(unpadded.trim()))
    }
}

/// Returns true for a character of a field name (RFC 9110 section 5.1).
fn is_in_name(c: char) -> bool {
    u8::try_from(u32::from(c)).is_ok_and(|byte| is_tchar(&byte))
}
