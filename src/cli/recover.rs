//! `spectral capture recover`: a bundle made of an unfinished bundle.

use super::advice;
use super::backups::Written;
use super::open_bundle::named;
use super::output::print;
use super::progress_line::ProgressLine;
use super::text::{count, escaped_lines};
use spectral_capture::recover::{Options, Recovered, from_part};
use std::io::Write;
use std::num::NonZeroU32;
use std::path::Path;
use std::process::ExitCode;

/// Recovers the unfinished bundle `part` and prints the contents of the new bundle. Fails after that if entries are damaged; an
/// item that the capture had not completed is no failure.
pub(crate) fn recover(
    part: &Path,
    output: Option<&Path>,
    quiet: bool,
    keep_backups: Option<NonZeroU32>,
    out: &mut dyn Write,
) -> Result<ExitCode, String> {
    let options = Options::default();
    let progress = ProgressLine::start(&options.meter, quiet);
    let recovered = from_part(part, output, &options);
    drop(progress);
    let recovered = recovered.map_err(|e| advice::recover_error_line(&e))?;
    let written = Written { path: &recovered.output, backup: recovered.backup.as_deref(), inputs: &[part] };
    print(summary(part, &recovered, written.settle(keep_backups)), out)?;
    Ok(if recovered.damaged_entries > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn summary(part: &Path, recovered: &Recovered, backups: Vec<String>) -> String {
    let Recovered { output, exchanges, websockets, messages, left_out, is_running, .. } = recovered;
    let Recovered { truncated_bytes, damaged_entries, .. } = recovered;
    let mut lines = vec![format!(
        "Recovered to {}: {}, {}, {}",
        output.display(),
        count(*exchanges, "exchange"),
        count(*websockets, "WebSocket"),
        count(*messages, "message"),
    )];
    lines.extend(backups);
    if *is_running {
        lines.push(format!("  A capture is still writing {}; later exchanges are not included", part.display()));
    } else if *truncated_bytes > 0 {
        let bytes = count(*truncated_bytes, "byte");
        lines.push(format!("  Left out: {bytes} at the end of the file, of truncated exchanges or messages"));
    }
    if *damaged_entries > 0 {
        let entries = count(*damaged_entries, "entry");
        lines.push(format!("  Left out: {entries}, damaged or part of a damaged exchange or message"));
    }
    if left_out.count > 0 && !is_running {
        lines.push(format!("  These belong to {}", named(left_out)));
    }
    lines.push(format!("  {} is unchanged; delete it when you no longer need it", part.display()));
    escaped_lines(&lines)
}
