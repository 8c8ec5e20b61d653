//! The hosts that are reached without an upstream proxy: the value of `NO_PROXY`.
//!
//! There is no standard. Programs agree on suffixes at a dot, and differ in the rest. Here the forms mean what they do in Go and
//! in most libraries:
//!
//! ```text
//! example.com         this name and all below it
//! .example.com        the names below it, not the name itself; also *.example.com
//! example.com:8443    this port only
//! 192.0.2.1  [::1]:443  2001:db8::1
//! 10.0.0.0/8  fd00::/8    networks; they match addresses, not names: names are not resolved
//! *                   every host
//! ```

use crate::wire::authority::{Authority, Host};
use std::net::IpAddr;

/// The hosts that are reached without an upstream proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoProxy(Vec<Entry>);

/// Hosts, and the port if only one is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    hosts: Hosts,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    All,
    /// A name in lower case, and all names below it.
    Domain(String),
    /// The names below this one.
    Subdomains(String),
    /// The addresses that share the first `prefix` bits with this one.
    Network {
        address: IpAddr,
        prefix: u32,
    },
}

impl NoProxy {
    /// Parses a list whose entries are separated by commas or spaces. Entries that cannot be parsed match nothing.
    pub fn parse(list: &str) -> Self {
        let entries = list.split(|c: char| c == ',' || c.is_whitespace()).filter(|entry| !entry.is_empty());
        Self(entries.filter_map(Entry::parse).collect())
    }

    /// Returns true if `authority` is reached without an upstream proxy.
    pub(crate) fn matches(&self, authority: &Authority) -> bool {
        self.0.iter().any(|entry| entry.matches(authority))
    }
}

impl Entry {
    fn parse(text: &str) -> Option<Self> {
        if let Some((address, prefix)) = text.split_once('/') {
            let address: IpAddr = bare(address).parse().ok()?;
            let prefix = prefix.parse().ok().filter(|prefix| *prefix <= bits(address).1)?;
            return Some(Self { hosts: Hosts::Network { address, prefix }, port: None });
        }
        if let Some(hosts) = Hosts::of_address(text) {
            return Some(Self { hosts, port: None });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().ok()?)),
            None => (text, None),
        };
        let hosts = match Hosts::of_address(host) {
            Some(hosts) => hosts,
            None => Hosts::of_name(host)?,
        };
        Some(Self { hosts, port })
    }

    fn matches(&self, authority: &Authority) -> bool {
        self.port.is_none_or(|port| port == authority.port) && self.hosts.contain(&authority.host)
    }
}

impl Hosts {
    fn of_address(text: &str) -> Option<Self> {
        let address: IpAddr = bare(text).parse().ok()?;
        Some(Self::Network { address, prefix: bits(address).1 })
    }

    fn of_name(text: &str) -> Option<Self> {
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let is_name = |name: &str| !name.is_empty() && !name.contains(['*', ':', '[', ']']);
        match name.strip_prefix("*.").or_else(|| name.strip_prefix('.')) {
            _ if name == "*" => Some(Self::All),
            Some(parent) => is_name(parent).then(|| Self::Subdomains(parent.to_owned())),
            None => is_name(&name).then_some(Self::Domain(name)),
        }
    }

    fn contain(&self, host: &Host) -> bool {
        let address = match host {
            Host::Name(name) => return self.contain_name(name.strip_suffix('.').unwrap_or(name)),
            Host::V4(address) => IpAddr::V4(*address),
            Host::V6(address) => IpAddr::V6(*address).to_canonical(),
        };
        match self {
            Self::All => true,
            Self::Domain(_) | Self::Subdomains(_) => false,
            Self::Network { address: network, prefix } => {
                let ((network, length), (address, other)) = (bits(*network), bits(address));
                // No shift by the whole width: without a prefix, all addresses match.
                let differing = (network ^ address).checked_shr(length.saturating_sub(*prefix)).unwrap_or(0);
                length == other && (*prefix == 0 || differing == 0)
            }
        }
    }

    fn contain_name(&self, name: &str) -> bool {
        let is_below = |parent: &str| name.strip_suffix(parent).is_some_and(|start| start.ends_with('.'));
        match self {
            Self::All => true,
            Self::Domain(domain) => name == domain || is_below(domain),
            Self::Subdomains(parent) => is_below(parent),
            Self::Network { .. } => false,
        }
    }
}

/// Returns an address without brackets.
fn bare(text: &str) -> &str {
    text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text)
}

/// Returns the bits of an address, and their number. An IPv4 address in IPv6 counts as IPv4.
fn bits(address: IpAddr) -> (u128, u32) {
    match address.to_canonical() {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(list: &str, target: &str) -> bool {
        NoProxy::parse(list).matches(&Authority::from_connect_target(target.as_bytes()).unwrap())
    }

    #[test]
    fn names_match_at_a_dot() {
        assert!(matches("example.com", "example.com:443"));
        assert!(matches("Example.COM", "a.b.example.com:443"));
        assert!(matches("example.com", "example.com.:443"));
        assert!(matches("example.com.", "example.com:443"));
        assert!(!matches("example.com", "notexample.com:443"));
        assert!(!matches("example.com", "example.com.net:443"));
        for below in [".example.com", "*.example.com"] {
            assert!(matches(below, "a.example.com:443") && matches(below, "a.b.example.com:443"));
            assert!(!matches(below, "example.com:443") && !matches(below, "aexample.com:443"));
        }
    }

    #[test]
    fn a_port_restricts_an_entry() {
        assert!(matches("example.com:8443", "example.com:8443"));
        assert!(!matches("example.com:8443", "example.com:443"));
        assert!(matches("[2001:db8::1]:443", "[2001:db8::1]:443"));
        assert!(!matches("[2001:db8::1]:443", "[2001:db8::1]:80"));
        assert!(matches("192.0.2.1:80", "192.0.2.1:80") && !matches("192.0.2.1:80", "192.0.2.1:81"));
        assert!(matches("*:8443", "h:8443") && !matches("*:8443", "h:443"));
    }

    #[test]
    fn addresses_match_in_any_spelling() {
        for v6 in ["2001:db8::1", "[2001:db8::1]", "2001:DB8:0::1"] {
            assert!(matches(v6, "[2001:db8::1]:443"), "{v6}");
        }
        assert!(matches("192.0.2.1", "192.0.2.1:1") && matches("192.0.2.1", "[::ffff:192.0.2.1]:1"));
        assert!(matches("::ffff:192.0.2.1", "192.0.2.1:1"));
        assert!(!matches("192.0.2.1", "192.0.2.10:1"));
    }

    #[test]
    fn networks_match_addresses() {
        assert!(matches("10.0.0.0/8", "10.255.0.1:443") && !matches("10.0.0.0/8", "11.0.0.1:443"));
        assert!(matches("10.1.2.3/8", "10.255.0.1:443"));
        assert!(matches("192.0.2.128/25", "192.0.2.129:1") && !matches("192.0.2.128/25", "192.0.2.127:1"));
        assert!(matches("192.0.2.1/32", "192.0.2.1:1") && !matches("192.0.2.1/32", "192.0.2.2:1"));
        assert!(matches("fd00::/8", "[fdab::1]:1") && !matches("fd00::/8", "[fe80::1]:1"));
        assert!(matches("[fd00::]/8", "[fdab::1]:1"));
        assert!(matches("0.0.0.0/0", "192.0.2.1:1") && !matches("0.0.0.0/0", "[fd00::1]:1"));
        assert!(matches("::/0", "[fd00::1]:1") && !matches("::/0", "192.0.2.1:1"));
        assert!(!matches("10.0.0.0/8", "h10.0.0.1.example:443"));
    }

    #[test]
    fn lists_have_commas_and_spaces_and_skip_invalid_entries() {
        assert!(matches("a.com, b.com\tc.com", "b.com:1") && matches("a.com,b.com c.com", "c.com:1"));
        assert!(matches("*", "anything.at.all:1") && matches("x,*", "[::1]:1"));
        for invalid in ["", ",", "10.0.0.0/33", "fd00::/129", "a/8", "h:port", "[::1", "a*b.com", "."] {
            assert_eq!(NoProxy::parse(invalid), NoProxy::default(), "{invalid}");
        }
    }
}
