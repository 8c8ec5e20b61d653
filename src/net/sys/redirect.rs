//! The destination of connections that a firewall of this machine redirects; Linux only.
//!
//! ```text
//! REDIRECT, DNAT   the destination is rewritten; netfilter keeps the original one        SO_ORIGINAL_DST
//! TPROXY           nothing is rewritten; the listener accepts any destination            the socket's own address
//! ```

use std::net::{SocketAddr, TcpListener, TcpStream};

/// Returns the address that the peer of `stream` connected to, before a firewall of this machine rewrote it. Without a
/// redirect it is the address of `stream` itself. `None` if the connection is already gone.
#[cfg(target_os = "linux")]
pub(crate) fn original_destination(stream: &TcpStream) -> Option<SocketAddr> {
    use nix::sys::socket::sockopt::{Ip6tOriginalDst, OriginalDst};
    use nix::sys::socket::{SockaddrIn, SockaddrIn6, getsockopt};
    let own = stream.local_addr().ok()?;
    // Fails with ENOENT if netfilter does not track the connection, and with ENOPROTOOPT without netfilter. An IPv6
    // socket with an IPv4 peer has the option of IPv4.
    let original = match own.ip().to_canonical().is_ipv4() {
        true => getsockopt(stream, OriginalDst).map(|address| SockaddrIn::from(address).into()),
        false => getsockopt(stream, Ip6tOriginalDst).map(|address| SockaddrIn6::from(address).into()),
    };
    Some(original.unwrap_or(own))
}

/// Other systems do not offer the original destination.
#[cfg(not(target_os = "linux"))]
pub(crate) fn original_destination(stream: &TcpStream) -> Option<SocketAddr> {
    stream.local_addr().ok()
}

/// Lets `listener` accept connections to any address, which TPROXY needs. Returns false without the privilege
/// (CAP_NET_ADMIN).
#[cfg(target_os = "linux")]
pub(crate) fn accept_any_destination(listener: &TcpListener) -> bool {
    // Also for IPv6: both families have one flag.
    nix::sys::socket::setsockopt(listener, nix::sys::socket::sockopt::IpTransparent, &true).is_ok()
}

/// Other systems have no TPROXY.
#[cfg(not(target_os = "linux"))]
pub(crate) fn accept_any_destination(_: &TcpListener) -> bool {
    false
}
