//! `spectral capture redact`: a copy of a bundle with secrets replaced.

use super::advice;
use super::backups::Written;
use super::open_bundle::{warn_of_damaged, warn_of_left_out, warn_of_no_match};
use super::output::print;
use super::progress_line::ProgressLine;
use super::text::{count, escaped_lines};
use spectral_capture::filter::Filter;
use spectral_capture::redact::{self, Bodies, Options, Redacted, Report, Rules};
use spectral_capture::sorting::sort_by_key;
use std::collections::BTreeMap;
use std::io::Write;
use std::num::NonZeroU32;
use std::path::Path;
use std::process::ExitCode;

/// Redacts `file` into `output` and prints what was replaced, and what remains.
pub(crate) fn redact(
    (file, output): (&Path, &Path),
    rules: &Rules,
    filter: Filter,
    quiet: bool,
    keep_backups: Option<NonZeroU32>,
    out: &mut dyn Write,
) -> Result<ExitCode, String> {
    let mut options = Options::default();
    options.filter = filter;
    let progress = ProgressLine::start(&options.meter, quiet);
    let redacted = redact::redact(file, output, rules, &options);
    drop(progress);
    let redacted = redacted.map_err(|e| advice::rewrite_error_line(&e))?;
    warn_of_left_out(&redacted.report.left_out);
    if redacted.exchanges == 0 && redacted.websockets == 0 {
        warn_of_no_match(&options.filter);
    }
    let Redacted { output, exchanges, websockets, report, .. } = &redacted;
    let (exchanges, websockets) = (count(*exchanges, "exchange"), count(*websockets, "WebSocket"));
    let mut lines = vec![format!("Redacted to {}: {exchanges}, {websockets}", output.display())];
    let written = Written { path: output, backup: redacted.backup.as_deref(), inputs: &[file] };
    lines.extend(written.settle(keep_backups));
    lines.extend(found_lines(report, "Values replaced"));
    if report.elsewhere > 0 {
        lines.push(format!("  {:8}  of these values in other places", report.elsewhere));
    }
    lines.extend(remaining_lines(report, rules));
    print(escaped_lines(&lines), out)?;
    Ok(warn_of_damaged(&report.damaged))
}

/// Prints what [`redact()`] would replace in `file`. Fails if there is anything.
pub(crate) fn check(
    file: &Path,
    rules: &Rules,
    filter: Filter,
    quiet: bool,
    out: &mut dyn Write,
) -> Result<ExitCode, String> {
    let mut options = Options::default();
    options.filter = filter;
    let progress = ProgressLine::start(&options.meter, quiet);
    let report = redact::check(file, rules, &options);
    drop(progress);
    let report = report.map_err(|e| advice::rewrite_error_line(&e))?;
    warn_of_left_out(&report.left_out);
    let mut lines = found_lines(&report, "Values that look like secrets");
    if lines.is_empty() {
        lines.push("No value has the name or the form of a secret".into());
    }
    lines.extend(kept_lines(&report, rules));
    print(escaped_lines(&lines), out)?;
    warn_of_damaged(&report.damaged);
    if report.is_clean() {
        return Ok(ExitCode::SUCCESS);
    }
    let values = report.names.values().chain(report.forms.values()).fold(0, |sum: u64, n| sum.saturating_add(*n));
    let mut found = Vec::new();
    if values > 0 {
        found.push(format!("{} that look like secrets", count(values, "value")));
    }
    if report.unsearched.count > 0 {
        found.push(format!("{} that cannot be searched", bodies_or_messages(report.unsearched.count)));
    }
    if report.unread() > 0 {
        found.push(format!("{} that cannot be read", count(report.unread(), "item")));
    }
    Err(format!("{} has {}", file.display(), found.join(" and ")))
}

/// Returns the lines for values that were found by their name or form; none without values.
fn found_lines(report: &Report, title: &str) -> Vec<String> {
    if report.names.is_empty() && report.forms.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![format!("{title}:")];
    lines.extend(counted(&report.names, ""));
    lines.extend(counted(&report.forms, " (by its form)"));
    lines
}

/// Returns the lines for all that may still be a secret in the output.
pub(crate) fn remaining_lines(report: &Report, rules: &Rules) -> Vec<String> {
    let last = "No list of names is complete: look through the output before you share it".into();
    kept_lines(report, rules).into_iter().chain([last]).collect()
}

/// Returns the lines for all that may still be a secret.
fn kept_lines(report: &Report, rules: &Rules) -> Vec<String> {
    let Report { unsought, suspicious, unsearched, binary, .. } = report;
    let mut lines = Vec::new();
    if *unsought > 0 {
        let values = count(*unsought, "value");
        lines.push(format!(
            "Incomplete: {values} replaced by name or form, but not in other places; there are too many"
        ));
    }
    if !suspicious.is_empty() {
        lines.push("Kept, although the name is like that of a secret (--name NAME replaces it):".into());
        lines.extend(counted(suspicious, ""));
    }
    if unsearched.count > 0 {
        let outcome = if rules.keep_unsearched { "kept" } else { "left out (--keep-unsearched keeps them)" };
        lines.push(format!("Cannot be searched, {outcome}: {}", listed(unsearched)));
    }
    if binary.count > 0 {
        lines.push(format!("Binary, searched only for the values found elsewhere: {}", listed(binary)));
    }
    lines
}

/// Returns a line for each name, the most frequent first.
fn counted(counts: &BTreeMap<String, u64>, remark: &str) -> Vec<String> {
    let mut sorted: Vec<_> = counts.iter().collect();
    sort_by_key(&mut sorted, &|(_, count)| u64::MAX.saturating_sub(**count));
    let mut lines: Vec<_> =
        sorted.iter().take(MAX_LINES).map(|(name, count)| format!("  {count:8}  {name}{remark}")).collect();
    if sorted.len() > MAX_LINES {
        let rest = sorted.iter().skip(MAX_LINES).fold(0, |sum: u64, (_, count)| sum.saturating_add(**count));
        lines.push(format!("  {rest:8}  under {}", count(sorted.len().saturating_sub(MAX_LINES) as u64, "other name")));
    }
    lines
}

/// Returns the number of bodies and the first of them.
fn listed(Bodies { count, first, .. }: &Bodies) -> String {
    let more = count.saturating_sub(first.len() as u64);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}: {}{more}", bodies_or_messages(*count), first.join(", "))
}

/// Formats a number of bodies and messages, which are counted together.
fn bodies_or_messages(n: u64) -> String {
    if n == 1 { "1 body or message".into() } else { format!("{} or messages", count(n, "body")) }
}

/// The names that are listed one by one.
const MAX_LINES: usize = 20;
