//! `spectral capture merge`: one bundle made of several.

use super::advice;
use super::backups::Written;
use super::open_bundle::{warn_of_damaged, warn_of_left_out, warn_of_no_match};
use super::output::print;
use super::progress_line::ProgressLine;
use super::text::{count, escaped_lines};
use spectral_capture::filter::Filter;
use spectral_capture::merge::{self, Options};
use std::io::Write;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Merges `bundles` into `output` and prints the contents of the new bundle.
pub(crate) fn merge(
    bundles: &[PathBuf],
    output: &Path,
    filter: Filter,
    quiet: bool,
    keep_backups: Option<NonZeroU32>,
    out: &mut dyn Write,
) -> Result<ExitCode, String> {
    let mut options = Options::default();
    options.filter = filter;
    let progress = ProgressLine::start(&options.meter, quiet);
    let merged = merge::merge(bundles, output, &options);
    drop(progress);
    let merged = merged.map_err(|e| advice::rewrite_error_line(&e))?;
    warn_of_left_out(&merged.left_out);
    if merged.exchanges == 0 && merged.websockets == 0 {
        warn_of_no_match(&options.filter);
    }
    let mut lines = vec![format!(
        "Merged {} to {}: {}, {}, {}",
        count(bundles.len() as u64, "bundle"),
        merged.output.display(),
        count(merged.exchanges, "exchange"),
        count(merged.websockets, "WebSocket"),
        count(merged.messages, "message"),
    )];
    let inputs: Vec<_> = bundles.iter().map(PathBuf::as_path).collect();
    let written = Written { path: &merged.output, backup: merged.backup.as_deref(), inputs: &inputs };
    lines.extend(written.settle(keep_backups));
    print(escaped_lines(&lines), out)?;
    Ok(warn_of_damaged(&merged.damaged))
}
