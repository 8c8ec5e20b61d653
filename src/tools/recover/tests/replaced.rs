//! Exchanges that are in the file more than once, and bodies that were left as received.

use super::*;
use crate::bundle::archive::GroupPlace;
use crate::bundle::reader::State;
use crate::bundle::test_dir::TestDir;
use crate::coding::testing::{TEXT_BR, TEXT_ZST, gz, sample};

/// A file with replaced groups, and what each of its lengths must give.
struct Replaced {
    dir: TestDir,
    archive: Archive,
    /// The number of the exchange, the end of its group, and the body that it has once it is recovered.
    groups: Vec<(u32, usize, Vec<u8>)>,
    places: Vec<GroupPlace>,
    /// The ranges of the groups in the file.
    starts: Vec<usize>,
}

/// A body as it is written.
enum Written<'b> {
    Decoded(&'b [u8]),
    /// With `body_encoding`.
    Received(&'b [u8], &'b str),
    /// The deflate stream of a gzip body, with its claims.
    Slice(&'b [u8], u32, u64),
}

fn crc_of(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

impl Replaced {
    fn new(name: &str) -> Self {
        NO_SYNC.set(true);
        let dir = TestDir::new(name);
        let (archive, _) = Archive::create(&dir.path("made.zip"), Duration::from_micros(CREATED)).unwrap();
        Self { dir, archive, groups: Vec::new(), places: Vec::new(), starts: Vec::new() }
    }

    fn len(&self) -> usize {
        fs::metadata(self.archive.unfinished_path()).unwrap().len() as usize
    }

    /// Writes exchange `n`, in place of the group `replaces`. `recovered` is its body once it is recovered.
    fn put(&mut self, n: u32, body: Written<'_>, replaces: Option<usize>, recovered: &[u8]) {
        let id = Id::Trace(n).to_string();
        let file = format!("{id}_response.bin");
        let (bytes, encoding, size) = match body {
            Written::Decoded(bytes) => (bytes, None, bytes.len() as u64),
            Written::Received(bytes, encoding) => (bytes, Some(encoding.to_owned()), bytes.len() as u64),
            Written::Slice(bytes, _, size) => (bytes, None, size),
        };
        let trace: Trace = Trace {
            id: id.clone(),
            timestamp: CREATED / 1000 + u64::from(n),
            r#type: "http".into(),
            request: format::Request { method: "GET".into(), url: "https://a.test/".into(), ..Default::default() },
            response: format::Response {
                status: 200,
                body_file: Some(file.clone()),
                body_size: size,
                body_encoding: encoding,
                ..Default::default()
            },
            initiator: format::Initiator { r#type: "proxy".into(), ..Default::default() },
            ..Default::default()
        };
        self.starts.push(self.len());
        let earlier = replaces.map(|group| self.places[group]);
        let place = self.archive.group(|archive| {
            earlier.map_or(Ok(()), |earlier| archive.retire(earlier))?;
            let name = format!("traces/{file}");
            match body {
                Written::Slice(received, crc, size) => {
                    let (header, rest) = received.split_at(10);
                    let mut slice = &rest[..rest.len() - 8];
                    let method = CompressionMethod::Deflated;
                    let compressed_size = slice.len() as u64;
                    let entry = EntryHeader { name, method, crc, compressed_size, size, is_zip64: false };
                    archive.copy(entry, header, &mut slice)?;
                }
                Written::Decoded(_) | Written::Received(..) => {
                    archive.begin_entry(name, bytes.len() as u64, CompressionMethod::Stored, &[])?;
                    archive.write_all(bytes)?;
                }
            }
            add_json(archive, format!("traces/{id}.json"), &trace, &[])
        });
        self.places.push(place.unwrap());
        self.groups.push((n, self.len(), recovered.to_vec()));
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.archive.unfinished_path()).unwrap()
    }

    fn recover(&self, bytes: &[u8]) -> (Recovered, Bundle) {
        let part = self.dir.path("capture.zip.part");
        for name in ["capture.zip.part", "capture.zip"] {
            let _ = fs::remove_file(self.dir.path(name));
        }
        fs::write(&part, bytes).unwrap();
        let recovered = from_unlocked_part(&part).unwrap();
        let bundle = assert_consistent(&recovered);
        (recovered, bundle)
    }

    /// Returns the bodies that a file of `len` bytes must give, by number.
    fn expected(&self, len: usize) -> std::collections::BTreeMap<u32, Vec<u8>> {
        let whole = self.groups.iter().filter(|(_, end, _)| *end <= len);
        whole.map(|(n, _, body)| (*n, body.clone())).collect()
    }
}

impl Drop for Replaced {
    fn drop(&mut self) {
        NO_SYNC.set(false);
    }
}

fn bodies(bundle: &Bundle) -> std::collections::BTreeMap<u32, Vec<u8>> {
    let body = |id: &str| {
        let trace = bundle.trace(id).unwrap();
        (id[2..].parse().unwrap(), bundle.response_body(&trace).unwrap())
    };
    bundle.traces().iter().map(body).collect()
}

/// As after kill -9: the file ends anywhere.
#[test]
fn a_file_that_ends_anywhere_has_the_last_whole_group_of_each_exchange() {
    let mut file = Replaced::new("replacedcuts");
    let text = b"text ".repeat(20);
    let encoded = gz(&text);
    let claims = (crc_of(&text), text.len() as u64);
    file.put(1, Written::Received(&encoded, "gzip"), None, &text);
    file.put(2, Written::Slice(&encoded, claims.0 ^ 1, claims.1), None, &encoded_bad(&encoded, claims));
    file.put(3, Written::Received(b"unknown", "aes"), None, b"unknown");
    file.put(1, Written::Decoded(&text), Some(0), &text);
    file.put(2, Written::Decoded(b"rebuilt"), Some(1), b"rebuilt");
    file.put(3, Written::Decoded(b"a third"), Some(2), b"a third");
    file.put(3, Written::Decoded(b"a fourth"), Some(5), b"a fourth");
    let all = file.bytes();
    for len in 0..=all.len() {
        if file.expected(len).is_empty() {
            fs::write(file.dir.path("capture.zip.part"), &all[..len]).unwrap();
            let nothing = from_unlocked_part(&file.dir.path("capture.zip.part"));
            assert!(matches!(nothing, Err(Error::NothingFound(_))), "truncated at {len}");
            continue;
        }
        let (recovered, bundle) = file.recover(&all[..len]);
        assert_eq!(recovered.damaged_entries, 0, "truncated at {len}");
        let whole = file.groups.iter().rfind(|(_, end, _)| *end <= len).map_or(0, |(_, end, _)| *end);
        assert_eq!(recovered.truncated_bytes, (len - whole) as u64, "truncated at {len}");
        assert!(bodies(&bundle) == file.expected(len), "truncated at {len}");
        let growing = Bundle::open_part(file.dir.path("capture.zip.part")).unwrap();
        let ids: Vec<_> = growing.traces().iter().map(str::to_owned).collect();
        assert_eq!(ids, bundle.traces().iter().collect::<Vec<_>>(), "truncated at {len}");
    }
    let (recovered, _) = file.recover(&all);
    assert_keeps_the_contract(&recovered.output);
    // The finished file has the last group of each in its directory, and recovery finds the same.
    let mut info = CaptureInfo::new(&file.dir.path("made.zip"), Duration::ZERO);
    (1..=3).for_each(|n| info.add_trace(n, CREATED / 1000 + u64::from(n), "https://a.test/"));
    info.write(&mut file.archive, 7).unwrap();
    let expected = file.expected(usize::MAX);
    let part = file.archive.unfinished_path().to_owned();
    let archive =
        std::mem::replace(&mut file.archive, Archive::create(&file.dir.path("other.zip"), Duration::ZERO).unwrap().0);
    let mut growing = Bundle::open_part(&part).unwrap();
    let finished = archive.finish().unwrap().path;
    assert_eq!(growing.refresh().unwrap(), State::Complete);
    assert!(bodies(&growing) == expected && bodies(&Bundle::open(&finished).unwrap()) == expected);
    assert_keeps_the_contract(&finished);
    let (recovered, bundle) = file.recover(&fs::read(&finished).unwrap());
    assert!(bodies(&bundle) == expected);
    assert_eq!((recovered.damaged_entries, recovered.exchanges), (0, 3));
}

/// Returns the gzip body with these claims, of which the first is false.
fn encoded_bad(encoded: &[u8], (crc, size): (u32, u64)) -> Vec<u8> {
    [&encoded[..encoded.len() - 8], &(crc ^ 1).to_le_bytes(), &(size as u32).to_le_bytes()].concat()
}

#[test]
fn the_last_intact_group_is_recovered() {
    let mut file = Replaced::new("replaceddamage");
    file.put(1, Written::Decoded(b"the first body"), None, b"");
    file.put(2, Written::Decoded(b"another"), None, b"");
    file.put(1, Written::Decoded(b"the second body"), Some(0), b"");
    file.put(1, Written::Decoded(b"the third body"), Some(2), b"");
    file.put(3, Written::Decoded(b"the end"), None, b"");
    let all = file.bytes();
    let at = |group: usize, text: &[u8]| {
        let found = all[file.starts[group]..].windows(text.len()).position(|window| window == text);
        file.starts[group] + found.unwrap()
    };
    let (first, second, third) = (at(0, b"the first"), at(2, b"the second"), at(3, b"the third"));
    // Within the compressed JSON.
    let third_json = file.groups[3].1 - 9;
    for (damage, expected, damaged_entries) in [
        (&[][..], Some("the third body"), 0),
        // The first: it is replaced anyway.
        (&[first], Some("the third body"), 0),
        (&[second], Some("the third body"), 0),
        // The last: the one before is taken.
        (&[third], Some("the second body"), 2),
        (&[third_json], Some("the second body"), 2),
        (&[first, third], Some("the second body"), 2),
        (&[second, third], Some("the first body"), 4),
        (&[first, second, third], None, 6),
    ] {
        let mut bytes = all.clone();
        damage.iter().for_each(|&at| bytes[at] ^= 1);
        let (recovered, bundle) = file.recover(&bytes);
        let found = bodies(&bundle);
        assert_eq!(found.get(&1).map(|body| String::from_utf8_lossy(body)).as_deref(), expected, "{damage:?}");
        assert_eq!((found[&2].as_slice(), found[&3].as_slice()), (&b"another"[..], &b"the end"[..]));
        assert_eq!((recovered.damaged_entries, recovered.truncated_bytes), (damaged_entries, 0), "{damage:?}");
        assert_keeps_the_contract(&recovered.output);
        // The reader of an unfinished bundle takes the same group.
        let growing = Bundle::open_part(file.dir.path("capture.zip.part")).unwrap();
        if let Some(expected) = expected {
            assert_eq!(bodies_of(&growing, "t_0001"), expected, "{damage:?}");
        }
    }
}

fn bodies_of(bundle: &Bundle, id: &str) -> String {
    let trace = bundle.trace(id).unwrap();
    String::from_utf8(bundle.response_body(&trace).unwrap()).unwrap()
}

/// A gzip body is damaged only if its bytes are: claims are the sender's.
#[test]
fn gzip_bodies_with_false_claims_are_rebuilt_as_received() {
    let text: Vec<u8> = (0..5000).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
    let bomb = vec![0; 4 << 20];
    let (encoded, encoded_bomb) = (gz(&text), gz(&bomb));
    let (crc, size) = (crc_of(&text), text.len() as u64);
    let with_claims = |encoded: &[u8], crc: u32, size: u64| {
        [&encoded[..encoded.len() - 8], &crc.to_le_bytes(), &(size as u32).to_le_bytes()].concat()
    };
    let mut file = Replaced::new("claims");
    file.put(1, Written::Slice(&encoded, crc, size), None, &text);
    file.put(2, Written::Slice(&encoded, crc ^ 1, size), None, &with_claims(&encoded, crc ^ 1, size));
    file.put(3, Written::Slice(&encoded, crc, size + 1), None, &with_claims(&encoded, crc, size + 1));
    file.put(4, Written::Slice(&encoded, crc, 7), None, &with_claims(&encoded, crc, 7));
    // A bomb with the claims of a small text.
    file.put(5, Written::Slice(&encoded_bomb, crc, size), None, &with_claims(&encoded_bomb, crc, size));
    let all = file.bytes();
    let (recovered, bundle) = file.recover(&all);
    assert!(bodies(&bundle) == file.expected(usize::MAX));
    assert_eq!((recovered.exchanges, recovered.damaged_entries, recovered.truncated_bytes), (5, 0, 0));
    for (id, encoding) in
        [("t_0001", None), ("t_0002", Some("gzip")), ("t_0003", Some("gzip")), ("t_0005", Some("gzip"))]
    {
        let trace = bundle.trace(id).unwrap();
        assert_eq!(trace.response.body_encoding.as_deref(), encoding, "{id}");
        assert!(trace.cut_off.is_none());
    }
    assert_keeps_the_contract(&recovered.output);
    // Recovery of the recovered bundle changes nothing.
    let again = from_part(&recovered.output, Some(&file.dir.path("again.zip")), &Options::default()).unwrap();
    assert!(bodies(&Bundle::open(&again.output).unwrap()) == file.expected(usize::MAX));
}

#[test]
fn bodies_that_were_left_as_received_are_decoded() {
    let text = b"some text, ".repeat(200_000);
    let (br, zst, decoded) = (TEXT_BR, TEXT_ZST, sample());
    let mut file = Replaced::new("received");
    let encoded = gz(&text);
    file.put(1, Written::Received(&encoded, "gzip"), None, &text);
    file.put(2, Written::Received(br, "br"), None, &decoded);
    file.put(3, Written::Received(zst, "zstd"), None, &decoded);
    let twice = gz(br);
    file.put(4, Written::Received(&twice, "br, gzip"), None, &decoded);
    file.put(5, Written::Received(b"no gzip", "gzip"), None, b"no gzip");
    let empty = gz(b"");
    file.put(6, Written::Received(&empty, "gzip"), None, b"");
    file.put(7, Written::Received(&br[..br.len() - 1], "aes"), None, &br[..br.len() - 1]);
    let all = file.bytes();
    let (recovered, bundle) = file.recover(&all);
    assert!(bodies(&bundle) == file.expected(usize::MAX));
    for (id, encoding) in
        [("t_0001", None), ("t_0004", None), ("t_0005", Some("gzip")), ("t_0006", None), ("t_0007", Some("aes"))]
    {
        assert_eq!(bundle.trace(id).unwrap().response.body_encoding.as_deref(), encoding, "{id}");
    }
    assert_eq!(bundle.trace("t_0006").unwrap().response.body_file, None);
    assert_eq!((recovered.exchanges, recovered.damaged_entries), (7, 0));
    assert_keeps_the_contract(&recovered.output);
}

#[test]
fn messages_are_recovered_in_any_order() {
    let dir = TestDir::new("order");
    let (mut archive, _) = Archive::create(&dir.path("made.zip"), Duration::ZERO).unwrap();
    let mut info = CaptureInfo::new(&dir.path("made.zip"), Duration::ZERO);
    for (websocket, number) in [(1, 3), (1, 1), (2, 300), (1, 2), (2, 1), (1, 3)] {
        add_message(&mut archive, &mut info, websocket, number, &format!("{websocket} {number}"));
    }
    let part = dir.path("capture.zip.part");
    fs::write(&part, fs::read(archive.unfinished_path()).unwrap()).unwrap();
    let recovered = from_unlocked_part(&part).unwrap();
    let bundle = assert_consistent(&recovered);
    assert_eq!((recovered.messages, recovered.damaged_entries, recovered.truncated_bytes), (5, 0, 0));
    assert_eq!(bundle.messages("ws_0001").len(), 3);
    assert_keeps_the_contract(&recovered.output);
}

/// As `inspect --follow` reads it.
#[test]
fn a_growing_bundle_lists_each_number_once() {
    let mut file = Replaced::new("growing");
    let ids = |bundle: &Bundle| bundle.traces().iter().map(str::to_owned).collect::<Vec<_>>();
    file.put(1, Written::Received(b"as received", "br"), None, b"");
    file.put(3, Written::Decoded(b"three"), None, b"");
    let part = file.archive.unfinished_path().to_owned();
    let mut bundle = Bundle::open_part(&part).unwrap();
    assert_eq!(ids(&bundle), ["t_0001", "t_0003"]);
    file.put(2, Written::Received(b"two", "br"), None, b"");
    file.put(1, Written::Decoded(b"one"), Some(0), b"");
    file.put(2, Written::Decoded(b"two, decoded"), Some(2), b"");
    assert_eq!(bundle.refresh().unwrap(), State::Growing);
    assert_eq!(ids(&bundle), ["t_0001", "t_0003", "t_0002"], "new ones follow, replaced ones stay");
    assert_eq!(bundle.manifest().stats.trace_count, 3);
    assert_eq!([bodies_of(&bundle, "t_0001"), bodies_of(&bundle, "t_0002")], ["one", "two, decoded"]);
    // A replacement that is damaged is not read.
    file.put(1, Written::Decoded(b"damaged"), Some(3), b"");
    let at = file.bytes().windows(7).position(|window| window == b"damaged").unwrap();
    let writable = fs::OpenOptions::new().write(true).open(&part).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&writable, b"DAMAGED", at as u64).unwrap();
    bundle.refresh().unwrap();
    assert_eq!(bodies_of(&bundle, "t_0001"), "one");
    assert_eq!(ids(&bundle), ["t_0001", "t_0003", "t_0002"]);
    // Nor is one that lacks its body.
    let mut trace = bundle.trace("t_0001").unwrap();
    trace.response.status = 500;
    file.archive.group(|archive| add_json(archive, "traces/t_0001.json".into(), &trace, &[])).unwrap();
    bundle.refresh().unwrap();
    assert_eq!((bundle.trace("t_0001").unwrap().response.status, bodies_of(&bundle, "t_0001").as_str()), (200, "one"));
    // Until it is replaced, a gzip body with false claims is read as received.
    let encoded = gz(b"some text");
    file.put(4, Written::Slice(&encoded, 1, 9), None, b"");
    bundle.refresh().unwrap();
    let trace = bundle.trace("t_0004").unwrap();
    let received = bundle.response_body(&trace).unwrap();
    assert_eq!(received[..encoded.len() - 8], encoded[..encoded.len() - 8]);
}
