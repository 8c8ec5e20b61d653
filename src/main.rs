//! The `spectral` program: records an app's HTTP, HTTPS and WebSocket traffic. The library `spectral_capture` does the
//! work; the program is its command line.

#[allow(dead_code, reason = "the library uses all of it")]
mod calendar;
#[allow(dead_code, reason = "the library uses all of it")]
mod channel;
mod cli;
#[allow(dead_code, reason = "the library uses all of it")]
mod sorting;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
