//! The addresses at which clients reach the proxy.

use super::process::interfaces;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Returns an address to connect to, on this machine, for a proxy that listens on `listening`: loopback in place of `0.0.0.0` and `[::]`.
pub(crate) fn reachable(listening: SocketAddr) -> SocketAddr {
    let mut addr = listening;
    if addr.ip().is_unspecified() {
        addr.set_ip(if addr.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    addr
}

/// Returns the addresses at which other machines may reach a proxy that listens on `listening`.
pub(crate) fn reachable_by_others(listening: SocketAddr) -> Vec<SocketAddr> {
    select(listening, interfaces::addresses())
}

/// Returns the addresses out of `all`, those of this machine, on which a proxy listens. (A socket on `[::]` accepts IPv4
/// too, unless the system is configured otherwise.)
fn select(listening: SocketAddr, all: Vec<IpAddr>) -> Vec<SocketAddr> {
    let addresses = match listening.ip().to_canonical() {
        address if address.is_loopback() => Vec::new(),
        address if !address.is_unspecified() => vec![address],
        IpAddr::V4(_) => all.into_iter().filter(IpAddr::is_ipv4).collect(),
        IpAddr::V6(_) => all,
    };
    addresses.into_iter().map(|address| SocketAddr::new(address, listening.port())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unspecified_addresses_become_loopback() {
        for (listening, expected) in
            [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:2", "[::1]:2"), ("192.0.2.1:3", "192.0.2.1:3")]
        {
            assert_eq!(reachable(listening.parse().unwrap()), expected.parse().unwrap());
        }
    }

    #[test]
    fn others_reach_the_addresses_on_which_it_listens() {
        let all: Vec<IpAddr> = ["192.0.2.7", "2001:db8::7"].map(|address| address.parse().unwrap()).to_vec();
        for (listening, expected) in [
            ("127.0.0.1:1", &[][..]),
            ("[::ffff:127.0.0.1]:1", &[]),
            ("0.0.0.0:1", &["192.0.2.7:1"]),
            ("[::]:1", &["192.0.2.7:1", "[2001:db8::7]:1"]),
            ("198.51.100.1:1", &["198.51.100.1:1"]),
        ] {
            let found: Vec<_> =
                select(listening.parse().unwrap(), all.clone()).iter().map(ToString::to_string).collect();
            assert_eq!(found, expected, "{listening}");
        }
        assert!(reachable_by_others("0.0.0.0:1".parse().unwrap()).iter().all(|address| !address.ip().is_loopback()));
    }
}
