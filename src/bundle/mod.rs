//! The bundle file: its ZIP archive, its JSON documents, and a reader for both.
//!
//! The format is a contract with the readers of bundles: the JSON documents have every field in a fixed order.

pub(crate) mod archive;
pub(crate) mod capture_info;
pub(crate) mod cut_off;
pub(crate) mod disk_watch;
pub(crate) mod format;
pub(crate) mod gzip_body;
pub(crate) mod id;
pub(crate) mod iso8601;
pub(crate) mod json;
pub(crate) mod meter;
pub(crate) mod other_members;
pub(crate) mod output;
pub mod reader;
pub(crate) mod recovery_note;
pub(crate) mod spill;
mod string_arena;
#[cfg(any(test, fuzzing))]
pub(crate) mod test_dir;
pub(crate) mod timeline;
pub(crate) mod uuid;
