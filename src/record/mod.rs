//! Turns the events of the taps into exchanges and messages, and writes them to the bundle.
//!
//! ```text
//! connection threads                          │ one writer thread
//! tap events ─▶ recorder ─▶ body ─▶ queue ────┼─▶ writer ─▶ bundle::format ─▶ bundle::archive
//!                          (memory, file)     │     └─ packer threads: decode, verify, compress
//! ```
//!
//! This module opens no socket. Names in the archive are made of counters alone, never of captured data.

pub(crate) mod account;
pub(crate) mod body;
mod codings;
pub(crate) mod cut_off;
pub(crate) mod disk_monitor;
mod excluded;
pub(crate) mod item;
mod ledger;
pub(crate) mod observed;
pub(crate) mod origin;
mod pending;
pub(crate) mod queue;
pub(crate) mod recorder;
pub(crate) mod sink;
mod url;
pub(crate) mod writer;
