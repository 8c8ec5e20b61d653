//! Waiting for conditions: every wait has a deadline, and running into it is a failure that says what was missing.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long anything may take before a test fails: far above what a busy machine needs, far below a stuck suite.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);

/// The suite's clock.
#[expect(clippy::disallowed_methods, reason = "tests measure how long the proxy takes")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// A value that one thread changes and others wait for.
#[derive(Debug, Default)]
pub(crate) struct Watched<T>(Arc<(Mutex<T>, Condvar)>);

impl<T> Clone for Watched<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Watched<T> {
    /// Starts as `value`.
    pub(crate) fn new(value: T) -> Self {
        Self(Arc::new((Mutex::new(value), Condvar::new())))
    }

    /// Changes the value and wakes who waits for it.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let mut value = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut value);
        self.0.1.notify_all();
        result
    }

    /// Looks at the value.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.0.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until `found` finds what it looks for; `what` names it in the failure.
    #[track_caller]
    pub(crate) fn until<R>(&self, what: &str, found: impl Fn(&T) -> Option<R>) -> R
    where
        T: std::fmt::Debug,
    {
        match self.within(TIMEOUT, found) {
            Some(result) => result,
            None => panic!("waited for {what}; there is {:?}", self.0.0.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    /// Waits until `found` finds what it looks for, but no longer than `patience`.
    pub(crate) fn within<R>(&self, patience: Duration, found: impl Fn(&T) -> Option<R>) -> Option<R> {
        let deadline = now() + patience;
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

/// A gate that is shut until someone opens it.
pub(crate) type Gate = Watched<bool>;

impl Gate {
    /// Lets everyone through.
    pub(crate) fn open(&self) {
        self.change(|open| *open = true);
    }

    /// Waits until it is open.
    #[track_caller]
    pub(crate) fn pass(&self) {
        self.until("a gate to open", |open| open.then_some(()));
    }
}

/// Calls `work` on a thread of its own and fails if it takes longer than [`TIMEOUT`].
#[track_caller]
pub(crate) fn within_timeout<R: Send + 'static>(what: &str, work: impl FnOnce() -> R + Send + 'static) -> R {
    let (done, result) = std::sync::mpsc::channel();
    let worker = std::thread::spawn(move || done.send(work()));
    match result.recv_timeout(TIMEOUT) {
        Ok(result) => result,
        Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("{what} takes longer than {TIMEOUT:?}"),
        Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => match worker.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(_) => unreachable!("the worker answers or panics"),
        },
    }
}

/// Looks again and again until `found` finds what it looks for; for what tells nobody that it changed, such as another process.
#[track_caller]
pub(crate) fn eventually<R>(found: impl Fn() -> Option<R>, there_is: impl Fn() -> String) -> R {
    let deadline = now() + TIMEOUT;
    let nothing = Watched::<()>::default();
    loop {
        if let Some(result) = found() {
            return result;
        }
        assert!(now() < deadline, "waited in vain: {}", there_is());
        nothing.within(PACE, |()| None::<()>);
    }
}

/// Often enough that no test gets slower by it, seldom enough to leave the processor to what is waited for.
const PACE: Duration = Duration::from_millis(10);
