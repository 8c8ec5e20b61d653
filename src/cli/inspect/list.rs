//! A list of exchanges and WebSockets, one line each. Each is read from the file when its line is written.

use super::grpc;
use super::messages::is_closed;
use super::options::Options;
use crate::cli::command_error::CommandError;
use crate::cli::json::write_line;
use crate::cli::open_bundle::{Opened, add_damaged};
use crate::cli::text::{Align, Table, count, date, duration, escape, or_dash, size};
use serde::Serialize;
use spectral_capture::reader::{Bundle, Error, LeftOut, State, Trace, WebSocket};
use spectral_capture::text::write_json;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

/// Shows everything that matches the filter and, with `--follow`, new exchanges until the capture ends. Returns the damaged items,
/// which are left out.
pub(super) fn show(
    opened: &mut Opened,
    options: &Options,
    out: &mut dyn Write,
    refresh_interval: Duration,
) -> Result<LeftOut, CommandError> {
    let Opened { bundle, state, .. } = opened;
    if !options.json {
        match *state != State::Complete && bundle.traces().is_empty() && bundle.websockets().is_empty() {
            true => show_beginning(bundle, &options.file, *state, out)?,
            false => show_session(bundle, *state, out)?,
        }
    }
    let mut list = List {
        options,
        exchanges: exchange_table(),
        websockets: websocket_table(),
        next_exchange: 0,
        matched_exchanges: 0,
        damaged: LeftOut::default(),
    };
    list.show_new_exchanges(bundle, out)?;
    list.exchanges.flush(out)?;
    while options.follow && *state == State::Growing {
        out.flush()?;
        thread::sleep(refresh_interval);
        *state = bundle.refresh()?;
        list.show_new_exchanges(bundle, out)?;
        list.exchanges.flush(out)?;
    }
    let matched_websockets = list.show_websockets(bundle, out)?;
    if !options.json && !options.filter.is_empty() {
        let exchanges = count(bundle.traces().len() as u64, "exchange");
        let websockets = count(bundle.websockets().len() as u64, "WebSocket");
        let matched = list.matched_exchanges;
        writeln!(out, "\nMatched: {matched} of {exchanges}, {matched_websockets} of {websockets}")?;
    }
    Ok(list.damaged)
}

/// Writes an exchange as a line of JSON, with the bundle's own field names. `cut_off` is always there, for programs.
pub(super) fn write_exchange_line(trace: &Trace, out: &mut dyn Write) -> Result<(), CommandError> {
    // In memory, since JSON is written in pieces of a few bytes.
    let mut line = Vec::with_capacity(USUAL_LINE_BYTES);
    write_json(trace, &mut line)?;
    if trace.cut_off.is_none() && line.pop() == Some(b'}') {
        line.extend_from_slice(b",\"cut_off\":null}");
    }
    line.push(b'\n');
    Ok(out.write_all(&line)?)
}

/// Shows what is known of an unfinished bundle before its first exchange: it has neither a name nor a start in itself.
fn show_beginning(bundle: &Bundle, file: &Path, state: State, out: &mut dyn Write) -> Result<(), CommandError> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let created = fs::metadata(bundle.path()).and_then(|meta| meta.created()).ok();
    let created = created.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let since = created
        .and_then(|time| u64::try_from(time.as_millis()).ok())
        .map(|ms| format!(" since {}", date(ms)))
        .unwrap_or_default();
    let progress = match state {
        State::Growing => format!("is being captured{since}; nothing has ended yet"),
        _ => format!("was captured{since} and interrupted; nothing had ended"),
    };
    Ok(writeln!(out, "{} {progress}", escape(&name))?)
}

fn show_session(bundle: &Bundle, state: State, out: &mut dyn Write) -> Result<(), CommandError> {
    let manifest = bundle.manifest();
    let (app, stats) = (&manifest.app, &manifest.stats);
    let unfinished = if state == State::Complete { "" } else { ", unfinished" };
    let file_name = bundle.path().file_name().unwrap_or_default().to_string_lossy();
    let name = if app.name.is_empty() { &*file_name } else { &app.name };
    writeln!(out, "Bundle {}{unfinished}", escape(name))?;
    if !app.base_url.is_empty() {
        writeln!(out, "  base URL  {}", escape(&app.base_url))?;
    }
    // The browser extension writes no capture method.
    let method = manifest.capture_method.as_deref().unwrap_or("chrome_extension");
    if !manifest.created_at.is_empty() {
        writeln!(out, "  captured  {} by {}", escape(&manifest.created_at), escape(method))?;
    }
    if state == State::Complete {
        writeln!(out, "  duration  {}", duration(manifest.duration_ms as f64))?;
    }
    writeln!(
        out,
        "  contents  {}, {}, {}",
        count(stats.trace_count, "exchange"),
        count(stats.ws_connection_count, "WebSocket"),
        count(stats.ws_message_count, "message"),
    )?;
    Ok(())
}

/// The progress of the list.
struct List<'o> {
    options: &'o Options,
    exchanges: Table<6>,
    websockets: Table<5>,
    /// The index of the first exchange that was not read yet.
    next_exchange: usize,
    matched_exchanges: usize,
    damaged: LeftOut,
}

impl List<'_> {
    /// Shows the exchanges that were added since the last call.
    fn show_new_exchanges(&mut self, bundle: &Bundle, out: &mut dyn Write) -> Result<(), CommandError> {
        while let Some(id) = bundle.traces().get(self.next_exchange) {
            self.next_exchange = self.next_exchange.saturating_add(1);
            let read = bundle.trace(id);
            let matching = read.and_then(|trace| Ok(self.options.filter.matches(bundle, &trace)?.then_some(trace)));
            let Some(trace) = self.readable(id, matching)? else { continue };
            self.matched_exchanges = self.matched_exchanges.saturating_add(1);
            match self.options.json {
                true => write_exchange_line(&trace, out)?,
                false => self.exchanges.row(exchange_row(id.to_owned(), &trace, grpc::mark(bundle, &trace)), out)?,
            }
        }
        Ok(())
    }

    /// Shows the WebSockets that match the filter, and returns their number.
    fn show_websockets(&mut self, bundle: &Bundle, out: &mut dyn Write) -> Result<usize, CommandError> {
        let mut matched: usize = 0;
        for id in bundle.websockets().iter() {
            let filter = &self.options.filter;
            let matching = bundle
                .websocket(id)
                .and_then(|websocket| Ok(filter.matches_websocket(bundle, &websocket)?.then_some(websocket)));
            let Some(websocket) = self.readable(id, matching)? else { continue };
            matched = matched.saturating_add(1);
            let is_closed = is_closed(bundle, id);
            match self.options.json {
                true => write_line(&WebSocketLine { websocket: &websocket, r#type: "websocket", is_closed }, out)?,
                false => self.websockets.row(websocket_row(id.to_owned(), &websocket, is_closed), out)?,
            }
        }
        self.websockets.flush(out)?;
        Ok(matched)
    }

    /// Returns an item that matches. Keeps the id of one that is damaged.
    fn readable<T>(&mut self, id: &str, matching: Result<Option<T>, Error>) -> Result<Option<T>, CommandError> {
        match matching {
            Err(e) if e.is_of_one_entry() => {
                add_damaged(&mut self.damaged, id, self.options.follow);
                Ok(None)
            }
            matching => Ok(matching?),
        }
    }
}

/// A WebSocket with the bundle's own field names, and two more: `type`, which only exchanges have in a bundle, and
/// `is_closed`.
#[derive(Serialize)]
struct WebSocketLine<'w> {
    #[serde(flatten)]
    websocket: &'w WebSocket,
    r#type: &'static str,
    is_closed: Option<bool>,
}

fn exchange_table() -> Table<6> {
    Table::new([
        ("ID", Align::Left),
        ("METHOD", Align::Left),
        ("STATUS", Align::Right),
        ("TIME", Align::Right),
        ("SIZE", Align::Right),
        ("URL", Align::Left),
    ])
}

/// Returns the row of an exchange, with a `mark` of its own.
fn exchange_row(id: String, trace: &Trace, mark: Option<String>) -> [String; 6] {
    let (request, response) = (&trace.request, &trace.response);
    let no_response = (response.status == 0).then(|| format!("no response: {}", response.status_text));
    let cut_off = trace.describe_cut_off().map(|part| format!("cut off: {part}"));
    let marks = no_response.into_iter().chain(mark).chain(cut_off);
    let marks: Vec<_> = marks.map(|mark| format!("  ({})", escape(&mark))).collect();
    [
        id,
        escape(&request.method).into_owned(),
        match response.status {
            0 => "-".into(),
            status => status.to_string(),
        },
        duration(trace.timing.total_ms),
        size(response.body_size),
        format!("{}{}", escape(&request.url), marks.concat()),
    ]
}

fn websocket_table() -> Table<5> {
    Table::new([
        ("ID", Align::Left),
        ("HANDSHAKE", Align::Left),
        ("MESSAGES", Align::Right),
        ("PROTOCOL", Align::Left),
        ("URL", Align::Left),
    ])
}

fn websocket_row(id: String, websocket: &WebSocket, is_closed: Option<bool>) -> [String; 5] {
    let mark = if is_closed == Some(false) { "  (no close frame)" } else { "" };
    [
        id,
        or_dash(&escape(websocket.handshake_trace_ref.as_deref().unwrap_or_default())),
        websocket.message_count.to_string(),
        or_dash(&escape(&websocket.protocols.join(", "))),
        format!("{}{mark}", escape(&websocket.url)),
    ]
}

/// The size of most exchanges as a line of JSON.
const USUAL_LINE_BYTES: usize = 2048;
