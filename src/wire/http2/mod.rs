//! HTTP/2 (RFC 9113), read from a copy of the bytes: many exchanges at a time, none of them held up.
//!
//! ```text
//!               ┌──────────────────────── tap ────────────────────────┐
//! Up   ──▶ frame ─┬─ HEADERS … CONTINUATION ─▶ hpack ─▶ head ─┐       │
//!               │ ├─ DATA ───────────────────────────────┐    │       │
//!               │ └─ SETTINGS ─▶ limits of the other way │    │       │
//!               │                                        ▼    ▼       │
//!               │                       streams: 1 ┊ 3 ┊ 5 ┊ 2 … ──▶ Event, Event, …
//!               │                                        ▲    ▲       │
//! Down ──▶ frame ── as above, and PUSH_PROMISE ──────────┴────┘       │
//!               └─────────────────────────────────────────────────────┘
//! ```
//!
//! - [`frame`] cuts a direction into frames, without their padding.
//! - [`hpack`] turns blocks into fields, and [`head`] those into heads.
//! - [`settings`] says what bears on reading.
//! - [`stream`] is one exchange, or one WebSocket (RFC 8441).
//! - [`tap`] is the observer of a whole connection.
//!
//! An exchange is named by its stream. Its body pieces are what DATA frames carry: gRPC's messages stay length-prefixed.
//!
//! Out of scope: flow control, priorities and the order of frames that the two ends expect of each other, since no bytes wait
//! for us; and judging messages. An exchange whose frames make no sense ends as not understood and leaves the others
//! alone. A connection becomes opaque where frames or compressed fields cannot be followed any more: HPACK cannot be joined
//! late, so it stays so.

mod frame;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod head;
pub(crate) mod hpack;
mod settings;
mod stream;
mod tap;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub(crate) use tap::Http2Tap;
