//! Statistics of alternating rounds, on machines that may also run other work.

use nix::sys::resource::{UsageWho, getrusage};
use std::time::{Duration, Instant};

/// Returns true if the command line has `flag`: `--test` for a short check, `--full` for the full size.
pub(crate) fn has_flag(flag: &str) -> bool {
    std::env::args().any(|arg| arg == flag)
}

/// Collects the results of [`ROUNDS`] rounds, of fewer if they take longer than `time_limit`, and of one with `--test`.
pub(crate) fn rounds<T>(time_limit: Duration, mut round: impl FnMut() -> T) -> Vec<T> {
    let (began, mut all) = (Instant::now(), Vec::new());
    let (fewest, most) = if has_flag("--test") { (1, 1) } else { (MIN_ROUNDS, ROUNDS) };
    while all.len() < fewest || all.len() < most && began.elapsed() < time_limit {
        all.push(round());
    }
    all
}

/// The median of some values, with their minimum and maximum.
#[derive(Clone, Copy)]
pub(crate) struct Figure {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Figure {
    /// Returns `None` without values.
    pub(crate) fn of(rounds: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut rounds: Vec<_> = rounds.into_iter().collect();
        rounds.sort_by(f64::total_cmp);
        let (&least, &most) = (rounds.first()?, rounds.last()?);
        Some(Self { median: rounds[rounds.len() / 2], least, most })
    }
}

/// Returns the user and system time of all threads of this process so far.
pub(crate) fn cpu_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let sum = usage.user_time() + usage.system_time();
    Duration::from_micros(u64::try_from(sum.tv_sec() * 1_000_000 + i64::from(sum.tv_usec() as i32)).unwrap())
}

/// Prints the load average, where /proc has it.
pub(crate) fn print_load() {
    if let Ok(load) = std::fs::read_to_string("/proc/loadavg") {
        let load: Vec<_> = load.split(' ').take(3).collect();
        println!("load average {}", load.join(", "));
    }
}

/// A component that is measured in this process.
pub(crate) struct Part {
    pub(crate) name: &'static str,
    /// The unit that is counted.
    pub(crate) unit: &'static str,
    pub(crate) work: Work,
}

/// Runs one round.
pub(crate) type Work = Box<dyn FnMut() -> Took>;

/// The result of a round.
#[derive(Clone, Copy)]
pub(crate) struct Took {
    pub(crate) cpu: Duration,
    pub(crate) units: usize,
    pub(crate) bytes: usize,
}

/// Repeats `once`, which processes that many units and bytes, until the CPU time is long enough to be measured.
pub(crate) fn repeat(units: usize, bytes: usize, mut once: impl FnMut() + 'static) -> Work {
    Box::new(move || {
        let (began, mut times) = (cpu_time(), 0);
        loop {
            once();
            times += 1;
            let cpu = cpu_time() - began;
            if cpu >= MIN_CPU_TIME || has_flag("--test") {
                return Took { cpu, units: units * times, bytes: bytes * times };
            }
        }
    })
}

/// Prints a line for each part, over all rounds.
pub(crate) fn print(parts: &[Part], rounds: &[Vec<Took>]) {
    println!("{:52} {:>12} {:>12} {:>10}   of {} rounds", "", "CPU time", "each", "MB/s", rounds.len());
    for (at, Part { name, unit, .. }) in parts.iter().enumerate() {
        let rounds = || rounds.iter().map(|round| round[at]);
        // A round shorter than the clock's resolution counts as one unit of it.
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

/// At least a thousand times the resolution of the clock.
const MIN_CPU_TIME: Duration = Duration::from_millis(30);

const ROUNDS: usize = 5;

/// Fewer rounds give no useful median.
const MIN_ROUNDS: usize = 3;
