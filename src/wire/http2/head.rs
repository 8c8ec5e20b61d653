//! Builds heads from decoded fields: separates pseudo-header fields and joins cookies (RFC 9113 section 8).

use crate::wire::headers::Headers;
use crate::wire::message::{self, RequestHead, ResponseHead, Version};
use std::borrow::Cow;

/// The fields of one field block.
#[derive(Default)]
pub(super) struct Fields {
    method: Option<Vec<u8>>,
    scheme: Option<Vec<u8>>,
    authority: Option<Vec<u8>>,
    path: Option<Vec<u8>>,
    protocol: Option<Vec<u8>>,
    status: Option<u16>,
    headers: Headers,
    /// The index of the first cookie field, and the joined value of all of them.
    cookie: Option<(usize, Vec<u8>)>,
}

/// The purpose of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestPurpose {
    Exchange,
    /// Opening a WebSocket (RFC 8441).
    WebSocket,
}

impl Fields {
    /// Adds a decoded field.
    pub(super) fn add(&mut self, name: &[u8], value: &[u8]) {
        let pseudo = match name {
            b":method" => &mut self.method,
            b":scheme" => &mut self.scheme,
            b":authority" => &mut self.authority,
            b":path" => &mut self.path,
            b":protocol" => &mut self.protocol,
            b":status" => return self.status = parse_status(value),
            [b':', ..] => return,
            b"cookie" => return self.add_cookie(value),
            _ => return self.headers.push(name, value),
        };
        pseudo.get_or_insert_with(|| value.to_vec());
    }

    /// Returns the number of bytes allocated.
    pub(super) fn memory_bytes(&self) -> usize {
        let pseudo = [&self.method, &self.scheme, &self.authority, &self.path, &self.protocol];
        let cookie = self.cookie.as_ref().map_or(0, |(_, cookies)| cookies.capacity());
        let capacities = pseudo.into_iter().flatten().map(Vec::capacity).chain([cookie, self.headers.memory_bytes()]);
        capacities.fold(0, usize::saturating_add)
    }

    /// Returns true if the fields begin a request.
    pub(super) fn has_method(&self) -> bool {
        self.method.is_some()
    }

    /// Adds a cookie field. A client may split its cookies for better compression; joined they are one field (section 8.2.3).
    fn add_cookie(&mut self, value: &[u8]) {
        match &mut self.cookie {
            Some((_, cookies)) => {
                cookies.extend_from_slice(b"; ");
                cookies.extend_from_slice(value);
            }
            None => self.cookie = Some((self.headers.len(), value.to_vec())),
        }
    }

    /// Returns the head of a request. Missing pseudo-header fields are empty: the origin validates them, not the tap.
    pub(super) fn request(self) -> (RequestHead, RequestPurpose) {
        let method = self.method.unwrap_or_default();
        let is_connect = method == b"CONNECT";
        let is_websocket = is_connect && self.protocol.is_some_and(|p| p.eq_ignore_ascii_case(b"websocket"));
        let head = RequestHead {
            method: message::method(&String::from_utf8_lossy(&method)),
            target: match (self.path, &self.authority) {
                (Some(path), _) => path,
                (None, Some(authority)) if is_connect => authority.clone(),
                (None, _) => Vec::new(),
            },
            version: Version::Http2,
            scheme: self.scheme,
            authority: self.authority,
            headers: with_cookie(self.headers, self.cookie),
            is_ambiguous: false,
        };
        (head, if is_websocket { RequestPurpose::WebSocket } else { RequestPurpose::Exchange })
    }

    /// Returns the head of a response; `None` if it has no valid status.
    pub(super) fn response(self) -> Option<ResponseHead> {
        let headers = with_cookie(self.headers, self.cookie);
        let (reason, version) = (Cow::default(), Version::Http2);
        self.status.map(|status| ResponseHead { status, reason, version, headers, is_ambiguous: false })
    }

    /// Returns the fields as trailers.
    pub(super) fn trailers(self) -> Headers {
        with_cookie(self.headers, self.cookie)
    }
}

fn with_cookie(mut headers: Headers, cookie: Option<(usize, Vec<u8>)>) -> Headers {
    if let Some((at, cookies)) = cookie {
        headers.insert(at, b"cookie", &cookies);
    }
    headers
}

fn parse_status(value: &[u8]) -> Option<u16> {
    let digits = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?;
    digits.parse().ok().filter(|status| (100..=999).contains(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(list: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        list.iter().for_each(|(name, value)| fields.add(name.as_bytes(), value.as_bytes()));
        fields
    }

    #[test]
    fn joins_cookies_at_the_position_of_the_first() {
        let list = [("a", "1"), ("cookie", "x=1"), ("b", "2"), ("cookie", "y=2"), ("cookie", "")];
        let headers = fields(&list).trailers();
        let seen: Vec<_> = headers.iter().collect();
        assert_eq!(seen, [(&b"a"[..], &b"1"[..]), (b"cookie", b"x=1; y=2;"), (b"b", b"2")]);
    }

    #[test]
    fn removes_pseudo_header_fields_from_a_request() {
        let list = [(":method", "GET"), (":path", "/x"), (":path", "/y"), (":new", "?"), ("te", "trailers")];
        let (head, purpose) = fields(&list).request();
        assert_eq!((&*head.method, &head.target[..], purpose), ("GET", &b"/x"[..], RequestPurpose::Exchange));
        assert_eq!(head.headers.iter().collect::<Vec<_>>(), [(&b"te"[..], &b"trailers"[..])]);
        assert_eq!((head.scheme, head.authority), (None, None));
    }

    #[test]
    fn recognises_extended_connect() {
        let connect = [(":method", "CONNECT"), (":authority", "a:1")];
        let (head, purpose) = fields(&connect).request();
        assert_eq!((&head.target[..], purpose), (&b"a:1"[..], RequestPurpose::Exchange));
        let extended = |protocol| [&connect[..], &[(":protocol", protocol), (":path", "/chat")]].concat();
        let (head, purpose) = fields(&extended("websocket")).request();
        assert_eq!((&head.target[..], purpose), (&b"/chat"[..], RequestPurpose::WebSocket));
        assert_eq!(fields(&extended("connect-udp")).request().1, RequestPurpose::Exchange);
    }

    #[test]
    fn accepts_a_status_of_three_digits() {
        for (value, status) in [("200", Some(200)), ("999", Some(999)), ("99", None), ("+200", None), ("", None)] {
            assert_eq!(fields(&[(":status", value)]).response().map(|head| head.status), status, "{value:?}");
        }
    }
}
