//! Redirected traffic, with and without `--transparent`.

#[cfg(target_os = "linux")]
use crate::support::network::Network;
use crate::support::{Capture, Origin, TlsClient, TlsSetup, respond_to_all};
use spectral_capture::Transparent;

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

#[test]
fn forwards_a_redirected_request_to_its_host() {
    let origin = Origin::plain_responding(HELLO);
    let capture = Capture::with(|config| config.transparent = Transparent::ByName);
    let mut connection = capture.dial();
    let request = format!("GET /t HTTP/1.1\r\nhost: {}\r\nX-Odd:1\r\n\r\n", origin.authority("localhost"));
    assert_eq!(connection.request(&request).text(), "hello");
    assert_eq!(origin.received(0), request.as_bytes());
    drop(connection);
    let outcome = capture.stop();
    assert_eq!(outcome.bundle().only_trace().url(), format!("http://{}/t", origin.authority("localhost")));
}

#[test]
#[cfg(target_os = "linux")]
fn forwards_redirected_tls_to_its_server_name() {
    // Others may use port 443 of this machine.
    Network::run(|_| {
        let _origin = Origin::at("127.0.0.1:443", Some(TlsSetup::default()), |connection| {
            respond_to_all(connection, HELLO.as_bytes());
        });
        let capture = Capture::with(|config| config.transparent = Transparent::ByName);
        let mut connection = capture.dial();
        capture.client("localhost").start(&mut connection).unwrap();
        assert_eq!(connection.request("GET /t HTTP/1.1\r\nHost: localhost\r\n\r\n").text(), "hello");
        drop(connection);
        assert_eq!(capture.stop().bundle().only_trace().url(), "https://localhost/t");
    });
}

#[test]
fn closes_redirected_tls_without_a_server_name() {
    let capture = Capture::with(|config| config.transparent = Transparent::ByName);
    let mut connection = capture.dial();
    let mut client = capture.client("localhost");
    client.sni = false;
    client.start(&mut connection).unwrap_err();
}

#[test]
fn redirected_traffic_never_loops() {
    let capture = Capture::with(|config| config.transparent = Transparent::ByName);
    let mut connection = capture.dial();
    let response = connection.request(format!("GET / HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", capture.addr.port()));
    assert_eq!(response.status, 200);
    assert!(response.text().contains(".pem"), "the page of the proxy itself");
    let mut connection = capture.dial();
    let response = connection.request("GET / HTTP/1.1\r\n\r\n");
    assert_eq!(response.status, 400, "a request without Host is refused");
}

#[test]
fn refuses_redirected_requests_without_the_option() {
    let origin = Origin::plain_responding(HELLO);
    let capture = Capture::start();
    let mut connection = capture.dial();
    let response = connection.request(format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", origin.authority("localhost")));
    assert_eq!(response.status, 400);
    assert!(response.text().contains("transparent mode"), "{}", response.text());

    let mut connection = capture.dial();
    TlsClient::new("localhost", capture.roots()).start(&mut connection).unwrap_err();
    assert_eq!(origin.connections(), 0);
    assert!(capture.stop().bundle().traces.is_empty());
}
