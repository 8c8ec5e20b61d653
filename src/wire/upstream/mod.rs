//! Upstream proxies: proxies through which origins are reached, where there is no other way out.
//!
//! ```text
//! proxy     the URL of a proxy, the proxies of a capture     which one leads to this origin?
//! no_proxy  the hosts that are reached without one
//! connect   the dialogue with an HTTP proxy ───┐
//! socks5    the dialogue with a SOCKS5 proxy ──┴▶ refusal: why it serves no tunnel
//! answer    the beginning of an answer to a plain request    407 must not reach the client
//! ```
//!
//! A plain request goes to an HTTP proxy in absolute form (`proxy_request::to_absolute_form`).

pub(crate) mod answer;
pub(crate) mod connect;
pub(crate) mod no_proxy;
pub(crate) mod proxy;
pub(crate) mod refusal;
pub(crate) mod socks5;

use refusal::Refusal;

/// A dialogue with an upstream proxy that opens a tunnel. It uses no byte behind the proxy's last one: that is the origin's.
pub(crate) trait Dialogue {
    /// Returns the bytes to send next, and forgets them; empty if the proxy's answer comes first.
    fn output(&mut self) -> Vec<u8>;

    /// Reads the proxy's `bytes`, which follow those that were used before. Returns how many were used: all of them while
    /// the answer is incomplete.
    ///
    /// # Errors
    /// If there is no tunnel.
    fn input(&mut self, bytes: &[u8]) -> Result<usize, Refusal>;

    /// Returns true once the tunnel is open.
    fn is_open(&self) -> bool;
}
