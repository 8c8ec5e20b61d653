//! `spectral capture inspect`: what a bundle holds, for people, and for programs (`--json`).
//!
//! ```text
//! inspect FILE              list.rs      what there is, filtered; --follow: and what comes
//!   --trace t_0001          trace.rs     one exchange
//!   --ws ws_0001            messages.rs  the messages of one WebSocket; --follow: and what comes
//!   --body t_0001 request   body.rs      the bytes alone
//! ```
//!
//! Everything shown comes from a file that anyone may have made, so all of it is escaped; but for `--body`, which asks for
//! the very bytes and shows none that a terminal would obey.
//!
//! `--json` prints a line for each exchange or WebSocket, as the bundle has it, in its own field names, with `cut_off`
//! ("request", "response" or null) and, for WebSockets, `type` added. Lines rather than one document: they cost no memory,
//! come one by one from a capture that still runs, and `jq` takes them as they are (`jq -s` makes one list of them).

use super::filter::Filter;
use super::message::print_warning;
use super::open_bundle::{CommandError, Opened, Prefer, open, require_exchange, require_websocket, to_message};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

mod body;
mod cut;
mod list;
mod messages;
mod trace;

/// What to show.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) file: PathBuf,
    pub(crate) show: Show,
    pub(crate) filter: Filter,
    pub(crate) json: bool,
    /// Goes on as long as a capture does.
    pub(crate) follow: bool,
}

/// What of a bundle.
#[derive(Debug)]
pub(crate) enum Show {
    All,
    /// An exchange.
    Trace(String),
    /// The bytes of a body, or of a message.
    Body(String, Side),
    /// A WebSocket's messages.
    Messages(String),
}

/// Whose body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Request,
    Response,
}

impl Side {
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "request" => Some(Self::Request),
            "response" => Some(Self::Response),
            _ => None,
        }
    }
}

/// Shows what `options` ask for.
pub(crate) fn inspect(options: &Options, out: &mut dyn Write, is_terminal: bool) -> Result<(), String> {
    to_message(show(options, out, is_terminal).and_then(|()| Ok(out.flush()?)))
}

fn show(options: &Options, out: &mut dyn Write, is_terminal: bool) -> Result<(), CommandError> {
    let prefer = if options.follow { Prefer::Growing } else { Prefer::Complete };
    let mut opened = open(&options.file, prefer)?;
    if let Some(warning) = &opened.warning {
        print_warning(warning);
    }
    let Opened { bundle, .. } = &mut opened;
    match &options.show {
        Show::All => list::show(&mut opened, options, out),
        Show::Trace(id) if options.json => {
            require_exchange(bundle, id)?;
            list::trace_line(&bundle.trace(id)?, out)
        }
        Show::Trace(id) => trace::show(bundle, id, out),
        Show::Messages(id) => {
            require_websocket(bundle, id)?;
            messages::show(&mut opened, id, options, out)
        }
        Show::Body(id, side) => body::show(bundle, id, *side, out, is_terminal),
    }
}

/// How often a growing bundle is looked at: often enough for people, and some hundred system calls a minute.
const PERIOD: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_opened_is_said_in_one_line() {
        let file = "/nowhere/a\x1b.zip".into();
        let options = Options { file, show: Show::All, filter: Filter::default(), json: false, follow: false };
        let error = inspect(&options, &mut Vec::new(), false).unwrap_err();
        assert!(error.starts_with("cannot read /nowhere/a\\x1b.zip: "), "{error}");
    }
}
