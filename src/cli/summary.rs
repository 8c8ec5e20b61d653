//! The last words of a capture: what the bundle holds, what it does not hold and why, and what to do about it.

use super::advice;
use super::json::write_line;
use super::text::{Align, Table, escape, size};
use serde::Serialize;
use spectral_capture::{Domain, NameSource, Reason, Summary};
use std::io::{self, Write};
use std::path::Path;

/// After `capture proxy`.
pub(crate) fn of_capture(summary: &Summary, output: &Path, replaced: bool, ca_cert: Option<&Path>) -> String {
    let mut text = String::new();
    let mut line = |words: String| text.push_str(&format!("{}\n", escape(&words)));
    match &summary.bundle {
        Some(bundle) => line(format!("Capture bundle written to {}", bundle.display())),
        None => line(format!("The capture bundle {} could not be completed", output.display())),
    }
    line(format!(
        "  {} HTTP traces, {} WS connections, {} WS messages",
        summary.exchanges, summary.websockets, summary.messages
    ));
    if replaced && summary.bundle.is_some() {
        line(format!("  The one before is kept as {}.bak", output.display()));
    }
    match summary.lost {
        0 => {}
        1 => line("  1 exchange or message could not be written and is lost".into()),
        lost => line(format!("  {lost} exchanges or messages could not be written and are lost")),
    }
    match summary.truncated {
        0 => {}
        1 => line("  The end of 1 body could not be kept".into()),
        cut => line(format!("  The ends of {cut} bodies could not be kept")),
    }
    let (unmatched, failed): (Vec<_>, Vec<_>) =
        summary.uncaptured.iter().partition(|not| not.reason == Reason::NotMatched);
    // It is on where it has had an effect.
    let passes_refused = failed.iter().any(|not| not.reason == Reason::RefusedBefore);
    if !failed.is_empty() {
        line("Not captured:".into());
        for not in failed.iter().take(MOST) {
            line(format!("  {}  {}: {}", not.host, connections(not.connections), not.reason));
            if let Some(advice) = advice::for_uncaptured(not, ca_cert, passes_refused) {
                line(format!("      {advice}"));
            }
        }
        if failed.len() > MOST {
            line(format!("  … and {} more", failed.len() - MOST));
        }
    }
    if !unmatched.is_empty() {
        line("Passed through, excluded by -d or -e:".into());
        for not in unmatched.iter().take(MOST) {
            line(format!("  {}  {}", not.host, connections(not.connections)));
        }
        if unmatched.len() > MOST {
            line(format!("  … and {} more", unmatched.len() - MOST));
        }
    }
    text
}

/// After `capture discover`.
pub(crate) fn of_domains(summary: &Summary) -> String {
    if summary.domains.is_empty() {
        return "No domain was seen. Does the app respect HTTP_PROXY and HTTPS_PROXY?\n".into();
    }
    let mut table = Table::new([
        ("Connections", Align::Right),
        ("Requests", Align::Right),
        ("Sent", Align::Right),
        ("Received", Align::Right),
        ("Domain", Align::Left),
    ]);
    let mut written = Vec::new();
    for domain in &summary.domains {
        let mark = if domain.name_source == NameSource::Connect { "  (by CONNECT alone)" } else { "" };
        let row = [
            domain.connections.to_string(),
            requests(domain).map_or("-".into(), |n| n.to_string()),
            size(domain.sent),
            size(domain.received),
            format!("{}{mark}", escape(&domain.name)),
        ];
        // Into memory, where nothing fails.
        let _ = table.row(row, &mut written);
    }
    let _ = table.flush(&mut written);
    let mut text = String::from_utf8_lossy(&written).into_owned();
    text.push_str("\nTo capture them:\n  spectral capture proxy");
    for Domain { name, .. } in summary.domains.iter().take(MOST) {
        // Names came over the network; those that a pattern can hold need no quoting but for IPv6's brackets.
        let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c));
        match is_plain {
            true => text.push_str(&format!(" -d {name}")),
            false => text.push_str(&format!(" -d '{}'", escape(name).replace('\'', ""))),
        }
    }
    text.push('\n');
    if summary.domains.len() > MOST {
        text.push_str(&format!("  (and {} more)\n", summary.domains.len() - MOST));
    }
    text
}

/// The same for programs: a line of JSON for each domain.
pub(crate) fn domains_as_json(summary: &Summary, out: &mut dyn Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct Line<'d> {
        domain: &'d str,
        name_source: &'static str,
        connections: u64,
        requests: Option<u64>,
        bytes_sent: u64,
        bytes_received: u64,
    }
    for domain in &summary.domains {
        let line = Line {
            domain: &domain.name,
            name_source: if domain.name_source == NameSource::Connect { "connect" } else { "name" },
            connections: domain.connections,
            requests: requests(domain),
            bytes_sent: domain.sent,
            bytes_received: domain.received,
        };
        write_line(&line, out)?;
    }
    out.flush()
}

/// How many there were, where that is known: inside of TLS nobody looked.
fn requests(domain: &Domain) -> Option<u64> {
    (domain.requests > 0).then_some(domain.requests)
}

fn connections(n: u64) -> String {
    match n {
        1 => "1 connection".into(),
        n => format!("{n} connections"),
    }
}

/// So many hosts are listed; the rest is counted.
const MOST: usize = 30;
