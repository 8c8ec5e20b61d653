//! The bundle that the writer is writing: its archive, and the facts for its timeline and manifest.
//!
//! The state of the whole capture (numbers, open WebSockets, errors) is in [`super::Writer`], so that a capture can write
//! one bundle after another.

use super::error_log::{ErrorKind, ErrorLog};
use super::group::Group;
use super::websocket::WebSocketInfo;
use crate::bundle::archive::{Archive, FinishError, UnfinishedState};
use crate::bundle::capture_info::CaptureInfo;
use crate::bundle::recovery_note::CaptureIdentity;
use crate::clock::Moment;
use crate::error::Error;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// A bundle that is being written.
pub(super) struct BundleFile {
    pub(super) archive: Archive,
    pub(super) info: CaptureInfo,
    /// The start of the capture.
    started: Moment,
    /// The groups that are staged in the archive and not committed.
    pub(super) staged: Vec<Group>,
    /// WebSockets that ended and could not be written. Their messages are in the bundle, so they are tried again at the
    /// end.
    pub(super) unwritten_websockets: Vec<WebSocketInfo>,
}

impl BundleFile {
    /// Creates the unfinished bundle of `output`. Existing files are not changed. Also returns the paths of other
    /// unfinished bundles of that name.
    pub(super) fn create(output: &Path, started: Moment) -> Result<(Self, Vec<PathBuf>), Error> {
        let (archive, others) = Archive::create(output, started.since_epoch())?;
        let info = CaptureInfo::new(output, started.since_epoch());
        Ok((Self { archive, info, started, staged: Vec::new(), unwritten_websockets: Vec::new() }, others))
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

    /// Completes the bundle and returns its path. If that fails, the error is logged, and the unfinished bundle remains.
    pub(super) fn finish(mut self, errors: &mut ErrorLog) -> Option<PathBuf> {
        let written = catch_unwind(AssertUnwindSafe(|| self.write_timeline_and_manifest()))
            .unwrap_or_else(|_| Err(io::Error::other("internal error")));
        if let Err(cause) = written {
            let path = self.archive.unfinished_path().to_owned();
            errors.add(ErrorKind::Unfinished(path), &cause.to_string());
            return None;
        }
        match self.archive.finish() {
            Ok(output) => Some(output),
            Err(FinishError { path, state: UnfinishedState::Complete, cause }) => {
                errors.add(ErrorKind::NotRenamed(path), &cause.to_string());
                None
            }
            Err(FinishError { path, state: UnfinishedState::Truncated, cause }) => {
                errors.add(ErrorKind::Unfinished(path), &cause.to_string());
                None
            }
        }
    }

    fn write_timeline_and_manifest(&mut self) -> io::Result<()> {
        if !self.unwritten_websockets.is_empty() {
            // Readers do not expect messages without a WebSocket. Recovery restores the WebSocket from its handshake.
            return Err(io::Error::other("a WebSocket could not be written"));
        }
        let duration_ms = Moment::now().since(self.started).as_millis();
        self.info.write(&mut self.archive, u64::try_from(duration_ms).unwrap_or(u64::MAX))
    }
}
