//! What a bundle holds, a line for each exchange and WebSocket, each read when its line is written.

use super::cut::{Cut, cut_off};
use super::{Options, PERIOD};
use crate::cli::json::write_line;
use crate::cli::open_bundle::{CommandError, Opened};
use crate::cli::text::{Align, Table, count, duration, escape, or_dash, size};
use serde::Serialize;
use spectral_capture::reader::{Bundle, State, Trace, WebSocket};
use std::io::Write;
use std::thread;

/// Shows all that the filter wants, and if asked for, what a capture adds until it ends.
pub(super) fn show(opened: &mut Opened, options: &Options, out: &mut dyn Write) -> Result<(), CommandError> {
    let Opened { bundle, state, .. } = opened;
    if !options.json {
        show_session(bundle, *state, out)?;
    }
    let mut shown = Shown { options, traces: traces(), sockets: sockets(), seen: 0, matched: 0 };
    shown.new_traces(bundle, out)?;
    shown.traces.flush(out)?;
    while options.follow && *state == State::Growing {
        out.flush()?;
        thread::sleep(PERIOD);
        *state = bundle.refresh()?;
        shown.new_traces(bundle, out)?;
        shown.traces.flush(out)?;
    }
    let matched = shown.sockets(bundle, out)?;
    if !options.json && !options.filter.is_empty() {
        let (traces, sockets) = (bundle.traces().len(), bundle.websockets().len());
        writeln!(out, "\n{} of {traces} traces and {matched} of {sockets} WebSockets match", shown.matched)?;
    }
    Ok(())
}

/// Writes the JSON of an exchange as a line.
pub(super) fn trace_line(trace: &Trace, out: &mut dyn Write) -> Result<(), CommandError> {
    Ok(write_line(&TraceLine { trace, cut_off: cut_off(trace) }, out)?)
}

fn show_session(bundle: &Bundle, state: State, out: &mut dyn Write) -> Result<(), CommandError> {
    let manifest = bundle.manifest();
    let (app, stats) = (&manifest.app, &manifest.stats);
    let unfinished = if state == State::Complete { "" } else { ", unfinished" };
    writeln!(out, "Bundle {}{unfinished}", escape(&app.name))?;
    if !app.base_url.is_empty() {
        writeln!(out, "  base URL  {}", escape(&app.base_url))?;
    }
    // A bundle that does not say how it was made is the browser extension's.
    let method = manifest.capture_method.as_deref().unwrap_or("chrome_extension");
    writeln!(out, "  captured  {} by {}", escape(&manifest.created_at), escape(method))?;
    if state == State::Complete {
        writeln!(out, "  lasted    {}", duration(manifest.duration_ms as f64))?;
    }
    writeln!(
        out,
        "  holds     {}, {}, {}",
        count(stats.trace_count, "HTTP trace"),
        count(stats.ws_connection_count, "WS connection"),
        count(stats.ws_message_count, "WS message"),
    )?;
    Ok(())
}

/// What was shown so far.
struct Shown<'o> {
    options: &'o Options,
    traces: Table<6>,
    sockets: Table<5>,
    /// How many exchanges were looked at.
    seen: usize,
    /// How many of them were wanted.
    matched: usize,
}

impl Shown<'_> {
    /// Shows the exchanges that were not looked at before.
    fn new_traces(&mut self, bundle: &Bundle, out: &mut dyn Write) -> Result<(), CommandError> {
        while let Some(id) = bundle.traces().get(self.seen) {
            let trace = bundle.trace(id)?;
            self.seen = self.seen.saturating_add(1);
            if !self.options.filter.matches(bundle, &trace)? {
                continue;
            }
            self.matched = self.matched.saturating_add(1);
            match self.options.json {
                true => trace_line(&trace, out)?,
                false => self.traces.row(row(id.to_owned(), &trace), out)?,
            }
        }
        Ok(())
    }

    /// Shows the WebSockets, and says how many.
    fn sockets(&mut self, bundle: &Bundle, out: &mut dyn Write) -> Result<usize, CommandError> {
        let mut matched: usize = 0;
        for id in bundle.websockets().iter() {
            let socket = bundle.websocket(id)?;
            if !self.options.filter.matches_websocket(bundle, &socket)? {
                continue;
            }
            matched = matched.saturating_add(1);
            if self.options.json {
                write_line(&SocketLine { socket: &socket, r#type: "websocket" }, out)?;
                continue;
            }
            let row = [
                id.to_owned(),
                or_dash(&escape(socket.handshake_trace_ref.as_deref().unwrap_or_default())),
                socket.message_count.to_string(),
                or_dash(&escape(&socket.protocols.join(", "))),
                escape(&socket.url).into_owned(),
            ];
            self.sockets.row(row, out)?;
        }
        self.sockets.flush(out)?;
        Ok(matched)
    }
}

/// An exchange as the bundle has it, and whether all of it is there.
#[derive(Serialize)]
struct TraceLine<'t> {
    #[serde(flatten)]
    trace: &'t Trace,
    cut_off: Option<Cut>,
}

/// A WebSocket as the bundle has it, which exchanges say of themselves and WebSockets do not.
#[derive(Serialize)]
struct SocketLine<'s> {
    #[serde(flatten)]
    socket: &'s WebSocket,
    r#type: &'static str,
}

fn traces() -> Table<6> {
    Table::new([
        ("ID", Align::Left),
        ("METHOD", Align::Left),
        ("STATUS", Align::Right),
        ("TIME", Align::Right),
        ("SIZE", Align::Right),
        ("URL", Align::Left),
    ])
}

fn sockets() -> Table<5> {
    Table::new([
        ("ID", Align::Left),
        ("HANDSHAKE", Align::Left),
        ("MESSAGES", Align::Right),
        ("PROTOCOL", Align::Left),
        ("URL", Align::Left),
    ])
}

fn row(id: String, trace: &Trace) -> [String; 6] {
    let (request, response) = (&trace.request, &trace.response);
    let mark = match (cut_off(trace), response.status) {
        (Some(_), 0) => format!("  (no answer: {})", escape(&response.status_text)),
        (Some(Cut::Response), _) => "  (response cut off)".into(),
        (Some(Cut::Request), _) => "  (request cut off)".into(),
        (None, _) => String::new(),
    };
    [
        id,
        escape(&request.method).into_owned(),
        match response.status {
            0 => "-".into(),
            status => status.to_string(),
        },
        duration(trace.timing.total_ms),
        size(response.body_size),
        format!("{}{mark}", escape(&request.url)),
    ]
}
