//! `spectral capture merge` and `spectral capture redact`: valid new bundles without losses or leaked secrets.

use crate::support::bundle::Bundle;
use crate::support::cli::{Spectral, spectral};
use crate::support::websocket_frames::{frame, handshake};
use crate::support::{Connection, Message, Origin, TempDir};
use std::os::unix::fs::PermissionsExt;

const RESPONSE: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nSet-Cookie: sid=s3cret; Path=/\r\n\
                      Content-Length: 32\r\n\r\n{\"token\":\"s3cret\",\"page\":\"2222\"}";

/// Starts an origin that responds to requests and accepts WebSockets.
fn origin() -> Origin {
    Origin::plain(|mut connection| {
        let head = connection.read_head();
        if head.contains("Upgrade") {
            connection.send(handshake("").1);
            connection.send(frame(0x81, None, b"{\"token\":\"s3cret\"}"));
            connection.send(frame(0x88, None, b""));
        } else {
            connection.send(RESPONSE);
        }
        connection.finish();
        connection.read_to_end();
    })
}

/// Captures an exchange and a WebSocket to `name` in `dir`.
fn capture(dir: &TempDir, origin: &Origin, name: &str) {
    let running = Spectral::capture(dir, &["-o", name]);
    let target = origin.authority("127.0.0.1");
    for request in [
        format!("GET /{name}?token=s3cret HTTP/1.1\r\nHost: {target}\r\nAuthorization: Bearer s3cret\r\n\r\n"),
        handshake("").0,
    ] {
        let mut connection = Connection::to(running.addr);
        connection.send(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"));
        connection.read_head();
        connection.send(request);
        connection.read_to_end();
    }
    assert_eq!(running.interrupt().code, Some(0));
}

#[test]
fn merges_bundles_completely_under_new_ids() {
    let (dir, origin) = (TempDir::new(), origin());
    for name in ["a.zip", "b.zip"] {
        capture(&dir, &origin, name);
    }
    let output = spectral(&dir, &["capture", "merge", "b.zip", "a.zip", "-o", "c.zip"]).ok();
    assert_eq!(output.text(), "Merged 2 bundles to c.zip: 4 exchanges, 2 WebSockets, 4 messages\n");
    let again = spectral(&dir, &["capture", "merge", "b.zip", "a.zip", "-o", "c.zip"]).ok().text();
    assert!(again.ends_with("messages\n  The previous bundle is kept as c.zip.bak\n"), "{again}");
    let file = dir.join("c.zip");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let (first, merged) = (Bundle::open(&dir.join("a.zip")), Bundle::open(&file));
    let ids: Vec<_> = merged.traces.iter().map(|trace| trace.id()).collect();
    assert_eq!(ids, ["t_001_0001", "t_001_0002", "t_002_0001", "t_002_0002"]);
    assert!(merged.traces[0].url().contains("/b.zip?") && merged.traces[2].url().contains("/a.zip?"));
    assert_eq!(merged.traces[2].response_body, first.traces[0].response_body);
    let socket = &merged.websockets[1];
    assert_eq!(socket.json["handshake_trace_ref"], "t_002_0002");
    assert_eq!(socket.messages[0], Message::received("text", "{\"token\":\"s3cret\"}"));
    assert_eq!(merged.manifest["app"]["name"], "c");
    assert_eq!(merged.manifest["app"]["base_url"], first.manifest["app"]["base_url"]);
    assert_eq!(merged.manifest["created_at"], first.manifest["created_at"], "the time of the earliest bundle");
    let duration = |bundle: &Bundle| bundle.manifest["duration_ms"].as_u64().unwrap();
    assert!(duration(&merged) >= duration(&first) + duration(&Bundle::open(&dir.join("b.zip"))));

    // Merges a merged bundle again, and reads the result.
    spectral(&dir, &["capture", "merge", "c.zip", "a.zip", "-o", "d.zip"]).ok();
    let twice = Bundle::open(&dir.join("d.zip"));
    assert_eq!(twice.traces.len(), 6);
    assert!(twice.names.contains(&"ws/ws_001_002_0001_m001.json".to_owned()), "{:?}", twice.names);
    let shown = spectral(&dir, &["capture", "inspect", "d.zip"]).ok().text();
    assert!(shown.contains("t_001_002_0001") && shown.contains("ws_002_0001"), "{shown}");
}

#[test]
fn merges_bundles_of_other_producers() {
    let (dir, origin) = (TempDir::new(), origin());
    capture(&dir, &origin, "a.zip");
    let theirs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/extension.zip");
    let theirs = theirs.to_str().unwrap();
    let open = |name: &str| spectral_capture::reader::Bundle::open(dir.join(name)).unwrap();
    // One capture, even if it is given twice.
    spectral(&dir, &["capture", "merge", theirs, theirs, "-o", "b.zip"]).ok();
    let same = open("b.zip");
    assert_eq!((same.traces().len(), same.manifest().stats.context_count), (5, 1));
    assert_eq!(same.trace("t_0002").unwrap().context_refs, ["c_0001"]);
    spectral(&dir, &["capture", "merge", "a.zip", theirs, "b.zip", "-o", "c.zip"]).ok();
    let merged = open("c.zip");
    assert_eq!(merged.traces().len(), 7);
    assert_eq!(merged.trace("t_002_0002").unwrap().context_refs, ["c_002_0001"]);
    assert_eq!(merged.manifest().stats.context_count, 1);
    let events = merged.timeline().unwrap().events;
    assert_eq!(events.iter().filter(|event| event.r#ref == "c_002_0001" && event.r#type == "context").count(), 1);
    assert_eq!(events.len(), 16);
    let message = merged.message("ws_002_0001_m001").unwrap();
    assert_eq!((message.connection_ref.as_str(), merged.payload(&message).unwrap().len()), ("ws_002_0001", 26));
}

#[test]
fn redacts_secrets_and_reports_their_number() {
    let (dir, origin) = (TempDir::new(), origin());
    capture(&dir, &origin, "a.zip");
    let output = spectral(&dir, &["capture", "redact", "a.zip", "-o", "shared.zip"]).ok().text();
    let start = "Redacted to shared.zip: 2 exchanges, 1 WebSocket\nValues replaced:\n         3  token\n         1  authorization\n         1  sid\n";
    assert!(output.starts_with(start) && output.ends_with("look through the output before you share it\n"), "{output}");
    let shared = Bundle::open(&dir.join("shared.zip"));
    assert!(!format!("{shared:?}").contains("s3cret"));
    let token = serde_json::from_slice::<serde_json::Value>(&shared.traces[0].response_body).unwrap();
    assert_eq!(token["page"], "2222");
    let token = token["token"].as_str().unwrap();
    assert!(shared.traces[0].url().ends_with(&format!("?token={token}")), "{}", shared.traces[0].url());
    assert!(shared.traces[0].request_headers().contains(&("Authorization", &format!("Bearer {token}"))));
    assert!(shared.traces[0].response_headers().contains(&("Set-Cookie", &format!("sid={token}; Path=/"))));
    let payload = String::from_utf8(shared.websockets[0].messages[0].payload.clone()).unwrap();
    assert_eq!(payload, format!("{{\"token\":\"{token}\"}}"));
    let again = spectral(&dir, &["capture", "redact", "a.zip", "-o", "shared.zip"]).ok().text();
    assert!(
        again.contains("\n  The previous bundle is kept as shared.zip.bak\n") && !output.contains(".bak"),
        "{again}"
    );

    let args = ["capture", "redact", "a.zip", "-o", "named.zip", "--only-named", "--name", "page"];
    let output = spectral(&dir, &args).ok().text();
    assert!(output.contains("Values replaced:\n         1  page\n"), "{output}");
    let named = Bundle::open(&dir.join("named.zip"));
    assert!(
        String::from_utf8_lossy(&named.traces[0].response_body)
            .starts_with("{\"token\":\"s3cret\",\"page\":\"redacted-")
    );
}

#[test]
fn exports_are_redacted_in_one_step() {
    let (dir, origin) = (TempDir::new(), origin());
    capture(&dir, &origin, "a.zip");
    let before = dir.names();
    for (format, has) in [("har", "\"_webSocketMessages\""), ("curl", "-H 'Authorization: Bearer redacted-")] {
        let output = spectral(&dir, &["capture", "export", "a.zip", "--redact", "--format", format]).ok();
        assert!(output.text().contains(has) && !output.text().contains("s3cret"), "{}", output.text());
        assert!(output.err.ends_with("look through the output before you share it\n"), "{}", output.err);
    }
    let args = [
        "capture", "export", "a.zip", "--redact", "--format", "har", "--name", "page", "--grep", "s3cret", "--status",
        "200",
    ];
    let output = spectral(&dir, &args).ok().text();
    assert!(output.contains("redacted-") && !output.contains("2222") && !output.contains("t_0002"), "{output}");
    assert_eq!(spectral(&dir, &["capture", "export", "a.zip", "--format", "har", "--name", "page"]).code, Some(2));
    assert_eq!(dir.names(), before);
}

#[test]
fn check_fails_if_there_are_secrets_and_writes_nothing() {
    let (dir, origin) = (TempDir::new(), origin());
    capture(&dir, &origin, "a.zip");
    spectral(&dir, &["capture", "redact", "a.zip", "-o", "shared.zip"]).ok();
    let before = dir.names();
    let output = spectral(&dir, &["capture", "redact", "--check", "a.zip"]);
    assert_eq!(
        (output.code, output.err.as_str()),
        (Some(1), "spectral: error: a.zip has 5 values that look like secrets\n")
    );
    assert!(output.text().starts_with("Values that look like secrets:\n         3  token\n"), "{}", output.text());
    let output = spectral(&dir, &["capture", "redact", "--check", "shared.zip"]).ok();
    assert_eq!(output.text(), "No value has the name or the form of a secret\n");
    let output = spectral(&dir, &["capture", "redact", "--check", "shared.zip", "--name", "page"]);
    assert_eq!(output.code, Some(1));
    assert_eq!(dir.names(), before);
}

#[test]
fn a_filter_makes_a_bundle_of_a_part() {
    let (dir, origin) = (TempDir::new(), origin());
    capture(&dir, &origin, "a.zip");
    for (command, extra) in [("merge", &[][..]), ("redact", &["--json", "token"])] {
        for (filter, exchanges, websockets, messages) in [
            (&["--status", "200"][..], 1, 0, 0),
            (&["--type", "json"], 1, 0, 0),
            (&["--status", "101"], 1, 1, 2),
            (&["--grep", "S3CRET", "--answered"], 2, 1, 2),
            (&["--since", "1h", "--until", "now"], 2, 1, 2),
        ] {
            let args = [&["capture", command, "a.zip", "-o", "part.zip"], extra, filter].concat();
            let output = spectral(&dir, &args).ok();
            assert_eq!(output.err, "", "{args:?}");
            let part = Bundle::open(&dir.join("part.zip"));
            let stats = &part.manifest["stats"];
            let counts = ["trace_count", "ws_connection_count", "ws_message_count"].map(|name| stats[name].as_u64());
            assert_eq!(counts, [exchanges, websockets, messages].map(Some), "{args:?}");
            assert_eq!((part.traces.len() as u64, part.websockets.len() as u64), (exchanges, websockets), "{args:?}");
        }
        let args = [&["capture", command, "a.zip", "-o", "none.zip"], extra, &["--method", "PUT"]].concat();
        let output = spectral(&dir, &args);
        assert_eq!(output.code, Some(0));
        assert_eq!(output.err, "spectral: warning: no exchange or WebSocket matches: the output is empty\n");
        assert!(Bundle::open(&dir.join("none.zip")).traces.is_empty());
    }
}

#[test]
fn reports_errors_and_changes_no_file() {
    let (dir, origin) = (TempDir::new(), origin());
    capture(&dir, &origin, "a.zip");
    dir.write("bad.zip", "this is no ZIP");
    let before = dir.names();
    for (args, code) in [
        (&["merge", "a.zip"][..], 2),
        (&["merge", "-o", "c.zip"], 2),
        (&["merge", "a.zip", "missing.zip", "-o", "c.zip"], 1),
        (&["merge", "a.zip", "bad.zip", "-o", "c.zip"], 1),
        (&["merge", "a.zip", "-o", "./a.zip"], 1),
        (&["redact", "a.zip"], 2),
        (&["merge", "a.zip", "-o", "c.zip", "--since", "tomorrow"], 2),
        (&["merge", "a.zip", "-o", "c.zip", "--since", "1h", "--until", "2h"], 2),
        (&["redact", "a.zip", "-o", "c.zip", "--type", "text/html; charset=utf-8"], 2),
        (&["redact", "-o", "c.zip"], 2),
        (&["redact", "a.zip", "-o", "c.zip", "--json", ""], 2),
        (&["redact", "a.zip", "-o", "c.zip", "--name", " "], 2),
        (&["redact", "a.zip", "-o", "c.zip", "--check"], 2),
        (&["redact", "a.zip", "-o", "a.zip"], 1),
        (&["redact", "bad.zip", "-o", "c.zip"], 1),
        (&["redact", "a.zip", "-o", "missing/c.zip"], 1),
    ] {
        let output = spectral(&dir, &[&["capture"], args].concat());
        assert_eq!((output.code, output.err.lines().count()), (Some(code), 1), "{args:?}: {}", output.err);
        assert_eq!(dir.names(), before, "{args:?}");
    }
}
