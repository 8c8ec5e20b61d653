//! The proxy with real sockets, real TLS and real peers, on loopback only.
//!
//! Each test starts a proxy, sends requests through it to a scripted origin, and checks three results: the bytes at the
//! client, the bytes at the origin, and the bundle. Waits have timeouts; tests do not sleep.
//!
//! A test whose program is not installed reports that on stderr and passes. Set `SPECTRAL_REQUIRE_PEERS=curl,grpcio,…`
//! to fail instead, `SPECTRAL_PYTHON` to a Python with grpcio and haralyzer, and `SPECTRAL_BUNDLES=FOLDER` to keep a
//! copy of each bundle, and `SPECTRAL_DOCUMENTS=FOLDER` to keep one of each OpenAPI document.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed expectation must fail the test"
)]

mod support;

mod auth;
mod backups;
mod big_body;
mod bodies;
mod bundle_checker;
mod ca_command;
mod ca_permissions;
mod certificates;
mod cli;
mod cli_ending;
mod cli_limits;
mod cli_progress;
mod cli_signals;
mod cli_terminal;
mod client_certificates;
mod connect;
mod cut_off;
mod damaged;
mod disconnects;
mod discover;
#[cfg(target_os = "linux")]
mod discover_all;
mod disk;
mod dumps;
mod early_answer;
mod exhaustion;
mod expect;
mod export;
mod filter;
mod filter_exchanges;
mod full_duplex;
mod grpc;
mod half_close;
mod handshake;
mod hostile_names;
mod hostile_peers;
mod http1_bytes;
mod http1_framing;
mod http1_heads;
mod http1_odd;
mod http2_big_body;
mod http2_bytes;
mod http2_clear;
mod http2_ends;
mod http2_exchanges;
mod http2_many;
mod http2_nghttp2;
mod http2_protocol;
mod http2_websocket;
mod http3_offer;
mod idle;
mod idle_kinds;
mod inspect;
mod inspect_grpc;
mod interrupted_tools;
mod key_log;
mod large_bundles;
mod late_client_certificate;
mod library;
mod lost_part;
mod memory;
mod merge_and_redact;
mod odd_certificates;
mod older_bundles;
mod openapi;
mod openapi_traffic;
mod oversized;
mod own_page;
mod panics;
mod passthrough;
mod passthrough_old_tls;
mod peers;
mod plain;
mod plain_ends;
mod plain_forms;
mod plain_tls;
mod recover;
#[cfg(target_os = "linux")]
mod redact_secrets;
mod redirected;
mod refused_certificate;
mod refused_certificate_peers;
mod refused_requests;
mod reset;
mod resumption;
mod rotate;
mod run;
#[cfg(target_os = "linux")]
mod run_all;
#[cfg(target_os = "linux")]
mod run_all_network;
#[cfg(target_os = "linux")]
mod run_all_peers;
#[cfg(target_os = "linux")]
mod run_all_refused;
mod run_node;
mod run_peers;
mod run_settings;
mod run_signals;
mod run_trust;
mod slow_client;
mod slow_disk;
mod socks;
mod splice;
mod stop;
mod streaming;
mod timing;
mod transparent;
mod truncation;
mod unreachable;
mod upstream;
mod upstream_cli;
mod upstream_peers;
mod websocket;
mod websocket_deflate;
mod websocket_ends;
