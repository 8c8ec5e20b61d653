//! The URL of an exchange, as the client meant it.

use super::format::text;
use super::recorder::Origin;
use crate::wire::authority::Authority;
use crate::wire::message::RequestHead;

/// `scheme://authority/path?query`: the authority of the Host field, else of an absolute target, else the connection's. The
/// port is shown where it is not the scheme's own; path and query are as sent, bytes that are not UTF-8 read as Latin-1.
pub(crate) fn of(request: &RequestHead, origin: &Origin, is_socket: bool) -> String {
    let (scheme, default_port) = match (is_socket, origin.tls) {
        (false, false) => ("http", 80),
        (false, true) => ("https", 443),
        (true, false) => ("ws", 80),
        (true, true) => ("wss", 443),
    };
    let target = text(&request.target);
    let (absolute, path) = split_absolute(&target);
    let named = request.headers.first("host").or(absolute.map(str::as_bytes));
    let authority = match named.map(|host| Authority::of_host_header(host, origin.authority.port)) {
        Some(Ok(authority)) => authority,
        Some(Err(_)) | None => origin.authority.clone(),
    };
    let mut url = format!("{scheme}://{}", authority.host);
    if authority.port != default_port {
        url.push_str(&format!(":{}", authority.port));
    }
    match path {
        // The server as a whole has no path (RFC 9110 section 9.3.7).
        "*" => {}
        _ if path.starts_with('/') => url.push_str(path),
        _ => {
            url.push('/');
            url.push_str(path);
        }
    }
    url
}

/// An absolute-form target's authority, and the rest of it (RFC 9112 section 3.2.2).
fn split_absolute(target: &str) -> (Option<&str>, &str) {
    let scheme = ["http://", "https://", "ws://", "wss://"]
        .into_iter()
        .find(|scheme| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
    let Some(rest) = scheme.and_then(|scheme| target.get(scheme.len()..)) else {
        return (None, target);
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    (Some(authority), path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::authority::Host;
    use crate::wire::message::{Headers, Version};

    fn url(tls: bool, port: u16, target: &str, host: Option<&str>) -> String {
        let mut headers = Headers::default();
        if let Some(host) = host {
            headers.push(b"hOst", host.as_bytes());
        }
        let request = RequestHead { method: "GET".into(), target: target.into(), version: Version::Http11, headers };
        let authority = Authority { host: Host::V6("::1".parse().unwrap()), port };
        of(&request, &Origin { tls, authority, reached: None }, false)
    }

    #[test]
    fn says_what_the_client_meant() {
        for (tls, port, target, host, expected) in [
            (true, 443, "/a?b=%20c", Some("Api.Example.COM"), "https://api.example.com/a?b=%20c"),
            (true, 443, "/", Some("a.example:443"), "https://a.example/"),
            (true, 443, "/", Some("a.example:80"), "https://a.example:80/"),
            (true, 8443, "/", Some("a.example"), "https://a.example:8443/"),
            (false, 80, "/", Some("[2001:DB8::1]:81"), "http://[2001:db8::1]:81/"),
            (false, 8080, "/x", None, "http://[::1]:8080/x"),
            (false, 80, "/x", Some("no host/"), "http://[::1]/x"),
            (false, 80, "*", Some("a"), "http://a"),
            (false, 80, "?q", Some("a"), "http://a/?q"),
            (false, 80, "HTTP://b.example?q", None, "http://b.example/?q"),
            (true, 443, "https://b.example/p", Some("a.example"), "https://a.example/p"),
            (true, 443, "", Some("a"), "https://a/"),
        ] {
            assert_eq!(url(tls, port, target, host), expected, "{target} {host:?}");
        }
    }
}
