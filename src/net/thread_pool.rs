//! The threads of a running capture that serve connections and resolve names. A thread waits a moment for its next job:
//! starting and ending a thread costs as much as some twenty system calls, and its memory has to be touched again.
//!
//! ```text
//! acquire ─▶ an idle worker, or a new one ─▶ run(job) ─▶ busy ─▶ idle ─▶ acquired again
//!                                                                 └─ a second without a job: ends
//! ```
//!
//! Each [`Worker`] owns one thread, which ends when the worker is dropped. Idle workers are dropped when the pool is
//! closed or dropped.

use super::arenas::Arenas;
use crate::channel::{Receiver, RecvTimeoutError, Sender, sync_channel};
#[cfg(test)]
use crate::memory::Share;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, ThreadId};
use std::time::Duration;

/// A pool of threads. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct ThreadPool {
    idle: Arc<IdleWorkers>,
    arenas: Arc<Arenas>,
}

/// The workers without a job.
#[derive(Debug)]
struct IdleWorkers {
    /// The last one to become idle is the first to be acquired: its memory is in the processor's cache, and the others
    /// reach their timeout. `None` once the pool is closed.
    workers: Mutex<Option<Vec<Worker>>>,
}

impl ThreadPool {
    /// An empty pool whose threads are counted in `arenas`.
    pub(crate) fn new(arenas: Arenas) -> Self {
        Self { idle: Arc::default(), arenas: Arc::new(arenas) }
    }

    /// Acquires a thread that waits for a job.
    ///
    /// # Errors
    /// If no thread is idle and a new one cannot be started.
    pub(crate) fn acquire(&self) -> io::Result<Worker> {
        if let Some(worker) = self.idle.workers().as_mut().and_then(Vec::pop) {
            return Ok(worker);
        }
        // Capacity 1: a worker moves with its job, so that no second job can be sent.
        let (sender, jobs) = sync_channel(1);
        let idle = Arc::downgrade(&self.idle);
        let counted = CountedThread::new(Arc::clone(&self.arenas));
        let thread = thread::Builder::new().name("connection".into()).stack_size(STACK_BYTES).spawn(move || {
            let _counted = counted;
            work(&idle, &jobs);
        })?;
        Ok(Worker { thread: thread.thread().id(), jobs: sender })
    }

    /// Ends idle threads now, and busy ones after their jobs.
    pub(crate) fn close(&self) {
        self.idle.workers().take();
    }
}

impl Default for IdleWorkers {
    fn default() -> Self {
        Self { workers: Mutex::new(Some(Vec::new())) }
    }
}

impl IdleWorkers {
    /// Keeps `worker` for the next job, unless enough are idle.
    fn keep(&self, worker: Worker) {
        if let Some(workers) = self.workers().as_mut().filter(|workers| workers.len() < MAX_IDLE_THREADS) {
            workers.push(worker);
        }
    }

    /// Removes the worker of `thread`, if it is idle.
    fn remove(&self, thread: ThreadId) {
        if let Some(workers) = &mut *self.workers() {
            workers.retain(|worker| worker.thread != thread);
        }
    }

    fn workers(&self) -> MutexGuard<'_, Option<Vec<Worker>>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body of a thread. It holds no strong reference to the pool, so that idle threads end with it.
fn work(idle: &Weak<IdleWorkers>, jobs: &Receiver<Job>) {
    loop {
        match jobs.recv_timeout(IDLE_TIMEOUT) {
            Ok(Job { run, worker }) => {
                // The job handles its own panics.
                let _ = catch_unwind(AssertUnwindSafe(run));
                match idle.upgrade() {
                    Some(idle) => idle.keep(worker),
                    None => return,
                }
            }
            // If the worker was acquired in this moment, a job follows; otherwise this drops the last sender.
            Err(RecvTimeoutError::Timeout) => {
                if let Some(idle) = idle.upgrade() {
                    idle.remove(thread::current().id());
                }
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Counts a thread until it ends.
struct CountedThread(Arc<Arenas>);

impl CountedThread {
    fn new(arenas: Arc<Arenas>) -> Self {
        arenas.thread_started();
        Self(arenas)
    }
}

impl Drop for CountedThread {
    fn drop(&mut self) {
        self.0.thread_ended();
    }
}

/// A thread that waits for a job.
#[derive(Debug)]
pub(crate) struct Worker {
    thread: ThreadId,
    /// The only sender of jobs to this thread: without it, the thread ends.
    jobs: Sender<Job>,
}

impl Worker {
    /// Runs `job` on this worker's thread. Returns at once.
    pub(crate) fn run(self, job: impl FnOnce() + Send + 'static) {
        let jobs = self.jobs.clone();
        // Cannot fail: the thread receives as long as its worker exists.
        let _ = jobs.send(Job { run: Box::new(job), worker: self });
    }
}

struct Job {
    run: Box<dyn FnOnce() + Send>,
    /// The worker that runs it; becomes idle afterwards.
    worker: Worker,
}

/// Several times the stack of a connection's deepest calls, the TLS handshakes; getaddrinfo(3) needs some 64 KiB for
/// its answers.
const STACK_BYTES: usize = 512 << 10;
/// Connections of one web page follow each other faster.
const IDLE_TIMEOUT: Duration = Duration::from_secs(1);
/// The number of connections of a browser to one host, and their resolvers. Each idle thread keeps some 30 KB of stack.
const MAX_IDLE_THREADS: usize = 12;

/// A pool of its own, whose threads reduce nothing.
#[cfg(test)]
impl Default for ThreadPool {
    fn default() -> Self {
        Self::new(Arenas::new(&Arc::new(Share::new(0)), 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::channel;
    use crate::clock::Moment;

    const LONG: Duration = Duration::from_secs(20);

    fn idle(pool: &ThreadPool) -> usize {
        pool.idle.workers().as_ref().map_or(0, Vec::len)
    }

    /// Waits until `number` workers are idle.
    #[track_caller]
    fn wait_for_idle(pool: &ThreadPool, number: usize) {
        let deadline = Moment::now().plus(LONG);
        while idle(pool) != number {
            assert!(!deadline.since(Moment::now()).is_zero(), "{number} should be idle in {pool:?}");
            thread::yield_now();
        }
    }

    #[test]
    fn the_next_job_runs_on_the_same_thread() {
        let pool = ThreadPool::default();
        let (sender, ids) = channel();
        for _ in 0..3 {
            let sender = sender.clone();
            pool.acquire().unwrap().run(move || sender.send(thread::current().id()).unwrap());
            wait_for_idle(&pool, 1);
        }
        let ids: Vec<_> = std::iter::from_fn(|| ids.try_recv()).collect();
        assert_eq!(ids, [ids[0]; 3]);
    }

    #[test]
    fn a_busy_thread_gets_no_second_job() {
        let pool = ThreadPool::default();
        let (finish, finished) = channel::<()>();
        pool.acquire().unwrap().run(move || finished.recv().unwrap());
        let (sender, done) = channel();
        pool.acquire().unwrap().run(move || sender.send(()).unwrap());
        done.recv_timeout(LONG).unwrap();
        finish.send(()).unwrap();
        wait_for_idle(&pool, 2);
    }

    #[test]
    fn a_panic_ends_the_job_and_not_the_thread() {
        let pool = ThreadPool::default();
        pool.acquire().unwrap().run(|| panic!("a test's panic"));
        wait_for_idle(&pool, 1);
    }

    #[test]
    fn few_threads_stay_idle_and_not_for_long() {
        let pool = ThreadPool::default();
        let ended = run_on_threads(&pool, 2 * MAX_IDLE_THREADS);
        for _ in 0..2 * MAX_IDLE_THREADS {
            ended.recv_timeout(LONG).unwrap();
            assert!(idle(&pool) <= MAX_IDLE_THREADS);
        }
        assert_eq!(idle(&pool), 0);
    }

    #[test]
    fn threads_end_with_their_pool() {
        for close in [true, false] {
            let pool = ThreadPool::default();
            let ended = run_on_threads(&pool, MAX_IDLE_THREADS);
            wait_for_idle(&pool, MAX_IDLE_THREADS);
            let began = Moment::now();
            let other = close.then(|| pool.clone());
            match &other {
                Some(_) => pool.close(),
                None => drop(pool),
            }
            for _ in 0..MAX_IDLE_THREADS {
                ended.recv_timeout(LONG).unwrap();
            }
            assert!(Moment::now().since(began) < IDLE_TIMEOUT, "they do not wait for their timeout");
        }
    }

    #[test]
    fn a_closed_pool_still_runs_jobs() {
        let pool = ThreadPool::default();
        pool.close();
        let ended = run_on_threads(&pool, 1);
        ended.recv_timeout(LONG).unwrap();
        assert_eq!(idle(&pool), 0);
    }

    #[test]
    fn a_full_pool_does_not_affect_another() {
        let (full, other) = (ThreadPool::default(), ThreadPool::default());
        let _ended = run_on_threads(&full, 2 * MAX_IDLE_THREADS);
        wait_for_idle(&full, MAX_IDLE_THREADS);
        let (sender, ids) = channel();
        for _ in 0..2 {
            let sender = sender.clone();
            other.acquire().unwrap().run(move || sender.send(thread::current().id()).unwrap());
            wait_for_idle(&other, 1);
        }
        let ids: Vec<_> = std::iter::from_fn(|| ids.try_recv()).collect();
        assert_eq!(ids, [ids[0]; 2], "its thread becomes idle and is used again");
        assert_eq!(idle(&full), MAX_IDLE_THREADS, "it uses no thread of the full pool");
    }

    #[test]
    fn threads_at_the_same_time_are_counted_as_arenas() {
        let bodies = Arc::new(Share::new(64 << 20));
        let pool = ThreadPool::new(Arenas::new(&bodies, 256));
        for (threads, is_reduced) in [(8, false), (8, false), (40, true)] {
            let ended = run_on_threads(&pool, threads);
            pool.close();
            (0..threads).for_each(|_| ended.recv_timeout(LONG).unwrap());
            assert_eq!(bodies.limit() < 64 << 20, is_reduced, "{threads}");
        }
    }

    /// Runs a job on each of `number` threads at once; receives a message as each thread ends.
    fn run_on_threads(pool: &ThreadPool, number: usize) -> Receiver<()> {
        let (sender, ended) = channel();
        let workers: Vec<_> = (0..number).map(|_| pool.acquire().unwrap()).collect();
        for worker in workers {
            // A thread drops its thread-local values when it ends.
            let guard = Ended(sender.clone());
            worker.run(move || ENDED.set(Some(guard)));
        }
        ended
    }

    struct Ended(Sender<()>);

    impl Drop for Ended {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }

    thread_local! {
        static ENDED: std::cell::Cell<Option<Ended>> = const { std::cell::Cell::new(None) };
    }
}
