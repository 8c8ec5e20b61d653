//! The destination of all recorders of a capture: the queues to the writer and to the callback, and the store for bodies.

use super::body::BodyStore;
use super::item::{Item, WebSocketKey};
use super::observed::Observed;
use super::queue::{SendError, Sender};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A handle to the queues and to the body store; clones share both.
#[derive(Clone)]
pub(crate) struct ItemSink {
    /// `None` if no bundle is written.
    items: Option<Sender<Item>>,
    /// `None` without a callback.
    observed: Option<Observed>,
    store: Arc<BodyStore>,
    next_websocket: Arc<AtomicU64>,
    late_items: Arc<AtomicU64>,
    refused_items: Arc<AtomicU64>,
}

impl ItemSink {
    pub(crate) fn new(items: Option<Sender<Item>>, observed: Option<Observed>, store: Arc<BodyStore>) -> Self {
        Self {
            items,
            observed,
            store,
            next_websocket: Arc::default(),
            late_items: Arc::default(),
            refused_items: Arc::default(),
        }
    }

    /// Sends `item` to the callback and to the writer; waits while the queue to the writer is full. If it is full and the disk hangs, or the capture ended, the
    /// item is dropped and counted.
    pub(super) fn send(&self, item: Item) {
        let Some(items) = &self.items else {
            if let Some(observed) = &self.observed {
                observed.offer(item);
            }
            return;
        };
        if let Some(observed) = &self.observed {
            observed.offer_copy(&item);
        }
        let dropped = match items.send(item) {
            Ok(()) => return,
            Err(SendError::Closed) => &self.late_items,
            Err(SendError::DiskHung) => &self.refused_items,
        };
        dropped.fetch_add(1, Relaxed);
    }

    /// Returns the store for the bodies of this capture.
    pub(crate) fn store(&self) -> &Arc<BodyStore> {
        &self.store
    }

    /// Returns a key for a new WebSocket.
    pub(super) fn next_websocket_key(&self) -> WebSocketKey {
        WebSocketKey(self.next_websocket.fetch_add(1, Relaxed))
    }

    /// Returns the number of items that were dropped: sent after the end of the capture, or refused.
    pub(crate) fn dropped_items(&self) -> u64 {
        self.late_items.load(Relaxed).saturating_add(self.refused_items())
    }

    /// Returns the number of items that were dropped while the disk hung.
    pub(crate) fn refused_items(&self) -> u64 {
        self.refused_items.load(Relaxed)
    }
}
