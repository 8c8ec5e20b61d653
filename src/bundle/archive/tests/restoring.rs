//! Gzip members that are restored in place: what readers see, and what a scan finds if that was interrupted.

use super::super::headers::LOCAL_LEN;
use super::super::scan::{Scan, ScanItem};
use super::readers::{assert_read_by_all, run};
use super::*;
use crate::bundle::recovery_note::RecoveryNote;

/// An archive with the slice of a gzip member, and `between` between it and its JSON.
struct Restoring {
    dir: TestDir,
    archive: Archive,
    place: GroupPlace,
    received: Vec<u8>,
}

impl Restoring {
    /// The member's entry begins at `offset`, and the JSON has the note `note`.
    fn new(offset: usize, note: &[u8], between: Option<&str>) -> Self {
        let mut encoder =
            flate2::GzBuilder::new().filename("text.txt").write(Vec::new(), flate2::Compression::default());
        encoder.write_all(&text()).unwrap();
        let received = encoder.finish().unwrap();
        let (gzip_header, rest) = received.split_at(10 + "text.txt\0".len());
        let (slice, trailer) = rest.split_at(rest.len() - 8);
        let claims = [&trailer[..4], &trailer[4..]].map(|bytes| u32::from_le_bytes(bytes.try_into().unwrap()));
        let header = EntryHeader { compressed_size: slice.len() as u64, ..entry_of(BODY, slice) };
        let (method, size) = (CompressionMethod::Deflated, claims[1].into());
        let header = EntryHeader { method, crc: claims[0], size, ..header };
        let dir = TestDir::new("restoring");
        let mut archive = create(&output(&dir));
        let before = vec![b'x'; offset - LOCAL_LEN - BEFORE.len()];
        archive.group(|a| a.add(BEFORE, &before, CompressionMethod::Stored, &[])).unwrap();
        assert_eq!(archive.committed_bytes(), offset as u64);
        let place = archive.group(|a| {
            a.copy_claimed(header, gzip_header, &mut &slice[..])?;
            between.map_or(Ok(()), |name| add(a, name, b"", CompressionMethod::Stored))?;
            a.add(JSON, b"{}", CompressionMethod::Stored, note)
        });
        archive.group(|a| add(a, "z", b"z", CompressionMethod::Stored)).unwrap();
        Self { dir, archive, place: place.unwrap(), received }
    }

    fn part(&self) -> Vec<u8> {
        fs::read(self.archive.unfinished_path()).unwrap()
    }

    fn restore(&self) -> io::Result<Option<Reservation>> {
        let entries = self.archive.read_group(self.place).unwrap().entries().unwrap();
        self.archive.restore_member(&entries[0], entries.last().unwrap())
    }

    /// Returns the names in the local headers of `bytes`, and the state of the body.
    fn scanned(&self, bytes: &[u8]) -> (Vec<String>, Body) {
        let path = self.dir.path("scanned");
        fs::write(&path, bytes).unwrap();
        let file = File::open(path).unwrap();
        let (mut scan, mut names, mut body) = (Scan::new(&file).unwrap(), Vec::new(), Body::Damaged);
        while let ScanItem::Entry(entry) = scan.next().unwrap() {
            let content = entry.read(&file, 1 << 30);
            if entry.header.name == BODY {
                body = match content {
                    Ok(content) if entry.is_restored_member && content == self.received => Body::Restored,
                    Ok(content) if !entry.is_restored_member && content == text() => Body::Slice,
                    _ => Body::Damaged,
                };
            } else {
                content.unwrap();
            }
            names.push(entry.header.name);
        }
        (names, body)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Body {
    Slice,
    Restored,
    Damaged,
}

fn text() -> Vec<u8> {
    (0..20_000).flat_map(|n| format!("line {n}\n").into_bytes()).collect()
}

/// The readers are other programs too.
#[test]
fn all_readers_read_a_restored_member() {
    for note in [&b""[..], b"{\"a\":1}"] {
        let mut restoring = Restoring::new(100, &with_slack(note), None);
        let len = restoring.part().len();
        let member = restoring.restore().unwrap().unwrap();
        assert_eq!(restoring.part().len(), len);
        let archive = &mut restoring.archive;
        archive
            .group(|a| {
                a.retire(restoring.place)?;
                a.add_reserved(&member)?;
                a.add(JSON, b"{\"last\":1}", CompressionMethod::Stored, &[])
            })
            .unwrap();
        archive.group(|a| add(a, "last", b"last", CompressionMethod::Stored)).unwrap();
        let Restoring { dir, archive, received, .. } = restoring;
        let bundle = archive.finish().unwrap().path;
        assert!(content(&bundle, BODY).unwrap() == received);
        assert_eq!(content(&bundle, JSON).unwrap(), b"{\"last\":1}");
        assert_read_by_all(&bundle, 5, "last");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/ReadZip.java");
        if let Some(output) = run("java", &[source.to_str().unwrap()], &bundle) {
            let bytes =
                100 - LOCAL_LEN - BEFORE.len() + received.len() + "{\"last\":1}".len() + "z".len() + "last".len();
            assert_eq!(output, format!("directory 5 {bytes}\nlocal headers 6 {}\n", bytes + "{}".len()));
        }
        drop(dir);
    }
}

#[test]
fn a_scan_finds_all_entries_after_either_write_alone() {
    let restoring = Restoring::new(100, &with_slack(b""), None);
    let before = restoring.part();
    restoring.restore().unwrap().unwrap();
    let after = restoring.part();
    let changed: Vec<_> = (0..before.len()).filter(|&at| before[at] != after[at]).collect();
    let middle = (changed[0] + changed[changed.len() - 1]) / 2;
    let (second, first) = (after.split_at(middle), before.split_at(middle));
    for (bytes, body) in [
        (before.clone(), Body::Slice),
        ([first.0, second.1].concat(), Body::Slice),
        (after.clone(), Body::Restored),
        // Only if the machine crashed.
        ([second.0, first.1].concat(), Body::Damaged),
    ] {
        assert_eq!(restoring.scanned(&bytes), (NAMES.map(String::from).to_vec(), body));
    }
}

#[test]
fn a_failed_write_leaves_the_slice() {
    for good in 0..3 {
        let restoring = Restoring::new(100, &with_slack(b""), None);
        let before = restoring.part();
        STEPS.set(Some((good, 1)));
        let restored = restoring.restore();
        STEPS.set(None);
        assert_eq!(restored.is_err(), good < 2);
        assert_eq!(restoring.part() == before, good < 2, "{good} good writes");
    }
}

#[test]
fn a_member_is_not_restored_if_its_headers_cross_a_page_or_have_no_space() {
    let slack = with_slack(b"");
    let is_restored = |offset, note, between| {
        let restoring = Restoring::new(offset, note, between);
        let before = restoring.part();
        let is_restored = restoring.restore().unwrap().is_some();
        assert_eq!(restoring.part() != before, is_restored);
        is_restored
    };
    assert!(is_restored(100, &slack, None));
    assert!(!is_restored(100, b"", None) && !is_restored(100, b"{}", None));
    assert!(!is_restored(100, &slack, Some("between")));
    // The header of the member has 60 bytes.
    let member_len = LOCAL_LEN + BODY.len() + 4;
    assert!(is_restored(4096 - member_len, &slack, None) && is_restored(4096, &slack, None));
    assert!(!is_restored(4096 - member_len + 1, &slack, None) && !is_restored(4095, &slack, None));
    // The JSON begins behind the slice, which has the same length everywhere.
    let json_starts = |offset| {
        let restoring = Restoring::new(offset, &slack, None);
        restoring.archive.read_group(restoring.place).unwrap().entries().unwrap()[1].offset as usize
    };
    let crossing = 4096 - json_starts(100) % 4096 + 100 - 1;
    assert_eq!(json_starts(crossing) % 4096, 4095);
    assert!(!is_restored(crossing, &slack, None) && is_restored(crossing + 1, &slack, None));
}

#[test]
fn notes_with_slack_are_eight_bytes_longer() {
    for note in [&b""[..], b"{\"capture\":null}"] {
        let field = |note: &[u8]| if note.is_empty() { 0 } else { 4 + note.len() };
        let with = with_slack(note);
        assert_eq!(field(&with), field(note) + 8);
        assert_eq!(without_slack(&with), Some(note));
        assert_eq!(RecoveryNote::decode(&with), RecoveryNote::decode(note));
    }
    assert_eq!([without_slack(b""), without_slack(b"{}")], [None; 2]);
}

const BODY: &str = "traces/t_0001_response.bin";
const JSON: &str = "traces/t_0001.json";
const NAMES: [&str; 4] = ["before", BODY, JSON, "z"];
const BEFORE: &str = "before";
