//! Figures of rounds that take turns, on machines that others use too.

use nix::sys::resource::{UsageWho, getrusage};
use std::time::{Duration, Instant};

/// Whether the command line has `flag` in it: `--test` to show that a benchmark works, `--full` for its full size.
pub(crate) fn is_asked(flag: &str) -> bool {
    std::env::args().any(|arg| arg == flag)
}

/// What `round` gives each time: [`ROUNDS`] times, fewer where they take longer than `patience`, and once for a `--test`.
pub(crate) fn rounds<T>(patience: Duration, mut round: impl FnMut() -> T) -> Vec<T> {
    let (began, mut all) = (Instant::now(), Vec::new());
    let (fewest, most) = if is_asked("--test") { (1, 1) } else { (FEWEST, ROUNDS) };
    while all.len() < fewest || all.len() < most && began.elapsed() < patience {
        all.push(round());
    }
    all
}

/// The one in the middle, the least and the most.
#[derive(Clone, Copy)]
pub(crate) struct Figure {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Figure {
    /// `None` if there is nothing.
    pub(crate) fn of(rounds: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut rounds: Vec<_> = rounds.into_iter().collect();
        rounds.sort_by(f64::total_cmp);
        let (&least, &most) = (rounds.first()?, rounds.last()?);
        Some(Self { median: rounds[rounds.len() / 2], least, most })
    }
}

/// The CPU time of this process so far, user and system, of all its threads.
pub(crate) fn cpu_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let sum = usage.user_time() + usage.system_time();
    Duration::from_micros(u64::try_from(sum.tv_sec() * 1_000_000 + i64::from(sum.tv_usec() as i32)).unwrap())
}

/// How busy the machine is, if it says so.
pub(crate) fn print_load() {
    if let Ok(load) = std::fs::read_to_string("/proc/loadavg") {
        let load: Vec<_> = load.split(' ').take(3).collect();
        println!("load average {}", load.join(", "));
    }
}

/// A part of a program that is measured in this process.
pub(crate) struct Part {
    pub(crate) name: &'static str,
    /// What there are many of.
    pub(crate) unit: &'static str,
    pub(crate) work: Work,
}

/// One round of it.
pub(crate) type Work = Box<dyn FnMut() -> Took>;

/// What a round took.
#[derive(Clone, Copy)]
pub(crate) struct Took {
    pub(crate) cpu: Duration,
    pub(crate) units: usize,
    pub(crate) bytes: usize,
}

/// Does `once`, so many units and bytes, until it has taken long enough to be measured.
pub(crate) fn repeat(units: usize, bytes: usize, mut once: impl FnMut() + 'static) -> Work {
    Box::new(move || {
        let (began, mut times) = (cpu_time(), 0);
        loop {
            once();
            times += 1;
            let cpu = cpu_time() - began;
            if cpu >= LONG_ENOUGH || is_asked("--test") {
                return Took { cpu, units: units * times, bytes: bytes * times };
            }
        }
    })
}

/// A line for each part, of what all took in each round.
pub(crate) fn print(parts: &[Part], rounds: &[Vec<Took>]) {
    println!("{:52} {:>12} {:>12} {:>10}   of {} rounds", "", "CPU time", "each", "MB/s", rounds.len());
    for (at, Part { name, unit, .. }) in parts.iter().enumerate() {
        let rounds = || rounds.iter().map(|round| round[at]);
        // What took no tick of the clock took one at most.
        let cpu = |took: Took| took.cpu.max(Duration::from_micros(1)).as_nanos() as f64;
        let each = Figure::of(rounds().map(|took| cpu(took) / took.units as f64)).unwrap();
        let rate = Figure::of(rounds().map(|took| took.bytes as f64 / cpu(took) * 1e3)).unwrap();
        let time = match each.median {
            short @ ..1e4 => format!("{short:.0} ns"),
            longer @ ..1e6 => format!("{:.1} us", longer / 1e3),
            long => format!("{:.1} ms", long / 1e6),
        };
        let (least, most) = (each.least / each.median, each.most / each.median);
        println!("{name:52} {time:>12} {unit:>12} {:10.0}   {least:.2}x to {most:.2}x", rate.median);
    }
}

/// A thousand times what the clock can tell apart, at the least.
const LONG_ENOUGH: Duration = Duration::from_millis(30);

const ROUNDS: usize = 5;

/// A median of fewer says nothing.
const FEWEST: usize = 3;
