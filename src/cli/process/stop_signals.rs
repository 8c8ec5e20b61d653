//! Signals that end `capture proxy` and `capture discover`. The only file that names `ctrlc`.

use super::forwarded_signals::is_ignored;
use nix::sys::signal::{SigSet, Signal};
use std::sync::mpsc::{Receiver, channel};

/// Delivers a message for each SIGINT, SIGTERM and SIGHUP. Call this before any thread is started.
///
/// # Errors
/// If the handlers cannot be set.
pub(crate) fn receive_stop_signals() -> Result<Receiver<()>, String> {
    if is_ignored(Signal::SIGHUP) {
        // Started with nohup: SIGHUP must not end the capture. ctrlc sets a handler; a blocked signal never reaches it.
        let mut hang_up = SigSet::empty();
        hang_up.add(Signal::SIGHUP);
        let _ = hang_up.thread_block();
    }
    let (sender, signals) = channel();
    ctrlc::set_handler(move || {
        // Fails once the capture is over and the receiver is dropped.
        let _ = sender.send(());
    })
    .map_err(|e| format!("cannot handle signals: {e}"))?;
    Ok(signals)
}
