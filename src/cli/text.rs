//! Text for people: numbers with units, tables, words quoted for a shell.

mod columns;
mod quote;
mod table;
mod units;

pub(crate) use columns::truncated;
pub(crate) use quote::{quoted, shell_word};
pub(crate) use spectral_capture::text::{escape, escape_lines};
pub(crate) use table::{Align, Table, or_dash};
pub(crate) use units::{binary_size, count, date, duration, period, size};

/// Returns `lines`, each escaped and with a line break.
pub(crate) fn escaped_lines(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{}\n", escape(line))).collect()
}
