//! Settings and resources for packing, shared by the writer and the packer threads.

use super::packer_time::PackerTime;
use crate::bundle::archive::Deflater;
use crate::coding::{Decoder, Inflater};
use crate::memory::Share;
use crate::record::body::{Body, BodyStore};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Shared by all threads that pack bodies.
pub(super) struct Packing {
    /// The largest size to which a body is decoded.
    pub(super) max_body_bytes: u64,
    store: Arc<BodyStore>,
    /// The memory of decoders' windows.
    windows: Arc<Share>,
    waiting: Mutex<WaitingPackers>,
    /// Wakes packers that wait for a window.
    released: Condvar,
    is_cancelled: AtomicBool,
    pub(super) packer_time: PackerTime,
    #[cfg(test)]
    verifications: std::sync::atomic::AtomicU64,
}

/// The packers that wait for a window, numbered in the order in which they began to wait.
#[derive(Default)]
struct WaitingPackers {
    first: u64,
    end: u64,
}

/// A compressor and decoders, one set per thread, reused for all bodies.
pub(super) struct PackingTools {
    pub(super) deflater: Deflater,
    pub(super) decoder: Decoder,
    pub(super) inflater: Inflater,
}

/// Memory for the window of one decoder.
pub(super) struct Window<'p> {
    packing: &'p Packing,
    pub(super) bytes: usize,
}

/// The behaviour while no memory is left for a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WindowWait {
    /// Waits for other packers, until packing is cancelled.
    Wait,
    /// Does not wait.
    Fail,
}

impl Packing {
    /// Packed bodies go to `store`.
    pub(super) fn new(max_body_bytes: u64, store: Arc<BodyStore>, windows: Arc<Share>) -> Self {
        let (waiting, released, is_cancelled) = (Mutex::default(), Condvar::new(), AtomicBool::new(false));
        Self {
            max_body_bytes,
            store,
            windows,
            waiting,
            released,
            is_cancelled,
            packer_time: PackerTime::default(),
            #[cfg(test)]
            verifications: Default::default(),
        }
    }

    /// Returns an empty body for packed bytes.
    pub(super) fn new_body(&self) -> Body {
        Body::new(&self.store)
    }

    /// Makes packers leave bodies as they are, also those that they are working on.
    pub(super) fn cancel(&self) {
        self.is_cancelled.store(true, Relaxed);
        self.released.notify_all();
    }

    /// True after [`Packing::cancel`].
    pub(super) fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Relaxed)
    }

    /// Returns true if a job in progress should end. To be called for each 64 KB or so. Counts the CPU time of a packer.
    pub(super) fn should_stop(&self) -> bool {
        self.packer_time.count();
        self.is_cancelled()
    }

    /// Counts a slice whose claims are verified.
    pub(super) fn count_verification(&self) {
        #[cfg(test)]
        self.verifications.fetch_add(1, Relaxed);
    }

    #[cfg(test)]
    pub(super) fn verifications(&self) -> u64 {
        self.verifications.load(Relaxed)
    }

    /// Returns the largest window that can be granted.
    pub(super) fn max_window_bytes(&self) -> usize {
        self.windows.limit()
    }

    /// Takes memory for a window; `None` if it is larger than the share, or if there is none for it. Packers get theirs in the
    /// order of their calls: small windows, of which there are always some, would keep a large one waiting.
    pub(super) fn window(&self, bytes: usize, wait: WindowWait) -> Option<Window<'_>> {
        if bytes > self.windows.limit() {
            return None;
        }
        let acquire = || self.windows.try_acquire(bytes).then(|| Window { packing: self, bytes });
        if wait == WindowWait::Fail {
            return acquire();
        }
        let mut waiting = self.waiting();
        let number = waiting.end;
        waiting.end = number.saturating_add(1);
        while !self.is_cancelled() {
            if waiting.first == number
                && let Some(window) = acquire()
            {
                waiting.first = number.saturating_add(1);
                drop(waiting);
                self.released.notify_all();
                return Some(window);
            }
            let waited = self.released.wait_timeout(waiting, WINDOW_POLL_INTERVAL);
            waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        None
    }

    fn waiting(&self) -> MutexGuard<'_, WaitingPackers> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of packers that wait for a window.
    #[cfg(test)]
    pub(super) fn waiting_packers(&self) -> u64 {
        let waiting = self.waiting();
        waiting.end - waiting.first
    }
}

impl Drop for Window<'_> {
    fn drop(&mut self) {
        // Locked, so that a packer that has just found too little does not miss the wake-up.
        let waiting = self.packing.waiting();
        self.packing.windows.release(self.bytes);
        drop(waiting);
        self.packing.released.notify_all();
    }
}

impl PackingTools {
    /// Tools of a packer thread.
    pub(super) fn new() -> Self {
        Self { deflater: Deflater::with_output(OUTPUT_BYTES), decoder: Decoder::new(), inflater: Inflater::new() }
    }
}

/// The output buffer of a packer's compressor.
const OUTPUT_BYTES: usize = 64 * 1024;

/// A packer that waits for memory looks for it and for a cancellation this often.
const WINDOW_POLL_INTERVAL: Duration = Duration::from_millis(20);
