//! Waits for conditions, with a timeout. A timeout fails the test and reports the missing condition.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The timeout of each wait: long enough for a busy machine, short enough for a suite that hangs.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);

/// Returns the current time.
#[expect(clippy::disallowed_methods, reason = "tests measure how long the proxy takes")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// A value with a condition variable: one thread changes it, others wait for a condition.
#[derive(Debug, Default)]
pub(crate) struct Watched<T>(Arc<(Mutex<T>, Condvar)>);

impl<T> Clone for Watched<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Watched<T> {
    /// Wraps `value`.
    pub(crate) fn new(value: T) -> Self {
        Self(Arc::new((Mutex::new(value), Condvar::new())))
    }

    /// Changes the value and wakes the waiting threads.
    pub(crate) fn update<R>(&self, update: impl FnOnce(&mut T) -> R) -> R {
        let mut value = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let result = update(&mut value);
        self.0.1.notify_all();
        result
    }

    /// Reads the value.
    pub(crate) fn read<R>(&self, read: impl FnOnce(&T) -> R) -> R {
        read(&self.0.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until `found` returns a result; `what` names the condition in the failure.
    #[track_caller]
    pub(crate) fn until<R>(&self, what: &str, found: impl Fn(&T) -> Option<R>) -> R
    where
        T: std::fmt::Debug,
    {
        match self.within(TIMEOUT, found) {
            Some(result) => result,
            None => panic!(
                "timeout waiting for {what}; the value is {:?}",
                self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
            ),
        }
    }

    /// Waits until the value has not changed for `pause`; returns it. Nothing notifies of a stall, so this must wait.
    pub(crate) fn settled(&self, pause: Duration) -> T
    where
        T: Clone + PartialEq,
    {
        let mut value = self.read(Clone::clone);
        while let Some(newer) = self.within(pause, |now| (*now != value).then(|| now.clone())) {
            value = newer;
        }
        value
    }

    /// Waits until `found` returns a result; returns `None` after `timeout`.
    pub(crate) fn within<R>(&self, timeout: Duration, found: impl Fn(&T) -> Option<R>) -> Option<R> {
        let deadline = now() + timeout;
        let mut value = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(result) = found(&value) {
                return Some(result);
            }
            let left = deadline.checked_duration_since(now())?;
            (value, _) = self.0.1.wait_timeout(value, left).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A gate that blocks until it is opened.
pub(crate) type Gate = Watched<bool>;

impl Gate {
    /// Opens it for all threads.
    pub(crate) fn open(&self) {
        self.update(|open| *open = true);
    }

    /// Waits until it is open.
    #[track_caller]
    pub(crate) fn pass(&self) {
        self.until("a gate to open", |open| open.then_some(()));
    }
}

/// Runs `work` on another thread; fails if it takes longer than [`TIMEOUT`].
#[track_caller]
pub(crate) fn within_timeout<R: Send + 'static>(what: &str, work: impl FnOnce() -> R + Send + 'static) -> R {
    let (done, result) = std::sync::mpsc::channel();
    let worker = std::thread::spawn(move || done.send(work()));
    match result.recv_timeout(TIMEOUT) {
        Ok(result) => result,
        Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("{what} takes longer than {TIMEOUT:?}"),
        Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => match worker.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(_) => unreachable!("the worker sends a result or panics"),
        },
    }
}

/// Polls until `found` returns a result; for state without notification, such as another process.
#[track_caller]
pub(crate) fn eventually<R>(found: impl Fn() -> Option<R>, state: impl Fn() -> String) -> R {
    let deadline = now() + TIMEOUT;
    let nothing = Watched::<()>::default();
    loop {
        if let Some(result) = found() {
            return result;
        }
        assert!(now() < deadline, "timeout: {}", state());
        nothing.within(POLL_INTERVAL, |()| None::<()>);
    }
}

/// Short enough to keep tests fast, long enough to leave the CPU to the process under test.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
