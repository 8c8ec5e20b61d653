//! The commands that read a bundle, beside `unzip -t` of the same file: time and peak memory.
//!
//! ```text
//! cargo bench --bench tools -- [BINARY...] [--only NAME] [--dir DIR] [--rounds N] [--exchanges N] [--json-megabytes N] [--megabytes N]
//! ```
//!
//! - `small`: 60,000 exchanges with JSON of 700 bytes. `--exchanges 630000` is the size of a long capture.
//! - `json`: 200 MB of JSON bodies of 256 KB. `--json-megabytes 4096` is the size of a long capture.
//! - `text`, `binary`: one body of 300 MB. `--megabytes` sets the size.
//! - `huge`: one body of 1.2 GiB of zeros.
//!
//! The commands and `unzip -t` take turns. Printed are the median time of the rounds, its ratio to that of `unzip -t` of the input, and
//! the peak resident memory beside its bound, 64 MB and 32 bytes for each entry of the input. `merge` has the bundle twice as
//! input. `--only` selects bundles and commands whose name contains NAME. `--dir` keeps the bundles in a directory, and uses those
//! that are there. `--test` runs one short round.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "a benchmark uses the clock, and prints")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use support::bundles::{json_bodies, small_body, write_bundle, write_large};
use support::figures::{Figure, has_flag, print_load};

fn main() {
    let options = Options::from_args();
    let temporary = std::env::temp_dir().join(format!("spectral-tools-{}", std::process::id()));
    let dir = options.dir.as_ref().unwrap_or(&temporary);
    fs::create_dir_all(dir).unwrap();
    print_load();
    for (name, entries, write) in bundles(&options) {
        if !options.is_wanted(name, "") {
            continue;
        }
        let bundle = dir.join(format!("{name}.zip"));
        if !bundle.exists() {
            write(&bundle);
        }
        let size = fs::metadata(&bundle).unwrap().len() / 1_000_000;
        println!("\n{name}: {entries} entries, {size} MB");
        measure(&options, name, entries, &bundle, dir);
        if options.dir.is_none() {
            fs::remove_file(bundle).unwrap();
        }
    }
    print_load();
    if options.dir.is_none() {
        fs::remove_dir_all(dir).unwrap();
    }
}

type Write = Box<dyn Fn(&Path)>;

/// Returns the name of each bundle, the number of its entries, and a function that writes it.
fn bundles(options: &Options) -> Vec<(&'static str, usize, Write)> {
    let Options { exchanges, json_megabytes, megabytes, huge_bytes, .. } = *options;
    let json = "application/json";
    let bodies = json_megabytes * (1 << 20) / JSON_BYTES;
    let text = support::samples::items(1 << 20);
    // Does not compress well, and is not text.
    let binary: Vec<u8> = (0..1u64 << 17).flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()).collect();
    vec![
        ("small", 2 * exchanges, Box::new(move |path| write_bundle(path, exchanges, json, small_body))),
        ("json", 2 * bodies, Box::new(move |path| write_bundle(path, bodies, json, json_bodies(JSON_BYTES)))),
        ("text", 2, Box::new(move |path| write_large(path, json, megabytes << 20, &text))),
        ("binary", 2, Box::new(move |path| write_large(path, "image/x-raw", megabytes << 20, &binary))),
        ("huge", 2, Box::new(move |path| write_large(path, "image/x-raw", huge_bytes, &[0; 1 << 20]))),
    ]
}

/// Returns the arguments of each command, and how often it reads the bundle.
fn commands(input: &str, output: &str, is_single: bool) -> Vec<(&'static str, Vec<String>, f64)> {
    let args = |line: &str| {
        let word = |word: &str| match word {
            "IN" => input.to_owned(),
            "OUT" => output.to_owned(),
            word => word.to_owned(),
        };
        line.split(' ').map(word).collect::<Vec<_>>()
    };
    let mut commands = vec![
        ("inspect", args("capture inspect IN"), 1.0),
        ("inspect --json", args("capture inspect IN --json"), 1.0),
        ("inspect --grep", args("capture inspect IN --grep nowhere-in-it"), 1.0),
        ("export har", args("capture export --format har IN -o -"), 1.0),
        ("export curl", args("capture export --format curl IN -o -"), 1.0),
        ("export html", args("capture export --format html IN -o -"), 1.0),
        ("redact", args("capture redact IN -o OUT"), 1.0),
        ("merge", args("capture merge IN IN -o OUT"), 2.0),
        ("recover", args("capture recover IN -o OUT"), 1.0),
    ];
    if is_single {
        commands.push(("inspect --trace", args("capture inspect IN --trace t_0001"), 1.0));
        commands.push(("inspect --body", args("capture inspect IN --body t_0001"), 1.0));
    }
    commands
}

fn measure(options: &Options, bundle: &str, entries: usize, input: &Path, dir: &Path) {
    let output = dir.join("out.zip");
    let (input, output) = (input.to_str().unwrap(), output.to_str().unwrap());
    // Read once before, so that the first command finds it in the page cache too.
    let unzip = || run(Command::new("unzip").args(["-tqq", input])).0;
    unzip();
    println!("{:40} {:>8} {:>10} {:>9} {:>9}", "", "seconds", "of unzip", "peak", "bound");
    let commands = commands(input, output, entries == 2);
    for (name, args, inputs) in commands.iter().filter(|(name, ..)| options.is_wanted(bundle, name)) {
        let mut times = vec![Vec::new(); options.builds.len()];
        let (mut unzipped, mut peaks) = (Vec::new(), vec![0; options.builds.len()]);
        for _ in 0..options.rounds {
            unzipped.push(unzip());
            for (build, program) in options.builds.iter().enumerate() {
                let (took, peak) = run(Command::new(program).args(args));
                times[build].push(took);
                peaks[build] = peak.max(peaks[build]);
                let _ = fs::remove_file(output);
                let _ = fs::remove_file(format!("{output}.bak"));
            }
        }
        let unzipped = Figure::of(unzipped).unwrap().median * inputs;
        for (build, times) in times.into_iter().enumerate() {
            let took = Figure::of(times).unwrap().median;
            let label = if options.builds.len() > 1 { format!("{name}, build {build}") } else { (*name).to_owned() };
            let bound = 64 + *inputs as usize * entries * 32 / 1_000_000;
            println!("{label:40} {took:>8.2} {:>10.2} {:>6} MB {bound:>6} MB", took / unzipped, peaks[build] / 1000);
        }
    }
}

/// Runs a command. Returns its time in seconds, and its peak resident memory in KB; 0 without /proc.
fn run(command: &mut Command) -> (f64, u64) {
    let began = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let status_file = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let status = loop {
        let text = fs::read_to_string(&status_file).unwrap_or_default();
        let value = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak = value.and_then(|value| value.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(peak);
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None => thread::sleep(Duration::from_millis(2)),
        }
    };
    let took = began.elapsed().as_secs_f64();
    assert!(status.success(), "{command:?}: {:?}", child.wait_with_output());
    (took, peak)
}

struct Options {
    builds: Vec<PathBuf>,
    only: Vec<String>,
    dir: Option<PathBuf>,
    rounds: usize,
    exchanges: usize,
    json_megabytes: usize,
    megabytes: usize,
    huge_bytes: usize,
}

impl Options {
    fn from_args() -> Self {
        let (builds, only, dir) = (Vec::new(), Vec::new(), None);
        let mut options = match has_flag("--test") {
            true => Self {
                builds,
                only,
                dir,
                rounds: 1,
                exchanges: 50,
                json_megabytes: 1,
                megabytes: 2,
                huge_bytes: 3 << 20,
            },
            false => Self {
                builds,
                only,
                dir,
                rounds: 3,
                exchanges: 60_000,
                json_megabytes: 200,
                megabytes: 300,
                huge_bytes: 1200 << 20,
            },
        };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            let mut number = || args.next().unwrap().parse().unwrap();
            match arg.as_str() {
                "--rounds" => options.rounds = number(),
                "--exchanges" => options.exchanges = number(),
                "--json-megabytes" => options.json_megabytes = number(),
                "--megabytes" => options.megabytes = number(),
                "--dir" => options.dir = args.next().map(PathBuf::from),
                "--only" => options.only.push(args.next().unwrap()),
                "--bench" | "--test" => {}
                build => options.builds.push(build.into()),
            }
        }
        if options.builds.is_empty() {
            options.builds.push(env!("CARGO_BIN_EXE_spectral").into());
        }
        options
    }

    /// True if a command with this bundle is wanted. Without a command, true if any is.
    fn is_wanted(&self, bundle: &str, command: &str) -> bool {
        let is_bundle = |name: &str| ["small", "json", "text", "binary", "huge"].contains(&name);
        let (bundles, commands): (Vec<_>, Vec<_>) = self.only.iter().partition(|name| is_bundle(name));
        (bundles.is_empty() || bundles.iter().any(|name| *name == bundle))
            && (command.is_empty()
                || commands.is_empty()
                || commands.iter().any(|name| command.contains(name.as_str())))
    }
}

/// The size of a body in `json`.
const JSON_BYTES: usize = 256 * 1024;
