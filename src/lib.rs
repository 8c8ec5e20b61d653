#![doc = include_str!("../README.md")]

mod bundle;
mod cert;
mod clock;
mod config;
mod environment;
mod error;
mod net;
mod notice;
mod platforms;
mod proxy;
mod tally;
mod wire;

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;

pub use bundle::{merge, reader, recover, redact};
pub use cert::{About, CaCertificate, Roots, STORE_PASSWORD};
pub use config::{Config, Mode, Observer};
pub use environment::{Environment, TrustFiles};
pub use error::Error;
pub use notice::{Domain, KnownBy, Notice, Progress, Reason, Summary, Uncaptured};
pub use platforms::{PLATFORMS, Platform};
pub use proxy::{Gauge, Hurry, Proxy, Running};
pub use wire::pattern::{BadPattern, Pattern};
pub use wire::tap::Opaque;
