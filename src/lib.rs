#![doc = include_str!("../README.md")]

#[cfg_attr(
    not(feature = "tools"),
    expect(dead_code, unreachable_pub, reason = "only the tools use or export some of it")
)]
mod bundle;
mod capture_options;
mod cert;
mod clock;
#[cfg_attr(not(feature = "tools"), allow(dead_code, unused_imports, reason = "only the tools use some of it"))]
mod coding;
mod config;
mod connector;
mod counters;
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
