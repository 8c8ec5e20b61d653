//! The summary at the end of a capture: the contents of the bundle, what was not captured, why, and the remedy.

use super::advice;
use super::json::write_line;
use super::text::{Align, Table, count, escape, size};
use serde::Serialize;
use spectral_capture::{Domain, NameSource, Reason, Summary, Uncaptured};
use std::path::Path;

/// Returns the summary of a capture. `replaced` is true if `output` existed before.
pub(crate) fn of_capture(summary: &Summary, output: &Path, replaced: bool, ca_cert: Option<&Path>) -> String {
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
    let (unmatched, failed): (Vec<&Uncaptured>, Vec<&Uncaptured>) =
        summary.uncaptured.iter().partition(|uncaptured| uncaptured.reason == Reason::NotMatched);
    // The option is on if it had an effect.
    let passes_refused = failed.iter().any(|uncaptured| uncaptured.reason == Reason::RefusedBefore);
    if !failed.is_empty() {
        line("Not captured:".into());
        for uncaptured in failed.iter().take(MAX_LISTED_HOSTS) {
            let connections = count(uncaptured.connections, "connection");
            line(format!("  {}  {connections}: {}", uncaptured.host, uncaptured.reason));
            if let Some(remedy) = advice::for_uncaptured(uncaptured, ca_cert, passes_refused) {
                line(format!("      {remedy}"));
            }
        }
        if failed.len() > MAX_LISTED_HOSTS {
            line(format!("  … and {} more", failed.len() - MAX_LISTED_HOSTS));
        }
    }
    if !unmatched.is_empty() {
        line("Passed through, excluded by -d or -e:".into());
        for uncaptured in unmatched.iter().take(MAX_LISTED_HOSTS) {
            line(format!("  {}  {}", uncaptured.host, count(uncaptured.connections, "connection")));
        }
        if unmatched.len() > MAX_LISTED_HOSTS {
            line(format!("  … and {} more", unmatched.len() - MAX_LISTED_HOSTS));
        }
    }
    text
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

/// Returns the table of discovered domains; empty if there are none.
pub(crate) fn domain_table(summary: &Summary) -> String {
    let mut table = Table::new([
        ("Connections", Align::Right),
        ("Requests", Align::Right),
        ("Sent", Align::Right),
        ("Received", Align::Right),
        ("Domain", Align::Left),
    ]);
    let mut written = Vec::new();
    for domain in &summary.domains {
        let mark = if domain.name_source == NameSource::Connect { "  (from CONNECT only)" } else { "" };
        let row = [
            domain.connections.to_string(),
            requests(domain).map_or("-".into(), |n| n.to_string()),
            size(domain.sent),
            size(domain.received),
            format!("{}{mark}", escape(&domain.name)),
        ];
        // Writing to memory cannot fail.
        let _ = table.row(row, &mut written);
    }
    let _ = table.flush(&mut written);
    String::from_utf8_lossy(&written).trim_start_matches('\n').to_owned()
}

/// Returns the command that captures the discovered domains, or a hint if there are none.
pub(crate) fn capture_hint(summary: &Summary) -> String {
    if summary.domains.is_empty() {
        return "No domains were seen. Does the app use HTTP_PROXY and HTTPS_PROXY?\n".into();
    }
    let mut text = String::from("\nTo capture them:\n  spectral capture proxy");
    for Domain { name, .. } in summary.domains.iter().take(MAX_LISTED_HOSTS) {
        // Names come from the network. A valid pattern needs quotes only for the brackets of IPv6 addresses.
        let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c));
        match is_plain {
            true => text.push_str(&format!(" -d {name}")),
            false => text.push_str(&format!(" -d '{}'", escape(name).replace('\'', ""))),
        }
    }
    text.push('\n');
    if summary.domains.len() > MAX_LISTED_HOSTS {
        text.push_str(&format!("  (and {} more)\n", summary.domains.len() - MAX_LISTED_HOSTS));
    }
    text
}

/// Returns the discovered domains as lines of JSON.
pub(crate) fn domains_as_json(summary: &Summary) -> String {
    #[derive(Serialize)]
    struct Line<'d> {
        domain: &'d str,
        /// Programs read this name.
        #[serde(rename = "known_by")]
        name_source: &'static str,
        connections: u64,
        requests: Option<u64>,
        bytes_sent: u64,
        bytes_received: u64,
    }
    let mut written = Vec::new();
    for domain in &summary.domains {
        let line = Line {
            domain: &domain.name,
            name_source: if domain.name_source == NameSource::Connect { "connect" } else { "name" },
            connections: domain.connections,
            requests: requests(domain),
            bytes_sent: domain.sent,
            bytes_received: domain.received,
        };
        // Writing to memory cannot fail.
        let _ = write_line(&line, &mut written);
    }
    String::from_utf8_lossy(&written).into_owned()
}

/// Returns the number of requests if it is known: requests inside TLS are not counted.
fn requests(domain: &Domain) -> Option<u64> {
    (domain.requests > 0).then_some(domain.requests)
}

/// More hosts than this are only counted.
const MAX_LISTED_HOSTS: usize = 30;
