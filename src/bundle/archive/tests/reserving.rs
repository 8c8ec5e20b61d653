//! Reserved space, which is filled while other groups are appended.

use super::readers::assert_read_by_all;
use super::*;
use std::io::Read;

#[test]
fn entries_after_a_reservation_are_readable_before_it_is_filled() {
    let dir = TestDir::new("reservation");
    let mut archive = create(&output(&dir));
    archive.group(|a| add(a, "before", b"before", CompressionMethod::Stored)).unwrap();
    let (large, other) = (noise(3 * BUFFER_BYTES + 17), noise(BUFFER_BYTES));
    let mut first = archive.reserve(entry_of("large", &large), None).unwrap();
    let mut second = archive.reserve(entry_of("other", &other), None).unwrap();
    assert_eq!(complete(&archive), ["before"], "the reservations are empty");
    archive.group(|a| add(a, "meanwhile", b"meanwhile", CompressionMethod::Stored)).unwrap();
    assert_eq!(complete(&archive), ["before", "meanwhile"]);
    let mut pieces = &large[..];
    first.fill_next(&mut pieces, BUFFER_BYTES as u64).unwrap();
    archive.group(|a| add(a, "and on", b"and on", CompressionMethod::Deflated)).unwrap();
    assert_eq!((first.filled(), first.is_filled()), (BUFFER_BYTES as u64, false));
    assert_eq!(complete(&archive), ["before", "meanwhile", "and on"]);
    first.fill_next(&mut pieces, u64::MAX).unwrap();
    second.fill_next(&mut &other[..], u64::MAX).unwrap();
    assert!(first.is_filled() && second.is_filled());
    assert_eq!(complete(&archive), ["before", "large", "other", "meanwhile", "and on"]);
    archive
        .group(|a| {
            a.add_reserved(&first)?;
            a.add_reserved(&second)?;
            add(a, "last", b"last", CompressionMethod::Stored)
        })
        .unwrap();
    let bundle = archive.finish().unwrap().path;
    assert!(content(&bundle, "large").unwrap() == large && content(&bundle, "other").unwrap() == other);
    assert_read_by_all(&bundle, 6, "last");
}

#[test]
fn a_released_reservation_is_truncated_or_left_out() {
    let dir = TestDir::new("released");
    let mut archive = create(&output(&dir));
    let len = |archive: &Archive| fs::metadata(archive.unfinished_path()).unwrap().len();
    archive.group(|a| add(a, "before", b"before", CompressionMethod::Stored)).unwrap();
    let large = noise(3 * BUFFER_BYTES);
    let before = len(&archive);
    let mut reservations = ["lost", "lost too"].map(|name| archive.reserve(entry_of(name, &large), None).unwrap());
    assert!(len(&archive) > before + 6 * BUFFER_BYTES as u64);
    assert!(reservations[0].fill_next(&mut &large[1..], u64::MAX).is_err(), "the content is too short");
    reservations.iter().rev().for_each(|reservation| archive.release(reservation));
    assert_eq!(len(&archive), before);
    // It is not truncated if other entries follow, or are staged.
    let reservation = archive.reserve(entry_of("lost", &large), None).unwrap();
    archive.stage(|a| add(a, "behind", b"behind", CompressionMethod::Stored)).unwrap();
    archive.release(&reservation);
    archive.commit().unwrap();
    archive.group(|a| add(a, "last", b"last", CompressionMethod::Stored)).unwrap();
    assert_eq!(complete(&archive), ["before", "behind", "last"]);
    // Larger than a file can be.
    let too_large = EntryHeader { compressed_size: u64::MAX - 100, size: u64::MAX - 100, ..entry_of("no", b"") };
    assert!(archive.reserve(too_large, None).is_err());
    assert_eq!(complete(&archive), ["before", "behind", "last"]);
    let bundle = archive.finish().unwrap().path;
    assert_read_by_all(&bundle, 3, "last");
}

#[test]
fn a_disk_fault_at_any_step_around_a_reservation_loses_only_that_step() {
    let dir = TestDir::new("reservationsteps");
    let large = noise(BUFFER_BYTES);
    for bad in [1, 2] {
        for good in 0.. {
            let mut archive = create(&output(&dir));
            let mut listed = vec!["first".to_owned()];
            archive.group(|a| add(a, "first", b"first", CompressionMethod::Stored)).unwrap();
            STEPS.set(Some((good, bad)));
            let reservation = archive.reserve(entry_of("large", &large), None);
            if archive.group(|a| add(a, "behind", b"behind", CompressionMethod::Stored)).is_ok() {
                listed.push("behind".into());
            }
            if let Ok(mut reservation) = reservation {
                let (half, rest) = large.split_at(large.len() / 2);
                let filled = reservation.fill_next(&mut half.chain(rest), u64::MAX);
                if filled.is_err() {
                    archive.release(&reservation);
                } else {
                    let its_own = archive.group(|a| {
                        a.add_reserved(&reservation)?;
                        add(a, "its own", b"its own", CompressionMethod::Stored)
                    });
                    if its_own.is_ok() {
                        listed.extend(["large".into(), "its own".into()]);
                    }
                }
            }
            if archive.group(|a| add(a, "last", b"last", CompressionMethod::Stored)).is_ok() {
                listed.push("last".into());
            }
            let was_reached = STEPS.take().is_none();
            let found = complete(&archive);
            assert!(listed.iter().all(|name| found.contains(name)), "{good} good steps: {listed:?}, {found:?}");
            let bundle = archive.finish().unwrap().path;
            let opened = ZipReader::open(&bundle).unwrap();
            let mut names: Vec<_> = opened.names().collect();
            names.sort();
            listed.sort();
            assert_eq!(names, listed, "{good} good steps");
            names.iter().for_each(|name| assert!(opened.read(name, 1 << 30).unwrap().is_some()));
            if !was_reached {
                assert!(good > 6 && listed.len() == 5, "the number of steps changed: {good}");
                break;
            }
        }
    }
}
