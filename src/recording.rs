//! The threads that receive what a capture records: the writer of the bundle, the monitor of its disk, and the callback.

use crate::bundle::archive::OutputFile;
use crate::bundle::spill::SpillPlace;
use crate::capture_options::{CaptureOptions, Output, Spilling};
use crate::clock::Moment;
use crate::config::{Limits, Observer};
use crate::error::Error;
use crate::gauge::WriterHandles;
use crate::memory::Memory;
use crate::record::body::BodyStore;
use crate::record::disk_monitor::DiskMonitor;
use crate::record::item::Item;
use crate::record::observed::{Observed, ObservedCounts, ObserverThread, PreparedObserver};
use crate::record::queue::{Receiver, Sender, bounded_queue};
use crate::record::sink::ItemSink;
use crate::record::writer::{CaptureLimits, Writer, WriterSummary};
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

/// The receivers of a capture that has not started.
pub(crate) struct Recording {
    bundle: Option<BundleWriter>,
    callback: Option<PreparedObserver>,
}

struct BundleWriter {
    writer: Writer,
    items: Receiver<Item>,
    sender: Sender<Item>,
    observer: Observer,
}

/// The threads of a running capture. Discovery has none.
#[derive(Default)]
pub(crate) struct RunningRecording {
    /// `None` if no bundle is written.
    pub(crate) writing: Option<Writing>,
    /// `None` without a callback.
    pub(crate) callback: Option<ObserverThread>,
    /// The counts of the callback.
    pub(crate) observed: Option<Arc<ObservedCounts>>,
}

/// The threads that write the bundle.
pub(crate) struct Writing {
    pub(crate) thread: JoinHandle<WriterSummary>,
    pub(crate) sender: Sender<Item>,
    pub(crate) handles: WriterHandles,
    pub(crate) monitor: Option<DiskMonitor>,
}

impl Recording {
    /// Creates the output of a capture, and starts no thread. Also returns the sink for its recorders.
    pub(crate) fn prepare(
        options: &CaptureOptions,
        limits: Limits,
        memory: &Arc<Memory>,
        observer: Observer,
    ) -> Result<(Self, ItemSink), Error> {
        let spill = spill_place(options)?;
        let output = match &options.output {
            Output::Path(path) => Some(OutputFile::Path(path)),
            Output::File(file) => Some(OutputFile::Open(file)),
            Output::None => None,
        };
        let (mut bundle, mut sender) = (None, None);
        let store = if let Some(output) = output {
            let limits = CaptureLimits {
                memory: Arc::clone(memory),
                max_body: limits.max_body,
                rotate: options.rotate,
                keep: options.keep,
            };
            let writer = Writer::create(output, spill, limits, observer.clone(), Moment::now())?;
            let store = Arc::clone(writer.store());
            let (to_writer, items) = bounded_queue(Arc::clone(&memory.queue), Arc::clone(store.disk()));
            sender = Some(to_writer.clone());
            bundle = Some(BundleWriter { writer, items, sender: to_writer, observer });
            store
        } else {
            BodyStore::new(spill, memory)
        };
        let share = || Arc::clone(&memory.callback);
        let callback = options.on_record.clone();
        let callback = callback.map(|callback| PreparedObserver::new(callback, share(), store.disk()));
        let observed = callback.as_ref().map(|callback| callback.observed().clone());
        Ok((Self { bundle, callback }, ItemSink::new(sender, observed, store)))
    }

    /// Starts the threads.
    pub(crate) fn start(self, sink: ItemSink) -> io::Result<RunningRecording> {
        let mut running = RunningRecording::default();
        sink.store().start();
        if let Some(callback) = self.callback {
            running.observed = Some(Arc::clone(Observed::counts(callback.observed())));
            running.callback = Some(callback.start()?);
        }
        if let Some(BundleWriter { mut writer, items, sender, observer }) = self.bundle {
            writer.start_finisher();
            let handles = WriterHandles {
                published: writer.published().clone(),
                control: Arc::clone(writer.control()),
                disk: Arc::clone(writer.store().disk()),
            };
            let monitor = Some(DiskMonitor::start(sink, observer)?);
            let thread = thread::Builder::new().name("writer".into()).spawn(move || writer.run(&items))?;
            running.writing = Some(Writing { thread, sender, handles, monitor });
        }
        Ok(running)
    }
}

/// Returns the place for what does not fit into memory.
fn spill_place(options: &CaptureOptions) -> Result<SpillPlace, Error> {
    match (&options.spilling, &options.output) {
        (Spilling::Dir(dir), _) => {
            let place = SpillPlace::Folder(dir.clone());
            match place.create_file() {
                Ok(_) => Ok(place),
                Err(cause) => Err(Error::Spill { path: dir.clone(), cause }),
            }
        }
        (Spilling::BesideOutput, Output::Path(output)) => Ok(SpillPlace::beside(output)),
        (Spilling::BesideOutput, Output::File(_) | Output::None) | (Spilling::Memory, _) => Ok(SpillPlace::Memory),
    }
}
