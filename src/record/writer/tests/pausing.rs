//! Packers pause while the app is busy. Meanwhile bodies wait in the file, up to a bound.

use super::unpacking::{encoded, entry};
use super::*;
use crate::coding::testing::{TEXT_BR, gz, sample};
use crate::record::writer::backlog::{BacklogRecord, MAX_SHORT_BYTES, MAX_SHORT_RECORDS};
use crate::record::writer::packer_time::PackerTime;

impl Capture {
    fn writer(&mut self) -> &mut Writer {
        self.writer.as_mut().unwrap()
    }

    fn write_encoded(&mut self, coding: &str, body: &[u8]) {
        let exchange = encoded(self, coding, body);
        self.write(item(exchange));
    }

    /// Lets packers work until `is_done`, or for 20 s.
    #[track_caller]
    fn pack_until(&mut self, is_done: impl Fn(&mut Self) -> bool) {
        let deadline = Moment::now().plus(Duration::from_secs(20));
        while !is_done(self) {
            assert!(!deadline.since(Moment::now()).is_zero(), "the packers are not done");
            self.writer().serve_packers();
            self.writer().commit();
        }
    }
}

#[test]
fn bodies_wait_in_the_file_while_the_app_is_busy() {
    let mut capture = Capture::new("busy");
    let packing = capture.packing();
    capture.writer().pause_if(true);
    for _ in 0..100 {
        capture.write_encoded("gzip", &gz(&sample()));
    }
    capture.writer().serve_packers();
    assert_eq!((capture.notices().len(), capture.writer().bundle.backlog.len()), (100, 100));
    let writer = capture.writer();
    writer.part_watch = PartWatch::new(Moment::now());
    assert_eq!(writer.max_wait(), Some(PACKER_POLL_INTERVAL), "a quiet app ends the pause");
    // Some are with the packers when the next pause begins.
    capture.writer().packers.hold(true);
    capture.writer().pause_if(false);
    capture.writer().serve_packers();
    capture.writer().pause_if(true);
    assert!((1..100).contains(&capture.writer().bundle.backlog.len()));
    capture.writer().packers.hold(false);
    // A job that cannot wait is done after any that were begun.
    capture.write_encoded("identity", &sample());
    capture.pack_until(|capture| capture.notices().len() == 101);
    assert_eq!(packing.verifications(), 0);
    capture.writer().pause_if(false);
    capture.pack_until(|capture| capture.writer().bundle.is_drained());
    assert_eq!(packing.verifications(), 100);
    assert_eq!(capture.run(|_, _| ()).exchanges, 101);
}

#[test]
fn only_bodies_that_can_be_decoded_later_wait() {
    let mut capture = Capture::new("compress");
    capture.writer().pause_if(true);
    capture.write_encoded("br", TEXT_BR);
    let queued = Moment::now();
    while Moment::now().since(queued) < Duration::from_millis(550) {
        std::thread::yield_now();
    }
    // However long the first one has waited.
    capture.write_encoded("identity", &sample());
    capture.write(capture.handshake(1, "ws://a.test/", 1, None));
    capture.write(capture.message(1, 2, Dir::Up, Opcode::Text, &sample()));
    let count = |capture: &mut Capture| (capture.notices().len(), capture.writer().packers.fresh());
    capture.pack_until(|capture| count(capture) == (3, 0));
    assert_eq!(capture.writer().bundle.backlog.len(), 1, "half a second later, the br body was written as received");
    let summary = capture.run(|_, _| ());
    for name in ["traces/t_0001_response.bin", "traces/t_0002_response.bin", "ws/ws_0001_m001.bin"] {
        let (method, _, content) = entry(summary.bundle.as_deref().unwrap(), name).unwrap();
        assert_eq!(method, zip::CompressionMethod::Deflated, "{name}");
        assert!(content == sample());
    }
}

/// Packers that cannot compress all of it would only slow down the app.
#[test]
fn a_flood_of_bodies_to_compress_is_stored_while_the_app_is_busy() {
    let mut capture = Capture::new("flood");
    capture.writer().pause_if(true);
    capture.writer().packers.hold(true);
    let mut stored = 0;
    while capture.notices().is_empty() {
        capture.write_encoded("identity", &sample());
        stored += 1;
    }
    capture.writer().packers.hold(false);
    capture.write_encoded("identity", &sample());
    stored += 1;
    assert_eq!(capture.notices().len(), 2, "a body of the flood is stored at once");
    capture.pack_until(|capture| capture.notices().len() == stored);
    // The next burst may be a small one.
    capture.writer().pause_if(false);
    capture.writer().pause_if(true);
    capture.write_encoded("identity", &sample());
    capture.pack_until(|capture| capture.notices().len() == stored + 1);
    let summary = capture.run(|_, _| ());
    for number in 1..=stored + 1 {
        let (method, _, content) =
            entry(summary.bundle.as_deref().unwrap(), &format!("traces/t_{number:04}_response.bin")).unwrap();
        let expected = if number > stored { zip::CompressionMethod::Deflated } else { zip::CompressionMethod::Stored };
        assert_eq!(method, expected, "{number} of {stored}");
        assert!(content == sample());
    }
}

/// Bodies that wait for a short time only are written once.
#[test]
fn bodies_to_decode_wait_in_memory_first() {
    let mut capture = Capture::new("short-pause");
    capture.writer().pause_if(true);
    let mut count = 0;
    while capture.notices().is_empty() {
        capture.write_encoded("br", TEXT_BR);
        count += 1;
    }
    let half = limits().memory.bodies.limit() / FRESH_DIVISOR / 2;
    assert!((half / 2..half).contains(&((count - 1) * TEXT_BR.len())), "{count} bodies of {}", TEXT_BR.len());
    capture.write_encoded("identity", &sample());
    assert_eq!(capture.notices().len(), 1, "there is memory for bodies to compress");
    capture.writer().pause_if(false);
    capture.pack_until(|capture| capture.writer().packers.fresh() == 0);
    assert_eq!(capture.run(|_, _| ()).exchanges, count as u64 + 1);
}

#[test]
fn packers_go_on_once_the_backlog_has_reached_its_bound() {
    let mut capture = Capture::new("bound");
    capture.writer().pause_if(true);
    capture.write_encoded("gzip", &gz(&sample()));
    let writer = capture.writer();
    let record = writer.bundle.backlog.pop().unwrap().unwrap();
    assert_eq!(record.bytes, gz(&sample()).len() as u64);
    for bytes in [0, MAX_SHORT_BYTES / 100] {
        let count = if bytes > 0 { 100 } else { MAX_SHORT_RECORDS };
        for _ in 0..count {
            writer.pause_if(true);
            assert!(writer.packers.is_paused());
            writer.bundle.backlog.push(BacklogRecord { bytes: bytes + bytes / 100, ..record });
        }
        writer.pause_if(true);
        assert!(!writer.packers.is_paused(), "{} records", writer.bundle.backlog.len());
        while writer.bundle.backlog.pop().unwrap().is_some() {
            writer.pause_if(true);
            assert!(writer.packers.is_paused());
        }
    }
}

#[test]
fn the_end_of_a_capture_ends_the_pause() {
    let mut capture = Capture::new("busy-end");
    capture.writer().pause_if(true);
    for (coding, body) in [("gzip", gz(&sample())), ("br", TEXT_BR.to_vec())] {
        capture.write_encoded(coding, &body);
    }
    capture.writer().serve_packers();
    let bundle = open_checked(&capture.run(|_, _| ()));
    for id in ["t_0001", "t_0002"] {
        assert!(bundle.response_body(&bundle.trace(id).unwrap()).unwrap() == sample());
    }
}

#[test]
fn the_load_is_that_of_the_process() {
    let mut capture = Capture::new("load");
    let processors = std::thread::available_parallelism().map_or(1, usize::from) as u32;
    let (mut now, step) = (Moment::now(), Duration::from_millis(200));
    let mut is_paused_after = |burnt: Duration| {
        let writer = capture.writer();
        writer.observe_load(now);
        PackerTime::burn(burnt);
        now = now.plus(step);
        writer.observe_load(now);
        writer.packers.is_paused()
    };
    assert!(is_paused_after(step * processors / 3));
    // Other tests may use the processors too.
    let deadline = Moment::now().plus(Duration::from_secs(20));
    while is_paused_after(Duration::ZERO) {
        assert!(!deadline.since(Moment::now()).is_zero(), "the pause does not end");
    }
}

#[test]
fn jobs_count_as_work_of_packers() {
    let mut capture = Capture::new("packer-time");
    let packing = capture.packing();
    let time = || packing.packer_time.of_packers();
    capture.write_encoded("identity", &sample());
    capture.pack_until(|capture| capture.notices().len() == 1);
    let done = time();
    assert!(done > Duration::ZERO);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            PackerTime::register();
            PackerTime::burn(Duration::from_millis(30));
            assert!(!packing.should_stop());
            assert!(time() >= done + Duration::from_millis(30), "a job in progress");
        });
    });
}

/// The first items after a while may be those of a burst.
#[test]
fn the_writer_observes_the_load() {
    let mut capture = Capture::new("observe");
    let (packing, writer) = (capture.packing(), capture.writer.take().unwrap());
    let (sender, receiver) = queue();
    let exchange = item(encoded(&capture, "gzip", &gz(&sample())));
    let started = Moment::now();
    std::thread::scope(|scope| {
        let summary = scope.spawn(|| writer.run(&receiver));
        sender.send(exchange).unwrap();
        while packing.verifications() == 0 && Moment::now().since(started) < Duration::from_secs(20) {
            std::thread::yield_now();
        }
        assert!(Moment::now().since(started) >= Duration::from_millis(100), "packers did not wait");
        drop(sender);
        assert_eq!(summary.join().unwrap().exchanges, 1);
    });
    assert!(packing.packer_time.reads.load(std::sync::atomic::Ordering::Relaxed) > 1);
    assert_eq!(packing.verifications(), 1, "after a quiet time, the pause ended");
}
