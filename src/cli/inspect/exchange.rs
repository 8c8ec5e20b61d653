//! One exchange: both heads, both bodies and the timing.

use super::readable_body::show_body;
use crate::cli::command_error::CommandError;
use crate::cli::open_bundle::require_exchange;
use crate::cli::text::{date, duration, escape};
use spectral_capture::reader::{Bundle, Header, Timing, Trace};
use std::io::{self, Write};

/// Shows the exchange `id`.
pub(super) fn show(bundle: &Bundle, id: &str, out: &mut dyn Write) -> Result<(), CommandError> {
    require_exchange(bundle, id)?;
    let trace = bundle.trace(id)?;
    let Trace { request, response, .. } = &trace;
    writeln!(out, "{id}  {}", date(trace.timestamp))?;

    writeln!(out, "\n{} {}", escape(&request.method), escape(&request.url))?;
    show_headers(&request.headers, out)?;
    show_body(&|| bundle.open_request_body(&trace), request.body_encoding.as_deref(), out)?;

    match response.status {
        0 => writeln!(out, "\nno response: {}", escape(&response.status_text))?,
        status => writeln!(out, "\n{}", format!("{status} {}", escape(&response.status_text)).trim_end())?,
    }
    show_headers(&response.headers, out)?;
    show_body(&|| bundle.open_response_body(&trace), response.body_encoding.as_deref(), out)?;
    if let Some(part) = trace.describe_cut_off() {
        writeln!(out, "\ncut off: {}", escape(&part))?;
    }
    Ok(show_timing(&trace.timing, out)?)
}

fn show_headers(headers: &[Header], out: &mut dyn Write) -> io::Result<()> {
    headers.iter().try_for_each(|header| writeln!(out, "{}: {}", escape(&header.name), escape(&header.value)))
}

fn show_timing(timing: &Timing, out: &mut dyn Write) -> io::Result<()> {
    let phases = [
        ("dns", timing.dns_ms),
        ("connect", timing.connect_ms),
        ("tls", timing.tls_ms),
        ("send", timing.send_ms),
        ("wait", timing.wait_ms),
        ("receive", timing.receive_ms),
        ("total", timing.total_ms),
    ];
    let phases: Vec<_> = phases.iter().map(|(name, ms)| format!("{name} {}", duration(*ms))).collect();
    writeln!(out, "\n{}", phases.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_escaped() {
        let mut header = Header::default();
        (header.name, header.value) = ("X\n".into(), "\x1b[2J".into());
        let mut out = Vec::new();
        show_headers(&[header], &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "X\\n: \\x1b[2J\n");
    }
}
