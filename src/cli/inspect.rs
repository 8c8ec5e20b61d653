//! `spectral capture inspect`: shows the contents of a bundle, to people or, with `--json`, to programs.
//!
//! ```text
//! inspect FILE              list.rs      exchanges and WebSockets that match the filter
//!   --trace t_0001          exchange.rs  one exchange; readable_body.rs: its bodies
//!   --ws ws_0001            messages.rs  the messages of one WebSocket
//!   --body t_0001 request   body.rs      the bytes of a body
//!   --follow                             with a list or --ws: new exchanges or messages of a running capture, too
//! ```
//!
//! Anyone may have made the file, so everything shown is escaped. `--body` writes exact bytes instead, and refuses to
//! write control characters to a terminal.
//!
//! `--json` prints a line for each exchange or WebSocket, with the bundle's own field names. Exchanges always have `cut_off`,
//! null if nothing was cut off. WebSockets have `type` and `is_closed` added.

use super::command_error::{CommandError, to_message};
use super::message::print_warning;
use super::open_bundle::{
    Opened, Prefer, open, require_exchange, require_websocket, warn_of_damaged, warn_of_left_out,
};
use super::progress_line::ProgressLine;
use spectral_capture::reader::LeftOut;
use std::io::{BufWriter, Write};
use std::process::ExitCode;
use std::time::Duration;

pub(crate) use options::{BodySide, Options, Show};

mod body;
mod exchange;
mod grpc;
mod list;
mod messages;
mod options;
mod readable_body;

/// Runs the command. `is_terminal` is true if `out` is a terminal.
pub(crate) fn inspect(options: &Options, out: &mut dyn Write, is_terminal: bool) -> Result<ExitCode, String> {
    // Stdout alone writes each line by itself.
    let out = &mut BufWriter::with_capacity(BUFFER_BYTES, out);
    let damaged = show(options, out, is_terminal).and_then(|damaged| {
        out.flush()?;
        Ok(damaged)
    });
    to_message(damaged.map(|damaged| warn_of_damaged(&damaged)))
}

/// Shows what `options` select, and returns the damaged items, which are left out.
fn show(options: &Options, out: &mut dyn Write, is_terminal: bool) -> Result<LeftOut, CommandError> {
    let prefer = if options.follow { Prefer::Growing } else { Prefer::Complete };
    let mut opened = open(&options.file, prefer)?;
    if let Some(warning) = &opened.warning {
        print_warning(warning);
    }
    let Opened { bundle, .. } = &mut opened;
    if !options.follow {
        warn_of_left_out(bundle.left_out());
    }
    match &options.show {
        Show::List => {
            let progress = ProgressLine::start(bundle.meter(), options.quiet || options.follow);
            let mut rows = progress.above(out, is_terminal);
            let damaged = list::show(&mut opened, options, &mut rows, REFRESH_INTERVAL)?;
            rows.flush()?;
            drop(progress);
            if options.follow {
                warn_of_left_out(opened.bundle.left_out());
            }
            return Ok(damaged);
        }
        Show::Exchange(id) if options.json => {
            require_exchange(bundle, id)?;
            list::write_exchange_line(&bundle.trace(id)?, out)?;
        }
        Show::Exchange(id) => exchange::show(bundle, id, out)?,
        Show::Messages(id) => {
            require_websocket(bundle, id)?;
            return messages::show(&mut opened, id, options, out, REFRESH_INTERVAL);
        }
        Show::Body(id, side) => body::show(bundle, id, *side, out, is_terminal)?,
    }
    // One item that was asked for is an error if it is damaged.
    Ok(LeftOut::default())
}

/// The interval at which a growing bundle is read: short enough for people, and a few hundred system calls a minute.
const REFRESH_INTERVAL: Duration = Duration::from_millis(300);

/// Rows are written to stdout in blocks of this size, unless they go to a terminal below the progress, or are followed.
const BUFFER_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::message::error_line;
    use spectral_capture::filter::Filter;

    /// Counts the calls.
    struct Writes(usize);

    impl Write for Writes {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += 1;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn rows_are_written_together() {
        let file: std::path::PathBuf = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/extension.zip").into();
        for json in [false, true] {
            let (file, filter) = (file.clone(), Filter::default());
            let options = Options { file, show: Show::List, filter, json, follow: false, quiet: true };
            let mut writes = Writes(0);
            inspect(&options, &mut writes, false).unwrap();
            assert_eq!(writes.0, 1);
        }
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_one_escaped_line() {
        let file = "/nowhere/a\x1b.zip".into();
        let options =
            Options { file, show: Show::List, filter: Filter::default(), json: false, follow: false, quiet: true };
        let error = inspect(&options, &mut Vec::new(), false).unwrap_err();
        let line = error_line(&error);
        assert!(line.starts_with("spectral: error: cannot read /nowhere/a\\x1b.zip: "), "{line}");
    }
}
