//! Output files, which appear under their name only once they are complete.
//!
//! ```text
//! capture ─▶ NAME.zip.part ───────────────┐                 after a crash, `recover` makes a bundle of it
//! merge, redact, recover, export ─▶ .tmp ─┴─▶ NAME.zip      after a crash, the next run deletes it
//!                        NAME.zip.bak, NAME.zip.2.bak, … ◀──┘ the file that had the name
//! ```
//!
//! A file of another process is never renamed, replaced or deleted, whatever its name is: before that, the path and the open
//! file are compared.

pub(crate) mod backups;
pub(crate) mod identity;
pub(crate) mod names;
pub(crate) mod open_file;
pub(crate) mod part;
pub(crate) mod path;
pub(crate) mod replace;
pub(crate) mod rescue;
pub(crate) mod sys;
pub(crate) mod temporary;
