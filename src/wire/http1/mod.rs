//! Reads HTTP/1.0 and HTTP/1.1 (RFC 9112) from a copy of the relayed bytes, without sockets and without buffering bodies.
//!
//! ```text
//!             ┌──────────── tap: assigns bytes to exchanges ─────────────┐
//! Up   ──▶    head ─▶ body ─▶ head ─▶ …            ──▶ event, event, …
//!               └─▶ pending: method of each request ─┐
//! Down ──▶    head ─▶ body ─▶ head ─▶ …  ◀─ pairs ───┘
//!             └──────────────────────────────────────────────────────────┘
//! ```
//!
//! - [`head_scanner`] finds the end of a head; [`head`] parses its first line, [`fields`] the others. [`partial`] parses a head
//!   that ended early.
//! - [`framing`] determines how a body is framed; [`body`] reads it piece by piece, [`chunked`] in the chunked coding. The
//!   code that forwards plain proxy requests uses the same modules.
//! - [`tap`] observes a whole connection: it pairs responses with the requests in [`pending`], and hands over to another tap
//!   when the connection switches to WebSocket or HTTP/2. [`expect`] decides whether a body was omitted.
//!
//! Out of scope: validating messages (client and origin do that), HTTP/0.9, and decoding any coding but chunked.

pub(crate) mod body;
mod chunked;
mod direction;
pub(crate) mod expect;
mod fields;
pub(crate) mod framing;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub(crate) mod head;
pub(crate) mod head_scanner;
mod partial;
mod pending;
mod tap;
#[cfg(test)]
mod tests;

pub(crate) use tap::Http1Tap;
