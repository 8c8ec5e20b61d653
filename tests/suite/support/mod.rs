//! What the tests stand on: an origin, a proxy and a client, each real, on this machine's loopback.
//!
//! ```text
//! Link (client) ─▶ Capture (the proxy under test) ─▶ Origin (scripted, remembers every byte)
//!                     │
//!                     └─▶ Outcome: the summary, and the Bundle, checked
//! ```

pub(crate) mod bundle;
pub(crate) mod ca;
pub(crate) mod capture;
pub(crate) mod cli;
pub(crate) mod detour;
pub(crate) mod grpc;
/// Frames by hand, as the unit tests write them.
#[allow(dead_code, reason = "the unit tests use all of it")]
#[path = "../../../src/wire/http2/testing.rs"]
pub(crate) mod http2_frames;
pub(crate) mod link;
pub(crate) mod node;
pub(crate) mod origin;
pub(crate) mod pair;
pub(crate) mod peers;
pub(crate) mod subject;
pub(crate) mod temp;
pub(crate) mod wait;
pub(crate) mod websocket_frames;

pub(crate) use bundle::Message;
pub(crate) use ca::{ONLY_TLS12, ONLY_TLS13, TestCa, Wish};
pub(crate) use capture::{Capture, TlsClient, patterns};
pub(crate) use detour::Detour;
pub(crate) use link::{Ending, Link};
pub(crate) use node::NodeOrigin;
pub(crate) use origin::{Origin, TlsSetup, answer_all, next_request};
pub(crate) use pair::Pair;
pub(crate) use subject::Subject;
pub(crate) use temp::TempDir;
pub(crate) use wait::{Gate, PATIENCE, Watched, eventually, in_time, now};
