//! The proxy against real sockets, real TLS and real peers, on this machine's loopback only.
//!
//! Every test starts a proxy of its own, speaks through it to a scripted origin, and then looks at three things: what the
//! client got, what the origin got, and what the bundle says. Waits have deadlines; nothing sleeps.
//!
//! A test that needs a program which this machine does not have says so on stderr and passes. Set
//! `SPECTRAL_REQUIRE_PEERS=curl,grpcio,…` to fail instead, `SPECTRAL_PYTHON` to a Python that has grpcio and haralyzer, and
//! `SPECTRAL_BUNDLES=FOLDER` to keep a copy of every bundle.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "in a test a broken expectation is a failure, which is what it is for"
)]

mod support;

mod big_body;
mod bodies;
mod both_ways;
mod ca_command;
mod certificates;
mod cli;
mod cli_signals;
mod connect;
mod dial;
mod discover;
mod disk;
mod early_answer;
mod exhaustion;
mod export;
mod filter;
mod grpc;
mod half_close;
mod handshake;
mod http1_bytes;
mod http1_framing;
mod http2_big_body;
mod http2_bytes;
mod http2_clear;
mod http2_ends;
mod http2_exchanges;
mod http2_many;
mod http2_nghttp2;
mod http2_protocol;
mod http2_websocket;
mod idle;
mod inspect;
mod leaving;
mod oversized;
mod own_page;
mod panics;
mod passthrough;
mod passthrough_old_tls;
mod peers;
mod plain;
mod recover;
mod refused;
mod remake;
mod reset;
mod resumption;
mod run;
mod run_peers;
mod run_signals;
mod run_trust;
mod slow_client;
mod slow_disk;
mod spliced;
mod stop;
mod strangers;
mod streaming;
mod timing;
mod transparent;
mod truncation;
mod websocket;
mod websocket_deflate;
