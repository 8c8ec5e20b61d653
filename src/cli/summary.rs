//! The summary at the end of a capture: the contents of the bundle, what was not captured, why, and the remedy.

use super::advice;
use super::text::{count, escape};
use spectral_capture::{Config, CutOffItems, Reason, Summary, Uncaptured, Warning};
use std::fmt;
use std::path::Path;

/// Returns the summary of a capture with this configuration. `replaced` is true if `output` existed before.
pub(crate) fn of_capture(
    summary: &Summary,
    config: &Config,
    output: &Path,
    replaced: bool,
    ca_cert: Option<&Path>,
) -> String {
    let mut text = String::new();
    let mut line = |words: String| text.push_str(&format!("{}\n", escape(&words)));
    match &summary.bundle {
        Some(bundle) => line(format!("Capture bundle written to {}", bundle.display())),
        None => line(format!("The capture bundle {} could not be completed", output.display())),
    }
    line(format!(
        "  {}, {}, {}",
        count(summary.exchanges, "exchange"),
        count(summary.websockets, "WebSocket"),
        count(summary.messages, "message")
    ));
    if replaced && summary.bundle.is_some() {
        line(backup_line(output));
    }
    match summary.lost {
        0 => {}
        1 => line("  1 exchange or message could not be written and is lost".into()),
        lost => line(format!("  {lost} exchanges or messages could not be written and are lost")),
    }
    match summary.truncated {
        0 => {}
        1 => line("  1 body is truncated, since it could not be stored".into()),
        truncated => line(format!("  {} are truncated, since they could not be stored", count(truncated, "body"))),
    }
    cut_off_line(&summary.cut_off_exchanges, "exchange").into_iter().for_each(&mut line);
    cut_off_line(&summary.cut_off_messages, "message").into_iter().for_each(&mut line);
    unclosed_line(&summary.unclosed_websockets).into_iter().for_each(&mut line);
    let (unmatched, failed): (Vec<&Uncaptured>, Vec<&Uncaptured>) =
        summary.uncaptured.iter().partition(|it| matches!(it.reason, Reason::NotMatched | Reason::ExchangeExcluded));
    // These were captured, but may differ from what the app receives without the proxy.
    let (hints, failed): (Vec<&Uncaptured>, Vec<&Uncaptured>) =
        failed.into_iter().partition(|it| it.reason == Reason::MayNeedClientCertificate);
    for (title, listed) in [("Not captured:", failed), ("Captured, but perhaps changed by the proxy:", hints)] {
        if listed.is_empty() {
            continue;
        }
        line(title.into());
        for uncaptured in listed.iter().take(MAX_LISTED_HOSTS) {
            let connections = count(uncaptured.connections, "connection");
            line(format!("  {}  {connections}: {}", uncaptured.host, uncaptured.reason));
            if let Some(remedy) = advice::for_uncaptured(uncaptured, ca_cert, config.passthrough_refused) {
                line(format!("      {remedy}"));
            }
        }
        omitted_line(listed.len()).into_iter().for_each(&mut line);
    }
    if !unmatched.is_empty() {
        line("Passed through, excluded by -d or -e:".into());
        for uncaptured in unmatched.iter().take(MAX_LISTED_HOSTS) {
            let unit = if uncaptured.reason == Reason::ExchangeExcluded { "exchange" } else { "connection" };
            line(format!("  {}  {}", uncaptured.host, count(uncaptured.connections, unit)));
        }
        omitted_line(unmatched.len()).into_iter().for_each(&mut line);
    }
    text
}

/// Returns the line about items that were cut off, if there are any. `noun` is the name of one.
fn cut_off_line<T: fmt::Display>(items: &CutOffItems<T>, noun: &str) -> Option<String> {
    let verb = if items.count == 1 { "was" } else { "were" };
    (items.count > 0).then(|| format!("  {} {verb} cut off: {}", count(items.count, noun), listed(items)))
}

/// Returns the line about WebSockets without a close frame, if there are any.
fn unclosed_line<T: fmt::Display>(items: &CutOffItems<T>) -> Option<String> {
    let verb = if items.count == 1 { "has" } else { "have" };
    (items.count > 0).then(|| format!("  {} {verb} no close frame: {}", count(items.count, "WebSocket"), listed(items)))
}

/// Returns the ids of the first items, with the causes.
fn listed<T: fmt::Display>(items: &CutOffItems<T>) -> String {
    let mut listed: Vec<_> = items.first.iter().map(|(id, cut_off)| format!("{id} ({cut_off})")).collect();
    let omitted = items.count.saturating_sub(listed.len() as u64);
    if omitted > 0 {
        listed.push(format!("and {omitted} more"));
    }
    listed.join(", ")
}

/// The state of the warnings about other unfinished bundles, which arise at the start of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StartWarnings {
    /// They were shown at the start.
    Shown,
    /// They are shown with the summary.
    Pending,
}

/// Returns a line for each warning to show after the summary.
pub(crate) fn warning_lines(summary: &Summary, start: StartWarnings) -> String {
    let is_of_start = |warning: &Warning| matches!(warning, Warning::Leftover { .. } | Warning::OutputShared { .. });
    let pending = summary.warnings.iter().filter(|warning| start == StartWarnings::Pending || !is_of_start(warning));
    pending.map(advice::warning_line).collect()
}

/// Returns the line about the bundle that `output` replaced.
pub(crate) fn backup_line(output: &Path) -> String {
    format!("  The previous bundle is kept as {}.bak", output.display())
}

/// Returns true if the bundle was written and contains everything that was captured.
pub(crate) fn is_complete(summary: &Summary) -> bool {
    summary.bundle.is_some() && summary.lost == 0 && summary.truncated == 0
}

/// Returns true if no connection reached the proxy.
pub(crate) fn is_empty(summary: &Summary) -> bool {
    summary.exchanges == 0 && summary.websockets == 0 && summary.uncaptured.is_empty() && summary.domains.is_empty()
}

/// Returns the line that stands for the hosts past [`MAX_LISTED_HOSTS`], if there are any.
pub(crate) fn omitted_line(hosts: usize) -> Option<String> {
    let omitted = hosts.checked_sub(MAX_LISTED_HOSTS).filter(|&omitted| omitted > 0);
    omitted.map(|omitted| format!("  … and {omitted} more"))
}

/// More hosts than this are only counted.
pub(crate) const MAX_LISTED_HOSTS: usize = 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_off_items_are_listed_up_to_a_limit() {
        let mut items = CutOffItems::default();
        assert_eq!(cut_off_line(&items, "exchange"), None);
        (items.count, items.first) = (1, vec![("t_0004".into(), "response reset by the origin")]);
        let line = cut_off_line(&items, "exchange").unwrap();
        assert_eq!(line, "  1 exchange was cut off: t_0004 (response reset by the origin)");
        items.count = 3;
        items.first.push(("t_0007".into(), "request ended early"));
        let line = cut_off_line(&items, "exchange").unwrap();
        let list = "t_0004 (response reset by the origin), t_0007 (request ended early), and 1 more";
        assert_eq!(line, format!("  3 exchanges were cut off: {list}"));
        assert_eq!(unclosed_line(&items), Some(format!("  3 WebSockets have no close frame: {list}")));
    }

    #[test]
    fn warnings_of_the_start_are_shown_once() {
        let mut summary = Summary::default();
        summary.warnings = vec![
            Warning::OutputShared { path: "a.zip.2.part".into() },
            Warning::Leftover { path: "a.zip.part".into() },
            Warning::WriteFailed { count: 1, cause: "disk full".into() },
        ];
        let lines = |start| warning_lines(&summary, start).lines().map(str::to_owned).collect::<Vec<_>>();
        let [shared, leftover, failed] = <[String; 3]>::try_from(lines(StartWarnings::Pending)).unwrap();
        assert!(shared.contains("a.zip.2.part") && leftover.contains("a.zip.part is left over"), "{leftover}");
        assert_eq!(lines(StartWarnings::Shown), [failed]);
    }
}
