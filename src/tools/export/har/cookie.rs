//! Cookies of HTTP Archive entries: the attributes of Set-Cookie fields.

use crate::tools::export::http::cookies;
use serde::Serialize;

/// A cookie (HTTP Archive 1.2, `cookies`).
#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
pub(super) struct Cookie<'t> {
    name: &'t str,
    value: &'t str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'t str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<&'t str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_only: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secure: Option<bool>,
    /// Not in the specification, but browsers write it.
    #[serde(skip_serializing_if = "Option::is_none")]
    same_site: Option<&'t str>,
}

impl<'t> Cookie<'t> {
    /// A cookie of a Cookie field, which has no attributes.
    pub(super) fn new(name: &'t str, value: &'t str) -> Self {
        Self { name, value, ..Self::default() }
    }

    /// Parses a Set-Cookie field (RFC 6265 section 5.2).
    pub(super) fn parse(field: &'t str) -> Option<Self> {
        let mut pairs = cookies(field);
        let (name, value) = pairs.next()?;
        let mut cookie = Self { name, value, http_only: Some(false), secure: Some(false), ..Self::default() };
        for (attribute, value) in pairs {
            // `cookies` returns an attribute without `=` as a value.
            let attribute = if attribute.is_empty() { value } else { attribute };
            match attribute.trim().to_ascii_lowercase().as_str() {
                "path" => cookie.path = Some(value),
                "domain" => cookie.domain = Some(value),
                "expires" => cookie.expires = expires(value),
                "httponly" => cookie.http_only = Some(true),
                "secure" => cookie.secure = Some(true),
                "samesite" => cookie.same_site = Some(value),
                _ => {}
            }
        }
        Some(cookie)
    }
}

/// Converts `Wed, 21 Oct 2015 07:28:00 GMT`, or with dashes in the date, to ISO 8601.
fn expires(date: &str) -> Option<String> {
    let (_, date) = date.split_once(',')?;
    let mut parts = date.split([' ', '-']).filter(|part| !part.is_empty());
    let day: u8 = parts.next()?.parse().ok()?;
    let name = parts.next()?.to_ascii_lowercase();
    let month = MONTHS.iter().position(|month| *month == name)?.checked_add(1)?;
    let year: u16 = parts.next()?.parse().ok()?;
    // RFC 6265 section 5.1.1.
    let year = match year {
        70..=99 => year.checked_add(1900)?,
        0..=69 => year.checked_add(2000)?,
        year => year,
    };
    let mut time = parts.next()?.split(':').map(|part| part.parse::<u8>().ok());
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    let is_valid = (1..=31).contains(&day) && year < 10_000 && hour < 24 && minute < 60 && second < 61;
    is_valid.then(|| format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.000Z"))
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_set_cookie() {
        let field = "id=a=b; Path=/x; domain=a.example; Expires=Wed, 21-Oct-2015 07:28:00 GMT; HttpOnly; SameSite=Lax";
        let cookie = serde_json::to_string(&Cookie::parse(field).unwrap()).unwrap();
        let expected = r#"{"name":"id","value":"a=b","path":"/x","domain":"a.example","expires":"2015-10-21T07:28:00.000Z","httpOnly":true,"secure":false,"sameSite":"Lax"}"#;
        assert_eq!(cookie, expected);
        assert_eq!(expires("Wed, 21 Oct 15 07:28:00 GMT").as_deref(), Some("2015-10-21T07:28:00.000Z"));
        for wrong in ["", "0", "Wed, 21 Okt 2015 07:28:00 GMT", "Wed, 99 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 7"] {
            assert_eq!(expires(wrong), None, "{wrong}");
        }
    }
}
