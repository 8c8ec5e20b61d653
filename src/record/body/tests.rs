//! Bodies in memory, in the spill file, past the budget, and on a disk that is full, slow or hangs.

use super::*;
use crate::bundle::archive::Content;
use crate::clock::Moment;
use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;
use store::{small_store, store_on_a_hanging_disk};

const BUDGET_BYTES: usize = 64 << 20;

/// A limit that no passing test comes near.
const TEST_TIMEOUT: Duration = Duration::from_secs(20);

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

/// Reads the content from `at` by turns in blocks, of which up to `used` bytes are used, and into a buffer.
fn in_blocks(body: &Body, at: u64, used: usize) -> Vec<u8> {
    let (mut reader, mut all) = (body.reader_at(at), Vec::new());
    loop {
        let blocks = reader.blocks().unwrap();
        let n = blocks.iter().map(|block| block.len()).sum::<usize>().min(used);
        all.extend_from_slice(&blocks.concat()[..n]);
        reader.consume(n);
        let read = reader.by_ref().take(3000).read_to_end(&mut all).unwrap();
        if n + read == 0 {
            return all;
        }
    }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8).collect()
}

fn crc_of(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

fn body_of(store: &Arc<BodyStore>, bytes: &[u8]) -> Body {
    let mut body = Body::new(store);
    body.push(bytes);
    body
}

/// Waits until `is_true`.
#[track_caller]
fn wait_until(is_true: impl Fn() -> bool) {
    let started = Moment::now();
    while !is_true() {
        assert!(Moment::now().since(started) < TEST_TIMEOUT);
        thread::yield_now();
    }
}

fn is_written(body: &Body) -> bool {
    body.pieces().iter().all(|piece| body.store.spill().is_in_file(piece.index))
}

fn held(store: &BodyStore) -> (usize, usize) {
    (store.memory().held(), store.spill().share().held())
}

#[test]
fn an_empty_body_allocates_nothing() {
    let store = test_store("/nowhere", BUDGET_BYTES);
    let body = Body::new(&store);
    assert!(body.is_empty() && content(&body).is_empty());
    assert_eq!((body.memory_bytes(), held(&store)), (0, (0, 0)));
}

#[test]
fn keeps_a_body_in_memory_and_releases_its_budget() {
    let store = test_store("/nowhere", BUDGET_BYTES);
    for len in [1, CHUNK_BYTES / 2 + 1, CHUNK_BYTES, CHUNK_BYTES + 1, MAX_IN_MEMORY_BYTES, MAX_PLENTIFUL_BYTES] {
        let mut body = Body::new(&store);
        let all = pattern(len);
        for piece in all.chunks(1000) {
            body.push(piece);
        }
        assert!(body.truncation().is_none());
        assert!(content(&body) == all && body.pieces().is_empty());
        for at in [0, CHUNK_BYTES / 2, CHUNK_BYTES, len] {
            assert!(in_blocks(&body, at as u64, 150_000) == all[len.min(at)..]);
        }
        assert_eq!((body.len(), body.in_one_buffer()), (all.len() as u64, (len <= CHUNK_BYTES).then_some(&all[..])));
        assert_eq!(body.crc(), crc_of(&all));
        assert_eq!(held(&store), (body.memory_bytes(), 0));
        let expected = if len <= CHUNK_BYTES { len.next_power_of_two() } else { len.next_multiple_of(CHUNK_BYTES) };
        assert_eq!(body.memory_bytes(), expected.max(MIN_ALLOCATION_BYTES));
    }
    assert_eq!(held(&store), (0, 0));
}

#[test]
fn chunks_are_reused_up_to_half_of_the_budget() {
    let store = small_store("/nowhere".as_ref(), 20 * CHUNK_BYTES, 0);
    let body = body_of(&store, &pattern(8 * CHUNK_BYTES));
    let chunk = body.chunks()[3].as_ptr();
    assert_eq!((held(&store).0, store.chunks().idle_count()), (8 * CHUNK_BYTES, 0));
    drop(body);
    assert_eq!((held(&store).0, store.chunks().idle_count()), (0, 8));
    let body = body_of(&store, &pattern(6 * CHUNK_BYTES + 1));
    assert!(body.chunks().iter().any(|reused| reused.as_ptr() == chunk));
    assert!(content(&body) == pattern(6 * CHUNK_BYTES + 1));
    assert_eq!(store.chunks().idle_count(), 1);
    // Idle ones are freed as soon as bodies take half of the budget, and then no others become idle.
    let others: Vec<_> = (0..6).map(|_| body_of(&store, &pattern(CHUNK_BYTES / 2 + 1))).collect();
    assert_eq!((held(&store).0, store.chunks().idle_count()), (13 * CHUNK_BYTES, 0));
    drop(body);
    assert_eq!(store.chunks().idle_count(), 4);
    drop(others);
    assert_eq!((held(&store).0, store.chunks().idle_count()), (0, 10));
}

#[test]
fn no_chunk_is_lost_when_the_disk_takes_a_part() {
    let folder = Folder::new("part");
    let store = small_store(&folder.0, 10 * CHUNK_BYTES, 3 * CHUNK_BYTES);
    store.spill().faults.fill(true);
    let all = pattern(8 * CHUNK_BYTES);
    let mut body = body_of(&store, &all[..6 * CHUNK_BYTES]);
    assert!(body.pieces().is_empty());
    let _others: Vec<_> = (0..4).map(|_| body_of(&store, &pattern(CHUNK_BYTES))).collect();
    body.push(&all[6 * CHUNK_BYTES..]);
    assert_eq!((body.pieces().len(), body.truncation().unwrap().lost_bytes), (3, 2 * CHUNK_BYTES as u64));
    assert!(content(&body) == all[..6 * CHUNK_BYTES] && body.crc() == crc_of(&all[..6 * CHUNK_BYTES]));
}

#[test]
fn a_large_body_has_the_same_content_in_memory_and_in_the_file() {
    let folder = Folder::new("large");
    // The share is as large as all bodies: no push waits.
    let store = small_store(&folder.0, 1 << 20, 64 << 20);
    let all = pattern(3_000_000);
    store.spill().faults.stall(true);
    let bodies: Vec<_> = [7, 1000, 70_000, 3_000_000]
        .into_iter()
        .map(|piece| {
            let mut body = Body::new(&store);
            all.chunks(piece).for_each(|piece| body.push(piece));
            body
        })
        .collect();
    let check = |body: &Body| {
        assert!(body.in_one_buffer().is_none() && body.truncation().is_none() && body.last.len() < CHUNK_BYTES);
        assert_eq!(body.len(), all.len() as u64);
        assert!(content(body) == all && content(body) == all, "read twice");
        assert_eq!(body.crc(), crc_of(&all));
        let (first, spilled) = (body.pieces()[0].end, body.spilled_len());
        for at in [0, 1, first - 1, first, first + 1, spilled - 1, spilled, all.len() as u64 - 1, 3_000_000, u64::MAX] {
            let mut from = Vec::new();
            body.reader_at(at).read_to_end(&mut from).unwrap();
            assert!(from == all[all.len().min(at as usize)..], "from offset {at} of {spilled} in pieces");
            for used in [50_000, 150_000] {
                assert!(in_blocks(body, at, used) == from, "in blocks from offset {at} of {spilled} in pieces");
            }
        }
    };
    bodies.iter().for_each(check);
    assert!(!bodies.iter().any(is_written));
    store.spill().faults.stall(false);
    bodies.iter().for_each(check);
    wait_until(|| bodies.iter().all(is_written));
    assert!(folder.is_empty(), "the file is not unlinked");
    bodies.iter().for_each(check);
    assert_eq!(store.spill().share().held(), 0);
    drop(bodies);
    assert_eq!(held(&store), (0, 0));
}

#[test]
fn spills_all_but_the_smallest_bodies_once_the_budget_is_spent() {
    let folder = Folder::new("budget");
    let store = test_store(folder.0.clone(), 10_000);
    let first = body_of(&store, &pattern(8192));
    let second = body_of(&store, &pattern(5000));
    let third = body_of(&store, &pattern(MAX_UNBUDGETED_BYTES));
    assert!(first.in_one_buffer().is_some() && second.in_one_buffer().is_none() && third.in_one_buffer().is_some());
    assert_eq!(content(&second), pattern(5000));
    drop(first);
    let fourth = body_of(&store, &pattern(5000));
    assert!(
        fourth.in_one_buffer().is_none(),
        "the third body still uses 4096 of 10000 bytes, and the fourth needs 8192"
    );
    drop((second, third, fourth));
    assert_eq!(held(&store), (0, 0));
}

#[test]
fn many_open_bodies_with_little_memory_do_not_wait_for_each_other() {
    let folder = Folder::new("many");
    // Less than a piece, and less than the smallest buffers of all bodies.
    for spilling in [0, 10_000, 2 * CHUNK_BYTES] {
        let store = small_store(&folder.0, 100_000, spilling);
        let all = pattern(300_000);
        let fill = |step: usize| {
            let mut bodies: Vec<_> = (0..50).map(|_| Body::new(&store)).collect();
            for piece in all.chunks(step) {
                bodies.iter_mut().for_each(|body| body.push(piece));
            }
            bodies.iter().for_each(|body| assert!(body.truncation().is_none() && content(body) == all));
        };
        thread::scope(|scope| {
            for step in [900, 10_000, 100_000] {
                scope.spawn(move || fill(step));
            }
        });
        assert_eq!(held(&store), (0, 0));
    }
}

/// A body in memory is written with few system calls, and so is one of many small pieces.
#[test]
fn blocks_are_large() {
    let folder = Folder::new("blocks");
    let store = test_store("/nowhere", BUDGET_BYTES);
    let body = body_of(&store, &pattern(MAX_PLENTIFUL_BYTES));
    let lengths = |body: &Body| -> Vec<usize> {
        let mut reader = body.reader();
        let mut next = || -> usize {
            let len = reader.blocks().unwrap().iter().map(|block| block.len()).sum();
            reader.consume(len);
            len
        };
        std::iter::from_fn(|| Some(next()).filter(|&len| len > 0)).collect()
    };
    assert_eq!(lengths(&body), [1 << 20; 2]);
    let store = small_store(&folder.0, 0, 4 << 20);
    let mut body = Body::new(&store);
    pattern(200_000).chunks(6000).for_each(|piece| body.push(piece));
    assert!(body.pieces().len() > 30);
    let in_memory = body.memory_bytes().min(200_000 % 6000);
    let rest = 200_000 - 3 * CHUNK_BYTES - in_memory;
    assert_eq!(lengths(&body), [CHUNK_BYTES, CHUNK_BYTES, CHUNK_BYTES, rest, in_memory]);
}

#[test]
fn the_bytes_before_an_unreadable_piece_are_read() {
    let folder = Folder::new("unreadable");
    let store = small_store(&folder.0, 0, 4 << 20);
    let mut body = Body::new(&store);
    pattern(18_000).chunks(6000).for_each(|piece| body.push(piece));
    wait_until(|| is_written(&body));
    store.spill().cut_file(CHUNK_BYTES as u64 + 5);
    let mut reader = body.reader();
    let expected = &pattern(18_000)[..6005];
    assert!(reader.blocks().unwrap().concat() == expected);
    Content::consume(&mut reader, 6000);
    assert_eq!(reader.blocks().unwrap().concat(), expected[6000..]);
    Content::consume(&mut reader, 5);
    for _ in 0..2 {
        assert_eq!(reader.blocks().unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
    }
}

#[test]
fn pieces_of_a_dropped_body_are_not_written() {
    let folder = Folder::new("dropped");
    let store = small_store(&folder.0, 0, 4 << 20);
    store.spill().faults.stall(true);
    let first = body_of(&store, &pattern(CHUNK_BYTES));
    store.spill().faults.wait_for_writes(1);
    let dropped = body_of(&store, &pattern(20 * CHUNK_BYTES));
    let last = body_of(&store, &pattern(CHUNK_BYTES));
    drop(dropped);
    assert_eq!(store.spill().share().held(), 2 * CHUNK_BYTES, "a dropped body frees its memory at once");
    store.spill().faults.stall(false);
    wait_until(|| is_written(&first) && is_written(&last));
    assert_eq!(store.spill().faults.writes(), 2);
}

#[test]
fn the_file_is_as_long_as_the_most_slots_in_use_and_is_truncated() {
    let folder = Folder::new("slots");
    let store = small_store(&folder.0, 0, 4 << 20);
    for _ in 0..5 {
        let first = body_of(&store, &pattern(3 * CHUNK_BYTES));
        let second = body_of(&store, &pattern(2 * CHUNK_BYTES));
        wait_until(|| is_written(&first) && is_written(&second));
        drop(first);
        let third = body_of(&store, &pattern(3 * CHUNK_BYTES));
        wait_until(|| is_written(&third));
        assert_eq!(store.spill().file_len(), 5 * CHUNK_BYTES as u64);
        assert!(content(&second) == pattern(2 * CHUNK_BYTES) && content(&third) == pattern(3 * CHUNK_BYTES));
        drop((second, third));
        wait_until(|| store.spill().file_len() == 0);
    }
}

#[test]
fn counts_bytes_lost_without_a_spill_file() {
    let store = small_store("/nowhere/at/all".as_ref(), BUDGET_BYTES, 100_000);
    let mut body = body_of(&store, &pattern(1000));
    body.push(&pattern(MAX_PLENTIFUL_BYTES));
    body.push(b"more");
    let truncation = body.truncation().unwrap();
    assert_eq!(truncation.cause.kind(), io::ErrorKind::NotFound);
    assert_eq!(body.len() + truncation.lost_bytes, (1000 + MAX_PLENTIFUL_BYTES + 4) as u64);
    // The share, and one buffer.
    assert!((1000..=100_000 + CHUNK_BYTES as u64).contains(&body.len()));
    assert!([pattern(1000), pattern(MAX_PLENTIFUL_BYTES)].concat().starts_with(&content(&body)));
}

#[test]
fn keeps_the_beginning_while_the_disk_is_full_and_later_bodies_whole() {
    let folder = Folder::new("full");
    let store = small_store(&folder.0, 0, 4 * CHUNK_BYTES);
    store.spill().faults.fill(true);
    let all = pattern(20 * CHUNK_BYTES);
    let body = body_of(&store, &all);
    let truncation = body.truncation().unwrap();
    assert_eq!((truncation.cause.kind(), truncation.lost_bytes), (io::ErrorKind::StorageFull, 16 * CHUNK_BYTES as u64));
    assert!(content(&body) == all[..4 * CHUNK_BYTES] && body.crc() == crc_of(&all[..4 * CHUNK_BYTES]));
    let other = body_of(&store, &pattern(MAX_UNBUDGETED_BYTES + 1));
    assert!(other.truncation().is_some() && other.is_empty());
    store.spill().faults.fill(false);
    wait_until(|| is_written(&body));
    let later = body_of(&store, &all);
    assert!(later.truncation().is_none() && content(&later) == all);
    assert!(content(&body) == all[..4 * CHUNK_BYTES]);
}

#[test]
fn a_disk_that_was_full_does_not_truncate_later_bodies() {
    let folder = Folder::new("freed");
    let store = small_store(&folder.0, 0, 4 * CHUNK_BYTES);
    let faults = &store.spill().faults;
    let written = body_of(&store, &pattern(CHUNK_BYTES));
    wait_until(|| is_written(&written));
    let all = pattern(20 * CHUNK_BYTES);
    faults.fill(true);
    assert!(body_of(&store, &all).truncation().is_some());
    // The pieces of that body need no place any more.
    wait_until(|| store.spill().is_idle());
    faults.fill(false);
    faults.stall(true);
    thread::scope(|scope| {
        scope.spawn(|| {
            wait_until(|| store.spill().waiting_threads() > 0);
            faults.stall(false);
        });
        let body = body_of(&store, &all);
        assert!(body.truncation().is_none() && content(&body) == all);
    });
}

#[test]
fn bytes_in_memory_stay_when_the_disk_is_full() {
    let folder = Folder::new("kept");
    for len in [30_000, 3 * CHUNK_BYTES] {
        let store = small_store(&folder.0, 1 << 20, 1000);
        store.spill().faults.fill(true);
        // One small piece takes the share.
        let first = body_of(&store, &pattern(MAX_PLENTIFUL_BYTES + 1));
        assert!(first.truncation().is_some());
        let mut body = body_of(&store, &pattern(len));
        body.push(&pattern(MAX_PLENTIFUL_BYTES));
        assert_eq!(body.len() + body.truncation().unwrap().lost_bytes, (len + MAX_PLENTIFUL_BYTES) as u64);
        assert!(body.pieces().is_empty() && content(&body).starts_with(&pattern(len)));
        drop((first, body));
        assert_eq!(held(&store), (0, 0));
    }
}

#[test]
fn a_hung_disk_delays_a_body_once_and_keeps_its_beginning() {
    let folder = Folder::new("hung");
    let store = store_on_a_hanging_disk(&folder.0, 4 * CHUNK_BYTES);
    store.spill().faults.stall(true);
    let all = pattern(20 * CHUNK_BYTES);
    let bodies: Vec<_> = (0..3).map(|_| body_of(&store, &all)).collect();
    let truncation = bodies[0].truncation().unwrap();
    assert_eq!(truncation.cause.to_string(), "the disk has not completed a write for 2 s");
    assert!(content(&bodies[0]) == all[..4 * CHUNK_BYTES]);
    assert!(bodies[1..].iter().all(|body| body.is_empty() && body.truncation().is_some()));
    let message = body_of(&store, b"small bodies still fit");
    assert_eq!(message.in_one_buffer(), Some(&b"small bodies still fit"[..]));
    store.spill().faults.stall(false);
    wait_until(|| is_written(&bodies[0]));
    assert!(content(&body_of(&store, &all)) == all);
}

#[test]
fn small_pieces_do_not_overtake_a_large_one() {
    let folder = Folder::new("turns");
    let store = small_store(&folder.0, 0, 2 * CHUNK_BYTES);
    let (spill, order) = (store.spill(), Mutex::new(Vec::new()));
    spill.faults.stall(true);
    let body = body_of(&store, &pattern(2 * CHUNK_BYTES));
    spill.faults.wait_for_writes(1);
    let take = |bytes: usize| {
        spill.acquire(bytes).unwrap();
        order.lock().unwrap().push(bytes);
        spill.share().release(bytes);
    };
    thread::scope(|scope| {
        scope.spawn(|| take(2 * CHUNK_BYTES));
        wait_until(|| spill.waiting_threads() == 1);
        spill.faults.pass_one();
        wait_until(|| spill.is_in_file(body.pieces()[0].index));
        // There is space for a small piece, and not for the large one.
        assert_eq!(spill.share().held(), CHUNK_BYTES);
        scope.spawn(|| take(1000));
        wait_until(|| spill.waiting_threads() == 2);
        spill.faults.stall(false);
    });
    assert_eq!(*order.lock().unwrap(), [2 * CHUNK_BYTES, 1000]);
}

#[test]
fn a_slow_disk_loses_nothing() {
    let folder = Folder::new("slow");
    let store = small_store(&folder.0, 0, 2 * CHUNK_BYTES);
    let all = pattern(30 * CHUNK_BYTES);
    store.spill().faults.stall(true);
    thread::scope(|scope| {
        scope.spawn(|| {
            for write in 1..=10 {
                store.spill().faults.wait_for_writes(write);
                store.spill().faults.pass_one();
            }
            store.spill().faults.stall(false);
        });
        for _ in 0..3 {
            scope.spawn(|| {
                let body = body_of(&store, &all);
                assert!(body.truncation().is_none() && content(&body) == all);
            });
        }
    });
}

#[test]
fn the_thread_ends_with_the_store() {
    let folder = Folder::new("ends");
    for is_stalled in [false, true] {
        let store = small_store(&folder.0, 0, 1 << 20);
        store.start();
        let spill = Arc::clone(store.spill());
        spill.faults.stall(is_stalled);
        let body = body_of(&store, &pattern(CHUNK_BYTES));
        spill.faults.wait_for_writes(1);
        drop((body, store));
        spill.faults.stall(false);
        wait_until(|| Arc::strong_count(&spill) == 1);
    }
}

#[test]
fn two_stores_share_no_budget() {
    let [one, other] = [0, 1].map(|_| small_store("/nowhere".as_ref(), 10_000, 10_000));
    let _body = body_of(&one, &pattern(8192));
    assert!(body_of(&other, &pattern(8192)).in_one_buffer().is_some());
    assert!(Arc::ptr_eq(one.disk(), one.disk()) && !Arc::ptr_eq(one.disk(), other.disk()));
}

#[test]
fn is_send() {
    fn send<T: Send>() {}
    send::<Body>();
}
