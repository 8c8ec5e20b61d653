//! The bundle file: its ZIP archive, its JSON documents, and reading both back.
//!
//! Nothing here touches a socket.

pub(crate) mod archive;
pub(crate) mod format;
pub(crate) mod iso8601;
mod json;
pub mod reader;
pub(crate) mod recovery_note;
pub(crate) mod session;
pub(crate) mod spill;
pub(crate) mod string_arena;
pub(crate) mod timeline;
