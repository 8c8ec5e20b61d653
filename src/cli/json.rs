//! JSON output of `--json`: one line for each value (JSON Lines).
//!
//! Unlike one document, lines need not be collected in memory and can be written while a capture runs. `jq` reads them
//! directly (`jq -s` collects them into an array). Characters that a terminal obeys are escaped.

use serde::Serialize;
use spectral_capture::text::write_json;
use std::io::{self, Write};

/// Writes `value` as a line of JSON.
pub(crate) fn write_line(value: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    write_json(value, out)?;
    writeln!(out)
}
