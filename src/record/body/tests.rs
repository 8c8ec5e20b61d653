//! Bodies in memory, in files, past the budget and on a full disk.

use super::*;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

const BUDGET_BYTES: usize = 64 << 20;

/// A folder for one test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("spectral-body-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn is_empty(&self) -> bool {
        fs::read_dir(&self.0).unwrap().next().is_none()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn content(body: &Body) -> Vec<u8> {
    let mut all = Vec::new();
    body.reader().read_to_end(&mut all).unwrap();
    all
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8).collect()
}

#[test]
fn an_empty_body_allocates_nothing() {
    let store = test_store("/nowhere", BUDGET_BYTES);
    let body = Body::new(&store);
    assert!(body.is_empty() && content(&body).is_empty());
    assert_eq!((body.memory.capacity(), store.memory().held()), (0, 0));
}

#[test]
fn keeps_a_small_body_in_memory_and_releases_its_budget() {
    let store = test_store("/nowhere", BUDGET_BYTES);
    let mut body = Body::new(&store);
    let all = pattern(MAX_IN_MEMORY_BYTES);
    for piece in all.chunks(1000) {
        body.push(piece);
    }
    assert!(body.truncation().is_none() && body.file.is_none());
    assert_eq!((body.len(), content(&body)), (all.len() as u64, all.clone()));
    let mut crc = Crc::new();
    crc.update(&all);
    assert_eq!(body.crc(), crc.sum());
    assert_eq!(store.memory().held(), body.memory.capacity());
    drop(body);
    assert_eq!(store.memory().held(), 0);
}

#[test]
fn moves_a_large_body_to_an_unlinked_file() {
    let folder = Folder::new("large");
    let store = test_store(folder.0.clone(), BUDGET_BYTES);
    for piece in [7, 1000, 70_000, 1_000_000] {
        let mut body = Body::new(&store);
        let all = pattern(1_000_000);
        all.chunks(piece).for_each(|piece| body.push(piece));
        assert!(body.file.is_some() && body.memory.len() <= WRITE_BUFFER_BYTES && body.truncation().is_none());
        assert!(folder.is_empty(), "the file is not unlinked");
        assert_eq!(body.len(), all.len() as u64);
        assert!(content(&body) == all && content(&body) == all, "pushed {piece} bytes at a time, read twice");
        let (mut crc, mut from) = (Crc::new(), Vec::new());
        crc.update(&all);
        assert_eq!(body.crc(), crc.sum());
        for at in [0, 1, body.spilled - 1, body.spilled, all.len() as u64 - 1, all.len() as u64, u64::MAX] {
            from.clear();
            body.reader_at(at).read_to_end(&mut from).unwrap();
            assert!(from == all[all.len().min(at as usize)..], "from offset {at}, {} bytes in the file", body.spilled);
        }
    }
    assert_eq!(store.memory().held(), 0);
}

#[test]
fn spills_all_but_the_smallest_bodies_once_the_budget_is_spent() {
    let folder = Folder::new("budget");
    let store = test_store(folder.0.clone(), 10_000);
    let mut first = Body::new(&store);
    first.push(&pattern(8192));
    let mut second = Body::new(&store);
    second.push(&pattern(5000));
    let mut third = Body::new(&store);
    third.push(&pattern(MAX_UNBUDGETED_BYTES));
    assert!(first.file.is_none() && second.file.is_some() && third.file.is_none());
    assert_eq!(content(&second), pattern(5000));
    drop(first);
    let mut fourth = Body::new(&store);
    fourth.push(&pattern(5000));
    assert!(fourth.file.is_some(), "the third body still uses 4096 of 10000 bytes, and the fourth needs 8192");
    drop((second, third, fourth));
    assert_eq!(store.memory().held(), 0);
}

#[test]
fn counts_bytes_lost_without_a_spill_file() {
    let store = test_store("/nowhere/at/all", BUDGET_BYTES);
    let mut body = Body::new(&store);
    body.push(&pattern(1000));
    body.push(&pattern(MAX_IN_MEMORY_BYTES));
    body.push(b"more");
    let truncation = body.truncation().unwrap();
    assert_eq!(
        (truncation.lost_bytes, truncation.cause.kind()),
        (MAX_IN_MEMORY_BYTES as u64 + 4, io::ErrorKind::NotFound)
    );
    assert_eq!((body.len(), content(&body)), (1000, pattern(1000)));
}

#[test]
fn keeps_the_beginning_when_the_disk_is_full() {
    let full = Path::new("/dev/full");
    if !full.exists() {
        return;
    }
    let mut body = Body::new(&test_store("/nowhere", BUDGET_BYTES));
    body.push(b"kept");
    body.file = Some(OpenOptions::new().write(true).open(full).unwrap());
    body.push(&pattern(MAX_IN_MEMORY_BYTES));
    assert_eq!(body.truncation().map(|truncation| truncation.lost_bytes), Some(MAX_IN_MEMORY_BYTES as u64));
    assert_eq!(content(&body), b"kept");
    let mut crc = Crc::new();
    crc.update(b"kept");
    assert_eq!(body.crc(), crc.sum());
}

#[test]
fn is_send() {
    fn send<T: Send>() {}
    send::<Body>();
}
