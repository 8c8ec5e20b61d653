//! The end of a capture: stops it, shows what it waits for, and gives up if it never ends.
//!
//! ```text
//! stop ─▶ waits for connections, bodies, the disk ──────────────────▶ Summary
//!          │ shown after 1 s      │ second signal: without waiting
//!          └──────────────────────┴─ 10 s later: the place of the unfinished bundle, exit code 1
//! ```

use super::message::{error_line, warning_line};
use super::screen::Screen;
use super::text::{count, duration, shell_word};
use spectral_capture::channel::{Receiver, RecvTimeoutError, Sender};
use spectral_capture::{Gauge, Progress, Running, Summary};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// An event for the thread that owns a capture.
#[derive(Debug)]
pub(crate) enum Event {
    /// A signal requests the end.
    Stop,
    /// A signal requests a summary so far.
    ShowSummary,
    /// The capture has ended.
    Ended(Box<Summary>),
}

/// Stops `running` and returns its summary; `None` if it has not ended long after it was forced to, and the process must
/// end without it. `events` receives signals; `sender` sends to it. `show_summary` shows a summary so far.
pub(crate) fn stop(
    running: Running,
    events: &Receiver<Event>,
    sender: Sender<Event>,
    screen: &Screen,
    show_summary: impl Fn(),
) -> Option<Summary> {
    let (gauge, force_stop) = (running.gauge(), running.force_stop());
    let mut ending = Ending::new(gauge.read().elapsed);
    let running = Arc::new(Mutex::new(Some(running)));
    let take = |running: &Mutex<Option<Running>>| running.lock().unwrap_or_else(PoisonError::into_inner).take();
    let shared = Arc::clone(&running);
    let stop = move || {
        if let Some(running) = take(&shared) {
            let _ = sender.send(Event::Ended(Box::new(running.stop())));
        }
    };
    if let Err(e) = thread::Builder::new().name("stop".into()).spawn(stop) {
        screen.print(warning_line(&format!("cannot start a thread: {e}; a second signal will have no effect")));
        return take(&running).map(Running::stop);
    }
    loop {
        match events.recv_timeout(POLL_INTERVAL) {
            Ok(Event::Ended(summary)) => {
                screen.hide_status();
                return Some(*summary);
            }
            Ok(Event::Stop) => {
                force_stop.now();
                ending.force(gauge.read().elapsed);
            }
            Ok(Event::ShowSummary) => show_summary(),
            Err(RecvTimeoutError::Timeout) => {}
            // Unreachable: the thread above sends before it drops its sender.
            Err(RecvTimeoutError::Disconnected) => return None,
        }
        match ending.next(&gauge.read()) {
            Action::Wait => {}
            Action::Announce(wait) => announce(wait, ending.forced.is_some(), &gauge, screen),
            Action::GiveUp(wait) => {
                screen.hide_status();
                screen.print(error_line(&gave_up(wait, &gauge.unfinished_bundle(), &gauge.lost_bundle())));
                return None;
            }
        }
    }
}

/// The state of an end that lasts.
struct Ending {
    begun: Duration,
    forced: Option<Duration>,
    announced: Option<Wait>,
}

/// The next step for an end that lasts.
#[derive(Debug, PartialEq, Eq)]
enum Action {
    Wait,
    /// Shows the reason for the wait, because it lasts or changed.
    Announce(Wait),
    GiveUp(Wait),
}

impl Ending {
    /// The end begins at `now`, a time since the start of the capture.
    fn new(now: Duration) -> Self {
        Self { begun: now, forced: None, announced: None }
    }

    /// Notes the first signal after the one that ended the capture.
    fn force(&mut self, now: Duration) {
        if self.forced.is_none() {
            (self.forced, self.announced) = (Some(now), None);
        }
    }

    fn next(&mut self, progress: &Progress) -> Action {
        let wait = Wait::of(progress, self.forced.is_some());
        if self.forced.is_some_and(|forced| progress.elapsed.saturating_sub(forced) >= GIVE_UP_AFTER) {
            return Action::GiveUp(wait);
        }
        let lasts = progress.elapsed.saturating_sub(self.begun) >= ANNOUNCE_AFTER;
        let is_new = self.announced.is_none_or(|announced| !announced.is_same_kind(wait));
        if lasts && is_new {
            self.announced = Some(wait);
            return Action::Announce(wait);
        }
        Action::Wait
    }
}

/// The reason why a capture has not ended. `Display` is a clause after "waiting".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// A write has not returned for this time.
    Disk(Duration),
    Connections(usize),
    /// The bodies of this number of exchanges are left to verify or to decode.
    Bodies(u64),
    /// The last steps: directory, fsync(2), rename(2).
    Bundle,
}

impl Wait {
    fn of(progress: &Progress, is_forced: bool) -> Self {
        match progress {
            Progress { stalled_write: Some(time), .. } => Self::Disk(*time),
            Progress { open: 1.., .. } if !is_forced => Self::Connections(progress.open),
            Progress { unpacked: 1.., .. } => Self::Bodies(progress.unpacked),
            _ => Self::Bundle,
        }
    }

    fn is_same_kind(self, other: Self) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk(time) => {
                let time = duration(time.as_secs_f64() * 1000.0);
                write!(f, "for the disk, which has not completed a write for {time}")
            }
            Self::Connections(number) => write!(f, "for {} to end", count(*number as u64, "connection")),
            Self::Bodies(number) => {
                write!(f, "for the bodies of {} to be verified or decoded", count(*number, "exchange"))
            }
            Self::Bundle => f.write_str("for the bundle to be completed"),
        }
    }
}

/// Shows the reason for the wait: on a terminal in the status line, which keeps it current, else as a line.
fn announce(wait: Wait, is_forced: bool, gauge: &Gauge, screen: &Screen) {
    let line = move |wait: Wait| match wait {
        Wait::Connections(_) | Wait::Bodies(_) if !is_forced => format!("Waiting {wait}; Ctrl+C skips this"),
        _ => format!("Waiting {wait}"),
    };
    if screen.has_status() {
        let gauge = gauge.clone();
        screen.show_status(move || line(Wait::of(&gauge.read(), is_forced)));
    } else if let Wait::Disk(_) = wait {
        // Shown even if quiet.
        screen.print(warning_line(&format!("waiting {wait}")));
    } else {
        screen.info(format!("{}\n", line(wait)));
    }
}

/// Returns the error for a capture that has not ended. `part` is the unfinished bundle, `lost` the path that it had until it was
/// deleted or replaced.
fn gave_up(wait: Wait, part: &Option<PathBuf>, lost: &Option<PathBuf>) -> String {
    let mut text = format!("the capture could not be ended: still waiting {wait}");
    if let Some(part) = part {
        let part = part.display().to_string();
        text.push_str(&format!(
            "; the bundle so far is {part}, make a bundle of it with: spectral capture recover {}",
            shell_word(&part)
        ));
        if let Wait::Disk(_) | Wait::Bundle = wait {
            // The call that hangs may be rename(2): its path is only known once it returns.
            text.push_str("; if that file is missing or older, the last step succeeded: the bundle has its final name");
        }
    } else if let Some(lost) = lost {
        text.push_str(&format!(
            "; the bundle so far was in {}, which another process deleted or replaced: it is lost when this process exits",
            lost.display()
        ));
    }
    if let Wait::Disk(_) = wait {
        text.push_str("; if this process does not exit, the kernel keeps it until the disk answers");
    }
    text
}

/// Shorter waits are not worth a message.
const ANNOUNCE_AFTER: Duration = Duration::from_secs(1);
/// The time after the second signal for the bundle to be completed.
const GIVE_UP_AFTER: Duration = Duration::from_secs(10);
/// The interval at which the progress of the end is read.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the progress of an end after `seconds` with this number of connections and bodies.
    fn progress(seconds: u64, open: usize, unpacked: u64) -> Progress {
        let mut progress = Progress::default();
        progress.elapsed = Duration::from_secs(seconds);
        (progress.open, progress.unpacked) = (open, unpacked);
        progress
    }

    #[test]
    fn a_wait_is_announced_when_it_lasts_and_when_its_reason_changes() {
        let mut ending = Ending::new(Duration::from_secs(100));
        for (progress, expected) in [
            (progress(100, 3, 9), Action::Wait),
            (progress(101, 3, 9), Action::Announce(Wait::Connections(3))),
            (progress(102, 2, 9), Action::Wait),
            (progress(103, 0, 8), Action::Announce(Wait::Bodies(8))),
            (progress(900, 0, 7), Action::Wait),
            (progress(901, 0, 0), Action::Announce(Wait::Bundle)),
        ] {
            assert_eq!(ending.next(&progress), expected, "{progress:?}");
        }
    }

    #[test]
    fn a_forced_end_is_given_up_after_ten_seconds() {
        let mut ending = Ending::new(Duration::ZERO);
        assert_eq!(ending.next(&progress(900, 3, 0)), Action::Announce(Wait::Connections(3)));
        ending.force(Duration::from_secs(900));
        ending.force(Duration::from_secs(905));
        let mut stalled = progress(909, 3, 0);
        stalled.stalled_write = Some(Duration::from_secs(12));
        let disk = Wait::Disk(Duration::from_secs(12));
        assert_eq!(ending.next(&progress(909, 3, 0)), Action::Announce(Wait::Bundle), "connections are not waited for");
        assert_eq!(ending.next(&stalled), Action::Announce(disk));
        stalled.elapsed = Duration::from_secs(910);
        assert_eq!(ending.next(&stalled), Action::GiveUp(disk));
    }

    #[test]
    fn the_error_states_the_place_and_the_remedy() {
        let disk = Wait::Disk(Duration::from_secs(12));
        let expected = "the capture could not be ended: still waiting for the disk, which has not completed a write for \
                        12 s; the bundle so far is a b.zip.part, make a bundle of it with: spectral capture recover \
                        'a b.zip.part'; if that file is missing or older, the last step succeeded: the bundle has its \
                        final name; if this process does not exit, the kernel keeps it until the disk answers";
        let part = Some(PathBuf::from("a b.zip.part"));
        assert_eq!(gave_up(disk, &part, &None), expected);
        let expected = "the capture could not be ended: still waiting for the bodies of 1 exchange to be verified or \
                        decoded";
        assert_eq!(gave_up(Wait::Bodies(1), &None, &None), expected);
        let expected = "the capture could not be ended: still waiting for the bundle to be completed; the bundle so far was in a \
                        b.zip.part, which another process deleted or replaced: it is lost when this process exits";
        assert_eq!(gave_up(Wait::Bundle, &None, &part), expected);
    }
}
