//! The destination of all recorders of a capture: the queue to the writer, and the store for bodies.

use super::body::BodyStore;
use super::item::{Item, WebSocketKey};
use super::queue::Sender;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A handle to the writer's queue and to the body store; clones share both.
#[derive(Clone)]
pub(crate) struct ItemSink {
    items: Sender<Item>,
    store: Arc<BodyStore>,
    next_websocket: Arc<AtomicU64>,
    dropped_items: Arc<AtomicU64>,
}

impl ItemSink {
    pub(crate) fn new(items: Sender<Item>, store: Arc<BodyStore>) -> Self {
        Self { items, store, next_websocket: Arc::default(), dropped_items: Arc::default() }
    }

    /// Sends `item` to the writer; waits while the queue is full. Once the bundle is complete, items are dropped and
    /// counted.
    pub(super) fn send(&self, item: Item) {
        if self.items.send(item).is_err() {
            self.dropped_items.fetch_add(1, Relaxed);
        }
    }

    /// Returns the store for the bodies of this capture.
    pub(super) fn store(&self) -> &Arc<BodyStore> {
        &self.store
    }

    /// Returns a key for a new WebSocket.
    pub(super) fn next_websocket_key(&self) -> WebSocketKey {
        WebSocketKey(self.next_websocket.fetch_add(1, Relaxed))
    }

    /// Returns the number of items that were sent after the bundle was complete.
    pub(crate) fn dropped_items(&self) -> u64 {
        self.dropped_items.load(Relaxed)
    }
}
