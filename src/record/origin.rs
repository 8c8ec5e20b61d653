//! The origin of a connection, and the time it took to connect to it.

use crate::wire::authority::Authority;

/// To whom a connection leads, and what reaching them took.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// Whether TLS is spoken to it.
    pub(crate) tls: bool,
    /// Where the connection leads: used where a request does not say.
    pub(crate) authority: Authority,
    /// What came before the first request on this connection.
    pub(crate) reached: Option<ConnectTiming>,
}

/// What it took to reach an origin; counts for the first exchange with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectTiming {
    pub(crate) dns_ms: f64,
    pub(crate) connect_ms: f64,
    pub(crate) tls_ms: f64,
}
