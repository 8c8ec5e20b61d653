//! A capture proxy as a library: records the HTTP, HTTPS and WebSocket traffic of an app without changing it. Synchronous, without
//! an async runtime. The binary `spectral` is built on this API.
//!
//! ```no_run
//! use spectral_capture::{Config, Proxy};
//!
//! # fn main() -> Result<(), spectral_capture::Error> {
//! let running = Proxy::bind(Config::capture("capture.zip"))?.start()?;
//! println!("listening on {}", running.addr());
//! // … the app sends its traffic through the proxy …
//! let summary = running.stop();
//! println!("{} exchanges in {:?}", summary.exchanges, summary.bundle);
//! # Ok(())
//! # }
//! ```
//!
//! | step | type |
//! |---|---|
//! | settings: [`Config::capture`] or [`Config::discover`], then the fields that differ | [`Config`], [`CaptureOptions`] |
//! | check them, open the CA and the output, listen; [`Proxy::bind_on`] takes open sockets | [`Proxy`] |
//! | the certificate that the app must trust: [`Proxy::ca`] | [`CaCertificate`] |
//! | run; counts from any thread: [`Running::gauge`] | [`Running`], [`Gauge`] |
//! | events while it runs | [`Observer`], [`Notice`] |
//! | whole exchanges and messages while it runs | [`RecordCallback`], [`Recorded`] |
//! | stop: [`Running::stop`], [`Running::stop_within`], or a drop | [`Summary`] |
//! | read the bundle | [`reader::Bundle`] |
//!
//! The folder `examples/` has programs that capture to a file, only in memory, with a connector, and that discover domains.
//!
//! # Guarantees
//!
//! - **The app gets the same bytes at the same time as without the proxy.** They are parsed as a copy. Only the heads of plain
//!   requests (`GET http://…`) change, as HTTP requires. What cannot be intercepted passes through.
//! - **What is missing is reported**: connections and hosts that are not captured ([`Notice::Uncaptured`]), exchanges that ended
//!   early ([`CutOff`]), and items that could not be written ([`Summary::lost`]), truncated ([`Summary::truncated`]) or passed to
//!   the callback ([`Summary::unobserved`]).
//! - **Panics end one connection**, also those in functions of the embedder. The library does not end the process, installs no
//!   signal handlers, prints nothing, changes no environment variables and starts no processes.
//! - **Nothing is left after the stop**: no thread, no descriptor, no temporary file. A stop that is forced leaves threads that
//!   wait for a disk or for a function of the embedder; they end with that wait.
//! - Captures in one process share nothing but the limit on wide pipes, which is per user.
//!
//! | [`Output`] | complete under its name only | recoverable after a crash | keeps an earlier file | writes to disk |
//! |---|---|---|---|---|
//! | [`Output::Path`] | yes | yes | yes, as a backup | bundle, and what spills ([`Spilling`]) |
//! | [`Output::File`] | no | yes, from the file | the file must be empty | that file; spills only to [`Spilling::Dir`] |
//! | [`Output::None`] | | no | | nothing; spills only to [`Spilling::Dir`] |
//!
//! With [`CaSource::Ephemeral`] or [`CaSource::Pem`], no file of a CA is read or written. The roots of the machine are read to
//! verify origins; if there are none, Mozilla's are used.
//!
//! # Threads
//!
//! | thread | number |
//! |---|---|
//! | `listener` | one for each socket |
//! | `idle` | one |
//! | connections, lookups of names and the functions of a [`Connector`] | one for each that is active; idle connections have none on Linux |
//! | `writer`, `spill`, `disk` | one each, with a bundle; no `spill` with [`Spilling::Memory`] |
//! | packers, which decode and compress bodies | up to the number of processors, at most 16, with a bundle |
//! | `callback` | one, with [`CaptureOptions::on_record`] |
//! | `stop timer` | one, during [`Running::stop_within`] |
//!
//! Functions of the embedder run on these threads: [`Observer`] on any of them, [`RecordCallback`] on its own, [`HostFunction`] and
//! [`Connector`] on those of connections. They must not call [`Running::stop`].
//!
//! # Memory
//!
//! [`Limits::memory`] bounds what grows with the traffic, 64 MiB by default. The process takes up to 16 MB more, and 40 KB for each
//! connection. A bundle's index does not grow in memory, unless nothing may be written to a disk ([`Spilling::Memory`]).
//!
//! # Units
//!
//! Sizes and limits are bytes. Times are [`Duration`](std::time::Duration) or [`SystemTime`](std::time::SystemTime); where a number
//! is a time, its name ends in `_ms`, for milliseconds. Names of hosts are in lower case. Strings from the network may contain any
//! characters: [`text::escape`] makes them safe for a terminal.
//!
//! # Errors
//!
//! [`Proxy::bind`] checks everything that can be checked before traffic flows, and returns [`Error`]. Each variant states its
//! subject, and has the cause as its [`source`](std::error::Error::source). Later problems of the capture are
//! [`Notice::Warning`]s, and again in [`Summary::warnings`]; traffic still passes.
//!
//! # Features
//!
//! | feature | contents |
//! |---|---|
//! | none | this page |
//! | `tools` | recover, merge, redact, export; settings that make commands trust the CA |
//! | `cli`, on by default | the binary |
//!
//! Without features, the example `in_memory`, linked statically with glibc by the rules of the release, has 4.2 MB. CI keeps it below
//! 4.5 MB.
//!
//! # Platforms
//!
//! Unix. Tests run only on x86-64 Linux with glibc; aarch64 Linux, musl, macOS and FreeBSD are only type-checked. Some functions are for
//! Linux only: idle connections without threads, splice(2), and the original destination of redirected connections.

#[cfg(not(unix))]
compile_error!("spectral-capture needs a Unix system: it uses poll(2), unlinked files and file permissions");

#[cfg_attr(
    not(feature = "tools"),
    expect(dead_code, unreachable_pub, reason = "only the tools use or export some of it")
)]
mod bundle;
#[doc(hidden)] // For the binary.
pub mod calendar;
mod capture_options;
mod cert;
#[doc(hidden)] // For the binary.
pub mod channel;
mod clock;
#[cfg_attr(not(feature = "tools"), allow(dead_code, unused_imports, reason = "only the tools use some of it"))]
mod coding;
mod config;
mod connector;
mod counters;
mod embedded;
mod error;
mod gauge;
mod memory;
mod net;
mod notice;
#[cfg(feature = "tools")]
#[doc(hidden)] // For the binary: the files that its commands write.
pub mod output;
mod proxy;
mod record;
mod recorded;
mod recording;
mod running;
#[doc(hidden)] // For the binary.
pub mod sorting;
pub mod text;
#[cfg(feature = "tools")]
mod tools;
#[cfg_attr(
    not(feature = "tools"),
    allow(dead_code, unused_imports, unreachable_pub, reason = "most of it is for the binary")
)]
mod trust;
mod wire;

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;

pub use bundle::cut_off::{CutOff, CutOffCause, CutOffSide, MessageCutOff, MessageSender};
pub use bundle::reader;
pub use capture_options::{CaSource, CaptureOptions, Output, Rotate, Spilling};
pub use cert::CaCertificate;
pub use config::{
    CertificateSource, ClientCertificate, Config, DiscoverOptions, Limits, Mode, Observer, Transparent, UpstreamCa,
};
pub use connector::Connector;
pub use error::{CaError, CaExposure, ClientCertificateError, Conflict, Error, Exposure, OutputError, UpstreamCaError};
pub use gauge::Gauge;
pub use notice::{
    Bundles, CutOffItems, Distrust, Domain, NameSource, Notice, Progress, Reason, Summary, Uncaptured, Warning,
};
pub use proxy::Proxy;
pub use recorded::{
    MessageKind, RecordCallback, Recorded, RecordedBody, RecordedExchange, RecordedHeaders, RecordedMessage,
    RecordedResponse,
};
pub use running::{ForceStop, Running};
#[cfg(feature = "tools")]
pub use tools::{export, filter, grpc, merge, recover, redact};
pub use trust::p12::P12_PASSWORD;
#[cfg(feature = "tools")]
pub use trust::{
    details::CertificateDetails,
    environment::{Environment, NODE_SCRIPT, TrustFiles},
    guides::{TRUST_GUIDES, TrustGuide},
    roots::TrustedRoots,
};
pub use wire::credentials::Credentials;
pub use wire::pattern::{BadPattern, HostFunction, Pattern, PatternError};
pub use wire::tap::Opaque;
pub use wire::upstream::no_proxy::NoProxy;
pub use wire::upstream::proxy::{UpstreamProxies, UpstreamProxy, UpstreamProxyError};

/// The README's example, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
