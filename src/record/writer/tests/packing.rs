//! What is compressed, by whom, and who waits for it.

use super::*;
use crate::bundle::archive::CompressionMethod;
use crate::bundle::archive::scan::{Scan, ScanItem};

#[test]
fn small_entries_are_compressed_unless_much_comes_at_once() {
    // One more comes: the end.
    for (count, method) in [(FULL_BATCH_ITEMS - 2, 8), (FULL_BATCH_ITEMS - 1, 0)] {
        let mut capture = Capture::new("hurry");
        let summary = capture.run(|c, items| {
            for n in 0..count as u64 {
                items.send(item(c.exchange(n, "http://a.test/"))).unwrap();
            }
            items.send_urgent(Item::CaptureEnd).unwrap();
        });
        checked(&summary);
        // The first entry's compression method (APPNOTE 4.4.5).
        let bundle = fs::read(summary.bundle.unwrap()).unwrap();
        assert_eq!(bundle[8..10], [method, 0], "{count} at once");
    }
}

#[test]
fn a_body_that_takes_long_holds_up_nobody() {
    let mut capture = Capture::new("long");
    let text = "some text ".repeat(20_000_000 / 10);
    let summary = capture.run(|c, items| {
        let mut exchange = c.exchange(1, "http://long.test/");
        exchange.response_body = c.body(text.as_bytes());
        items.send(item(exchange)).unwrap();
        for n in 2..10 {
            items.send(item(c.exchange(n, "http://short.test/"))).unwrap();
        }
    });
    let bundle = checked(&summary);
    let trace = bundle.trace("t_0001").unwrap();
    assert_eq!((trace.request.url.as_str(), trace.response.body_size), ("http://long.test/", text.len() as u64));
    assert!(bundle.response_body(&trace).unwrap() == text.as_bytes());
    let last = capture.notices().pop().unwrap();
    assert!(last.starts_with("t_0001 "), "the first to end is the last to be written: {last}");
    assert_eq!(summary.exchanges, 9);
}

/// Noise does not get smaller, nor does it when it comes again from far away.
#[test]
fn what_does_not_get_smaller_is_stored() {
    let mut capture = Capture::new("sample");
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let noise: Vec<u8> = (0..256_000).map(|_| next()).collect();
    let text = "a line of text, and its number is 7\n".repeat(8000);
    // In memory, in a file, on the other thread, and with room of its own in the archive.
    let sizes = [100_000, 270_000, 2 << 20, 20 << 20];
    let body = |block: &[u8], size| block.iter().copied().cycle().take(size).collect::<Vec<_>>();
    let summary = capture.run(|c, items| {
        for size in sizes {
            for block in [&noise[..], text.as_bytes()] {
                let mut exchange = c.exchange(1, "http://a.test/");
                exchange.response_body = c.body(&body(block, size));
                items.send(item(exchange)).unwrap();
            }
        }
    });
    let bundle = checked(&summary);
    let file = fs::File::open(summary.bundle.as_deref().unwrap()).unwrap();
    let mut scan = Scan::new(&file).unwrap();
    let mut packings = std::collections::BTreeMap::new();
    while let ScanItem::Entry(found) = scan.next().unwrap() {
        packings.insert(found.entry.name, found.entry.method);
    }
    for (n, size) in sizes.into_iter().enumerate() {
        for (m, (block, packing)) in
            [(&noise[..], CompressionMethod::Stored), (text.as_bytes(), CompressionMethod::Deflated)]
                .into_iter()
                .enumerate()
        {
            let id = Id::Trace((2 * n + m + 1) as u32).to_string();
            assert_eq!(packings[&format!("traces/{id}_response.bin")], packing, "{size} bytes, {id}");
            let trace = bundle.trace(&id).unwrap();
            assert!(bundle.response_body(&trace).unwrap() == body(block, size), "{size} bytes, {id}");
        }
    }
}

/// One that waits for room, which nobody gives it, stands for one that takes seconds.
#[test]
fn what_takes_milliseconds_does_not_wait_behind_what_takes_seconds() {
    let capture = Capture::new("lanes");
    let mut packer = Packer::start(1 << 30);
    let job = |number, size| {
        let mut exchange = capture.exchange(1, "http://a.test/");
        exchange.response.as_mut().unwrap().headers.push(b"Content-Type", b"image/png");
        exchange.response_body = capture.body(&vec![0; size]);
        (PackingCost::of(&exchange), PackingJob { exchange, number })
    };
    let (large, (cost, small)) = (job(1, 20 << 20), job(2, 2 << 20));
    assert_eq!((large.0, cost), (PackingCost::High, PackingCost::Medium));
    assert!(packer.try_submit(large.1, large.0).is_ok());
    let Some(PackerEvent::Reserve(request)) = wait(&mut packer) else { panic!("it does not ask for room") };
    assert!(packer.try_submit(small, cost).is_ok());
    assert!(matches!(wait(&mut packer), Some(PackerEvent::Prepared(prepared)) if prepared.number == 2));
    assert!(packer.is_busy());
    drop(request);
    assert!(matches!(wait(&mut packer), Some(PackerEvent::Prepared(prepared)) if prepared.number == 1));
    assert!(!packer.is_busy());
}

/// The next result, which comes within seconds.
fn wait(packer: &mut Packer) -> Option<PackerEvent> {
    let deadline = Moment::now().plus(Duration::from_secs(30));
    loop {
        let done = packer.try_next();
        if done.is_some() || deadline.since(Moment::now()).is_zero() {
            return done;
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_body_past_its_limit_is_kept_as_received() {
    let mut capture = Capture::new("limit");
    capture.writer = None;
    let limits = CaptureLimits { max_body: 999, ..LIMITS };
    capture.writer = Some(Writer::create(&capture.output(), limits, Observer::default(), Moment::now()).unwrap());
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&[b'x'; 1000]).unwrap();
    let gzip = gzip.finish().unwrap();
    let summary = capture.run(|c, items| {
        let mut exchange = c.exchange(1, "http://a.test/");
        exchange.response.as_mut().unwrap().headers.push(b"Content-Encoding", b"gzip");
        exchange.response_body = c.body(&gzip);
        items.send(item(exchange)).unwrap();
    });
    let bundle = checked(&summary);
    let trace = bundle.trace("t_0001").unwrap();
    assert_eq!((trace.response.body_encoding.as_deref(), trace.response.body_size), (Some("gzip"), gzip.len() as u64));
    assert_eq!(bundle.response_body(&trace).unwrap(), gzip);
}
