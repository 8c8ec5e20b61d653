//! Repeated requests, and their cost to the proxy.

use super::origin::{Stream, head, skip};
use super::program::Program;
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

/// The result of one measurement.
pub(crate) struct Measured {
    /// Operations per second.
    pub(crate) rate: f64,
    /// CPU seconds of the proxy per operation; `None` without a proxy or without /proc.
    pub(crate) cpu: Option<f64>,
    /// The 99th percentile of the times of the operations, in seconds; `None` if they are not timed.
    pub(crate) p99: Option<f64>,
}

/// Measures the CPU time of a proxy, if there is one.
#[derive(Clone, Copy)]
pub(crate) struct Meter<'p>(pub(crate) Option<&'p Program>);

impl Meter<'_> {
    /// Measures `work`, which returns the number of its operations.
    pub(crate) fn measure(self, work: impl FnOnce() -> usize) -> Measured {
        let before = self.0.and_then(Program::cpu);
        let began = Instant::now();
        let count = work() as f64;
        let rate = count / began.elapsed().as_secs_f64();
        // The bundle's writer may still be busy.
        let after = self.0.and_then(Program::cpu_at_rest);
        let cpu = after.zip(before).map(|(after, before)| (after - before).as_secs_f64() / count);
        Measured { rate, cpu, p99: None }
    }

    /// Measures `work`, which returns the times of its operations.
    pub(crate) fn measure_timed(self, work: impl FnOnce() -> Vec<Duration>) -> Measured {
        let mut times = Vec::new();
        let measured = self.measure(|| {
            times = work();
            times.len()
        });
        times.sort();
        let p99 = times.get(times.len() * 99 / 100).map(Duration::as_secs_f64);
        Measured { p99, ..measured }
    }
}

/// Sends `request` and reads a response with a body of `size` bytes.
pub(crate) fn get(stream: &mut Stream, request: &str, size: usize) {
    stream.get_mut().write_all(request.as_bytes()).unwrap();
    assert!(head(stream).starts_with("HTTP/1.1 200"));
    skip(stream, size).unwrap();
}

/// Repeats `work` on each of `all`, each on a thread of its own, for `time`; returns the time of each repetition.
pub(crate) fn repeat_on_each<T: Send>(all: Vec<T>, time: Duration, work: impl Fn(&mut T) + Sync) -> Vec<Duration> {
    let (end, work) = (Instant::now() + time, &work);
    thread::scope(|scope| {
        let repeat = |mut each| {
            move || {
                let (mut times, mut began) = (Vec::new(), Instant::now());
                while times.is_empty() || began < end {
                    work(&mut each);
                    let ended = Instant::now();
                    times.push(ended - began);
                    began = ended;
                }
                times
            }
        };
        let threads: Vec<_> = all.into_iter().map(|each| scope.spawn(repeat(each))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}
