use super::*;
use crate::bundle::archive::{Archive, CompressionMethod};
use crate::bundle::reader::{EntryError, Measured, Meter};
use crate::bundle::test_dir::TestDir;
use crate::tools::export;
use crate::tools::merge::{self, merge};
use crate::tools::redact::{self, Rules, redact};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Writes a bundle with these JSON documents and bodies. All bundles are of one capture.
fn write(path: &Path, documents: &[(&str, Value)], bodies: &[(&str, &[u8])]) -> PathBuf {
    let (mut archive, _) = Archive::create(path, Duration::ZERO).unwrap();
    archive
        .group(|archive| {
            for (name, content) in bodies {
                archive.begin_entry((*name).into(), content.len() as u64, CompressionMethod::Deflated, &[])?;
                std::io::Write::write_all(archive, content)?;
            }
            for (name, document) in documents {
                let json = serde_json::to_vec(document).unwrap();
                archive.add(&format!("{name}.json"), &json, CompressionMethod::Stored, &[])?;
            }
            let manifest = br#"{"capture_id": "851a140d-f10d-49fc-a66e-7c5f40aa4465"}"#;
            archive.add("manifest.json", manifest, CompressionMethod::Stored, &[])
        })
        .unwrap();
    archive.finish().unwrap().path
}

/// Exchanges with different hosts, statuses, types and times, and two WebSockets. `t_0004` is the handshake of `ws_0001`.
fn bundle(dir: &TestDir) -> PathBuf {
    let trace = |timestamp: u64, method: &str, url: &str, response: Value| {
        json!({"timestamp": timestamp, "type": "http", "request": {"method": method, "url": url}, "response": response,
               "context_refs": ["c_0001"]})
    };
    let typed = |media_type: &str| json!({"status": 200, "headers": [{"name": "Content-Type", "value": media_type}]});
    let mut cut_off = trace(
        4000,
        "GET",
        "wss://a.test/socket",
        json!({"status": 101, "headers": [{"name": "X", "value": "handshake"}]}),
    );
    cut_off["cut_off"] = json!({"side": "response", "why": "reset"});
    let mut with_body = typed("text/html; charset=utf-8");
    with_body["body_file"] = "t_0002_response.bin".into();
    with_body["body_size"] = 300_006.into();
    let documents = [
        ("traces/t_0001", trace(1000, "GET", "https://a.test/", typed("application/problem+json"))),
        ("traces/t_0002", trace(2000, "POST", "https://b.test:8443/", with_body)),
        ("traces/t_0003", trace(3000, "GET", "https://a.test/", json!({"status": 0, "status_text": "Refused"}))),
        ("traces/t_0004", cut_off),
        ("ws/ws_0001", json!({"timestamp": 4000, "url": "wss://a.test/socket", "handshake_trace_ref": "t_0004"})),
        (
            "ws/ws_0001_m001",
            json!({"timestamp": 9000, "opcode": "text", "payload_file": "ws_0001_m001.bin", "payload_size": 7,
                                   "direction": "send", "cut_off": {"why": "reset"}}),
        ),
        ("ws/ws_0001_m002", json!({"timestamp": 9001, "opcode": "binary", "direction": "receive"})),
        ("ws/ws_0002", json!({"timestamp": 5000, "url": "ws://c.test/", "handshake_trace_ref": null})),
        ("contexts/c_0001", json!({"timestamp": 500, "action": "click"})),
    ];
    let body = [&b"<p>".repeat(100_000)[..], b"Needle"].concat();
    let bodies = [("traces/t_0002_response.bin", &body[..]), ("ws/ws_0001_m001.bin", b"message")];
    write(&dir.path("a.zip"), &documents, &bodies)
}

/// The ids of exchanges and WebSockets in the bundle.
fn ids(path: &Path) -> String {
    let bundle = Bundle::open(path).unwrap();
    let ids: Vec<_> = bundle.traces().iter().chain(bundle.websockets().iter()).collect();
    ids.join(" ")
}

fn texts(texts: &[&str]) -> Vec<SearchText> {
    texts.iter().map(|text| SearchText::new(text)).collect()
}

/// Filters, and what each selects of [`bundle`].
fn filters() -> Vec<(Filter, &'static str)> {
    let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
    let hosts = |hosts: &[&str]| hosts.iter().map(|host| host.parse().unwrap()).collect();
    let types = |types: &[&str]| types.iter().map(|text| MediaType::new(text)).collect();
    let all = Filter::default;
    vec![
        (all(), "t_0001 t_0002 t_0003 t_0004 ws_0001 ws_0002"),
        (Filter { ids: ids(&["t_0001", "t_0009"]), ..all() }, "t_0001"),
        (Filter { ids: ids(&["t_0004"]), ..all() }, "t_0004 ws_0001"),
        (Filter { hosts: hosts(&["a.test"]), ..all() }, "t_0001 t_0003 t_0004 ws_0001"),
        (Filter { hosts: hosts(&["*:8443", "c.test"]), ..all() }, "t_0002 ws_0002"),
        (Filter { methods: vec!["post".into()], ..all() }, "t_0002"),
        (Filter { methods: vec!["GET".into()], statuses: vec![101..=199], ..all() }, "t_0004 ws_0001"),
        (Filter { statuses: vec![0..=0, 200..=200], ..all() }, "t_0001 t_0002 t_0003"),
        (Filter { media_types: types(&["json", "text/*"]), ..all() }, "t_0001 t_0002"),
        (Filter { answered: true, ..all() }, "t_0001 t_0002 t_0004 ws_0001 ws_0002"),
        (Filter { since: Some(2000), until: Some(4000), ..all() }, "t_0002 t_0003"),
        (Filter { since: Some(4000), ..all() }, "t_0004 ws_0001 ws_0002"),
        (Filter { until: Some(2000), ..all() }, "t_0001"),
        (Filter { texts: texts(&["nEEDle"]), ..all() }, "t_0002"),
        // In the handshake, in a message, in no item, and in a message of a WebSocket that another criterion excludes.
        (Filter { texts: texts(&["x: HAND"]), ..all() }, "t_0004 ws_0001"),
        (Filter { texts: texts(&["MESSAGE", "refused"]), ..all() }, "t_0003 t_0004 ws_0001"),
        (Filter { texts: texts(&["absent"]), ..all() }, ""),
        (Filter { texts: texts(&["message"]), hosts: hosts(&["c.test"]), ..all() }, ""),
    ]
}

#[test]
fn a_part_of_a_bundle_is_a_bundle() {
    let dir = TestDir::new("filter");
    let path = bundle(&dir);
    let output = dir.path("b.zip");
    for (filter, expected) in filters() {
        assert_eq!(filter.is_empty(), expected == filters()[0].1, "{filter:?}");
        let options = merge::Options { filter: filter.clone(), ..merge::Options::default() };
        let merged = merge(std::slice::from_ref(&path), &output, &options).unwrap();
        assert_eq!(ids(&output), expected, "{filter:?}");
        let redacted = redact(&path, &output, &Rules::default(), &options).unwrap();
        assert_eq!(ids(&output), expected, "{filter:?}");
        let bundle = Bundle::open(&output).unwrap();
        let stats = &bundle.manifest().stats;
        assert_eq!((merged.exchanges, merged.websockets), (stats.trace_count, stats.ws_connection_count));
        assert_eq!((redacted.exchanges, redacted.websockets), (stats.trace_count, stats.ws_connection_count));
        assert_eq!(stats.trace_count + stats.ws_connection_count, expected.split_whitespace().count() as u64);
        // All messages of a WebSocket, and all contexts.
        assert_eq!(stats.ws_message_count, if expected.contains("ws_0001") { 2 } else { 0 });
        assert_eq!((stats.context_count, bundle.contexts().len()), (1, 1));
        let events = [stats.trace_count, stats.ws_connection_count, stats.ws_message_count, 1];
        assert_eq!(bundle.timeline().unwrap().events.len() as u64, events.iter().sum::<u64>());
    }
}

#[test]
fn an_export_has_the_same_part() {
    let dir = TestDir::new("filter-export");
    let bundle = Bundle::open(bundle(&dir)).unwrap();
    for (filter, expected) in filters() {
        let options = export::Options { filter };
        let mut out = Vec::new();
        export::har::write(&bundle, &options, &mut out).unwrap();
        let har: Value = serde_json::from_slice(&out).unwrap();
        let entries = har["log"]["entries"].as_array().unwrap();
        let exported: Vec<_> = entries.iter().map(|entry| entry["comment"].as_str().unwrap()).collect();
        // A WebSocket is in the entry of its handshake, or in one of its own.
        let expected: Vec<_> = expected.split_whitespace().filter(|id| *id != "ws_0001").collect();
        assert_eq!(exported, expected);
    }
}

#[test]
fn all_content_is_measured_once() {
    let dir = TestDir::new("filter-meter");
    let (path, output) = (bundle(&dir), dir.path("b.zip"));
    let is_all = |meter: &Meter| {
        let Measured { done, total, .. } = meter.read();
        total > 0 && done * 100 >= total * 95
    };
    let (merging, redacting) = (merge::Options::default(), redact::Options::default());
    merge(std::slice::from_ref(&path), &output, &merging).unwrap();
    redact(&path, &output, &Rules::default(), &redacting).unwrap();
    assert!(is_all(&merging.meter) && is_all(&redacting.meter));
    let exported = Bundle::open(&path).unwrap();
    export::har::write(&exported, &export::Options::default(), &mut Vec::new()).unwrap();
    assert!(is_all(exported.meter()));

    // The body of `t_0002` is most of the content. What is excluded is done, what is selected will be read again.
    for (text, post, expected) in [("absent", "POST", true), ("needle", "POST", false), ("needle", "GET", true)] {
        let filter = Filter { texts: texts(&[text]), methods: vec![post.into()], ..Filter::default() };
        let bundle = Bundle::open(&path).unwrap();
        let has = Selected::new(&filter).has_exchange(&bundle, &bundle.trace("t_0002").unwrap()).unwrap();
        assert_eq!((has, is_all(bundle.meter())), (!expected, expected), "{text} {post}");
    }
}

#[test]
fn members_that_are_not_known_are_kept_and_redacted() {
    let dir = TestDir::new("filter-others");
    let (path, output) = (dir.path("a.zip"), dir.path("b.zip"));
    let documents = [
        ("traces/t_0001", json!({"later": {"token": "s3cret"}, "request": {"url": "http://a.test/", "proto": "h3"}})),
        ("ws/ws_0001", json!({"url": "ws://a.test/", "token": "s3cret"})),
        ("ws/ws_0001_m001", json!({"opcode": "text", "later": [1]})),
    ];
    write(&path, &documents, &[]);
    let json = |name: &str| -> Value {
        let archive = crate::bundle::archive::ZipReader::open(&output).unwrap();
        serde_json::from_slice(&archive.read(name, 1 << 20).unwrap().unwrap()).unwrap()
    };
    let members = || {
        let (trace, websocket) = (json("traces/t_0001.json"), json("ws/ws_0001.json"));
        assert_eq!((&trace["request"]["proto"], &trace["request"]["url"]), (&json!("h3"), &json!("http://a.test/")));
        assert_eq!(json("ws/ws_0001_m001.json")["later"], json!([1]));
        [trace["later"]["token"].clone(), websocket["token"].clone()]
    };
    merge(std::slice::from_ref(&path), &output, &merge::Options::default()).unwrap();
    assert_eq!(members(), ["s3cret", "s3cret"]);
    let mut rules = Rules::default();
    rules.json.push("token".into());
    let redacted = redact(&path, &output, &rules, &redact::Options::default()).unwrap();
    let [first, second] = members();
    assert!(first == second && first.as_str().unwrap().starts_with("redacted-"), "{first}");
    assert_eq!(redacted.report.names["token"], 2);
}

#[test]
fn what_was_cut_off_stays_marked() {
    let dir = TestDir::new("filter-cut-off");
    let (path, output) = (bundle(&dir), dir.path("b.zip"));
    let mut options = redact::Options::default();
    options.filter.ids = vec!["t_0004".into()];
    redact(&path, &output, &Rules::default(), &options).unwrap();
    let redacted = Bundle::open(&output).unwrap();
    let original = Bundle::open(&path).unwrap();
    assert!(redacted.trace("t_0004").unwrap().cut_off.is_some());
    assert_eq!(redacted.trace("t_0004").unwrap(), original.trace("t_0004").unwrap());
    assert!(redacted.message("ws_0001_m001").unwrap().cut_off.is_some());
    assert_eq!(redacted.message("ws_0001_m001").unwrap(), original.message("ws_0001_m001").unwrap());
}

#[test]
fn a_websocket_over_several_bundles_is_selected_as_a_whole() {
    let dir = TestDir::new("filter-parts");
    let handshake = json!({"request": {"method": "GET", "url": "wss://a.test/"}, "response": {"status": 101}});
    let websocket = json!({"url": "wss://a.test/", "handshake_trace_ref": "t_0001"});
    let message = |n: u32| json!({"opcode": "text", "payload_file": format!("ws_0001_m00{n}.bin"), "payload_size": 5});
    let part = |name: &str, n: u32, payload: &[u8]| {
        let message_name = format!("ws/ws_0001_m00{n}");
        let documents =
            [("traces/t_0001", handshake.clone()), ("ws/ws_0001", websocket.clone()), (&message_name, message(n))];
        write(&dir.path(name), &documents, &[(&format!("{message_name}.bin"), payload)])
    };
    let parts = [part("1.zip", 1, b"first"), part("2.zip", 2, b"other")];
    let mut options = merge::Options::default();
    options.filter.texts = texts(&["OTHER"]);
    let merged = merge(&parts, &dir.path("b.zip"), &options).unwrap();
    assert_eq!((merged.exchanges, merged.websockets, merged.messages), (1, 1, 2));
}

#[test]
fn a_damaged_body_is_an_error_unless_its_beginning_matches() {
    let dir = TestDir::new("filter-damaged");
    let body: Vec<u8> = (0..200_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_string().into_bytes()).collect();
    let documents = [("traces/t_0001", json!({"response": {"status": 200, "body_file": "t_0001_response.bin"}}))];
    let path = write(&dir.path("a.zip"), &documents, &[("traces/t_0001_response.bin", &body)]);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[500_000..500_100].fill(0);
    std::fs::write(&path, bytes).unwrap();
    let bundle = Bundle::open(&path).unwrap();
    let trace = bundle.trace("t_0001").unwrap();
    let matches = |text: &str| Filter { texts: texts(&[text]), ..Filter::default() }.matches(&bundle, &trace);
    assert!(matches("2654435761").unwrap());
    assert!(matches!(matches("absent"), Err(Error::Malformed { cause: EntryError::Damaged, .. })));
}

#[test]
fn a_url_has_a_host_and_a_port() {
    for (url, host, port) in [
        ("https://a.example/b:c", "a.example", 443),
        ("http://a.example?x:1", "a.example", 80),
        ("wss://a.example:8443", "a.example", 8443),
        ("ws://[::1]/", "[::1]", 80),
        ("http://u:p@a.example:81/@b", "a.example", 81),
        ("http://[::1]:81/", "[::1]", 81),
        ("invalid", "", 80),
    ] {
        assert_eq!(host_and_port(url), (host, port), "{url}");
    }
}
