//! Output files as the tools for bundles write them: complete or not at all, and no link of another user is followed.

pub use crate::bundle::output::backups::{Pruned, prune_backups};
pub use crate::bundle::output::path::{is_descriptor, trusted_target};
pub use crate::bundle::output::temporary::{TemporaryFile, delete_temporary_files};
