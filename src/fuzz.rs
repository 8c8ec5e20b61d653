//! Entry points for fuzzing: each asserts a property of code that untrusted bytes reach. The targets in `fuzz/` are shells
//! around these; a few thousand mutations of each run with the unit tests too.

/// A ClientHello is read the same however it is cut, and a verdict once given stays.
pub fn client_hello(data: &[u8]) {
    crate::wire::client_hello::cut_anyhow(data);
}

/// What a peer sends instead of TLS, or in the midst of it, ends in an error at worst.
pub fn tls(data: &[u8]) {
    crate::net::tls::session::fuzz::cut_anyhow(data);
}

/// A request to the proxy is read the same however it is cut, and what is sent on has no byte that was smuggled in.
pub fn proxy_head(data: &[u8]) {
    crate::wire::proxy_request::check_any_split(data);
}

/// The HTTP/1 tap reports the same events however a connection is cut, and leaves nothing without an end.
pub fn http1(data: &[u8]) {
    crate::wire::http1::fuzz::cut_anyhow(data);
}

/// The HTTP/2 tap does too.
pub fn http2(data: &[u8]) {
    crate::wire::http2::fuzz::cut_anyhow(data);
}

/// Decoding blocks of compressed fields stays within its limits.
pub fn hpack(data: &[u8]) {
    crate::wire::http2::hpack::any_blocks(data);
}

/// The WebSocket tap does too.
pub fn websocket(data: &[u8]) {
    crate::wire::websocket::cut_anyhow(data);
}

/// Decoding a body ends, within its bounds.
pub fn decode(data: &[u8]) {
    crate::record::decode::assert_property(data);
}

/// Whatever a file holds, what is recovered of it is a bundle that is whole and agrees with itself.
#[cfg(feature = "tools")]
pub fn recover(data: &[u8]) {
    crate::tools::recover::fuzz::property(data);
}
