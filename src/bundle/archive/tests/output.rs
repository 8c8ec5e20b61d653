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
fn keeps_every_old_bundle() {
    let dir = TestDir::new("bak");
    for (i, name) in ["first", "second", "third"].into_iter().enumerate() {
        let mut archive = create(&output(&dir));
        archive.group(|a| add(a, name, b"1", CompressionMethod::Deflated)).unwrap();
        if i > 0 {
            assert!(content(&output(&dir), "first").is_some() || i > 1, "the old bundle stays until the end");
        }
        let backup = [None, Some("capture.zip.bak"), Some("capture.zip.2.bak")][i];
        assert_eq!(archive.finish().unwrap().backup, backup.map(|name| dir.path(name)));
    }
    for (file, name) in [("capture.zip.bak", "first"), ("capture.zip.2.bak", "second"), ("capture.zip", "third")] {
        assert!(content(&dir.path(file), name).is_some(), "{file}");
    }
    assert_eq!(files(&dir).len(), 3);
}

/// The backup has the name of an unfinished bundle for a moment, never one that is deleted after a crash.
#[test]
fn a_tool_keeps_the_old_bundle_too() {
    let dir = TestDir::new("toolbak");
    for name in ["first", "second"] {
        let mut archive = Archive::create_temporary(&output(&dir), Duration::ZERO).unwrap();
        archive.group(|a| add(a, name, b"1", CompressionMethod::Deflated)).unwrap();
        archive.finish().unwrap();
    }
    assert_eq!(files(&dir), ["capture.zip", "capture.zip.bak"]);
    assert!(content(&dir.path("capture.zip.bak"), "first").is_some() && content(&output(&dir), "second").is_some());
    // One that fails leaves nothing.
    let mut archive = Archive::create_temporary(&output(&dir), Duration::ZERO).unwrap();
    archive.group(|a| add(a, "third", b"1", CompressionMethod::Deflated)).unwrap();
    DISK_IS_FULL.set(true);
    assert!(archive.finish().is_err());
    DISK_IS_FULL.set(false);
    assert_eq!(files(&dir), ["capture.zip", "capture.zip.bak"]);
}

#[test]
fn a_bundle_without_items_does_not_replace_another() {
    let dir = TestDir::new("empty");
    assert_eq!(create(&output(&dir)).finish_if_free().unwrap().path, output(&dir));
    let (error, path) = (create(&output(&dir)).finish_if_free().unwrap_err(), output(&dir));
    assert_eq!((error.state, error.path), (UnfinishedState::Discarded, path));
    assert_eq!(files(&dir), ["capture.zip"]);
}

#[test]
fn a_bundle_that_was_deleted_or_replaced_is_copied() {
    let dir = TestDir::new("rescue");
    fs::write(dir.path("capture.rescued.zip"), "taken").unwrap();
    let part = dir.path("capture.zip.part");
    for (foreign, name) in [(None, "capture.rescued.2.zip"), (Some("foreign"), "capture.rescued.3.zip")] {
        let mut archive = create(&output(&dir));
        archive.group(|a| add(a, "name", &noise(3 * BUFFER_BYTES), CompressionMethod::Deflated)).unwrap();
        assert!(!archive.is_lost());
        fs::remove_file(&part).unwrap();
        if let Some(foreign) = foreign {
            fs::write(&part, foreign).unwrap();
        }
        assert!(archive.is_lost());
        assert_eq!(archive.finish().unwrap_err().state, UnfinishedState::Copied(dir.path(name)));
        assert!(content(&dir.path(name), "name").unwrap() == noise(3 * BUFFER_BYTES));
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(dir.path(name)).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(fs::read(&part).unwrap(), b"foreign");
    fs::remove_file(&part).unwrap();
    // One without an end can be recovered.
    let mut archive = create(&output(&dir));
    archive.group(|a| add(a, "name", b"1", CompressionMethod::Deflated)).unwrap();
    fs::remove_file(&part).unwrap();
    DISK_IS_FULL.set(true);
    let error = archive.finish().unwrap_err();
    DISK_IS_FULL.set(false);
    assert_eq!((error.state, error.path), (UnfinishedState::Truncated, dir.path("capture.rescued.zip.part")));
    let expected = ["2.zip", "3.zip", "zip", "zip.part"].map(|end| format!("capture.rescued.{end}"));
    assert_eq!(files(&dir), expected);
}

#[test]
fn a_bundle_that_cannot_be_renamed_stays_complete() {
    let dir = TestDir::new("error");
    let mut archive = create(&output(&dir));
    archive.group(|a| add(a, "name", b"1", CompressionMethod::Deflated)).unwrap();
    fs::create_dir(output(&dir)).unwrap();
    let error = archive.finish().unwrap_err();
    assert_eq!(error.state, UnfinishedState::Complete);
    assert!(content(&error.path, "name").is_some());
    assert_eq!(files(&dir), ["capture.zip", "capture.zip.part"]);
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
    let written = create(&dir.path("link.zip")).finish().unwrap().path;
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
