//! The `spectral` program: records an app's HTTP, HTTPS and WebSocket traffic. The library `spectral_capture` does the
//! work; the program is its command line.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
