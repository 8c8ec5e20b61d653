//! Order, batches, limits, a disk that hangs, and ends of the queue.

use super::*;
use crate::bundle::disk_watch::timed;
use crate::clock::Moment;
use std::sync::mpsc::channel;
use std::thread;

/// A limit that no passing test comes near.
const TEST_TIMEOUT: Duration = Duration::from_secs(20);

const ITEM_BYTES: usize = MIN_RECEIVED_BYTES / MAX_RECEIVED_ITEMS;

impl Queued for i32 {
    fn memory_bytes(&self) -> usize {
        ITEM_BYTES
    }

    /// Negative ones are.
    fn is_essential(&self) -> bool {
        *self < 0
    }
}

/// A queue for `count` items.
fn queue_for(count: usize) -> (Sender<i32>, Receiver<i32>, Arc<Share>) {
    let share = Arc::new(Share::new(count * ITEM_BYTES));
    let (sender, receiver) = bounded_queue(Arc::clone(&share), DiskWatch::new());
    (sender, receiver, share)
}

fn receive_all<T>(receiver: &Receiver<T>) -> Vec<T> {
    let (mut all, mut batch) = (Vec::new(), VecDeque::new());
    while receiver.receive(&mut batch, None) {
        all.extend(batch.drain(..));
    }
    all
}

#[test]
fn receives_in_order_and_in_batches() {
    let (sender, receiver) = queue();
    for n in 0..10 {
        sender.send(n).unwrap();
    }
    let mut batch = VecDeque::new();
    assert!(receiver.receive(&mut batch, None));
    assert_eq!(batch, (0..10).collect::<Vec<_>>());
    batch.clear();
    let second_sender = sender.clone();
    drop(sender);
    second_sender.send(10).unwrap();
    drop(second_sender);
    assert_eq!(receive_all(&receiver), [10]);
    assert!(!receiver.receive(&mut batch, None), "all senders were dropped");
}

#[test]
fn a_batch_is_bounded_and_counts_as_queued_until_the_next() {
    let (sender, receiver, share) = queue_for(1000);
    (0..200).for_each(|n| sender.send(n).unwrap());
    assert_eq!(share.held(), 200 * ITEM_BYTES);
    let mut batch = VecDeque::new();
    let started = Moment::now();
    for (received, held) in [(64, 200), (64, 136), (64, 72), (8, 8)] {
        assert!(receiver.receive(&mut batch, None) && receiver.is_overloaded());
        assert_eq!((batch.len(), share.held()), (received, held * ITEM_BYTES));
        batch.clear();
    }
    assert!(Moment::now().since(started) < TEST_TIMEOUT);
    sender.send(1).unwrap();
    assert!(receiver.receive(&mut batch, None) && !receiver.is_overloaded());
    drop(receiver);
    assert_eq!(share.held(), 0);
}

#[test]
fn more_small_items_are_received_at_once() {
    struct Small;
    impl Queued for Small {
        fn memory_bytes(&self) -> usize {
            ITEM_BYTES / 4
        }

        fn is_essential(&self) -> bool {
            false
        }
    }
    let (sender, receiver) = queue();
    (0..300).for_each(|_| sender.send(Small).unwrap());
    drop(sender);
    let mut batch = VecDeque::new();
    for len in [4 * MAX_RECEIVED_ITEMS, 300 - 4 * MAX_RECEIVED_ITEMS] {
        assert!(receiver.receive(&mut batch, None));
        assert_eq!(batch.len(), len);
        batch.clear();
    }
    assert!(!receiver.receive(&mut batch, None));
}

#[test]
fn senders_wait_while_the_queue_is_full_and_lose_nothing() {
    const COUNT: i32 = 2000;
    for room in [0, 1, 50, 300] {
        let (sender, receiver, share) = queue_for(room);
        let send_all = |sender: Sender<i32>| (0..COUNT).for_each(|n| sender.send(n).unwrap());
        let sending: Vec<_> = (0..4)
            .map(|_| {
                thread::spawn({
                    let sender = sender.clone();
                    move || send_all(sender)
                })
            })
            .collect();
        drop(sender);
        let (mut batch, mut sum) = (VecDeque::new(), 0);
        while receiver.receive(&mut batch, None) {
            assert!(share.held() <= (room.max(MAX_RECEIVED_ITEMS) + 2) * ITEM_BYTES, "{}", share.held());
            sum += batch.drain(..).sum::<i32>();
        }
        assert_eq!(sum, 4 * (COUNT * (COUNT - 1) / 2));
        sending.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(share.held(), 0);
    }
}

#[test]
fn items_are_refused_only_while_the_disk_hangs() {
    let disk = DiskWatch::with_limit(Duration::from_millis(20));
    let (sender, receiver) = bounded_queue(Arc::new(Share::new(16 * ITEM_BYTES)), Arc::clone(&disk));
    let (resume, resumed) = channel::<()>();
    let hanging = thread::spawn(move || {
        let _entered = disk.enter();
        timed(|| resumed.recv().unwrap());
    });
    (0..16).for_each(|n| sender.send(n).unwrap());
    assert_eq!(sender.send(16), Err(SendError::DiskHung));
    assert_eq!(sender.send(17), Err(SendError::DiskHung));
    // An eighth more is for essential items.
    assert_eq!([-1, -2, -3].map(|n| sender.send(n).is_ok()), [true, true, false]);
    sender.send_urgent(18).unwrap();
    resume.send(()).unwrap();
    hanging.join().unwrap();
    let sending = thread::spawn(move || sender.send(19).unwrap());
    assert_eq!(receive_all(&receiver), (0..16).chain([-1, -2, 18, 19]).collect::<Vec<_>>());
    sending.join().unwrap();
}

#[test]
fn a_waiting_sender_fails_when_the_receiver_is_dropped() {
    let (sender, receiver, _) = queue_for(8);
    (0..8).for_each(|n| sender.send(n).unwrap());
    let sending = thread::spawn(move || sender.send(7));
    drop(receiver);
    assert_eq!(sending.join().unwrap(), Err(SendError::Closed));
}

#[test]
fn an_urgent_item_is_received_without_delay() {
    let (sender, receiver) = queue();
    let started = Moment::now();
    // With a delay for each item, this would take twice the limit.
    for n in 0..2000 {
        sender.send_urgent(n).unwrap();
        let mut batch = VecDeque::new();
        assert!(receiver.receive(&mut batch, None));
    }
    assert!(Moment::now().since(started) < BATCH_DELAY * 1000);
}

#[test]
fn receive_returns_an_empty_batch_after_the_timeout() {
    let (sender, receiver) = queue::<i32>();
    let mut batch = VecDeque::new();
    assert!(receiver.receive(&mut batch, Some(Duration::from_millis(1))) && batch.is_empty());
    let sending = thread::spawn(move || sender.send(1).unwrap());
    assert!(receiver.receive(&mut batch, Some(TEST_TIMEOUT)));
    assert_eq!(batch, [1]);
    sending.join().unwrap();
}

#[test]
fn a_long_queue_frees_its_memory() {
    let (sender, receiver) = queue();
    (0..5000).for_each(|n| sender.send(n).unwrap());
    drop(sender);
    assert_eq!(receive_all(&receiver).len(), 5000);
    assert!(receiver.0.state().items.capacity() <= MAX_IDLE_CAPACITY);
}
