//! A running capture: its stop, forced or not, and its summary.

use crate::channel::{RecvTimeoutError, channel};
use crate::clock::Moment;
use crate::gauge::Gauge;
use crate::net::key_log::KeyLog;
use crate::net::listening::ListenAddrs;
use crate::net::live::LiveConnections;
use crate::net::serving::Serving;
use crate::net::shared::{Capture, Shared};
use crate::notice::{Summary, Warning};
use crate::record::item::Item;
use crate::record::writer::WriterControl;
use crate::recording::{RunningRecording, Writing};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A running capture. Dropping it stops it.
pub struct Running {
    pub(crate) addrs: ListenAddrs,
    pub(crate) started: Moment,
    pub(crate) serving: Arc<Serving>,
    /// The threads that accept clients; none once the capture has ended.
    pub(crate) listening: Vec<JoinHandle<()>>,
    pub(crate) recording: RunningRecording,
    pub(crate) key_log: Option<Arc<KeyLog>>,
}

impl Running {
    /// The address on which it listens, the first if there are several.
    pub fn addr(&self) -> SocketAddr {
        self.addrs.first
    }

    /// All addresses on which it listens.
    pub fn addrs(&self) -> &[SocketAddr] {
        &self.addrs.all
    }

    /// A handle that makes [`Running::stop`] return early, from another thread.
    pub fn force_stop(&self) -> ForceStop {
        let writer = self.recording.writing.as_ref().map(|writing| Arc::clone(&writing.handles.control));
        ForceStop { live: Arc::clone(&self.serving.live), writer }
    }

    /// A handle that reads the progress of the capture.
    pub fn gauge(&self) -> Gauge {
        let counters = Arc::clone(&self.serving.shared.counters);
        let writer = self.recording.writing.as_ref().map(|writing| writing.handles.clone());
        let observed = self.recording.observed.clone();
        Gauge::new(self.started, counters, Arc::clone(&self.serving.live), writer, observed)
    }

    /// Stops the capture: accepts no more clients, ends all connections, records the exchanges in flight, and completes
    /// the bundle.
    pub fn stop(mut self) -> Summary {
        self.end()
    }

    /// As [`Running::stop`], but forces the stop if it takes longer than `limit`. Bodies that are then left to decode stay as
    /// received. Only copying them, or a disk that hangs, can still take time.
    pub fn stop_within(self, limit: Duration) -> Summary {
        let force = self.force_stop();
        let (stopped, timer) = channel::<()>();
        let started = thread::Builder::new().name("stop timer".into()).spawn({
            let force = force.clone();
            move || {
                // The sender is dropped at the end of the stop.
                if timer.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                    force.now();
                }
            }
        });
        if started.is_err() {
            force.now();
        }
        let summary = self.stop();
        drop(stopped);
        if let Ok(thread) = started {
            let _ = thread.join();
        }
        summary
    }

    fn end(&mut self) -> Summary {
        let Shared { stop, counters, capture, resources, .. } = &self.serving.shared;
        stop.set();
        for thread in self.listening.drain(..) {
            // If it panicked, it accepts no more clients either.
            let _ = thread.join();
        }
        // Connections end at once, except those that wait for room in the writer's queue.
        let remaining = self.serving.live.wait_for_none();
        resources.threads.close();
        let mut summary = Summary::default();
        let RunningRecording { writing, callback, observed } = std::mem::take(&mut self.recording);
        let has_bundle = writing.is_some();
        if let Some(Writing { thread, sender, monitor, .. }) = writing {
            // Fails only if the writer has ended, which `join` shows.
            let _ = sender.send_urgent(Item::CaptureEnd);
            drop(sender);
            match thread.join() {
                Ok(written) => summary = written.into_summary(),
                Err(_) => summary.warnings.push(Warning::WriterPanicked),
            }
            drop(monitor);
            if let Some(Capture { sink, .. }) = capture {
                summary.lost += sink.dropped_items();
                if sink.refused_items() > 0 {
                    summary.warnings.push(Warning::DiskResumed { lost: sink.refused_items() });
                }
            }
            if remaining > 0 {
                summary.warnings.push(Warning::ConnectionsAbandoned { count: remaining });
            }
        }
        if let Some(callback) = callback {
            callback.finish(|| self.serving.live.is_forced());
        }
        if let Some(observed) = observed {
            observed.add_to(&mut summary, observed.missed(), has_bundle);
        }
        summary.warnings.extend(self.key_log.take().and_then(|log| log.close()));
        Summary { uncaptured: counters.uncaptured(), domains: counters.domains(), ..summary }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.listening.is_empty() {
            self.end();
        }
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("addr", &self.addr()).finish_non_exhaustive()
    }
}

/// Makes [`Running::stop`] return without waiting for open connections, and without decoding the bodies that are left. The
/// bundle is still completed, with those bodies as received.
#[derive(Clone, Debug)]
pub struct ForceStop {
    live: Arc<LiveConnections>,
    writer: Option<Arc<WriterControl>>,
}

impl ForceStop {
    /// Ends the wait, now and later.
    pub fn now(&self) {
        self.live.stop_waiting();
        if let Some(writer) = &self.writer {
            writer.hurry();
        }
    }
}
