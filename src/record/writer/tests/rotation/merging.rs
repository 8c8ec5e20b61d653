//! The bundles of a capture merge to the one that it would have written without rotation.

use super::*;
use crate::bundle::reader::Manifest;
use std::collections::BTreeMap;

/// The items of a bundle: the JSON of each, with the bodies it refers to.
pub(super) type Items = BTreeMap<String, (serde_json::Value, Vec<Vec<u8>>)>;

/// Reads a bundle, and checks its references and counts.
#[track_caller]
pub(super) fn items(bundle: &Bundle) -> Items {
    let mut items = Items::new();
    let mut counts = (0, 0, 0);
    for id in bundle.traces().iter() {
        let trace = bundle.trace(id).unwrap();
        let bodies = vec![bundle.request_body(&trace).unwrap(), bundle.response_body(&trace).unwrap()];
        items.insert(id.into(), (serde_json::to_value(&trace).unwrap(), bodies));
        counts.0 += 1;
    }
    for id in bundle.websockets().iter() {
        let websocket = bundle.websocket(id).unwrap();
        assert_eq!(websocket.message_count, bundle.messages(id).len() as u64);
        if let Some(handshake) = &websocket.handshake_trace_ref {
            assert!(items.contains_key(handshake), "{handshake} of {id} is not in {}", bundle.path().display());
        }
        items.insert(id.into(), (serde_json::to_value(&websocket).unwrap(), vec![]));
        counts.1 += 1;
        for id in bundle.messages(id).iter() {
            let message = bundle.message(id).unwrap();
            let payload = bundle.payload(&message).unwrap();
            items.insert(id.into(), (serde_json::to_value(&message).unwrap(), vec![payload]));
            counts.2 += 1;
        }
    }
    let stats = &bundle.manifest().stats;
    assert_eq!((stats.trace_count, stats.ws_connection_count, stats.ws_message_count), counts);
    let mut events: Vec<_> = bundle.timeline().unwrap().events.into_iter().map(|event| event.r#ref).collect();
    events.sort();
    assert_eq!(events, items.keys().cloned().collect::<Vec<_>>());
    items
}

/// Returns a manifest without the facts that differ between two captures.
fn comparable(manifest: &Manifest) -> Manifest {
    let mut manifest = manifest.clone();
    (manifest.capture_id, manifest.created_at, manifest.duration_ms) = Default::default();
    manifest
}

pub(super) fn rotated_paths(capture: &Capture) -> Vec<PathBuf> {
    capture.names().iter().filter(|name| name.starts_with("my app-")).map(|name| capture.folder.join(name)).collect()
}

/// Merges bundles. An argument, because the benchmarks compile this file without the tools.
pub(super) type Merge = dyn Fn(&[PathBuf], &Path);

/// Merges the bundles of a capture that rotated, in any order, and compares the result with the one of another capture.
#[track_caller]
pub(super) fn assert_merged(rotated: &Capture, whole: &Bundle, merge: &Merge) {
    let mut parts = rotated_paths(rotated);
    let ids: Vec<_> = parts.iter().map(|path| Bundle::open(path).unwrap().manifest().capture_id.clone()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    parts.iter().for_each(|path| drop(items(&Bundle::open(path).unwrap())));
    parts.reverse();
    let output = rotated.folder.join("merged").join("my app.zip");
    fs::create_dir_all(output.parent().unwrap()).unwrap();
    merge(&parts, &output);
    let merged = Bundle::open(&output).unwrap();
    assert_eq!(items(&merged), items(whole), "{} parts", parts.len());
    assert_eq!(comparable(merged.manifest()), comparable(whole.manifest()));
    let times = |bundle: &Bundle| bundle.timeline().unwrap().events.iter().map(|e| e.timestamp).collect::<Vec<_>>();
    assert_eq!(times(&merged), times(whole));
    fs::remove_dir_all(output.parent().unwrap()).unwrap();
}

/// The items of a small capture: two WebSockets, one of which is open at the end, between exchanges.
const SCRIPT: &[fn(&Capture) -> Item] = &[
    |c| item(c.exchange(10, "http://a.test/1")),
    |c| c.handshake(20, "ws://a.test/chat", 1, Some("p")),
    |c| c.message(1, 30, Dir::Up, Opcode::Text, b"one"),
    |c| {
        let Item::Exchange(mut handshake) = c.handshake(15, "ws://b.test/", 2, None) else { panic!("an exchange") };
        // Only the first bundle has the body.
        handshake.request_body = c.body(b"unusual");
        Item::Exchange(handshake)
    },
    |c| c.message(2, 31, Dir::Down, Opcode::Binary, &[7; 5000]),
    |c| c.message(1, 32, Dir::Down, Opcode::Text, b"two"),
    |c| {
        let mut exchange = c.exchange(5, "http://a.test/2");
        exchange.request_body = c.body(b"request");
        exchange.response_body = c.body(&[b'x'; 3000]);
        item(exchange)
    },
    |c| c.message(1, 40, Dir::Up, Opcode::Close, &[3, 232]),
    |_| Item::WebSocketEnd { websocket: WebSocketKey(1), why: None },
    |c| item(c.exchange(50, "http://a.test/3")),
    |c| c.message(2, 60, Dir::Up, Opcode::Text, b""),
];

/// Captures the script, with a rotation after each item whose bit is set in `rotations`.
fn check_script(whole: &Bundle, whole_notices: &[String], rotations: u32, merge: &Merge) {
    let mut capture = Capture::rotating("script", NEVER, None);
    for (n, make) in SCRIPT.iter().enumerate() {
        capture.write(make(&capture));
        if rotations >> n & 1 == 1 {
            capture.rotate();
        }
    }
    let summary = capture.run(|_, _| ());
    assert_eq!((summary.exchanges, summary.websockets, summary.messages, summary.lost), (5, 2, 5, 0));
    assert!(summary.warnings.is_empty(), "{:?}", summary.warnings);
    assert_eq!(summary.unclosed_websockets.count, 1);
    assert_merged(&capture, whole, merge);
    let traffic = |notice: &String| !notice.starts_with("BundleFinished");
    assert_eq!(capture.notices().into_iter().filter(traffic).collect::<Vec<_>>(), whole_notices, "{rotations:b}");
    assert_eq!(summary.bundles.completed, rotated_paths(&capture).len() as u64);
    assert_eq!(summary.bundle, summary.bundles.last.last().cloned());
}

#[test]
fn bundles_merge_to_one_wherever_the_capture_rotates() {
    NO_SYNC.set(true);
    let mut whole = Capture::new("whole");
    SCRIPT.iter().for_each(|make| whole.write(make(&whole)));
    let summary = whole.run(|_, _| ());
    let bundle = open_checked(&summary);
    let last = 1 << SCRIPT.len();
    let single = (0..SCRIPT.len()).map(|n| 1 << n);
    let merge: &Merge = &|parts, output| drop(crate::tools::merge::merge(parts, output, &Default::default()).unwrap());
    let pairs = (0..SCRIPT.len()).flat_map(|a| (0..a).map(move |b| 1 << a | 1 << b));
    for rotations in single.chain(pairs).chain([0, last - 1, (last - 1) / 3, (last - 1) / 3 * 2]) {
        check_script(&bundle, &whole.notices(), rotations, merge);
    }
    NO_SYNC.set(false);
}

#[test]
fn a_websocket_continues_over_several_bundles() {
    let mut capture = Capture::rotating("over", NEVER, None);
    capture.write_and_rotate(capture.handshake(1, "ws://a.test/", 1, Some("p")));
    for n in 0..2 {
        capture.write(capture.message(1, 10 + n, Dir::Up, Opcode::Text, b"first"));
        capture.write_and_rotate(capture.message(1, 20 + n, Dir::Down, Opcode::Text, b"second"));
    }
    // No message is in this one.
    capture.write_and_rotate(item(capture.exchange(30, "http://b.test/")));
    capture.write(capture.message(1, 40, Dir::Down, Opcode::Text, b"last"));
    let summary = capture.run(|_, _| ());
    assert_eq!((summary.exchanges, summary.websockets, summary.messages), (2, 1, 5));
    let expected = [
        vec!["t_0001", "ws_0001"],
        vec!["t_0001", "ws_0001", "ws_0001_m001", "ws_0001_m002"],
        vec!["t_0001", "ws_0001", "ws_0001_m003", "ws_0001_m004"],
        vec!["t_0002"],
        vec!["t_0001", "ws_0001", "ws_0001_m005"],
    ];
    for (number, expected) in (1..).zip(expected) {
        let path = capture.part(number);
        let bundle = check_file(&path);
        assert_eq!(items(&bundle).into_keys().collect::<Vec<_>>(), expected, "{number}");
        assert_eq!(bundle.manifest().app.name, format!("my app-{number:04}"));
        if let Ok(websocket) = bundle.websocket("ws_0001") {
            assert_eq!(
                (websocket.handshake_trace_ref.as_deref(), websocket.protocols),
                (Some("t_0001"), vec!["p".into()])
            );
        }
    }
    let ws: Vec<_> = capture.notices().into_iter().filter(|line| line.starts_with("ws_")).collect();
    assert_eq!(ws, ["ws_0001 ws://a.test/ 5"], "one notice, with all messages");
}
