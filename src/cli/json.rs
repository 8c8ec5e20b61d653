//! JSON output of `--json`: one line for each value (JSON Lines).
//!
//! Unlike one document, lines need not be collected in memory and can be written while a capture runs. `jq` reads them
//! directly (`jq -s` collects them into an array).

use serde::Serialize;
use std::io::{self, Write};

/// Writes `value` as a line of JSON.
pub(crate) fn write_line(value: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    writeln!(out)
}
