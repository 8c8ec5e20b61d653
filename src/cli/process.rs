//! System facilities of the CLI: addresses, resource limits, signals, child processes and the search of `PATH`.

mod child;
mod dumps;
pub(crate) mod interfaces;
mod limits;
mod path_search;
mod signals;
pub(crate) mod terminal;

pub(crate) use child::Child;
pub(crate) use dumps::forbid_dumps;
pub(crate) use limits::{effective_user, is_root};
pub(crate) use path_search::{NotExecutable, find_program};
pub(crate) use signals::{
    BlockedSignals, Inherited, ReceivedSignal, clean_up_on_signals, prepare_for_command, prepare_for_service,
};
