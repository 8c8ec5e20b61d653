//! Rewrites the head of a plain request for the origin, line by line.
//!
//! ```text
//! GET http://h/p HTTP/1.1      ─▶ GET /p HTTP/1.1      the target becomes origin-form
//! Host: other                  ─▶ Host: h              the authority of the URI; added if missing
//! Proxy-Authorization: …       ─▶                      removed, as all Proxy-* fields
//! Accept: */*                  ─▶ Accept: */*          unchanged, with case and line end
//! ```

use super::HTTP_PORT;
use crate::wire::authority::Authority;
use crate::wire::headers::{is_visible, trim};
use crate::wire::message::RequestHead;

/// Returns the head for the origin; `None` if the lines of `sent` do not match `head`.
pub(super) fn rewrite(sent: &[u8], head: &RequestHead, authority: &Authority, path: &[u8]) -> Option<Vec<u8>> {
    // Empty lines before the request line are ignored (RFC 9112 section 2.2).
    let mut lines = sent.split_inclusive(|&b| b == b'\n').skip_while(|line| is_empty(line));
    let mut wire = Vec::with_capacity(sent.len());

    let target_and_version = lines.next()?.strip_prefix(head.method.as_bytes())?.strip_prefix(b" ")?;
    let version = target_and_version.strip_prefix(head.target.as_slice())?;
    wire.extend_from_slice(head.method.as_bytes());
    wire.push(b' ');
    wire.extend(missing_path(&head.method, path));
    wire.extend_from_slice(path);
    wire.extend_from_slice(version);

    let mut host = HostField::Missing;
    if head.headers.first("host").is_none() {
        write_host(&mut wire, b"Host", authority, b"\r\n");
        host = HostField::Written;
    }
    let has_transfer_encoding = head.headers.first("transfer-encoding").is_some();
    for line in lines {
        if is_empty(line) {
            wire.extend_from_slice(line);
            continue;
        }
        let (name, value) = split_field(line)?;
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        if starts_with_ignore_case(name, b"proxy-") {
            continue;
        }
        // A proxy that forwards a message with both fields must remove Content-Length (RFC 9112 section 6.3).
        if has_transfer_encoding && is("content-length") {
            continue;
        }
        if is("host") {
            match std::mem::replace(&mut host, HostField::Written) {
                HostField::Missing if Authority::from_host_header(value, HTTP_PORT).as_ref() != Ok(authority) => {
                    write_host(&mut wire, name, authority, line_end(line));
                    continue;
                }
                HostField::Missing => {}
                HostField::Written => continue,
            }
        }
        wire.extend_from_slice(line);
    }
    Some(wire)
}

/// Returns true if an origin can read the lines of `sent` only as `head`, which was parsed from them.
///
/// The bytes of targets and values may be unusual, but not so that a recipient could find another version or other lines.
pub(super) fn is_clear(sent: &[u8], head: &RequestHead) -> bool {
    let mut lines = sent.split_inclusive(|&b| b == b'\n').skip_while(|line| is_empty(line));
    let has_clear_start = lines.next().and_then(|line| {
        let target = trim_start(line.strip_prefix(head.method.as_bytes())?);
        let version = trim_start(target.strip_prefix(head.target.as_slice())?);
        Some(matches!(version.strip_suffix(line_end(line))?, b"HTTP/1.0" | b"HTTP/1.1"))
    });
    // RFC 9112 section 3: a recipient may split the line at any whitespace, also at a bare CR.
    let is_odd = |b: &u8| matches!(b, b'\t' | 0x0b | 0x0c | b'\r' | 0);
    has_clear_start == Some(true)
        && !head.target.iter().any(is_odd)
        && !head.target.split(|&b| b == b' ').any(|part| part.starts_with(b"HTTP/"))
        && lines.all(|line| is_empty(line) || split_field(line).is_some())
}

/// The state of the Host field in the rewritten head; the origin gets exactly one.
enum HostField {
    Missing,
    Written,
}

/// Returns the byte to insert before `path`, the part of the URI after its authority, to get origin-form or asterisk-form
/// (RFC 9112 sections 3.2.1 and 3.2.4).
fn missing_path(method: &str, path: &[u8]) -> Option<u8> {
    match path {
        [b'/', ..] => None,
        [] if method == "OPTIONS" => Some(b'*'),
        _ => Some(b'/'),
    }
}

fn write_host(wire: &mut Vec<u8>, name: &[u8], authority: &Authority, end: &[u8]) {
    wire.extend_from_slice(name);
    wire.extend_from_slice(b": ");
    wire.extend_from_slice(authority.to_host_header(HTTP_PORT).as_bytes());
    wire.extend_from_slice(end);
}

/// Splits a field line into name and value, without outer spaces.
///
/// Returns `None` for a folded line and for a space before the colon (RFC 9112 section 5), and for a CR or NUL in the value
/// (RFC 9110 section 5.5). A recipient could read such a line as a field to which the rules above do not apply.
fn split_field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|&b| b == b':')?;
    let (name, value) = line.strip_suffix(line_end(line))?.split_at_checked(colon)?;
    let value = value.strip_prefix(b":")?;
    let has_clear_name = !name.is_empty() && name.iter().all(is_visible);
    let has_clear_value = !value.iter().any(|b| matches!(b, b'\r' | 0));
    (has_clear_name && has_clear_value).then_some((name, trim(value)))
}

fn trim_start(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|&b| b != b' ').unwrap_or(bytes.len());
    bytes.get(start..).unwrap_or_default()
}

fn is_empty(line: &[u8]) -> bool {
    line == line_end(line)
}

fn line_end(line: &[u8]) -> &[u8] {
    let end = if line.ends_with(b"\r\n") { 2 } else { 1 };
    line.get(line.len().saturating_sub(end)..).unwrap_or_default()
}

pub(super) fn starts_with_ignore_case(bytes: &[u8], prefix: &[u8]) -> bool {
    bytes.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}
