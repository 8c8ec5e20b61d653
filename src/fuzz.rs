//! Entry points for fuzzing. Each asserts a property of code that processes untrusted bytes.
//!
//! The targets in `fuzz/` call these functions. The unit tests also run each property on a few thousand mutated inputs.

/// Asserts that the result of parsing a ClientHello does not depend on splits and does not change with more bytes.
pub fn client_hello(data: &[u8]) {
    crate::wire::client_hello::check_any_split(data);
}

/// Asserts that arbitrary bytes before and during a TLS handshake cause an error at most.
pub fn tls(data: &[u8]) {
    crate::net::tls::session::fuzz::check_any_split(data);
}

/// Asserts that any bytes are read as a certificate without a panic.
pub fn certificate(data: &[u8]) {
    crate::cert::x509_reader::fuzz::check_reading(data);
}

/// Asserts that parsing a request to the proxy does not depend on splits, and that no other fields reach the origin.
pub fn proxy_head(data: &[u8]) {
    crate::wire::proxy_request::check_any_split(data);
}

/// Asserts that a SOCKS5 negotiation does not depend on splits.
pub fn socks5(data: &[u8]) {
    crate::wire::socks5_server::check_any_split(data);
}

/// Asserts that the dialogue with an upstream proxy does not depend on splits, and that its 407 does not pass.
pub fn upstream(data: &[u8]) {
    crate::wire::upstream::check_any_split(data);
}

/// Asserts that the events of the HTTP/1 tap do not depend on splits, and that every exchange ends.
pub fn http1(data: &[u8]) {
    crate::wire::http1::fuzz::check_any_split(data);
}

/// Asserts that the events of the HTTP/2 tap do not depend on splits, and that every exchange ends.
pub fn http2(data: &[u8]) {
    crate::wire::http2::fuzz::check_any_split(data);
}

/// Asserts that decoding HPACK field blocks stays within the limits.
pub fn hpack(data: &[u8]) {
    crate::wire::http2::hpack::check_limits(data);
}

/// Asserts that the events of the WebSocket tap do not depend on splits, and that every message ends.
pub fn websocket(data: &[u8]) {
    crate::wire::websocket::fuzz::check_any_split(data);
}

/// Asserts that decoding a body terminates and stays within the limits.
pub fn decode(data: &[u8]) {
    crate::coding::fuzz::check_limits(data);
}

/// Asserts that recovery makes a complete and consistent bundle of any file.
#[cfg(feature = "tools")]
pub fn recover(data: &[u8]) {
    crate::tools::recover::fuzz::check_recovery(data);
}

/// Asserts that any file is read as a bundle without a panic, and that its entries are distinct parts of it.
pub fn directory(data: &[u8]) {
    crate::bundle::reader::fuzz::check_directory(data);
}

/// Asserts that redacting JSON in any text keeps the shape of valid JSON.
#[cfg(feature = "tools")]
pub fn redact_json(data: &[u8]) {
    crate::tools::redact::fuzz::check_json(data);
}

/// Asserts that redacting any text in any grammar removes a known value.
#[cfg(feature = "tools")]
pub fn redact_text(data: &[u8]) {
    crate::tools::redact::fuzz::check_text(data);
}

/// Asserts that a document inferred from any exchanges has all of them, and is the same in every run.
#[cfg(feature = "tools")]
pub fn openapi(data: &[u8]) {
    crate::tools::export::openapi::fuzz::check_document(data);
}

/// Asserts that any two OpenAPI documents are compared within the limits, and that a document does not differ from itself.
#[cfg(feature = "tools")]
pub fn openapi_drift(data: &[u8]) {
    crate::tools::export::openapi::drift::fuzz::check_comparison(data);
}
