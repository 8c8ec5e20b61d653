//! Test fixtures: a real origin, proxy and client on loopback.
//!
//! ```text
//! Connection (client) ─▶ Capture (the proxy under test) ─▶ Origin (scripted, logs each byte)
//!                           │
//!                           └─▶ Outcome: the summary, and the Bundle, checked
//! ```

pub(crate) mod apache;
pub(crate) mod bundle;
pub(crate) mod ca;
pub(crate) mod capture;
pub(crate) mod cli;
pub(crate) mod connection;
/// Encodes bodies; shared with the unit tests.
#[path = "../../../src/coding/testing.rs"]
pub(crate) mod encoded_bodies;
pub(crate) mod grpc;
pub(crate) mod hanging_disk;
/// Builds HTTP/2 frames; shared with the unit tests.
#[allow(dead_code, reason = "the unit tests use all of it")]
#[path = "../../../src/wire/http2/testing.rs"]
pub(crate) mod http2_frames;
#[cfg(target_os = "linux")]
pub(crate) mod namespaces;
#[cfg(target_os = "linux")]
pub(crate) mod network;
pub(crate) mod nginx;
pub(crate) mod node;
pub(crate) mod openssl;
pub(crate) mod origin;
pub(crate) mod pair;
pub(crate) mod peers;
pub(crate) mod port_forward;
pub(crate) mod proxy_process;
pub(crate) mod proxy_server;
pub(crate) mod temp;
pub(crate) mod upstream_proxy;
pub(crate) mod wait;
pub(crate) mod websocket_frames;

pub(crate) use bundle::Message;
pub(crate) use ca::{CertSpec, ONLY_TLS12, ONLY_TLS13, TestCa};
pub(crate) use capture::{Capture, Outcome, TlsClient, options, patterns};
pub(crate) use connection::{Connection, Ending};
pub(crate) use hanging_disk::HangingDisk;
pub(crate) use node::NodeOrigin;
pub(crate) use origin::{Origin, TlsSetup, next_request, respond_to_all};
pub(crate) use pair::Pair;
pub(crate) use port_forward::PortForward;
pub(crate) use proxy_process::ProxyProcess;
pub(crate) use temp::TempDir;
pub(crate) use wait::{Gate, TIMEOUT, Watched, eventually, now, within_timeout};
