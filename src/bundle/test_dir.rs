//! A temporary directory for a test.

use std::fs;
#[cfg(test)]
use std::path::Path;
use std::path::PathBuf;

/// A new temporary directory, deleted on drop.
pub(crate) struct TestDir(PathBuf);

impl TestDir {
    /// Creates the directory. `name` distinguishes the tests of a process, as does the thread.
    pub(crate) fn new(name: &str) -> Self {
        let thread = std::thread::current().id();
        let path = std::env::temp_dir().join(format!("spectral-{name}-{}-{thread:?}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        let created = fs::create_dir(&path);
        assert!(created.is_ok(), "{}: {created:?}", path.display());
        Self(path)
    }

    /// Returns the path of a file in the directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The path of the directory.
    #[cfg(test)]
    pub(crate) fn directory(&self) -> &Path {
        &self.0
    }
}

impl Drop for TestDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
