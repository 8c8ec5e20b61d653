//! The fuzzed property: recovery of any file does not panic, and results in a consistent bundle.
//!
//! Random bytes seldom have a valid checksum, so half of the inputs are scripts: each pair of bytes chooses the name
//! and the content of an entry from lists, some of which belong together. A name that is chosen again replaces an earlier
//! group. Some entries are gzip bodies, whose claims may be false.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a property is asserted")]

use super::{Error, Options, Recovered, from_part};
use crate::bundle::archive::buffered_file::faults::NO_SYNC;
use crate::bundle::archive::{Archive, CompressionMethod, EntryHeader};
use crate::bundle::reader::Bundle;
use crate::bundle::test_dir::TestDir;
use crate::clock::Moment;
use crate::coding::crc32::Crc;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

/// Recovers `data` and checks the result.
pub(crate) fn check_recovery(data: &[u8]) {
    NO_SYNC.set(true);
    let dir = TestDir::new("fuzz");
    let part = dir.path("fuzz.zip.part");
    match data.split_first() {
        Some((1, script)) => write_entries(&part, script),
        _ => fs::write(&part, data).unwrap(),
    }
    let before = fs::read(&part).unwrap();
    match from_unlocked_part(&part) {
        Ok(recovered) => drop(assert_consistent(&recovered)),
        Err(Error::NotABundle(_) | Error::NothingFound(_)) => assert!(!part.with_extension("").exists()),
        Err(Error::Complete(_)) => drop(Bundle::open(&part).unwrap()),
        Err(e) => panic!("{e}"),
    }
    assert!(fs::read(&part).unwrap() == before, "the file was changed");
    NO_SYNC.set(false);
}

/// Recovers an unfinished bundle whose writer was dropped in this process. If another test starts a program at that moment, the
/// child holds a copy of the locked descriptor until exec(3), and the bundle still looks like one of a running capture.
pub(crate) fn from_unlocked_part(part: &Path) -> Result<Recovered, Error> {
    let deadline = Moment::now().plus(Duration::from_secs(20));
    loop {
        match from_part(part, None, &Options::default()) {
            Err(Error::Running(_)) if !deadline.since(Moment::now()).is_zero() => std::thread::yield_now(),
            result => return result,
        }
    }
}

/// Writes an entry for each two bytes of `script`. A last single byte truncates the file.
fn write_entries(part: &Path, script: &[u8]) {
    let elsewhere = part.with_file_name("made.zip");
    let (mut archive, _) = Archive::create(&elsewhere, Duration::ZERO).unwrap();
    let (pairs, rest) = script.as_chunks::<2>();
    for [name, content] in pairs {
        let are_claims_true = content & 0x80 == 0;
        let content = CONTENTS[usize::from(*content) % CONTENTS.len()].as_bytes();
        let method = if name & 0x80 == 0 { CompressionMethod::Deflated } else { CompressionMethod::Stored };
        let note = NOTES[usize::from(name >> 5 & 3) % NOTES.len()].as_bytes();
        let choice = usize::from(name & 0x1f);
        let name = NAMES[choice % NAMES.len()];
        let group = archive.group(|archive| {
            if choice >= NAMES.len() {
                return add_gzip_body(archive, name, content, are_claims_true);
            }
            archive.begin_entry(name.into(), content.len() as u64, method, note)?;
            archive.write_all(content)
        });
        group.unwrap();
    }
    let mut bytes = fs::read(archive.unfinished_path()).unwrap();
    if let Some(&len) = rest.first() {
        bytes.truncate(bytes.len() * usize::from(len) / 255);
    }
    fs::write(part, bytes).unwrap();
}

/// Adds `content` as a gzip body. The checksum may be wrong.
fn add_gzip_body(archive: &mut Archive, name: &str, content: &[u8], are_claims_true: bool) -> io::Result<()> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content)?;
    let slice = encoder.finish()?;
    let mut crc = Crc::new();
    crc.update(content);
    let header = EntryHeader {
        name: name.into(),
        method: CompressionMethod::Deflated,
        crc: if are_claims_true { crc.sum() } else { !crc.sum() },
        compressed_size: slice.len() as u64,
        size: content.len() as u64,
        is_zip64: false,
    };
    archive.copy(header, &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0], &mut slice.as_slice())
}

const NAMES: [&str; 16] = [
    "traces/t_0001.json",
    "traces/t_0001_request.bin",
    "traces/t_0001_response.bin",
    "traces/t_0002.json",
    "traces/t_00001.json",
    "ws/ws_0001.json",
    "ws/ws_0001_m001.json",
    "ws/ws_0001_m001.bin",
    "ws/ws_0001_m002.json",
    "ws/ws_0007_m001.json",
    "manifest.json",
    "timeline.json",
    "../../etc/passwd",
    "contexts/c_0001.json",
    "traces/",
    "traces/t_99999999999999999999.json",
];

const CONTENTS: [&str; 15] = [
    "{}",
    "body",
    "",
    r#"{"id":"t_0001","timestamp":5,"request":{"url":"http://a/"},"timing":{"total_ms":1e300}}"#,
    r#"{"id":"t_0001","request":{"body_file":"t_0001_request.bin","body_size":4},"response":{"body_file":null}}"#,
    r#"{"id":"t_0001","response":{"body_file":"t_0001_response.bin","body_size":4}}"#,
    r#"{"id":"t_0001","response":{"body_file":"t_0001_response.bin","body_size":4,"body_encoding":"br, gzip"}}"#,
    r#"{"id":"t_0001","response":{"body_file":"../t_0001_response.bin","body_size":4}}"#,
    r#"{"id":"t_0002","timestamp":18446744073709551615,"response":{"body_file":"t_0001_response.bin","body_size":4}}"#,
    r#"{"id":"ws_0001","url":"ws://a/","handshake_trace_ref":"t_0001","message_count":7}"#,
    r#"{"id":"ws_0001_m001","connection_ref":"ws_0001","timestamp":3,"payload_file":"ws_0001_m001.bin","payload_size":4}"#,
    r#"{"id":"ws_0001_m001","connection_ref":"ws_0001","payload_file":null,"payload_size":0}"#,
    r#"{"id":"ws_0001_m002","connection_ref":"ws_0001"}"#,
    r#"{"id":"ws_0007_m001","connection_ref":"ws_0007"}"#,
    r#"{"capture_id":"nonsense","created_at":"2026","app":{"name":"a\u001bb"},"duration_ms":7}"#,
];

const NOTES: [&str; 4] = [
    "",
    r#"{"opens":{"socket":1,"protocols":["p"]}}"#,
    r#"{"capture":{"id":"x","created":18446744073709551615}}"#,
    "\u{1}",
];

/// Asserts that ids, references, sizes, counts and times in the bundle are consistent.
#[track_caller]
pub(super) fn assert_consistent(recovered: &Recovered) -> Bundle {
    let bundle = Bundle::open(&recovered.output).unwrap();
    let mut times = BTreeMap::new();
    for id in bundle.traces().iter() {
        let trace = bundle.trace(id).unwrap();
        assert_eq!(trace.id, id);
        assert_eq!(bundle.request_body(&trace).unwrap().len() as u64, trace.request.body_size);
        assert_eq!(bundle.response_body(&trace).unwrap().len() as u64, trace.response.body_size);
        times.insert(id.to_owned(), trace.timestamp);
    }
    let mut messages = 0;
    for id in bundle.websockets().iter() {
        let websocket = bundle.websocket(id).unwrap();
        let ids = bundle.messages(id);
        assert_eq!(websocket.message_count, ids.len() as u64);
        assert!(websocket.handshake_trace_ref.is_none_or(|id| times.contains_key(&id)));
        times.insert(id.to_owned(), websocket.timestamp);
        messages += websocket.message_count;
        for message_id in ids.iter() {
            let message = bundle.message(message_id).unwrap();
            assert_eq!((message.id.as_str(), message.connection_ref.as_str()), (message_id, id));
            assert_eq!(bundle.payload(&message).unwrap().len() as u64, message.payload_size);
            times.insert(message_id.to_owned(), message.timestamp);
        }
    }
    for id in bundle.contexts().iter() {
        times.insert(id.to_owned(), bundle.context(id).unwrap().timestamp);
    }
    let stats = &bundle.manifest().stats;
    assert_eq!((stats.trace_count, stats.ws_connection_count), (recovered.exchanges, recovered.websockets));
    assert_eq!((stats.ws_message_count, messages), (recovered.messages, recovered.messages));
    assert_eq!(bundle.traces().len() as u64, recovered.exchanges);
    let events = bundle.timeline().unwrap().events;
    assert!(events.is_sorted_by_key(|event| event.timestamp));
    let count = events.len();
    let listed: BTreeMap<_, _> = events.into_iter().map(|event| (event.r#ref, event.timestamp)).collect();
    assert_eq!((count, &listed), (times.len(), &times), "every item is listed once, at its time");
    bundle
}
