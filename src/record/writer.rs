//! The writer thread: writes the items of all connections to the bundle.
//!
//! ```text
//! items ─▶ bodies, JSON ─▶ staged groups ─▶ archive            a group is in the bundle completely or not at all
//!   │                          ▲                └─▶ CaptureInfo: counts, times ─▶ at the end: timeline, manifest
//!   ├─▶ packers, in memory ────┤
//!   └─▶ backlog, on disk ──▶ packers ─▶ replacements of committed groups
//! ```
//!
//! The writer only copies: what takes longer than to inflate or to deflate some 16 KiB is for packers. A gzip body is
//! written at once as a deflate stream, with the size and the checksum that its trailer claims, and is verified later.
//! Other bodies are packed in memory while the packers keep up; under load they are written as received, and decoded later.
//! While the app is busy, packers pause, and the backlog grows up to a bound.
//!
//! A body of a megabyte or more is copied into reserved space, a piece between two batches of items: other connections do
//! not wait for a download of a gigabyte, and the writer remains the only thread that writes to the archive.
//!
//! The groups of one batch of items are written with one system call. Items that cannot be written are counted as lost,
//! and the capture goes on; once the disk has space again, later items are written.
//!
//! No value of an item is trusted: ids and file names are made of counters, and a panic loses only the item that caused
//! it.

use super::body::BodyStore;
use super::cut_off::{CutOff, MessageCutOff};
use super::item::{Exchange, Item, WebSocketKey, WebSocketMessage};
use super::queue::Receiver;
use crate::bundle::archive::OutputFile;
use crate::bundle::format::Stats;
use crate::bundle::spill::SpillPlace;
use crate::capture_options::Rotate;
use crate::clock::Moment;
use crate::config::Observer;
use crate::error::Error;
use crate::memory::{Memory, Share};
use crate::wire::tap::Opcode;
use bundle_file::BundleFile;
use bundle_names::BundleNames;
use cut_offs::CutOffs;
use error_log::{ErrorKind, ErrorLog};
use finished::FinishedBundles;
use finisher::Finisher;
use group::Group;
use packers::{AppLoad, Packers};
use packing::{Packing, PackingTools};
use part_watch::PartWatch;
use prepared::PreparedExchange;
use prepared_message::PreparedMessage;
use rotation::Rotation;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use websocket::WebSocketInfo;

pub(crate) use control::WriterControl;
pub(crate) use finish::WriterSummary;
pub(crate) use published::PublishedState;

mod backlog;
mod body_entry;
mod bundle_file;
mod bundle_names;
mod compress;
mod control;
mod cut_offs;
mod error_log;
mod finish;
mod finished;
mod finisher;
mod group;
mod handshakes;
mod pack;
mod packer_time;
mod packers;
mod packing;
mod part_watch;
mod prepared;
mod prepared_message;
mod published;
mod replacement;
mod rotation;
mod source;
mod unpack;
mod websocket;

/// Writes the items of a capture. The state of the bundle is in `bundle`, that of the whole capture in the other fields.
pub(crate) struct Writer {
    bundle: BundleFile,
    /// Earlier bundles whose bodies are left to verify or to decode, and the times at which they ended.
    draining: VecDeque<(BundleFile, Moment)>,
    /// `None` if the capture writes one bundle.
    rotation: Option<Rotation>,
    finisher: Finisher,
    /// The number of finished bundles to keep.
    keep: Option<NonZeroU32>,
    finished: FinishedBundles,
    /// The number of items in all bundles, each counted once.
    totals: Stats,
    /// The largest index of a bundle, for a capture that keeps it in memory.
    max_index_bytes: u64,
    store: Arc<BodyStore>,
    /// The memory of items that wait for the writer, and of groups that are being copied.
    queued: Arc<Share>,
    /// The number of steps in which the bodies of the last items are copied.
    added_steps: u64,
    control: Arc<WriterControl>,
    packing: Arc<Packing>,
    packers: Packers,
    app_load: AppLoad,
    /// For small bodies, which are decoded on this thread.
    tools: PackingTools,
    /// The number of the last exchange.
    last_exchange: u32,
    /// The number of the last WebSocket.
    last_websocket: u32,
    /// WebSockets that have not ended.
    open_websockets: BTreeMap<WebSocketKey, WebSocketInfo>,
    /// WebSockets that ended, to be written after the next commit.
    ended_websockets: Vec<WebSocketInfo>,
    cut_off_exchanges: CutOffs<CutOff>,
    cut_off_messages: CutOffs<MessageCutOff>,
    unclosed_websockets: CutOffs<MessageCutOff>,
    part_watch: PartWatch,
    errors: ErrorLog,
    published: PublishedState,
}

/// The reason why a step of the writer failed.
enum Failure {
    Error(io::Error),
    Panic,
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
    /// Creates the unfinished bundle of `output`, or the first of several, which needs a path. Temporary files go to `spill`. Existing files are not changed. A writer that is
    /// dropped before it ran deletes its file.
    pub(crate) fn create(
        output: OutputFile<'_>,
        spill: SpillPlace,
        limits: CaptureLimits,
        observer: Observer,
        started: Moment,
    ) -> Result<Self, Error> {
        let mut rotation = None;
        let (bundle, others) = match (limits.rotate, output) {
            (Some(rotate), OutputFile::Path(path)) => {
                let (mut names, others) = BundleNames::new(path)?;
                let (bundle, _) = BundleFile::create(OutputFile::Path(&names.next()), spill.clone(), started)?;
                rotation = Some(Rotation::new(rotate, names, spill.clone(), started));
                (bundle, others)
            }
            _ => BundleFile::create(output, spill.clone(), started)?,
        };
        let max_index_bytes = match spill {
            SpillPlace::Folder(_) => u64::MAX,
            SpillPlace::Memory => limits.memory.index_bytes(),
        };
        let store = BodyStore::new(spill, &limits.memory);
        let mut errors = ErrorLog::new(observer);
        for other in others {
            errors.add(ErrorKind::OtherUnfinished(other), "");
        }
        let is_rotating = rotation.is_some();
        let windows = Arc::clone(&limits.memory.decoding);
        let packing = Arc::new(Packing::new(limits.max_body, Arc::clone(&store), windows));
        let packers = Packers::new(Arc::clone(&packing), limits.memory.bodies.limit() / FRESH_DIVISOR);
        Ok(Self {
            published: PublishedState::new(bundle.archive.unfinished_path()),
            bundle,
            draining: VecDeque::new(),
            rotation,
            finisher: Finisher::inline(limits.keep),
            keep: limits.keep,
            finished: FinishedBundles { is_rotating, ..FinishedBundles::default() },
            totals: Stats::default(),
            max_index_bytes,
            store,
            queued: Arc::clone(&limits.memory.queue),
            added_steps: 0,
            control: Arc::default(),
            app_load: packers.app_load(),
            packers,
            packing,
            tools: PackingTools::new(),
            last_exchange: 0,
            last_websocket: 0,
            open_websockets: BTreeMap::new(),
            ended_websockets: Vec::new(),
            cut_off_exchanges: CutOffs::new(),
            cut_off_messages: CutOffs::new(),
            unclosed_websockets: CutOffs::new(),
            part_watch: PartWatch::new(started),
            errors,
        })
    }

    /// Returns the store for the bodies of this writer's items.
    pub(crate) fn store(&self) -> &Arc<BodyStore> {
        &self.store
    }

    /// Returns a handle for the end of the capture.
    pub(crate) fn control(&self) -> &Arc<WriterControl> {
        &self.control
    }

    /// Starts the thread that completes bundles, for a capture that writes several. Without it, they are completed on the writer's.
    pub(crate) fn start_finisher(&mut self) {
        if self.rotation.is_some() {
            self.finisher = Finisher::start(self.keep, self.store.disk());
        }
    }

    /// Writes all items until [`Item::CaptureEnd`] or until all senders are dropped. Then completes the bundle.
    pub(crate) fn run(mut self, items: &Receiver<Item>) -> WriterSummary {
        let _entered = self.store.disk().enter();
        let mut batch = VecDeque::new();
        while items.receive(&mut batch, self.max_wait()) {
            // Under load, the connections need the processor more than small entries need compression.
            self.bundle.archive.store_small_entries(items.is_overloaded());
            self.observe_load(Moment::now());
            let mut exchanges = 0_usize;
            for item in batch.drain(..) {
                if matches!(item, Item::Exchange(_)) {
                    exchanges = exchanges.saturating_add(1);
                    if exchanges.is_multiple_of(YIELD_INTERVAL) {
                        thread::yield_now();
                    }
                }
                if matches!(item, Item::CaptureEnd) {
                    // Connections that outlast the capture may have sent more, which is written.
                    items.close();
                }
                self.attempt(|writer| writer.write(item));
                self.rotate_if_due();
            }
            self.serve_packers();
            self.copy_steps();
            self.commit();
            self.rotate_if_due();
            self.drain_step();
            self.report_finished();
            self.check_parts();
        }
        self.finish()
    }

    /// Returns the time after which there may be something to do although no item is sent.
    fn max_wait(&self) -> Option<Duration> {
        let draining = self.draining.iter().map(|(bundle, _)| bundle);
        if draining.chain([&self.bundle]).any(|bundle| !bundle.copies.is_empty()) {
            return Some(Duration::ZERO);
        }
        let is_waiting = self.packers.is_paused() && self.bundle.backlog.len() > 0;
        let is_busy = self.packers.is_busy() || is_waiting || self.finisher.pending() > 0;
        let now = Moment::now();
        let rotation = self.rotation.as_ref().and_then(|rotation| rotation.check_after(now));
        let checks = rotation.into_iter().chain([self.part_watch.check_after(now)]);
        checks.chain(is_busy.then_some(PACKER_POLL_INTERVAL)).min()
    }

    /// Runs `write`. An error or a panic in it is logged and does not affect later items.
    fn attempt(&mut self, write: impl FnOnce(&mut Self) -> io::Result<()>) {
        if let Err(failure) = self.guard(write) {
            self.log(failure);
        }
    }

    /// Runs `work`, and catches a panic in it.
    fn guard<T>(&mut self, work: impl FnOnce(&mut Self) -> io::Result<T>) -> Result<T, Failure> {
        match catch_unwind(AssertUnwindSafe(|| work(self))) {
            Ok(result) => result.map_err(Failure::Error),
            Err(_) => Err(Failure::Panic),
        }
    }

    /// Counts an item as lost.
    fn log(&mut self, failure: Failure) {
        match failure {
            Failure::Error(cause) => self.errors.add(ErrorKind::WriteFailed, &cause.to_string()),
            Failure::Panic => self.errors.add(ErrorKind::Panic, ""),
        }
    }

    fn write(&mut self, item: Item) -> io::Result<()> {
        let is_end = matches!(item, Item::WebSocketEnd { .. } | Item::CaptureEnd);
        if !is_end && self.bundle.archive.directory_bytes() > self.max_index_bytes {
            return Err(io::Error::new(io::ErrorKind::OutOfMemory, "the index of the bundle exceeds its memory"));
        }
        match item {
            Item::Exchange(exchange) => self.write_exchange(*exchange),
            Item::Message(message) => return self.write_message(message),
            Item::WebSocketEnd { websocket, why } => self.end_websocket(websocket, why),
            Item::CaptureEnd => {}
        }
        Ok(())
    }

    fn write_exchange(&mut self, exchange: Exchange) {
        // Messages of a WebSocket are written even if its handshake cannot be.
        let opens_websocket = exchange.websocket.is_some();
        if let Some(opened) = &exchange.websocket {
            self.last_websocket = self.last_websocket.saturating_add(1);
            let websocket = WebSocketInfo::new(self.last_websocket, &exchange, opened);
            self.open_websockets.insert(opened.key, websocket);
        }
        // Ids follow the order of completion, even if later exchanges are written first.
        self.last_exchange = self.last_exchange.saturating_add(1);
        let prepared = PreparedExchange::new(exchange, self.last_exchange, &self.packing, &mut self.tools);
        let group = Group::Exchange(Box::new(prepared));
        if opens_websocket {
            self.write_group(group);
            // The WebSocket's JSON refers to the handshake only if that was written, so it is committed now.
            self.commit();
        } else {
            self.pack_or_write(group);
        }
    }

    fn write_message(&mut self, message: WebSocketMessage) -> io::Result<()> {
        let key = message.websocket;
        let websocket = (self.open_websockets.get_mut(&key))
            .ok_or_else(|| io::Error::other("a message belongs to no open WebSocket"))?;
        websocket.last_message = websocket.last_message.saturating_add(1);
        websocket.unsettled_messages = websocket.unsettled_messages.saturating_add(1);
        websocket.has_close |= message.opcode == Opcode::Close;
        let (websocket, number) = (websocket.number, websocket.last_message);
        if let Some(truncation) = message.payload.truncation() {
            self.errors.add(ErrorKind::BodyTruncated, &truncation.cause.to_string());
        }
        self.pack_or_write(Group::Message(Box::new(PreparedMessage::new(message, websocket, number))));
        Ok(())
    }
}

/// The writer yields its processor after this many exchanges. A batch takes 0.3 ms, and connections that share its processor would
/// wait that long: the 99th percentile of a small GET is 25 % lower with this, for 2 to 4 % of the CPU time. A batch of
/// messages is short.
const YIELD_INTERVAL: usize = 16;

/// The longest time that an outcome of a packer waits while no items are sent.
const PACKER_POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Groups that wait for a packer in memory take up to this part of the memory for bodies.
const FRESH_DIVISOR: usize = 4;

#[cfg(test)]
mod tests;
