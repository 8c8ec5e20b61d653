//! Requests to the proxy itself: it serves a small page, never loops, and records nothing.

use crate::support::{Capture, TlsClient};
use spectral_capture::Reason;

#[test]
fn serves_the_page_for_each_spelling_of_its_address() {
    let capture = Capture::start();
    let port = capture.addr.port();
    for host in
        ["127.0.0.1", "localhost", "LocalHost", "localhost.", "127.1", "2130706433", "0.0.0.0", "[::ffff:127.0.0.1]"]
    {
        let mut connection = capture.dial();
        let response = connection.request(format!("GET http://{host}:{port}/ HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n"));
        assert_eq!(response.status, 200, "{host}: {}", response.head);
        assert_page(&response.text());
    }
    assert!(capture.stop().bundle().traces.is_empty());
}

#[test]
fn serves_the_page_to_a_browser_without_proxy() {
    let capture = Capture::start();
    for host in ["127.0.0.1", "localhost"] {
        let mut connection = capture.dial();
        let response = connection.request(format!("GET / HTTP/1.1\r\nHost: {host}:{}\r\n\r\n", capture.addr.port()));
        assert_eq!(response.status, 200, "{host}: {}", response.head);
        assert_page(&response.text());
    }
}

#[test]
fn serves_the_page_and_certificates_at_mitm_it() {
    let capture = Capture::start();
    let mut connection = capture.dial();
    let page = connection.request("GET http://mitm.it/ HTTP/1.1\r\nHost: mitm.it\r\n\r\n");
    assert_eq!(page.status, 200);
    let page = page.text();
    assert_page(&page);
    let pem = std::fs::read(capture.ca.as_ref().unwrap()).unwrap();
    for kind in ["pem", "cer"] {
        let link_to =
            hrefs(&page).into_iter().find(|href| href.ends_with(kind)).unwrap_or_else(|| panic!("{kind}: {page}"));
        let path = link_to.strip_prefix("http://mitm.it").unwrap_or(&link_to);
        let mut connection = capture.dial();
        let response = connection.request(format!("GET http://mitm.it{path} HTTP/1.1\r\nHost: mitm.it\r\n\r\n"));
        assert_eq!(response.status, 200, "{link_to}: {}", response.head);
        assert_eq!(response.text(), String::from_utf8_lossy(&pem), "{link_to}");
    }
    drop(connection);
    let outcome = capture.stop();
    assert!(outcome.bundle().traces.is_empty());
}

#[test]
fn answers_only_get_and_head() {
    let capture = Capture::start();
    let before = capture.dir.names();
    for (method, path) in
        [("POST", "/"), ("DELETE", "/"), ("PUT", "/cert.pem"), ("GET", "/no/such/page"), ("GET", "/../../etc/passwd")]
    {
        let mut connection = capture.dial();
        let response = connection
            .request(format!("{method} http://mitm.it{path} HTTP/1.1\r\nHost: mitm.it\r\nContent-Length: 0\r\n\r\n"));
        assert!((400..500).contains(&response.status), "{method} {path}: {}", response.head);
        assert!(!response.text().contains("root:"), "{}", response.text());
    }
    let mut connection = capture.dial();
    connection.send("HEAD http://mitm.it/ HTTP/1.1\r\nHost: mitm.it\r\nConnection: close\r\n\r\n");
    let (bytes, _) = connection.read_to_end();
    assert!(bytes.ends_with(b"\r\n\r\n"), "HEAD has no body: {}", bytes.escape_ascii());
    assert_eq!(capture.dir.names(), before, "no file is changed");
}

#[test]
fn never_serves_the_private_key() {
    let capture = Capture::start();
    for path in ["/mitmproxy-ca.pem", "/cert/mitmproxy-ca.pem", "/ca.pem", "/cert/pem", "/cert.pem", "/"] {
        let mut connection = capture.dial();
        let response = connection.request(format!("GET http://mitm.it{path} HTTP/1.1\r\nHost: mitm.it\r\n\r\n"));
        assert!(!response.text().contains("PRIVATE KEY"), "{path}");
    }
}

#[test]
fn connect_to_the_proxy_does_not_loop() {
    let capture = Capture::start();
    let port = capture.addr.port();
    for target in [format!("127.0.0.1:{port}"), format!("localhost:{port}"), format!("127.1:{port}")] {
        let (mut connection, response) = capture.try_connect(&target);
        if response.status == 200 {
            let page = connection.request(format!("GET / HTTP/1.1\r\nHost: {target}\r\n\r\n"));
            assert_page(&page.text());
        } else {
            assert!((400..600).contains(&response.status), "{}", response.head);
        }
        // TLS to the proxy itself ends too, with or without an error.
        let (mut connection, response) = capture.try_connect(&target);
        if response.status == 200 {
            TlsClient::new("localhost", capture.roots()).start(&mut connection).ok();
        }
    }
    assert!(capture.stop().bundle().traces.is_empty());
}

#[test]
fn refuses_nested_connects_to_itself() {
    // A chain of CONNECTs to the proxy, each inside the previous one.
    let capture = Capture::start();
    let target = format!("127.0.0.1:{}", capture.addr.port());
    let (mut connection, mut response) = capture.try_connect(&target);
    for _ in 0..20 {
        if response.status != 200 {
            break;
        }
        connection.send(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"));
        response = connection.read_response();
    }
    assert_ne!(response.status, 200, "{}", response.head);
    drop(connection);
    let is_ourselves = |reason: &Reason| reason.to_string() == "request refused: it is this proxy itself";
    capture.stop().assert_uncaptured(&target, 1, is_ourselves);
}

#[test]
fn refuses_requests_of_web_pages() {
    let capture = Capture::start();
    let mut connection = capture.dial();
    let response =
        connection.request("GET /users HTTP/1.1\r\nHost: api.example.test\r\nOrigin: http://evil.test\r\n\r\n");
    assert_eq!(response.status, 400);
    assert!(response.text().contains("transparent mode"), "{}", response.text());
    // It cannot read the page either: a name rebound to the proxy's address is not accepted.
    let mut connection = capture.dial();
    let rebound = format!("GET / HTTP/1.1\r\nHost: evil.test:{}\r\n\r\n", capture.addr.port());
    assert_eq!(connection.request(rebound).status, 400);
    assert!(capture.stop().bundle().traces.is_empty());
}

#[track_caller]
fn assert_page(page: &str) {
    let lower = page.to_lowercase();
    for word in ["spectral", ".pem", ".cer", "proxy"] {
        assert!(lower.contains(word), "{word} in {page}");
    }
}

fn hrefs(page: &str) -> Vec<String> {
    let parts = page.split("href=").skip(1);
    parts.filter_map(|part| part.trim_start_matches('"').split(['"', '>', ' ']).next()).map(str::to_owned).collect()
}
