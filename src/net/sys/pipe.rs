//! Linux calls for pipes: splice(2) and the size of a pipe.

use std::io;
use std::os::fd::AsFd;

/// Moves up to `max_bytes` from one descriptor to another without waiting for either. One of them is a pipe.
///
/// # Errors
/// The errors of a read or a write; [`io::ErrorKind::Unsupported`] on systems without splice(2).
#[cfg(target_os = "linux")]
pub(crate) fn splice(from: impl AsFd, to: impl AsFd, max_bytes: usize) -> io::Result<usize> {
    use nix::fcntl::{SpliceFFlags, splice};
    Ok(splice(from, None, to, None, max_bytes, SpliceFFlags::SPLICE_F_MOVE | SpliceFFlags::SPLICE_F_NONBLOCK)?)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn splice(_: impl AsFd, _: impl AsFd, _: usize) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Enlarges a pipe to `bytes`. Returns true if the system granted it.
#[cfg(target_os = "linux")]
pub(crate) fn enlarge_pipe(pipe: impl AsFd, bytes: i32) -> bool {
    nix::fcntl::fcntl(pipe, nix::fcntl::FcntlArg::F_SETPIPE_SZ(bytes)).is_ok()
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn enlarge_pipe(_: impl AsFd, _: i32) -> bool {
    false
}
