//! One exchange: both heads, both bodies and the timing.

use super::grpc;
use super::readable_body::show_body;
use crate::cli::command_error::CommandError;
use crate::cli::open_bundle::require_exchange;
use crate::cli::text::{date, duration, escape};
use spectral_capture::grpc::{GrpcMessages, first_trailer};
use spectral_capture::reader::{Bundle, Header, Timing, Trace};
use std::io::{self, Write};

/// Shows the exchange `id`.
pub(super) fn show(bundle: &Bundle, id: &str, out: &mut dyn Write) -> Result<(), CommandError> {
    require_exchange(bundle, id)?;
    let trace = bundle.trace(id)?;
    let Trace { request, response, .. } = &trace;
    writeln!(out, "{id}  {}", date(trace.timestamp))?;

    writeln!(out, "\n{} {}", escape(&request.method), escape(&request.url))?;
    let (headers, trailers) = split_trailers(&request.headers, request.body_size);
    show_headers(headers, out)?;
    show_body(&|| bundle.open_request_body(&trace), request.body_encoding.as_deref(), out)?;
    grpc::show_messages(GrpcMessages::of_request(bundle, &trace)?.as_ref(), out)?;
    show_trailers("Trailers", trailers, out)?;

    match response.status {
        0 => writeln!(out, "\nno response: {}", escape(&response.status_text))?,
        status => writeln!(out, "\n{}", format!("{status} {}", escape(&response.status_text)).trim_end())?,
    }
    let (headers, trailers) = split_trailers(&response.headers, response.body_size);
    show_headers(headers, out)?;
    show_body(&|| bundle.open_response_body(&trace), response.body_encoding.as_deref(), out)?;
    let messages = GrpcMessages::of_response(bundle, &trace)?;
    grpc::show_messages(messages.as_ref(), out)?;
    show_trailers("Trailers", trailers, out)?;
    show_trailers("Trailers in the body", &messages.unwrap_or_default().trailers, out)?;
    grpc::show_status(bundle, &trace, out)?;
    if let Some(part) = trace.describe_cut_off() {
        writeln!(out, "\ncut off: {}", escape(&part))?;
    }
    Ok(show_timing(&trace.timing, out)?)
}

fn show_headers(headers: &[Header], out: &mut dyn Write) -> io::Result<()> {
    headers.iter().try_for_each(|header| writeln!(out, "{}: {}", escape(&header.name), escape(&header.value)))
}

/// Splits the fields of a message into header and trailer fields.
fn split_trailers(fields: &[Header], body_size: u64) -> (&[Header], &[Header]) {
    fields.split_at_checked(first_trailer(fields, body_size == 0)).unwrap_or((fields, &[]))
}

/// Shows trailer fields, if there are any, after an empty line and `title`.
fn show_trailers(title: &str, trailers: &[Header], out: &mut dyn Write) -> io::Result<()> {
    if trailers.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{title}:")?;
    show_headers(trailers, out)
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
