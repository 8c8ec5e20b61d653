//! `spectral capture redact`: a copy of a bundle with secrets replaced.

use super::advice;
use super::backups::Written;
use super::open_bundle::{warn_of_left_out, warn_of_no_match};
use super::output::print;
use super::progress_line::ProgressLine;
use super::text::{count, escaped_lines};
use spectral_capture::filter::Filter;
use spectral_capture::redact::{self, Options, Redacted, Rules};
use std::io::Write;
use std::num::NonZeroU32;
use std::path::Path;

/// Redacts `file` into `output` and prints the numbers of replaced values, and of bodies that were not searched.
pub(crate) fn redact(
    (file, output): (&Path, &Path),
    rules: &Rules,
    filter: Filter,
    quiet: bool,
    keep_backups: Option<NonZeroU32>,
    out: &mut dyn Write,
) -> Result<(), String> {
    let mut options = Options::default();
    options.filter = filter;
    let progress = ProgressLine::start(&options.meter, quiet);
    let redacted = redact::redact(file, output, rules, &options);
    drop(progress);
    let redacted = redacted.map_err(|e| advice::rewrite_error_line(&e))?;
    warn_of_left_out(&redacted.left_out);
    if redacted.exchanges == 0 && redacted.websockets == 0 {
        warn_of_no_match(&options.filter);
    }
    let written = Written { path: &redacted.output, backup: redacted.backup.as_deref(), inputs: &[file] };
    print(escaped_lines(&summary(&redacted, rules, written.settle(keep_backups))), out)
}

fn summary(redacted: &Redacted, rules: &Rules, backups: Vec<String>) -> Vec<String> {
    let Redacted { output, exchanges, websockets, headers, cookies, parameters, json, coded, binary, .. } = redacted;
    let mut lines = vec![
        format!(
            "Redacted to {}: {}, {}. Values replaced:",
            output.display(),
            count(*exchanges, "exchange"),
            count(*websockets, "WebSocket")
        ),
        format!("  {headers:8}  in headers"),
        format!("  {cookies:8}  in cookies"),
        format!("  {parameters:8}  in URL parameters and form fields"),
        format!("  {json:8}  in JSON"),
    ];
    lines.extend(backups);
    if rules.query.is_empty() && rules.json.is_empty() {
        lines.push("Bodies and messages were not searched: name their secrets with --json and --query".into());
    }
    if *coded > 0 {
        let outcome = if rules.keep_coded { "kept" } else { "left out (--keep-coded keeps them)" };
        lines.push(format!("Not searched, since they could not be decoded: {}, {outcome}", bodies_or_messages(*coded)));
    }
    if *binary > 0 {
        lines.push(format!("Not searched, since they are binary: {}, kept", bodies_or_messages(*binary)));
    }
    lines.push("Secrets with other names are still in the bundle: check it before you share it".into());
    lines
}

/// Formats a number of bodies and messages, which are counted together.
fn bodies_or_messages(n: u64) -> String {
    if n == 1 { "1 body or message".into() } else { format!("{} or messages", count(n, "body")) }
}
