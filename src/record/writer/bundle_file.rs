//! The bundle that the writer is writing: its archive, and the facts for its timeline and manifest.
//!
//! The state of the whole capture (numbers, open WebSockets, errors) is in [`super::Writer`], so that a capture can write
//! one bundle after another.

use super::backlog::{Backlog, BacklogRecord, CommittedJob};
use super::error_log::ErrorKind;
use super::group::{Copying, Group};
use super::websocket::WebSocketInfo;
use crate::bundle::archive::{Archive, FinishError, Finished, GroupPlace, OutputFile, UnfinishedState};
use crate::bundle::capture_info::CaptureInfo;
use crate::bundle::format::Stats;
use crate::bundle::id::{Id, ItemKind};
use crate::bundle::iso8601;
use crate::bundle::json::add_json;
use crate::bundle::recovery_note::{CaptureIdentity, RecoveryNote};
use crate::bundle::spill::SpillPlace;
use crate::clock::Moment;
use crate::error::Error;
use crate::sorting::sort_by_key;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A bundle that is being written.
pub(super) struct BundleFile {
    /// The number among the bundles of the capture, from 0.
    pub(super) number: u32,
    pub(super) archive: Archive,
    pub(super) info: CaptureInfo,
    /// True once another process was found to have deleted or replaced the file.
    pub(super) is_lost: bool,
    /// The place of its temporary files.
    spill: SpillPlace,
    /// The start of the capture, or of this bundle if it is a later one.
    started: Moment,
    /// The groups that are staged in the archive and not committed.
    pub(super) staged: Vec<(Group, GroupPlace)>,
    /// Groups with large bodies, which are copied into the archive in steps.
    pub(super) copies: VecDeque<Copying>,
    /// Committed groups whose bodies are left to verify or to decode.
    pub(super) backlog: Backlog,
    /// The number of those that are with the packers.
    pub(super) submitted: usize,
    /// Committed groups with unverified claims whose replacements could not be written. They are tried again at the end.
    pub(super) retries: Backlog,
    has_retried: bool,
    /// WebSockets whose JSON is written at the end: those that ended and could not be written, and those that are open then.
    /// Their messages are in the bundle.
    pub(super) unwritten_websockets: Vec<WebSocketInfo>,
}

/// A bundle after its end.
pub(super) struct FinishedBundle {
    pub(super) stats: Stats,
    pub(super) result: Result<Finished, Unfinished>,
    /// The file, if its path is known.
    pub(super) file: Option<Arc<File>>,
    /// The WebSockets that were written at the end.
    pub(super) websockets: Vec<WebSocketInfo>,
    /// Those that could not be written, with the error.
    pub(super) failed_websockets: Vec<(WebSocketInfo, io::Error)>,
}

/// The reason why a bundle was not finished.
#[derive(Debug)]
pub(super) enum Unfinished {
    Error(ErrorKind, String),
    /// It has no items, and did not replace the bundle at this path.
    Discarded(PathBuf),
}

impl From<FinishError> for Unfinished {
    fn from(FinishError { path, state, cause }: FinishError) -> Self {
        let kind = match state {
            UnfinishedState::Complete => ErrorKind::NotRenamed(path),
            UnfinishedState::Truncated => ErrorKind::Unfinished(path),
            UnfinishedState::Copied(copy) => ErrorKind::Copied { part: path, copy },
            UnfinishedState::Lost => ErrorKind::Lost(path),
            UnfinishedState::Discarded => return Self::Discarded(path),
        };
        Self::Error(kind, cause.to_string())
    }
}

impl FinishedBundle {
    /// The result of a panic.
    pub(super) fn failed(part: PathBuf) -> Self {
        let result = Err(Unfinished::Error(ErrorKind::Unfinished(part), "internal error".into()));
        let (stats, websockets, failed_websockets) = (Stats::default(), Vec::new(), Vec::new());
        Self { stats, result, file: None, websockets, failed_websockets }
    }
}

impl BundleFile {
    /// Creates the unfinished bundle of `output`, which spills to `spill`. Existing files are not changed. Also returns the paths
    /// of other unfinished bundles of that name.
    pub(super) fn create(
        output: OutputFile<'_>,
        spill: SpillPlace,
        started: Moment,
    ) -> Result<(Self, Vec<PathBuf>), Error> {
        let (archive, others) = Archive::create_in(spill.clone(), output, started.since_epoch())?;
        let named = match output {
            OutputFile::Path(output) => output,
            OutputFile::Open(_) => Path::new(NAME_OF_OPEN_FILES),
        };
        let bundle = Self {
            number: 0,
            archive,
            info: CaptureInfo::spilling_to(spill.clone(), named, started.since_epoch()),
            is_lost: false,
            started,
            staged: Vec::new(),
            copies: VecDeque::new(),
            backlog: Backlog::new(spill.clone()),
            submitted: 0,
            retries: Backlog::new(spill.clone()),
            spill,
            has_retried: false,
            unwritten_websockets: Vec::new(),
        };
        Ok((bundle, others))
    }

    /// Creates the next bundle of the capture that this one belongs to.
    pub(super) fn next(&self, output: &Path, started: Moment) -> Result<Self, Error> {
        let (mut next, _) = Self::create(OutputFile::Path(output), self.spill.clone(), started)?;
        next.info.capture_id.clone_from(&self.info.capture_id);
        next.number = self.number.saturating_add(1);
        Ok(next)
    }

    /// Takes the groups whose copying has not begun, except those that replace a group of this bundle.
    pub(super) fn take_unbegun_copies(&mut self) -> VecDeque<Copying> {
        let unbegun = self.copies.split_off(self.copies.len().min(1));
        let is_replacement = |copying: &Copying| matches!(copying.group, Group::Replacement(_));
        let (replacements, others) = unbegun.into_iter().partition(is_replacement);
        self.copies.extend::<VecDeque<_>>(replacements);
        others
    }

    /// Moves the start of a bundle that has no items.
    pub(super) fn restart(&mut self, started: Moment) {
        self.started = started;
        self.info.created_at = iso8601::micros(started.since_epoch());
    }

    /// Returns the note that identifies the capture, if the bundle is still empty. The first JSON has this note, so that
    /// recovery can identify the capture without the manifest.
    pub(super) fn first_note(&self) -> Option<CaptureIdentity> {
        self.info.is_empty().then(|| CaptureIdentity {
            id: self.info.capture_id.clone(),
            created: u64::try_from(self.started.since_epoch().as_micros()).unwrap_or(u64::MAX),
            name: self.info.name.clone(),
        })
    }

    /// Returns the number of groups that are left to verify or to decode.
    pub(super) fn left(&self) -> u64 {
        self.backlog.len().saturating_add(self.retries.len()).saturating_add(self.submitted as u64)
    }

    /// True if everything is verified, decoded and committed, as far as possible. What failed before is tried once more.
    pub(super) fn is_drained(&mut self) -> bool {
        let is_idle =
            self.staged.is_empty() && self.copies.is_empty() && self.submitted == 0 && self.backlog.len() == 0;
        if is_idle && self.retries.len() > 0 && !self.has_retried {
            self.has_retried = true;
            std::mem::swap(&mut self.backlog, &mut self.retries);
            return false;
        }
        is_idle
    }

    /// Returns the job for a committed group.
    pub(super) fn committed_job(&self, record: BacklogRecord) -> io::Result<CommittedJob> {
        let group = Arc::new(self.archive.read_group(record.place)?);
        Ok(CommittedJob { bundle: self.number, record, group })
    }

    /// Writes the JSON of a WebSocket.
    pub(super) fn write_websocket(&mut self, websocket: &WebSocketInfo) -> io::Result<()> {
        let note = RecoveryNote { capture: self.first_note(), opens: None }.encode();
        let name = ItemKind::WebSocket.json_name(&Id::WebSocket(websocket.number).to_string());
        self.archive.group(|archive| add_json(archive, name, &websocket.json(), &note))?;
        self.info.add_websocket(websocket.number, websocket.started_ms);
        Ok(())
    }

    /// Deletes the bundle, which has no items.
    pub(super) fn discard(mut self) {
        self.archive.abandon();
    }

    /// Completes the bundle, which ended at `ended`. If that fails, the unfinished bundle remains. A bundle without items does not
    /// replace another one.
    pub(super) fn finish(mut self, ended: Moment) -> FinishedBundle {
        let mut unwritten = std::mem::take(&mut self.unwritten_websockets);
        sort_by_key(&mut unwritten, &|websocket| websocket.number.into());
        let (mut websockets, mut failed_websockets) = (Vec::new(), Vec::new());
        for websocket in unwritten {
            match self.write_websocket(&websocket) {
                Ok(()) => websockets.push(websocket),
                Err(cause) => failed_websockets.push((websocket, cause)),
            }
        }
        let stats = self.info.stats().clone();
        let written = if failed_websockets.is_empty() {
            let duration_ms = u64::try_from(ended.since(self.started).as_millis()).unwrap_or(u64::MAX);
            catch_unwind(AssertUnwindSafe(|| self.info.write(&mut self.archive, duration_ms)))
                .unwrap_or_else(|_| Err(io::Error::other("internal error")))
        } else {
            // Readers do not expect messages without a WebSocket. Recovery restores the WebSocket from its handshake.
            Err(io::Error::other("a WebSocket could not be written"))
        };
        let file = self.archive.file();
        let result = match written {
            Ok(()) if self.info.is_empty() => self.archive.finish_if_free(),
            Ok(()) => self.archive.finish(),
            Err(cause) => Err(self.archive.leave(cause)),
        };
        let result = result.map_err(Unfinished::from);
        FinishedBundle { stats, file: result.is_ok().then_some(file), result, websockets, failed_websockets }
    }
}

/// The manifest of a bundle in an open file has this name.
const NAME_OF_OPEN_FILES: &str = "capture";
