//! Tables with aligned columns, written while their rows arrive.

use std::fmt::Write as _;
use std::io::{self, Write};

/// A table of `N` aligned columns; the last column is not padded.
///
/// Column widths fit the rows so far. Only a batch of rows is kept in memory, since tables may be long.
pub(crate) struct Table<const N: usize> {
    align: [Align; N],
    widths: [usize; N],
    /// Rows that are not written yet. The first one holds the column names.
    rows: Vec<[String; N]>,
    has_begun: bool,
}

/// The alignment of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

impl<const N: usize> Table<N> {
    /// Returns a table with these column names and no rows.
    pub(crate) fn new(columns: [(&str, Align); N]) -> Self {
        let rows = vec![columns.map(|(name, _)| name.to_owned())];
        Self { align: columns.map(|(_, align)| align), widths: [0; N], rows, has_begun: false }
    }

    /// Appends a row, already escaped, and writes the batch if it is full.
    pub(crate) fn row(&mut self, row: [String; N], out: &mut dyn Write) -> io::Result<()> {
        self.rows.push(row);
        if self.rows.len() < BATCH_ROWS {
            return Ok(());
        }
        self.flush(out)
    }

    /// Writes the pending rows; before the first ones, an empty line and the column names. Writes nothing if there are
    /// no rows.
    pub(crate) fn flush(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if !self.has_begun && self.rows.len() <= 1 {
            return Ok(());
        }
        if !std::mem::replace(&mut self.has_begun, true) {
            writeln!(out)?;
        }
        for row in &self.rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        if let Some(last) = self.widths.last_mut() {
            *last = 0;
        }
        for row in self.rows.drain(..) {
            let mut line = String::new();
            for ((cell, width), align) in row.iter().zip(self.widths).zip(self.align) {
                if !line.is_empty() {
                    line.push_str("  ");
                }
                let _ = match align {
                    Align::Left => write!(line, "{cell:<width$}"),
                    Align::Right => write!(line, "{cell:>width$}"),
                };
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Returns `text`, or `-` for an empty cell.
pub(crate) fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".into() } else { text.to_owned() }
}

/// The first batch determines the initial column widths.
const BATCH_ROWS: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new([("ID", Align::Left), ("SIZE", Align::Right), ("URL", Align::Left)]);
        let mut out = Vec::new();
        table.flush(&mut out).unwrap();
        table.row(["t_0001".into(), "5 B".into(), "http://ü/".into()], &mut out).unwrap();
        table.row(["é".into(), "12345 B".into(), String::new()], &mut out).unwrap();
        assert!(out.is_empty(), "later rows may be wider");
        table.flush(&mut out).unwrap();
        table.row(["x".into(), "y".into(), "z".into()], &mut out).unwrap();
        table.flush(&mut out).unwrap();
        let expected = "\nID         SIZE  URL\nt_0001      5 B  http://ü/\né       12345 B\nx             y  z\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
