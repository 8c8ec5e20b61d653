//! Rewrites the head of a plain request for the origin, field by field.
//!
//! ```text
//! GET http://u:p@h/p HTTP/1.1  ─▶ GET /p HTTP/1.1      the target becomes origin-form
//! Host: other                  ─▶ Host: h              the authority of the URI; added if missing
//! Proxy-Authorization: …       ─▶                      removed, with its folded lines
//! Accept: */*                  ─▶ Accept: */*          unchanged, with case and line end
//!                              ─▶ Authorization: …     the credentials of the URI; added if missing
//! ```

use crate::wire::authority::Authority;
use crate::wire::headers::{is_space, is_visible, resembles, trim};
use crate::wire::http1::framing::FRAMING_FIELDS;
use crate::wire::message::RequestHead;

/// The parts of a request's URI, for its origin.
pub(super) struct OriginForm<'a> {
    pub(super) authority: &'a Authority,
    pub(super) default_port: u16,
    /// The path and all that follows it; may be empty.
    pub(super) path: &'a [u8],
    /// The value of the Authorization field for the credentials in the URI.
    pub(super) authorization: Option<Vec<u8>>,
}

/// Returns the head for the origin; `None` if the lines of `sent` do not match `head`.
pub(super) fn rewrite(sent: &[u8], head: &RequestHead, to: &OriginForm<'_>) -> Option<Vec<u8>> {
    let (start, section) = split_start(sent)?;
    let StartLine { separator, version, .. } = StartLine::split(start, head)?;
    let mut wire = Vec::with_capacity(sent.len());
    wire.extend_from_slice(head.method.as_bytes());
    wire.extend_from_slice(separator);
    wire.extend(missing_path(&head.method, to.path));
    wire.extend_from_slice(to.path);
    wire.extend_from_slice(version);

    let host_value = to.authority.to_host_header(to.default_port);
    let mut host = HostField::Missing;
    if head.headers.first("host").is_none() {
        write_field(&mut wire, b"Host", host_value.as_bytes(), b"\r\n");
        host = HostField::Written;
    }
    let has_transfer_encoding = head.headers.first("transfer-encoding").is_some();
    for field in fields(section) {
        if is_empty(field) {
            let authorization = to.authorization.as_ref().filter(|_| head.headers.first("authorization").is_none());
            if let Some(value) = authorization {
                write_field(&mut wire, b"Authorization", value, b"\r\n");
            }
            wire.extend_from_slice(field);
            continue;
        }
        let (name, value) = split_field(field)?;
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        if is_for_proxy(name, head) {
            continue;
        }
        // A proxy that forwards a message with both fields must remove Content-Length (RFC 9112 section 6.3).
        if has_transfer_encoding && is("content-length") {
            continue;
        }
        if is("host") {
            match std::mem::replace(&mut host, HostField::Written) {
                HostField::Missing
                    if Authority::from_host_header(value, to.default_port).as_ref() != Ok(to.authority) =>
                {
                    write_field(&mut wire, name, host_value.as_bytes(), line_end(field));
                    continue;
                }
                HostField::Missing => {}
                HostField::Written => continue,
            }
        }
        wire.extend_from_slice(field);
    }
    Some(wire)
}

/// Returns a head for an upstream proxy: `wire` for the origin `host`, with the target in absolute form, and with
/// `authorization` in a field; `None` if the lines of `wire` do not match `head`.
pub(super) fn absolute_form(
    wire: &[u8],
    head: &RequestHead,
    host: &str,
    authorization: Option<&[u8]>,
) -> Option<Vec<u8>> {
    let (start, section) = split_start(wire)?;
    let StartLine { separator, target, version } = StartLine::split(start, head)?;
    // RFC 9112 section 3.2.4: without a path, the target of OPTIONS stands for the server as a whole.
    let target = if target == b"*" { b"" } else { target };
    let mut sent = [head.method.as_bytes(), separator, b"http://", host.as_bytes(), target, version].concat();
    if let Some(value) = authorization {
        write_field(&mut sent, b"Proxy-Authorization", value, b"\r\n");
    }
    sent.extend_from_slice(section);
    Some(sent)
}

/// Returns true if an origin reads the same framing, the same Host and the same lines in `sent` as in `head`, which was parsed
/// from it. All other bytes of the target and of fields may be unusual.
pub(super) fn is_clear(sent: &[u8], head: &RequestHead) -> bool {
    let Some((start, section)) = split_start(sent) else { return false };
    StartLine::split(start, head).is_some_and(|line| line.is_clear())
        && fields(section).all(|field| is_empty(field) || is_clear_field(field))
}

/// Returns true if no recipient can take `field`, with its folded lines, for other lines, for Host, or for a field that
/// determines the end of the body.
///
/// For names with invalid bytes that resemble a framing field, [`RequestHead::is_ambiguous`] is true.
fn is_clear_field(field: &[u8]) -> bool {
    let Some((name, _)) = split_field(field) else { return false };
    let mut lines = field.split_inclusive(|&b| b == b'\n');
    let Some(first) = lines.next() else { return false };
    let is = |other: &&str| name.eq_ignore_ascii_case(other.as_bytes());
    let may_be_folded = !is(&"host") && !FRAMING_FIELDS.iter().any(is);
    // A folded line before all fields may belong to the request line.
    !first.first().is_some_and(is_space)
        && (is(&"host") || !may_be_host(name))
        && lines.all(|folded| {
            let name = folded.split(|&b| b == b':').next().unwrap_or_default();
            // Some recipients take a line of spaces for the empty line, and a folded line for a field.
            may_be_folded && folded.iter().any(is_visible) && !may_be_host(name)
        })
        // RFC 9110 section 5.5: a recipient may replace both, or take a CR for a line end (RFC 9112 section 2.2).
        && !field.split_inclusive(|&b| b == b'\n').any(|line| {
            line.strip_suffix(line_end(line)).unwrap_or(line).iter().any(|b| matches!(b, b'\r' | 0))
        })
}

/// Returns true if some recipient may take a field named `name` for Host: it is Host without whitespace and control characters,
/// which some remove, in UTF-8 or in Latin-1. Those of Unicode count, as for Python's `strip`.
fn may_be_host(name: &[u8]) -> bool {
    let is_host = |chars: &mut dyn Iterator<Item = char>| {
        chars.filter(|c| !c.is_whitespace() && !c.is_control()).map(|c| c.to_ascii_lowercase()).eq("host".chars())
    };
    is_host(&mut name.iter().map(|&b| char::from(b))) || is_host(&mut String::from_utf8_lossy(name).chars())
}

/// Returns true for fields that are for the proxy alone: Proxy-Connection, Proxy-Authorization, and other `Proxy-*` fields that
/// Connection names (RFC 9110 section 7.6.1). Apps have `Proxy-*` fields of their own, for their origins.
pub(super) fn is_for_proxy(name: &[u8], head: &RequestHead) -> bool {
    let name = trim(name);
    let is_named = || head.headers.list("connection").any(|option| option.eq_ignore_ascii_case(name));
    ["proxy-connection", "proxy-authorization"].iter().any(|known| resembles(name, known))
        || name.get(..PROXY_PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PROXY_PREFIX)) && is_named()
}

/// The beginning of the names of fields for proxies.
const PROXY_PREFIX: &[u8] = b"proxy-";

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

fn write_field(wire: &mut Vec<u8>, name: &[u8], value: &[u8], end: &[u8]) {
    for part in [name, b": ", value, end] {
        wire.extend_from_slice(part);
    }
}

/// The parts of a request line.
struct StartLine<'a> {
    /// The whitespace after the method.
    separator: &'a [u8],
    target: &'a [u8],
    /// The whitespace after the target, the version, and the line end.
    version: &'a [u8],
}

impl<'a> StartLine<'a> {
    /// Splits `line`; `None` if it does not begin as `head` does.
    fn split(line: &'a [u8], head: &RequestHead) -> Option<Self> {
        let after_method = line.strip_prefix(head.method.as_bytes())?;
        let rest = trim_start(after_method);
        let separator = after_method.get(..after_method.len().saturating_sub(rest.len()))?;
        let version = rest.strip_prefix(head.target.as_slice())?;
        Some(Self { separator, target: rest.strip_suffix(version)?, version })
    }

    /// Returns true if no recipient can find another version in it, or another end. It may split the line at any whitespace,
    /// also at a bare CR (RFC 9112 section 3).
    fn is_clear(&self) -> bool {
        let version = trim_start(self.version);
        matches!(version.strip_suffix(line_end(version)), Some(b"HTTP/1.0" | b"HTTP/1.1"))
            && !self.target.iter().any(|b| matches!(b, b'\r' | 0))
            && !self
                .target
                .split(|b| matches!(b, b' ' | b'\t' | 0x0b | 0x0c))
                .any(|part| part.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"HTTP/")))
    }
}

/// Splits a head into its request line and the rest. Empty lines before it are ignored (RFC 9112 section 2.2).
fn split_start(sent: &[u8]) -> Option<(&[u8], &[u8])> {
    let start = sent.iter().position(|b| !matches!(b, b'\r' | b'\n'))?;
    let sent = sent.get(start..)?;
    let end = sent.iter().position(|&b| b == b'\n')?;
    sent.split_at_checked(end.saturating_add(1))
}

/// Returns the fields of a section, each with its folded lines (RFC 9112 section 5.2), and its empty line.
fn fields(mut section: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let mut end = 0_usize;
        loop {
            let line = section.get(end..).unwrap_or_default().split_inclusive(|&b| b == b'\n').next()?;
            end = end.saturating_add(line.len());
            if !section.get(end).is_some_and(is_space) {
                break;
            }
        }
        let (field, rest) = section.split_at_checked(end)?;
        section = rest;
        Some(field)
    })
}

/// Splits a field into its name and its value, without outer spaces; `None` if its first line has no colon.
fn split_field(field: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = field.iter().take_while(|&&b| b != b'\n').position(|&b| b == b':')?;
    let (name, value) = field.strip_suffix(line_end(field))?.split_at_checked(colon)?;
    Some((name, trim(value.strip_prefix(b":")?)))
}

fn trim_start(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|b| !is_space(b)).unwrap_or(bytes.len());
    bytes.get(start..).unwrap_or_default()
}

fn is_empty(line: &[u8]) -> bool {
    line == line_end(line)
}

fn line_end(line: &[u8]) -> &[u8] {
    let end = if line.ends_with(b"\r\n") { 2 } else { 1 };
    line.get(line.len().saturating_sub(end)..).unwrap_or_default()
}
