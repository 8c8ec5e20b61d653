//! Bytes to meaning: parsers and observers that compute and do nothing else.
//!
//! Untrusted input comes here before anyone understands it, so code here touches no socket, no file, no thread and
//! no clock, and it cannot fail or panic: what it does not understand it calls opaque and goes quiet, while the
//! bytes pass (`tests/layers.rs` holds the folder to that).
//!
//! ```text
//! first bytes ─▶ sniff ─┬─ proxy_request ── authority      what is asked of the proxy
//!                       └─ client_hello                    what a TLS client wants (SNI, ALPN)
//! relayed bytes ─▶ http ─┬─ http1 ─┬─ websocket           what the two ends say to each other
//!                        └─ http2 ─┘
//! ```

pub(crate) mod authority;
pub(crate) mod client_hello;
pub(crate) mod http;
pub(crate) mod http1;
pub(crate) mod http2;
pub(crate) mod message;
#[cfg(test)]
pub(crate) mod mutations;
pub(crate) mod pattern;
pub(crate) mod proxy_request;
pub(crate) mod sniff;
pub(crate) mod tap;
pub(crate) mod websocket;
