//! The path of the bundle: what it replaces, and what it refuses.

use super::*;

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
