//! The file of a bundle, byte for byte.

use super::buffered_file::BUFFER_BYTES;
use super::buffered_file::faults::{DISK_IS_FULL, STEPS};
use super::*;
use crate::bundle::test_dir::TestDir;
use std::fs;

mod output;
mod readers;
mod replacing;
mod reserving;
mod restoring;

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
    let bundle = archive.finish().unwrap().path;
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
    let bundle = archive.finish().unwrap().path;
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
    let bundle = archive.finish().unwrap().path;
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
