//! Sans-IO protocol code: parsers and taps (observers of a connection).
//!
//! All input here is untrusted. The code uses no sockets, files, threads or clocks, and it must not panic. A tap has no
//! effect on relayed bytes: it reports the part of a connection that it cannot parse as opaque, and parses the others.
//! `tests/layers.rs` checks the imports of this folder.
//!
//! ```text
//! first bytes ─▶ sniff ─┬─ proxy_request ── authority      the request to the proxy (refused: requested_host)
//!                       ├─ socks5_server                   the same in SOCKS5 (passwords: proxy_authorization, credentials)
//!                       └─ client_hello ── fingerprint     the names and protocols a TLS client offers (SNI, ALPN)
//! relayed bytes ─▶ http ─┬─ http1 ─┬─ websocket            the exchanges between client and origin
//!                        └─ http2 ─┘
//! dialogue with an upstream proxy: upstream
//! ```

pub(crate) mod alt_svc;
pub(crate) mod authority;
pub(crate) mod client_hello;
pub(crate) mod credentials;
pub(crate) mod error_code;
pub(crate) mod fingerprint;
pub(crate) mod headers;
pub(crate) mod http;
pub(crate) mod http1;
pub(crate) mod http2;
pub(crate) mod message;
#[cfg(test)]
pub(crate) mod mutations;
pub(crate) mod pattern;
pub(crate) mod proxy_authorization;
pub(crate) mod proxy_request;
pub(crate) mod requested_host;
pub(crate) mod sniff;
pub(crate) mod socks5_server;
pub(crate) mod tap;
pub(crate) mod upstream;
pub(crate) mod websocket;
