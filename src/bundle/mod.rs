//! Meaning to file: what connections saw becomes a ZIP bundle.
//!
//! ```text
//! connection threads                      │ one writer thread
//! tap events ─▶ recorder ─▶ body ─▶ Item ─┼─▶ writer ─▶ decode ─▶ format ─▶ archive ─▶ NAME.zip.part ─▶ NAME.zip
//!                         (memory, spill) │                                           (at the end: rename)
//! ```
//!
//! Nothing here touches a socket. Names in the archive are made from counters alone, never from what was captured.

pub(crate) mod archive;
pub(crate) mod body;
pub(crate) mod decode;
pub(crate) mod format;
pub(crate) mod item;
mod json;
pub mod merge;
pub(crate) mod note;
pub(crate) mod queue;
pub mod reader;
pub(crate) mod recorder;
pub mod recover;
pub mod redact;
pub(crate) mod remake;
pub(crate) mod session;
pub(crate) mod spill;
mod strings;
pub(crate) mod timeline;
pub(crate) mod url;
pub(crate) mod writer;
