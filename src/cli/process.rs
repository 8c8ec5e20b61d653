//! System facilities of the CLI: resource limits, signals, child processes and the search of `PATH`.
//!
//! There are two ways to receive signals; a process uses one of them:
//!
//! ```text
//!   capture proxy, discover  stop_signals       handlers (ctrlc): a message for each signal that ends a capture
//!   capture run              forwarded_signals  signals are blocked in every thread and read one by one, since the
//!                                               command must receive the same signal
//! ```

mod child;
mod forwarded_signals;
mod limits;
mod path_search;
mod stop_signals;

pub(crate) use child::Child;
pub(crate) use forwarded_signals::{ForwardedSignals, Inherited, ReceivedSignal, prepare_for_command};
pub(crate) use limits::{is_root, raise_descriptor_limit, survive_file_size_limit};
pub(crate) use path_search::{NotExecutable, find_program};
pub(crate) use stop_signals::receive_stop_signals;
