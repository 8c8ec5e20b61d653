//! Bundles of other producers, whole and truncated, and files in which nothing is found.

use super::*;
use crate::tools::merge;

/// The bundle of the browser extension: JSON before bodies, folders, a context.
fn extension() -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/extension.zip")).unwrap()
}

fn recover(dir: &TestDir, bytes: &[u8]) -> Result<Recovered, Error> {
    let (part, output) = (dir.path("a.zip"), dir.path("b.zip"));
    let _ = fs::remove_file(&output);
    fs::write(&part, bytes).unwrap();
    let recovered = from_part(&part, Some(&output), &Options::default());
    assert!(recovered.is_ok() == output.exists(), "an output exactly if something was recovered");
    recovered
}

#[test]
fn bodies_may_follow_their_json() {
    NO_SYNC.set(true);
    let (dir, bytes) = (TestDir::new("foreign"), extension());
    let recovered = recover(&dir, &bytes).unwrap();
    let bundle = assert_consistent(&recovered);
    assert_eq!((recovered.exchanges, recovered.websockets, recovered.messages), (5, 1, 4));
    assert_eq!((recovered.truncated_bytes, recovered.damaged_entries, recovered.left_out), (0, 0, LeftOut::default()));
    let original = Bundle::open(dir.path("a.zip")).unwrap();
    for id in original.traces().iter() {
        let (old, new) = (original.trace(id).unwrap(), bundle.trace(id).unwrap());
        assert_eq!(old, new);
        assert_eq!(original.request_body(&old).unwrap(), bundle.request_body(&new).unwrap());
        assert_eq!(original.response_body(&old).unwrap(), bundle.response_body(&new).unwrap());
    }
    assert_eq!(original.context("c_0001").unwrap(), bundle.context("c_0001").unwrap());
    let (old, new) = (original.whole_manifest().unwrap(), bundle.whole_manifest().unwrap());
    assert_eq!(
        (&old.browser, &old.extension_version, &old.others),
        (&new.browser, &new.extension_version, &new.others)
    );
    assert_eq!((&old.capture_id, old.duration_ms, &old.stats), (&new.capture_id, new.duration_ms, &new.stats));
    NO_SYNC.set(false);
}

#[test]
fn a_truncated_bundle_of_another_producer_names_what_is_missing() {
    NO_SYNC.set(true);
    let (dir, bytes) = (TestDir::new("foreign-cuts"), extension());
    let find = |name: &str| bytes.windows(name.len()).position(|window| window == name.as_bytes()).unwrap();
    // Within the response body of the second exchange, whose JSON and request body are whole.
    let recovered = recover(&dir, &bytes[..find("traces/t_0002_response.bin") + 27]).unwrap();
    assert_eq!((recovered.exchanges, &recovered.left_out.first[..]), (1, &["t_0002".to_owned()][..]));
    assert!(recovered.truncated_bytes > 1000);
    for len in (0..bytes.len()).step_by(97) {
        let whole = (1..=5).filter(|n| find(&format!("traces/t_000{n}.json")) < len).count() as u64;
        match recover(&dir, &bytes[..len]) {
            Ok(recovered) => {
                assert_consistent(&recovered);
                assert!(whole - recovered.exchanges <= 1, "truncated at {len}");
            }
            Err(e) => assert!(matches!(e, Error::NothingFound(_)) && whole <= 1, "truncated at {len}: {e}"),
        }
    }
    // A damaged body in a whole bundle.
    let mut damaged = bytes.clone();
    damaged[find("{\"n\":\"")] ^= 1;
    let recovered = recover(&dir, &damaged).unwrap();
    assert_eq!((recovered.exchanges, recovered.damaged_entries), (4, 3));
    assert_eq!((recovered.left_out.count, &recovered.left_out.first[..]), (1, &["t_0002".to_owned()][..]));
    NO_SYNC.set(false);
}

#[test]
fn a_bundle_that_only_its_directory_describes_is_refused() {
    let dir = TestDir::new("foreign-directory");
    let (a, b, merged) = (dir.path("a.zip"), dir.path("b.zip"), dir.path("merged.zip"));
    fs::write(&a, extension()).unwrap();
    let (mut archive, _) = Archive::create(&b, Duration::ZERO).unwrap();
    let mut info = CaptureInfo::new(&b, Duration::ZERO);
    add_trace(&mut archive, &mut info, 1, "", "x", &RecoveryNote::default());
    info.write(&mut archive, 1).unwrap();
    archive.finish().unwrap();
    merge::merge(&[a, b], &merged, &merge::Options::default()).unwrap();
    let error = recover(&dir, &fs::read(&merged).unwrap()).unwrap_err();
    assert!(matches!(error, Error::Complete(_)) && error.to_string().contains("complete bundle"), "{error}");
}

#[test]
fn a_file_without_items_becomes_no_bundle() {
    let dir = TestDir::new("nothing");
    let output = dir.path("empty.zip");
    let (mut archive, _) = Archive::create(&output, Duration::ZERO).unwrap();
    CaptureInfo::new(&output, Duration::ZERO).write(&mut archive, 1).unwrap();
    archive.finish().unwrap();
    for bytes in [fs::read(&output).unwrap(), Vec::new()] {
        let error = recover(&dir, &bytes).unwrap_err();
        assert!(error.to_string().ends_with("it has no complete exchange or message"), "{error}");
    }
}
