//! HTTP/1.0 and HTTP/1.1 (RFC 9112), read from a copy of the bytes: no sockets, no buffers of bodies.
//!
//! ```text
//!             ┌───────────────── tap: which bytes are whose ─────────────────┐
//! Up   ──▶    head ─▶ body ─▶ head ─▶ …           ──▶ Event, Event, …
//!               └─▶ pending: method of each question ─┐
//! Down ──▶    head ─▶ body ─▶ head ─▶ …  ◀─ pairs ────┘
//!             └──────────────────────────────────────────────────────────────┘
//! ```
//!
//! - [`head`] finds where a head ends and says what is in it; the one file that names `httparse`.
//! - [`body`] decides how a body is framed and reads it piece by piece ([`chunked`] for the chunked coding). The path
//!   that forwards plain proxy requests uses the same two.
//! - [`tap`] is the observer of a whole connection: it pairs answers with questions and hands over to another
//!   tap where the connection turns into a WebSocket or into HTTP/2.
//!
//! Out of scope: judging messages (what the two ends accept of each other is theirs to know), HTTP/0.9, and undoing any
//! coding but the chunked one.

pub(crate) mod body;
mod chunked;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub(crate) mod head;
mod tap;
#[cfg(test)]
mod tests;

pub(crate) use tap::Http1;
