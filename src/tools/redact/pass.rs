//! Reads all items of a bundle, on several threads, and writes them in their order.
//!
//! ```text
//!           ┌─▶ read, search, compress ─┐
//! items ────┤                           ├──▶ consume, in order: values and counts; in the second pass, write
//!           └─▶ read, search, compress ─┘        └─ a large item is searched and written here
//! ```
//!
//! A worker searches with a searcher of its own and passes on the values and counts of each item. They are added in the order of
//! the items, so the result does not depend on the number of threads. One large item at a time is in memory.

use super::Rules;
use super::item::ItemSearch;
use super::report::Report;
use super::search::{Found, Searcher};
use crate::bundle::id::{ItemKind, websocket_of};
use crate::bundle::reader::{self, Bundle, EntryError, LeftOut, MAX_JSON_BYTES, Manifest, Trace, WebSocket};
use crate::tools::body_decoder::BodyDecoder;
use crate::tools::filter::Selected;
use crate::tools::id_set::IdSet;
use crate::tools::in_order::{self, Outcome};
use crate::tools::packer::Packer;
use crate::tools::rewriter::{Content, Error, Item, PackedItem, Rewriter, decode_bodies};
use std::path::Path;

/// A redaction under way.
pub(super) struct Redaction<'b> {
    source: Source<'b>,
    search: ItemSearch<'b>,
    decoder: BodyDecoder,
    damaged: Damaged,
    pub(super) threads: usize,
}

/// The items to read.
#[derive(Clone, Copy)]
struct Source<'b> {
    bundle: &'b Bundle,
    selected: &'b Selected<'b>,
}

/// The items that cannot be read.
#[derive(Default)]
struct Damaged {
    /// Those of the last pass. Messages of a damaged WebSocket are not among them.
    items: LeftOut,
    ids: IdSet,
    /// The WebSocket whose messages are left out.
    websocket: Option<String>,
}

/// The kind and the id of an item.
type Named<'b> = (ItemKind, &'b str);

/// The result for an item.
enum Searched {
    /// The filter excludes it.
    Excluded,
    Damaged,
    /// The values and counts and, in the second pass, the item to write.
    Small(Box<(Found, Option<PackedItem>)>),
    /// An item that is read and searched when it is consumed. True if the filter selects it for certain.
    Large(bool),
}

impl<'b> Redaction<'b> {
    /// Creates the redaction of the part of `bundle` that is selected. `output` is the bundle that is written.
    pub(super) fn new(bundle: &'b Bundle, selected: &'b Selected<'b>, rules: &Rules, output: &'b Path) -> Self {
        let decoder = BodyDecoder::new(output);
        let (searcher, keep_unsearched) = (Searcher::new(rules), rules.keep_unsearched);
        let search = ItemSearch { bundle, searcher, keep_unsearched, empty: decoder.empty_body(), output };
        Self {
            source: Source { bundle, selected },
            search,
            decoder,
            damaged: Damaged::default(),
            threads: in_order::default_threads(),
        }
    }

    /// Makes the placeholders that another redaction makes.
    #[cfg(test)]
    pub(super) fn use_key(&mut self, key: &super::placeholder::Placeholders) {
        self.search.searcher.use_key(key);
    }

    /// Finds the values to replace.
    pub(super) fn find(&mut self) -> Result<(), Error> {
        self.manifest()?;
        self.pass(None)
    }

    /// Replaces the values that were found, and adds all items to `rewriter`. Returns the manifest.
    pub(super) fn write(&mut self, rewriter: &mut Rewriter) -> Result<Manifest, Error> {
        self.search.searcher.begin_writing();
        self.damaged.items = LeftOut::default();
        let manifest = self.manifest()?;
        self.pass(Some(rewriter))?;
        Ok(manifest)
    }

    /// Searches the manifest, and returns it redacted in the second pass.
    fn manifest(&mut self) -> Result<Manifest, Error> {
        let mut manifest = self.source.bundle.whole_manifest()?;
        self.search.manifest(&mut manifest);
        Ok(manifest)
    }

    /// Ends the redaction. `undecided` are WebSockets that were not considered because they are damaged.
    pub(super) fn into_report(self, undecided: LeftOut) -> Report {
        let mut damaged = undecided;
        damaged.append(self.damaged.items);
        Report { left_out: self.source.bundle.left_out().clone(), damaged, ..self.search.searcher.report }
    }

    fn pass(&mut self, mut rewriter: Option<&mut Rewriter>) -> Result<(), Error> {
        let Self { source, search, decoder, damaged, threads } = self;
        let (source, template) = (*source, search.worker());
        let earlier = if rewriter.is_some() { std::mem::take(&mut damaged.ids) } else { IdSet::default() };
        let worker = || {
            let mut search = template.worker();
            let mut packer = search.searcher.is_writing().then(|| Packer::new(search.output.to_owned()));
            let earlier = &earlier;
            move |(kind, id): Named<'b>| {
                let searched = match source.read((kind, id), earlier, MAX_SMALL_BYTES) {
                    Ok(Some(item)) => searched(&mut search, packer.as_mut(), item),
                    Ok(None) => Ok(Searched::Excluded),
                    Err(Error::Read(reader::Error::Malformed { cause: EntryError::TooLarge(_), .. })) => {
                        Ok(Searched::Large(false))
                    }
                    Err(e) => Err(e),
                };
                Ok(((kind, id), readable(searched)?.unwrap_or(Searched::Damaged)))
            }
        };
        in_order::map_with(*threads, source.items(), worker, |(item, searched)| {
            if damaged.is_part_of_websocket(item) {
                return Ok(());
            }
            let large = match searched {
                Searched::Large(is_selected) => readable(source.read_large(item, is_selected, &earlier, decoder))?,
                _ => None,
            };
            let is_lost = matches!((&searched, &large), (Searched::Damaged, _) | (Searched::Large(_), None));
            damaged.note(item, is_lost);
            match (searched, rewriter.as_mut()) {
                (Searched::Excluded | Searched::Damaged, _) => Ok(()),
                (Searched::Small(small), rewriter) => {
                    let (found, packed) = *small;
                    search.searcher.add(found);
                    rewriter.zip(packed).map_or(Ok(()), |(rewriter, packed)| rewriter.add_packed(&packed))
                }
                (Searched::Large(_), rewriter) => {
                    let Some(item) = large.flatten() else { return Ok(()) };
                    let item = search.search_item(item)?;
                    rewriter.map_or(Ok(()), |rewriter| rewriter.add(source.bundle, item))
                }
            }
        })
    }
}

/// Searches an item and, in the second pass, compresses it, unless it is large.
fn searched(search: &mut ItemSearch<'_>, packer: Option<&mut Packer>, item: Item) -> Result<Searched, Error> {
    if is_large(search.bundle, &item)? {
        return Ok(Searched::Large(true));
    }
    let item = search.search_item(item);
    let found = search.searcher.take_found();
    let packed = packer.map(|packer| packer.pack(search.bundle, item?)).transpose();
    Ok(Searched::Small(Box::new((found, packed?))))
}

impl<'b> Source<'b> {
    /// Returns all items in the order in which they are written.
    fn items(self) -> impl Iterator<Item = Named<'b>> + Send {
        let Self { bundle, selected } = self;
        let contexts = bundle.contexts().iter().map(|id| (ItemKind::Context, id));
        let traces = bundle.traces().iter().filter(|id| selected.considers(id)).map(|id| (ItemKind::Trace, id));
        let websockets = bundle.websockets().iter().filter(|id| selected.has_websocket(id)).flat_map(|id| {
            let messages = bundle.messages(id).iter().map(|id| (ItemKind::Message, id));
            [(ItemKind::WebSocket, id)].into_iter().chain(messages)
        });
        contexts.chain(traces).chain(websockets)
    }

    /// Reads an item with JSON of up to `max_bytes`; `None` if the filter excludes it. `damaged` are the items that were left out
    /// before.
    fn read(self, item: Named<'_>, damaged: &IdSet, max_bytes: u64) -> Result<Option<Item>, Error> {
        self.read_if(item, damaged, max_bytes, |trace| Ok(self.selected.has_exchange(self.bundle, trace)?))
    }

    /// Reads an item whose JSON and bodies may be large, and decodes the bodies.
    fn read_large(
        self,
        item: Named<'_>,
        is_selected: bool,
        damaged: &IdSet,
        decoder: &mut BodyDecoder,
    ) -> Result<Option<Item>, Error> {
        let mut item = match is_selected {
            true => self.read_if(item, damaged, MAX_JSON_BYTES, |_| Ok(true))?,
            false => self.read(item, damaged, MAX_JSON_BYTES)?,
        };
        if let Some(item) = &mut item {
            // Fails if a body is missing.
            is_large(self.bundle, item)?;
            if let Item::Trace(trace, bodies) = item {
                decode_bodies(decoder, self.bundle, trace, bodies)?;
            }
        }
        Ok(item)
    }

    fn read_if(
        self,
        (kind, id): Named<'_>,
        damaged: &IdSet,
        max_bytes: u64,
        is_selected: impl FnOnce(&Trace) -> Result<bool, Error>,
    ) -> Result<Option<Item>, Error> {
        let bundle = self.bundle;
        Ok(Some(match kind {
            ItemKind::Trace => {
                let trace = bundle.whole_trace(id, max_bytes)?;
                if !is_selected(&trace)? {
                    return Ok(None);
                }
                let bodies = Content::of_trace(bundle, &trace)?;
                Item::Trace(Box::new(trace), bodies)
            }
            ItemKind::WebSocket => Item::WebSocket(Box::new(self.websocket(id, damaged, max_bytes)?)),
            ItemKind::Message => {
                let message = bundle.whole_message(id, max_bytes)?;
                let payload = Content::stored(bundle, kind, id, message.payload_file.as_deref())?;
                Item::Message(Box::new(message), payload)
            }
            ItemKind::Context => Item::Context(Box::new(bundle.context(id)?)),
        }))
    }

    /// Reads a WebSocket, without references to items that are left out.
    fn websocket(self, id: &str, damaged: &IdSet, max_bytes: u64) -> Result<WebSocket, Error> {
        let mut websocket = self.bundle.whole_websocket(id, max_bytes)?;
        let lost = self.bundle.messages(id).iter().filter(|message| damaged.contains(message)).count();
        websocket.message_count = websocket.message_count.saturating_sub(lost as u64);
        websocket.handshake_trace_ref = websocket.handshake_trace_ref.filter(|trace| !damaged.contains(trace));
        Ok(websocket)
    }
}

impl Damaged {
    /// Returns true for a message of a damaged WebSocket.
    fn is_part_of_websocket(&self, (kind, id): Named<'_>) -> bool {
        kind == ItemKind::Message && self.websocket.as_deref() == Some(websocket_of(id))
    }

    /// Notes whether an item is left out because of damage.
    fn note(&mut self, (kind, id): Named<'_>, is_damaged: bool) {
        if is_damaged {
            self.items.add(id);
            self.ids.insert(id);
        }
        if kind == ItemKind::WebSocket {
            self.websocket = is_damaged.then(|| id.to_owned());
        }
    }
}

/// Returns the value, or `None` if one entry of the bundle cannot be read.
fn readable<T>(read: Result<T, Error>) -> Result<Option<T>, Error> {
    match read {
        Err(Error::Read(e)) if e.is_of_one_entry() => Ok(None),
        read => read.map(Some),
    }
}

/// Returns true for an item with bodies that must be decoded, or that are larger than several threads should have in memory. Fails
/// if a body is missing.
fn is_large(bundle: &Bundle, item: &Item) -> Result<bool, Error> {
    let (bodies, is_coded) = match item {
        Item::Trace(trace, bodies) => (bodies.as_slice(), is_coded(trace)),
        Item::Message(_, payload) => (std::slice::from_ref(payload), false),
        Item::WebSocket(_) | Item::Context(_) => return Ok(false),
    };
    let mut bytes: u64 = 0;
    for body in bodies {
        if let Content::Copied(entry) = body {
            bytes = bytes.saturating_add(bundle.entry_bytes(entry)?);
        }
    }
    Ok(is_coded || bytes > MAX_SMALL_BYTES)
}

fn is_coded(trace: &Trace) -> bool {
    trace.request.body_encoding.is_some() || trace.response.body_encoding.is_some()
}

impl Outcome for (Named<'_>, Searched) {
    fn size(&self) -> usize {
        match &self.1 {
            Searched::Excluded | Searched::Damaged | Searched::Large(_) => 0,
            Searched::Small(small) => {
                let (found, packed) = &**small;
                let packed = packed.as_ref().map_or(0, PackedItem::bytes);
                packed.saturating_add(found.bytes()).saturating_add(USUAL_BYTES)
            }
        }
    }
}

/// Items with larger JSON or bodies are searched one by one.
const MAX_SMALL_BYTES: u64 = 256 << 10;

/// The fields of a usual result.
const USUAL_BYTES: usize = 512;
