//! The terminal on stderr. The only file of the CLI that names `rustix`: nix reads a terminal's size in unsafe code only.

use nix::unistd::{getpgrp, tcgetpgrp};
use std::io;

/// Returns true if this process belongs to the foreground process group of the terminal. A shell with job control moves
/// processes to the background and back.
pub(crate) fn is_in_foreground() -> bool {
    tcgetpgrp(io::stderr()).is_ok_and(|foreground| foreground == getpgrp())
}

/// Returns the number of columns of the terminal now, if it is known.
pub(crate) fn columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stderr()).ok()?;
    (size.ws_col > 0).then_some(size.ws_col.into())
}
