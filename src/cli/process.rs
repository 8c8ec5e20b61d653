//! What this process asks of the system: signals that end a capture, and all the descriptors it may have. The one file that
//! names `ctrlc`.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use std::sync::mpsc::{Receiver, channel};

/// Raises the limit of open descriptors to what is allowed: each connection takes two, and the usual 1,024 are few.
pub(crate) fn allow_many_descriptors() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        // If it is refused, connections wait for descriptors earlier.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// Has writes past the limit of a file's size (RLIMIT_FSIZE) fail, instead of ending the process: a capture goes on without
/// what does not fit. A blocked signal is as good as ignored. (SIGPIPE is ignored by the standard library.) Call it before
/// any thread is started.
pub(crate) fn survive_file_limits() {
    let mut too_large = SigSet::empty();
    too_large.add(Signal::SIGXFSZ);
    // If it is refused, such a write ends the process, and what was written can be recovered.
    let _ = too_large.thread_block();
}

/// Delivers a message for each SIGINT, SIGTERM and SIGHUP. Call it before any thread is started.
///
/// # Errors
/// If the handlers cannot be set.
pub(crate) fn catch_signals() -> Result<Receiver<()>, String> {
    if is_hang_up_ignored() {
        // Started with nohup: the terminal's end is not to end the capture. A blocked signal is as good as ignored.
        let mut hang_up = SigSet::empty();
        hang_up.add(Signal::SIGHUP);
        let _ = hang_up.thread_block();
    }
    let (sender, signals) = channel();
    ctrlc::set_handler(move || {
        // Nobody listens any more once the capture is over.
        let _ = sender.send(());
    })
    .map_err(|e| format!("cannot catch signals: {e}"))?;
    Ok(signals)
}

/// Whether this process was told to ignore SIGHUP, which the handler would undo.
fn is_hang_up_ignored() -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else {
        return false;
    };
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let bits = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    bits & (1 << (Signal::SIGHUP as u32 - 1)) != 0
}
