//! `spectral capture discover`: everything passes, each new domain is printed, and the end shows how to go on.

use crate::support::cli::Spectral;
use crate::support::{Link, Origin, TempDir, TestCa, TlsClient};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// One request over TLS as `name`, verified against the origin's own certificate.
fn visit(running: &Spectral, origin: &Origin, name: &str) {
    let mut link = Link::to(running.addr);
    let target = origin.at("127.0.0.1");
    link.send(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"));
    assert!(link.head().starts_with("HTTP/1.1 200 "));
    TlsClient::new(name, vec![TestCa::trusted().der()]).start(&mut link).unwrap();
    assert_eq!(link.ask(format!("GET / HTTP/1.1\r\nHost: {name}\r\n\r\n")).text(), "ok");
}

#[test]
fn domains_as_they_appear_and_a_table_at_the_end() {
    let dir = TempDir::new();
    let origin = Origin::tls_answering(OK);
    let running = Spectral::discover(&dir, &[]);
    visit(&running, &origin, "other.test");
    running.line("other.test");
    for _ in 0..3 {
        visit(&running, &origin, "api.example.test");
    }
    running.line("api.example.test");
    let said = running.interrupt();
    assert_eq!(said.code, Some(0), "{}", said.err);
    let all = said.text() + &said.err;
    let lines: Vec<_> = all.lines().collect();
    let row = |name: &str, count: &str| {
        lines.iter().rposition(|line| line.contains(name) && line.contains(count) && !line.contains("-d "))
    };
    let (first, second) = (row("api.example.test", "3"), row("other.test", "1"));
    assert!(first.is_some() && first < second, "by count, most first:\n{all}");
    let go_on = lines.iter().find(|line| line.contains("-d ")).unwrap_or_else(|| panic!("a -d line in\n{all}"));
    assert!(go_on.contains("api.example.test") || go_on.contains("example.test"), "{go_on}");
    assert_eq!(dir.names(), Vec::<String>::new(), "nothing is written, no CA is made");
}

#[test]
fn domains_are_told_as_json_with_what_was_said() {
    let dir = TempDir::new();
    let (origin, plain) = (Origin::tls_answering(OK), Origin::plain_answering(OK));
    let running = Spectral::discover(&dir, &["--json"]);
    visit(&running, &origin, "api.example.test");
    // No server name: an address is none.
    visit(&running, &origin, "127.0.0.1");
    for _ in 0..2 {
        let host = plain.at("localhost");
        Link::to(running.addr).ask(format!("GET http://{host}/x HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    }
    let said = running.interrupt();
    let lines: Vec<serde_json::Value> = said.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let domain = |name: &str| lines.iter().find(|line| line["domain"] == name).unwrap_or_else(|| panic!("{lines:?}"));
    let bytes =
        |name: &str| [&domain(name)["bytes_sent"], &domain(name)["bytes_received"]].map(|n| n.as_u64().unwrap());
    assert_eq!(
        (&domain("api.example.test")["name_source"], &domain("127.0.0.1")["name_source"]),
        (&"name".into(), &"connect".into())
    );
    assert_eq!(domain("api.example.test")["requests"], serde_json::Value::Null, "nobody looked");
    assert_eq!((&domain("localhost")["connections"], &domain("localhost")["requests"]), (&2.into(), &2.into()));
    assert_eq!(bytes("localhost")[1], 2 * OK.len() as u64);
    assert!(bytes("localhost")[0] > 50 && bytes("api.example.test").iter().all(|n| *n > 200), "{lines:?}");
    assert_eq!(lines.len(), 3);
}

#[test]
fn who_is_known_by_connect_alone_is_marked() {
    let dir = TempDir::new();
    let origin = Origin::tls_answering(OK);
    let running = Spectral::discover(&dir, &[]);
    visit(&running, &origin, "127.0.0.1");
    visit(&running, &origin, "api.example.test");
    let said = running.interrupt();
    let line = |name: &str| said.err.lines().rfind(|line| line.contains(name) && !line.contains("-d ")).unwrap();
    assert!(line("127.0.0.1").ends_with("127.0.0.1  (by CONNECT alone)"), "{}", said.err);
    assert!(line("api.example.test").ends_with("api.example.test"), "{}", said.err);
}

#[test]
fn nothing_seen_is_said() {
    let dir = TempDir::new();
    let said = Spectral::discover(&dir, &[]).interrupt();
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(!said.err.contains("-d "), "there is nothing to go on with: {}", said.err);
}
