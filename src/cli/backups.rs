//! The backup of a bundle that a command replaced, and `--keep-backups`.

use super::message::print_warning;
use super::text::count;
use spectral_capture::Summary;
use spectral_capture::output::{Pruned, prune_backups};
use std::num::NonZeroU32;
use std::path::Path;

/// Deletes old backups of a capture's bundle if only `keep` are to be left, and returns lines for the summary.
pub(crate) fn of_capture(summary: &Summary, keep: Option<NonZeroU32>) -> Vec<String> {
    let Some(path) = &summary.bundle else { return Vec::new() };
    Written { path, backup: summary.backup.as_deref(), inputs: &[] }.settle(keep)
}

/// A bundle that a command wrote.
#[derive(Clone, Copy)]
pub(crate) struct Written<'a> {
    pub(crate) path: &'a Path,
    /// The backup of the bundle that had the path before.
    pub(crate) backup: Option<&'a Path>,
    /// The bundles that it was made from.
    pub(crate) inputs: &'a [&'a Path],
}

impl Written<'_> {
    /// Deletes old backups if only `keep` are to be left, and returns lines for the summary. Warns on stderr of those that cannot
    /// be deleted.
    pub(crate) fn settle(&self, keep: Option<NonZeroU32>) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(backup) = self.backup {
            lines.push(format!("  The previous bundle is kept as {}", backup.display()));
        }
        let Pruned { deleted, failed, .. } =
            keep.map(|keep| prune_backups(self.path, keep, self.inputs)).unwrap_or_default();
        if !deleted.is_empty() {
            let verb = if deleted.len() == 1 { "was" } else { "were" };
            lines.push(format!("  {} {verb} deleted (--keep-backups)", count(deleted.len() as u64, "old backup")));
        }
        for (path, e) in failed {
            print_warning(&format!("cannot delete {}: {e}", path.display()));
        }
        lines
    }
}
