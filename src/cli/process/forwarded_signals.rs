//! Signals that `capture run` passes on to its command.

use super::limits::{FormerLimit, raise_descriptor_limit, survive_file_size_limit};
use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use std::fs;

/// The forwarded signals. They are blocked in every thread until [`ForwardedSignals::receive_all`] reads them.
pub(crate) struct ForwardedSignals(SigSet);

/// The signal mask and descriptor limit that a command inherits: this process's original ones.
pub(crate) struct Inherited {
    pub(super) mask: SigSet,
    pub(super) limit: FormerLimit,
}

/// Blocks the signals to forward, and raises the limit of descriptors. Call this before any thread is started.
///
/// # Errors
/// If signals cannot be blocked.
pub(crate) fn prepare_for_command() -> Result<(ForwardedSignals, Inherited), String> {
    let failed = |e| format!("cannot block signals: {e}");
    let mask = SigSet::thread_get_mask().map_err(failed)?;
    // Signals that nohup or a shell (for a background job) made us ignore stay ignored in the command.
    let forwarded: SigSet = FORWARDED.iter().copied().filter(|signal| !is_ignored(*signal)).collect();
    forwarded.thread_block().map_err(failed)?;
    survive_file_size_limit();
    Ok((ForwardedSignals(forwarded), Inherited { mask, limit: raise_descriptor_limit() }))
}

impl ForwardedSignals {
    /// Waits for signals indefinitely and calls `receive` with each.
    pub(crate) fn receive_all(&self, mut receive: impl FnMut(ReceivedSignal)) {
        // Returns only if the system does not know one of the signals that it blocked.
        let _ = read_signals(&self.0, &mut receive);
    }
}

/// A signal sent to this process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReceivedSignal {
    pub(super) signal: Signal,
    /// True if the terminal sent it.
    by_terminal: bool,
}

impl ReceivedSignal {
    /// True if the command received it too. The terminal sends Ctrl+C and Ctrl+\ to every process of its foreground
    /// process group: to us together with the command, unless the command left the group. (SIGHUP of a closed terminal
    /// goes to the session leader alone.)
    pub(super) fn was_typed(self) -> bool {
        self.by_terminal && matches!(self.signal, Signal::SIGINT | Signal::SIGQUIT)
    }

    /// True if the signal requests the end of a process.
    pub(crate) fn requests_exit(self) -> bool {
        matches!(self.signal, Signal::SIGINT | Signal::SIGTERM | Signal::SIGHUP | Signal::SIGQUIT)
    }
}

#[cfg(target_os = "linux")]
fn read_signals(signals: &SigSet, receive: &mut impl FnMut(ReceivedSignal)) -> nix::Result<()> {
    use nix::sys::signalfd::SignalFd;
    let fd = SignalFd::new(signals)?;
    loop {
        match fd.read_signal() {
            Ok(Some(info)) => {
                let signal = Signal::try_from(info.ssi_signo.cast_signed())?;
                // sigaction(2): positive if the kernel sent it; the kernel sends these signals only for a terminal.
                receive(ReceivedSignal { signal, by_terminal: info.ssi_code > 0 });
            }
            Ok(None) | Err(Errno::EINTR) => {}
            Err(e) => return Err(e),
        }
    }
}

/// Reads signals where their sender is unknown: if stdin is a terminal, the terminal counts as the sender.
#[cfg(not(target_os = "linux"))]
fn read_signals(signals: &SigSet, receive: &mut impl FnMut(ReceivedSignal)) -> nix::Result<()> {
    use std::io::IsTerminal;
    loop {
        receive(ReceivedSignal { signal: signals.wait()?, by_terminal: std::io::stdin().is_terminal() });
    }
}

/// Returns true if this process was started with `signal` ignored. A handler would replace that disposition.
pub(super) fn is_ignored(signal: Signal) -> bool {
    let Ok(status) = fs::read_to_string("/proc/self/status") else {
        return false;
    };
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let bits = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    bits & (1 << (signal as u32 - 1)) != 0
}

/// Signals meant for the command. SIGTSTP, SIGCONT and SIGWINCH are not among them: the terminal sends them to the
/// whole process group.
const FORWARDED: &[Signal] =
    &[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2];
