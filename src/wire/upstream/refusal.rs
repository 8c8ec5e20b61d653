//! The reasons why an upstream proxy serves no request.

use crate::wire::headers::{Headers, is_tchar};
use crate::wire::message::ResponseHead;
use std::fmt;

/// The reason why an upstream proxy does not lead to an origin. `Display` is a clause about the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Another status than 2xx and 407; the status, the reason phrase, and the cause that Squid adds in a field.
    Status(String),
    /// 407, or the end of SOCKS5 authentication.
    Authentication(Authentication),
    /// The reply code of SOCKS5 (RFC 1928 section 6).
    Socks5(u8),
    /// The answer is not one of HTTP.
    NotHttp,
    /// The answer is not one of SOCKS5.
    NotSocks5,
}

/// The reason why an upstream proxy does not let us in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Authentication {
    /// It requires credentials, and there are none.
    Missing,
    /// It rejected the credentials.
    Rejected,
    /// It supports other schemes only; their names.
    Unsupported(Vec<String>),
}

impl Refusal {
    /// True if the proxy's rules allow no such request: a status of 4xx, except 407.
    pub(crate) fn is_rule(&self) -> bool {
        matches!(self, Self::Status(text) if text.starts_with('4'))
    }

    /// The refusal in a response head. `has_credentials` is true if the request had some.
    pub(crate) fn of_response(head: &ResponseHead, has_credentials: bool) -> Self {
        if head.status == 407 {
            return Self::Authentication(Authentication::of_challenges(&head.headers, has_credentials));
        }
        // tinyproxy rejects a password with 401.
        if head.status == 401 && has_credentials {
            return Self::Authentication(Authentication::Rejected);
        }
        let mut text = format!("{} {}", head.status, printable(&head.reason)).trim_end().to_owned();
        if let Some(cause) = head.headers.first("x-squid-error") {
            text.push_str(&format!(" ({})", printable(cause)));
        }
        Self::Status(text)
    }
}

impl Authentication {
    /// The reason in the Proxy-Authenticate fields (RFC 9110 section 11.7.1). A proxy without them is taken for one that
    /// supports Basic.
    fn of_challenges(headers: &Headers, has_credentials: bool) -> Self {
        let schemes = schemes(headers);
        if !schemes.is_empty() && !schemes.iter().any(|scheme| scheme.eq_ignore_ascii_case("basic")) {
            return Self::Unsupported(schemes);
        }
        if has_credentials { Self::Rejected } else { Self::Missing }
    }
}

/// Returns the authentication schemes in the Proxy-Authenticate fields. A field may list several; parameters are separated by
/// commas too, but have an equals sign, which schemes do not.
fn schemes(headers: &Headers) -> Vec<String> {
    let mut schemes = Vec::new();
    for member in headers.list("proxy-authenticate") {
        let word = member.split(|b| !is_tchar(b)).next().unwrap_or_default();
        let after = member.get(word.len()..).unwrap_or_default().trim_ascii_start();
        let name = printable(word);
        if !word.is_empty() && !after.starts_with(b"=") && !schemes.contains(&name) && schemes.len() < MAX_SCHEMES {
            schemes.push(name);
        }
    }
    schemes
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(text) => write!(f, "refused it: {text}"),
            Self::Authentication(cause) => cause.fmt(f),
            Self::Socks5(code) => {
                let meaning = match code {
                    1 => "general failure",
                    2 => "not allowed by its rules",
                    3 => "network unreachable",
                    4 => "host unreachable",
                    5 => "connection refused",
                    6 => "TTL expired",
                    7 => "command not supported",
                    8 => "address type not supported",
                    _ => return write!(f, "refused it: SOCKS5 error {code}"),
                };
                write!(f, "refused it: {meaning}")
            }
            Self::NotHttp => f.write_str("does not answer as an HTTP proxy"),
            Self::NotSocks5 => f.write_str("does not answer as a SOCKS5 proxy"),
        }
    }
}

impl fmt::Display for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("requires a user name and a password"),
            Self::Rejected => f.write_str("rejected the user name or the password"),
            Self::Unsupported(schemes) => {
                let is_windows = |scheme: &String| {
                    ["ntlm", "negotiate", "kerberos"].iter().any(|known| scheme.eq_ignore_ascii_case(known))
                };
                let remedy = if schemes.iter().any(is_windows) { ": put cntlm or px in front of it" } else { "" };
                write!(f, "accepts no password, only {}{remedy}", schemes.join(" and "))
            }
        }
    }
}

impl std::error::Error for Refusal {}

/// Returns `bytes` as short text without control characters.
fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().filter(|c| !c.is_control()).take(MAX_TEXT_CHARS).collect()
}

/// Reasons are counted and shown by their text.
const MAX_TEXT_CHARS: usize = 100;
/// More than there are.
const MAX_SCHEMES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http1::head::response;

    fn refusal(head: &str, has_credentials: bool) -> String {
        let head = response(format!("HTTP/1.1 {head}\r\n\r\n").as_bytes()).unwrap();
        Refusal::of_response(&head, has_credentials).to_string()
    }

    #[test]
    fn states_status_and_cause() {
        assert_eq!(refusal("403 Forbidden", false), "refused it: 403 Forbidden");
        assert_eq!(refusal("502", false), "refused it: 502");
        assert_eq!(
            refusal("503 Service Unavailable\r\nX-Squid-Error: ERR_DNS_FAIL 0", false),
            "refused it: 503 Service Unavailable (ERR_DNS_FAIL 0)"
        );
        assert_eq!(refusal(&format!("500 \x1b[1m{}", "x".repeat(500)), false).len(), "refused it: 500 ".len() + 100);
    }

    #[test]
    fn states_the_cause_of_407() {
        let (missing, rejected) = ("requires a user name and a password", "rejected the user name or the password");
        let basic = "407 X\r\nProxy-Authenticate: Basic realm=\"a, NTLM b\"";
        assert_eq!(refusal(basic, false), missing);
        assert_eq!(refusal(basic, true), rejected);
        assert_eq!(refusal("407 X", false), missing);
        assert_eq!(
            refusal("407 X\r\nproxy-authenticate: Negotiate\r\nProxy-Authenticate: basic realm=a", true),
            rejected
        );
        assert_eq!(
            refusal("407 X\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM", true),
            "accepts no password, only Negotiate and NTLM: put cntlm or px in front of it"
        );
        assert_eq!(
            refusal("407 X\r\nProxy-Authenticate: NTLM, Kerberos abc==", false),
            "accepts no password, only NTLM and Kerberos: put cntlm or px in front of it"
        );
        assert_eq!(
            refusal("407 X\r\nProxy-Authenticate: Digest realm=\"r\", nonce=\"n\", qop = auth", true),
            "accepts no password, only Digest"
        );
    }

    #[test]
    fn states_the_codes_of_socks5() {
        assert_eq!(Refusal::Socks5(5).to_string(), "refused it: connection refused");
        assert_eq!(Refusal::Socks5(200).to_string(), "refused it: SOCKS5 error 200");
    }
}
