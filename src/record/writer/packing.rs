//! Settings and resources for packing, shared by the writer and the packer threads.

use crate::bundle::archive::Deflater;
use crate::coding::{Decoder, Inflater};
use crate::memory::Share;
use crate::record::body::{Body, BodyStore};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Shared by all threads that pack bodies.
pub(super) struct Packing {
    /// The largest size to which a body is decoded.
    pub(super) max_body_bytes: u64,
    store: Arc<BodyStore>,
    /// The memory of decoders' windows.
    windows: Arc<Share>,
    /// The part of `windows` that packers hold.
    held: Mutex<usize>,
    /// Wakes packers that wait for a window.
    released: Condvar,
    is_cancelled: AtomicBool,
    #[cfg(test)]
    verifications: std::sync::atomic::AtomicU64,
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
    /// Waits for other packers.
    Wait,
    /// Does not wait.
    Fail,
}

impl Packing {
    /// Packed bodies go to `store`.
    pub(super) fn new(max_body_bytes: u64, store: Arc<BodyStore>, windows: Arc<Share>) -> Self {
        let (held, released, is_cancelled) = (Mutex::new(0), Condvar::new(), AtomicBool::new(false));
        Self {
            max_body_bytes,
            store,
            windows,
            held,
            released,
            is_cancelled,
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

    /// Takes memory for a window; `None` if it is larger than the share, or if there is none for it.
    pub(super) fn window(&self, bytes: usize, wait: WindowWait) -> Option<Window<'_>> {
        if bytes > self.windows.limit() {
            return None;
        }
        let mut attempts_left = MAX_WINDOW_ATTEMPTS;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if self.windows.try_acquire(bytes) {
                *held = held.saturating_add(bytes);
                return Some(Window { packing: self, bytes });
            }
            // Other packers release their windows. Decoders of connections may hold theirs for as long as the connection.
            if *held == 0 {
                attempts_left = attempts_left.checked_sub(1)?;
            }
            if wait == WindowWait::Fail || self.is_cancelled() {
                return None;
            }
            let waited = self.released.wait_timeout(held, WINDOW_POLL_INTERVAL);
            held = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Window<'_> {
    fn drop(&mut self) {
        self.packing.windows.release(self.bytes);
        let mut held = self.packing.held.lock().unwrap_or_else(PoisonError::into_inner);
        *held = held.saturating_sub(self.bytes);
        drop(held);
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
const OUTPUT_BYTES: usize = 256 * 1024;

/// A packer that waits for memory checks for a cancellation this often.
const WINDOW_POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The number of times that a packer waits for memory that no packer holds. The body then stays encoded.
const MAX_WINDOW_ATTEMPTS: u32 = 50;
