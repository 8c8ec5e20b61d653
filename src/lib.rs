#![doc = include_str!("../README.md")]

mod bundle;
mod cert;
mod clock;
mod config;
mod error;
mod net;
mod notice;
mod proxy;
mod tally;
mod wire;

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;

pub use bundle::{reader, recover};
pub use config::{Config, Mode, Observer};
pub use error::Error;
pub use notice::{Notice, Reason, Summary, Uncaptured};
pub use proxy::{Hurry, Proxy, Running};
pub use wire::pattern::{BadPattern, Pattern};
pub use wire::tap::Opaque;
