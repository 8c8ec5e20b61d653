//! POSIX and Linux calls that `std` does not offer. The one folder that names `nix`.
//!
//! ```text
//! poll         poll(2): wait for a few descriptors
//! epoll        epoll(7): wait for many descriptors; Linux only
//! socket       non-blocking connect, listen backlog, keepalive, RST on close
//! redirect     the original destination of redirected connections; Linux only
//! pipe         splice(2), size of a pipe; Linux only
//! descriptors  the limit of open files
//! file         open without following a link
//! ```
//!
//! Where the system lacks a call, its function returns an error or `false`, and callers fall back.

mod descriptors;
mod epoll;
mod file;
mod pipe;
mod poll;
mod redirect;
mod socket;

pub(crate) use descriptors::{descriptor_limit, is_out_of_descriptors, open_descriptors};
pub(crate) use epoll::Epoll;
pub(crate) use file::open_to_append;
pub(crate) use pipe::{enlarge_pipe, splice};
pub(crate) use poll::{Interest, wait, wait_for_writable};
pub(crate) use redirect::{accept_any_destination, original_destination};
pub(crate) use socket::{begin_connect, enable_keepalive, maximize_backlog, reset_on_close, send_more};
