//! TLS configuration: as a client towards origins (`client`, with `verifier`, `sessions` and `certificate_request`), as a server towards clients
//! (`server`), the TLS of one connection without its socket (`session`, with `records`), and its failures in words
//! (`failures`). `intercept.rs` drives the handshakes.

pub(crate) mod certificate_request;
pub(crate) mod client;
pub(crate) mod failures;
mod records;
pub(crate) mod server;
pub(crate) mod session;
mod sessions;
mod verifier;

use crate::error::Error;
use crate::wire::authority::Host;
use rustls::pki_types::{InvalidDnsNameError, ServerName};
use std::net::IpAddr;

/// The name that a certificate must be valid for: the client's SNI, or else the host that it asked for.
///
/// # Errors
/// If the name is not a valid DNS name.
pub(crate) fn server_name(sni: Option<&str>, host: &Host) -> Result<ServerName<'static>, InvalidDnsNameError> {
    match (sni, host) {
        (Some(name), _) => ServerName::try_from(name.to_ascii_lowercase()),
        (None, Host::Name(name)) => ServerName::try_from(name.to_ascii_lowercase()),
        (None, Host::V4(ip)) => Ok(ServerName::from(IpAddr::V4(*ip))),
        (None, Host::V6(ip)) => Ok(ServerName::from(IpAddr::V6(*ip))),
    }
}

/// An error of rustls while a configuration is built.
fn setup_error(e: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::System { what: "cannot set up TLS", cause: std::io::Error::other(e) }
}
