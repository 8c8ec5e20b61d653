//! Bodies with codings: each kind ends in the right entry, however busy the packers are.

use super::*;
use crate::coding::testing::{TEXT_BR, TEXT_ZST, gz, raw_deflate, sample, zlib};
use crate::record::cut_off::CutOffCause;
use crate::record::writer::packing::{Packing, WindowWait};

/// Changes the byte at this distance from the end.
pub(super) fn changed(mut bytes: Vec<u8>, from_end: usize) -> Vec<u8> {
    let at = bytes.len() - from_end;
    bytes[at] ^= 0x5a;
    bytes
}

pub(super) fn encoded(c: &Capture, coding: &str, bytes: &[u8]) -> Exchange {
    let mut exchange = c.exchange(1, "http://a.test/");
    exchange.response.as_mut().unwrap().headers.push(b"Content-Encoding", coding.as_bytes());
    exchange.response_body = c.body(bytes);
    exchange
}

/// The state of the packers while exchanges are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Load {
    /// They take every group.
    Idle,
    /// They take no group in memory, and begin no job before the end.
    Behind,
}

impl Capture {
    fn with_max_body(name: &str, max_body: u64) -> Self {
        let folder = Self::new(name).folder.clone();
        fs::create_dir(&folder).unwrap();
        Self::with_limits(folder, CaptureLimits { max_body, ..limits() })
    }

    pub(super) fn set_load(&mut self, load: Load) {
        let packers = &mut self.writer.as_mut().unwrap().packers;
        packers.refuse_fresh(load == Load::Behind);
        packers.hold(load == Load::Behind);
    }

    pub(super) fn packing(&self) -> Arc<Packing> {
        Arc::clone(&self.writer.as_ref().unwrap().packing)
    }
}

/// An entry of a bundle: its compression method, compressed size, and content.
pub(super) fn entry(path: &Path, name: &str) -> Option<(zip::CompressionMethod, u64, Vec<u8>)> {
    let mut zip = zip::ZipArchive::new(fs::File::open(path).unwrap()).unwrap();
    let mut file = zip.by_name(name).ok()?;
    let mut content = Vec::new();
    // Checks the CRC-32.
    std::io::Read::read_to_end(&mut file, &mut content).unwrap();
    Some((file.compression(), file.compressed_size(), content))
}

/// Writes one response, and returns its JSON and its entry. The timeline and the notices have it once.
#[track_caller]
fn written(capture: &mut Capture, load: Load, coding: &str, body: &[u8]) -> (String, Option<u64>, Vec<u8>) {
    capture.set_load(load);
    let exchange = encoded(capture, coding, body);
    capture.write(item(exchange));
    capture.set_load(Load::Idle);
    let summary = capture.run(|_, _| ());
    assert_eq!((summary.exchanges, summary.lost, summary.warnings.len()), (1, 0, 0), "{coding} {load:?}");
    let bundle = open_checked(&summary);
    let trace = bundle.trace("t_0001").unwrap();
    let entry = entry(summary.bundle.as_deref().unwrap(), "traces/t_0001_response.bin");
    assert_eq!(capture.notices().len(), 1);
    let encoding = trace.response.body_encoding.unwrap_or_default();
    let cut_off = trace.cut_off.map(|cut_off| format!(" {} {}", cut_off.side, cut_off.why)).unwrap_or_default();
    assert_eq!(trace.response.body_size, entry.as_ref().map_or(0, |(.., content)| content.len() as u64));
    assert_eq!(summary.cut_off_exchanges.count, u64::from(!cut_off.is_empty()), "counted once");
    let deflated = entry.as_ref().filter(|(method, ..)| *method == zip::CompressionMethod::Deflated);
    let deflated = deflated.map(|(_, size, _)| *size);
    (format!("{encoding}{cut_off}"), deflated, entry.map(|(.., content)| content).unwrap_or_default())
}

#[test]
fn each_kind_of_body_becomes_the_right_entry() {
    let text = sample();
    let other = gz(&text);
    for load in [Load::Idle, Load::Behind] {
        for (coding, body, slice) in [
            ("gzip", gz(&text), Some(gz(&text).len() - 18)),
            ("x-gzip", gz(&text), Some(gz(&text).len() - 18)),
            ("gzip", gz(&text[..1000]), Some(gz(&text[..1000]).len() - 18)),
            ("deflate", zlib(&text), Some(zlib(&text).len() - 6)),
            ("deflate", raw_deflate(&text), Some(raw_deflate(&text).len())),
            ("br", TEXT_BR.to_vec(), None),
            ("zstd", TEXT_ZST.to_vec(), None),
            ("gzip, gzip", gz(&other), Some(other.len() - 18)),
            ("br, gzip", gz(TEXT_BR), None),
        ] {
            let name = format!("kinds{}{load:?}", coding.replace(", ", "-"));
            let (described, deflated, content) = written(&mut Capture::new(&name), load, coding, &body);
            let expected = if body.len() < 1000 { &text[..1000] } else { &text };
            assert!(content == expected, "{coding} {load:?}: {} bytes", content.len());
            assert_eq!(described, "", "{coding} {load:?}");
            // Slices are as they came.
            match slice {
                Some(len) => assert_eq!(deflated, Some(len as u64), "{coding} {load:?}"),
                None => assert!(deflated.is_some_and(|size| size < text.len() as u64 / 2), "{coding} {load:?}"),
            }
        }
    }
}

#[test]
fn uncoded_bodies_are_compressed_unless_packers_are_behind() {
    let text = sample();
    for (load, is_deflated) in [(Load::Idle, true), (Load::Behind, false)] {
        let mut capture = Capture::new(&format!("uncoded{load:?}"));
        let (_, deflated, content) = written(&mut capture, load, "identity", &text);
        assert!(content == text);
        assert_eq!(deflated.is_some(), is_deflated, "{load:?}");
    }
}

/// A claim is true, false, or not one of a member.
#[test]
fn false_claims_reach_no_directory() {
    const MAX_BODY: u64 = 1 << 20;
    let text = sample();
    let whole = gz(&text);
    let bomb = gz(&vec![0; 4 << 20]);
    let mut small_claim = bomb.clone();
    let at = small_claim.len() - 4;
    small_claim[at..].copy_from_slice(&20_000u32.to_le_bytes());
    let mut large_claim = whole.clone();
    let at = large_claim.len() - 4;
    large_claim[at..].copy_from_slice(&(text.len() as u32 + 1).to_le_bytes());
    let twice = [text.clone(), text.clone()].concat();
    for load in [Load::Idle, Load::Behind] {
        for (name, body, described, content, verified) in [
            ("true", whole.clone(), "", text.clone(), 1),
            ("crc", changed(whole.clone(), 7), "gzip", changed(whole.clone(), 7), 1),
            ("length", large_claim.clone(), "gzip", large_claim.clone(), 1),
            ("content", changed(whole.clone(), 5000), "gzip", changed(whole.clone(), 5000), 1),
            ("bomb", bomb.clone(), "gzip", bomb.clone(), 0),
            ("hiddenbomb", small_claim.clone(), "gzip", small_claim.clone(), 0),
            ("twice", [whole.clone(), whole.clone()].concat(), "", twice.clone(), 1),
            ("garbage", [whole.clone(), vec![7; 100]].concat(), "", text.clone(), 0),
            ("truncated", whole[..whole.len() - 4000].to_vec(), " response closed", Vec::new(), 0),
            ("empty", gz(b"").repeat(1000), "", Vec::new(), 0),
            ("other", b"<html>".repeat(10_000), "gzip", b"<html>".repeat(10_000), 0),
        ] {
            let mut capture = Capture::with_max_body(&format!("claims{name}{load:?}"), MAX_BODY);
            let packing = capture.packing();
            let (found, _, stored) = written(&mut capture, load, "gzip", &body);
            assert_eq!(found, described, "{name} {load:?}");
            if name == "truncated" {
                assert!(stored.len() > text.len() / 2 && text.starts_with(&stored));
            } else {
                assert!(stored == content, "{name} {load:?}: {} bytes", stored.len());
            }
            assert!(packing.verifications() >= verified, "{name} {load:?}: nothing was verified");
        }
    }
}

#[test]
fn a_200_000_fold_empty_member_takes_no_time_of_the_writer() {
    let mut capture = Capture::new("members");
    let body = gz(b"").repeat(200_000);
    capture.set_load(Load::Behind);
    let exchange = encoded(&capture, "gzip", &body);
    let started = Moment::now();
    capture.write(item(exchange));
    let time = Moment::now().since(started);
    assert!(time < Duration::from_millis(300), "{time:?}");
    capture.set_load(Load::Idle);
    let summary = capture.run(|_, _| ());
    let trace = open_checked(&summary).trace("t_0001").unwrap();
    assert_eq!((trace.response.body_size, trace.response.body_encoding), (0, None));
}

/// Of both bodies, one is verified and the other is replaced.
#[test]
fn a_replacement_keeps_the_other_body() {
    let text = sample();
    for load in [Load::Idle, Load::Behind] {
        let mut capture = Capture::new(&format!("both{load:?}"));
        capture.set_load(load);
        let mut exchange = encoded(&capture, "br", TEXT_BR);
        exchange.request_headers.push(b"Content-Encoding", b"gzip");
        exchange.request_body = capture.body(&gz(&text));
        exchange.request_headers.push(b"X-\xff", b"\xfc");
        let mut other = encoded(&capture, "identity", b"small");
        other.request_headers.push(b"Content-Encoding", b"gzip");
        other.request_body = capture.body(&changed(gz(&text), 6));
        capture.write(item(exchange));
        capture.write(item(other));
        capture.set_load(Load::Idle);
        let summary = capture.run(|_, _| ());
        let bundle = open_checked(&summary);
        let trace = bundle.trace("t_0001").unwrap();
        assert!(bundle.request_body(&trace).unwrap() == text && bundle.response_body(&trace).unwrap() == text);
        assert_eq!(trace.request.headers[1], Header::new("X-ÿ".as_bytes(), "ü".as_bytes()).owned());
        let trace = bundle.trace("t_0002").unwrap();
        assert_eq!(trace.request.body_encoding.as_deref(), Some("gzip"));
        assert!(bundle.request_body(&trace).unwrap() == changed(gz(&text), 6));
        assert_eq!(bundle.response_body(&trace).unwrap(), b"small");
        assert_eq!(capture.notices().len(), 2);
    }
}

#[test]
fn windows_are_granted_in_the_order_of_the_calls() {
    let capture = Capture::new("windows");
    let packing = &*capture.packing();
    let held = packing.window(1, WindowWait::Wait).unwrap();
    let (sender, granted) = std::sync::mpsc::channel();
    let take = |bytes| {
        let window = packing.window(bytes, WindowWait::Wait);
        sender.send(window.as_ref().map(|window| window.bytes)).unwrap();
    };
    let all = packing.max_window_bytes();
    std::thread::scope(|scope| {
        let wait_for = |count| {
            let deadline = Moment::now().plus(Duration::from_secs(20));
            while packing.waiting_packers() != count {
                assert!(!deadline.since(Moment::now()).is_zero(), "not {count} packers wait");
                std::thread::yield_now();
            }
        };
        scope.spawn(|| take(all));
        wait_for(1);
        scope.spawn(|| take(2));
        wait_for(2);
        assert!(packing.window(3, WindowWait::Fail).is_some(), "the writer does not wait");
        drop(held);
        assert_eq!([granted.recv().unwrap(), granted.recv().unwrap()], [Some(all), Some(2)]);
    });
}

#[test]
fn groups_do_not_wait_in_memory_for_long() {
    let mut capture = Capture::new("overdue");
    capture.writer.as_mut().unwrap().packers.hold(true);
    let exchange = encoded(&capture, "br", TEXT_BR);
    capture.write(item(exchange));
    assert!(capture.notices().is_empty(), "it waits");
    let deadline = Moment::now().plus(Duration::from_secs(20));
    while capture.notices().is_empty() && !deadline.since(Moment::now()).is_zero() {
        let writer = capture.writer.as_mut().unwrap();
        writer.serve_packers();
        writer.commit();
    }
    assert_eq!(capture.notices().len(), 1, "it was written as received");
    capture.writer.as_mut().unwrap().packers.hold(false);
    let bundle = open_checked(&capture.run(|_, _| ()));
    assert!(bundle.response_body(&bundle.trace("t_0001").unwrap()).unwrap() == sample());
}

#[test]
fn large_bodies_are_copied_while_other_items_are_written() {
    let mut capture = Capture::new("steps");
    let large = b"0123456789abcdef".repeat(500_000);
    let mut exchange = encoded(&capture, "identity", b"");
    exchange.response.as_mut().unwrap().headers.push(b"Content-Type", b"video/mp4");
    exchange.response_body = capture.body(&large);
    capture.write(item(exchange));
    let exchange = encoded(&capture, "identity", b"small");
    capture.write(item(exchange));
    let ids = |capture: &Capture| capture.notices().iter().map(|line| line[..6].to_owned()).collect::<Vec<_>>();
    assert_eq!(ids(&capture), ["t_0002"]);
    let mut steps = 0;
    while capture.writer.as_mut().unwrap().copy_step() {
        steps += 1;
    }
    assert!(steps > 7, "{steps}");
    let summary = capture.run(|_, _| ());
    assert_eq!(ids(&capture), ["t_0002", "t_0001"]);
    let bundle = open_checked(&summary);
    assert!(bundle.response_body(&bundle.trace("t_0001").unwrap()).unwrap() == large);
}

#[test]
fn a_websocket_ends_after_its_packed_messages() {
    let mut capture = Capture::new("messages");
    let text = sample();
    capture.writer.as_mut().unwrap().packers.hold(true);
    capture.write(capture.handshake(1, "ws://a.test/", 1, None));
    capture.write(capture.message(1, 2, Dir::Up, Opcode::Text, &text));
    capture.write(capture.message(1, 3, Dir::Up, Opcode::Text, b"small"));
    capture.write(Item::WebSocketEnd { websocket: WebSocketKey(1), why: None });
    assert!(!capture.notices().iter().any(|line| line.starts_with("ws_")));
    capture.writer.as_mut().unwrap().packers.hold(false);
    let summary = capture.run(|_, _| ());
    let bundle = open_checked(&summary);
    assert_eq!(bundle.websocket("ws_0001").unwrap().message_count, 2);
    let message = bundle.message("ws_0001_m001").unwrap();
    assert!(bundle.payload(&message).unwrap() == text);
    let (method, ..) = entry(summary.bundle.as_deref().unwrap(), "ws/ws_0001_m001.bin").unwrap();
    assert_eq!(method, zip::CompressionMethod::Deflated);
    assert_eq!(summary.unclosed_websockets.count, 0);
}

#[test]
fn a_message_that_was_cut_off_is_not_taken_for_a_member() {
    let text = sample();
    let mut capture = Capture::new("partial");
    let packing = capture.packing();
    let mut exchange = encoded(&capture, "gzip", &gz(&text));
    let side = crate::record::cut_off::CutOffSide::Response;
    exchange.cut_off = Some(CutOff { side, why: CutOffCause::Reset });
    capture.write(item(exchange));
    let bundle = open_checked(&capture.run(|_, _| ()));
    let trace = bundle.trace("t_0001").unwrap();
    assert!(bundle.response_body(&trace).unwrap() == text);
    assert_eq!(trace.cut_off.unwrap().why, "reset");
    assert!(packing.verifications() > 0);
}
