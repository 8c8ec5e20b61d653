//! The writer thread: writes the items of all connections to the bundle.
//!
//! ```text
//! items ─▶ decode ─▶ bodies, JSON ─▶ staged groups ─▶ archive      a group is in the bundle completely or not at all
//!   └─▶ packer threads, if large ─▶┘        └─▶ CaptureInfo: counts, times ─▶ at the end: timeline, manifest
//! ```
//!
//! The groups of one batch of items are written with one system call. Items that cannot be written are counted as lost,
//! and the capture goes on; once the disk has space again, later items are written.
//!
//! No value of an item is trusted: ids and file names are made of counters, and a panic loses only the item that caused
//! it.

use super::body::BodyStore;
use super::cut_off::{CutOff, MessageCutOff};
use super::item::{Exchange, Item, WebSocketKey, WebSocketMessage};
use super::queue::{FULL_BATCH_ITEMS, Receiver};
use crate::bundle::archive::directory_of;
use crate::bundle::format::Stats;
use crate::clock::Moment;
use crate::config::{Observer, Rotate};
use crate::error::Error;
use crate::memory::Memory;
use crate::wire::tap::Opcode;
use bundle_file::BundleFile;
use bundle_names::BundleNames;
use cut_offs::CutOffs;
use error_log::{ErrorKind, ErrorLog};
use finished::FinishedBundles;
use finisher::Finisher;
use group::Group;
use packer::{Packer, PackerEvent, PackingJob, ReservationRequest};
use packing_cost::PackingCost;
use prepared::{PreparedExchange, PreparedMessage};
use rotation::Rotation;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use websocket::WebSocketInfo;

pub(crate) use finish::WriterSummary;

mod body_entry;
mod bundle_file;
mod bundle_names;
mod cut_offs;
mod error_log;
mod finish;
mod finished;
mod finisher;
mod group;
mod handshakes;
mod packer;
mod packing_cost;
mod prepared;
mod rotation;
mod websocket;

/// Writes the items of a capture. The state of the bundle is in `bundle`, that of the whole capture in the other fields.
pub(crate) struct Writer {
    bundle: BundleFile,
    /// `None` if the capture writes one bundle.
    rotation: Option<Rotation>,
    finisher: Finisher,
    finished: FinishedBundles,
    /// The number of items in all bundles, each counted once.
    totals: Stats,
    store: Arc<BodyStore>,
    max_body_bytes: u64,
    packer: Packer,
    /// The number of the last exchange.
    last_exchange: u32,
    /// The number of the last WebSocket.
    last_websocket: u32,
    /// WebSockets that have not ended.
    open_websockets: HashMap<WebSocketKey, WebSocketInfo>,
    cut_off_exchanges: CutOffs<CutOff>,
    cut_off_messages: CutOffs<MessageCutOff>,
    unclosed_websockets: CutOffs<MessageCutOff>,
    errors: ErrorLog,
}

/// The limits of a capture.
#[derive(Clone, Debug)]
pub(crate) struct CaptureLimits {
    /// The memory of the capture.
    pub(crate) memory: Arc<Memory>,
    /// The largest size to which a body is decoded, in bytes.
    pub(crate) max_body: u64,
    /// The limit of one bundle, if the capture writes several.
    pub(crate) rotate: Option<Rotate>,
    /// The number of finished bundles to keep then.
    pub(crate) keep: Option<NonZeroU32>,
}

impl Writer {
    /// Creates the unfinished bundle of `output`, or the first of several. Existing files are not changed. A writer that is
    /// dropped before it ran deletes its file.
    pub(crate) fn create(
        output: &Path,
        limits: CaptureLimits,
        observer: Observer,
        started: Moment,
    ) -> Result<Self, Error> {
        let directory = directory_of(output).to_owned();
        let mut rotation = None;
        let (bundle, others) = match limits.rotate {
            None => BundleFile::create(output, started)?,
            Some(rotate) => {
                let (mut names, others) = BundleNames::new(output)?;
                let (bundle, _) = BundleFile::create(&names.next(), started)?;
                rotation = Some(Rotation::new(rotate, names, directory.clone(), started));
                (bundle, others)
            }
        };
        let store = BodyStore::new(directory, &limits.memory);
        store.start();
        let mut errors = ErrorLog::new(observer);
        for other in others {
            errors.add(ErrorKind::OtherUnfinished(other), "");
        }
        let is_rotating = rotation.is_some();
        Ok(Self {
            bundle,
            rotation,
            finisher: if is_rotating { Finisher::start(limits.keep, store.disk()) } else { Finisher::inline(None) },
            finished: FinishedBundles { is_rotating, ..FinishedBundles::default() },
            totals: Stats::default(),
            max_body_bytes: limits.max_body,
            packer: Packer::start(limits.max_body, store.disk()),
            store,
            last_exchange: 0,
            last_websocket: 0,
            open_websockets: HashMap::new(),
            cut_off_exchanges: CutOffs::new(),
            cut_off_messages: CutOffs::new(),
            unclosed_websockets: CutOffs::new(),
            errors,
        })
    }

    /// Returns the path of the unfinished bundle.
    pub(crate) fn unfinished_path(&self) -> &Path {
        self.bundle.archive.unfinished_path()
    }

    /// Returns the store for the bodies of this writer's items.
    pub(crate) fn store(&self) -> &Arc<BodyStore> {
        &self.store
    }

    /// Writes all items until [`Item::CaptureEnd`] or until all senders are dropped. Then completes the bundle.
    pub(crate) fn run(mut self, items: &Receiver<Item>) -> WriterSummary {
        let _entered = self.store.disk().enter();
        let mut batch = VecDeque::new();
        let mut is_running = true;
        while is_running {
            is_running = items.receive(&mut batch, self.poll_interval());
            // Under load, the connections need the processor more than small entries need compression.
            self.bundle.archive.store_small_entries(batch.len() >= FULL_BATCH_ITEMS);
            for item in batch.drain(..) {
                is_running &= !matches!(item, Item::CaptureEnd);
                self.attempt(|writer| writer.write(item));
                self.rotate_if_due();
            }
            while let Some(event) = self.packer.try_next() {
                self.handle_packer_event(event);
            }
            self.commit();
            self.rotate_if_due();
            self.report_finished();
        }
        self.finish()
    }

    /// Returns the time after which there may be something to do although no item is sent.
    fn poll_interval(&self) -> Option<Duration> {
        let is_busy = self.packer.is_busy() || self.finisher.pending() > 0;
        let check = self.rotation.as_ref().and_then(|rotation| rotation.check_after(Moment::now()));
        check.into_iter().chain(is_busy.then_some(PACKER_POLL_INTERVAL)).min()
    }

    /// Writes an exchange from a packer thread, or reserves space for one.
    fn handle_packer_event(&mut self, event: PackerEvent) {
        match event {
            PackerEvent::Reserve(ReservationRequest { entries, reply }) => {
                self.commit();
                // The packer thread waits for the reply, so this cannot fail.
                let _ = reply.send(self.bundle.archive.reserve(entries));
            }
            PackerEvent::Prepared(prepared) => self.attempt(|writer| writer.write_prepared(prepared)),
            PackerEvent::Panicked => self.errors.add(ErrorKind::Panic, ""),
        }
    }

    /// Runs `write`. An error or a panic in it is logged and does not affect later items.
    fn attempt(&mut self, write: impl FnOnce(&mut Self) -> io::Result<()>) {
        match catch_unwind(AssertUnwindSafe(|| write(self))) {
            Ok(Ok(())) => {}
            Ok(Err(cause)) => self.errors.add(ErrorKind::WriteFailed, &cause.to_string()),
            Err(_) => self.errors.add(ErrorKind::Panic, ""),
        }
    }

    fn write(&mut self, item: Item) -> io::Result<()> {
        match item {
            Item::Exchange(exchange) => self.write_exchange(*exchange),
            Item::Message(message) => self.write_message(message),
            Item::WebSocketEnd { websocket: key, why } => {
                // The WebSocket's JSON has the number of its messages that were written.
                self.commit();
                let Some(mut websocket) = self.open_websockets.remove(&key) else { return Ok(()) };
                websocket.end(why);
                self.write_websocket(websocket)
            }
            Item::CaptureEnd => Ok(()),
        }
    }

    fn write_exchange(&mut self, mut exchange: Exchange) -> io::Result<()> {
        // Messages of a WebSocket are written even if its handshake cannot be.
        if let Some(opened) = &exchange.websocket {
            self.last_websocket = self.last_websocket.saturating_add(1);
            let websocket = WebSocketInfo::new(self.last_websocket, &exchange, opened);
            self.open_websockets.insert(opened.key, websocket);
        }
        let number = self.last_exchange.saturating_add(1);
        let cost = PackingCost::of(&exchange);
        if exchange.websocket.is_none() && cost > PackingCost::Low {
            match self.packer.try_submit(PackingJob { exchange, number }, cost) {
                Ok(()) => {
                    // Ids follow the order of completion, even if later exchanges are written first.
                    self.last_exchange = number;
                    return Ok(());
                }
                Err(job) => exchange = job.exchange,
            }
        }
        self.write_prepared(Box::new(PreparedExchange::new(exchange, number, self.max_body_bytes)))
    }

    fn write_prepared(&mut self, mut prepared: Box<PreparedExchange>) -> io::Result<()> {
        prepared.check_filled(&mut self.bundle.archive)?;
        prepared.truncation_causes.iter().for_each(|cause| self.errors.add(ErrorKind::BodyTruncated, cause));
        let (number, opens_websocket) = (prepared.number, prepared.websocket.is_some());
        self.stage(Group::Exchange(prepared))?;
        self.last_exchange = self.last_exchange.max(number);
        if opens_websocket {
            // The WebSocket's JSON refers to the handshake only if that was written, so it is committed now.
            self.commit();
        }
        Ok(())
    }

    fn write_message(&mut self, message: WebSocketMessage) -> io::Result<()> {
        let key = message.websocket;
        let websocket = (self.open_websockets.get_mut(&key))
            .ok_or_else(|| io::Error::other("a message belongs to no open WebSocket"))?;
        let number = websocket.last_message.saturating_add(1);
        websocket.has_close |= message.opcode == Opcode::Close;
        if let Some(truncation) = message.payload.truncation() {
            self.errors.add(ErrorKind::BodyTruncated, &truncation.cause.to_string());
        }
        let message = PreparedMessage::new(message, websocket.number, number);
        self.repeat_handshake(key);
        self.stage(Group::Message(Box::new(message)))?;
        if let Some(websocket) = self.open_websockets.get_mut(&key) {
            websocket.last_message = number;
        }
        Ok(())
    }
}

/// The longest time that an event of a packer thread waits while no items are sent.
const PACKER_POLL_INTERVAL: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests;
