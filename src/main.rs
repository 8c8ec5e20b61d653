//! `spectral`: captures what an app says and hears. The library does the work; this is its first user.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
