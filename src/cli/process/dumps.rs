//! Keeps secrets in memory from other processes of the user.

/// Makes this process non-dumpable: no core file contains the CA's key, and other processes of the same user can neither attach a
/// debugger nor read the memory through `/proc`. execve(2) resets this, so a command under `capture run` is not affected.
pub(crate) fn forbid_dumps() {
    // Best effort: other systems have no such call.
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_dumpable(false);
}
