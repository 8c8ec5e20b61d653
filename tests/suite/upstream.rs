//! An upstream proxy: what it receives, what it may answer, and that the capture is the same as without it.

use crate::support::upstream_proxy::{AUTHORIZATION, UpstreamProxy, through};
use crate::support::{
    Capture, Connection, Ending, Origin, Outcome, TestCa, TlsClient, TlsSetup, next_request, respond_to_all,
};
use spectral_capture::{NoProxy, Reason, UpstreamProxies};
use std::net::TcpListener;

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";

/// Starts a capture that uses `proxies`.
#[track_caller]
fn capture_through(proxies: UpstreamProxies) -> Capture {
    Capture::with(|config| config.upstream_proxies = proxies)
}

/// Starts a proxy that runs `script` on each connection, and a capture that uses it.
#[track_caller]
fn scripted(script: impl Fn(Connection) + Send + Sync + 'static) -> (Origin, Capture) {
    let proxy = Origin::plain(script);
    let capture = capture_through(through(proxy.addr));
    (proxy, capture)
}

/// Fails unless `host` is reported as unreachable, once, with a reason that contains `why`, and the password is nowhere.
#[track_caller]
fn assert_unreachable(outcome: &Outcome, host: &str, why: &str) {
    outcome.assert_uncaptured(host, 1, |reason| matches!(reason, Reason::Unreachable(text) if text.contains(why)));
    let shown = format!("{outcome:?}");
    assert!(!shown.contains("secret") && !shown.contains("dXNlcjpzZWNyZXQ"), "{shown}");
}

#[test]
fn a_tunnel_goes_through_the_proxy_and_is_captured() {
    let origin = Origin::tls_responding(HELLO);
    let proxy = UpstreamProxy::to(origin.addr);
    let capture = capture_through(proxy.setting());
    let mut connection = capture.tls("example.test:443", "example.test");
    assert_eq!(connection.request("GET /a HTTP/1.1\r\nHost: example.test\r\n\r\n").text(), "hello");
    let connect = "CONNECT example.test:443 HTTP/1.1\r\nHost: example.test:443\r\n";
    assert_eq!(proxy.heads.read(Clone::clone), [format!("{connect}{AUTHORIZATION}\r\n")]);
    drop(connection);
    let outcome = capture.stop();
    outcome.assert_no_warnings();
    let trace = outcome.bundle().only_trace();
    assert_eq!((trace.url(), trace.text().as_str()), ("https://example.test/a", "hello"));
    assert!(trace.ms("dns") == 0.0 && trace.ms("connect") > 0.0, "the proxy resolves the name: {:?}", trace.ms("dns"));
}

#[test]
fn a_plain_request_goes_in_absolute_form_and_is_captured_as_without_the_proxy() {
    let origin = Origin::plain_responding(HELLO);
    let proxy = UpstreamProxy::to(origin.addr);
    let capture = capture_through(proxy.setting());
    let mut connection = capture.dial();
    let fields = "Host: example.test\r\nx-A:  b\r\nContent-Length: 3\r\n";
    let sent =
        format!("POST http://me:mine@example.test/p?q HTTP/1.1\r\n{fields}Proxy-Connection: keep-alive\r\n\r\nabc");
    assert_eq!(connection.request(&sent).text(), "hello");
    assert_eq!(connection.request(&sent).text(), "hello");
    let fields = format!("{fields}Authorization: Basic bWU6bWluZQ==\r\n");
    let start = "POST http://example.test/p?q HTTP/1.1\r\n";
    assert_eq!(
        proxy.heads.read(Clone::clone),
        [format!("{start}{AUTHORIZATION}{fields}\r\n")],
        "one connection is kept"
    );
    // The second request passed unread.
    let received = String::from_utf8(origin.received_at_least(0, 200)).unwrap();
    assert_eq!(received, format!("{start}{fields}\r\nabc{start}{AUTHORIZATION}{fields}\r\nabc"));
    drop(connection);
    let outcome = capture.stop();
    outcome.assert_no_warnings();
    for trace in &outcome.bundle().traces {
        assert_eq!((trace.url(), trace.text().as_str()), ("http://example.test/p?q", "hello"));
        let names: Vec<_> = trace.request_headers().into_iter().map(|(name, _)| name).collect();
        assert_eq!(
            (names, &*trace.request_body),
            (vec!["Host", "x-A", "Content-Length", "Authorization"], &b"abc"[..])
        );
    }
}

#[test]
fn a_request_for_an_https_url_gets_a_tunnel() {
    let origin = Origin::tls_responding(HELLO);
    let proxy = UpstreamProxy::to(origin.addr);
    let capture = capture_through(proxy.setting());
    let mut connection = capture.dial();
    assert_eq!(connection.request("GET https://example.test/ HTTP/1.1\r\nHost: example.test\r\n\r\n").text(), "hello");
    assert!(proxy.heads.read(|heads| heads[0].starts_with("CONNECT example.test:443 ")));
    drop(connection);
    assert_eq!(capture.stop().bundle().only_trace().url(), "https://example.test/");
}

#[test]
fn a_passthrough_on_a_new_connection_goes_through_the_proxy() {
    let setup = TlsSetup { ca: TestCa::unknown(), ..TlsSetup::default() };
    let origin = Origin::tls_with(setup, |connection| respond_to_all(connection, HELLO.as_bytes()));
    let proxy = UpstreamProxy::to(origin.addr);
    let capture = capture_through(proxy.setting());
    let client = TlsClient::new("example.test", vec![TestCa::unknown().der()]);
    let mut connection = capture.tls_with("example.test:443", &client);
    assert_eq!(connection.peer_certificate(), *origin.certificate());
    assert_eq!(connection.request("GET / HTTP/1.1\r\nHost: example.test\r\n\r\n").text(), "hello");
    assert_eq!(proxy.heads.read(Vec::len), 2);
    drop(connection);
    capture.stop().assert_uncaptured("example.test:443", 1, |reason| matches!(reason, Reason::OriginNotTrusted(_)));
}

#[test]
fn this_machine_and_no_proxy_are_reached_directly() {
    let origin = Origin::plain_responding(HELLO);
    // A proxy that is not there.
    let mut proxies = through(([127, 0, 0, 1], 1).into());
    proxies.no_proxy = NoProxy::parse("127.0.0.0/8,example.test");
    let capture = capture_through(proxies);
    for host in ["localhost", "127.0.0.1"] {
        let target = origin.authority(host);
        let request = format!("GET http://{target}/ HTTP/1.1\r\nHost: {target}\r\n\r\n");
        assert_eq!(capture.dial().request(request).text(), "hello");
        let mut connection = capture.connect(&target);
        assert_eq!(connection.request(format!("GET / HTTP/1.1\r\nHost: {target}\r\n\r\n")).text(), "hello");
    }
    let response = capture.dial().request("GET http://example.test/ HTTP/1.1\r\nHost: example.test\r\n\r\n");
    assert!(response.text().contains("its name does not resolve"), "{}", response.text());
    let response = capture.dial().request("GET http://other.test/ HTTP/1.1\r\nHost: other.test\r\n\r\n");
    let expected = "cannot reach other.test:80: the upstream proxy http://127.0.0.1:1 cannot be reached: it refused the connection";
    assert!(response.text().contains(expected), "{}", response.text());
    assert_unreachable(&capture.stop(), "other.test:80", "it refused the connection");
}

#[test]
fn bytes_of_the_origin_behind_the_answer_reach_the_client() {
    let (_proxy, capture) = scripted(|mut connection| {
        connection.read_head();
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n220 ready\r\n");
        assert_eq!(connection.read_exactly(6), b"QUIT\r\n");
        connection.send("221 bye\r\n");
    });
    let mut connection = capture.connect("mail.test:25");
    assert_eq!(connection.read_exactly(11), b"220 ready\r\n");
    connection.send("QUIT\r\n");
    assert_eq!(connection.read_to_end(), (b"221 bye\r\n".to_vec(), Ending::Clean));
}

#[test]
fn a_proxy_that_answers_byte_by_byte_serves_tunnels_and_plain_requests() {
    let slowly = |connection: &mut Connection, bytes: &str| bytes.bytes().for_each(|byte| connection.send([byte]));
    let (_proxy, capture) = scripted(move |mut connection| {
        if connection.read_head().starts_with("CONNECT ") {
            slowly(&mut connection, "HTTP/1.1 200 OK\r\nA: b\r\n\r\n");
            connection.read_head();
        }
        slowly(&mut connection, &HELLO.replace("HTTP/1.1 200", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200"));
    });
    let request = "GET / HTTP/1.1\r\nHost: example.test\r\n\r\n";
    for (mut connection, request) in [
        (capture.connect("example.test:80"), request.to_owned()),
        (capture.dial(), request.replace("GET ", "GET http://example.test")),
    ] {
        connection.send(request);
        assert_eq!(connection.read_head(), "HTTP/1.1 100 Continue\r\n\r\n");
        assert_eq!(connection.read_response().text(), "hello");
    }
    let outcome = capture.stop();
    outcome.assert_no_warnings();
    assert_eq!(outcome.bundle().urls(), ["http://example.test/", "http://example.test/"]);
}

/// The request for a tunnel and the plain request that a proxy refuses, with the host as reported.
const REFUSED: [(&str, &str); 2] = [
    ("CONNECT example.test:443 HTTP/1.1\r\nHost: example.test:443\r\n\r\n", "example.test:443"),
    ("GET http://example.test/ HTTP/1.1\r\nHost: example.test\r\n\r\n", "example.test:80"),
];

/// Fails unless a proxy that sends `answer`, in pieces of `step` bytes, causes a 502 that contains `why`.
#[track_caller]
fn assert_refusal(answer: &'static str, step: usize, why: &str) {
    let (proxy, capture) = scripted(move |mut connection| {
        connection.read_head();
        answer.as_bytes().chunks(step).for_each(|piece| drop(connection.writer.try_send(piece)));
        connection.reader.has_more();
    });
    for (request, host) in REFUSED {
        let mut connection = capture.dial();
        let response = connection.request(request);
        let text = response.text();
        assert_eq!(response.status, 502, "{}", response.head);
        assert_eq!(response.header("proxy-authenticate"), None, "{}", response.head);
        assert!(
            text.contains(&format!("cannot reach {host}: the upstream proxy http://{} {why}", proxy.addr)),
            "{text}"
        );
        assert_eq!(connection.read_to_end(), (Vec::new(), Ending::Clean));
    }
    let outcome = capture.stop();
    for (_, host) in REFUSED {
        assert_unreachable(&outcome, host, why);
    }
}

#[test]
fn the_password_request_of_the_proxy_never_reaches_the_client() {
    let answer = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"corp\"\r\n\
                  Content-Length: 2\r\n\r\nno";
    for step in [1, 1000] {
        assert_refusal(answer, step, "rejected the user name or the password");
    }
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 407 X\r\nProxy-Authenticate: Basic\r\n\r\n";
    let (_proxy, capture) = scripted(move |mut connection| {
        connection.read_head();
        connection.send(interim);
        connection.reader.has_more();
    });
    assert_eq!(capture.dial().request(REFUSED[1].0).status, 502);
}

#[test]
fn a_proxy_for_windows_logins_needs_another_one_in_front() {
    let answer = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Negotiate\r\n\
                  Proxy-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n";
    assert_refusal(answer, 1000, "accepts no password, only Negotiate and NTLM: put cntlm or px in front of it");
}

#[test]
fn a_refused_tunnel_is_reported_with_the_reason() {
    for (answer, why) in [
        (
            "HTTP/1.1 403 Forbidden\r\nX-Squid-Error: ERR_ACCESS_DENIED 0\r\n\r\n",
            "refused it: 403 Forbidden (ERR_ACCESS_DENIED 0)",
        ),
        ("SSH-2.0-OpenSSH_9\r\n", "does not answer as an HTTP proxy"),
        ("HTTP/1.1 200 Conn", "closed the connection before it answered"),
        ("", "closed the connection before it answered"),
    ] {
        let (_proxy, capture) = scripted(move |mut connection| {
            connection.read_head();
            connection.send(answer);
        });
        let (mut connection, response) = capture.try_connect("example.test:443");
        assert_eq!(response.status, 502);
        let text = String::from_utf8(connection.read_to_end().0).unwrap();
        assert!(text.contains(why), "{text}");
        assert_unreachable(&capture.stop(), "example.test:443", why);
    }
}

#[test]
fn a_proxy_that_dies_before_it_answers_a_plain_request_is_named() {
    for answer in ["", "HTTP/1.1 2"] {
        let (proxy, capture) = scripted(move |mut connection| {
            connection.read_head();
            connection.send(answer);
        });
        let response = capture.dial().request(REFUSED[1].0);
        let expected = format!("the upstream proxy http://{} closed the connection before it answered", proxy.addr);
        assert!(response.status == 502 && response.text().contains(&expected), "{}", response.text());
    }
}

#[test]
fn answers_of_the_proxy_to_plain_requests_pass() {
    let answer = "HTTP/1.1 503 Service Unavailable\r\nX-Squid-Error: ERR_DNS_FAIL 0\r\nContent-Length: 3\r\n\r\nbad";
    let (_proxy, capture) = scripted(move |connection| respond_to_all(connection, answer.as_bytes()));
    let mut connection = capture.dial();
    connection.send(REFUSED[1].0);
    assert_eq!(connection.read_exactly(answer.len()), answer.as_bytes());
    drop(connection);
    assert_eq!(capture.stop().bundle().only_trace().status(), 503);
}

#[test]
fn a_refusal_during_an_upload_ends_it() {
    let (_proxy, capture) = scripted(|mut connection| {
        connection.read_head();
        connection.send("HTTP/1.1 407 X\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n");
        connection.reader.has_more();
        connection.read_to_end();
    });
    let mut connection = capture.dial();
    connection.send("POST http://example.test/ HTTP/1.1\r\nHost: example.test\r\nContent-Length: 1000000\r\n\r\nabc");
    assert_eq!(connection.read_response().status, 502);
}

#[test]
fn a_request_is_sent_again_in_absolute_form() {
    let (proxy, capture) = scripted(|mut connection| {
        // Serves one request, then closes when the next one arrives.
        next_request(&mut connection);
        connection.send(HELLO);
        if connection.reader.has_more() {
            connection.close_abruptly();
        }
    });
    let mut connection = capture.dial();
    let request = REFUSED[1].0;
    assert_eq!(connection.request(request).text(), "hello");
    assert_eq!(connection.request(request).text(), "hello");
    let sent = format!("GET http://example.test/ HTTP/1.1\r\n{AUTHORIZATION}Host: example.test\r\n\r\n");
    assert_eq!(String::from_utf8(proxy.received(1)).unwrap(), sent);
    drop(connection);
    assert_eq!(capture.stop().bundle().traces.len(), 2);
}

#[test]
fn a_silent_proxy_does_not_delay_the_stop() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let capture = capture_through(through(listener.local_addr().unwrap()));
    let mut connection = capture.dial();
    connection.send(REFUSED[0].0);
    let (_silent, _) = listener.accept().unwrap();
    capture.stop();
}

#[test]
fn a_switch_of_protocols_passes_through_the_proxy() {
    let (_proxy, capture) = scripted(|mut connection| {
        connection.read_head();
        connection.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: odd\r\nConnection: upgrade\r\n\r\nready");
        let echo = connection.read_exactly(5);
        connection.send(echo);
    });
    let mut connection = capture.dial();
    connection
        .send("GET http://example.test/ HTTP/1.1\r\nHost: example.test\r\nUpgrade: odd\r\nConnection: upgrade\r\n\r\n");
    assert!(connection.read_head().starts_with("HTTP/1.1 101 "));
    assert_eq!(connection.read_exactly(5), b"ready");
    connection.send("hello");
    assert_eq!(connection.read_exactly(5), b"hello");
}

#[test]
fn the_page_with_the_certificate_needs_no_proxy() {
    let capture = capture_through(through(([127, 0, 0, 1], 1).into()));
    let response = capture.dial().request("GET http://mitm.it/ HTTP/1.1\r\nHost: mitm.it\r\n\r\n");
    assert_eq!(response.status, 200);
    let own = capture.addr;
    let response = capture.dial().request(format!("GET http://{own}/ HTTP/1.1\r\nHost: {own}\r\n\r\n"));
    assert_eq!(response.status, 200);
}

/// Squid refuses a tunnel to port 80 by default. Node under `capture run`, SOCKS clients and redirected ones have nothing else.
#[test]
fn plain_requests_in_a_forbidden_tunnel_are_forwarded_one_by_one() {
    let (proxy, capture) = scripted(|mut connection| {
        while let Some((head, _)) = next_request(&mut connection) {
            let refusal = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
            connection.send(if head.starts_with("CONNECT ") { refusal } else { HELLO });
        }
    });
    let mut connection = capture.connect("example.test:80");
    for path in ["/1", "/2"] {
        assert_eq!(connection.request(format!("GET {path} HTTP/1.1\r\nHost: example.test\r\n\r\n")).text(), "hello");
    }
    let sent = |path| format!("GET http://example.test{path} HTTP/1.1\r\n{AUTHORIZATION}Host: example.test\r\n\r\n");
    assert_eq!(String::from_utf8(proxy.received(1)).unwrap(), sent("/1") + &sent("/2"));
    drop(connection);
    // The request would go to another server, or is none.
    for sent in ["GET / HTTP/1.1\r\nHost: other.test\r\n\r\n", "\x16\x03\x01", "\x05\x01\0", "QUIT\r\n\r\n"] {
        let mut connection = capture.connect("other.example:80");
        connection.send(sent);
        assert_eq!(connection.read_to_end(), (Vec::new(), Ending::Reset), "{sent:?}");
    }
    let outcome = capture.stop();
    outcome.assert_uncaptured(
        "other.example:80",
        4,
        |reason| matches!(reason, Reason::Unreachable(text) if text.ends_with("refused it: 403 Forbidden")),
    );
    assert_eq!(outcome.bundle().urls(), ["http://example.test/1", "http://example.test/2"]);
}
