//! gRPC and gRPC-Web calls in exchanges: their status, messages and trailers.
//!
//! ```text
//! gRPC      header fields │ frame frame …                │ trailer fields: grpc-status, grpc-message
//! gRPC-Web  header fields │ frame frame … trailer frame  │
//! frame     flags (1 byte) length (4 bytes) content        flags 0x01: compressed, 0x80: trailers
//! ```
//!
//! A bundle has trailer fields after the header fields, without a mark. Those of gRPC have known names; others are known if a Trailer
//! field announces them. References: "gRPC over HTTP2" (`PROTOCOL-HTTP2.md`) and `PROTOCOL-WEB.md` in the repository of gRPC.

use super::urlencoded::percent_decoded;
use crate::bundle::reader::{Body, Bundle, Error, Header, Trace};
use frames::Frames;
use std::fmt;

mod base64_text;
mod frames;

/// The status of a call. `Display` writes `5 NOT_FOUND: no such user`. The message comes from the network: escape it before
/// printing to a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GrpcStatus {
    /// The number; 0 is success.
    pub code: u32,
    /// The message for people, often empty.
    pub message: String,
}

/// The messages in one direction of a call.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct GrpcMessages {
    /// The number of complete messages.
    pub count: u64,
    /// The number of those that are compressed.
    pub compressed: u64,
    /// True if the body ends within a message.
    pub is_truncated: bool,
    /// True if a frame has unknown flags. The rest of the body is not read.
    pub is_malformed: bool,
    /// The trailer fields in the body, which only gRPC-Web has.
    pub trailers: Vec<Header>,
}

impl GrpcStatus {
    /// Returns the name of the code, if it is a known one.
    pub fn name(&self) -> Option<&'static str> {
        NAMES.get(usize::try_from(self.code).ok()?).copied()
    }

    /// Returns the code with this name, compared without regard to case.
    pub fn code_of(name: &str) -> Option<u32> {
        let at = NAMES.iter().position(|known| known.eq_ignore_ascii_case(name))?;
        u32::try_from(at).ok()
    }

    /// Returns the status of an exchange: in the header or trailer fields of its response or, in gRPC-Web, at the end of its body,
    /// which is read for that. Returns `None` if it has none.
    ///
    /// # Errors
    /// If the body cannot be read.
    pub fn of(bundle: &Bundle, trace: &Trace) -> Result<Option<Self>, Error> {
        match Self::in_fields(&trace.response.headers) {
            None if Framing::of(&trace.response.headers).is_some_and(|framing| framing != Framing::Grpc) => {
                let messages = GrpcMessages::of_response(bundle, trace)?.unwrap_or_default();
                Ok(Self::in_fields(&messages.trailers))
            }
            status => Ok(status),
        }
    }

    /// Returns the last status in `fields`.
    fn in_fields(fields: &[Header]) -> Option<Self> {
        let last = |name: &str| fields.iter().rev().find(|field| field.name.eq_ignore_ascii_case(name));
        let code = last(STATUS)?.value.trim().parse().ok()?;
        let message = last(MESSAGE).map(|field| percent_decoded(&field.value)).unwrap_or_default();
        Some(Self { code, message })
    }
}

impl fmt::Display for GrpcStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        self.name().map_or(Ok(()), |name| write!(f, " {name}"))?;
        if self.message.is_empty() { Ok(()) } else { write!(f, ": {}", self.message) }
    }
}

impl GrpcMessages {
    /// Reads the messages of a request. Returns `None` if its body is not that of gRPC, or is still encoded.
    ///
    /// # Errors
    /// If the body cannot be read.
    pub fn of_request(bundle: &Bundle, trace: &Trace) -> Result<Option<Self>, Error> {
        let (headers, encoding) = (&trace.request.headers, &trace.request.body_encoding);
        let framing = Framing::of(headers).filter(|_| encoding.is_none());
        framing.map(|framing| Self::read(framing, bundle.open_request_body(trace)?)).transpose()
    }

    /// As [`GrpcMessages::of_request`], of the response.
    ///
    /// # Errors
    /// If the body cannot be read.
    pub fn of_response(bundle: &Bundle, trace: &Trace) -> Result<Option<Self>, Error> {
        let (headers, encoding) = (&trace.response.headers, &trace.response.body_encoding);
        let framing = Framing::of(headers).filter(|_| encoding.is_none());
        framing.map(|framing| Self::read(framing, bundle.open_response_body(trace)?)).transpose()
    }

    fn read(framing: Framing, mut body: Body<'_>) -> Result<Self, Error> {
        let mut frames = Frames::new(framing);
        loop {
            match body.next_block()? {
                [] => return Ok(frames.finish()),
                block => frames.push(block),
            }
        }
    }
}

/// Returns true if these are the header fields of a gRPC or gRPC-Web message.
pub fn is_grpc(headers: &[Header]) -> bool {
    Framing::of(headers).is_some()
}

/// Returns the index of the first trailer field of a message, whose body is empty if `is_empty`; their number if none is known.
///
/// A response of gRPC without messages may have its status among the header fields, so nothing is called a trailer then.
pub fn first_trailer(headers: &[Header], is_empty: bool) -> usize {
    let is_status = |field: &Header| GRPC_FIELDS.iter().any(|name| field.name.eq_ignore_ascii_case(name));
    if is_grpc(headers) && !is_empty {
        return headers.iter().position(is_status).unwrap_or(headers.len());
    }
    // Those announced, at the end.
    let announcing = headers.iter().filter(|field| field.name.eq_ignore_ascii_case("trailer"));
    let names: Vec<_> = announcing.flat_map(|field| field.value.split(',')).map(str::trim).collect();
    let is_announced = |field: &&Header| names.iter().any(|name| field.name.eq_ignore_ascii_case(name));
    headers.len().saturating_sub(headers.iter().rev().take_while(is_announced).count())
}

/// The framing of a body, by its media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Grpc,
    Web,
    /// gRPC-Web in base64.
    WebText,
}

impl Framing {
    fn of(headers: &[Header]) -> Option<Self> {
        let field = headers.iter().find(|field| field.name.eq_ignore_ascii_case("content-type"))?;
        let name = field.value.split([';', '+']).next().unwrap_or_default().trim();
        let is = |kind: &str| name.eq_ignore_ascii_case(kind);
        [
            ("application/grpc", Self::Grpc),
            ("application/grpc-web", Self::Web),
            ("application/grpc-web-text", Self::WebText),
        ]
        .into_iter()
        .find_map(|(kind, framing)| is(kind).then_some(framing))
    }
}

const STATUS: &str = "grpc-status";
const MESSAGE: &str = "grpc-message";

/// The fields of gRPC that are in trailers.
const GRPC_FIELDS: [&str; 3] = [STATUS, MESSAGE, "grpc-status-details-bin"];

/// The codes of gRPC (`statuscodes.md` in its repository).
const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(fields: &[(&str, &str)]) -> Vec<Header> {
        fields.iter().map(|(name, value)| Header { name: (*name).into(), value: (*value).into() }).collect()
    }

    #[test]
    fn a_status_has_a_name_and_a_message() {
        for (given, expected) in [
            (&[("grpc-status", "0")][..], Some("0 OK")),
            (
                &[("Grpc-Status", " 5"), ("grpc-message", "no such user: %C3%BC%")],
                Some("5 NOT_FOUND: no such user: ü%"),
            ),
            (&[("grpc-status", "16"), ("grpc-message", "%zz%1")], Some("16 UNAUTHENTICATED: %zz%1")),
            (&[("grpc-message", "%ff%1b"), ("grpc-status", "99")], Some("99: \u{fffd}\x1b")),
            (&[("grpc-status", "0"), ("grpc-status", "13")], Some("13 INTERNAL")),
            (&[("grpc-status", "x")], None),
            (&[("grpc-message", "x")], None),
        ] {
            let status = GrpcStatus::in_fields(&fields(given)).map(|status| status.to_string());
            assert_eq!(status.as_deref(), expected, "{given:?}");
        }
        assert_eq!((GrpcStatus::code_of("not_found"), GrpcStatus::code_of("x")), (Some(5), None));
    }

    #[test]
    fn trailers_are_told_by_their_names() {
        let grpc = ("content-type", "application/grpc+proto");
        for (given, is_empty, expected) in [
            (&[grpc, ("x", "1"), ("grpc-status", "0"), ("y", "2")][..], false, 2),
            (&[grpc, ("grpc-message", ""), ("grpc-status", "5")], false, 1),
            (&[grpc, ("grpc-status", "5")], true, 2),
            (&[grpc, ("x", "1")], false, 2),
            (&[("Trailer", "Digest, X-Sum"), ("digest", "no"), ("a", ""), ("X-SUM", "1"), ("Digest", "2")], false, 3),
            (&[("a", ""), ("X-Sum", "1")], false, 2),
        ] {
            assert_eq!(first_trailer(&fields(given), is_empty), expected, "{given:?}");
        }
    }

    #[test]
    fn the_media_type_tells_the_framing() {
        for (value, expected) in [
            ("application/grpc", Some(Framing::Grpc)),
            ("Application/gRPC+proto; x", Some(Framing::Grpc)),
            ("application/grpc-web+json", Some(Framing::Web)),
            ("application/grpc-web-text", Some(Framing::WebText)),
            ("application/grpcx", None),
            ("text/html", None),
        ] {
            assert_eq!(Framing::of(&fields(&[("Content-Type", value)])), expected, "{value}");
        }
        assert!(!is_grpc(&[]));
    }
}
