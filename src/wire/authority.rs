//! Whom a client wants to reach: the host and port of a CONNECT target, an absolute URI or a Host field.
//!
//! The grammar is RFC 3986 section 3.2 without user information, narrowed to what can be dialled: a name of letters,
//! digits, `-`, `_` and `.`, an IPv4 address, or an IPv6 address in brackets. What is parsed here is written elsewhere
//! only through [`Display`](fmt::Display), so no byte that a client chose to smuggle reaches another protocol's line.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Authority {
    pub host: Host,
    pub port: u16,
}

/// A name or an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Host {
    /// In lower case, with the final dot if one was sent (it makes a name absolute for the resolver).
    Name(String),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

impl Authority {
    /// The target of a CONNECT: authority-form, the port required (RFC 9110 section 9.3.6).
    ///
    /// IPv6 without brackets is no authority, but some clients send it: the last group is the port then.
    pub(crate) fn for_connect(target: &[u8]) -> Result<Self, BadAuthority> {
        let (host, port) = if target.first() != Some(&b'[') && colons(target) > 1 {
            let (address, port) = split_last_colon(target).ok_or(BadAuthority::Address)?;
            (v6(address)?, port)
        } else {
            let (host, port) = host_and_port(target)?;
            (host, port.ok_or(BadAuthority::NoPort)?)
        };
        Ok(Self { host, port: number(port)? })
    }

    /// The value of a Host field, or the authority of a URI: the port may be missing or empty, and is `default_port` then
    /// (RFC 9110 sections 4.2.1 and 7.2).
    pub(crate) fn of_host_header(value: &[u8], default_port: u16) -> Result<Self, BadAuthority> {
        let (host, port) = host_and_port(value)?;
        let port = match port {
            None | Some(b"") => default_port,
            Some(digits) => number(digits)?,
        };
        Ok(Self { host, port })
    }

    /// As a Host field says it: without the port if that is `default_port`.
    pub(crate) fn to_host_header(&self, default_port: u16) -> String {
        if self.port == default_port { self.host.to_string() } else { self.to_string() }
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

/// Why something is no authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadAuthority {
    /// There is no host.
    Empty,
    /// A CONNECT target without a port.
    NoPort,
    /// The port is no number from 1 to 65535.
    Port,
    /// The name has a byte that no host name has.
    Byte(u8),
    /// The name has an empty label: `a..b`.
    Label,
    /// The name is longer than [`MAX_NAME`].
    TooLong,
    /// What looks like an IPv6 address is none. Zones are refused: they mean something on the sender's machine alone.
    Address,
}

impl std::error::Error for BadAuthority {}

impl fmt::Display for BadAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the host is empty"),
            Self::NoPort => f.write_str("the port is missing"),
            Self::Port => f.write_str("the port is not a number from 1 to 65535"),
            Self::Byte(byte) => write!(f, "the host has a byte that no host name has (0x{byte:02x})"),
            Self::Label => f.write_str("the host has an empty part between its dots"),
            Self::TooLong => write!(f, "the host is longer than {MAX_NAME} bytes"),
            Self::Address => f.write_str("the IPv6 address is malformed"),
        }
    }
}

/// `host [ ":" port ]`, the port not judged yet.
fn host_and_port(authority: &[u8]) -> Result<(Host, Option<&[u8]>), BadAuthority> {
    if let Some(rest) = authority.strip_prefix(b"[") {
        let close = rest.iter().position(|&b| b == b']').ok_or(BadAuthority::Address)?;
        let (address, rest) = rest.split_at_checked(close).ok_or(BadAuthority::Address)?;
        let host = v6(address)?;
        return match rest {
            b"]" => Ok((host, None)),
            [b']', b':', port @ ..] => Ok((host, Some(port))),
            _ => Err(BadAuthority::Address),
        };
    }
    match split_last_colon(authority) {
        // Any other colon is left in the name and refused there.
        Some((host, port)) => Ok((name_or_v4(host)?, Some(port))),
        None => Ok((name_or_v4(authority)?, None)),
    }
}

fn name_or_v4(host: &[u8]) -> Result<Host, BadAuthority> {
    if host.is_empty() {
        return Err(BadAuthority::Empty);
    }
    if host.len() > MAX_NAME {
        return Err(BadAuthority::TooLong);
    }
    let named = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    if let Some(&odd) = host.iter().find(|b| !named(b)) {
        return Err(BadAuthority::Byte(odd));
    }
    if host.strip_suffix(b".").unwrap_or(host).split(|&b| b == b'.').any(<[u8]>::is_empty) {
        return Err(BadAuthority::Label);
    }
    let name = String::from_utf8_lossy(host).to_ascii_lowercase();
    Ok(name.parse().map(Host::V4).unwrap_or(Host::Name(name)))
}

fn v6(address: &[u8]) -> Result<Host, BadAuthority> {
    let address = std::str::from_utf8(address).map_err(|_| BadAuthority::Address)?;
    address.parse().map(Host::V6).map_err(|_| BadAuthority::Address)
}

fn number(digits: &[u8]) -> Result<u16, BadAuthority> {
    // `parse` alone would take a sign.
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(BadAuthority::Port);
    }
    let digits = std::str::from_utf8(digits).map_err(|_| BadAuthority::Port)?;
    digits.parse().ok().filter(|&port| port != 0).ok_or(BadAuthority::Port)
}

fn split_last_colon(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = bytes.iter().rposition(|&b| b == b':')?;
    let (before, after) = bytes.split_at_checked(colon)?;
    Some((before, after.strip_prefix(b":")?))
}

fn colons(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&b| b == b':').count()
}

/// The longest name the DNS can carry takes 255 bytes (RFC 1035 section 2.3.4).
const MAX_NAME: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connect_targets() {
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
            assert_eq!(Authority::for_connect(target.as_bytes()).unwrap().to_string(), shown);
        }
        assert_eq!(Authority::for_connect(b"1.2.3.4:5").unwrap().host, Host::V4(Ipv4Addr::new(1, 2, 3, 4)));
        assert_eq!(Authority::for_connect(b"::1:443").unwrap().host, Host::V6(Ipv6Addr::LOCALHOST));
        assert_eq!(Authority::for_connect(b"1.2.3.4.:5").unwrap().host, Host::Name("1.2.3.4.".into()));
    }

    #[test]
    fn connect_targets_refused() {
        use BadAuthority::*;
        let cases: &[(&[u8], BadAuthority)] = &[
            (b"", Empty),
            (b":443", Empty),
            (b"example.com", NoPort),
            (b"[::1]", NoPort),
            (b"example.com:", Port),
            (b"example.com:0", Port),
            (b"example.com:65536", Port),
            (b"example.com:+443", Port),
            (b"example.com: 443", Port),
            (b"example.com:443\r\nX: y", Address),
            (b"example.com\r\n:443", Byte(b'\r')),
            (b"example.com\0:443", Byte(0)),
            (b"exam ple.com:443", Byte(b' ')),
            (b"user@example.com:443", Byte(b'@')),
            (b"user:pass@example.com:443", Address),
            (b"example.com/x:443", Byte(b'/')),
            (b"exa%6dple.com:443", Byte(b'%')),
            (b"b\xc3\xbccher.de:443", Byte(0xc3)),
            (b"a..b:443", Label),
            (b".:443", Label),
            (b".a:443", Label),
            (b"a..:443", Label),
            (b"[fe80::1%25eth0]:443", Address),
            (b"fe80::1%eth0:443", Address),
            (b"[v1.x]:443", Address),
            (b"[::1]x:443", Address),
            (b"[::1:443", Address),
            (b"[1.2.3.4]:443", Address),
            (b"::443", Address),
            (b"http://example.com:443", Address),
        ];
        for (target, why) in cases {
            assert_eq!(Authority::for_connect(target), Err(*why), "{}", target.escape_ascii());
        }
        let name = |length| [&vec![b'a'; length][..], b":1"].concat();
        assert!(Authority::for_connect(&name(255)).is_ok());
        assert_eq!(Authority::for_connect(&name(256)), Err(TooLong));
    }

    #[test]
    fn host_fields() {
        let shown = |value: &str| Authority::of_host_header(value.as_bytes(), 80).map(|a| a.to_string());
        assert_eq!(shown("Example.com").unwrap(), "example.com:80");
        assert_eq!(shown("example.com:").unwrap(), "example.com:80");
        assert_eq!(shown("example.com:8080").unwrap(), "example.com:8080");
        assert_eq!(shown("[::1]").unwrap(), "[::1]:80");
        assert_eq!(shown("[::1]:81").unwrap(), "[::1]:81");
        assert_eq!(shown("::1"), Err(BadAuthority::Byte(b':')));
        assert_eq!(shown("a:1:2"), Err(BadAuthority::Byte(b':')));
        assert_eq!(shown(""), Err(BadAuthority::Empty));
        assert_eq!(shown("a, b"), Err(BadAuthority::Byte(b',')));
    }

    #[test]
    fn a_host_field_leaves_the_default_port_out() {
        let authority = Authority::for_connect(b"[::1]:443").unwrap();
        assert_eq!(authority.to_host_header(443), "[::1]");
        assert_eq!(authority.to_host_header(80), "[::1]:443");
    }
}
