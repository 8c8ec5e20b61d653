#![doc = include_str!("../README.md")]

#[cfg_attr(not(feature = "tools"), expect(dead_code, reason = "only the tools use some of it"))]
mod bundle;
mod capture_options;
mod cert;
mod clock;
#[cfg_attr(not(feature = "tools"), allow(dead_code, unused_imports, reason = "only the tools use some of it"))]
mod coding;
mod config;
mod counters;
mod error;
mod gauge;
mod memory;
mod net;
mod notice;
pub mod output;
mod proxy;
mod record;
mod running;
pub mod text;
#[cfg(feature = "tools")]
mod tools;
mod trust;
mod wire;

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;

pub use bundle::cut_off::{CutOff, CutOffCause, CutOffSide, MessageCutOff, MessageSender};
pub use bundle::reader;
pub use capture_options::{CaSource, CaptureOptions, Output, Rotate};
pub use cert::CaCertificate;
pub use config::{ClientCertificate, Config, DiscoverOptions, Limits, Mode, Observer, Transparent};
pub use error::{CaError, CaExposure, ClientCertificateError, Conflict, Error, Exposure, OutputError, UpstreamCaError};
pub use gauge::Gauge;
pub use notice::{
    Bundles, CutOffItems, Distrust, Domain, NameSource, Notice, Progress, Reason, Summary, Uncaptured, Warning,
};
pub use proxy::Proxy;
pub use running::{ForceStop, Running};
#[cfg(feature = "tools")]
pub use tools::{export, filter, grpc, merge, recover, redact};
pub use trust::details::CertificateDetails;
pub use trust::environment::{Environment, NODE_SCRIPT, TrustFiles};
pub use trust::guides::{TRUST_GUIDES, TrustGuide};
pub use trust::p12::P12_PASSWORD;
pub use trust::roots::TrustedRoots;
pub use wire::credentials::Credentials;
pub use wire::pattern::{BadPattern, Pattern, PatternError};
pub use wire::tap::Opaque;
pub use wire::upstream::no_proxy::NoProxy;
pub use wire::upstream::proxy::{UpstreamProxies, UpstreamProxy, UpstreamProxyError};
