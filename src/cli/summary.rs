//! The last words of a capture: what the bundle holds, what it does not hold and why, and what to do about it.

use super::text::{Align, Table, escape, size};
use serde::Serialize;
use spectral_capture::{Domain, KnownBy, Opaque, Reason, Summary, Uncaptured};
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
        summary.traces, summary.sockets, summary.messages
    ));
    if replaced && summary.bundle.is_some() {
        line(format!("  The one before is kept as {}.bak", output.display()));
    }
    match summary.lost {
        0 => {}
        1 => line("  1 exchange or message could not be written and is lost".into()),
        lost => line(format!("  {lost} exchanges or messages could not be written and are lost")),
    }
    match summary.cut {
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
            line(format!("  {}  {}: {}", not.host, connections(not.connections), why(&not.reason)));
            if let Some(advice) = advice(not, ca_cert, passes_refused) {
                line(format!("      {advice}"));
            }
        }
        if failed.len() > MOST {
            line(format!("  … and {} more", failed.len() - MOST));
        }
    }
    if !unmatched.is_empty() {
        line("Passed through, because -d and -e say so:".into());
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
        let mark = if domain.known_by == KnownBy::Connect { "  (by CONNECT alone)" } else { "" };
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
        known_by: &'static str,
        connections: u64,
        requests: Option<u64>,
        bytes_sent: u64,
        bytes_received: u64,
    }
    for domain in &summary.domains {
        let line = Line {
            domain: &domain.name,
            known_by: if domain.known_by == KnownBy::Connect { "connect" } else { "name" },
            connections: domain.connections,
            requests: requests(domain),
            bytes_sent: domain.sent,
            bytes_received: domain.received,
        };
        serde_json::to_writer(&mut *out, &line)?;
        writeln!(out)?;
    }
    out.flush()
}

/// How many there were, where that is known: inside of TLS nobody looked.
fn requests(domain: &Domain) -> Option<u64> {
    (domain.requests > 0).then_some(domain.requests)
}

/// Why something is not captured, as the end of a sentence.
pub(crate) fn why(reason: &Reason) -> String {
    match reason {
        Reason::NotMatched => "passed through, because -d and -e say so".into(),
        Reason::CertificateRefused(how) => format!("the client refused our certificate ({how})"),
        Reason::RefusedBefore => "passed through: a client refused our certificate before".into(),
        Reason::ClientLeft => "the client left without a request (perhaps it does not trust our certificate)".into(),
        Reason::OriginNotTrusted(why) => format!("passed through: this machine does not trust the origin, {why}"),
        Reason::OriginTls(why) => format!("passed through: no TLS handshake with the origin ({why})"),
        Reason::ClientTls(why) => format!("passed through: no TLS handshake with the client ({why})"),
        Reason::ClientCertificate => "passed through: the origin asks for a client certificate".into(),
        Reason::Protocol(which) => format!("passed through: the client speaks only {which}"),
        Reason::NotHttp => "passed through: not HTTP".into(),
        Reason::Incomplete => "passed through: its first words stayed incomplete".into(),
        Reason::Unreachable(why) => format!("could not be reached: {why}"),
        Reason::Opaque(Opaque::Switched) => "passed through after it switched to another protocol".into(),
        Reason::Opaque(why) => format!("captured up to {why}, passed through from there"),
        Reason::Refused(why) => format!("a request was refused: {why}"),
        Reason::NotForAProxy => "requests that were not meant for a proxy".into(),
        Reason::Internal => "ended by a defect of this program".into(),
        _ => format!("{reason:?}"),
    }
}

/// What to do about it, where something can be done.
fn advice(not: &Uncaptured, ca_cert: Option<&Path>, passes_refused: bool) -> Option<String> {
    let name = not.host.rsplit_once(':').map_or(not.host.as_str(), |(name, _)| name);
    match &not.reason {
        Reason::CertificateRefused(_) | Reason::ClientLeft => Some(format!(
            "have the app trust {}, or leave the host alone with -e {name}{}",
            ca_cert.map(|path| path.display().to_string()).unwrap_or_default(),
            if passes_refused { "" } else { " (or all such hosts with --passthrough-refused)" }
        )),
        Reason::OriginNotTrusted(_) => {
            Some("to capture it all the same use -k, or trust its CA with --upstream-ca FILE".into())
        }
        Reason::OriginTls(why) | Reason::ClientTls(why) if why.contains("in common") || why.contains("version") => {
            Some("only TLS 1.2 and 1.3 with modern cipher suites can be read".into())
        }
        Reason::ClientCertificate => Some("only the app has the key for it; it cannot be captured".into()),
        Reason::Protocol(_) => Some("if the app can be told to speak HTTP/1.1 or HTTP/2, it can be captured".into()),
        Reason::NotForAProxy => {
            Some("set HTTP_PROXY and HTTPS_PROXY to http://…; redirected traffic needs --transparent".into())
        }
        Reason::Internal => Some("please report it with the panic message above".into()),
        _ => None,
    }
}

fn connections(n: u64) -> String {
    match n {
        1 => "1 connection".into(),
        n => format!("{n} connections"),
    }
}

/// So many hosts are listed; the rest is counted.
const MOST: usize = 30;
