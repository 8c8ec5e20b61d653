//! `spectral capture merge` and `spectral capture redact`: bundles made of bundles, and what came of it.

use super::text::{count, escape};
use spectral_capture::merge;
use spectral_capture::redact::{self, Redacted, Rules};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Merges `bundles` and says what the new one holds.
pub(crate) fn merge(bundles: &[PathBuf], output: &Path, out: &mut dyn Write) -> Result<(), String> {
    let merged = merge::merge(bundles, output).map_err(|e| e.to_string())?;
    let line = format!(
        "Merged {} to {}: {}, {}, {}",
        count(bundles.len() as u64, "bundle"),
        merged.output.display(),
        count(merged.traces, "HTTP trace"),
        count(merged.sockets, "WS connection"),
        count(merged.messages, "WS message"),
    );
    say(&[line], out)
}

/// Redacts `file` and says what was replaced, and what was not searched.
pub(crate) fn redact(file: &Path, output: &Path, rules: &Rules, out: &mut dyn Write) -> Result<(), String> {
    let redacted = redact::redact(file, output, rules).map_err(|e| e.to_string())?;
    say(&summary(&redacted, rules), out)
}

fn summary(redacted: &Redacted, rules: &Rules) -> Vec<String> {
    let Redacted { output, headers, cookies, parameters, json, coded, binary, .. } = redacted;
    let mut lines = vec![
        format!("Redacted to {}. Values replaced:", output.display()),
        format!("  {headers:8}  in headers"),
        format!("  {cookies:8}  of cookies"),
        format!("  {parameters:8}  of parameters in URLs and of fields in forms"),
        format!("  {json:8}  in JSON"),
    ];
    let bodies = |n: u64| if n == 1 { "1 body".to_owned() } else { format!("{n} bodies") };
    if rules.query.is_empty() && rules.json.is_empty() {
        lines.push("Bodies and messages were not searched: name what is secret in them with --json and --query".into());
    }
    if *coded > 0 {
        let what = if rules.keep_coded { "are kept unsearched" } else { "were left out (--keep-coded keeps them)" };
        lines.push(format!("Could not be decoded, and so not searched: {}; they {what}", bodies(*coded)));
    }
    if *binary > 0 {
        lines.push(format!("No text, kept as they are, unsearched: {} or messages", bodies(*binary)));
    }
    lines.push("What is secret under another name is still there: look before you share".into());
    lines
}

fn say(lines: &[String], out: &mut dyn Write) -> Result<(), String> {
    let text: String = lines.iter().map(|line| format!("{}\n", escape(line))).collect();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(format!("cannot write: {e}")),
        _ => Ok(()),
    }
}
