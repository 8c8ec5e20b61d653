//! The authority of a request: the host and port in a CONNECT target, an absolute URI, a Host field or a SOCKS request.
//!
//! The grammar is RFC 3986 section 3.2 without user information, restricted to hosts that can be resolved: a name of
//! letters, digits, `-`, `_` and `.`, an IPv4 address, or an IPv6 address in brackets. Other code writes an authority only
//! through [`Display`](fmt::Display). A client therefore cannot inject bytes into another protocol.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Authority {
    pub host: Host,
    pub port: u16,
}

/// A host name or an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Host {
    /// Lower case, with the final dot if the client sent one; it makes a name absolute for the resolver.
    Name(String),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

impl Authority {
    /// Parses the target of a CONNECT: authority-form with a port (RFC 9110 section 9.3.6).
    ///
    /// IPv6 without brackets is not an authority, but some clients send it. The last group is then taken as the port.
    pub(crate) fn from_connect_target(target: &[u8]) -> Result<Self, BadAuthority> {
        let (host, port) = if target.first() != Some(&b'[') && count_colons(target) > 1 {
            let (address, port) = split_last_colon(target).ok_or(BadAuthority::InvalidIpv6)?;
            (parse_v6(address)?, port)
        } else {
            let (host, port) = parse_host_and_port(target)?;
            (host, port.ok_or(BadAuthority::MissingPort)?)
        };
        Ok(Self { host, port: parse_port(port)? })
    }

    /// Parses the value of a Host field or the authority of a URI. A missing or empty port means `default_port` (RFC 9110
    /// sections 4.2.1 and 7.2).
    pub(crate) fn from_host_header(value: &[u8], default_port: u16) -> Result<Self, BadAuthority> {
        let (host, port) = parse_host_and_port(value)?;
        let port = match port {
            None | Some(b"") => default_port,
            Some(digits) => parse_port(digits)?,
        };
        Ok(Self { host, port })
    }

    /// Parses the host of a SOCKS request: a name or an address, IPv6 with or without brackets.
    pub(crate) fn from_host_and_port(host: &[u8], port: u16) -> Result<Self, BadAuthority> {
        if port == 0 {
            return Err(BadAuthority::InvalidPort);
        }
        let host = match host.strip_prefix(b"[") {
            Some(rest) => parse_v6(rest.strip_suffix(b"]").ok_or(BadAuthority::InvalidIpv6)?)?,
            None if host.contains(&b':') => parse_v6(host)?,
            None => parse_name_or_v4(host)?,
        };
        Ok(Self { host, port })
    }

    /// Returns the authority of an address. An IPv4-mapped IPv6 address means the IPv4 address.
    pub(crate) fn from_address(ip: std::net::IpAddr, port: u16) -> Self {
        let host = match ip.to_canonical() {
            std::net::IpAddr::V4(ip) => Host::V4(ip),
            std::net::IpAddr::V6(ip) => Host::V6(ip),
        };
        Self { host, port }
    }

    /// Formats the value of a Host field: without the port if it is `default_port`.
    pub(crate) fn to_host_header(&self, default_port: u16) -> String {
        if self.port == default_port { self.host.to_string() } else { self.to_string() }
    }
}

impl Host {
    /// Returns true if the host is this machine by definition: a loopback address, the unspecified address, or `localhost`
    /// and the names below it, even if the resolver does not know them (RFC 6761 section 6.3).
    pub(crate) fn is_this_machine(&self) -> bool {
        match self {
            Self::Name(name) => {
                let name = name.strip_suffix('.').unwrap_or(name);
                name == "localhost" || name.ends_with(".localhost")
            }
            Self::V4(address) => address.is_loopback() || address.is_unspecified(),
            Self::V6(address) => match address.to_ipv4_mapped() {
                Some(address) => Self::V4(address).is_this_machine(),
                None => address.is_loopback() || address.is_unspecified(),
            },
        }
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::V4(address) => address.fmt(f),
            Self::V6(address) => write!(f, "[{address}]"),
        }
    }
}

/// The cause when an authority cannot be parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadAuthority {
    /// The host is empty.
    EmptyHost,
    /// The port of a CONNECT target is missing.
    MissingPort,
    /// The port is not between 1 and 65535.
    InvalidPort,
    /// The name contains a byte that is invalid in host names.
    InvalidByte(u8),
    /// The name has an empty label, such as `a..b`.
    EmptyLabel,
    /// The name is longer than [`MAX_HOST_BYTES`].
    HostTooLong,
    /// The IPv6 address is malformed or has a zone. A zone is meaningful only on the sender's machine.
    InvalidIpv6,
}

impl std::error::Error for BadAuthority {}

impl fmt::Display for BadAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyHost => f.write_str("the host is empty"),
            Self::MissingPort => f.write_str("the port is missing"),
            Self::InvalidPort => f.write_str("the port is not between 1 and 65535"),
            Self::InvalidByte(byte) => write!(f, "the host contains an invalid byte (0x{byte:02x})"),
            Self::EmptyLabel => f.write_str("the host has an empty label"),
            Self::HostTooLong => write!(f, "the host is longer than {MAX_HOST_BYTES} bytes"),
            Self::InvalidIpv6 => f.write_str("the IPv6 address is malformed"),
        }
    }
}

/// Splits `host [ ":" port ]` and parses the host; the port is not validated.
fn parse_host_and_port(authority: &[u8]) -> Result<(Host, Option<&[u8]>), BadAuthority> {
    if let Some(rest) = authority.strip_prefix(b"[") {
        let close = rest.iter().position(|&b| b == b']').ok_or(BadAuthority::InvalidIpv6)?;
        let (address, rest) = rest.split_at_checked(close).ok_or(BadAuthority::InvalidIpv6)?;
        let host = parse_v6(address)?;
        return match rest {
            b"]" => Ok((host, None)),
            [b']', b':', port @ ..] => Ok((host, Some(port))),
            _ => Err(BadAuthority::InvalidIpv6),
        };
    }
    match split_last_colon(authority) {
        // Any other colon stays in the name, which rejects it.
        Some((host, port)) => Ok((parse_name_or_v4(host)?, Some(port))),
        None => Ok((parse_name_or_v4(authority)?, None)),
    }
}

fn parse_name_or_v4(host: &[u8]) -> Result<Host, BadAuthority> {
    if host.is_empty() {
        return Err(BadAuthority::EmptyHost);
    }
    if host.len() > MAX_HOST_BYTES {
        return Err(BadAuthority::HostTooLong);
    }
    let is_valid = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    if let Some(&invalid) = host.iter().find(|b| !is_valid(b)) {
        return Err(BadAuthority::InvalidByte(invalid));
    }
    if host.strip_suffix(b".").unwrap_or(host).split(|&b| b == b'.').any(<[u8]>::is_empty) {
        return Err(BadAuthority::EmptyLabel);
    }
    let name = String::from_utf8_lossy(host).to_ascii_lowercase();
    Ok(name.parse().map(Host::V4).unwrap_or(Host::Name(name)))
}

fn parse_v6(address: &[u8]) -> Result<Host, BadAuthority> {
    let address = std::str::from_utf8(address).map_err(|_| BadAuthority::InvalidIpv6)?;
    address.parse().map(Host::V6).map_err(|_| BadAuthority::InvalidIpv6)
}

fn parse_port(digits: &[u8]) -> Result<u16, BadAuthority> {
    // `parse` alone would accept a sign.
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(BadAuthority::InvalidPort);
    }
    let digits = std::str::from_utf8(digits).map_err(|_| BadAuthority::InvalidPort)?;
    digits.parse().ok().filter(|&port| port != 0).ok_or(BadAuthority::InvalidPort)
}

fn split_last_colon(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = bytes.iter().rposition(|&b| b == b':')?;
    let (before, after) = bytes.split_at_checked(colon)?;
    Some((before, after.strip_prefix(b":")?))
}

fn count_colons(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&b| b == b':').count()
}

/// The longest name in DNS on the wire (RFC 1035 section 2.3.4). As text, names have at most 254 bytes.
const MAX_HOST_BYTES: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_connect_targets() {
        let cases = [
            ("example.com:443", "example.com:443"),
            ("EXAMPLE.com:8443", "example.com:8443"),
            ("my_host.local:1", "my_host.local:1"),
            ("example.com.:443", "example.com.:443"),
            ("127.0.0.1:65535", "127.0.0.1:65535"),
            ("[::1]:443", "[::1]:443"),
            ("[2001:DB8:0::1]:443", "[2001:db8::1]:443"),
            ("::1:443", "[::1]:443"),
            ("2001:db8::1:443", "[2001:db8::1]:443"),
            ("::ffff:1.2.3.4:443", "[::ffff:1.2.3.4]:443"),
        ];
        for (target, shown) in cases {
            assert_eq!(Authority::from_connect_target(target.as_bytes()).unwrap().to_string(), shown);
        }
        assert_eq!(Authority::from_connect_target(b"1.2.3.4:5").unwrap().host, Host::V4(Ipv4Addr::new(1, 2, 3, 4)));
        assert_eq!(Authority::from_connect_target(b"::1:443").unwrap().host, Host::V6(Ipv6Addr::LOCALHOST));
        assert_eq!(Authority::from_connect_target(b"1.2.3.4.:5").unwrap().host, Host::Name("1.2.3.4.".into()));
    }

    #[test]
    fn rejects_malformed_connect_targets() {
        use BadAuthority::*;
        let cases: &[(&[u8], BadAuthority)] = &[
            (b"", EmptyHost),
            (b":443", EmptyHost),
            (b"example.com", MissingPort),
            (b"[::1]", MissingPort),
            (b"example.com:", InvalidPort),
            (b"example.com:0", InvalidPort),
            (b"example.com:65536", InvalidPort),
            (b"example.com:+443", InvalidPort),
            (b"example.com: 443", InvalidPort),
            (b"example.com:443\r\nX: y", InvalidIpv6),
            (b"example.com\r\n:443", InvalidByte(b'\r')),
            (b"example.com\0:443", InvalidByte(0)),
            (b"exam ple.com:443", InvalidByte(b' ')),
            (b"user@example.com:443", InvalidByte(b'@')),
            (b"user:pass@example.com:443", InvalidIpv6),
            (b"example.com/x:443", InvalidByte(b'/')),
            (b"exa%6dple.com:443", InvalidByte(b'%')),
            (b"b\xc3\xbccher.de:443", InvalidByte(0xc3)),
            (b"a..b:443", EmptyLabel),
            (b".:443", EmptyLabel),
            (b".a:443", EmptyLabel),
            (b"a..:443", EmptyLabel),
            (b"[fe80::1%25eth0]:443", InvalidIpv6),
            (b"fe80::1%eth0:443", InvalidIpv6),
            (b"[v1.x]:443", InvalidIpv6),
            (b"[::1]x:443", InvalidIpv6),
            (b"[::1:443", InvalidIpv6),
            (b"[1.2.3.4]:443", InvalidIpv6),
            (b"::443", InvalidIpv6),
            (b"http://example.com:443", InvalidIpv6),
        ];
        for (target, cause) in cases {
            assert_eq!(Authority::from_connect_target(target), Err(*cause), "{}", target.escape_ascii());
        }
        let name = |length| [&vec![b'a'; length][..], b":1"].concat();
        assert!(Authority::from_connect_target(&name(255)).is_ok());
        assert_eq!(Authority::from_connect_target(&name(256)), Err(HostTooLong));
    }

    #[test]
    fn parses_host_fields() {
        let shown = |value: &str| Authority::from_host_header(value.as_bytes(), 80).map(|a| a.to_string());
        assert_eq!(shown("Example.com").unwrap(), "example.com:80");
        assert_eq!(shown("example.com:").unwrap(), "example.com:80");
        assert_eq!(shown("example.com:8080").unwrap(), "example.com:8080");
        assert_eq!(shown("[::1]").unwrap(), "[::1]:80");
        assert_eq!(shown("[::1]:81").unwrap(), "[::1]:81");
        assert_eq!(shown("::1"), Err(BadAuthority::InvalidByte(b':')));
        assert_eq!(shown("a:1:2"), Err(BadAuthority::InvalidByte(b':')));
        assert_eq!(shown(""), Err(BadAuthority::EmptyHost));
        assert_eq!(shown("a, b"), Err(BadAuthority::InvalidByte(b',')));
    }

    #[test]
    fn formats_a_host_field_without_the_default_port() {
        let authority = Authority::from_connect_target(b"[::1]:443").unwrap();
        assert_eq!(authority.to_host_header(443), "[::1]");
        assert_eq!(authority.to_host_header(80), "[::1]:443");
    }
}
