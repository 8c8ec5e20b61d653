//! Text for people: nothing from the network may command their terminal, and numbers have units.

use std::fmt::Write as _;
use std::io::{self, Write};

pub(crate) use spectral_capture::text::{escape, escape_lines};

/// `999 B`, `1.2 kB`, `34 MB`.
pub(crate) fn size(bytes: u64) -> String {
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64;
    let mut units = ["B", "kB", "MB", "GB", "TB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    // What would be rounded to four digits belongs to the next unit.
    while value >= 999.5
        && let Some(next) = units.next()
    {
        value /= 1000.0;
        unit = next;
    }
    format!("{} {unit}", digits(value))
}

/// `3.4 ms`, `850 ms`, `1.2 s`, `3 min 20 s`.
pub(crate) fn duration(milliseconds: f64) -> String {
    match milliseconds {
        ms if !ms.is_finite() || ms < 0.0 => "0.0 ms".into(),
        ms if ms < 999.5 => format!("{} ms", digits(ms)),
        ms if ms < 59_950.0 => format!("{} s", digits(ms / 1000.0)),
        ms => {
            let seconds = (ms / 1000.0).round();
            format!("{:.0} min {:.0} s", (seconds / 60.0).floor(), seconds % 60.0)
        }
    }
}

/// One digit after the point for small numbers.
fn digits(value: f64) -> String {
    if value < 9.95 { format!("{value:.1}") } else { format!("{value:.0}") }
}

/// Milliseconds since the epoch as `2026-11-22 09:07:10.216 UTC`.
pub(crate) fn date(epoch_ms: u64) -> String {
    let since = time::Duration::milliseconds(i64::try_from(epoch_ms).unwrap_or(i64::MAX));
    let time = time::OffsetDateTime::UNIX_EPOCH.saturating_add(since);
    let (year, month, day) = time.to_calendar_date();
    let (hour, minute, second, ms) = time.to_hms_milli();
    format!("{year:04}-{:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{ms:03} UTC", u8::from(month))
}

/// `1 trace`, `2 traces`.
pub(crate) fn count(n: u64, one: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {one}{plural}")
}

/// `text`, or a mark where there is none.
pub(crate) fn or_none(text: &str) -> String {
    if text.is_empty() { "-".into() } else { text.to_owned() }
}

/// Rows whose columns stand below each other. The last column is as long as it likes; the others are as wide as the rows so
/// far need: tables may be long, and are not kept in memory.
pub(crate) struct Table<const N: usize> {
    align: [Align; N],
    widths: [usize; N],
    /// Not written yet. The first one has the columns' names.
    rows: Vec<[String; N]>,
    begun: bool,
}

/// Where a column's texts stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

impl<const N: usize> Table<N> {
    /// Begins with the columns' names.
    pub(crate) fn new(columns: [(&str, Align); N]) -> Self {
        let rows = vec![columns.map(|(name, _)| name.to_owned())];
        Self { align: columns.map(|(_, align)| align), widths: [0; N], rows, begun: false }
    }

    /// Appends a row, already escaped, and writes those that have waited long enough.
    pub(crate) fn row(&mut self, row: [String; N], out: &mut dyn Write) -> io::Result<()> {
        self.rows.push(row);
        if self.rows.len() < ROWS {
            return Ok(());
        }
        self.flush(out)
    }

    /// Writes the rows there are, after an empty line if they are the first; nothing where there are none.
    pub(crate) fn flush(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if !self.begun && self.rows.len() <= 1 {
            return Ok(());
        }
        if !std::mem::replace(&mut self.begun, true) {
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

/// So many rows are looked at before the first is written.
const ROWS: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_have_units() {
        let sizes = [0, 999, 1000, 1234, 9949, 9950, 999_499, 999_500, 5_000_000_000, u64::MAX].map(size);
        let expected = ["0 B", "999 B", "1.0 kB", "1.2 kB", "9.9 kB", "10 kB", "999 kB", "1.0 MB", "5.0 GB"];
        assert_eq!(sizes[..9], expected);
        assert_eq!(sizes[9], "18446744 TB");
        let times = [0.0, 3.43, 9.96, 850.2, 999.6, 1234.0, 59_960.0, 200_000.0].map(duration);
        assert_eq!(times, ["0.0 ms", "3.4 ms", "10 ms", "850 ms", "1.0 s", "1.2 s", "1 min 0 s", "3 min 20 s"]);
        assert_eq!([f64::NAN, -1.0, f64::INFINITY].map(duration), ["0.0 ms"; 3]);
    }

    #[test]
    fn dates_and_counts() {
        assert_eq!(date(1_795_338_410_216), "2026-11-22 09:06:50.216 UTC");
        assert!(date(u64::MAX).ends_with(" UTC"));
        assert_eq!([0, 1, 2].map(|n| count(n, "trace")), ["0 traces", "1 trace", "2 traces"]);
    }

    #[test]
    fn columns_stand_below_each_other() {
        let mut table = Table::new([("ID", Align::Left), ("SIZE", Align::Right), ("URL", Align::Left)]);
        let mut out = Vec::new();
        table.flush(&mut out).unwrap();
        table.row(["t_0001".into(), "5 B".into(), "http://ü/".into()], &mut out).unwrap();
        table.row(["é".into(), "12345 B".into(), String::new()], &mut out).unwrap();
        assert!(out.is_empty(), "what comes may be wider");
        table.flush(&mut out).unwrap();
        table.row(["x".into(), "y".into(), "z".into()], &mut out).unwrap();
        table.flush(&mut out).unwrap();
        let expected = "\nID         SIZE  URL\nt_0001      5 B  http://ü/\né       12345 B\nx             y  z\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
