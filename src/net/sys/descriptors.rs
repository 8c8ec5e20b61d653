//! The limit of open files, and the number of those that are open.

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};
use std::io;

/// True if `e` means that this process (EMFILE) or the machine (ENFILE) has no descriptor left.
pub(crate) fn is_out_of_descriptors(e: &io::Error) -> bool {
    e.raw_os_error().is_some_and(|code| [Errno::EMFILE, Errno::ENFILE].contains(&Errno::from_raw(code)))
}

/// The number of descriptors that this process may have open; `usize::MAX` if the system does not report it.
pub(crate) fn descriptor_limit() -> usize {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(usize::MAX, |(soft, _)| usize::try_from(soft).unwrap_or(usize::MAX))
}

/// The number of descriptors that this process has open; 0 if the system does not report it.
pub(crate) fn open_descriptors() -> usize {
    std::fs::read_dir("/dev/fd").map_or(0, Iterator::count)
}
