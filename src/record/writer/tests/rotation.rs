//! A capture that writes several bundles: when it begins one, what they are called, and what a failing disk does.

use super::*;
use crate::bundle::archive::buffered_file::faults::{DISK_IS_FULL, NO_SYNC};
use merging::{Merge, assert_merged, items, rotated_paths};

mod draining;
mod merging;

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
    let merge: &Merge = &|parts, output| drop(crate::tools::merge::merge(parts, output, &Default::default()).unwrap());
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
    assert_eq!(std::iter::from_fn(|| queue.try_recv()).count(), 3);
    let delayed = "the disk is slow: 3 bundles are not finished yet, and the current one grows until they are";
    assert_eq!(capture.notices().iter().filter(|line| *line == delayed).count(), 1);
    let writer = capture.writer.as_mut().unwrap();
    assert_eq!(writer.bundle.info.stats().trace_count, 3);
}
