//! Exports a report: one HTML file that shows the capture in a browser, without a server or a network.
//!
//! ```text
//! report.html, report.css   the page
//! rows                      one line per exchange or WebSocket: what the list shows
//! details                   heads of exchanges, then bodies, then messages; each line begins with the id of its item
//! binary                    bodies that are not text, in base64
//! meta                      the title, the item of each line of the details, sizes of WebSockets, what was left out
//! report.js                 the script
//! ```
//!
//! Captured text stands only in script elements of the type `application/json`, which browsers do not run, and `<` is always
//! escaped in it. The Content-Security-Policy allows this style and this script, by their hashes, and no request.
//!
//! The size is bounded. Rows come before heads, heads before bodies, and bodies before messages, so that the list is complete as long
//! as it fits. What does not fit is left out and returned. Bodies are not in memory together; the report is written as the bundle is
//! read, twice: for the rows and heads, and for the bodies.

use super::{Error, Rendered, for_each_selected, readable};
use crate::bundle::id::ItemKind;
use crate::bundle::reader::{Bundle, LeftOut, Message, Trace};
use crate::tools::filter::{Filter, Selected};
use blocks::{Blocks, json};
use body::{Loaded, load};
use omitted::OmittedItems;
use serde::Serialize;
use std::io::Write;

pub use omitted::Omitted;

mod blocks;
mod body;
mod omitted;
mod page;
mod row;

/// The options of a report.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Selects the exchanges and WebSockets, as in [`export::Options`](super::Options).
    pub filter: Filter,
    /// The title of the report, such as the name of the bundle.
    pub title: String,
    /// The largest size of the report in bytes. The page itself takes 60 kB of it.
    pub max_size: u64,
    /// The largest number of bytes of a body or message that the report contains. Of longer ones it contains the beginning.
    pub max_body: u64,
    /// The command that shows what the report leaves out: `spectral capture inspect capture.zip`. An id is appended.
    pub inspect_command: String,
    /// True if secrets were replaced. The report says so also if it finds placeholders of a redaction.
    pub is_redacted: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            filter: Filter::default(),
            title: "Capture".into(),
            max_size: 50 << 20,
            max_body: 1 << 20,
            inspect_command: String::new(),
            is_redacted: false,
        }
    }
}

/// The items that a report lacks.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Written {
    /// Damaged items, which are left out.
    pub damaged: LeftOut,
    /// Parts that are cut or left out for their size.
    pub omitted: Omitted,
}

/// Writes a report about `bundle`.
///
/// # Errors
/// Returns [`Error::Read`] if the bundle cannot be read, [`Error::Write`] if `out` cannot be written.
pub fn write(bundle: &Bundle, options: &Options, out: &mut dyn Write) -> Result<Written, Error> {
    let mut report = Report {
        bundle,
        options,
        blocks: Blocks::new(out),
        limit: options.max_size.saturating_sub(page::len()).saturating_sub(META_BYTES),
        damaged: LeftOut::default(),
        omitted: OmittedItems::new(&options.inspect_command),
        websocket_bytes: Vec::new(),
        is_redacted: options.is_redacted,
    };
    page::write_start(report.blocks.out())?;
    let mut selected = Selected::new(&options.filter);
    selected.add_readable_websockets(bundle, |id| report.damaged.add(id))?;
    let exchanges = report.add_heads(&selected)?;
    let websockets = report.add_websockets(&selected)?;
    exchanges.iter().try_for_each(|place| report.add_bodies(*place))?;
    websockets.iter().try_for_each(|place| report.add_messages(*place))?;
    report.finish()
}

/// A report that is being written.
struct Report<'b, 'o> {
    bundle: &'b Bundle,
    options: &'b Options,
    blocks: Blocks<'o>,
    /// The largest size of all blocks.
    limit: u64,
    damaged: LeftOut,
    omitted: OmittedItems<'b>,
    /// The row of each WebSocket, and the bytes of its messages: sent, received.
    websocket_bytes: Vec<(u32, u64, u64)>,
    is_redacted: bool,
}

/// The place of an item. There may be a million of them, so they have no ids.
#[derive(Clone, Copy)]
struct Place {
    /// The index among the bundle's ids.
    index: u32,
    /// The number among the rows.
    row: u32,
}

impl<'b> Report<'b, '_> {
    /// Writes the rows and the heads of the selected exchanges. Returns those with a body.
    fn add_heads(&mut self, selected: &Selected<'_>) -> Result<Vec<Place>, Error> {
        let mut with_bodies = Vec::new();
        let bundle: &'b Bundle = self.bundle;
        // Exchanges are rendered in this order.
        let mut ids = (0..).zip(bundle.traces().iter());
        let mut rows_left = bundle.traces().len().saturating_add(bundle.websockets().len());
        for_each_selected(bundle, selected, &row::render, &mut |rendered| {
            let text = match rendered {
                Rendered::Small(text) => text,
                Rendered::Large(..) => return Ok(()),
                Rendered::Damaged(id) => {
                    self.damaged.add(&id);
                    return Ok(());
                }
            };
            let rendered = row::Rendered::of(&text);
            self.is_redacted |= rendered.is_redacted;
            rows_left = rows_left.saturating_sub(1);
            if !self.fits(rendered.row.len()) {
                self.omitted.add_exchange(rendered.id);
                return Ok(());
            }
            let row = self.blocks.add_row(rendered.row)?;
            // Room is kept for the rows that follow.
            match self.fits(rendered.head.len().saturating_add(rows_left.saturating_mul(ROW_BYTES))) {
                true => self.blocks.add_detail(row, rendered.head)?,
                false => self.omitted.add_head(rendered.id),
            }
            if let Some((index, _)) = ids.find(|(_, id)| *id == rendered.id)
                && rendered.has_body
            {
                with_bodies.push(Place { index, row });
            }
            Ok(())
        })?;
        Ok(with_bodies)
    }

    /// Writes the rows of the selected WebSockets.
    fn add_websockets(&mut self, selected: &Selected<'_>) -> Result<Vec<Place>, Error> {
        let mut places = Vec::new();
        for (index, id) in (0..).zip(self.bundle.websockets().iter()).filter(|(_, id)| selected.has_websocket(id)) {
            let Some(websocket) = readable(self.bundle.websocket(id), id, &mut self.damaged)? else { continue };
            let last = self.bundle.messages(id).iter().last().and_then(|id| self.bundle.message(id).ok());
            let row = row::websocket(&websocket, last.as_ref())?;
            if !self.fits(row.len().saturating_add(WEBSOCKET_BYTES)) {
                self.omitted.add_exchange(id);
                continue;
            }
            self.blocks.reserve(WEBSOCKET_BYTES);
            places.push(Place { index, row: self.blocks.add_row(&row)? });
        }
        Ok(places)
    }

    /// Writes the bodies of an exchange.
    fn add_bodies(&mut self, Place { index, row }: Place) -> Result<(), Error> {
        let bundle: &'b Bundle = self.bundle;
        let Some(id) = bundle.traces().get(index as usize) else { return Ok(()) };
        let Some(trace) = readable(self.bundle.trace(id), id, &mut self.damaged)? else { return Ok(()) };
        let Trace { request, response, .. } = &trace;
        let sent = (&request.body_file, &request.body_encoding, "request body");
        let received = (&response.body_file, &response.body_encoding, "response body");
        let mut fields = Vec::new();
        for (file, encoding, name) in [sent, received] {
            let body = self.load(ItemKind::Trace, id, file.as_deref());
            let Some(body) = readable(body, id, &mut self.damaged)? else { return Ok(()) };
            fields.extend(self.field(id, name, &body, encoding.as_deref())?);
        }
        if fields.iter().any(|field| !field.is_empty()) {
            self.blocks.add_detail(row, &json(&Line { id, kind: "body", fields: &fields })?)?;
        }
        Ok(())
    }

    /// Writes the messages of a WebSocket that fit, and counts the bytes of all.
    fn add_messages(&mut self, Place { index, row }: Place) -> Result<(), Error> {
        let bundle: &'b Bundle = self.bundle;
        let Some(id) = bundle.websockets().get(index as usize) else { return Ok(()) };
        let mut fields = Vec::new();
        let (mut bytes, mut sent, mut received, mut is_full) = (0usize, 0u64, 0u64, false);
        for message_id in bundle.messages(id).iter() {
            if bytes >= MESSAGE_LINE_BYTES {
                self.add_message_line(id, row, &mut fields)?;
                bytes = 0;
            }
            let Some(message) = readable(self.bundle.message(message_id), message_id, &mut self.damaged)? else {
                continue;
            };
            let total = if message.direction == "send" { &mut sent } else { &mut received };
            *total = total.saturating_add(message.payload_size);
            if is_full {
                continue;
            }
            if !self.fits(bytes.saturating_add(MESSAGE_BYTES)) {
                self.omitted.add_messages(id);
                is_full = true;
                continue;
            }
            let payload = self.load(ItemKind::Message, message_id, message.payload_file.as_deref());
            let Some(payload) = readable(payload, message_id, &mut self.damaged)? else { continue };
            let [text, mut note] = self.field(message_id, "message", &payload, message.payload_encoding.as_deref())?;
            if let Some(cut_off) = message.describe_cut_off() {
                note = [&*note, if note.is_empty() { "" } else { "; " }, "cut off: ", &cut_off].concat();
            }
            let Message { direction, opcode, timestamp, .. } = message;
            bytes = bytes.saturating_add(MESSAGE_BYTES).saturating_add(text.len());
            fields.extend([message_id.to_owned(), direction, opcode, timestamp.to_string(), text, note]);
        }
        self.websocket_bytes.push((row, sent, received));
        self.add_message_line(id, row, &mut fields)
    }

    fn add_message_line(&mut self, id: &str, row: u32, fields: &mut Vec<String>) -> Result<(), Error> {
        let fields = std::mem::take(fields);
        match fields.is_empty() {
            true => Ok(()),
            false => Ok(self.blocks.add_detail(row, &json(&Line { id, kind: "messages", fields: &fields })?)?),
        }
    }

    fn load(&self, kind: ItemKind, id: &str, file: Option<&str>) -> Result<Loaded, crate::bundle::reader::Error> {
        load(self.bundle, kind, id, file, self.options.max_body)
    }

    /// Returns a body as the report has it, and a note about what it lacks. A body that is not text becomes the place of its
    /// base64: NUL, the number of the block, and the line in it.
    fn field(&mut self, id: &str, name: &str, body: &Loaded, encoding: Option<&str>) -> Result<[String; 2], Error> {
        let mut notes = Vec::new();
        if let Some(encoding) = encoding {
            notes.push(format!("still encoded with {encoding}, which could not be decoded"));
        }
        if !self.fits(body.json_len()) {
            self.omitted.add_body(id, name, body.size);
            notes.push(format!("left out of this report for its size of {} bytes", body.size));
            return Ok([String::new(), notes.join("; ")]);
        }
        if (body.bytes.len() as u64) < body.size {
            self.omitted.add_cut_body(id, name, body.size);
            notes.push(format!("the first {} of {} bytes", body.bytes.len(), body.size));
        }
        let text = match body.text() {
            Some(text) => text.to_owned(),
            None => self.blocks.add_binary(&body.bytes)?,
        };
        Ok([text, notes.join("; ")])
    }

    /// True if `len` more bytes fit into the report.
    fn fits(&self, len: usize) -> bool {
        self.blocks.written().saturating_add(len as u64) <= self.limit
    }

    fn finish(self) -> Result<Written, Error> {
        let Self { bundle, options, blocks, omitted, websocket_bytes, is_redacted, damaged, .. } = self;
        let (out, index) = blocks.finish()?;
        let omitted = omitted.finish();
        let meta = Meta {
            title: &options.title,
            created: &bundle.manifest().created_at,
            redacted: is_redacted,
            command: &options.inspect_command,
            omitted: &omitted.first,
            omitted_summary: omitted.summary(),
            index: &index,
            websockets: &websocket_bytes,
        };
        page::write_end(&json(&meta)?, out)?;
        Ok(Written { damaged, omitted })
    }
}

/// A line of the details: the id of its item, its kind and its texts, in one array.
struct Line<'a> {
    id: &'a str,
    kind: &'a str,
    fields: &'a [String],
}

impl Serialize for Line<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq([self.id, self.kind].into_iter().chain(self.fields.iter().map(String::as_str)))
    }
}

#[derive(Serialize)]
struct Meta<'a> {
    title: &'a str,
    created: &'a str,
    redacted: bool,
    command: &'a str,
    omitted: &'a [String],
    omitted_summary: String,
    /// The number of the row of each line of each block of details.
    index: &'a [Vec<u32>],
    websockets: &'a [(u32, u64, u64)],
}

/// More than the last block takes without its index: the title and what was left out.
const META_BYTES: u64 = 100_000;
/// More than most rows take.
const ROW_BYTES: usize = 250;
/// More than the sizes of a WebSocket take.
const WEBSOCKET_BYTES: usize = 60;
/// More than a message takes besides its payload.
const MESSAGE_BYTES: usize = 100;
/// Messages of one line.
const MESSAGE_LINE_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests;
