//! Responses that offer HTTP/3, by which clients may bypass the proxy: they pass untouched and are reported.

use crate::support::http2_frames::{END_STREAM, headers};
use crate::support::{Capture, Origin, Pair};
use spectral_capture::Reason;

const OFFER: &str =
    "HTTP/1.1 200 OK\r\nalt-svc:  h3=\":443\"; ma=86400,h3-29=\":443\"\r\nContent-Length: 5\r\n\r\nhello";
const REQUEST: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[test]
fn an_offer_passes_untouched_and_is_reported_once_for_each_connection() {
    let origin = Origin::tls_responding(OFFER);
    let capture = Capture::start();
    let at = origin.authority("localhost");
    for _ in 0..2 {
        let mut connection = capture.tls(&at, "localhost");
        for _ in 0..3 {
            connection.send(REQUEST);
            assert_eq!(connection.read_exactly(OFFER.len()), OFFER.as_bytes());
        }
    }
    // Without a tunnel, the proxy is the origin's client.
    let request = format!("GET https://{at}/ HTTP/1.1\r\nHost: {at}\r\n\r\n");
    let response = capture.dial().request(request);
    assert_eq!(response.header("alt-svc"), Some("h3=\":443\"; ma=86400,h3-29=\":443\""));
    let outcome = capture.stop();
    outcome.assert_uncaptured(&at, 3, |reason| *reason == Reason::Http3Offered);
    assert_eq!(outcome.bundle().traces.len(), 7);
}

#[test]
fn each_host_of_an_http2_connection_is_reported() {
    let capture = Capture::start();
    let mut pair = Pair::http2_with_prefaces(&capture);
    for (stream, host, offer) in
        [(1, "a.test", "h3=\":443\""), (3, "b.test", "clear"), (5, "c.test:8443", "h3=\":8443\"")]
    {
        let request = format!(":method GET\n:scheme https\n:authority {host}\n:path /");
        pair.up(headers(stream, END_STREAM, &request));
        pair.down(headers(stream, END_STREAM, &format!(":status 204\nalt-svc {offer}")));
    }
    let port = pair.at.rsplit(':').next().unwrap().to_owned();
    pair.close();
    let outcome = capture.stop();
    let mut hosts: Vec<_> = outcome.summary.uncaptured.iter().map(|it| (it.host.clone(), it.reason.clone())).collect();
    hosts.sort();
    assert_eq!(
        hosts,
        [(format!("a.test:{port}"), Reason::Http3Offered), ("c.test:8443".to_owned(), Reason::Http3Offered)]
    );
}

#[test]
fn an_offer_in_the_clear_is_ignored_as_clients_ignore_it() {
    let origin = Origin::plain_responding(OFFER);
    let capture = Capture::start();
    let at = origin.authority("localhost");
    let response = capture.dial().request(format!("GET http://{at}/ HTTP/1.1\r\nHost: {at}\r\n\r\n"));
    assert_eq!(response.text(), "hello");
    assert!(capture.stop().summary.uncaptured.is_empty());
}
