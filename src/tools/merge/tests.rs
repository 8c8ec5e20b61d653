//! Merges parts of one capture, alone and with other bundles.

use super::*;
use crate::bundle::archive::{Archive, CompressionMethod};
use crate::bundle::json::add_json;
use crate::bundle::test_dir::TestDir;
use crate::bundle::uuid;
use crate::coding::testing::gz;
use serde_json::{Value, json};
use std::io::Write;
use std::time::Duration;

const CAPTURE: &str = "6f3a1f0e-2c55-4c1e-9a5e-0f3b6f6f2a10";
const OTHER: &str = "0b0c5b0e-7d0a-4c1e-8a5e-1f3b6f6f2a11";

/// Writes the bundle `name` of the capture `id` that began at `second`. An item is an exchange (`t_0001`, or `t_0001-` without
/// its body), a message (`ws_0001_m001`) or a WebSocket (`ws_0001`, or `ws_0001>t_0001` with the exchange of its handshake).
fn bundle(dir: &TestDir, name: &str, id: &str, second: u32, items: &[&str]) -> PathBuf {
    let (mut archive, _) = Archive::create(&dir.path(name), Duration::ZERO).unwrap();
    let manifest = json!({
        "capture_id": id, "created_at": format!("2026-11-22T09:07:{second:02}.000000+00:00"), "duration_ms": 5000,
        "capture_method": "proxy",
    });
    archive
        .group(|archive| {
            for item in items {
                let (id, handshake) = item.split_once('>').map_or((*item, None), |(id, trace)| (id, Some(trace)));
                let (id, has_body) = id.strip_suffix('-').map_or((id, true), |id| (id, false));
                let timestamp: u64 = id.rsplit(['_', 'm']).next().unwrap().parse().unwrap();
                let (file, body) = (format!("{id}_response.bin"), id.as_bytes());
                if id.starts_with("t_") {
                    let mut response = json!({"status": 200, "body_file": null, "body_size": 0});
                    if has_body {
                        write_body(archive, format!("traces/{file}"), body)?;
                        response = json!({"status": 200, "body_file": file, "body_size": body.len()});
                    }
                    let request = json!({"url": format!("https://a.test/{id}")});
                    let trace = json!({"id": id, "timestamp": timestamp, "request": request, "response": response});
                    add_json(archive, format!("traces/{id}.json"), &trace, &[])?;
                } else if let Some((websocket, _)) = id.split_once("_m") {
                    write_body(archive, format!("ws/{id}.bin"), body)?;
                    let message = json!({"id": id, "connection_ref": websocket, "timestamp": timestamp,
                        "payload_file": format!("{id}.bin"), "payload_size": body.len()});
                    add_json(archive, format!("ws/{id}.json"), &message, &[])?;
                } else {
                    let messages = items.iter().filter(|other| other.starts_with(&format!("{id}_m"))).count();
                    let url = if handshake.is_some() { "wss://a.test/chat" } else { "ws://unknown.invalid/" };
                    let websocket = json!({"id": id, "timestamp": timestamp, "url": url,
                        "handshake_trace_ref": handshake, "protocols": [], "message_count": messages});
                    add_json(archive, format!("ws/{id}.json"), &websocket, &[])?;
                }
            }
            add_json(archive, "manifest.json".into(), &manifest, &[])
        })
        .unwrap();
    archive.finish().unwrap().path
}

fn write_body(archive: &mut Archive, name: String, body: &[u8]) -> std::io::Result<()> {
    archive.begin_entry(name, body.len() as u64, CompressionMethod::Stored, &[])?;
    archive.write_all(body)
}

/// Merges bundles, checks the references of the result, and returns it with a description of its items.
#[track_caller]
fn merged(dir: &TestDir, bundles: &[&PathBuf]) -> (Bundle, Vec<String>) {
    let bundles: Vec<_> = bundles.iter().map(|path| (*path).clone()).collect();
    let merged = merge(&bundles, &dir.path("merged.zip"), &Options::default()).unwrap();
    let bundle = Bundle::open(&merged.output).unwrap();
    let mut items = Vec::new();
    for id in bundle.traces().iter() {
        let trace = bundle.trace(id).unwrap();
        let body = String::from_utf8(bundle.response_body(&trace).unwrap()).unwrap();
        assert_eq!((trace.id.as_str(), trace.request.url.contains(&body)), (id, true));
        items.push(format!("{id}: {body}"));
    }
    for id in bundle.websockets().iter() {
        let websocket = bundle.websocket(id).unwrap();
        assert_eq!((websocket.id.as_str(), websocket.message_count), (id, bundle.messages(id).len() as u64));
        let handshake = websocket.handshake_trace_ref.unwrap_or("none".into());
        items.push(format!("{id}: {} {handshake}", websocket.url));
        for message_id in bundle.messages(id).iter() {
            let message = bundle.message(message_id).unwrap();
            let payload = String::from_utf8(bundle.payload(&message).unwrap()).unwrap();
            assert_eq!((message.id.as_str(), message.connection_ref.as_str()), (message_id, id));
            items.push(format!("{message_id}: {payload}"));
        }
    }
    let events = bundle.timeline().unwrap().events;
    assert!(events.is_sorted_by_key(|event| event.timestamp), "{events:?}");
    assert_eq!(events.len(), items.len());
    assert_eq!((merged.exchanges, merged.messages), {
        let stats = &bundle.manifest().stats;
        (stats.trace_count, stats.ws_message_count)
    });
    (bundle, items)
}

/// The three parts of a capture with a WebSocket that continues over them.
fn parts(dir: &TestDir) -> [PathBuf; 3] {
    [
        bundle(dir, "c-0001.zip", CAPTURE, 1, &["t_0001", "t_0002", "ws_0001_m001", "ws_0001>t_0002"]),
        bundle(
            dir,
            "c-0002.zip",
            CAPTURE,
            10,
            &["t_0004", "t_0002-", "ws_0001_m002", "ws_0001_m003", "ws_0001>t_0002"],
        ),
        bundle(dir, "c-0003.zip", CAPTURE, 20, &["t_0002-", "ws_0001_m004", "ws_0001>t_0002", "t_0003", "t_10000"]),
    ]
}

const WHOLE: [&str; 10] = [
    "t_0001: t_0001",
    "t_0002: t_0002",
    "t_0003: t_0003",
    "t_0004: t_0004",
    "t_10000: t_10000",
    "ws_0001: wss://a.test/chat t_0002",
    "ws_0001_m001: ws_0001_m001",
    "ws_0001_m002: ws_0001_m002",
    "ws_0001_m003: ws_0001_m003",
    "ws_0001_m004: ws_0001_m004",
];

#[test]
fn parts_of_one_capture_keep_their_ids_in_any_order() {
    let dir = TestDir::new("merge-parts");
    let [a, b, c] = &parts(&dir);
    for bundles in [&[a, b, c][..], &[c, a, b], &[b, c, b, a, a]] {
        let (bundle, items) = merged(&dir, bundles);
        assert_eq!(items, WHOLE);
        let manifest = bundle.manifest();
        assert_eq!((manifest.capture_id.as_str(), manifest.duration_ms), (CAPTURE, 24_000));
        assert_eq!(manifest.created_at, "2026-11-22T09:07:01.000000+00:00");
        assert_eq!((manifest.app.name.as_str(), manifest.stats.ws_connection_count), ("merged", 1));
        assert_eq!(
            (manifest.app.base_url.as_str(), manifest.capture_method.as_deref()),
            ("https://a.test", Some("proxy"))
        );
    }
}

#[test]
fn a_merged_capture_can_be_merged_with_its_parts_again() {
    let dir = TestDir::new("merge-again");
    let [a, b, c] = &parts(&dir);
    merged(&dir, &[c, b]);
    let some = dir.path("some.zip");
    std::fs::rename(dir.path("merged.zip"), &some).unwrap();
    let (bundle, items) = merged(&dir, &[b, &some, a]);
    assert_eq!((items, bundle.manifest().capture_id.as_str()), (WHOLE.map(String::from).to_vec(), CAPTURE));
}

#[test]
fn a_missing_part_leaves_its_own_items_out() {
    let dir = TestDir::new("merge-missing");
    let [a, b, c] = &parts(&dir);
    let (_, items) = merged(&dir, &[a, c]);
    let of_b = ["t_0004", "ws_0001_m002", "ws_0001_m003"];
    assert_eq!(
        items,
        WHOLE.into_iter().filter(|item| !of_b.contains(&item.split(':').next().unwrap())).collect::<Vec<_>>()
    );
    // The other parts have the handshake without its body.
    let (_, items) = merged(&dir, &[c, b]);
    assert_eq!(items[..2], ["t_0002: ", "t_0003: t_0003"]);
    assert_eq!(items[4], "ws_0001: wss://a.test/chat t_0002");
}

#[test]
fn takes_a_websocket_from_the_part_that_has_its_handshake() {
    let dir = TestDir::new("merge-damaged");
    // A recovered part can lack the handshake, of which every part has a copy.
    let damaged = bundle(&dir, "1.zip", CAPTURE, 1, &["ws_0001_m001", "ws_0001"]);
    let whole = bundle(&dir, "2.zip", CAPTURE, 2, &["t_0001", "ws_0001_m002", "ws_0001>t_0001"]);
    let (_, items) = merged(&dir, &[&damaged, &whole]);
    assert_eq!(items[0..2], ["t_0001: t_0001", "ws_0001: wss://a.test/chat t_0001"]);
    let (_, items) = merged(&dir, &[&damaged, &damaged]);
    assert_eq!(items, ["ws_0001: ws://unknown.invalid/ none", "ws_0001_m001: ws_0001_m001"]);
    let dangling = bundle(&dir, "3.zip", CAPTURE, 3, &["ws_0001_m003", "ws_0001>t_0001"]);
    let (_, items) = merged(&dir, &[&damaged, &dangling]);
    assert_eq!(items[0], "ws_0001: wss://a.test/chat none");
}

#[test]
fn different_captures_are_numbered_and_their_parts_have_one_number() {
    let dir = TestDir::new("merge-mixed");
    let [a, b, c] = &parts(&dir);
    let other = bundle(&dir, "other.zip", OTHER, 4, &["t_0001", "ws_0001_m001", "ws_0001>t_0001"]);
    // Bundles without a UUID are captures of their own.
    let unknown = bundle(&dir, "unknown.zip", "", 5, &["t_0001"]);
    let (bundle, items) = merged(&dir, &[b, &other, &unknown, a, &unknown, c]);
    let mut expected: Vec<_> = WHOLE.iter().map(|item| item.replacen('_', "_001_", 1)).collect();
    expected[5] = "ws_001_0001: wss://a.test/chat t_001_0002".into();
    expected.splice(5..5, ["t_002_0001: t_0001", "t_003_0001: t_0001", "t_004_0001: t_0001"].map(String::from));
    expected.extend(["ws_002_0001: wss://a.test/chat t_002_0001", "ws_002_0001_m001: ws_0001_m001"].map(String::from));
    let sorted = |mut items: Vec<String>| {
        items.sort();
        items
    };
    assert_eq!(sorted(items), sorted(expected));
    let capture_id = &bundle.manifest().capture_id;
    assert!(uuid::is_uuid(capture_id) && capture_id != CAPTURE && capture_id != OTHER, "{capture_id}");
}

#[test]
fn one_bundle_keeps_its_ids() {
    let dir = TestDir::new("merge-one");
    let [a, ..] = &parts(&dir);
    let (bundle, items) = merged(&dir, &[a]);
    assert_eq!(items.len(), 4);
    assert_eq!(bundle.manifest().capture_id, CAPTURE);
    let first: Value = serde_json::to_value(Bundle::open(a).unwrap().websocket("ws_0001").unwrap()).unwrap();
    assert_eq!(serde_json::to_value(bundle.websocket("ws_0001").unwrap()).unwrap(), first);
}

#[test]
fn bodies_that_were_left_as_received_are_decoded() {
    let dir = TestDir::new("received");
    let text = "some text, ".repeat(300_000);
    let encoded = gz(text.as_bytes());
    let (mut archive, _) = Archive::create(&dir.path("a.zip"), Duration::ZERO).unwrap();
    archive
        .group(|archive| {
            write_body(archive, "traces/t_0001_request.bin".into(), b"not gzip")?;
            write_body(archive, "traces/t_0001_response.bin".into(), &encoded)?;
            let request = json!({"body_file": "t_0001_request.bin", "body_size": 8, "body_encoding": "gzip"});
            let response =
                json!({"body_file": "t_0001_response.bin", "body_size": encoded.len(), "body_encoding": "gzip"});
            add_json(
                archive,
                "traces/t_0001.json".into(),
                &json!({"id": "t_0001", "request": request, "response": response}),
                &[],
            )?;
            add_json(archive, "manifest.json".into(), &json!({"capture_id": CAPTURE}), &[])
        })
        .unwrap();
    let merged = merge(&[archive.finish().unwrap().path], &dir.path("merged.zip"), &Options::default()).unwrap();
    let bundle = Bundle::open(&merged.output).unwrap();
    let trace = bundle.trace("t_0001").unwrap();
    assert!(bundle.response_body(&trace).unwrap() == text.as_bytes());
    assert_eq!((trace.response.body_encoding.as_deref(), trace.response.body_size), (None, text.len() as u64));
    assert_eq!(bundle.request_body(&trace).unwrap(), b"not gzip");
    assert_eq!(trace.request.body_encoding.as_deref(), Some("gzip"));
}

#[test]
fn members_of_manifests_that_are_not_known_are_kept() {
    let dir = TestDir::new("merge-manifest");
    let write = |name: &str, manifest: Value| {
        let (mut archive, _) = Archive::create(&dir.path(name), Duration::ZERO).unwrap();
        archive.group(|archive| add_json(archive, "manifest.json".into(), &manifest, &[])).unwrap();
        archive.finish().unwrap().path
    };
    let first = json!({"capture_id": CAPTURE, "device": {"os": "first"}, "app": {"name": "old", "icon": "i.png"}});
    let later = json!({"capture_id": OTHER, "device": "later", "tags": ["a"], "app": {"icon": "j.png", "pid": 7}});
    let (first, later) = (write("first.zip", first), write("later.zip", later));
    let merged = |bundles: &[&PathBuf]| {
        let bundles: Vec<_> = bundles.iter().map(|path| (*path).clone()).collect();
        let merged = merge(&bundles, &dir.path("merged.zip"), &Options::default()).unwrap();
        let others = Bundle::open(merged.output).unwrap().whole_manifest().unwrap().others;
        let app = others.within("app").members().to_vec();
        (others.members().to_vec(), app)
    };
    let member = |name: &str, value: Value| (name.to_owned(), value);
    let (device, icon) = (member("device", json!({"os": "first"})), member("icon", json!("i.png")));
    assert_eq!(merged(&[&first]), (vec![device.clone()], vec![icon.clone()]));
    let all = (vec![device, member("tags", json!(["a"]))], vec![icon, member("pid", json!(7))]);
    assert_eq!(merged(&[&first, &later]), all, "of two with one name, the first counts");
}
