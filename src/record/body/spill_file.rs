//! The spill file of a capture: pieces of bodies that do not fit into memory, written by one thread.
//!
//! ```text
//! acquire, enqueue ─▶ queue, bounded by a share ─▶ spill thread ─▶ a slot of the file
//!   │                                                 └─ a piece whose body was dropped is not written
//!   └─ waits its turn while the share is full; fails instead while the disk is full or hangs
//! read_at ─▶ memory or file
//! ```
//!
//! The threads of connections do not touch the file. The share drains while the disk completes writes, so that waiting for it
//! is back-pressure and ends. A piece is never lost once it is queued: it stays in memory until it is in the file.

use super::chunk_pool::{CHUNK_BYTES, ChunkPool};
use super::pieces::{Freed, PieceTable, Stored};
use crate::bundle::disk_watch::{DiskWatch, MAX_OPERATION_TIME, timed};
use crate::bundle::spill::SpillPlace;
use crate::memory::Share;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

/// The spill file of one capture, and the queue of its thread.
pub(super) struct SpillFile {
    place: SpillPlace,
    /// Unlinked; opened when the thread starts, or as soon as a descriptor is available.
    file: OnceLock<File>,
    /// The bytes of all pieces that are in memory.
    share: Arc<Share>,
    /// Takes the buffers of pieces that are written.
    chunks: Arc<ChunkPool>,
    watch: Arc<DiskWatch>,
    state: Mutex<State>,
    /// Wakes the spill thread.
    changed: Condvar,
    /// True while threads wait for the share.
    has_waiters: AtomicBool,
    #[cfg(test)]
    pub(super) faults: faults::Faults,
}

struct State {
    pieces: PieceTable,
    /// The indexes of the pieces to write. A body that is dropped frees the memory of its pieces at once, also of those in the
    /// queue.
    queue: VecDeque<usize>,
    /// The length of the queue at which dropped pieces are removed from it.
    purge_len: usize,
    /// The error of the last write, until one succeeds.
    failure: Option<io::Error>,
    /// The threads that wait for the share, in the order of their calls: small pieces, for which there is always some space,
    /// would keep a large one waiting.
    waiters: VecDeque<Arc<Condvar>>,
    is_thread_waiting: bool,
    thread: Thread,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Thread {
    NotStarted,
    Started,
    /// The capture ended.
    Closed,
}

impl SpillFile {
    pub(super) fn new(
        place: SpillPlace,
        share: Arc<Share>,
        chunks: Arc<ChunkPool>,
        watch: Arc<DiskWatch>,
    ) -> Arc<Self> {
        let state = State {
            pieces: PieceTable::default(),
            queue: VecDeque::new(),
            purge_len: MIN_PURGE_LEN,
            failure: None,
            waiters: VecDeque::new(),
            is_thread_waiting: false,
            thread: Thread::NotStarted,
        };
        Arc::new(Self {
            place,
            file: OnceLock::new(),
            share,
            chunks,
            watch,
            state: Mutex::new(state),
            changed: Condvar::new(),
            has_waiters: AtomicBool::new(false),
            #[cfg(test)]
            faults: faults::Faults::default(),
        })
    }

    /// Opens the file and starts the thread, while descriptors and threads are available. If that fails, the first piece tries
    /// again.
    pub(super) fn start(self: &Arc<Self>) {
        if !self.has_file() {
            return;
        }
        let _ = self.file();
        self.start_thread(&mut self.lock());
    }

    /// False if bodies are kept in memory alone.
    pub(super) fn has_file(&self) -> bool {
        matches!(self.place, SpillPlace::Folder(_))
    }

    /// Ends the thread.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.thread = Thread::Closed;
        state.wake_all();
        drop(state);
        self.changed.notify_one();
    }

    /// Takes `bytes` of the share for a piece. Waits while it is full; fails instead while the disk is full or hangs, and always
    /// without a file.
    pub(super) fn acquire(self: &Arc<Self>, bytes: usize) -> io::Result<()> {
        if !self.has_file() {
            return Err(io::Error::new(io::ErrorKind::OutOfMemory, "the memory limit is reached"));
        }
        if !self.has_waiters.load(Relaxed) && self.share.try_acquire(bytes) {
            return Ok(());
        }
        let mut state = self.lock();
        let mut own = None;
        let result = loop {
            if state.is_first(own.as_ref()) {
                if self.share.try_acquire(bytes) {
                    break Ok(());
                }
                // A piece may be larger than the whole share.
                if self.share.held() == 0 {
                    self.share.acquire(bytes);
                    break Ok(());
                }
            }
            self.start_thread(&mut state);
            if let Some(failure) = &state.failure {
                break Err(copy_of(failure));
            }
            if state.thread == Thread::Closed {
                break Err(io::ErrorKind::BrokenPipe.into());
            }
            if self.watch.is_hung() {
                break Err(hung_error());
            }
            let own = own.get_or_insert_with(|| {
                let own = Arc::new(Condvar::new());
                state.waiters.push_back(Arc::clone(&own));
                self.has_waiters.store(true, Relaxed);
                own
            });
            self.changed.notify_one();
            state = own.wait_timeout(state, CHECK_INTERVAL).unwrap_or_else(PoisonError::into_inner).0;
        };
        if let Some(own) = &own {
            state.waiters.retain(|waiter| !Arc::ptr_eq(waiter, own));
            self.has_waiters.store(!state.waiters.is_empty(), Relaxed);
        }
        // The next one may find enough space too.
        state.wake_first();
        result
    }

    /// Queues a piece of at most [`CHUNK_BYTES`], which takes the `charge` bytes of the share that the caller has acquired. Returns
    /// its index, for its one owner.
    pub(super) fn enqueue(self: &Arc<Self>, bytes: Vec<u8>, charge: usize) -> usize {
        let mut state = self.lock();
        if state.queue.len() >= state.purge_len {
            let State { pieces, queue, .. } = &mut *state;
            queue.retain(|index| pieces.unless_dropped(*index).is_some());
            state.purge_len = state.queue.len().saturating_mul(2).max(MIN_PURGE_LEN);
        }
        let index = state.pieces.insert(bytes, charge);
        state.queue.push_back(index);
        self.start_thread(&mut state);
        if state.is_thread_waiting || state.queue.len() == FULL_BATCH_PIECES {
            state.is_thread_waiting = false;
            drop(state);
            self.changed.notify_one();
        }
        index
    }

    /// Adds an owner to each of these pieces.
    pub(super) fn share_pieces(&self, indexes: impl Iterator<Item = usize>) {
        let mut state = self.lock();
        indexes.for_each(|index| state.pieces.share(index));
    }

    /// Removes an owner from each of these pieces.
    pub(super) fn release_pieces(&self, indexes: impl Iterator<Item = usize>) {
        let mut state = self.lock();
        for index in indexes {
            let freed = state.pieces.release(index);
            self.release_memory(freed);
        }
        let wants_truncation = state.pieces.are_all_free() && std::mem::take(&mut state.is_thread_waiting);
        state.wake_first();
        drop(state);
        if wants_truncation {
            self.changed.notify_one();
        }
    }

    /// Reads bytes from offset `from` of a piece, and returns their number; 0 at its end.
    pub(super) fn read_at(&self, index: usize, from: usize, into: &mut [u8]) -> io::Result<usize> {
        let stored = self.lock().pieces.stored(index);
        match stored {
            Some(Stored::Memory(bytes)) => io::Read::read(&mut bytes.get(from..).unwrap_or_default(), into),
            Some(Stored::File(len)) if from >= len => Ok(0),
            Some(Stored::File(len)) => {
                let max = len.saturating_sub(from).min(into.len());
                let into = into.get_mut(..max).unwrap_or_default();
                let at = offset_of(index).saturating_add(from as u64);
                let file = self.file.get().ok_or(io::ErrorKind::UnexpectedEof)?;
                match timed(|| file.read_at(into, at))? {
                    0 if !into.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
                    n => Ok(n),
                }
            }
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn release_memory(&self, freed: Freed) {
        self.share.release(freed.charge);
        freed.buffer.into_iter().for_each(|buffer| self.chunks.release(buffer));
    }

    /// Starts the thread, unless it runs.
    fn start_thread(self: &Arc<Self>, state: &mut State) {
        if state.thread == Thread::NotStarted {
            let spill = Arc::clone(self);
            match thread::Builder::new().name("spill".into()).spawn(move || spill.run()) {
                Ok(_) => (state.thread, state.failure) = (Thread::Started, None),
                Err(cause) => state.failure = Some(cause),
            }
        }
    }

    /// The spill thread.
    fn run(&self) {
        let _entered = self.watch.enter();
        while let Some(work) = self.next_work() {
            let result = match work {
                Work::Write(index, bytes) => self.write(index, bytes),
                // A slot that was taken since is written by this thread, later.
                Work::Truncate => self.file().and_then(|file| timed(|| file.set_len(0))),
            };
            let mut state = self.lock();
            state.failure = result.err();
            if state.failure.is_some() {
                state.wake_all();
                // The piece stays in memory. Another attempt follows, for the case that space was freed.
                let is_open = |state: &mut State| state.thread != Thread::Closed;
                drop(self.changed.wait_timeout_while(state, CHECK_INTERVAL, is_open));
            }
        }
    }

    /// Waits for work; returns `None` once the capture ended.
    fn next_work(&self) -> Option<Work> {
        let mut state = self.lock();
        loop {
            if state.thread == Thread::Closed {
                return None;
            }
            while let Some(index) = state.queue.pop_front() {
                if let Some(bytes) = state.pieces.unless_dropped(index) {
                    return Some(Work::Write(index, bytes));
                }
            }
            // No piece is left that could not be written.
            state.failure = None;
            if state.pieces.are_all_free() {
                state.pieces.reset();
                return Some(Work::Truncate);
            }
            state.is_thread_waiting = true;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.is_thread_waiting = false;
            // A few pieces together save wake-ups, and some bodies are dropped meanwhile.
            let is_small = |state: &mut State| {
                state.queue.len() < FULL_BATCH_PIECES && state.waiters.is_empty() && state.thread != Thread::Closed
            };
            let waited = self.changed.wait_timeout_while(state, BATCH_DELAY, is_small);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn write(&self, index: usize, bytes: Arc<Vec<u8>>) -> io::Result<()> {
        let written = self.write_to(index, &bytes);
        let mut state = self.lock();
        if let Err(cause) = written {
            drop(bytes);
            state.queue.push_front(index);
            return Err(cause);
        }
        let freed = state.pieces.set_written(index, bytes);
        self.release_memory(freed);
        state.wake_first();
        Ok(())
    }

    fn write_to(&self, index: usize, bytes: &[u8]) -> io::Result<()> {
        let file = self.file()?;
        timed(|| {
            #[cfg(test)]
            self.faults.write()?;
            file.write_all_at(bytes, offset_of(index))
        })
    }

    fn file(&self) -> io::Result<&File> {
        if let Some(file) = self.file.get() {
            return Ok(file);
        }
        let file = self.place.create_file()?;
        Ok(self.file.get_or_init(|| file))
    }

    #[cfg(test)]
    pub(super) fn is_in_file(&self, index: usize) -> bool {
        matches!(self.lock().pieces.stored(index), Some(Stored::File(_)))
    }

    #[cfg(test)]
    pub(super) fn share(&self) -> &Share {
        &self.share
    }

    /// True if the thread has nothing to do.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.lock().is_thread_waiting
    }

    #[cfg(test)]
    pub(super) fn waiting_threads(&self) -> usize {
        self.lock().waiters.len()
    }

    #[cfg(test)]
    pub(super) fn cut_file(&self, len: u64) {
        self.file.get().unwrap().set_len(len).unwrap();
    }

    #[cfg(test)]
    pub(super) fn file_len(&self) -> u64 {
        self.file.get().unwrap().metadata().unwrap().len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics between two related changes of the state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// True if the thread that waits with `own`, or does not wait yet, is the next to take from the share.
    fn is_first(&self, own: Option<&Arc<Condvar>>) -> bool {
        match (self.waiters.front(), own) {
            (None, _) => true,
            (Some(first), Some(own)) => Arc::ptr_eq(first, own),
            (Some(_), None) => false,
        }
    }

    /// Wakes the thread that has waited longest for the share.
    fn wake_first(&self) {
        if let Some(first) = self.waiters.front() {
            first.notify_one();
        }
    }

    /// Wakes all threads that wait for the share.
    fn wake_all(&self) {
        self.waiters.iter().for_each(|waiter| waiter.notify_one());
    }
}

enum Work {
    /// The index of a piece, and its bytes.
    Write(usize, Arc<Vec<u8>>),
    /// The file is empty: frees its space.
    Truncate,
}

/// Returns the offset in the file of the piece with this index.
fn offset_of(index: usize) -> u64 {
    (index as u64).saturating_mul(CHUNK_BYTES as u64)
}

/// The error for bytes that found no place while the disk hangs.
fn hung_error() -> io::Error {
    let seconds = MAX_OPERATION_TIME.as_secs();
    io::Error::new(io::ErrorKind::TimedOut, format!("the disk has not completed a write for {seconds} s"))
}

fn copy_of(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}

/// The number of pieces at which the thread stops waiting for more.
const FULL_BATCH_PIECES: usize = 8;

/// The time that the first piece waits for others.
const BATCH_DELAY: Duration = Duration::from_millis(2);

/// The interval at which threads that wait for the share look whether the disk hangs, and failed writes are repeated.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// The shortest queue from which dropped pieces are removed.
const MIN_PURGE_LEN: usize = 1024;

#[cfg(test)]
pub(super) mod faults;
