//! Work on many items on several threads, with results in the order of the items.
//!
//! ```text
//! items ─▶ batch 1 ─▶ worker ─▶ parts ─┐
//!          batch 2 ─▶ worker ─▶ parts ─┼─▶ consume, on the calling thread: batch 1, batch 2, batch 3, …
//!          batch 3 ─▶ worker ─▶ parts ─┘
//! ```
//!
//! A worker takes a batch of consecutive items and sends its results in parts. Few batches are open at a time, and each holds
//! few parts, so that memory is bounded: a worker waits until the batches before its own are consumed. The batch that is
//! consumed never waits for another one.
//!
//! The first error in the order of the items ends the work. A panic of a worker becomes one of the caller.

use crate::channel::{Receiver, Sender, sync_channel};
use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Scope, ScopedJoinHandle};

/// The result of an item. Its size in memory bounds the number of results that wait.
pub(super) trait Outcome: Send {
    /// Returns the approximate size in bytes.
    fn size(&self) -> usize;
}

impl<O: Outcome> Outcome for Option<O> {
    fn size(&self) -> usize {
        self.as_ref().map_or(0, O::size)
    }
}

/// Calls a function made by `worker` with each of `items`, on several threads if there are several processors, and passes the
/// results to `consume` in the order of the items.
///
/// # Errors
/// Returns the first error of an item or of `consume`, in the order of the items. Later items may have been processed.
pub(super) fn map<I, O, E, W>(
    items: impl Iterator<Item = I> + Send,
    worker: impl Fn() -> W + Sync,
    consume: impl FnMut(O) -> Result<(), E>,
) -> Result<(), E>
where
    I: Send,
    O: Outcome,
    E: Send,
    W: FnMut(I) -> Result<O, E>,
{
    map_with(default_threads(), items, worker, consume)
}

/// Returns the number of threads that [`map`] uses.
pub(super) fn default_threads() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get).min(MAX_THREADS)
}

/// As [`map`], on this number of threads.
pub(super) fn map_with<I, O, E, W>(
    threads: usize,
    items: impl Iterator<Item = I> + Send,
    worker: impl Fn() -> W + Sync,
    mut consume: impl FnMut(O) -> Result<(), E>,
) -> Result<(), E>
where
    I: Send,
    O: Outcome,
    E: Send,
    W: FnMut(I) -> Result<O, E>,
{
    if threads == 1 {
        return items.map(worker()).try_for_each(|result| consume(result?));
    }
    map_on(threads, items, &worker, &mut consume)
}

/// As [`map`], on this number of threads besides the calling one.
fn map_on<I, O, E, W>(
    threads: usize,
    items: impl Iterator<Item = I> + Send,
    worker: &(impl Fn() -> W + Sync),
    consume: &mut dyn FnMut(O) -> Result<(), E>,
) -> Result<(), E>
where
    I: Send,
    O: Outcome,
    E: Send,
    W: FnMut(I) -> Result<O, E>,
{
    let (batches, open_batches) = sync_channel(threads.saturating_mul(OPEN_BATCHES_PER_THREAD));
    // The workers own it: when the last one ends, the batches do.
    let queue = Arc::new(Mutex::new(BatchQueue { items, batches }));
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map_while(|_| spawn(scope, Arc::clone(&queue), worker)).collect();
        if workers.is_empty() {
            // There is no thread to be had: this one does the work.
            let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
            return queue.items.by_ref().map(worker()).try_for_each(|result| consume(result?));
        }
        drop(queue);
        let consumed = consume_all(open_batches, consume);
        for worker in workers {
            worker.join().unwrap_or_else(|panic| resume_unwind(panic));
        }
        consumed
    })
}

/// The items that no worker has taken, and the batches in their order.
struct BatchQueue<T, O, E> {
    items: T,
    batches: Sender<Receiver<Part<O, E>>>,
}

/// Consecutive items, and the sender of their results.
struct Batch<I, O, E> {
    items: Vec<I>,
    results: Sender<Part<O, E>>,
}

/// Consecutive results of a batch.
type Part<O, E> = Result<Vec<O>, E>;

impl<T: Iterator, O, E> BatchQueue<T, O, E> {
    /// Returns the next batch; `None` at the end, or once nothing is consumed any more.
    fn next(&mut self) -> Option<Batch<T::Item, O, E>> {
        let items: Vec<_> = self.items.by_ref().take(BATCH_ITEMS).collect();
        let (results, receiver) = sync_channel(WAITING_PARTS);
        (!items.is_empty() && self.batches.send(receiver).is_ok()).then_some(Batch { items, results })
    }
}

fn spawn<'s, 'e, T, I, O, E, W>(
    scope: &'s Scope<'s, 'e>,
    queue: Arc<Mutex<BatchQueue<T, O, E>>>,
    worker: &'e (impl Fn() -> W + Sync),
) -> Option<ScopedJoinHandle<'s, ()>>
where
    T: Iterator<Item = I> + Send + 's,
    I: Send + 's,
    O: Outcome + 's,
    E: Send + 's,
    W: FnMut(I) -> Result<O, E>,
{
    let thread = move || {
        let mut work = worker();
        loop {
            // A panic of the items' iterator ends the work; the caller gets it.
            let next = queue.lock().map_or(None, |mut queue| queue.next());
            if next.and_then(|batch| run(batch, &mut work)).is_none() {
                return;
            }
        }
    };
    thread::Builder::new().spawn_scoped(scope, thread).ok()
}

/// Works on a batch. Returns `None` after an error, and once nothing is consumed any more.
fn run<I, O: Outcome, E>(batch: Batch<I, O, E>, work: &mut impl FnMut(I) -> Result<O, E>) -> Option<()> {
    let Batch { items, results } = batch;
    let (mut part, mut bytes) = (Vec::new(), 0usize);
    for item in items {
        match work(item) {
            Ok(outcome) => {
                bytes = bytes.saturating_add(outcome.size());
                part.push(outcome);
            }
            Err(e) => {
                results.send(Ok(part)).ok()?;
                results.send(Err(e)).ok()?;
                return None;
            }
        }
        if bytes >= PART_BYTES {
            results.send(Ok(std::mem::take(&mut part))).ok()?;
            bytes = 0;
        }
    }
    results.send(Ok(part)).ok()
}

/// Passes the results of all batches to `consume`.
fn consume_all<O, E>(
    batches: Receiver<Receiver<Part<O, E>>>,
    consume: &mut dyn FnMut(O) -> Result<(), E>,
) -> Result<(), E> {
    batches.flatten().try_for_each(|part| part?.into_iter().try_for_each(&mut *consume))
}

/// More threads need more memory, and the caller cannot consume that fast.
const MAX_THREADS: usize = 8;

/// The number of items in a batch: a thread that waits for a result is woken for several.
const BATCH_ITEMS: usize = 64;

/// The number of batches that wait to be consumed, for each thread.
const OPEN_BATCHES_PER_THREAD: usize = 2;

/// The number of parts of a batch that wait to be consumed.
const WAITING_PARTS: usize = 2;

/// A part with results of this size is sent.
const PART_BYTES: usize = 128 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct Number(usize);

    impl Outcome for Number {
        fn size(&self) -> usize {
            self.0 % 1000 * 100
        }
    }

    /// Maps `count` numbers to themselves; `fails` fail. Returns those that were consumed, and the error.
    fn mapped(threads: usize, count: usize, fails: &[usize]) -> (Vec<usize>, Option<usize>) {
        let mut consumed = Vec::new();
        let worker = || |n: usize| if fails.contains(&n) { Err(n) } else { Ok(Number(n)) };
        let result = map_on(threads, 0..count, &worker, &mut |Number(n)| {
            consumed.push(n);
            Ok(())
        });
        (consumed, result.err())
    }

    #[test]
    fn results_have_the_order_of_the_items() {
        for threads in 1..=4 {
            for count in [0, 1, BATCH_ITEMS, 5000] {
                assert_eq!(mapped(threads, count, &[]), ((0..count).collect(), None), "{threads} threads");
            }
        }
        let mut consumed = 0;
        let result = map(
            0..1000,
            || |n| Ok::<_, ()>(Number(n)),
            |Number(n)| {
                assert_eq!(n, consumed);
                consumed += 1;
                Ok(())
            },
        );
        assert_eq!((result, consumed), (Ok(()), 1000));
    }

    #[test]
    fn the_first_error_in_order_ends_the_work() {
        for threads in 1..=4 {
            assert_eq!(mapped(threads, 5000, &[3000, 700, 701]), ((0..700).collect(), Some(700)));
        }
        let worked = AtomicUsize::new(0);
        let worker = || {
            |n: usize| {
                worked.fetch_add(1, Ordering::Relaxed);
                Ok(Number(n))
            }
        };
        let result = map_on(2, 0..1_000_000, &worker, &mut |Number(n)| if n == 10 { Err("full") } else { Ok(()) });
        assert_eq!(result, Err("full"));
        assert!(worked.into_inner() < 10_000, "the workers end too");
    }

    #[test]
    fn few_results_wait_at_a_time() {
        let (waiting, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        struct Large<'c>(&'c AtomicUsize);
        impl Outcome for Large<'_> {
            fn size(&self) -> usize {
                PART_BYTES
            }
        }
        impl Drop for Large<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let worker = || {
            |_: usize| {
                let now = waiting.fetch_add(1, Ordering::Relaxed) + 1;
                most.fetch_max(now, Ordering::Relaxed);
                Ok::<_, ()>(Large(&waiting))
            }
        };
        map_on(2, 0..2000, &worker, &mut |large| {
            drop(large);
            Ok(())
        })
        .unwrap();
        // The batch in the channel of each open one, that of each worker, and the one that is consumed.
        let open = 2 * OPEN_BATCHES_PER_THREAD + 2 + 1;
        let (waiting, most) = (waiting.into_inner(), most.into_inner());
        assert!(waiting == 0 && most <= open * (WAITING_PARTS + 2), "{most}");
    }

    #[test]
    fn a_panic_of_a_worker_reaches_the_caller() {
        let worker = || {
            |n: usize| {
                assert!(n != 900, "number 900");
                Ok::<_, ()>(Number(n))
            }
        };
        let panic = std::panic::catch_unwind(|| map_on(2, 0..5000, &worker, &mut |_| Ok(()))).unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"number 900"));
    }
}
