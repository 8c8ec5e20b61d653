//! The origin of a connection, and the time it took to connect to it.

use crate::wire::authority::Authority;

/// The origin of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// True if the connection to it uses TLS.
    pub(crate) is_tls: bool,
    /// The address that was connected to. Requests that name no authority are for this one.
    pub(crate) authority: Authority,
    /// The time it took to connect; `None` if an earlier exchange on the connection has it.
    pub(crate) connect_timing: Option<ConnectTiming>,
}

/// The time it took to connect to an origin. It belongs to the first exchange on the connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectTiming {
    /// Name resolution.
    pub(crate) dns_ms: f64,
    /// TCP.
    pub(crate) connect_ms: f64,
    /// The TLS handshake; 0 without TLS.
    pub(crate) tls_ms: f64,
}
