//! `spectral capture discover`: passes all traffic through, shows each new domain, and prints a table of them at the
//! end.

use crate::support::cli::Spectral;
use crate::support::{Connection, Origin, TempDir, TestCa, TlsClient, TlsSetup, respond_to_all};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Sends a request over TLS with the server name `name`, which verifies the origin's own certificate.
fn visit(running: &Spectral, origin: &Origin, name: &str) {
    let mut connection = Connection::to(running.addr);
    let target = origin.authority("127.0.0.1");
    connection.send(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"));
    assert!(connection.read_head().starts_with("HTTP/1.1 200 "));
    TlsClient::new(name, vec![TestCa::trusted().der()]).start(&mut connection).unwrap();
    assert_eq!(connection.request(format!("GET / HTTP/1.1\r\nHost: {name}\r\n\r\n")).text(), "ok");
}

#[test]
fn domains_are_shown_as_they_appear_and_the_table_is_printed_to_stdout() {
    let dir = TempDir::new();
    let origin = Origin::tls_responding(OK);
    let running = Spectral::discover(&dir, &[]);
    visit(&running, &origin, "other.test");
    running.wait_for_line("other.test");
    for _ in 0..3 {
        visit(&running, &origin, "api.example.test");
    }
    running.wait_for_line("api.example.test");
    let output = running.interrupt();
    assert_eq!(output.code, Some(0), "{}", output.err);
    let table = output.text();
    let rows: Vec<Vec<_>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["Connections", "Requests", "Sent", "Received", "Domain"], "{table}");
    let ends: Vec<_> = rows[1..].iter().map(|row| (row[0], *row.last().unwrap())).collect();
    assert_eq!(ends, [("3", "api.example.test"), ("1", "other.test")], "most connections first");
    assert!(output.err.contains("  spectral capture proxy -d api.example.test -d other.test"), "{}", output.err);
    assert!(!output.err.contains("Connections"), "the table is a result, not a message: {}", output.err);
    assert_eq!(dir.names(), Vec::<String>::new(), "nothing is written, no CA is created");
}

#[test]
fn the_table_is_printed_even_if_quiet() {
    let dir = TempDir::new();
    let origin = Origin::tls_responding(OK);
    let running = Spectral::discover(&dir, &["-q"]);
    visit(&running, &origin, "api.example.test");
    let addr = running.addr;
    let output = running.interrupt();
    assert_eq!(output.err.trim_end(), addr.to_string());
    assert!(output.text().contains("api.example.test"), "{}", output.text());
}

#[test]
fn json_has_a_line_for_each_domain() {
    let dir = TempDir::new();
    let (origin, plain) = (Origin::tls_responding(OK), Origin::plain_responding(OK));
    let running = Spectral::discover(&dir, &["--json"]);
    visit(&running, &origin, "api.example.test");
    // Without a server name: an IP address cannot be one (RFC 6066 section 3).
    visit(&running, &origin, "127.0.0.1");
    for _ in 0..2 {
        let host = plain.authority("localhost");
        Connection::to(running.addr).request(format!("GET http://{host}/x HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    }
    let output = running.interrupt();
    let lines: Vec<serde_json::Value> = output.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let domain = |name: &str| lines.iter().find(|line| line["domain"] == name).unwrap_or_else(|| panic!("{lines:?}"));
    let bytes =
        |name: &str| [&domain(name)["bytes_sent"], &domain(name)["bytes_received"]].map(|n| n.as_u64().unwrap());
    assert_eq!(
        (&domain("api.example.test")["known_by"], &domain("127.0.0.1")["known_by"]),
        (&"name".into(), &"connect".into())
    );
    assert_eq!(domain("api.example.test")["requests"], serde_json::Value::Null, "requests inside TLS are not counted");
    assert_eq!((&domain("localhost")["connections"], &domain("localhost")["requests"]), (&2.into(), &2.into()));
    assert_eq!(bytes("localhost")[1], 2 * OK.len() as u64);
    assert!(bytes("localhost")[0] > 50 && bytes("api.example.test").iter().all(|n| *n > 200), "{lines:?}");
    assert_eq!(lines.len(), 3);
    // Programs read these names: they must not change.
    let names = ["bytes_received", "bytes_sent", "connections", "domain", "known_by", "requests"];
    for line in &lines {
        assert!(line.as_object().unwrap().keys().eq(names), "{line}");
    }
    assert!(
        output.err.contains("Discovering domains on ") && !output.err.contains("spectral capture proxy"),
        "{}",
        output.err
    );
}

#[test]
fn a_domain_from_connect_only_is_marked() {
    let dir = TempDir::new();
    let origin = Origin::tls_responding(OK);
    let running = Spectral::discover(&dir, &[]);
    visit(&running, &origin, "127.0.0.1");
    visit(&running, &origin, "api.example.test");
    let table = running.interrupt().ok().text();
    let line = |name: &str| table.lines().find(|line| line.contains(name)).unwrap();
    assert!(line("127.0.0.1").ends_with("127.0.0.1  (no server name)"), "{table}");
    assert!(line("api.example.test").ends_with("api.example.test"), "{table}");
}

#[test]
fn without_domains_there_is_a_hint_and_no_table() {
    let dir = TempDir::new();
    let output = Spectral::discover(&dir, &[]).interrupt();
    assert_eq!(output.code, Some(0), "{}", output.err);
    assert_eq!(output.text(), "");
    assert!(output.err.contains("No domains were seen.") && !output.err.contains("-d "), "{}", output.err);
}

#[test]
fn options_select_the_origins_that_are_trusted_for_https_urls() {
    let dir = TempDir::new();
    let setup = TlsSetup { ca: TestCa::unknown(), ..TlsSetup::default() };
    let origin = Origin::tls_with(setup, |connection| respond_to_all(connection, OK.as_bytes()));
    let host = origin.authority("localhost");
    let ca = TestCa::unknown().pem.to_str().unwrap();
    for (options, status) in [(&[][..], 502), (&["-k"], 200), (&["--upstream-ca", ca], 200)] {
        let running = Spectral::discover(&dir, options);
        let request = format!("GET https://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(Connection::to(running.addr).request(request).status, status, "{options:?}");
        let output = running.interrupt();
        assert_eq!(output.text().contains("localhost"), status == 200, "{}", output.text());
        assert_eq!(output.err.contains("answered with 502"), status == 502, "{}", output.err);
    }
}
