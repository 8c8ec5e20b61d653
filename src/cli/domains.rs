//! The domains that `capture discover` found, as a table or as JSON, and the command that captures them.

use super::advice::Client;
use super::json::write_line;
use super::summary::{MAX_LISTED_HOSTS, omitted_line, so_far_line};
use super::text::{Align, Table, count, escape, size};
use serde::Serialize;
use spectral_capture::{Domain, NameSource, Progress, Summary};

/// Returns the table of discovered domains; empty if there are none.
pub(crate) fn table(summary: &Summary) -> String {
    let mut table = Table::new([
        ("Connections", Align::Right),
        ("Requests", Align::Right),
        ("Sent", Align::Right),
        ("Received", Align::Right),
        ("Domain", Align::Left),
    ]);
    let mut written = Vec::new();
    for domain in &summary.domains {
        let mark = if domain.name_source == NameSource::Connect { "  (no server name)" } else { "" };
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

/// Returns the summary so far of a discovery that goes on.
pub(crate) fn so_far(summary: &Summary, progress: &Progress) -> String {
    let open = count(progress.open as u64, "open connection");
    let relayed = format!("  {} relayed, {open}\n", size(progress.bytes));
    [&so_far_line(progress), "\n", &relayed, &table(summary)].concat()
}

/// Returns the command that captures the discovered domains of `client`, or a hint if there are none.
pub(crate) fn capture_hint(summary: &Summary, client: Client) -> String {
    let (command, end, hint) = match client {
        Client::Redirected => {
            ("run --all", " -- COMMAND\n", "No TCP connection of the command reached its destination.")
        }
        Client::App | Client::Command => ("proxy", "\n", "Does the app use HTTP_PROXY and HTTPS_PROXY?"),
    };
    if summary.domains.is_empty() {
        return ["No domains were seen. ", hint, "\n"].concat();
    }
    let mut text = ["\nTo capture them:\n  spectral capture ", command].concat();
    for Domain { name, .. } in summary.domains.iter().take(MAX_LISTED_HOSTS) {
        // Names come from the network. A valid pattern needs quotes only for the brackets of IPv6 addresses.
        let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c));
        match is_plain {
            true => text.push_str(&format!(" -d {name}")),
            false => text.push_str(&format!(" -d '{}'", escape(name).replace('\'', ""))),
        }
    }
    text.push_str(end);
    if let Some(line) = omitted_line(summary.domains.len()) {
        text.extend([&line, "\n"]);
    }
    text
}

/// Returns the discovered domains as lines of JSON.
pub(crate) fn json_lines(summary: &Summary) -> String {
    #[derive(Serialize)]
    struct Line<'d> {
        domain: &'d str,
        /// The JSON name is fixed, because scripts read it.
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
