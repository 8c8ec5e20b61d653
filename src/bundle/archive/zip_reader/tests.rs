//! Reads archives of other programs, and damaged archives.

use super::*;
use std::io::{Cursor, Write};
use std::path::PathBuf;
use zip::write::{SimpleFileOptions, StreamWriter};
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// A temporary file, deleted on drop.
struct Saved(PathBuf);

impl Saved {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("spectral-opened-{name}-{}.zip", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        Self(path)
    }

    fn opened(&self) -> Result<ZipReader, OpenError> {
        ZipReader::open(&self.0)
    }
}

impl Drop for Saved {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

const ENTRIES: [(&str, &[u8], CompressionMethod); 4] = [
    ("a", b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", CompressionMethod::Deflated),
    ("traces/t_0001.json", b"{}", CompressionMethod::Stored),
    ("empty", b"", CompressionMethod::Stored),
    ("\u{fc}ber", b"PK\x05\x06 PK\x01\x02", CompressionMethod::Stored),
];

fn written<W: Write + std::io::Seek>(mut writer: ZipWriter<W>) -> W {
    for (name, content, method) in ENTRIES {
        writer.start_file(name, SimpleFileOptions::default().compression_method(method)).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap()
}

fn archive() -> Vec<u8> {
    written(ZipWriter::new(Cursor::new(Vec::new()))).into_inner()
}

#[track_caller]
fn assert_holds_all(name: &str, bytes: &[u8]) {
    let saved = Saved::new(name, bytes);
    let opened = saved.opened().unwrap();
    assert_eq!(opened.names().collect::<Vec<_>>(), ENTRIES.map(|(name, ..)| name));
    for (name, content, _) in ENTRIES {
        assert_eq!(opened.read(name, 100).unwrap().as_deref(), Some(content), "{name}");
        let (entry, mut compressed) = opened.compressed(name).unwrap().unwrap();
        let mut bytes = Vec::new();
        compressed.read_to_end(&mut bytes).unwrap();
        assert_eq!((entry.size, entry.compressed_size), (content.len() as u64, bytes.len() as u64), "{name}");
    }
    assert!(opened.read("nothing", 100).unwrap().is_none());
}

#[test]
fn reads_archives_of_other_programs() {
    let plain = archive();
    assert_holds_all("plain", &plain);
    // Sizes after the contents, as programs write to a pipe.
    let streamed = written(ZipWriter::new_stream(Vec::new()));
    let streamed: StreamWriter<Vec<u8>> = streamed;
    assert_holds_all("streamed", &streamed.into_inner());
    // Appended to another file, as a self-extracting archive.
    assert_holds_all("behind", &[&b"#!/bin/sh\nexit\n"[..], &plain].concat());
    for comment in
        ["a comment", "PK\x05\x06 with what looks like the end, and is long enough to be one", &"x".repeat(65_535)]
    {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        writer.set_comment(comment).unwrap();
        assert_holds_all("comment", &written(writer).into_inner());
    }
}

#[test]
fn two_entries_with_one_name_are_refused() {
    // The `zip` crate refuses duplicates: one name is changed in both headers.
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in [("same", "first"), ("sama", "later")] {
        writer.start_file(name, SimpleFileOptions::default().compression_method(CompressionMethod::Stored)).unwrap();
        writer.write_all(content.as_bytes()).unwrap();
    }
    let mut bytes = writer.finish().unwrap().into_inner();
    let places: Vec<_> = bytes.windows(4).enumerate().filter(|(_, w)| w == b"sama").map(|(at, _)| at).collect();
    places.into_iter().for_each(|at| bytes[at..at + 4].copy_from_slice(b"same"));
    let saved = Saved::new("twice", &bytes);
    assert!(matches!(saved.opened(), Err(OpenError::DuplicateEntry(name)) if name == "same"));
}

#[test]
fn overlapping_entries_are_refused() {
    let bytes = archive();
    let headers: Vec<_> = bytes.windows(4).enumerate().filter(|(_, w)| w == b"PK\x01\x02").map(|(at, _)| at).collect();
    // The first match is within a content.
    let [first, second] = [headers[1], headers[2]];
    // The second entry is where the first one is, one byte before the end of the first one, or inside its header.
    let second_offset = u32::from_le_bytes(bytes[second + 42..second + 46].try_into().unwrap());
    for offset in [0, second_offset - 1, 3] {
        let mut bytes = bytes.clone();
        bytes[second + 42..second + 46].copy_from_slice(&offset.to_le_bytes());
        assert!(matches!(Saved::new("overlap", &bytes).opened(), Err(OpenError::OverlappingEntries)), "{offset}");
    }
    // The first entry claims to extend into the second one.
    let mut bytes = bytes;
    bytes[first + 20] += 1;
    assert!(matches!(Saved::new("overlap", &bytes).opened(), Err(OpenError::OverlappingEntries)));
}

/// Damage results in an error, or in content that matches its checksum.
#[test]
fn detects_damage_anywhere() {
    let intact = archive();
    for at in 0..intact.len() {
        for wrong in [0, 1, 0x7f, 0xff] {
            let mut bytes = intact.clone();
            bytes[at] = wrong;
            assert_error_or_intact(&bytes);
        }
        assert_error_or_intact(&intact[..at]);
        assert_error_or_intact(&intact[at..]);
    }
}

#[track_caller]
fn assert_error_or_intact(bytes: &[u8]) {
    let saved = Saved::new("damaged", bytes);
    let Ok(opened) = saved.opened() else { return };
    for name in opened.names().chain(ENTRIES.map(|(name, ..)| name.to_owned())) {
        let Ok(Some(content)) = opened.read(&name, 100) else { continue };
        // The damage may be in a name.
        assert!(ENTRIES.iter().any(|(_, good, _)| content == *good), "{name}: {content:?}");
    }
}

#[test]
fn reports_unsupported_archives() {
    let mut bytes = archive();
    // The first match is within a content.
    let header = bytes.windows(4).enumerate().filter(|(_, w)| w == b"PK\x01\x02").nth(1).unwrap().0;
    // Encrypted.
    bytes[header + 8] |= 1;
    let saved = Saved::new("encrypted", &bytes);
    let error = saved.opened().unwrap().read("a", 100).unwrap_err();
    assert!(matches!(error, EntryError::UnsupportedCompression), "{error}");
    let error = ZipReader::open(&std::env::temp_dir()).err().unwrap();
    assert!(matches!(error, OpenError::IsADirectory), "{error}");
    // The `zip` crate reads this archive.
    assert_eq!(ZipArchive::new(Cursor::new(archive())).unwrap().len(), ENTRIES.len());
}

#[test]
fn detects_a_directory_that_contradicts_its_end_record() {
    let mut bytes = archive();
    let end = bytes.len() - END_LEN;
    bytes[end + 10] += 1;
    assert!(matches!(Saved::new("count", &bytes).opened(), Err(OpenError::DamagedDirectory)));
    // A claim of 2^64 entries allocates no memory.
    let saved = Saved::new("claim", &super::super::end_records::end_records(u64::MAX, 0, 0));
    assert!(saved.opened().is_err());
}
