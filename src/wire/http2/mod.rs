//! Reads HTTP/2 (RFC 9113) from a copy of the relayed bytes. Exchanges overlap, and each is reported as its frames arrive.
//!
//! ```text
//!               ┌──────────────────────── tap ────────────────────────┐
//! Up   ──▶ frame ─┬─ HEADERS … CONTINUATION ─▶ hpack ─▶ head ─┐       │
//!               │ ├─ DATA ───────────────────────────────┐    │       │
//!               │ └─ SETTINGS ─▶ limits of the other dir │    │       │
//!               │                                        ▼    ▼       │
//!               │                       streams: 1 ┊ 3 ┊ 5 ┊ 2 … ──▶ event, event, …
//!               │                                        ▲    ▲       │
//! Down ──▶ frame ── as above, and PUSH_PROMISE ──────────┴────┘       │
//!               └─────────────────────────────────────────────────────┘
//! ```
//!
//! - [`frame`] splits a direction into frames and removes padding.
//! - [`hpack`] decodes field blocks, and [`head`] builds heads from their fields.
//! - [`settings`] reads the settings that affect parsing.
//! - [`stream`] is one exchange, or one WebSocket (RFC 8441).
//! - [`tap`] observes a whole connection.
//!
//! The id of an exchange is its stream id, plus an offset after an upgrade from HTTP/1. Its body pieces are the payloads of
//! DATA frames; gRPC messages keep their length prefix.
//!
//! Out of scope: flow control, priorities and the validation of frame order, which client and origin do; and the validation of
//! messages. An exchange with misplaced frames ends as opaque without an effect on the others. A connection becomes opaque if
//! its frames or field blocks cannot be parsed. It stays opaque, because an HPACK decoder cannot start in the middle.

mod frame;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod head;
pub(crate) mod hpack;
mod settings;
mod stream;
mod tap;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub(crate) use tap::Http2Tap;
