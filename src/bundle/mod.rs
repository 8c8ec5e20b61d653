//! The bundle file: its ZIP archive, its JSON documents, and reading both back.
//!
//! Nothing here touches a socket.

pub(crate) mod archive;
pub(crate) mod format;
pub(crate) mod iso8601;
mod json;
pub(crate) mod note;
pub mod reader;
pub(crate) mod session;
pub(crate) mod spill;
pub(crate) mod strings;
pub(crate) mod timeline;
