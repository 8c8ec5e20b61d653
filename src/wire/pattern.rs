//! Host patterns, and the filter of a capture that they form.

use std::fmt;
use std::net::Ipv6Addr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;
use std::sync::Arc;

/// A host pattern: a glob over the whole host name, and an optional port.
///
/// ```text
/// api.example.com         this name, any port
/// *.example.com           every subdomain at any depth, not example.com itself
/// api?.example.com:8443   one more character, this port only
/// [2001:db8::*]:443       IPv6 in brackets, in its canonical form
/// *                       every host
/// ```
///
/// `*` matches any number of characters, dots included, and `?` matches one. The port `*` matches any port, as no port does.
/// Case and a final dot are ignored. A pattern must match the whole name: `*.example.com` does not match
/// `a.example.com.evil.net`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// Lower case, without brackets and final dot. An IPv6 address without wildcards is in canonical form.
    glob: String,
    /// `None` matches any port.
    port: Option<u16>,
}

impl Pattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// Returns the pattern and the cause if `text` is not a pattern, for example a URL, a list, or a port above 65535.
    pub fn parse(text: &str) -> Result<Self, BadPattern> {
        let bad = |cause| BadPattern { pattern: text.to_owned(), cause };
        if text.is_empty() {
            return Err(bad(PatternError::NoHost));
        }
        if let Some(host) = host_of_url(text) {
            return Err(bad(PatternError::Url { host: host.to_owned() }));
        }
        if text.contains(|c: char| c == ',' || c.is_whitespace()) {
            return Err(bad(PatternError::Separator));
        }
        let (host, port) = split_port(text).map_err(bad)?;
        let glob = host.strip_suffix('.').unwrap_or(&host).to_ascii_lowercase();
        if glob.is_empty() {
            return Err(bad(PatternError::NoHost));
        }
        if !glob.is_ascii() {
            return Err(bad(PatternError::NotAscii));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.*?:".contains(c);
        if let Some(invalid) = glob.chars().find(|&c| !allowed(c)) {
            return Err(bad(PatternError::Character(invalid)));
        }
        Ok(Self { glob, port })
    }

    /// Returns true if the pattern matches `host` at `port`. `host` is a name or an address; IPv6 may have brackets.
    pub fn matches(&self, host: &str, port: u16) -> bool {
        if self.port.is_some_and(|wanted| wanted != port) {
            return false;
        }
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        match host.parse::<Ipv6Addr>() {
            Ok(address) => glob_matches(&self.glob, &address.to_string()),
            Err(_) => glob_matches(&self.glob, host.strip_suffix('.').unwrap_or(host)),
        }
    }
}

impl FromStr for Pattern {
    type Err = BadPattern;

    fn from_str(text: &str) -> Result<Self, BadPattern> {
        Self::parse(text)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.glob.contains(':') {
            true => write!(f, "[{}]", self.glob)?,
            false => f.write_str(&self.glob)?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// A pattern that cannot be parsed, and the cause.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BadPattern {
    /// The pattern as given.
    pub pattern: String,
    /// The cause.
    pub cause: PatternError,
}

/// The cause of a [`BadPattern`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PatternError {
    /// The pattern has no host, such as `:443`.
    NoHost,
    /// The pattern is a URL, or has a path, a query, a fragment or user information as in a URL.
    Url {
        /// The host of the URL, and its port if it has one; may be empty.
        host: String,
    },
    /// The pattern contains a space or a comma, as if it were a list.
    Separator,
    /// The port is not between 1 and 65535.
    Port,
    /// An IPv6 address is malformed, or it is without brackets and could be read with or without a port.
    Ipv6,
    /// The host is not ASCII. DNS names in other scripts are written in their `xn--` form.
    NotAscii,
    /// The host contains a character that is neither valid in host names nor a wildcard.
    Character(char),
}

impl std::error::Error for BadPattern {}

impl fmt::Display for BadPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' {}", self.pattern.escape_debug(), self.cause)
    }
}

impl std::error::Error for PatternError {}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHost => f.write_str("has no host: write a name such as *.example.com"),
            Self::Url { host } if host.is_empty() => {
                f.write_str("is a URL: write the host only, such as api.example.com")
            }
            Self::Url { host } => write!(f, "is a URL: write {}", host.escape_debug()),
            Self::Separator => f.write_str("contains a space or comma"),
            Self::Port => f.write_str("has an invalid port: expected 1 to 65535"),
            Self::Ipv6 => f.write_str("is not a valid host: write IPv6 as [::1] or [::1]:443"),
            Self::NotAscii => f.write_str("is not ASCII: write the name as in DNS (xn--…), or use * for that part"),
            Self::Character(invalid) => write!(
                f,
                "contains '{}', which is invalid in host names; wildcards are * (any characters) and ? (one character)",
                invalid.escape_debug()
            ),
        }
    }
}

/// The host patterns of a capture.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostFilter {
    /// Hosts to capture; empty means all.
    pub include: Vec<Pattern>,
    /// Hosts not to capture; takes precedence over `include`.
    pub exclude: Vec<Pattern>,
    /// Returns false for further hosts not to capture.
    pub function: Option<HostFunction>,
}

/// A function that selects hosts. It gets each known name of a host, without brackets and in lower case, and its port. Returns false
/// for a host that is not to be captured. It runs on the threads of connections and must not block. A panic in it is caught and
/// counts as false.
#[derive(Clone)]
pub struct HostFunction(Arc<Select>);

type Select = dyn Fn(&str, u16) -> bool + Send + Sync;

impl HostFunction {
    /// Selects the hosts for which `function` returns true.
    pub fn new(function: impl Fn(&str, u16) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(function))
    }

    fn selects(&self, host: &str, port: u16) -> bool {
        let name = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        catch_unwind(AssertUnwindSafe(|| (self.0)(&name, port))).unwrap_or(false)
    }
}

impl fmt::Debug for HostFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HostFunction")
    }
}

impl HostFilter {
    /// Returns true if a host is to be captured.
    ///
    /// `names` are all known names of the host: the CONNECT target, the SNI, the Host field. One match is enough to include
    /// the host, and one to exclude it.
    pub(crate) fn includes<'a>(&self, names: impl IntoIterator<Item = (&'a str, u16)>) -> bool {
        let mut included = self.include.is_empty();
        for (host, port) in names {
            if self.excludes(host, port) {
                return false;
            }
            included = included || self.include.iter().any(|pattern| pattern.matches(host, port));
        }
        included
    }

    /// Returns true if an excluded pattern matches `host` at `port`, or the function does not select it.
    pub(crate) fn excludes(&self, host: &str, port: u16) -> bool {
        self.exclude.iter().any(|pattern| pattern.matches(host, port))
            || self.function.as_ref().is_some_and(|function| !function.selects(host, port))
    }
}

/// Returns the host and port in `text` if it is a URL, or has a path, a query, a fragment or user information.
fn host_of_url(text: &str) -> Option<&str> {
    let after_scheme = text.split_once("://").map(|(_, rest)| rest);
    let rest = after_scheme.unwrap_or(text);
    // `?` is a wildcard, but after a scheme it begins a query.
    let end = if after_scheme.is_some() { rest.find(['/', '?', '#']) } else { rest.find(['/', '#']) };
    let authority = end.and_then(|end| rest.get(..end)).unwrap_or(rest);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    (host.len() != text.len()).then_some(host)
}

/// Splits a pattern into its host without brackets, and its port.
fn split_port(text: &str) -> Result<(String, Option<u16>), PatternError> {
    if let Some(rest) = text.strip_prefix('[') {
        let (inner, after) = rest.split_once(']').ok_or(PatternError::Ipv6)?;
        let port = match after.strip_prefix(':') {
            Some(digits) => parse_port(digits)?,
            None if after.is_empty() => None,
            None => return Err(PatternError::Ipv6),
        };
        return match inner.parse::<Ipv6Addr>() {
            Ok(address) => Ok((address.to_string(), port)),
            Err(_) if inner.contains(['*', '?']) => Ok((inner.to_owned(), port)),
            Err(_) => Err(PatternError::Ipv6),
        };
    }
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        return Ok((address.to_string(), None));
    }
    match text.split_once(':') {
        // Without brackets it is ambiguous where the address ends and the port begins.
        Some((_, after)) if after.contains(':') => Err(PatternError::Ipv6),
        Some((host, digits)) => Ok((host.to_owned(), parse_port(digits)?)),
        None => Ok((text.to_owned(), None)),
    }
}

/// Parses a port; `*` is any port.
fn parse_port(digits: &str) -> Result<Option<u16>, PatternError> {
    if digits == "*" {
        return Ok(None);
    }
    let number = digits.parse().ok().filter(|&port: &u16| port != 0 && !digits.starts_with('+'));
    number.map(Some).ok_or(PatternError::Port)
}

/// Returns true if `glob`, which is in lower case, matches the whole of `name`, ignoring case.
///
/// Only the last `*` is extended after a mismatch: once a later `*` is reached, extending an earlier one cannot help.
/// The work is therefore bounded by the product of the lengths.
pub(crate) fn glob_matches(glob: &str, name: &str) -> bool {
    let (mut glob, mut name) = (glob.as_bytes(), name.as_bytes());
    // The rest of the glob after the last `*`, and the rest of the name on which it was tried.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        match (glob, name) {
            ([], []) => return true,
            ([b'*', rest @ ..], _) => {
                glob = rest;
                retry = Some((rest, name));
            }
            ([b'?', g @ ..], [_, n @ ..]) => (glob, name) = (g, n),
            ([wanted, g @ ..], [byte, n @ ..]) if *wanted == byte.to_ascii_lowercase() => (glob, name) = (g, n),
            _ => match retry {
                Some((after, [_, shorter @ ..])) => {
                    (glob, name) = (after, shorter);
                    retry = Some((after, shorter));
                }
                _ => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, host: &str, port: u16) -> bool {
        Pattern::parse(pattern).unwrap().matches(host, port)
    }

    #[test]
    fn matches_the_whole_name() {
        assert!(matches("*.example.com", "a.example.com", 443));
        assert!(matches("*.example.com", "a.b.example.com", 443));
        assert!(!matches("*.example.com", "example.com", 443));
        assert!(!matches("*.example.com", "a.example.com.evil.net", 443));
        assert!(!matches("example.com", "notexample.com", 443));
        assert!(!matches("example.com", "example.com.evil.net", 443));
        assert!(matches("EXAMPLE.com", "Example.COM", 443));
        assert!(matches("*", "anything.at.all", 1) && matches("*", "[::1]", 1));
        assert!(matches("api?.example.com", "api1.example.com", 443));
        assert!(!matches("api?.example.com", "api.example.com", 443));
        assert!(matches("*api*.com", "my-api-2.x.com", 443));
        assert!(matches("a*b*c", "aXbXbc", 1) && !matches("a*b*c", "aXcXb", 1));
        assert!(matches("10.0.*", "10.0.3.4", 80));
        assert!(matches("my_host", "my_host", 80));
    }

    #[test]
    fn ignores_a_final_dot() {
        assert!(matches("example.com.", "example.com", 443));
        assert!(matches("*.example.com", "a.example.com.", 443));
    }

    #[test]
    fn matches_ports() {
        assert!(matches("example.com:8443", "example.com", 8443));
        assert!(!matches("example.com:8443", "example.com", 443));
        assert!(matches("example.com:*", "example.com", 1));
    }

    #[test]
    fn matches_ipv6_in_any_spelling() {
        for pattern in ["[::1]:443", "[0:0::1]:443", "[::*]:443", "::1", "[::1]"] {
            assert!(matches(pattern, "[::1]", 443), "{pattern}");
            assert!(matches(pattern, "::1", 443), "{pattern}");
            assert!(matches(pattern, "0:0:0:0:0:0:0:1", 443), "{pattern}");
            assert!(!matches(pattern, "[2001:db8::1]", 443), "{pattern}");
        }
        assert!(matches("[2001:DB8::*]", "[2001:db8::5]", 443));
        assert!(!matches("[::1]:443", "[::1]", 80));
    }

    #[test]
    fn display_can_be_parsed_again() {
        for text in ["*.example.com", "a?.example.com:8443", "[::1]:443", "[2001:db8::*]", "*"] {
            let pattern: Pattern = text.parse().unwrap();
            assert_eq!(pattern.to_string(), text);
            assert_eq!(Pattern::parse(&pattern.to_string()).unwrap(), pattern);
        }
    }

    #[test]
    fn displays_the_cause_and_a_correct_form() {
        let error = |text: &str| Pattern::parse(text).unwrap_err().to_string();
        assert_eq!(error("https://api.example.com/x"), "'https://api.example.com/x' is a URL: write api.example.com");
        assert!(error("https://u:p@h.com:8443?q").ends_with("write h.com:8443"));
        assert!(error("h.com/path").ends_with("write h.com"));
        assert!(error("me@h.com").ends_with("write h.com"));
        assert!(error("https://").ends_with("such as api.example.com"));
        assert_eq!(error("a.com,b.com"), "'a.com,b.com' contains a space or comma");
        assert_eq!(error("a b"), "'a b' contains a space or comma");
        assert!(error("a.com:0").ends_with("expected 1 to 65535"));
        assert!(error("a.com:+1").ends_with("expected 1 to 65535"));
        assert!(error("a.com:http").ends_with("expected 1 to 65535"));
        assert!(error("[::1").ends_with("[::1]:443"));
        assert!(error("[a.com]").ends_with("[::1]:443"));
        assert!(error("2001:db8::*").ends_with("[::1]:443"));
        assert!(error("").contains("has no host"));
        assert!(error(".").contains("has no host"));
        assert!(error(":443").contains("has no host"));
        assert!(error("bücher.de").contains("xn--"));
        assert!(error(r"api\.example\.com").contains(r"contains '\\'"));
        assert!(error("(a|b).com").contains("contains '('"));
        assert!(!error("a\u{1b}[2J/").contains('\u{1b}'), "control characters are escaped");
    }

    #[test]
    fn many_stars_are_not_exponential() {
        let pattern = format!("{}b", "*a".repeat(200));
        assert!(!matches(&pattern, &"a".repeat(20_000), 1));
    }

    #[test]
    fn any_name_includes_or_excludes() {
        let patterns = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<Pattern>>();
        let filter = HostFilter {
            include: patterns(&["*.example.com"]),
            exclude: patterns(&["secret.example.com"]),
            ..HostFilter::default()
        };
        assert!(filter.includes([("10.0.0.1", 443), ("a.example.com", 443)]));
        assert!(!filter.includes([("10.0.0.1", 443), ("other.net", 443)]));
        assert!(!filter.includes([("a.example.com", 443), ("secret.example.com", 443)]));
        assert!(!filter.includes([("secret.example.com", 443), ("a.example.com", 443)]));
        assert!(!filter.includes([]));
        let all = HostFilter { exclude: patterns(&["*:22"]), ..HostFilter::default() };
        assert!(all.includes([("a", 443)]) && !all.includes([("a", 22)]) && all.includes([]));
    }
}
