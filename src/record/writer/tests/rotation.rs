//! A capture that writes several bundles, which merge to the bundle that it would have written without rotation.

use super::*;
use crate::bundle::archive::buffered_file::faults::{DISK_IS_FULL, NO_SYNC};
use crate::bundle::reader::Manifest;
use std::collections::BTreeMap;

fn rotating(rotate: Rotate, keep: Option<u32>) -> CaptureLimits {
    CaptureLimits { rotate: Some(rotate), keep: keep.and_then(NonZeroU32::new), ..limits() }
}

/// A limit that is not reached: the test rotates.
const NEVER: Rotate = Rotate::Size(u64::MAX);

impl Capture {
    fn rotating(name: &str, rotate: Rotate, keep: Option<u32>) -> Self {
        let folder = Self::new(name).folder.clone();
        fs::create_dir(&folder).unwrap();
        Self::with_limits(folder, rotating(rotate, keep))
    }

    /// Writes an item and rotates.
    fn write_and_rotate(&mut self, item: Item) {
        self.write(item);
        self.rotate();
    }

    fn rotate(&mut self) {
        let writer = self.writer.as_mut().unwrap();
        while writer.finisher.pending() > 1
            && let Some(report) = writer.finisher.next()
        {
            writer.results().bundle_finished(report);
        }
        writer.rotate(Moment::now());
    }

    fn part(&self, number: u32) -> PathBuf {
        self.folder.join(format!("my app-{number:04}.zip"))
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.folder).unwrap();
        let mut names: Vec<_> = entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// The items of a bundle: the JSON of each, with the bodies it refers to.
type Items = BTreeMap<String, (serde_json::Value, Vec<Vec<u8>>)>;

/// Reads a bundle, and checks its references and counts.
#[track_caller]
fn items(bundle: &Bundle) -> Items {
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

fn rotated_paths(capture: &Capture) -> Vec<PathBuf> {
    capture.names().iter().filter(|name| name.starts_with("my app-")).map(|name| capture.folder.join(name)).collect()
}

/// Merges bundles. An argument, because the benchmarks compile this file without the tools.
type Merge = dyn Fn(&[PathBuf], &Path);

/// Merges the bundles of a capture that rotated, in any order, and compares the result with the one of another capture.
#[track_caller]
fn assert_merged(rotated: &Capture, whole: &Bundle, merge: &Merge) {
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
    let merge: &Merge = &|parts, output| drop(crate::tools::merge::merge(parts, output).unwrap());
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

/// Opens a bundle and checks it against the bundle format.
#[track_caller]
fn check_file(path: &Path) -> Bundle {
    let bundle = Bundle::open(path).unwrap();
    let stats = bundle.manifest().stats.clone();
    let (exchanges, websockets) = (stats.trace_count, stats.ws_connection_count);
    let messages = stats.ws_message_count;
    open_checked(&WriterSummary {
        bundle: Some(path.to_owned()),
        exchanges,
        websockets,
        messages,
        ..WriterSummary::default()
    })
}

#[test]
fn rotates_at_a_size() {
    let mut capture = Capture::rotating("size", Rotate::Size(100_000), None);
    let noise: Vec<u8> = (0..30_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let summary = capture.run(|c, items| {
        for n in 0..14 {
            let mut exchange = c.exchange(n, "http://a.test/");
            exchange.response.as_mut().unwrap().headers.push(b"Content-Type", b"image/png");
            exchange.response_body = c.body(&noise);
            items.send(item(exchange)).unwrap();
        }
    });
    assert_eq!((summary.exchanges, summary.lost), (14, 0));
    let parts = rotated_paths(&capture);
    assert_eq!(parts.len() as u64, summary.bundles.completed);
    assert!((2..=4).contains(&parts.len()), "{} parts", parts.len());
    for path in &parts[..parts.len() - 1] {
        // Up to one batch of groups is staged when the limit is reached.
        assert!((100_000..400_000).contains(&fs::metadata(path).unwrap().len()));
    }
    let ids: Vec<_> = parts.iter().flat_map(|path| items(&Bundle::open(path).unwrap()).into_keys()).collect();
    assert_eq!(ids, (1..=14).map(|n| format!("t_{n:04}")).collect::<Vec<_>>(), "ids continue");
}

#[test]
fn rotates_by_time_without_traffic_but_not_without_items() {
    let period = Duration::from_secs(60);
    let started = Moment::now();
    let mut capture = Capture::rotating("time", Rotate::Time(period), None);
    let at = |seconds: u64| started.plus(Duration::from_secs(seconds + 1));
    let step = |capture: &mut Capture, seconds: u64| {
        let writer = capture.writer.as_mut().unwrap();
        let mut rotation = writer.rotation.take().unwrap();
        let is_reached = rotation.is_reached(&mut writer.bundle, at(seconds));
        let check_after = rotation.check_after(at(seconds)).unwrap();
        writer.rotation = Some(rotation);
        (is_reached, check_after.as_secs())
    };
    assert!(!step(&mut capture, 0).0);
    let (is_reached, check_after) = step(&mut capture, 61);
    assert!(!is_reached && (55..=60).contains(&check_after), "empty: the next period begins, {check_after}");
    capture.write(item(capture.exchange(1, "http://a.test/")));
    assert!(!step(&mut capture, 100).0);
    assert!(step(&mut capture, 121).0);
    capture.writer.as_mut().unwrap().rotate(at(121));
    // Five periods without traffic.
    let (is_reached, check_after) = step(&mut capture, 121 + 290);
    assert!(!is_reached && (1..=60).contains(&check_after), "{check_after}");
    capture.write(item(capture.exchange(2, "http://a.test/")));
    assert!(step(&mut capture, 121 + 300).0);
    let summary = capture.run(|_, _| ());
    assert_eq!(summary.bundles.completed, 2);
    let duration = |number| Bundle::open(capture.part(number)).unwrap().manifest().duration_ms;
    assert!((121_000..123_000).contains(&duration(1)), "{}", duration(1));
}

#[test]
fn the_clock_rotates_although_nothing_is_sent() {
    let mut capture = Capture::rotating("clock", Rotate::Time(Duration::from_millis(30)), None);
    let (path, is_second) = (capture.part(1), capture.folder.join("my app-0002.zip.part"));
    let summary = capture.run(|c, items| {
        items.send(item(c.exchange(1, "http://a.test/"))).unwrap();
        let items = items.clone();
        std::thread::spawn(move || {
            let deadline = Moment::now().plus(Duration::from_secs(20));
            let has_rotated = || path.exists() && is_second.exists();
            while !(has_rotated() || deadline.since(Moment::now()).is_zero()) {
                std::thread::yield_now();
            }
            items.send(Item::CaptureEnd)
        });
    });
    assert_eq!(capture.names(), ["my app-0001.zip"], "the second bundle has no items");
    assert_eq!((summary.bundles.completed, summary.bundle), (1, Some(capture.part(1))));
    assert!(capture.notices().last().unwrap().starts_with("BundleFinished"), "{:?}", capture.notices());
}

#[test]
fn a_capture_without_items_is_one_bundle() {
    let mut capture = Capture::rotating("none", Rotate::Size(1), None);
    let summary = capture.run(|_, _| ());
    assert_eq!(capture.names(), ["my app-0001.zip"]);
    open_checked(&summary);
}

#[test]
fn numbers_continue_after_those_of_an_earlier_capture() {
    let mut capture = Capture::rotating("again", NEVER, None);
    capture.write_and_rotate(item(capture.exchange(1, "http://a.test/")));
    capture.write(item(capture.exchange(2, "http://a.test/")));
    capture.run(|_, _| ());
    fs::write(capture.folder.join("my app-0005.zip.part"), b"left over").unwrap();
    let mut second = Capture::with_limits(capture.folder.clone(), rotating(NEVER, None));
    second.write(item(second.exchange(1, "http://b.test/")));
    let summary = second.run(|_, _| ());
    assert_eq!(capture.names(), ["0001.zip", "0002.zip", "0005.zip.part", "0006.zip"].map(|it| format!("my app-{it}")));
    assert!(matches!(&summary.warnings[..], [Warning::Leftover { path }] if path.ends_with("my app-0005.zip.part")));
    let id = |number| Bundle::open(capture.part(number)).unwrap().manifest().capture_id.clone();
    assert_eq!(id(1), id(2));
    assert_ne!(id(1), id(6));
}

#[test]
fn deletes_old_bundles_of_this_capture_only() {
    let mut earlier = Capture::rotating("keep", NEVER, None);
    earlier.write(item(earlier.exchange(1, "http://a.test/")));
    earlier.run(|_, _| ());
    let mut capture = Capture::with_limits(earlier.folder.clone(), rotating(NEVER, Some(2)));
    capture.writer.as_mut().unwrap().finisher = Finisher::inline(NonZeroU32::new(2));
    let rotate = |capture: &mut Capture, n: u64| capture.write_and_rotate(item(capture.exchange(n, "http://a.test/")));
    (2..5).for_each(|n| rotate(&mut capture, n));
    // 2 is deleted. 3 is moved away, and 4 is replaced by another file.
    fs::rename(capture.part(3), capture.folder.join("mine.zip")).unwrap();
    fs::remove_file(capture.part(4)).unwrap();
    fs::write(capture.part(4), b"not of this capture").unwrap();
    (5..8).for_each(|n| rotate(&mut capture, n));
    let summary = capture.run(|_, _| ());
    let kept = ["mine.zip", "my app-0001.zip", "my app-0004.zip", "my app-0006.zip", "my app-0007.zip"];
    assert_eq!(capture.names(), kept);
    assert_eq!(fs::read(capture.part(4)).unwrap(), b"not of this capture");
    assert_eq!((summary.bundles.completed, summary.bundles.deleted), (6, 2));
    let deleted: Vec<_> = capture.notices().into_iter().filter(|line| line.starts_with("BundleDeleted")).collect();
    assert_eq!(deleted.len(), 2);
    assert!(deleted[0].contains("my app-0002.zip") && deleted[1].contains("my app-0005.zip"), "{deleted:?}");
    assert!(summary.warnings.is_empty(), "{:?}", summary.warnings);
    let last = summary.bundles.last.iter().map(|path| path.file_name().unwrap().to_str().unwrap());
    assert_eq!(last.collect::<Vec<_>>(), ["my app-0003.zip", "my app-0004.zip", "my app-0006.zip", "my app-0007.zip"]);
}

#[test]
fn a_bundle_that_cannot_be_finished_stays_and_the_capture_goes_on() {
    NO_SYNC.set(true);
    let mut capture = Capture::rotating("unfinished", NEVER, None);
    capture.writer.as_mut().unwrap().finisher = Finisher::inline(None);
    capture.write(capture.handshake(1, "ws://a.test/", 1, None));
    capture.write_and_rotate(capture.message(1, 2, Dir::Up, Opcode::Text, b"one"));
    capture.write(capture.message(1, 3, Dir::Up, Opcode::Text, b"two"));
    DISK_IS_FULL.set(true);
    capture.rotate();
    DISK_IS_FULL.set(false);
    capture.write(capture.message(1, 4, Dir::Up, Opcode::Text, b"three"));
    let summary = capture.run(|_, _| ());
    let part = capture.folder.join("my app-0002.zip.part");
    assert_eq!(capture.names(), ["0001.zip", "0002.zip.part", "0003.zip"].map(|it| format!("my app-{it}")));
    assert_eq!((summary.bundles.completed, summary.bundles.unfinished, summary.messages), (2, 1, 3));
    assert_eq!(summary.bundle, Some(capture.part(3)));
    assert!(summary.warnings.iter().any(|it| matches!(it, Warning::Unfinished { path, .. } if *path == part)));
    // Recovered, it is a part of the capture.
    crate::tools::recover::fuzz::from_unlocked_part(&part).unwrap();
    fs::remove_file(part).unwrap();
    let mut whole = Capture::new("unfinished-whole");
    whole.write(whole.handshake(1, "ws://a.test/", 1, None));
    for (at, text) in [(2, &b"one"[..]), (3, b"two"), (4, b"three")] {
        whole.write(whole.message(1, at, Dir::Up, Opcode::Text, text));
    }
    let summary = whole.run(|_, _| ());
    let merge: &Merge = &|parts, output| drop(crate::tools::merge::merge(parts, output).unwrap());
    assert_merged(&capture, &open_checked(&summary), merge);
    NO_SYNC.set(false);
}

#[test]
fn a_rotation_that_fails_is_tried_again_and_loses_nothing() {
    let mut capture = Capture::rotating("failed", NEVER, None);
    capture.write(item(capture.exchange(1, "http://a.test/")));
    let elsewhere = capture.folder.with_extension("moved");
    fs::rename(&capture.folder, &elsewhere).unwrap();
    capture.rotate();
    fs::rename(&elsewhere, &capture.folder).unwrap();
    capture.write(item(capture.exchange(2, "http://a.test/")));
    capture.rotate();
    capture.write(item(capture.exchange(3, "http://a.test/")));
    let summary = capture.run(|_, _| ());
    assert_eq!(capture.names(), ["my app-0001.zip", "my app-0002.zip"], "no number is left out");
    assert_eq!((summary.exchanges, summary.lost, summary.bundles.completed), (3, 0, 2));
    let [warning] = &summary.warnings[..] else { panic!("{:?}", summary.warnings) };
    assert!(
        warning.to_string().starts_with("the next bundle could not be begun, the current one grows on: "),
        "{warning}"
    );
    assert_eq!(Bundle::open(capture.part(1)).unwrap().traces().len(), 2);
}

#[test]
fn a_rotation_waits_for_a_slow_disk() {
    let mut capture = Capture::rotating("slow", NEVER, None);
    let (finisher, queue) = Finisher::stalled();
    capture.writer.as_mut().unwrap().finisher = finisher;
    for n in 0..6 {
        capture.write(item(capture.exchange(n, "http://a.test/")));
        capture.writer.as_mut().unwrap().rotate(Moment::now());
    }
    let parts = ["1", "2", "3", "4"].map(|n| format!("my app-000{n}.zip.part"));
    assert_eq!(capture.names(), parts, "the fourth has the other items");
    assert_eq!(queue.try_iter().count(), 3);
    let delayed = "the disk is slow: 3 bundles are not finished yet, and the current one grows until they are";
    assert_eq!(capture.notices().iter().filter(|line| *line == delayed).count(), 1);
    let writer = capture.writer.as_mut().unwrap();
    assert_eq!(writer.bundle.info.stats().trace_count, 3);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Returns an exchange with a gzip body. If `is_damaged`, its checksum is false.
fn gzip_exchange(capture: &Capture, n: u64, is_damaged: bool) -> Item {
    let mut body = gzip(format!("text of exchange {n} ").repeat(9000).as_bytes());
    if is_damaged {
        let at = body.len() - 6;
        body[at] ^= 0x5a;
    }
    let mut exchange = capture.exchange(n, "http://a.test/");
    exchange.response.as_mut().unwrap().headers.push(b"Content-Encoding", b"gzip");
    exchange.response_body = capture.body(&body);
    item(exchange)
}

#[test]
fn packers_go_on_with_earlier_bundles() {
    NO_SYNC.set(true);
    let write = |capture: &mut Capture, rotates: bool| {
        let packers = &mut capture.writer.as_mut().unwrap().packers;
        packers.refuse_fresh(true);
        packers.hold(true);
        capture.write(gzip_exchange(capture, 1, false));
        capture.write(gzip_exchange(capture, 2, true));
        capture.write(capture.handshake(3, "ws://a.test/", 1, None));
        capture.write(capture.message(1, 4, Dir::Up, Opcode::Text, b"one"));
        if rotates {
            capture.rotate();
            assert_eq!(capture.names(), ["my app-0001.zip.part", "my app-0002.zip.part"], "it is not verified yet");
        }
        capture.write(gzip_exchange(capture, 5, false));
        capture.write(capture.message(1, 6, Dir::Up, Opcode::Text, b"two"));
        let writer = capture.writer.as_mut().unwrap();
        writer.packers.hold(false);
        // The packers report on the earlier bundle before the next commit.
        writer.attempt(|writer| writer.write(Item::WebSocketEnd { websocket: WebSocketKey(1), why: None }));
        let deadline = Moment::now().plus(Duration::from_secs(20));
        while !writer.draining.is_empty() && !deadline.since(Moment::now()).is_zero() {
            writer.serve_packers();
            writer.drain_step();
        }
        assert!(writer.draining.is_empty());
        if rotates {
            let published = writer.published().lock().clone();
            assert!(published.part.ends_with("my app-0002.zip.part"), "{}", published.part.display());
            let first = fs::metadata(capture.part(1)).or(fs::metadata(capture.folder.join("my app-0001.zip.part")));
            assert!((1..=first.unwrap().len()).contains(&published.earlier_bytes), "{}", published.earlier_bytes);
        }
    };
    let mut whole = Capture::new("pack-whole");
    write(&mut whole, false);
    let summary = whole.run(|_, _| ());
    let bundle = open_checked(&summary);
    assert_eq!(bundle.trace("t_0002").unwrap().response.body_encoding.as_deref(), Some("gzip"));
    let mut capture = Capture::rotating("pack", NEVER, None);
    write(&mut capture, true);
    let summary = capture.run(|_, _| ());
    assert_eq!((summary.exchanges, summary.websockets, summary.messages, summary.lost), (4, 1, 2, 0));
    for number in [1, 2] {
        let websocket = check_file(&capture.part(number)).websocket("ws_0001").unwrap();
        assert_eq!((websocket.message_count, websocket.handshake_trace_ref.as_deref()), (1, Some("t_0003")));
    }
    let merge: &Merge = &|parts, output| drop(crate::tools::merge::merge(parts, output).unwrap());
    assert_merged(&capture, &bundle, merge);
    NO_SYNC.set(false);
}

#[test]
fn large_bodies_do_not_hold_up_a_rotation() {
    let large = |n: usize| b"0123456789abcdef".repeat(200_000 + n);
    let write = |capture: &mut Capture, rotates: bool| {
        for n in 0..4 {
            let mut exchange = capture.exchange(n, "http://a.test/");
            exchange.response.as_mut().unwrap().headers.push(b"Content-Type", b"video/mp4");
            exchange.response_body = capture.body(&large(n as usize));
            capture.write(item(exchange));
            if n == 2 && rotates {
                // The first of three is being copied.
                assert!(capture.writer.as_mut().unwrap().copy_step());
                capture.rotate();
                assert_eq!(capture.names(), ["my app-0001.zip.part", "my app-0002.zip.part"]);
            }
        }
    };
    let mut whole = Capture::new("large-whole");
    write(&mut whole, false);
    let summary = whole.run(|_, _| ());
    let mut capture = Capture::rotating("large", NEVER, None);
    write(&mut capture, true);
    capture.run(|_, _| ());
    let ids = |number| items(&check_file(&capture.part(number))).into_keys().collect::<Vec<_>>();
    assert_eq!((ids(1), ids(2)), (vec!["t_0001".into()], vec!["t_0002".into(), "t_0003".into(), "t_0004".into()]));
    let merge: &Merge = &|parts, output| drop(crate::tools::merge::merge(parts, output).unwrap());
    assert_merged(&capture, &open_checked(&summary), merge);
}
