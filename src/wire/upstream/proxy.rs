//! An upstream proxy as users write it, and the proxies of a capture.

use super::Dialogue;
use super::connect::Connect;
use super::no_proxy::NoProxy;
use super::socks5::{MAX_CREDENTIAL_BYTES, Socks5Client};
use crate::wire::authority::Authority;
use crate::wire::credentials::Credentials;

use std::fmt;

/// A proxy through which origins are reached: HTTP, or SOCKS5 ([RFC 1928]). `Display` is its URL. Neither that nor `Debug` shows
/// its credentials.
///
/// [RFC 1928]: https://www.rfc-editor.org/rfc/rfc1928
#[derive(Clone, PartialEq, Eq)]
pub struct UpstreamProxy {
    protocol: Protocol,
    authority: Authority,
    credentials: Option<Credentials>,
}

/// The protocol of an upstream proxy.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http,
    Socks5,
}

impl UpstreamProxy {
    /// Parses `http://`, `socks5://` or `socks5h://`, with `user:password@` or without. Without a scheme it is an HTTP proxy. The
    /// default ports are 80 and 1080. The two SOCKS5 schemes mean the same: the proxy resolves names.
    ///
    /// # Errors
    /// If it is not the URL of such a proxy. The error does not contain the URL, which may have a password.
    pub fn parse(url: &str) -> Result<Self, UpstreamProxyError> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let (protocol, default_port) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (Protocol::Http, 80),
            "socks5" | "socks5h" => (Protocol::Socks5, 1080),
            "https" => return Err(UpstreamProxyError::TlsToProxy),
            _ => return Err(UpstreamProxyError::Scheme),
        };
        let (userinfo, host) = rest.rsplit_once('@').unwrap_or(("", rest));
        let host = host.strip_suffix('/').unwrap_or(host);
        if host.contains(['/', '?', '#']) {
            return Err(UpstreamProxyError::Host("nothing may follow the port".into()));
        }
        let authority = Authority::from_host_header(host.as_bytes(), default_port)
            .map_err(|cause| UpstreamProxyError::Host(cause.to_string()))?;
        let proxy = Self { protocol, authority, credentials: None };
        match Credentials::from_userinfo(userinfo.as_bytes()) {
            Some(credentials) => proxy.with_credentials(credentials),
            None => Ok(proxy),
        }
    }

    /// Returns this proxy with other credentials.
    ///
    /// # Errors
    /// If they are too long for SOCKS5.
    pub fn with_credentials(self, credentials: Credentials) -> Result<Self, UpstreamProxyError> {
        let longest = credentials.user().len().max(credentials.password().len());
        if self.protocol == Protocol::Socks5 && longest > MAX_CREDENTIAL_BYTES {
            return Err(UpstreamProxyError::LongCredentials);
        }
        Ok(Self { credentials: Some(credentials), ..self })
    }

    /// Returns the proxy's own host and port.
    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Returns the credentials.
    pub(crate) fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    /// Returns true if it forwards plain requests in absolute form.
    pub(crate) fn is_http(&self) -> bool {
        self.protocol == Protocol::Http
    }

    /// Returns the dialogue that opens a tunnel to `origin`.
    pub(crate) fn tunnel_to(&self, origin: &Authority) -> Box<dyn Dialogue> {
        match self.protocol {
            Protocol::Http => Box::new(Connect::new(origin, self.credentials())),
            Protocol::Socks5 => Box::new(Socks5Client::new(origin, self.credentials())),
        }
    }
}

impl fmt::Display for UpstreamProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.protocol {
            Protocol::Http => "http",
            Protocol::Socks5 => "socks5",
        };
        write!(f, "{scheme}://{}", self.authority)
    }
}

impl fmt::Debug for UpstreamProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UpstreamProxy({self})")
    }
}

/// The cause when an upstream proxy cannot be used. It contains no part of a password.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpstreamProxyError {
    /// The URL begins with `https://`: TLS to the proxy itself is not supported.
    TlsToProxy,
    /// The scheme is not supported.
    Scheme,
    /// The host or the port is malformed, or a path follows; a clause.
    Host(String),
    /// The user name or the password is longer than the 255 bytes of SOCKS5.
    LongCredentials,
}

impl std::error::Error for UpstreamProxyError {}

impl fmt::Display for UpstreamProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TlsToProxy => f.write_str("TLS to the proxy (https://) is not supported"),
            Self::Scheme => f.write_str("the scheme is not supported (supported: http, socks5, socks5h)"),
            Self::Host(cause) => f.write_str(cause),
            Self::LongCredentials => {
                write!(f, "the user name or password is longer than {MAX_CREDENTIAL_BYTES} bytes")
            }
        }
    }
}

/// The upstream proxies of a capture. Without one, origins are reached directly, and so are always the hosts in `no_proxy` and
/// this machine: loopback addresses, `localhost` and the names below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UpstreamProxies {
    /// The proxy for tunnels (CONNECT, SOCKS) and for requests for `https` URLs.
    pub https: Option<UpstreamProxy>,
    /// The proxy for plain requests.
    pub http: Option<UpstreamProxy>,
    /// The hosts that are reached without a proxy.
    pub no_proxy: NoProxy,
}

impl UpstreamProxies {
    /// Returns `proxy` for all origins.
    pub fn all(proxy: UpstreamProxy) -> Self {
        Self { https: Some(proxy.clone()), http: Some(proxy), no_proxy: NoProxy::default() }
    }

    /// Returns the proxy for a tunnel to `origin`.
    pub(crate) fn for_tunnel(&self, origin: &Authority) -> Option<&UpstreamProxy> {
        self.https.as_ref().filter(|_| self.applies_to(origin))
    }

    /// Returns the proxy for a plain request to `origin`.
    pub(crate) fn for_plain_request(&self, origin: &Authority) -> Option<&UpstreamProxy> {
        self.http.as_ref().filter(|_| self.applies_to(origin))
    }

    fn applies_to(&self, origin: &Authority) -> bool {
        !origin.host.is_this_machine() && !self.no_proxy.matches(origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Result<(String, Option<Vec<u8>>), String> {
        let proxy = UpstreamProxy::parse(url).map_err(|error| error.to_string())?;
        Ok((proxy.to_string(), proxy.credentials().map(|credentials| credentials.basic())))
    }

    #[test]
    fn parses_urls() {
        for (url, shown) in [
            ("http://proxy.corp:3128", "http://proxy.corp:3128"),
            ("http://Proxy.corp/", "http://proxy.corp:80"),
            ("proxy.corp:3128", "http://proxy.corp:3128"),
            ("HTTP://[fd00::1]:3128", "http://[fd00::1]:3128"),
            ("socks5://10.0.0.1", "socks5://10.0.0.1:1080"),
            ("socks5h://h:9050/", "socks5://h:9050"),
        ] {
            assert_eq!(parsed(url), Ok((shown.to_owned(), None)), "{url}");
        }
        for url in ["http://u:p@h:1", "u:p@h:1", "http://%75:%70@h:1/"] {
            assert_eq!(parsed(url), Ok(("http://h:1".to_owned(), Some(b"Basic dTpw".to_vec()))), "{url}");
        }
        let (_, basic) = parsed("socks5://a@b:c@h").unwrap();
        assert_eq!(basic.as_deref(), Some(&b"Basic YUBiOmM="[..]));
    }

    #[test]
    fn errors_contain_no_credentials() {
        for (url, error) in [
            ("https://u:secret@h", "TLS to the proxy (https://) is not supported"),
            ("socks4://u:secret@h", "the scheme is not supported (supported: http, socks5, socks5h)"),
            ("ftp://h", "the scheme is not supported (supported: http, socks5, socks5h)"),
            ("http://u:secret@", "the host is empty"),
            ("http://", "the host is empty"),
            ("", "the host is empty"),
            ("http://u:secret@h:0", "the port is not between 1 and 65535"),
            ("http://u:secret@h:port", "the port is not between 1 and 65535"),
            ("http://u:se/cret", "nothing may follow the port"),
            ("http://h/path", "nothing may follow the port"),
            ("http://[::1", "the IPv6 address is malformed"),
        ] {
            assert_eq!(parsed(url), Err(error.to_owned()), "{url}");
        }
        let long = Credentials::parse(&format!("u:{}", "p".repeat(256))).unwrap();
        let with_long = |url| UpstreamProxy::parse(url).unwrap().with_credentials(long.clone());
        assert_eq!(
            with_long("socks5://h").unwrap_err().to_string(),
            "the user name or password is longer than 255 bytes"
        );
        assert!(with_long("http://h").is_ok());
    }

    #[test]
    fn debug_shows_no_credentials() {
        let proxies = UpstreamProxies::all(UpstreamProxy::parse("http://user:secret@h:1").unwrap());
        let shown = format!("{proxies:?}");
        assert!(shown.contains("http://h:1") && !shown.contains("user") && !shown.contains("secret"), "{shown}");
    }

    #[test]
    fn this_machine_and_excepted_hosts_are_reached_directly() {
        let mut proxies = UpstreamProxies::all(UpstreamProxy::parse("h:1").unwrap());
        proxies.no_proxy = NoProxy::parse("intern.test");
        let origin = |target: &str| Authority::from_connect_target(target.as_bytes()).unwrap();
        for target in [
            "localhost:1",
            "localhost.:1",
            "app.localhost:1",
            "127.9.9.9:1",
            "0.0.0.0:1",
            "[::1]:1",
            "[::]:1",
            "[::ffff:127.0.0.1]:1",
            "a.intern.test:1",
        ] {
            assert!(proxies.for_tunnel(&origin(target)).is_none(), "{target}");
            assert!(proxies.for_plain_request(&origin(target)).is_none(), "{target}");
        }
        for target in ["notlocalhost:1", "localhost.test:1", "10.0.0.1:1", "[fd00::1]:1"] {
            assert!(proxies.for_tunnel(&origin(target)).is_some(), "{target}");
            assert!(proxies.for_plain_request(&origin(target)).is_some(), "{target}");
        }
    }
}
