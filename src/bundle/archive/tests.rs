//! The file of a bundle, byte for byte, and the file that it replaces.

use super::buffered_file::BUFFER_BYTES;
use super::buffered_file::faults::{DISK_IS_FULL, STEPS};
use super::*;
use crate::bundle::test_dir::TestDir;
use std::fs;

mod replacing;

fn output(dir: &TestDir) -> PathBuf {
    dir.path("capture.zip")
}

/// Returns the names of all files in `dir`, sorted.
fn files(dir: &TestDir) -> Vec<String> {
    let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<_> = fs::read_dir(dir.directory()).unwrap().map(name).collect();
    names.sort();
    names
}

fn create(output: &Path) -> Archive {
    Archive::create(output, Duration::from_secs(1_795_338_429)).unwrap().0
}

fn add(archive: &mut Archive, name: &str, content: &[u8], method: CompressionMethod) -> io::Result<()> {
    archive.begin_entry(name.into(), content.len() as u64, method, &[])?;
    archive.write_all(content)
}

/// Returns incompressible bytes.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..len).map(|_| next()).collect()
}

fn content(path: &Path, name: &str) -> Option<Vec<u8>> {
    ZipReader::open(path).unwrap().read(name, 1 << 30).unwrap()
}

fn refusal(output: &Path) -> String {
    match Archive::create(output, Duration::ZERO) {
        Ok(_) => panic!("{} can be written", output.display()),
        Err(e) => e.to_string(),
    }
}

#[test]
fn small_and_large_entries_round_trip() {
    let dir = TestDir::new("round");
    let mut archive = create(&output(&dir));
    let large = noise(3 * BUFFER_BYTES + 17);
    for (i, method) in [CompressionMethod::Deflated, CompressionMethod::Stored].into_iter().enumerate() {
        let group = archive.group(|a| {
            add(a, &format!("{i}/large"), &large, method)?;
            add(a, &format!("{i}/empty"), b"", method)?;
            add(a, &format!("{i}/small"), b"small", method)
        });
        group.unwrap();
    }
    let bundle = archive.finish().unwrap();
    assert_eq!(bundle, output(&dir));
    assert_eq!(files(&dir), ["capture.zip"]);
    for i in 0..2 {
        assert_eq!(content(&bundle, &format!("{i}/small")).as_deref(), Some(&b"small"[..]));
        assert_eq!(content(&bundle, &format!("{i}/empty")).as_deref(), Some(&b""[..]));
        assert!(content(&bundle, &format!("{i}/large")).unwrap() == large);
    }
    assert_eq!(content(&bundle, "nothing"), None);
}

#[test]
fn a_committed_group_is_in_the_file_with_its_sizes() {
    let dir = TestDir::new("flushed");
    let mut archive = create(&output(&dir));
    archive.group(|a| add(a, "name", b"content", CompressionMethod::Stored)).unwrap();
    let bytes = fs::read(archive.unfinished_path()).unwrap();
    // The local header (APPNOTE 4.3.7): flags without a data descriptor, then the sizes, then name and content.
    assert_eq!(bytes[6] & 8, 0);
    assert_eq!(bytes[18..26], [7, 0, 0, 0, 7, 0, 0, 0]);
    assert!(bytes.ends_with(b"namecontent"));
}

#[test]
fn a_failed_group_leaves_nothing() {
    let dir = TestDir::new("abort");
    let mut archive = create(&output(&dir));
    archive.group(|a| add(a, "before", b"1", CompressionMethod::Deflated)).unwrap();
    for size in [10, 3 * BUFFER_BYTES] {
        let failed = archive.group(|a| {
            add(a, "whole", &noise(size), CompressionMethod::Deflated)?;
            add(a, "half", &noise(size), CompressionMethod::Deflated)?;
            Err(io::Error::other("no more"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "no more");
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ = archive.group(|a| {
                add(a, "half", &noise(size), CompressionMethod::Stored).unwrap();
                std::panic::resume_unwind(Box::new("a panic without a message on stderr"));
            });
        }));
        assert!(panicked.is_err());
    }
    archive.group(|a| add(a, "half", b"2", CompressionMethod::Deflated)).unwrap();
    let bundle = archive.finish().unwrap();
    let mut names: Vec<_> = ZipReader::open(&bundle).unwrap().names().collect();
    names.sort();
    assert_eq!(names, ["before", "half"]);
    assert_eq!(content(&bundle, "half").as_deref(), Some(&b"2"[..]));
    assert!(fs::metadata(&bundle).unwrap().len() < 1000, "aborted groups are truncated");
}

#[test]
fn continues_when_a_full_disk_has_space_again() {
    let dir = TestDir::new("full");
    let mut archive = create(&output(&dir));
    archive.group(|a| add(a, "before", b"1", CompressionMethod::Deflated)).unwrap();
    DISK_IS_FULL.set(true);
    for size in [10, 3 * BUFFER_BYTES] {
        let failed = archive.group(|a| {
            add(a, "lost", &noise(size), CompressionMethod::Deflated)?;
            add(a, "lost too", b"x", CompressionMethod::Deflated)
        });
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
    DISK_IS_FULL.set(false);
    archive.group(|a| add(a, "after", &noise(BUFFER_BYTES), CompressionMethod::Deflated)).unwrap();
    let bundle = archive.finish().unwrap();
    let mut names: Vec<_> = ZipReader::open(&bundle).unwrap().names().collect();
    names.sort();
    assert_eq!(names, ["after", "before"]);
    assert!(content(&bundle, "after").unwrap() == noise(BUFFER_BYTES));
}

/// Returns the header of `bytes` as a stored entry.
fn entry_of(name: &str, bytes: &[u8]) -> EntryHeader {
    let mut crc = Crc::new();
    crc.update(bytes);
    let len = bytes.len() as u64;
    EntryHeader {
        name: name.into(),
        method: CompressionMethod::Stored,
        crc: crc.sum(),
        compressed_size: len,
        size: len,
        is_zip64: false,
    }
}

/// Returns the names of complete entries in the file of `archive`, in order.
fn complete(archive: &Archive) -> Vec<String> {
    let file = fs::File::open(archive.unfinished_path()).unwrap();
    let mut scan = scan::Scan::new(&file).unwrap();
    let mut names = Vec::new();
    while let scan::ScanItem::Entry(entry) = scan.next().unwrap() {
        if entry.read_content(&file, &mut |_| ()).unwrap() {
            names.push(entry.header.name);
        }
    }
    names
}

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
    let bundle = archive.finish().unwrap();
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
    let bundle = archive.finish().unwrap();
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
                let filled = reservation.fill_next(&mut &large[..], u64::MAX);
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
            let bundle = archive.finish().unwrap();
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
        let bundle = archive.finish().unwrap();
        assert_eq!(content(&bundle, "second").unwrap(), b"other content");
        assert_eq!(ZipReader::open(&bundle).unwrap().names().count(), 2);
    }
}

#[test]
fn a_bundle_that_cannot_be_finished_replaces_nothing() {
    let dir = TestDir::new("unfinished");
    fs::write(output(&dir), b"old").unwrap();
    let mut archive = create(&output(&dir));
    archive.group(|a| add(a, "name", b"1", CompressionMethod::Deflated)).unwrap();
    DISK_IS_FULL.set(true);
    let error = archive.finish().unwrap_err();
    DISK_IS_FULL.set(false);
    assert_eq!((error.state, error.cause.kind()), (UnfinishedState::Truncated, io::ErrorKind::StorageFull));
    assert_eq!(fs::read(output(&dir)).unwrap(), b"old");
    assert!(fs::metadata(error.path).unwrap().len() > 0);
    assert_eq!(files(&dir), ["capture.zip", "capture.zip.part"]);
}

#[test]
fn keeps_the_old_bundle_as_bak() {
    let dir = TestDir::new("bak");
    for (i, name) in ["first", "second", "third"].into_iter().enumerate() {
        let mut archive = create(&output(&dir));
        archive.group(|a| add(a, name, b"1", CompressionMethod::Deflated)).unwrap();
        if i > 0 {
            assert!(content(&output(&dir), "first").is_some() || i > 1, "the old bundle stays until the end");
        }
        archive.finish().unwrap();
    }
    assert_eq!(files(&dir), ["capture.zip", "capture.zip.bak"]);
    assert!(content(&output(&dir), "third").is_some());
    assert!(content(&output(&dir).with_extension("zip.bak"), "second").is_some());
}

#[test]
fn a_bundle_that_cannot_be_renamed_stays_complete() {
    let dir = TestDir::new("error");
    fs::write(output(&dir), b"old").unwrap();
    fs::create_dir(dir.path("capture.zip.bak")).unwrap();
    let mut archive = create(&output(&dir));
    archive.group(|a| add(a, "name", b"1", CompressionMethod::Deflated)).unwrap();
    let error = archive.finish().unwrap_err();
    assert_eq!(error.state, UnfinishedState::Complete);
    assert!(content(&error.path, "name").is_some());
    assert_eq!(fs::read(output(&dir)).unwrap(), b"old");
    assert_eq!(files(&dir), ["capture.zip", "capture.zip.bak", "capture.zip.part"]);
}

#[test]
fn an_unused_archive_leaves_nothing() {
    let dir = TestDir::new("unused");
    fs::write(output(&dir), b"old").unwrap();
    let archive = create(&output(&dir));
    assert_eq!(files(&dir), ["capture.zip", "capture.zip.part"]);
    drop(archive);
    assert_eq!(files(&dir), ["capture.zip"]);
    assert_eq!(fs::read(output(&dir)).unwrap(), b"old");
}

#[test]
fn leaves_other_unfinished_bundles_alone() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let dir = TestDir::new("parts");
    fs::write(dir.path("capture.zip.part"), b"of another").unwrap();
    symlink(dir.path("elsewhere"), dir.path("capture.zip.2.part")).unwrap();
    let (mut archive, others) = Archive::create(&output(&dir), Duration::ZERO).unwrap();
    assert_eq!(others.len(), 2);
    assert!(archive.unfinished_path().ends_with("capture.zip.3.part"));
    assert_eq!(fs::metadata(archive.unfinished_path()).unwrap().permissions().mode() & 0o777, 0o600);
    archive.group(|a| add(a, "name", b"1", CompressionMethod::Deflated)).unwrap();
    archive.finish().unwrap();
    assert_eq!(files(&dir), ["capture.zip", "capture.zip.2.part", "capture.zip.part"]);
    assert_eq!(fs::read(dir.path("capture.zip.part")).unwrap(), b"of another");
}

#[test]
fn refuses_a_path_that_ends_with_a_slash() {
    let dir = TestDir::new("slash");
    assert!(Archive::create(&dir.path("capture.zip/"), Duration::ZERO).is_err());
    assert!(files(&dir).is_empty());
}

#[test]
fn replaces_the_target_of_a_symbolic_link() {
    let dir = TestDir::new("link");
    std::os::unix::fs::symlink("capture.zip", dir.path("link.zip")).unwrap();
    assert!(Archive::create(&dir.path("link.zip"), Duration::ZERO).is_err(), "a broken link");
    fs::write(output(&dir), "old").unwrap();
    let written = create(&dir.path("link.zip")).finish().unwrap();
    assert_eq!(written, fs::canonicalize(output(&dir)).unwrap());
    assert!(dir.path("link.zip").is_symlink());
    assert_eq!(files(&dir), ["capture.zip", "capture.zip.bak", "link.zip"]);
}

#[test]
fn refuses_paths_that_cannot_be_written() {
    let dir = TestDir::new("refuse");
    assert!(refusal(dir.directory()).ends_with(": it is a directory"));
    assert!(refusal(Path::new("/")).ends_with(": the path has no file name"));
    assert!(refusal(Path::new("/dev/null")).ends_with(": not a regular file"));
    let missing = dir.path("missing").join("capture.zip");
    let error = refusal(&missing);
    assert!(error.contains(": the directory ") && error.ends_with("missing does not exist"), "{error}");
    fs::write(dir.path("file"), b"").unwrap();
    assert!(refusal(&dir.path("file/capture.zip")).ends_with(" is not a directory"));
    assert_eq!(files(&dir), ["file"]);
}

#[test]
fn refuses_files_that_are_not_zip_archives() {
    let dir = TestDir::new("noarchive");
    fs::write(output(&dir), b"hello").unwrap();
    assert!(matches!(ZipReader::open(&output(&dir)), Err(OpenError::NotZip)));
}

#[test]
fn does_not_read_entries_above_the_limit() {
    let dir = TestDir::new("most");
    let mut archive = create(&output(&dir));
    archive.group(|a| add(a, "name", &[0; 1000], CompressionMethod::Deflated)).unwrap();
    archive.finish().unwrap();
    let opened = ZipReader::open(&output(&dir)).unwrap();
    assert!(matches!(opened.read("name", 999), Err(EntryError::TooLarge(1000))));
    assert_eq!(opened.read("name", 1000).unwrap().unwrap().len(), 1000);
}

/// Programs that read ZIP files, and their arguments for listing or testing one.
const READERS: [(&str, &[&str]); 4] =
    [("unzip", &["-tqq"]), ("bsdtar", &["-tf"]), ("7z", &["t", "-bso0"]), ("jar", &["tf"])];

/// Asserts that our reader, Python, and each available program of [`READERS`] find `count` entries in `bundle`. The last
/// one is called `last` and contains its own name.
#[track_caller]
fn assert_read_by_all(bundle: &Path, count: usize, last: &str) {
    let opened = ZipReader::open(bundle).unwrap();
    assert_eq!((opened.names().count(), opened.read(last, 100).unwrap()), (count, Some(last.into())));
    let script = "import sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); n = z.namelist()
assert z.testzip() is None; assert z.read(n[-1]).decode() == n[-1]; print(len(n), n[-1])";
    if let Some(output) = run("python3", &["-c", script], bundle) {
        assert_eq!(output.trim(), format!("{count} {last}"));
    }
    for (reader, args) in READERS {
        if let Some(output) = run(reader, args, bundle) {
            // These two test without listing.
            assert!(["unzip", "7z"].contains(&reader) || output.contains(last), "{reader} does not find {last}");
        }
    }
}

/// Runs `program` on `bundle` and returns its output. Returns `None` if it is not installed, unless
/// `SPECTRAL_REQUIRE_PEERS` requires it.
#[track_caller]
fn run(program: &str, args: &[&str], bundle: &Path) -> Option<String> {
    match std::process::Command::new(program).args(args).arg(bundle).output() {
        Ok(output) => {
            let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert!(output.status.success(), "{program}: {stderr}");
            Some(stdout.into_owned())
        }
        Err(_) => {
            let required = std::env::var("SPECTRAL_REQUIRE_PEERS").unwrap_or_default();
            assert!(!required.split(',').any(|name| name == program), "{program} is required but not installed");
            // Directly to stderr: the test harness hides the output of passing tests.
            let test = std::thread::current().name().unwrap_or_default().to_owned();
            writeln!(io::stderr(), "skipped, no {program}: {test}").unwrap();
            None
        }
    }
}

#[test]
fn other_readers_read_more_entries_than_16_bits_count() {
    // Around the ZIP64 threshold: 65,535 refers to the ZIP64 record.
    for count in [65_534, 65_535, 70_000] {
        let dir = TestDir::new("many");
        let mut archive = create(&output(&dir));
        for chunk in (0..count).collect::<Vec<_>>().chunks(1000) {
            let names = chunk.iter().map(|n| format!("traces/{n}"));
            archive
                .group(|a| {
                    names.into_iter().try_for_each(|name| add(a, &name, name.as_bytes(), CompressionMethod::Stored))
                })
                .unwrap();
        }
        let bundle = archive.finish().unwrap();
        assert_read_by_all(&bundle, count, &format!("traces/{}", count - 1));
    }
}

#[test]
fn other_readers_read_a_bundle_past_4_gib() {
    let dir = TestDir::new("far");
    let mut archive = create(&output(&dir));
    archive.group(|a| add(a, "near", b"near", CompressionMethod::Stored)).unwrap();
    // Before, across and after the ZIP64 threshold of offsets. The hole takes no disk space.
    archive.skip_to((4 << 30) - 60);
    for name in ["first", "second", "third"] {
        archive.group(|a| add(a, name, name.as_bytes(), CompressionMethod::Stored)).unwrap();
    }
    let bundle = archive.finish().unwrap();
    assert!(fs::metadata(&bundle).unwrap().len() > 4 << 30);
    assert_read_by_all(&bundle, 4, "third");
}

#[test]
#[ignore = "takes a minute; .ci/run includes it"]
fn other_readers_read_an_entry_past_4_gib() {
    let dir = TestDir::new("large");
    let mut archive = create(&output(&dir));
    let size = (4 << 30) + 5;
    archive
        .group(|a| {
            a.begin_entry("large".into(), size, CompressionMethod::Deflated, &[])?;
            let zeros = vec![0; 1 << 20];
            let mut left = size;
            while left > 0 {
                let most = left.min(zeros.len() as u64);
                a.write_all(&zeros[..most as usize])?;
                left -= most;
            }
            add(a, "last", b"last", CompressionMethod::Stored)
        })
        .unwrap();
    let bundle = archive.finish().unwrap();
    assert_read_by_all(&bundle, 2, "last");
}
