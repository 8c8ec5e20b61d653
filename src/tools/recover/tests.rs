//! Recovers files that were truncated or damaged at every offset.

use super::ending::UNKNOWN_URL;
use super::fuzz::{assert_consistent, check_recovery, from_unlocked_part};
use super::*;
use crate::bundle::archive::buffered_file::faults::{DISK_IS_FULL, NO_SYNC};
use crate::bundle::archive::{CompressionMethod, EntryHeader, ZipReader};
use crate::bundle::capture_info::CaptureInfo;
use crate::bundle::format::{self, Message, Trace, WebSocket};
use crate::bundle::id::Id;
use crate::bundle::json::add_json;
use crate::bundle::other_members::OtherMembers;
use crate::bundle::reader::Bundle;
use crate::bundle::recovery_note::{CaptureIdentity, OpenedWebSocket, RecoveryNote};
use crate::bundle::test_dir::TestDir;
use reference::{CREATED, Reference, add_message, add_trace};
use std::io::Write as _;
use std::process::Command;
use std::time::Duration;

mod foreign;
mod reference;
mod replaced;

/// Runs the checker of the bundle format, if Python is available.
#[track_caller]
fn assert_keeps_the_contract(path: &Path) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools/check_bundle.py");
    if let Ok(output) = Command::new("python3").arg(script).arg(path).output() {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn recovers_everything_complete_from_a_file_truncated_anywhere() {
    let reference = Reference::new("cuts");
    let last = reference.steps.last().unwrap().0;
    for len in 0..=reference.bytes.len() {
        let (complete, [traces, messages, ended]) = *reference.steps.iter().rfind(|(step, _)| *step <= len).unwrap();
        let recovered = match reference.recover_only(&reference.bytes[..len]) {
            Err(Error::NothingFound(_)) if traces == 0 => {
                assert!(!reference.dir.path("capture.zip").exists(), "truncated at {len}");
                continue;
            }
            recovered => recovered.unwrap(),
        };
        assert_eq!((recovered.exchanges, recovered.messages), (traces, messages), "truncated at {len}");
        // A WebSocket is known from its handshake or from a message.
        let sockets = u64::from(traces >= 2) + u64::from(messages >= 2);
        assert_eq!((recovered.websockets, recovered.damaged_entries), (sockets, 0), "truncated at {len}");
        assert!(ended <= sockets);
        if len <= last {
            assert_eq!(recovered.truncated_bytes, (len - complete) as u64, "truncated at {len}");
        }
        // Checks the content at the steps only, which is slow: in between the same entries are copied.
        if reference.steps.iter().any(|(step, _)| step.abs_diff(len) <= 1) {
            let bundle = assert_consistent(&recovered);
            assert_keeps_the_contract(&recovered.output);
            if traces > 0 {
                assert_eq!(bundle.manifest().capture_id, reference.capture_id);
                assert_eq!(bundle.manifest().created_at, "2026-11-22T09:07:09.552254+00:00");
                assert_eq!(bundle.manifest().app.name, "my app");
            }
        }
    }
}

/// The JSON of a large body comes after other exchanges, one of which has two bodies.
#[test]
fn keeps_exchanges_written_while_a_large_body_was_copied() {
    let reference = Reference::new("reservation");
    let output = reference.dir.path("reservations.zip");
    let (mut archive, _) = Archive::create(&output, Duration::ZERO).unwrap();
    let mut info = CaptureInfo::new(&output, Duration::ZERO);
    add_trace(&mut archive, &mut info, 1, "", "first", &RecoveryNote::default());
    let large = "large".repeat(100_000);
    let mut crc = flate2::Crc::new();
    crc.update(large.as_bytes());
    let len = large.len() as u64;
    let entry = |file: &str| EntryHeader {
        name: format!("traces/{file}"),
        method: CompressionMethod::Stored,
        crc: crc.sum(),
        compressed_size: len,
        size: len,
        is_zip64: false,
    };
    let mut reservations =
        ["t_0002_request.bin", "t_0002_response.bin"].map(|name| archive.reserve(entry(name), None).unwrap());
    add_message(&mut archive, &mut info, 1, 1, "payload");
    add_trace(&mut archive, &mut info, 3, "two", "bodies", &RecoveryNote::default());
    reservations[0].fill_next(&mut large.as_bytes(), u64::MAX).unwrap();

    // Interrupted while the second body was copied.
    let part = archive.unfinished_path().to_owned();
    let (recovered, bundle) = reference.recover(&fs::read(&part).unwrap()).unwrap();
    assert_eq!(bundle.traces().iter().collect::<Vec<_>>(), ["t_0001", "t_0003"]);
    assert_eq!(recovered.messages, 1);
    assert_eq!((recovered.damaged_entries, recovered.truncated_bytes), (2, 0));
    assert_eq!(recovered.left_out.first, ["t_0002"]);
    assert_keeps_the_contract(&recovered.output);
    let mut growing = Bundle::open_part(&part).unwrap();
    assert_eq!(growing.traces().iter().collect::<Vec<_>>(), ["t_0001", "t_0003"]);

    reservations[1].fill_next(&mut large.as_bytes(), u64::MAX).unwrap();
    let add_all =
        |archive: &mut Archive| reservations.iter().try_for_each(|reservation| archive.add_reserved(reservation));
    let described: Trace = Trace {
        id: "t_0002".into(),
        r#type: "http".into(),
        initiator: format::Initiator { r#type: "proxy".into(), ..Default::default() },
        request: format::Request {
            method: "POST".into(),
            url: "https://a.test/2".into(),
            body_file: Some("t_0002_request.bin".into()),
            body_size: len,
            ..Default::default()
        },
        response: format::Response {
            body_file: Some("t_0002_response.bin".into()),
            body_size: len,
            ..Default::default()
        },
        ..Default::default()
    };
    archive
        .group(|archive| {
            add_all(archive)?;
            add_json(archive, "traces/t_0002.json".into(), &described, &[])
        })
        .unwrap();
    add_trace(&mut archive, &mut info, 4, "again", "two bodies", &RecoveryNote::default());
    let (recovered, bundle) = reference.recover(&fs::read(&part).unwrap()).unwrap();
    assert_eq!(
        (recovered.exchanges, recovered.messages, recovered.damaged_entries, recovered.truncated_bytes),
        (4, 1, 0, 0)
    );
    let trace = bundle.trace("t_0002").unwrap();
    assert!(bundle.request_body(&trace).unwrap() == large.as_bytes());
    assert!(bundle.response_body(&trace).unwrap() == large.as_bytes());
    assert_keeps_the_contract(&recovered.output);
    // A reader that was open all along.
    growing.refresh().unwrap();
    // New ids follow the known ones, so that each is listed once.
    assert_eq!(growing.traces().iter().collect::<Vec<_>>(), ["t_0001", "t_0003", "t_0002", "t_0004"]);
    assert!(growing.response_body(&trace).unwrap() == large.as_bytes());
}

#[test]
fn recovers_a_complete_bundle_completely() {
    let reference = Reference::new("complete");
    let (recovered, bundle) = reference.recover(&reference.bytes).unwrap();
    assert_eq!((recovered.truncated_bytes, recovered.damaged_entries, recovered.is_running), (0, 0, false));
    assert_eq!((bundle.manifest().duration_ms, bundle.manifest().app.base_url.as_str()), (77, "https://a.test"));
    assert_keeps_the_contract(&recovered.output);
    // Recovers the recovered bundle.
    let again = from_part(&recovered.output, Some(&reference.dir.path("again.zip")), &Options::default()).unwrap();
    assert_eq!((again.exchanges, again.websockets, again.messages), (3, 2, 3));
    assert_keeps_the_contract(&again.output);
}

#[test]
fn keeps_url_and_subprotocol_of_an_open_websocket() {
    let reference = Reference::new("open");
    let before_its_json = reference.steps[reference.steps.len() - 2].0;
    let (_, bundle) = reference.recover(&reference.bytes[..before_its_json]).unwrap();
    let websocket = bundle.websocket("ws_0001").unwrap();
    assert_eq!((websocket.url.as_str(), websocket.protocols.as_slice()), ("wss://a.test/2", &["chat".to_owned()][..]));
    assert_eq!((websocket.handshake_trace_ref.as_deref(), websocket.message_count), (Some("t_0002"), 2));
    assert_eq!(websocket.timestamp, CREATED / 1000 + 2);
    // WebSocket 2 is known from its message only.
    let websocket = bundle.websocket("ws_0002").unwrap();
    assert_eq!(
        (websocket.url.as_str(), websocket.handshake_trace_ref, websocket.message_count),
        (UNKNOWN_URL, None, 1)
    );
    // The last item ended 50 ms after the start.
    assert_eq!(bundle.manifest().duration_ms, 50);
}

#[test]
fn damage_anywhere_loses_only_later_items() {
    let reference = Reference::new("damage");
    for at in (0..reference.bytes.len()).step_by(5) {
        for flip in [0x01, 0xff] {
            let mut bytes = reference.bytes.clone();
            bytes[at] ^= flip;
            match reference.recover(&bytes) {
                Ok((recovered, _)) => {
                    let before = reference.steps.iter().rfind(|(len, _)| *len <= at).unwrap().1;
                    assert!(recovered.exchanges >= before[0] && recovered.messages >= before[1], "damaged at {at}");
                }
                Err(Error::NotABundle(_)) => assert!(at < 30, "damaged at {at}"),
                Err(Error::NothingFound(_)) => assert!(at < reference.steps[1].0, "damaged at {at}"),
                // All but the damaged item can be read by the directory.
                Err(Error::Complete(path)) => {
                    assert!(Bundle::open(path).unwrap().traces().len() == 3, "damaged at {at}")
                }
                Err(e) => panic!("damaged at {at}: {e}"),
            }
        }
    }
}

#[test]
fn a_damaged_body_loses_its_exchange_and_is_counted() {
    let reference = Reference::new("body");
    let mut bytes = reference.bytes.clone();
    let at = bytes.windows(9).position(|window| window == b"an answer").unwrap();
    bytes[at] ^= 1;
    let (recovered, bundle) = reference.recover(&bytes).unwrap();
    assert_eq!((recovered.exchanges, recovered.messages, recovered.damaged_entries), (2, 3, 2));
    assert_eq!((recovered.left_out.count, &recovered.left_out.first[..]), (1, &["t_0002".to_owned()][..]));
    assert_eq!(bundle.traces().iter().collect::<Vec<_>>(), ["t_0001", "t_0003"]);
    assert_keeps_the_contract(&recovered.output);
}

#[test]
fn keeps_what_was_cut_off_in_an_interrupted_capture() {
    let reference = Reference::new("cut-off");
    let (before_the_end, _) = reference.steps[6];
    let (recovered, bundle) = reference.recover(&reference.bytes[..before_the_end]).unwrap();
    assert_keeps_the_contract(&recovered.output);
    let part = |id| bundle.trace(id).unwrap().describe_cut_off();
    assert_eq!([part("t_0001"), part("t_0003")], [None, Some("request reset by the client".into())]);
    let message = bundle.message("ws_0001_m001").unwrap();
    assert_eq!(message.describe_cut_off().as_deref(), Some("interrupted by the end of the capture"));
    assert_eq!(message.payload_encoding.as_deref(), Some("unknown"));
}

#[test]
fn copies_entries_unchanged() {
    let reference = Reference::new("copied");
    let (recovered, _) = reference.recover(&reference.bytes).unwrap();
    let made = reference.dir.path("made.zip");
    let (old, new) = (ZipReader::open(&made).unwrap(), ZipReader::open(&recovered.output).unwrap());
    for name in old.names().collect::<Vec<_>>() {
        let same = old.read(&name, 1 << 20).unwrap() == new.read(&name, 1 << 20).unwrap();
        // WebSocket 2 has the time of its message, and is missing in the original.
        assert!(same || ["timeline.json", "manifest.json"].contains(&name.as_str()), "{name}");
    }
}

#[test]
fn refuses_files_that_are_not_bundles_and_leaves_nothing() {
    let reference = Reference::new("refused");
    for bytes in [&b"hello"[..], b"PL", b"\x7fELF", &[0xff; 100]] {
        assert!(matches!(reference.recover(bytes), Err(Error::NotABundle(_))), "{bytes:?}");
    }
    assert!(!reference.dir.path("capture.zip").exists());
    let folder = reference.dir.path("folder.zip.part");
    fs::create_dir(&folder).unwrap();
    for path in [folder, "/dev/null".into(), reference.dir.path("missing.part")] {
        assert!(matches!(from_part(&path, None, &Options::default()), Err(Error::Read { .. })), "{path:?}");
    }
}

#[test]
fn never_replaces_the_file_itself() {
    let reference = Reference::new("itself");
    let path = |name: &str| reference.dir.path(name);
    for name in ["capture.zip.part", "capture.zip", "capture.zip.bak"] {
        fs::write(path(name), &reference.bytes).unwrap();
    }
    std::os::unix::fs::symlink("capture.zip.part", path("link.zip")).unwrap();
    let refused = |part: &str, output: &str| {
        let error = from_part(&path(part), Some(&path(output)), &Options::default()).unwrap_err();
        assert!(matches!(error, Error::OutputIsInput(_)), "{part} to {output}: {error}");
    };
    refused("capture.zip.part", "capture.zip.part");
    refused("capture.zip.part", "link.zip");
    // The existing bundle becomes another backup.
    let restored = from_part(&path("capture.zip.bak"), Some(&path("capture.zip")), &Options::default()).unwrap();
    assert_eq!(restored.backup, Some(path("capture.zip.2.bak")));
    assert!(fs::read(path("capture.zip.bak")).unwrap() == reference.bytes);
    assert!(matches!(from_part(&path("capture.zip"), None, &Options::default()), Err(Error::NoOutputName(_))));
    let recovered = from_part(&path("capture.zip.part"), None, &Options::default()).unwrap();
    assert_eq!(recovered.output, path("capture.zip"));
    for name in ["capture.zip.part", "capture.zip.bak"] {
        assert!(fs::read(path(name)).unwrap() == reference.bytes, "{name}");
    }
}

#[test]
fn recovers_from_a_running_capture_only_to_a_given_output() {
    let reference = Reference::new("alive");
    let output = reference.dir.path("running.zip");
    let (mut archive, _) = Archive::create(&output, Duration::ZERO).unwrap();
    let mut info = CaptureInfo::new(&output, Duration::ZERO);
    add_trace(&mut archive, &mut info, 1, "", "", &RecoveryNote::default());
    let part = archive.unfinished_path().to_owned();
    let refusal = from_part(&part, None, &Options::default()).unwrap_err();
    assert!(matches!(refusal, Error::Running(_)) && refusal.to_string().contains("still writing"), "{refusal}");
    let recovered = from_part(&part, Some(&reference.dir.path("so far.zip")), &Options::default()).unwrap();
    assert_eq!((recovered.exchanges, recovered.is_running), (1, true));
    drop(archive);
    assert!(!from_unlocked_part(&part).unwrap().is_running);
}

#[test]
fn a_full_disk_leaves_nothing_behind() {
    let reference = Reference::new("full");
    DISK_IS_FULL.set(true);
    let refused = reference.recover(&reference.bytes).unwrap_err();
    DISK_IS_FULL.set(false);
    assert!(matches!(refused, Error::Write { .. }), "{refused}");
    assert!(!reference.dir.path("capture.zip.2.part").exists() && !reference.dir.path("capture.zip").exists());
}

#[test]
fn derives_the_output_from_the_name_of_the_part() {
    let named = |part: &str| output_of(Path::new(part)).map(|path| path.display().to_string());
    assert_eq!(named("a/capture.zip.part").as_deref(), Some("a/capture.zip"));
    assert_eq!(named("capture.zip.12.part").as_deref(), Some("capture.zip"));
    assert_eq!(named("capture.part").as_deref(), Some("capture"));
    for part in ["capture.zip", ".part", "part", "/"] {
        assert_eq!(named(part), None, "{part}");
    }
}

#[test]
fn recovers_a_consistent_bundle_from_any_bytes() {
    check_recovery(b"");
    let mut state = 7u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    for len in 0..200 {
        let script: Vec<u8> = std::iter::once(1).chain((0..len % 40).map(|_| next())).collect();
        check_recovery(&script);
    }
}
