//! Upstream proxies of other projects: Squid, tinyproxy, microsocks, Dante, and Spectral itself.

use crate::support::proxy_server::ProxyServer;
use crate::support::{Capture, Origin, TlsClient};
use spectral_capture::{Credentials, NoProxy, Reason, UpstreamProxies, UpstreamProxy};

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";

fn capture_through(url: &str) -> Capture {
    let proxies = UpstreamProxies::all(UpstreamProxy::parse(url).unwrap());
    Capture::with(|config| config.upstream_proxies = proxies)
}

/// Captures a tunnel with TLS and plain requests through `server`, then uses a wrong password.
#[track_caller]
fn assert_serves(server: &ProxyServer, tls: &Origin, plain: &Origin, has_password: bool) {
    let (tls_host, plain_host) = (tls.authority(server.host), plain.authority(server.host));
    let request = format!("GET http://{plain_host}/plain HTTP/1.1\r\nHost: {plain_host}\r\n\r\n");
    let capture = capture_through(&server.url(if has_password { "user:secret@" } else { "" }));
    let mut tunnel = capture.tls(&tls_host, "example.test");
    let over_tls = format!("GET /tls HTTP/1.1\r\nHost: {tls_host}\r\n\r\n");
    assert_eq!(tunnel.request(over_tls).text(), "hello", "{}", server.name);
    let mut connection = capture.dial();
    for _ in 0..2 {
        assert_eq!(connection.request(&request).text(), "hello", "{}", server.name);
    }
    drop((tunnel, connection));
    let outcome = capture.stop();
    assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
    let plain_url = format!("http://{plain_host}/plain");
    assert_eq!(outcome.bundle().urls(), [format!("https://{tls_host}/tls"), plain_url.clone(), plain_url]);

    if !has_password {
        return;
    }
    for credentials in ["", "user:wrong@"] {
        let capture = capture_through(&server.url(credentials));
        let (_, response) = capture.try_connect(&tls_host);
        assert_eq!(response.status, 502, "{}: {}", server.name, response.head);
        let response = capture.dial().request(&request);
        assert_eq!(response.status, 502, "{}: {}", server.name, response.head);
        let why = if credentials.is_empty() { "requires a user name and a password" } else { "rejected the user name" };
        assert!(response.text().contains(why), "{}: {}", server.name, response.text());
        let outcome = capture.stop();
        for host in [&tls_host, &plain_host] {
            outcome.assert_uncaptured(
                host,
                1,
                |reason| matches!(reason, Reason::Unreachable(text) if text.contains(why)),
            );
        }
    }
}

#[test]
fn squid_with_a_password() {
    let (tls, plain) = (Origin::tls_responding(HELLO), Origin::plain_responding(HELLO));
    let Some(squid) = ProxyServer::squid(tls.port()) else {
        return;
    };
    assert_serves(&squid, &tls, &plain, true);
    // It refuses a tunnel to the plain origin, so plain requests cannot have used one.
    let capture = capture_through(&squid.url("user:secret@"));
    let (_, response) = capture.try_connect(&plain.authority(squid.host));
    assert_eq!(response.status, 502);
    capture.stop().assert_uncaptured(
        &plain.authority(squid.host),
        1,
        |reason| matches!(reason, Reason::Unreachable(text) if text.ends_with("refused it: 403 Forbidden (ERR_ACCESS_DENIED 0)")),
    );
}

#[test]
fn tinyproxy_with_a_password() {
    let Some(tinyproxy) = ProxyServer::tinyproxy() else {
        return;
    };
    assert_serves(&tinyproxy, &Origin::tls_responding(HELLO), &Origin::plain_responding(HELLO), true);
}

#[test]
fn microsocks_with_a_password() {
    let Some(microsocks) = ProxyServer::microsocks() else {
        return;
    };
    assert_serves(&microsocks, &Origin::tls_responding(HELLO), &Origin::plain_responding(HELLO), true);
    let capture = capture_through(&microsocks.url("user:secret@"));
    let (mut connection, response) = capture.try_connect("127.1:1");
    assert_eq!(response.status, 502);
    let text = String::from_utf8(connection.read_to_end().0).unwrap();
    assert!(text.contains("refused it: connection refused"), "{text}");
}

#[test]
fn dante_without_a_password() {
    let Some(danted) = ProxyServer::danted() else {
        return;
    };
    assert_serves(&danted, &Origin::tls_responding(HELLO), &Origin::plain_responding(HELLO), false);
}

/// `127.1` is a name for the first Spectral, and resolved by the second.
#[test]
fn a_chain_of_two_captures_over_http_and_socks() {
    let (tls, plain) = (Origin::tls_responding(HELLO), Origin::plain_responding(HELLO));
    for scheme in ["http", "socks5"] {
        let second = Capture::with(|config| config.auth = Credentials::parse("user:secret"));
        let url = format!("{scheme}://user:secret@{}", second.addr);
        let first = Capture::with(|config| {
            config.upstream_proxies = UpstreamProxies::all(UpstreamProxy::parse(&url).unwrap());
            // The second one's certificates.
            config.upstream_ca.push(second.ca.clone().unwrap().into());
        });
        let (tls_host, plain_host) = (tls.authority("127.1"), plain.authority("127.1"));
        let mut tunnel = first.tls(&tls_host, "example.test");
        assert_eq!(tunnel.request(format!("GET /tls HTTP/1.1\r\nHost: {tls_host}\r\n\r\n")).text(), "hello");
        let mut connection = first.dial();
        let request = format!("GET http://{plain_host}/plain HTTP/1.1\r\nHost: {plain_host}\r\n\r\n");
        assert_eq!(connection.request(request).text(), "hello");
        drop((tunnel, connection));
        for capture in [first, second] {
            let outcome = capture.stop();
            outcome.assert_no_warnings();
            assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
            let urls = [format!("https://{tls_host}/tls"), format!("http://{plain_host}/plain")];
            assert_eq!(outcome.bundle().urls(), urls, "{scheme}");
            for trace in &outcome.bundle().traces {
                assert!(trace.request_headers().iter().all(|(name, _)| *name != "Proxy-Authorization"), "{scheme}");
            }
        }
    }
}

#[test]
fn a_discovery_lists_domains_through_a_proxy() {
    let Some(tinyproxy) = ProxyServer::tinyproxy() else {
        return;
    };
    let origin = Origin::tls_responding(HELLO);
    let proxies = UpstreamProxies::all(UpstreamProxy::parse(&tinyproxy.url("user:secret@")).unwrap());
    let capture = Capture::discover_with(|config| {
        config.upstream_proxies = proxies;
        config.upstream_proxies.no_proxy = NoProxy::parse("other.test");
    });
    let client = TlsClient::new("example.test", vec![crate::support::TestCa::trusted().der()]);
    let mut connection = capture.tls_with(&origin.authority("127.1"), &client);
    assert_eq!(connection.request("GET / HTTP/1.1\r\nHost: example.test\r\n\r\n").text(), "hello");
    drop(connection);
    let names: Vec<_> = capture.stop().summary.domains.into_iter().map(|domain| domain.name).collect();
    assert_eq!(names, ["example.test"]);
}
