//! A bundle that an early build wrote: every command reads it. It has four exchanges, one with a gzip body, and a WebSocket.

use crate::support::TempDir;
use crate::support::bundle::Bundle;
use crate::support::cli::spectral;

/// Values that the bundle contains under the names of secrets.
const SECRETS: [&str; 3] = ["a8Zk29xQ71mLp03v", "b9Yl38wR62nMq14u", "c7Xm47vS53oNr25t"];

/// Returns a directory with the bundle `old.zip`.
fn dir_with_bundle() -> TempDir {
    let dir = TempDir::new();
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/early-build.zip");
    std::fs::copy(path, dir.join("old.zip")).unwrap();
    dir
}

/// Asserts that the bundle has all items, and no others.
#[track_caller]
fn assert_whole(bundle: &Bundle) {
    let statuses: Vec<_> = bundle.traces.iter().map(|trace| trace.json["response"]["status"].as_u64()).collect();
    assert_eq!(statuses, [204, 200, 200, 101].map(Some));
    assert_eq!(bundle.traces[2].response_body, b"a text that was compressed; ".repeat(20));
    assert!(bundle.traces[1].request_body.starts_with(b"user=me&password="));
    let messages = &bundle.only_websocket().messages;
    let opcodes: Vec<_> = messages.iter().map(|message| message.opcode.as_str()).collect();
    assert_eq!(opcodes, ["text", "text", "binary", "close", "close"]);
    assert_eq!((&messages[0].payload[..], &messages[2].payload[..]), (&b"hello"[..], &b"\x00\x01\xff"[..]));
}

#[test]
fn a_bundle_of_an_early_build_is_shown_and_exported() {
    let dir = dir_with_bundle();
    let text = |args: &[&str]| spectral(&dir, &[&["capture"], args].concat()).ok().text();
    let list = text(&["inspect", "old.zip"]);
    assert!(list.contains("4 exchanges, 1 WebSocket, 5 messages\n") && list.contains("/gzip?token="), "{list}");
    assert!(text(&["inspect", "old.zip", "--trace", "t_0003"]).contains("a text that was compressed; "));
    assert_eq!(text(&["inspect", "old.zip", "--ws", "ws_0001"]).matches("ws_0001_m00").count(), 5);
    assert!(text(&["inspect", "old.zip", "--grep", "compressed"]).contains("Matched: 1 of 4 exchanges"));
    let har: serde_json::Value =
        serde_json::from_str(&text(&["export", "old.zip", "--format", "har", "-o", "-"])).unwrap();
    let entries = har["log"]["entries"].as_array().unwrap();
    assert_eq!((entries.len(), entries[3]["_webSocketMessages"].as_array().unwrap().len()), (4, 5));
    assert_eq!(text(&["export", "old.zip", "--format", "curl", "-o", "-"]).matches("\ncurl ").count(), 4);
}

#[test]
fn a_bundle_of_an_early_build_is_copied_and_redacted() {
    let dir = dir_with_bundle();
    let run = |args: &[&str]| spectral(&dir, &[&["capture"], args].concat()).ok();
    assert_whole(&Bundle::open(&dir.join("old.zip")));
    run(&["merge", "old.zip", "-o", "merged.zip"]);
    assert_whole(&Bundle::open(&dir.join("merged.zip")));
    let recovered = run(&["recover", "old.zip", "-o", "recovered.zip"]).text();
    assert!(!recovered.contains("Left out"), "{recovered}");
    assert_whole(&Bundle::open(&dir.join("recovered.zip")));
    run(&["redact", "old.zip", "-o", "redacted.zip"]);
    let redacted = Bundle::open(&dir.join("redacted.zip"));
    assert_whole(&redacted);
    let shown = format!("{redacted:?}");
    let bodies = redacted.traces.iter().flat_map(|trace| [&trace.request_body, &trace.response_body]);
    let bodies: Vec<_> = bodies.chain(redacted.websockets[0].messages.iter().map(|message| &message.payload)).collect();
    for secret in SECRETS {
        let is_in = |bytes: &&Vec<u8>| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!shown.contains(secret) && !bodies.iter().any(is_in), "{secret}");
    }
}
