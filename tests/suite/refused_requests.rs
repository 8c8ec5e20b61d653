//! Requests that the proxy refuses are reported under their host, with the true reason.

use crate::support::cli::Spectral;
use crate::support::{Capture, Connection, TempDir, TlsClient};
use spectral_capture::Reason;

/// Requests, the host under which each is reported, and the reason.
const REFUSED: [(&str, &str, &str); 6] = [
    ("GET http://bad.test:81/ HTTP/1.1\r\nX: a\rb\r\n\r\n", "bad.test:81", "request refused: the request head has"),
    (
        "GET gopher://a.test/x HTTP/1.1\r\nHost: a.test:7\r\n\r\n",
        "a.test:80",
        "request refused: unsupported URL scheme",
    ),
    ("CONNECT tunnel.test HTTP/1.1\r\n\r\n", "tunnel.test:443", "request refused: malformed request target"),
    (
        "POST http://c.test/ HTTP/1.1\r\nTransfer-Encoding: x\r\n\r\n",
        "c.test:80",
        "request refused: the length of the request body is ambiguous",
    ),
    ("GET /page HTTP/1.1\r\nHost: web.test\r\n\r\n", "web.test:80", "not a proxy request"),
    ("SSH-2.0-client\r\n\r\n", "(the proxy itself)", "request refused: not an HTTP/1 request"),
];

#[test]
fn refused_requests_are_reported_under_their_host() {
    for capture in [Capture::start(), Capture::discover()] {
        for (request, host, reason) in REFUSED {
            let mut connection = capture.dial();
            assert_eq!(connection.request(request).status, 400, "{request:?}");
            let reported = capture.wait_for_uncaptured(|r| r.to_string().starts_with(reason));
            assert_eq!(reported, host, "{request:?}");
        }
        let outcome = capture.stop();
        for (_, host, reason) in REFUSED {
            outcome.assert_uncaptured(host, 1, |r| r.to_string().starts_with(reason));
        }
        assert_eq!(outcome.summary.uncaptured.len(), REFUSED.len());
    }
}

#[test]
fn tls_with_the_proxy_itself_is_called_that() {
    for capture in [Capture::start(), Capture::discover()] {
        let mut connection = capture.dial();
        TlsClient::new("localhost", Vec::new()).start(&mut connection).unwrap_err();
        drop(connection);
        capture.stop().assert_uncaptured("(the proxy itself)", 1, |reason| *reason == Reason::TlsToTheProxy);
    }
}

#[test]
fn a_discovery_ends_with_the_hosts_that_it_did_not_reach() {
    let dir = TempDir::new();
    let running = Spectral::discover(&dir, &[]);
    Connection::to(running.addr).request(REFUSED[0].0);
    running.wait_for_line("bad.test:81");
    let output = running.interrupt().ok();
    let expected =
        "Not reached:\n  bad.test:81  1 connection: request refused: the request head has a malformed line\n";
    assert!(output.err.contains(expected), "{}", output.err);
}
