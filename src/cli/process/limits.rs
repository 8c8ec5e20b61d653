//! Resource limits and privileges of this process.

use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};
use nix::sys::signal::{SigSet, Signal};

/// The limit of open descriptors before [`raise_descriptor_limit`] changed it.
#[derive(Clone, Copy, Debug)]
pub(super) struct FormerLimit(Option<(rlim_t, rlim_t)>);

/// Raises the soft limit of open descriptors to the hard limit.
///
/// Each connection takes two descriptors, and the usual soft limit is 1,024.
pub(super) fn raise_descriptor_limit() -> FormerLimit {
    let former = getrlimit(Resource::RLIMIT_NOFILE).ok();
    if let Some((soft, hard)) = former
        && soft < hard
    {
        // Best effort: with a lower limit, new connections wait for descriptors earlier.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
    FormerLimit(former)
}

impl FormerLimit {
    /// Restores the former limit while `work` runs.
    pub(super) fn during<T>(self, work: impl FnOnce() -> T) -> T {
        let Self(Some((soft, hard))) = self else {
            return work();
        };
        // Best effort. Open descriptors above the limit stay open.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, soft, hard);
        let result = work();
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
        result
    }
}

/// Blocks SIGXFSZ: a write past the limit of a file's size (RLIMIT_FSIZE) then fails with EFBIG instead of ending the
/// process.
///
/// The capture goes on without the data that does not fit. Call this before any thread is started. (The standard
/// library ignores SIGPIPE already.)
pub(super) fn survive_file_size_limit() {
    let mut file_too_large = SigSet::empty();
    file_too_large.add(Signal::SIGXFSZ);
    // Best effort: otherwise such a write ends the process, and the unfinished bundle can be recovered.
    let _ = file_too_large.thread_block();
}

/// Returns the effective user id of this process.
pub(crate) fn effective_user() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// Returns true if this process runs as root.
pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}
