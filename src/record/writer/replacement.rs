//! A group that takes the place of a committed one, because a claim was false or a body could be decoded.
//!
//! ```text
//! committed group ─▶ verify ─▶ all true: it stays
//!      │               └─ false ─┐
//!      └─ as received ───────────┴─▶ decode ─▶ replacement: bodies, and the JSON with their new sizes and codings
//! ```
//!
//! Everything is read back from the archive: the bodies wait there, and survive a crash.
//!
//! A forced end restores unverified gzip bodies in place if it can. Then the replacement is only an amendment: JSON for bodies
//! that stay where they are.

use super::backlog::{BacklogRecord, CommittedJob};
use super::body_entry::{BodyEntry, Task, is_compressed_media_type};
use super::packing::{Packing, PackingTools};
use super::prepared::{PARTIAL_CONTENT, also_cut_off};
use super::source::Source;
use super::unpack::verify;
use crate::bundle::archive::located_entry::LocatedEntry;
use crate::bundle::archive::{Archive, EntryHeader, GroupPlace, without_slack};
use crate::bundle::format::{self, Header, Trace};
use crate::bundle::id::{Id, ItemKind, item_of, request_path, response_path};
use crate::bundle::json::add_json;
use crate::bundle::recovery_note::AMENDMENT;
use crate::record::cut_off::{CutOff, CutOffSide};
use std::io;
use std::sync::Arc;

/// A group that takes the place of a committed one.
pub(super) struct Replacement {
    /// The record of the committed group.
    pub(super) record: BacklogRecord,
    trace: Box<Trace>,
    /// The recovery note of the JSON.
    note: Vec<u8>,
    /// The bodies of the request and of the response.
    pub(super) bodies: [BodyEntry; 2],
    /// The part that is incomplete, if the committed group does not show it.
    pub(super) cut_off_change: Option<CutOffChange>,
    /// True if the committed group must not stay, because a claim in it is false or was not verified.
    pub(super) is_needed: bool,
}

impl Replacement {
    /// Returns the size in memory of its head fields and its URL.
    pub(super) fn head_bytes(&self) -> usize {
        let (request, response) = (&self.trace.request, &self.trace.response);
        let fields = request.headers.iter().chain(&response.headers);
        let texts = fields.flat_map(|Header { name, value }| [name.len(), value.len(), size_of::<Header>()]);
        texts.fold(request.url.len(), usize::saturating_add)
    }
}

/// A part that turned out to be incomplete when it was decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CutOffChange {
    /// The exchange seemed complete.
    New(CutOff),
    /// Another part was known to be incomplete.
    Changed(CutOff),
}

/// The result for a committed group.
pub(super) enum CommittedOutcome {
    /// The group stays: all its claims are true, and no body of it can be decoded further.
    Stays,
    /// The group is to be replaced.
    Replaced(Box<Replacement>),
    /// The job was interrupted, or the group could not be read.
    Undone,
}

/// The result of verifying a committed group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    True,
    False,
}

/// The entries of an exchange in the archive.
struct Entries {
    json: LocatedEntry,
    /// The bodies of the request and of the response.
    bodies: [Option<LocatedEntry>; 2],
}

impl CommittedJob {
    /// Does the tasks that are left for the bodies.
    pub(super) fn run(&self, packing: &Packing, tools: &mut PackingTools) -> CommittedOutcome {
        match self.replacement(packing, tools) {
            Ok(Some(replacement)) => CommittedOutcome::Replaced(Box::new(replacement)),
            Ok(None) => CommittedOutcome::Stays,
            Err(_) => CommittedOutcome::Undone,
        }
    }

    /// Returns the group with its unverified bodies as received, without verifying them; `None` if it has none. A body that
    /// the JSON follows is restored in place, others are to be copied.
    pub(super) fn as_received(&self, archive: &Archive) -> io::Result<Option<Replacement>> {
        if !self.record.tasks.contains(&Task::Verify) {
            return Ok(None);
        }
        let entries = self.entries()?;
        if let Some(amended) = self.amended(&entries, archive)? {
            return Ok(Some(amended));
        }
        let verdicts = self.record.tasks.map(|task| (task == Task::Verify).then_some(Verdict::False));
        self.replaced(entries, verdicts).map(Some)
    }

    /// Restores the unverified body in place. Returns the group with all bodies where they are; `None` if that is not possible.
    fn amended(&self, entries: &Entries, archive: &Archive) -> io::Result<Option<Replacement>> {
        let Entries { json, bodies: [request, response] } = entries;
        if self.record.tasks == [Task::Verify; 2] {
            return Ok(None);
        }
        let trace = self.trace(json)?;
        let (sent, received) = (&trace.request, &trace.response);
        let [request_task, response_task] = self.record.tasks;
        let sides = [
            (request, request_task, &sent.body_encoding, &sent.headers),
            (response, response_task, &received.body_encoding, &received.headers),
        ];
        let mut bodies = [BodyEntry::empty(), BodyEntry::empty()];
        for (body, (entry, task, codings, headers)) in bodies.iter_mut().zip(sides) {
            let Some(entry) = entry else { continue };
            let path = entry.header.name.clone();
            *body = if task == Task::Verify {
                let Some(place) = archive.restore_member(entry, json)? else { return Ok(None) };
                let size = place.filled();
                BodyEntry::in_place(path, place, size, Some(gzip_name(headers)))
            } else {
                BodyEntry::in_place(path, archive.place_of(entry)?, entry.header.size, codings.clone())
            };
        }
        let mut amended = Replacement {
            record: self.record,
            trace,
            note: AMENDMENT.to_owned(),
            bodies,
            cut_off_change: None,
            is_needed: true,
        };
        amended.describe();
        Ok(Some(amended))
    }

    /// True if all claims of the group are true. Cannot be interrupted.
    pub(super) fn are_claims_true(&self, max_bytes: u64, tools: &mut PackingTools) -> io::Result<bool> {
        let entries = self.entries()?;
        for (entry, task) in entries.bodies.iter().zip(self.record.tasks) {
            if let (Task::Verify, Some(entry)) = (task, entry) {
                let EntryHeader { crc, size, .. } = entry.header;
                let mut slice = entry.compressed(self.group.file());
                if !tools.inflater.verify(&mut slice, crc, size, max_bytes)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn replacement(&self, packing: &Packing, tools: &mut PackingTools) -> io::Result<Option<Replacement>> {
        let entries = self.entries()?;
        let mut verdicts = [None; 2];
        for ((verdict, entry), task) in verdicts.iter_mut().zip(&entries.bodies).zip(self.record.tasks) {
            if let (Task::Verify, Some(entry)) = (task, entry) {
                *verdict = Some(self.verify(entry, packing, tools)?);
            }
        }
        if !self.record.tasks.contains(&Task::Decode) && !verdicts.contains(&Some(Verdict::False)) {
            return Ok(None);
        }
        let mut replacement = self.replaced(entries, verdicts)?;
        let codings = |bodies: &[BodyEntry; 2]| bodies.each_ref().map(|body| body.remaining_codings.clone());
        let before = codings(&replacement.bodies);
        for body in &mut replacement.bodies {
            body.pack(packing, tools);
            if body.task() == Task::Decode {
                return Err(io::ErrorKind::Interrupted.into());
            }
            body.compute_crc()?;
        }
        replacement.describe();
        let is_better = codings(&replacement.bodies) != before || replacement.cut_off_change.is_some();
        Ok((replacement.is_needed || is_better).then_some(replacement))
    }

    fn verify(&self, entry: &LocatedEntry, packing: &Packing, tools: &mut PackingTools) -> io::Result<Verdict> {
        let mut slice = entry.compressed(self.group.file());
        let is_true = verify(&mut slice, entry.header.crc, entry.header.size, packing, tools)?;
        Ok(if is_true { Verdict::True } else { Verdict::False })
    }

    /// Returns the group with these bodies to replace: unverified ones as received, with the task to decode them, if their
    /// verdict is false.
    fn replaced(&self, entries: Entries, verdicts: [Option<Verdict>; 2]) -> io::Result<Replacement> {
        let Entries { json, bodies: [request, response] } = entries;
        let trace = self.trace(&json)?;
        let [request_task, response_task] = self.record.tasks;
        let [request_verdict, response_verdict] = verdicts;
        let (sent, received) = (&trace.request, &trace.response);
        let bodies = [
            self.body(&sent.body_encoding, &sent.headers, request, (request_task, request_verdict))?,
            self.body(&received.body_encoding, &received.headers, response, (response_task, response_verdict))?,
        ];
        let is_needed = verdicts.contains(&Some(Verdict::False));
        let note = without_slack(&json.note).unwrap_or(&json.note).to_owned();
        let mut replacement = Replacement { record: self.record, trace, note, bodies, cut_off_change: None, is_needed };
        replacement.describe();
        Ok(replacement)
    }

    fn trace(&self, json: &LocatedEntry) -> io::Result<Box<Trace>> {
        let content = json.read(self.group.file(), MAX_JSON_BYTES).map_err(io::Error::other)?;
        Ok(serde_json::from_slice(&content)?)
    }

    fn body(
        &self,
        codings: &Option<String>,
        headers: &[Header],
        entry: Option<LocatedEntry>,
        (task, verdict): (Task, Option<Verdict>),
    ) -> io::Result<BodyEntry> {
        let Some(entry) = entry else { return Ok(BodyEntry::empty()) };
        let path = entry.header.name.clone();
        let is_compressible =
            !first(headers, "content-type").is_some_and(|value| is_compressed_media_type(value.as_bytes()));
        Ok(match (task, verdict) {
            (_, Some(Verdict::False)) => {
                let source = Source::member(&self.group, entry);
                BodyEntry::encoded(path, source, gzip_name(headers), is_compressible)
            }
            (Task::Decode, _) => {
                let codings = codings.clone().ok_or_else(|| io::Error::other("a body has no coding"))?;
                let source = Source::Committed(Arc::clone(&self.group), Box::new(entry));
                BodyEntry::encoded(path, source, codings, is_compressible)
            }
            (_, Some(Verdict::True) | None) => BodyEntry::committed(path, &self.group, entry, codings.clone()),
        })
    }

    fn entries(&self) -> io::Result<Entries> {
        let (mut json, mut bodies) = (None, [None, None]);
        let id = Id::Trace(self.record.number).to_string();
        let names = [request_path(&id), response_path(&id)];
        for entry in self.group.entries()? {
            match (names.iter().zip(&mut bodies)).find(|(name, _)| **name == entry.header.name) {
                Some((_, body)) => *body = Some(entry),
                None => json = Some(entry),
            }
        }
        let json = json.filter(|json| item_of(&json.header.name).is_some());
        Ok(Entries { json: json.ok_or_else(|| io::Error::other("an exchange has no JSON"))?, bodies })
    }
}

impl Replacement {
    /// Updates the JSON to the bodies.
    fn describe(&mut self) {
        let Self { trace, bodies: [sent, received], cut_off_change, .. } = self;
        let format::Request { body_file, body_size, body_encoding, .. } = &mut trace.request;
        let file = |body: &BodyEntry| body.file().map(str::to_owned);
        (*body_file, *body_size, *body_encoding) = (file(sent), sent.size, sent.remaining_codings.clone());
        let format::Response { body_file, body_size, body_encoding, .. } = &mut trace.response;
        (*body_file, *body_size, *body_encoding) = (file(received), received.size, received.remaining_codings.clone());
        let before = (trace.cut_off.as_ref()).and_then(|cut_off| CutOff::from_names(&cut_off.side, &cut_off.why));
        let has_range = |headers: &[Header]| first(headers, "content-range").is_some();
        let is_partial = trace.response.status == PARTIAL_CONTENT || has_range(&trace.response.headers);
        let cut_off = also_cut_off(before, CutOffSide::Request, sent, has_range(&trace.request.headers));
        let cut_off = also_cut_off(cut_off, CutOffSide::Response, received, is_partial);
        if let Some(cut_off) = cut_off.filter(|_| cut_off != before) {
            let CutOff { side, why } = cut_off;
            trace.cut_off = Some(format::CutOff { side: side.name().into(), why: why.name().into() });
            *cut_off_change =
                Some(if before.is_none() { CutOffChange::New(cut_off) } else { CutOffChange::Changed(cut_off) });
        }
    }

    /// Stages it in the archive, the JSON last. The committed group is removed with the same commit.
    pub(super) fn stage(&self, archive: &mut Archive) -> io::Result<GroupPlace> {
        archive.stage(|archive| {
            archive.retire(self.record.place)?;
            self.bodies.iter().try_for_each(|body| body.write(archive))?;
            add_json(archive, ItemKind::Trace.json_name(&self.trace.id), &self.trace, &self.note)
        })
    }
}

/// Returns the value of the first field named `name`, in lower case.
fn first<'h>(headers: &'h [Header], name: &str) -> Option<&'h str> {
    headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value.as_str())
}

/// Returns the name that the fields give the coding of a gzip body.
fn gzip_name(headers: &[Header]) -> String {
    let is_old = |value: &str| value.to_ascii_lowercase().contains("x-gzip");
    let fields = ["content-encoding", "transfer-encoding"];
    let has_old_name = fields.iter().any(|name| first(headers, name).is_some_and(is_old));
    if has_old_name { "x-gzip" } else { "gzip" }.into()
}

/// The largest JSON of an exchange. Heads are far smaller.
const MAX_JSON_BYTES: u64 = 64 << 20;
