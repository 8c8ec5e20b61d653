//! The key log: the secrets of TLS sessions, one a line in NSS form, with which Wireshark decrypts recorded packets.
//!
//! ```text
//! handshake ─▶ line ─▶ queue (bounded) ─▶ writer thread ─▶ file
//! (connection's thread)
//!
//! CLIENT_RANDOM <client random> <master secret>            TLS 1.2
//! SERVER_TRAFFIC_SECRET_0 <client random> <secret>, …      TLS 1.3
//! ```
//!
//! No connection waits for the file: lines that find the queue full are dropped. The first failure is reported when it happens,
//! and the number of all lost lines at the end.
//!
//! Other programs may append to the same file. So each line is one write(2) with O_APPEND.

use super::sys;
use crate::clock::Moment;
use crate::config::Observer;
use crate::notice::{Notice, Warning};
use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// The queue of lines to write. Implements rustls' `KeyLog`.
pub(crate) struct KeyLog {
    state: Mutex<State>,
    changed: Condvar,
    observer: Observer,
}

#[derive(Default)]
struct State {
    lines: VecDeque<String>,
    /// The total length of the lines.
    bytes: usize,
    /// True once the capture has ended: the writer ends after the last line.
    is_closed: bool,
    /// True once the writer has ended.
    is_written: bool,
    /// The number of lines that were not written.
    lost: u64,
    /// The first reason for that.
    cause: Option<String>,
}

impl KeyLog {
    /// An empty queue.
    pub(crate) fn new(observer: Observer) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), observer }
    }

    /// Starts the thread that writes the lines to `file`.
    ///
    /// # Errors
    /// If no thread can be started.
    pub(crate) fn start(self: &Arc<Self>, file: impl Write + Send + 'static) -> io::Result<()> {
        let queue = Arc::clone(self);
        thread::Builder::new().name("key log".into()).spawn(move || queue.write_to(file)).map(drop)
    }

    /// Ends the log, and waits until its lines are written, for a limited time. Returns the warning about lost lines, if there
    /// are any.
    pub(crate) fn close(&self) -> Option<Warning> {
        let mut state = self.lock();
        state.is_closed = true;
        self.changed.notify_all();
        let deadline = Moment::now().plus(CLOSE_TIMEOUT);
        while !state.is_written {
            let left = deadline.since(Moment::now());
            if left.is_zero() {
                state.lose_queued();
                break;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let cause = state.cause.clone()?;
        Some(Warning::KeyLogIncomplete { lost: state.lost, cause })
    }

    fn push(&self, line: String) {
        let mut state = self.lock();
        if state.is_closed {
            return;
        }
        if state.bytes.saturating_add(line.len()) > MAX_QUEUED_BYTES {
            return self.lose(state, SLOW_DISK);
        }
        state.bytes += line.len();
        state.lines.push_back(line);
        drop(state);
        self.changed.notify_all();
    }

    /// Writes lines until the log is closed.
    fn write_to(&self, mut file: impl Write) {
        let mut is_torn = false;
        while let Some(line) = self.next_line() {
            if let Err(e) = write_line(&mut file, &line, &mut is_torn) {
                self.lose(self.lock(), &e.to_string());
            }
        }
        self.lock().is_written = true;
        self.changed.notify_all();
    }

    /// Waits for the next line; `None` once the log is closed and all lines are taken.
    fn next_line(&self) -> Option<String> {
        let mut state = self.lock();
        loop {
            if let Some(line) = state.lines.pop_front() {
                state.bytes -= line.len();
                return Some(line);
            }
            if state.is_closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Counts a lost line, and reports the first.
    fn lose(&self, mut state: MutexGuard<'_, State>, cause: &str) {
        state.lost = state.lost.saturating_add(1);
        if state.cause.is_none() {
            state.cause = Some(cause.to_owned());
            let warning = Warning::KeyLogIncomplete { lost: 1, cause: cause.to_owned() };
            drop(state);
            // The observer is the embedder's code.
            let _ = catch_unwind(AssertUnwindSafe(|| self.observer.notify(&Notice::Warning(warning))));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Gives up on the lines in the queue and the one that is being written.
    fn lose_queued(&mut self) {
        let queued = self.lines.len() as u64 + 1;
        self.lost = self.lost.saturating_add(queued);
        self.lines.clear();
        self.bytes = 0;
        self.cause.get_or_insert_with(|| SLOW_DISK.to_owned());
    }
}

impl rustls::KeyLog for KeyLog {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let mut line = String::with_capacity(label.len() + 2 * (client_random.len() + secret.len()) + 3);
        line.push_str(label);
        for value in [client_random, secret] {
            line.push(' ');
            for byte in value {
                // Writing to a `String` cannot fail.
                let _ = write!(line, "{byte:02x}");
            }
        }
        line.push('\n');
        self.push(line);
    }
}

impl fmt::Debug for KeyLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyLog")
    }
}

/// Opens the file to append to. A new one has mode 0600.
///
/// # Errors
/// If it cannot be opened, is a symbolic link, or is not a regular file.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let not_a_file = || io::Error::new(ErrorKind::InvalidInput, "not a regular file");
    let file = sys::open_to_append(path).map_err(|e| match path.symlink_metadata() {
        Ok(found) if found.is_symlink() => io::Error::new(ErrorKind::InvalidInput, "it is a symbolic link"),
        Ok(found) if !found.is_file() => not_a_file(),
        _ => e,
    })?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_a_file()) }
}

/// Writes a line with one call. `is_torn` is true after a part of a line was written, which gets an end before the next line.
fn write_line(file: &mut impl Write, line: &str, is_torn: &mut bool) -> io::Result<()> {
    let text = if *is_torn { ["\n", line].concat() } else { line.to_owned() };
    let written = loop {
        match file.write(text.as_bytes()) {
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            result => break result?,
        }
    };
    if written > 0 {
        *is_torn = written < text.len();
    }
    if written < text.len() { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
}

/// The lines of some 500 handshakes on both sides.
const MAX_QUEUED_BYTES: usize = 1 << 20;

/// The longest wait of the stop. A disk that works needs milliseconds.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

const SLOW_DISK: &str = "the disk is too slow";

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::KeyLog as _;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// A file whose writes take one result each from a channel: the number of bytes to accept, or `None` for an error.
    struct ScriptedFile {
        results: Receiver<Option<usize>>,
        written: Arc<Mutex<String>>,
    }

    impl Write for ScriptedFile {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let accepted = self.results.recv().unwrap_or(Some(usize::MAX)).ok_or(ErrorKind::StorageFull)?;
            let taken = &bytes[..accepted.min(bytes.len())];
            self.written.lock().unwrap().push_str(std::str::from_utf8(taken).unwrap());
            Ok(taken.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Log {
        log: Arc<KeyLog>,
        results: Sender<Option<usize>>,
        written: Arc<Mutex<String>>,
        warnings: Arc<Mutex<Vec<Warning>>>,
    }

    fn start() -> Log {
        let warnings = Arc::<Mutex<Vec<Warning>>>::default();
        let seen = Arc::clone(&warnings);
        let observer = Observer::new(move |notice| {
            if let Notice::Warning(warning) = notice {
                seen.lock().unwrap().push(warning.clone());
            }
        });
        let (log, (sender, results), written) = (Arc::new(KeyLog::new(observer)), channel(), Arc::default());
        log.start(ScriptedFile { results, written: Arc::clone(&written) }).unwrap();
        Log { log, results: sender, written, warnings }
    }

    #[test]
    fn writes_lines_in_nss_form() {
        let Log { log, results, written, .. } = start();
        drop(results);
        log.log("CLIENT_RANDOM", &[0, 0xab], &[1, 0xff]);
        log.log("EXPORTER_SECRET", &[2], &[3]);
        assert_eq!(log.close(), None);
        assert_eq!(*written.lock().unwrap(), "CLIENT_RANDOM 00ab 01ff\nEXPORTER_SECRET 02 03\n");
    }

    #[test]
    fn a_full_disk_is_reported_once_and_no_line_follows_a_part_of_another() {
        let Log { log, results, written, warnings } = start();
        for result in [None, Some(3), None, Some(usize::MAX), Some(usize::MAX)] {
            results.send(result).unwrap();
        }
        for label in ["A", "B", "C", "D", "E"] {
            log.log(label, &[1], &[2]);
        }
        let warning =
            |lost| Warning::KeyLogIncomplete { lost, cause: io::Error::from(ErrorKind::StorageFull).to_string() };
        assert_eq!(log.close(), Some(warning(3)));
        assert_eq!(*written.lock().unwrap(), "B 0\nD 01 02\nE 01 02\n");
        assert_eq!(*warnings.lock().unwrap(), [warning(1)]);
    }

    #[test]
    fn a_disk_that_hangs_holds_no_connection_and_not_the_stop() {
        // Nothing is written while `results` exists and is empty.
        let Log { log, results, warnings, .. } = start();
        let lines = 2 * MAX_QUEUED_BYTES / 100;
        for _ in 0..lines {
            log.log("CLIENT_RANDOM", &[7; 32], &[9; 48]);
        }
        assert!(log.lock().bytes <= MAX_QUEUED_BYTES);
        let Some(Warning::KeyLogIncomplete { lost, cause }) = log.close() else { panic!("no warning") };
        assert_eq!((lost, cause.as_str()), (lines as u64, SLOW_DISK));
        assert_eq!(warnings.lock().unwrap().len(), 1);
        drop(results);
    }

    #[test]
    fn secrets_are_not_in_debug_output() {
        let Log { log, results, .. } = start();
        log.log("CLIENT_RANDOM", &[0xab; 32], &[0xcd; 48]);
        assert_eq!(format!("{log:?}"), "KeyLog");
        drop(results);
        log.close();
    }
}
