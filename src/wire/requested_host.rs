//! The host of a request that is refused, for reports. Proxy and origin need not agree about a refused head, so nothing
//! else may depend on this host.

use super::authority::Authority;

/// Returns the host in the target of the request at the start of `bytes`, or else in its Host field. The head need not be
/// complete or valid.
pub(crate) fn requested_host(bytes: &[u8]) -> Option<Authority> {
    let mut lines = bytes.trim_ascii_start().split(|&b| b == b'\n').map(<[u8]>::trim_ascii);
    let mut words = lines.next()?.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let (method, target) = (words.next()?, words.next()?);
    match method {
        b"CONNECT" => Authority::from_connect_target(target).or_else(|_| Authority::from_host_header(target, 443)).ok(),
        _ => in_uri(target).or_else(|| lines.find_map(in_host_field)),
    }
}

/// Returns the authority of an absolute URI.
fn in_uri(uri: &[u8]) -> Option<Authority> {
    let colon = uri.iter().position(|&b| b == b':')?;
    let (scheme, rest) = uri.split_at_checked(colon)?;
    let rest = rest.strip_prefix(b"://")?;
    let authority = rest.split(|b| b"/?#".contains(b)).next()?;
    let host = authority.rsplit(|&b| b == b'@').next()?;
    Authority::from_host_header(host, default_port(scheme)).ok()
}

/// Returns the authority in a line if it is a Host field.
fn in_host_field(line: &[u8]) -> Option<Authority> {
    let (name, value) = line.split_at_checked(line.iter().position(|&b| b == b':')?)?;
    let is_host = name.trim_ascii().eq_ignore_ascii_case(b"host");
    is_host.then(|| Authority::from_host_header(value.get(1..)?.trim_ascii(), 80).ok()).flatten()
}

fn default_port(scheme: &[u8]) -> u16 {
    match scheme.to_ascii_lowercase().as_slice() {
        b"https" | b"wss" => 443,
        b"ftp" => 21,
        _ => 80,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::mutations::mutations;

    #[test]
    fn finds_the_host_of_a_refused_request() {
        for (head, expected) in [
            ("GET http://A:81/\rx HTTP/1.1\r\nHost: b\r\n", Some("a:81")),
            ("GET ftp://a/file HTTP/1.1\r\n", Some("a:21")),
            ("GET https://u:p@a HTTP/1.1", Some("a:443")),
            ("CONNECT a HTTP/1.1\r\n\r\n", Some("a:443")),
            ("CONNECT [::1]:5 HTTP/1.1\r\n\r\n", Some("[::1]:5")),
            ("\r\nPUT /p HTTP/1.1\r\nX : y\r\nhOst : b:1\r\n\r\n", Some("b:1")),
            ("GET http://a b/ HTTP/1.1\r\nHost: c\r\n\r\n", Some("a:80")),
            ("GET http:// HTTP/1.1\r\nHost: c\r\n\r\n", Some("c:80")),
            ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", None),
            ("SSH-2.0-x\r\n", None),
            ("", None),
        ] {
            let found = requested_host(head.as_bytes()).map(|host| host.to_string());
            assert_eq!(found.as_deref(), expected, "{head:?}");
        }
    }

    #[test]
    fn accepts_any_bytes() {
        let seeds = [b"GET http://u@h:81/p HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), b"CONNECT [::1]:443\r\n".to_vec()];
        mutations(&seeds, 1000, |bytes| drop(requested_host(bytes)));
    }
}
