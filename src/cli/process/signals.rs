//! Signals. They are blocked before the first thread is started, so in every thread, and one thread reads them: a signal
//! that arrives in between waits, and its default action never ends the process.

use super::limits::{FormerLimit, raise_descriptor_limit, survive_file_size_limit};
use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, raise};
use signal_hook::consts::SIGCHLD;
use std::fs;
use std::sync::Arc;
use std::thread;

/// Signals that are blocked in every thread until [`BlockedSignals::receive_all`] reads them.
pub(crate) struct BlockedSignals(SigSet);

/// The signal mask and descriptor limit that a command inherits: this process's original ones.
pub(crate) struct Inherited {
    pub(super) mask: SigSet,
    pub(super) limit: FormerLimit,
}

/// Blocks the signals for `capture run`, most of which go to the command, and raises the limit of descriptors. Call this
/// before any thread is started.
///
/// # Errors
/// If signals cannot be blocked or handled.
pub(crate) fn prepare_for_command() -> Result<(BlockedSignals, Inherited), String> {
    keep_exit_statuses()?;
    let mask = SigSet::thread_get_mask().map_err(cannot_block)?;
    // Signals that nohup or a shell (for a background job) made us ignore stay ignored in the command.
    let signals = BlockedSignals::block(FORWARDED.iter().copied().filter(|signal| !is_ignored(*signal)))?;
    survive_file_size_limit();
    Ok((signals, Inherited { mask, limit: raise_descriptor_limit() }))
}

/// Installs a handler for SIGCHLD that does nothing, if the signal was ignored when this program started: the kernel would
/// discard the exit status of the command (wait(2)). The command starts with the default action.
fn keep_exit_statuses() -> Result<(), String> {
    if is_ignored(Signal::SIGCHLD) {
        signal_hook::flag::register(SIGCHLD, Arc::default()).map_err(|e| format!("cannot handle SIGCHLD: {e}"))?;
    }
    Ok(())
}

/// Blocks the signals for `capture proxy` and `capture discover`, and raises the limit of descriptors. Call this before
/// any thread is started.
///
/// # Errors
/// If signals cannot be blocked.
pub(crate) fn prepare_for_service() -> Result<BlockedSignals, String> {
    // After nohup, SIGHUP must not end the capture. A shell that starts a background job without job control ignores
    // SIGINT, but kill -INT must end the capture: Linux delivers a blocked signal even if it is ignored.
    let is_wanted = |signal: &Signal| *signal != Signal::SIGHUP || !is_ignored(*signal);
    let signals = BlockedSignals::block(SERVICE.iter().copied().filter(is_wanted))?;
    survive_file_size_limit();
    raise_descriptor_limit();
    Ok(signals)
}

/// Makes the signals that end this process call `clean_up` first, on a thread of its own. Call this before any other thread is
/// started.
///
/// # Errors
/// If signals cannot be blocked, or the thread cannot be started.
pub(crate) fn clean_up_on_signals(clean_up: impl Fn() + Send + 'static) -> Result<(), String> {
    let wanted = ENDING.iter().copied().filter(|signal| !is_ignored(*signal));
    let signals = BlockedSignals::block(wanted)?;
    let receive = move || {
        signals.receive_all(|received| {
            clean_up();
            // The default action, which a shell recognises.
            let _ = SigSet::from(received.signal).thread_unblock();
            let _ = raise(received.signal);
            // Where the signal is ignored after all, and cannot be known to be: nothing may run on without its files.
            std::process::exit(128_i32.saturating_add(received.signal as i32));
        });
    };
    thread::Builder::new()
        .name("signals".into())
        .spawn(receive)
        .map(drop)
        .map_err(|e| format!("cannot start a thread: {e}"))
}

impl BlockedSignals {
    fn block(signals: impl Iterator<Item = Signal>) -> Result<Self, String> {
        let signals: SigSet = signals.collect();
        signals.thread_block().map_err(cannot_block)?;
        Ok(Self(signals))
    }

    /// Waits for signals indefinitely and calls `receive` with each.
    pub(crate) fn receive_all(&self, mut receive: impl FnMut(ReceivedSignal)) {
        // Returns only if the system does not know one of the signals that it blocked.
        let _ = read_signals(&self.0, &mut receive);
    }
}

fn cannot_block(cause: Errno) -> String {
    format!("cannot block signals: {cause}")
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

    /// True if the signal requests a summary so far.
    pub(crate) fn requests_summary(self) -> bool {
        self.signal == Signal::SIGUSR1
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
fn is_ignored(signal: Signal) -> bool {
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

/// Signals that end a command that writes a file.
const ENDING: &[Signal] = &[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];

/// Signals that end a capture, and SIGUSR1, which prints a summary so far.
const SERVICE: &[Signal] = &[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGUSR1];
