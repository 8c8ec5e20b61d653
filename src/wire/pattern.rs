//! Which hosts are meant: a glob over the whole name, and an optional port.
//!
//! ```text
//! api.example.com         that name, any port
//! *.example.com           every name below it, however deep, not itself
//! api?.example.com:8443   one more character, one port
//! [2001:db8::*]:443       IPv6 in brackets, in its short form
//! ```
//!
//! Case means nothing, nor does the final dot of a name. A pattern is matched against the whole name, so that
//! `*.example.com` cannot be had by `a.example.com.evil.net`.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// `*.example.com`, `api.example.com:8443`, `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// In lower case; without brackets, without a final dot; an IPv6 address without wildcards in canonical form.
    glob: String,
    /// `None` is any.
    port: Option<u16>,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// Says what is wrong with it and what to write.
    pub fn parse(text: &str) -> Result<Self, BadPattern> {
        let bad = |problem| BadPattern { text: text.to_owned(), problem };
        if text.is_empty() {
            return Err(bad(Problem::Empty));
        }
        if let Some(host) = host_of_url(text) {
            return Err(bad(Problem::Url { host: host.to_owned() }));
        }
        if text.contains(|c: char| c == ',' || c.is_whitespace()) {
            return Err(bad(Problem::Several));
        }
        let (host, port) = split(text).map_err(bad)?;
        let glob = host.strip_suffix('.').unwrap_or(&host).to_ascii_lowercase();
        if glob.is_empty() {
            return Err(bad(Problem::Empty));
        }
        if !glob.is_ascii() {
            return Err(bad(Problem::NotAscii));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.*?:".contains(c);
        if let Some(odd) = glob.chars().find(|&c| !allowed(c)) {
            return Err(bad(Problem::Character(odd)));
        }
        Ok(Self { glob, port })
    }

    /// Whether the host `host` (a name or an address, IPv6 with or without brackets) at `port` is meant.
    pub fn matches(&self, host: &str, port: u16) -> bool {
        if self.port.is_some_and(|wanted| wanted != port) {
            return false;
        }
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        match host.parse::<Ipv6Addr>() {
            Ok(address) => glob(&self.glob, &address.to_string()),
            Err(_) => glob(&self.glob, host.strip_suffix('.').unwrap_or(host)),
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

/// What is wrong with a pattern, and what to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadPattern {
    text: String,
    problem: Problem,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Problem {
    Empty,
    Url { host: String },
    Several,
    Port,
    Brackets,
    NotAscii,
    Character(char),
}

impl std::error::Error for BadPattern {}

impl fmt::Display for BadPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.text.escape_debug();
        match &self.problem {
            Problem::Empty => write!(f, "pattern '{text}' names no host: write a name such as *.example.com"),
            Problem::Url { host } if host.is_empty() => {
                write!(f, "pattern '{text}' is a URL: write the host alone, such as api.example.com")
            }
            Problem::Url { host } => write!(f, "pattern '{text}' is a URL: write {}", host.escape_debug()),
            Problem::Several => {
                write!(f, "pattern '{text}' has a blank or a comma: give each pattern an option of its own")
            }
            Problem::Port => write!(f, "pattern '{text}' has a port that is no number from 1 to 65535"),
            Problem::Brackets => write!(f, "pattern '{text}' is no host: write IPv6 as [::1] or [::1]:443"),
            Problem::NotAscii => {
                write!(f, "pattern '{text}' is not ASCII: write the name as DNS has it, xn--…, or * for that part")
            }
            Problem::Character(odd) => write!(
                f,
                "pattern '{text}' has '{}', which no host name has: only * (any run) and ? (one character) are special",
                odd.escape_debug()
            ),
        }
    }
}

/// The patterns of a capture together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    /// Empty means all.
    pub include: Vec<Pattern>,
    /// Stronger than `include`.
    pub exclude: Vec<Pattern>,
}

impl Filter {
    /// Whether a host is wanted, of which `names` are all that is known: the CONNECT target, the SNI, the Host field.
    ///
    /// Any one of them suffices to include it, and to exclude it.
    pub(crate) fn wants<'a>(&self, names: impl IntoIterator<Item = (&'a str, u16)>) -> bool {
        let mut included = self.include.is_empty();
        for (host, port) in names {
            if self.exclude.iter().any(|pattern| pattern.matches(host, port)) {
                return false;
            }
            included = included || self.include.iter().any(|pattern| pattern.matches(host, port));
        }
        included
    }
}

/// The host (and port) in what is a URL, or has a path, query, fragment or user as one.
fn host_of_url(text: &str) -> Option<&str> {
    let after_scheme = text.split_once("://").map(|(_, rest)| rest);
    let rest = after_scheme.unwrap_or(text);
    // A lone `?` is a wildcard; with a scheme it begins a query.
    let end = if after_scheme.is_some() { rest.find(['/', '?', '#']) } else { rest.find(['/', '#']) };
    let authority = end.and_then(|end| rest.get(..end)).unwrap_or(rest);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    (host.len() != text.len()).then_some(host)
}

/// The host without its brackets, and the port.
fn split(text: &str) -> Result<(String, Option<u16>), Problem> {
    if let Some(rest) = text.strip_prefix('[') {
        let (inner, after) = rest.split_once(']').ok_or(Problem::Brackets)?;
        let port = match after.strip_prefix(':') {
            Some(digits) => port(digits)?,
            None if after.is_empty() => None,
            None => return Err(Problem::Brackets),
        };
        return match inner.parse::<Ipv6Addr>() {
            Ok(address) => Ok((address.to_string(), port)),
            Err(_) if inner.contains(['*', '?']) => Ok((inner.to_owned(), port)),
            Err(_) => Err(Problem::Brackets),
        };
    }
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        return Ok((address.to_string(), None));
    }
    match text.split_once(':') {
        // Where the address ends and the port begins only brackets can say.
        Some((_, after)) if after.contains(':') => Err(Problem::Brackets),
        Some((host, digits)) => Ok((host.to_owned(), port(digits)?)),
        None => Ok((text.to_owned(), None)),
    }
}

fn port(digits: &str) -> Result<Option<u16>, Problem> {
    if digits == "*" {
        return Ok(None);
    }
    let number = digits.parse().ok().filter(|&port: &u16| port != 0 && !digits.starts_with('+'));
    number.map(Some).ok_or(Problem::Port)
}

/// Whether `glob` (in lower case) matches the whole of `name`, in any case.
///
/// Only the last `*` seen is ever taken back: where a later one is reached, an earlier one cannot do better by taking more.
/// So the work is at most one times the other, never exponential.
fn glob(glob: &str, name: &str) -> bool {
    let (mut glob, mut name) = (glob.as_bytes(), name.as_bytes());
    // What follows the last `*`, and what of the name it was tried on.
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
    fn the_whole_name_and_nothing_else() {
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
    fn a_final_dot_means_nothing() {
        assert!(matches("example.com.", "example.com", 443));
        assert!(matches("*.example.com", "a.example.com.", 443));
    }

    #[test]
    fn ports() {
        assert!(matches("example.com:8443", "example.com", 8443));
        assert!(!matches("example.com:8443", "example.com", 443));
        assert!(matches("example.com:*", "example.com", 1));
    }

    #[test]
    fn ipv6_in_any_spelling() {
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
    fn shown_as_it_can_be_written() {
        for text in ["*.example.com", "a?.example.com:8443", "[::1]:443", "[2001:db8::*]", "*"] {
            let pattern: Pattern = text.parse().unwrap();
            assert_eq!(pattern.to_string(), text);
            assert_eq!(Pattern::parse(&pattern.to_string()).unwrap(), pattern);
        }
    }

    #[test]
    fn what_is_wrong_and_what_to_write() {
        let said = |text: &str| Pattern::parse(text).unwrap_err().to_string();
        assert_eq!(
            said("https://api.example.com/x"),
            "pattern 'https://api.example.com/x' is a URL: write api.example.com"
        );
        assert!(said("https://u:p@h.com:8443?q").ends_with("write h.com:8443"));
        assert!(said("h.com/path").ends_with("write h.com"));
        assert!(said("me@h.com").ends_with("write h.com"));
        assert!(said("https://").ends_with("such as api.example.com"));
        assert!(said("a.com,b.com").ends_with("an option of its own"));
        assert!(said("a.com b.com").ends_with("an option of its own"));
        assert!(said("a.com:0").ends_with("from 1 to 65535"));
        assert!(said("a.com:+1").ends_with("from 1 to 65535"));
        assert!(said("a.com:http").ends_with("from 1 to 65535"));
        assert!(said("[::1").ends_with("[::1]:443"));
        assert!(said("[a.com]").ends_with("[::1]:443"));
        assert!(said("2001:db8::*").ends_with("[::1]:443"));
        assert!(said("").contains("names no host"));
        assert!(said(".").contains("names no host"));
        assert!(said(":443").contains("names no host"));
        assert!(said("bücher.de").contains("xn--"));
        assert!(said(r"api\.example\.com").contains(r"has '\\'"));
        assert!(said("(a|b).com").contains("has '('"));
        assert!(!said("a\u{1b}[2J/").contains('\u{1b}'), "control characters are escaped");
    }

    #[test]
    fn many_stars_cost_no_more_than_their_product() {
        let pattern = format!("{}b", "*a".repeat(200));
        assert!(!matches(&pattern, &"a".repeat(20_000), 1));
    }

    #[test]
    fn any_name_includes_and_any_name_excludes() {
        let patterns = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<Pattern>>();
        let filter = Filter { include: patterns(&["*.example.com"]), exclude: patterns(&["secret.example.com"]) };
        assert!(filter.wants([("10.0.0.1", 443), ("a.example.com", 443)]));
        assert!(!filter.wants([("10.0.0.1", 443), ("other.net", 443)]));
        assert!(!filter.wants([("a.example.com", 443), ("secret.example.com", 443)]));
        assert!(!filter.wants([("secret.example.com", 443), ("a.example.com", 443)]));
        assert!(!filter.wants([]));
        let all = Filter { include: vec![], exclude: patterns(&["*:22"]) };
        assert!(all.wants([("a", 443)]) && !all.wants([("a", 22)]) && all.wants([]));
    }
}
