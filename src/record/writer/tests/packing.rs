//! Compression: which entries, on which thread, and which exchanges wait for it.

use super::*;
use crate::bundle::archive::CompressionMethod;
use crate::bundle::archive::scan::{Scan, ScanItem};
use crate::bundle::disk_watch::DiskWatch;

#[test]
fn small_entries_of_a_full_batch_are_stored() {
    // `CaptureEnd` is one more item.
    for (count, method) in [(FULL_BATCH_ITEMS - 2, 8), (FULL_BATCH_ITEMS - 1, 0)] {
        let mut capture = Capture::new("hurry");
        let summary = capture.run(|c, items| {
            for n in 0..count as u64 {
                items.send(item(c.exchange(n, "http://a.test/"))).unwrap();
            }
            items.send_urgent(Item::CaptureEnd).unwrap();
        });
        open_checked(&summary);
        // The first entry's compression method (APPNOTE 4.4.5).
        let bundle = fs::read(summary.bundle.unwrap()).unwrap();
        assert_eq!(bundle[8..10], [method, 0], "{count} items in a batch");
    }
}

#[test]
fn small_exchanges_do_not_wait_for_a_large_body() {
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
    let bundle = open_checked(&summary);
    let trace = bundle.trace("t_0001").unwrap();
    assert_eq!((trace.request.url.as_str(), trace.response.body_size), ("http://long.test/", text.len() as u64));
    assert!(bundle.response_body(&trace).unwrap() == text.as_bytes());
    let last = capture.notices().pop().unwrap();
    assert!(last.starts_with("t_0001 "), "the exchange that ended first is written last: {last}");
    assert_eq!(summary.exchanges, 9);
}

/// Noise does not shrink, not even if it repeats at a distance greater than the compressor's window.
#[test]
fn incompressible_bodies_are_stored() {
    let mut capture = Capture::new("sample");
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let noise: Vec<u8> = (0..256_000).map(|_| next()).collect();
    let text = "a line of text, and its number is 7\n".repeat(8000);
    // In memory, in a file, on the packer thread, and with a reservation in the archive.
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
    let bundle = open_checked(&summary);
    let file = fs::File::open(summary.bundle.as_deref().unwrap()).unwrap();
    let mut scan = Scan::new(&file).unwrap();
    let mut packings = std::collections::BTreeMap::new();
    while let ScanItem::Entry(found) = scan.next().unwrap() {
        packings.insert(found.header.name, found.header.method);
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

/// A job that waits for a reservation stands for a job that takes seconds.
#[test]
fn jobs_of_milliseconds_do_not_wait_for_jobs_of_seconds() {
    let capture = Capture::new("lanes");
    let mut packer = Packer::start(1 << 30, &DiskWatch::new());
    let job = |number, size| {
        let mut exchange = capture.exchange(1, "http://a.test/");
        exchange.response.as_mut().unwrap().headers.push(b"Content-Type", b"image/png");
        exchange.response_body = capture.body(&vec![0; size]);
        (PackingCost::of(&exchange), PackingJob { exchange, number })
    };
    let (large, (cost, small)) = (job(1, 20 << 20), job(2, 2 << 20));
    assert_eq!((large.0, cost), (PackingCost::High, PackingCost::Medium));
    assert!(packer.try_submit(large.1, large.0).is_ok());
    let Some(PackerEvent::Reserve(request)) = next_event(&mut packer) else { panic!("it requests no reservation") };
    assert!(packer.try_submit(small, cost).is_ok());
    assert!(matches!(next_event(&mut packer), Some(PackerEvent::Prepared(prepared)) if prepared.number == 2));
    assert!(packer.is_busy());
    drop(request);
    assert!(matches!(next_event(&mut packer), Some(PackerEvent::Prepared(prepared)) if prepared.number == 1));
    assert!(!packer.is_busy());
}

/// Waits for the next event, up to 30 seconds.
fn next_event(packer: &mut Packer) -> Option<PackerEvent> {
    let deadline = Moment::now().plus(Duration::from_secs(30));
    loop {
        let event = packer.try_next();
        if event.is_some() || deadline.since(Moment::now()).is_zero() {
            return event;
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_body_past_the_decoding_limit_is_stored_as_received() {
    let mut capture = Capture::new("limit");
    capture.writer = None;
    let limits = CaptureLimits { max_body: 999, ..limits() };
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
    let bundle = open_checked(&summary);
    let trace = bundle.trace("t_0001").unwrap();
    assert_eq!((trace.response.body_encoding.as_deref(), trace.response.body_size), (Some("gzip"), gzip.len() as u64));
    assert_eq!(bundle.response_body(&trace).unwrap(), gzip);
}
