//! Groups that replace earlier ones, and committed groups that are read back.

use super::readers::{assert_read_by_all, run};
use super::*;
use std::io::Read;
use std::thread;

/// Writes one entry called `name`, in place of the group `earlier`.
fn put(archive: &mut Archive, name: &str, content: &[u8], earlier: Option<GroupPlace>) -> io::Result<GroupPlace> {
    archive.group(|a| {
        earlier.map_or(Ok(()), |earlier| a.retire(earlier))?;
        add(a, name, content, CompressionMethod::Stored)
    })
}

fn names(bundle: &Path) -> Vec<String> {
    let mut names: Vec<_> = ZipReader::open(bundle).unwrap().names().collect();
    names.sort();
    names
}

#[test]
fn a_replaced_group_is_not_in_the_directory() {
    let dir = TestDir::new("replaced");
    let mut archive = create(&output(&dir));
    put(&mut archive, "before", b"before", None).unwrap();
    let first = archive.group(|a| {
        add(a, "body", b"first", CompressionMethod::Stored)?;
        add(a, "body 2", b"first", CompressionMethod::Stored)?;
        add(a, "json", b"first", CompressionMethod::Stored)
    });
    put(&mut archive, "between", b"between", None).unwrap();
    let second = archive.group(|a| {
        a.retire(first?)?;
        add(a, "body", b"second", CompressionMethod::Stored)?;
        add(a, "json", b"second", CompressionMethod::Stored)
    });
    put(&mut archive, "last", b"last", None).unwrap();
    assert!(archive.read_group(second.unwrap()).is_ok());
    let bundle = archive.finish().unwrap().path;
    assert_eq!(names(&bundle), ["before", "between", "body", "json", "last"]);
    assert_eq!(content(&bundle, "json").as_deref(), Some(&b"second"[..]));
    assert_eq!(content(&bundle, "body").as_deref(), Some(&b"second"[..]));
    assert!(fs::read(&bundle).unwrap().windows(5).any(|window| window == b"first"), "both are in the file");
    assert_read_by_all(&bundle, 5, "last");
}

#[test]
fn groups_are_retired_once_and_only_with_the_group_that_replaces_them() {
    let dir = TestDir::new("retired");
    let mut archive = create(&output(&dir));
    let first = put(&mut archive, "first", b"1", None).unwrap();
    let failed = archive.group(|a| {
        a.retire(first)?;
        Err(io::Error::other("no more"))
    });
    assert!(failed.is_err());
    archive.stage(|a| a.retire(first)).unwrap();
    assert!(archive.stage(|a| a.retire(first)).is_err(), "retired by a staged group");
    archive.rollback();
    let second = archive.stage(|a| {
        a.retire(first)?;
        add(a, "second", b"2", CompressionMethod::Stored)
    });
    assert!(archive.stage(|a| a.retire(second?)).is_err(), "not committed yet");
    archive.commit().unwrap();
    assert!(put(&mut archive, "third", b"3", Some(first)).is_err(), "retired already");
    // A group may also only remove another one.
    let removed = put(&mut archive, "removed", b"4", None).unwrap();
    archive.group(|a| a.retire(removed)).unwrap();
    let bundle = archive.finish().unwrap().path;
    assert_eq!(names(&bundle), ["second"]);
}

/// The directory is longer than the blocks in which it is written, and partly in memory.
#[test]
fn any_groups_of_a_long_directory_can_be_replaced() {
    let dir = TestDir::new("replacedmany");
    let mut archive = create(&output(&dir));
    let mut expected = std::collections::BTreeMap::new();
    let mut places = Vec::new();
    for n in 0..8000 {
        let name = format!("traces/t_{n:05}");
        let place = archive.stage(|a| add(a, &name, b"old", CompressionMethod::Stored)).unwrap();
        places.push((name.clone(), place));
        expected.insert(name, &b"old"[..]);
    }
    archive.commit().unwrap();
    let is_chosen = |n: usize| n < 2 || n % 7 == 3 || (3000..5500).contains(&n) || n == 7999;
    for (_, (name, place)) in places.into_iter().enumerate().filter(|(n, _)| is_chosen(*n)) {
        let staged = archive.stage(|a| {
            a.retire(place)?;
            add(a, &name, b"new", CompressionMethod::Stored)
        });
        staged.unwrap();
        expected.insert(name, &b"new"[..]);
    }
    put(&mut archive, "z", b"z", None).unwrap();
    let bundle = archive.finish().unwrap().path;
    let opened = ZipReader::open(&bundle).unwrap();
    assert_eq!(opened.names().count(), 8001);
    for (name, content) in expected {
        assert_eq!(opened.read(&name, 10).unwrap().as_deref(), Some(content), "{name}");
    }
    assert_read_by_all(&bundle, 8001, "z");
}

#[test]
fn a_disk_fault_at_any_step_keeps_one_of_both_groups() {
    let dir = TestDir::new("replacingsteps");
    let large = noise(2 * BUFFER_BYTES);
    for bad in [1, 2] {
        for good in 0.. {
            let mut archive = create(&output(&dir));
            let places = ["a", "b"].map(|name| put(&mut archive, name, b"old", None).unwrap());
            STEPS.set(Some((good, bad)));
            let large_replaced = put(&mut archive, "a", &large, Some(places[0])).is_ok();
            // Two in one batch: the second attempt is with each alone.
            let stage = |archive: &mut Archive| {
                archive.stage(|a| add(a, "c", b"new", CompressionMethod::Stored)).and_then(|_| {
                    archive.stage(|a| {
                        a.retire(places[1])?;
                        add(a, "b", b"new", CompressionMethod::Stored)
                    })
                })
            };
            let mut is_replaced = stage(&mut archive).is_ok() && archive.commit().is_ok();
            if !is_replaced {
                archive.rollback();
                is_replaced = put(&mut archive, "b", b"new", Some(places[1])).is_ok();
            }
            let was_reached = STEPS.take().is_none();
            let listed = complete(&archive);
            assert!(!large_replaced || listed.iter().filter(|name| *name == "a").count() == 2);
            let bundle = archive.finish().unwrap().path;
            let expected_b: &[u8] = if is_replaced { b"new" } else { b"old" };
            let expected_a: &[u8] = if large_replaced { &large } else { b"old" };
            assert_eq!(content(&bundle, "b").as_deref(), Some(expected_b), "{good} good steps");
            assert!(content(&bundle, "a").unwrap() == expected_a, "{good} good steps");
            let found = names(&bundle);
            assert!(found == ["a", "b", "c"] || found == ["a", "b"], "{good} good steps: {found:?}");
            if !was_reached {
                assert!(good > 3 && large_replaced && is_replaced, "the number of steps changed: {good}");
                break;
            }
        }
    }
}

#[test]
fn a_committed_group_is_read_back_on_another_thread() {
    let dir = TestDir::new("readback");
    let mut archive = create(&output(&dir));
    put(&mut archive, "before", b"before", None).unwrap();
    let large = vec![b'x'; 3 * BUFFER_BYTES];
    let place = archive.group(|a| {
        a.begin_entry("large".into(), large.len() as u64, CompressionMethod::Deflated, b"a note")?;
        a.write_all(&large)?;
        add(a, "empty", b"", CompressionMethod::Stored)
    });
    let place = place.unwrap();
    put(&mut archive, "behind", b"behind", None).unwrap();
    let group = archive.read_group(place).unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            let entries = group.entries().unwrap();
            let described: Vec<_> = entries.iter().map(|it| (it.header.name.as_str(), it.note.as_slice())).collect();
            assert_eq!(described, [("large", &b"a note"[..]), ("empty", b"")]);
            assert!(entries[0].read(group.file(), 1 << 30).unwrap() == large);
            assert_eq!(entries[1].header.size, 0);
        });
        // Meanwhile the archive grows.
        archive.group(|a| add(a, "more", &noise(BUFFER_BYTES), CompressionMethod::Stored)).unwrap();
    });
    let staged = archive.stage(|a| add(a, "staged", b"staged", CompressionMethod::Stored)).unwrap();
    assert!(archive.read_group(staged).is_err(), "not committed yet");
    archive.commit().unwrap();
    archive.group(|a| a.retire(staged)).unwrap();
    assert!(archive.read_group(staged).and_then(|group| group.entries()).is_err(), "retired");
}

/// The received body is the note, the content, and the trailer with checksum and length.
#[test]
fn a_gzip_body_is_an_entry_without_being_inflated() {
    let text: Vec<u8> = (0..20_000).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
    let mut encoder = flate2::GzBuilder::new()
        .filename("text.txt")
        .extra(vec![7; 20])
        .write(Vec::new(), flate2::Compression::default());
    encoder.write_all(&text).unwrap();
    let received = encoder.finish().unwrap();
    let header_len = 10 + 2 + 20 + "text.txt\0".len();
    let (gzip_header, rest) = received.split_at(header_len);
    let (slice, trailer) = rest.split_at(rest.len() - 8);
    let header = EntryHeader {
        name: "traces/t_0001_response.bin".into(),
        method: CompressionMethod::Deflated,
        crc: u32::from_le_bytes(trailer[..4].try_into().unwrap()),
        compressed_size: slice.len() as u64,
        size: u32::from_le_bytes(trailer[4..].try_into().unwrap()).into(),
        is_zip64: false,
    };
    let dir = TestDir::new("slice");
    let mut archive = create(&output(&dir));
    let (mut first, second) = slice.split_at(100);
    let place = archive.group(|a| {
        // A reader of several slices.
        a.copy(header, gzip_header, &mut Read::by_ref(&mut first).chain(second))?;
        add(a, "traces/t_0001.json", b"{}", CompressionMethod::Stored)
    });
    put(&mut archive, "last", b"last", None).unwrap();
    let group = archive.read_group(place.unwrap()).unwrap();
    let entry = group.entries().unwrap().swap_remove(0);
    let mut rebuilt = entry.note.clone();
    entry.compressed(group.file()).read_to_end(&mut rebuilt).unwrap();
    rebuilt.extend(entry.header.crc.to_le_bytes());
    rebuilt.extend((entry.header.size as u32).to_le_bytes());
    assert!(rebuilt == received);
    // Reserved space that is filled later, and a group that is replaced.
    let large = noise(3 * BUFFER_BYTES);
    let mut reservation = archive.reserve(entry_of("large", &large), None).unwrap();
    let replaced = put(&mut archive, "twice", b"first", None).unwrap();
    put(&mut archive, "twice", b"again", Some(replaced)).unwrap();
    reservation.fill_next(&mut &large[..], u64::MAX).unwrap();
    archive.group(|a| a.add_reserved(&reservation)).unwrap();
    put(&mut archive, "z", b"z", None).unwrap();
    let bundle = archive.finish().unwrap().path;
    assert!(content(&bundle, "traces/t_0001_response.bin").unwrap() == text);
    // The directory is in the order of the groups.
    assert_read_by_all(&bundle, 6, "z");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/ReadZip.java");
    if let Some(output) = run("java", &[source.to_str().unwrap()], &bundle) {
        let bytes = text.len() + "{}".len() + "last".len() + large.len() + "again".len() + "z".len();
        let expected = format!("directory 6 {bytes}\nlocal headers 7 {}\n", bytes + "first".len());
        assert_eq!(output, expected);
    }
}

#[test]
fn claims_reach_no_directory_until_they_are_confirmed() {
    for is_reserved in [false, true] {
        let dir = TestDir::new("claims");
        let claimed = |archive: &mut Archive, name: &str| {
            let (entry, member) = (EntryHeader { crc: 1, ..entry_of(name, b"content") }, b"\x1f\x8b");
            if is_reserved {
                let mut reservation = archive.reserve(entry, Some(member)).unwrap();
                reservation.fill_next(&mut &b"content"[..], u64::MAX).unwrap();
                return archive.group(|a| a.add_reserved(&reservation)).unwrap();
            }
            archive.group(|a| a.copy_claimed(entry, member, &mut &b"content"[..])).unwrap()
        };
        let mut archive = create(&output(&dir));
        claimed(&mut archive, "claimed");
        let error = archive.finish().unwrap_err();
        assert_eq!(
            (error.cause.to_string().as_str(), error.state),
            ("a body could not be verified", UnfinishedState::Truncated)
        );
        // One is confirmed, another is replaced.
        let mut archive = create(&output(&dir));
        let (first, second) = (claimed(&mut archive, "first"), claimed(&mut archive, "second"));
        assert_eq!(archive.read_group(first).unwrap().entries().unwrap()[0].note, b"\x1f\x8b");
        archive.confirm(first).unwrap();
        archive.confirm(first).unwrap();
        archive
            .group(|a| {
                a.retire(second)?;
                add(a, "second", b"other content", CompressionMethod::Stored)
            })
            .unwrap();
        assert!(archive.confirm(second).is_err(), "it was replaced");
        let bundle = archive.finish().unwrap().path;
        assert_eq!(content(&bundle, "second").unwrap(), b"other content");
        assert_eq!(ZipReader::open(&bundle).unwrap().names().count(), 2);
    }
}
