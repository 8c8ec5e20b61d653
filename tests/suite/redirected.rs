//! Connections that a firewall of the proxy's machine redirects to it go to their original destination. Each test has a network
//! of its own, whose firewall is nftables.

use crate::support::network::Network;
use crate::support::{
    Capture, CertSpec, Connection, Ending, Origin, TestCa, TlsClient, TlsSetup, next_request, options, patterns,
    respond_to_all,
};
use spectral_capture::{Config, Reason, Transparent};

/// Starts a capture on the gateway, on all its addresses, and redirects the client's connections to it.
fn redirected_capture(network: &Network, change: impl FnOnce(&mut Config)) -> Capture {
    let capture = transparent_capture(change);
    network.redirect_to(capture.addr.port());
    capture
}

fn transparent_capture(change: impl FnOnce(&mut Config)) -> Capture {
    Capture::with(|config| {
        serve_redirected(config);
        change(config);
    })
}

fn serve_redirected(config: &mut Config) {
    config.listen = "[::]:0".parse().unwrap();
    config.transparent = Transparent::OriginalDestination;
}

/// Starts an origin with TLS that answers each request with `body`.
fn tls_origin(addr: &str, body: &str) -> Origin {
    let names = ["localhost", "198.51.100.1"].map(String::from).to_vec();
    let setup = TlsSetup { cert_spec: CertSpec { names, ..CertSpec::default() }, ..TlsSetup::default() };
    Origin::at(addr, Some(setup), respond_with(body))
}

fn plain_origin(addr: &str, body: &str) -> Origin {
    Origin::at(addr, None, respond_with(body))
}

fn respond_with(body: &str) -> impl Fn(Connection) + Send + Sync + 'static {
    let response = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    move |connection| respond_to_all(connection, response.as_bytes())
}

/// Sends a request with this Host over TLS; returns the body of the response.
fn get_over_tls(network: &Network, addr: &str, client: &TlsClient, host: &str) -> String {
    let mut connection = network.dial(addr);
    client.start(&mut connection).unwrap_or_else(|e| panic!("TLS with {addr}: {e}"));
    connection.request(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).text()
}

/// Fails unless a connection is reset, perhaps as soon as it exists.
#[track_caller]
fn assert_reset(network: &Network, addr: &str) {
    match network.try_dial(addr) {
        Ok(mut connection) => assert_eq!(connection.read_to_end(), (Vec::new(), Ending::Reset)),
        Err(e) => assert_eq!(e.kind(), std::io::ErrorKind::ConnectionReset),
    }
}

#[test]
fn two_services_of_one_name_are_told_apart_by_their_ports() {
    Network::run(|network| {
        let origins = [("198.51.100.1:443", "one"), ("198.51.100.1:8443", "two"), ("198.51.100.2:443", "three")];
        let _origins = origins.map(|(addr, body)| tls_origin(addr, body));
        let capture = redirected_capture(network, |_| ());
        let client = capture.client("localhost");
        for (addr, body) in origins {
            let host = if addr.ends_with(":8443") { "localhost:8443" } else { "localhost" };
            assert_eq!(get_over_tls(network, addr, &client, host), body);
        }
        let outcome = capture.stop();
        let urls = ["https://localhost/", "https://localhost:8443/", "https://localhost/"];
        assert_eq!(outcome.bundle().urls(), urls);
        assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
    });
}

#[test]
fn ipv6_connections_go_to_their_original_destination() {
    Network::run(|network| {
        let addr = "[2001:db8:1::1]:8443";
        let (_tls, _plain) = (tls_origin(addr, "tls"), plain_origin("[2001:db8:1::1]:80", "plain"));
        let capture = redirected_capture(network, |_| ());
        assert_eq!(get_over_tls(network, addr, &capture.client("localhost"), "localhost:8443"), "tls");
        let mut connection = network.dial("[2001:db8:1::1]:80");
        assert_eq!(connection.request("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").text(), "plain");
        drop(connection);
        assert_eq!(capture.stop().bundle().urls(), ["https://localhost:8443/", "http://localhost/"]);
    });
}

#[test]
fn without_a_server_name_the_certificate_is_one_for_the_address() {
    Network::run(|network| {
        let _origin = tls_origin("198.51.100.1:8443", "hello");
        let capture = redirected_capture(network, |_| ());
        // rustls sends no SNI for an address, and verifies it.
        let client = capture.client("198.51.100.1");
        assert_eq!(get_over_tls(network, "198.51.100.1:8443", &client, "198.51.100.1:8443"), "hello");
        assert_eq!(capture.stop().bundle().only_trace().url(), "https://198.51.100.1:8443/");
    });
}

#[test]
fn bytes_of_redirected_requests_in_the_clear_are_untouched() {
    Network::run(|network| {
        let origin = plain_origin("198.51.100.1:8080", "hello");
        let capture = redirected_capture(network, |_| ());
        let mut connection = network.dial("198.51.100.1:8080");
        // Host names another service. The connection goes where the client sent it.
        let request = "GET /t HTTP/1.1\r\nhost:  elsewhere.test\r\nX-Odd:1\r\nProxy-Connection: keep-alive\r\n\r\n";
        assert_eq!(connection.request(request).text(), "hello");
        assert_eq!(origin.received(0), request.as_bytes());
        drop(connection);
        assert_eq!(capture.stop().bundle().only_trace().url(), "http://elsewhere.test:8080/t");
    });
}

#[test]
fn an_origin_that_sends_first_is_heard() {
    Network::run(|network| {
        let _origin = Origin::at("198.51.100.1:25", None, |mut connection| {
            connection.send("220 mail.test ready\r\n");
            connection.read_until(b"\r\n");
            connection.send("250 mail.test\r\n");
        });
        let capture = redirected_capture(network, |_| ());
        let mut connection = network.dial("198.51.100.1:25");
        assert_eq!(connection.read_until(b"\r\n"), b"220 mail.test ready\r\n");
        connection.send("EHLO client.test\r\n");
        assert_eq!(connection.read_until(b"\r\n"), b"250 mail.test\r\n");
        drop(connection);
        assert_eq!(capture.wait_for_uncaptured(|reason| *reason == Reason::NotHttp), "198.51.100.1:25");
    });
}

#[test]
fn names_and_addresses_select_redirected_connections() {
    Network::run(|network| {
        let _origin = tls_origin("198.51.100.1:8443", "hello");
        for (include, is_captured) in [
            ("localhost", true),
            ("localhost:8443", true),
            ("198.51.100.1:8443", true),
            ("localhost:443", false),
            ("198.51.100.2", false),
        ] {
            let capture = transparent_capture(|config| options(config).include = patterns(&[include]));
            network.firewall("flush ruleset\n");
            network.redirect_to(capture.addr.port());
            let mut roots = capture.roots();
            roots.push(TestCa::trusted().der());
            let client = TlsClient::new("localhost", roots);
            assert_eq!(get_over_tls(network, "198.51.100.1:8443", &client, "localhost:8443"), "hello");
            assert_eq!(capture.stop().bundle().traces.len(), usize::from(is_captured), "{include}");
        }
    });
}

#[test]
fn one_port_serves_clients_of_both_kinds() {
    Network::run(|network| {
        let _origins = [plain_origin("198.51.100.1:80", "plain"), tls_origin("198.51.100.1:443", "tls")];
        let capture = redirected_capture(network, |_| ());
        let proxy = format!("192.0.2.1:{}", capture.addr.port());
        // The proxy's own page has a name that clients reach by any address.
        let mut connection = network.dial("198.51.100.1:80");
        let page = connection.request("GET / HTTP/1.1\r\nHost: mitm.it\r\n\r\n").text();
        assert!(page.contains(".pem"), "{page}");
        let page = network.dial(&proxy).request(format!("GET / HTTP/1.1\r\nHost: {proxy}\r\n\r\n")).text();
        assert!(page.contains(".pem"), "{page}");
        let mut connection = network.dial(&proxy);
        let request = "GET http://198.51.100.1/ HTTP/1.1\r\nHost: 198.51.100.1\r\n\r\n";
        assert_eq!(connection.request(request).text(), "plain");
        let mut connection = network.dial(&proxy);
        connection.send("CONNECT 198.51.100.1:443 HTTP/1.1\r\nHost: 198.51.100.1:443\r\n\r\n");
        assert!(connection.read_head().starts_with("HTTP/1.1 200 "));
        capture.client("localhost").start(&mut connection).unwrap();
        assert_eq!(connection.request("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").text(), "tls");
        // These name an origin, but have no original destination.
        let response = network.dial(&proxy).request("GET / HTTP/1.1\r\nHost: 198.51.100.1\r\n\r\n");
        assert_eq!(response.status, 400);
        assert!(response.text().contains("by its name only"), "{}", response.text());
        capture.client("localhost").start(&mut network.dial(&proxy)).unwrap_err();
        let hosts: Vec<_> = capture.stop().summary.uncaptured.into_iter().map(|it| (it.host, it.reason)).collect();
        let refused = |host: &str| (host.to_owned(), Reason::NoOriginalDestination);
        assert_eq!(hosts, [refused("198.51.100.1:80"), refused("localhost:443")]);
    });
}

#[test]
fn discovery_lists_redirected_connections_by_name_or_address() {
    Network::run(|network| {
        let _origins = [tls_origin("198.51.100.1:8443", "tls"), plain_origin("198.51.100.2:80", "plain")];
        let discovery = Capture::discover_with(serve_redirected);
        network.redirect_to(discovery.addr.port());
        let client = TlsClient::new("localhost", vec![TestCa::trusted().der()]);
        assert_eq!(get_over_tls(network, "198.51.100.1:8443", &client, "localhost:8443"), "tls");
        let mut connection = network.dial("198.51.100.2:80");
        assert_eq!(connection.request("GET / HTTP/1.1\r\n\r\n").text(), "plain");
        drop(connection);
        let mut domains: Vec<_> = discovery.stop().summary.domains.into_iter().map(|domain| domain.name).collect();
        domains.sort();
        assert_eq!(domains, ["198.51.100.2", "localhost"]);
    });
}

#[test]
fn by_name_still_prefers_the_original_destination() {
    Network::run(|network| {
        let _origins = [plain_origin("198.51.100.1:80", "one"), plain_origin("198.51.100.2:80", "two")];
        let capture = redirected_capture(network, |config| config.transparent = Transparent::ByName);
        let request = "GET / HTTP/1.1\r\nHost: 198.51.100.2\r\n\r\n";
        assert_eq!(network.dial("198.51.100.1:80").request(request).text(), "one");
        // As another machine would redirect it.
        let proxy = format!("192.0.2.1:{}", capture.addr.port());
        assert_eq!(network.dial(&proxy).request(request).text(), "two");
    });
}

#[test]
fn an_unreachable_destination_ends_the_connection_with_a_report() {
    Network::run(|network| {
        let capture = redirected_capture(network, |_| ());
        assert_reset(network, "198.51.100.1:81");
        let host = capture.wait_for_uncaptured(|reason| matches!(reason, Reason::Unreachable(_)));
        assert_eq!(host, "198.51.100.1:81");
    });
}

#[test]
fn a_redirect_of_our_own_connections_ends_at_once_with_a_report() {
    Network::run(|network| {
        let origin = plain_origin("198.51.100.1:8443", "hello");
        let capture = redirected_capture(network, |_| ());
        network.firewall(&format!(
            "table inet loop {{ chain output {{ type nat hook output priority -100; \
             tcp dport 8443 redirect to :{}; }}; }}",
            capture.addr.port()
        ));
        assert!(network.try_dial("198.51.100.1:8443").map_or(true, |mut client| client.read_to_end().0.is_empty()));
        let host = capture.wait_for_uncaptured(|reason| *reason == Reason::RedirectLoop);
        assert_eq!(host, "198.51.100.1:8443");
        assert_eq!(capture.stop().summary.uncaptured[0].connections, 1, "one turn");
        assert_eq!(origin.connections(), 0);
    });
}

/// TPROXY does not change the destination: it is the accepted socket's own address.
#[test]
fn tproxy_keeps_the_destination() {
    Network::run(|network| {
        let tls = tls_origin("198.51.100.1:8443", "tls");
        let _plain = plain_origin("[2001:db8:1::1]:80", "plain");
        let capture = transparent_capture(|_| ());
        let port = capture.addr.port();
        for line in [
            "rule add fwmark 1 lookup 100",
            "route add local default dev lo table 100",
            "-6 rule add fwmark 1 lookup 100",
            "-6 route add local default dev lo table 100",
        ] {
            network.ip(line);
        }
        network.firewall(&format!(
            "table inet proxy {{ chain divert {{ type filter hook prerouting priority mangle; \
             iifname gw0 meta l4proto tcp tproxy to :{port} meta mark set 1; }}; }}"
        ));
        let client = capture.client("localhost");
        assert_eq!(get_over_tls(network, "198.51.100.1:8443", &client, "localhost:8443"), "tls");
        let mut connection = network.dial("[2001:db8:1::1]:80");
        assert_eq!(connection.request("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").text(), "plain");
        drop(connection);
        assert_eq!(tls.connections(), 1);
        assert_eq!(capture.stop().bundle().urls(), ["https://localhost:8443/", "http://localhost/"]);
    });
}

/// A client that is slow, or sends nothing, is connected to its destination in the meantime.
#[test]
fn a_silent_client_keeps_its_connection() {
    Network::run(|network| {
        let origin = Origin::at("198.51.100.1:8080", None, |mut connection| {
            assert!(next_request(&mut connection).unwrap().0.starts_with("GET /late "));
            connection.send("HTTP/1.1 204 No Content\r\n\r\n");
        });
        let capture = redirected_capture(network, |_| ());
        let mut connection = network.dial("198.51.100.1:8080");
        origin.open.until("the proxy's connection", |open| (*open == 1).then_some(()));
        for byte in b"GET /late HTTP/1.1\r\nHost: localhost\r\n\r\n" {
            connection.send([*byte]);
        }
        assert!(connection.read_head().starts_with("HTTP/1.1 204 "));
        drop(connection);
        assert_eq!(capture.stop().bundle().only_trace().url(), "http://localhost:8080/late");
    });
}
