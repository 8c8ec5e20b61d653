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
//! - [`stream`] is one exchange, or one WebSocket (RFC 8441), and [`streams`] has those of a connection.
//! - [`direction`] is one direction of a connection.
//! - [`tap`] observes a whole connection.
//!
//! The id of an exchange is its stream id, plus an offset after an upgrade from HTTP/1. Its body pieces are the payloads of
//! DATA frames; gRPC messages keep their length prefix.
//!
//! Out of scope: flow control, priorities and the validation of messages, which client and origin do.
//!
//! | error | not reported |
//! |---|---|
//! | a frame that is out of place on its stream | the rest of that message |
//! | a frame on an idle stream, or after the end of a message | that frame |
//! | a field block above the limit | the fields that do not fit |
//! | too many streams, or too much stored for them | the rest of that stream |
//! | a frame or field block that cannot be parsed | the rest of that direction |
//! | a wrong preface | the connection |
//!
//! Each is reported with one [`TapEvent::Opaque`](crate::wire::tap::TapEvent::Opaque). A direction stays opaque, because an HPACK
//! decoder cannot start in the middle.

mod direction;
mod frame;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod head;
pub(crate) mod hpack;
mod settings;
mod stream;
mod streams;
mod tap;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub(crate) use tap::Http2Tap;
