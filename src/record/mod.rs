//! Meaning to records: the events of a connection become exchanges and messages, and the writer puts them into the bundle.
//!
//! ```text
//! connection threads                          │ one writer thread
//! tap events ─▶ recorder ─▶ body ─▶ queue ────┼─▶ writer ─▶ decode ─▶ bundle::format ─▶ bundle::archive
//!                          (memory, spill)    │
//! ```
//!
//! Nothing here touches a socket. Names in the archive are made from counters alone, never from captured data.

pub(crate) mod body;
pub(crate) mod decode;
pub(crate) mod item;
pub(crate) mod origin;
pub(crate) mod queue;
pub(crate) mod recorder;
pub(crate) mod url;
pub(crate) mod writer;
