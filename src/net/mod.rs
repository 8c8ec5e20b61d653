//! Sockets, threads, TLS: everything here may wait, and says for what. Nothing here parses a protocol.
//!
//! ```text
//! listener ─▶ connection ─┬─▶ plain ───────┐
//!  (thread)    (thread)   ├─▶ intercept ───┼─▶ relay ── two legs, one poll(2)
//!                         ├─▶ tunnel ──────┘
//!                         └─▶ page
//! ```

pub(crate) mod buffers;
pub(crate) mod connection;
pub(crate) mod crew;
pub(crate) mod dial;
pub(crate) mod idle;
pub(crate) mod intercept;
pub(crate) mod leg;
pub(crate) mod listener;
pub(crate) mod outbox;
pub(crate) mod page;
pub(crate) mod plain;
pub(crate) mod relay;
pub(crate) mod shared;
pub(crate) mod splice;
pub(crate) mod stop;
pub(crate) mod sys;
pub(crate) mod tls;
pub(crate) mod tunnel;
