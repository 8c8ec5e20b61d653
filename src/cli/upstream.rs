//! The upstream proxies of a capture: from an option, or from the environment variables that Spectral was started with.
//!
//! ```text
//! --upstream-proxy ──────────────────────────────────────────────┐
//! HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, in both cases ─────────────┼─▶ UpstreamProxies ─▶ Config
//!   in a capture's own command: SPECTRAL_BEFORE_…                │
//! NO_PROXY ──────────────────────────────────────────────────────┤
//! credentials: --upstream-auth-file, SPECTRAL_UPSTREAM_AUTH, URL ┘
//! ```
//!
//! Of two spellings of a variable, the lower-case one counts, as in curl. An invalid option is an error. An invalid variable is a
//! warning, because it may be meant for other programs.

use super::{credentials, startup};
use spectral_capture::{Environment, NoProxy, Proxy, UpstreamProxies, UpstreamProxy, UpstreamProxyError};
use std::path::PathBuf;

/// The options for upstream proxies.
#[derive(Debug)]
pub(crate) struct UpstreamOptions {
    pub(crate) choice: Choice,
    /// The file with the credentials for them.
    pub(crate) auth_file: Option<PathBuf>,
}

/// The source of the upstream proxies.
#[derive(Debug)]
pub(crate) enum Choice {
    /// The environment variables.
    Variables,
    /// The option.
    Option(UpstreamProxy),
    /// There are none.
    Direct,
}

/// The upstream proxies that were selected for a capture.
pub(crate) struct Selected {
    pub(crate) proxies: UpstreamProxies,
    /// The variable of `proxies.https`; `None` if it comes from the option.
    https_variable: Option<&'static str>,
    /// The variable of `proxies.http`.
    http_variable: Option<&'static str>,
    /// Texts of warnings.
    warnings: Vec<String>,
}

/// The upstream proxies that a capture uses, as texts.
pub(crate) struct InUse {
    /// The proxies, for the banner; `None` without one.
    pub(crate) line: Option<String>,
    /// Texts of warnings.
    pub(crate) warnings: Vec<String>,
}

impl Selected {
    /// Selects the upstream proxies. `environment` is that of this process.
    ///
    /// # Errors
    /// If credentials cannot be read.
    pub(crate) fn new(options: &UpstreamOptions, environment: &Environment) -> Result<Self, String> {
        let original = environment.without_proxy();
        let mut selected = Self {
            proxies: UpstreamProxies::default(),
            https_variable: None,
            http_variable: None,
            warnings: Vec::new(),
        };
        match &options.choice {
            Choice::Direct => return Ok(selected),
            Choice::Option(proxy) => selected.proxies = UpstreamProxies::all(proxy.clone()),
            Choice::Variables => selected.read_variables(&original),
        }
        let no_proxy = ["no_proxy", "NO_PROXY"].into_iter().find_map(|name| original.value(name));
        selected.proxies.no_proxy = NoProxy::parse(&no_proxy.unwrap_or_default().to_string_lossy());
        let UpstreamProxies { https, http, .. } = &mut selected.proxies;
        if (&*https, &*http) == (&None, &None) {
            return Ok(selected);
        }
        if let Some(credentials) = credentials::read(options.auth_file.as_deref(), AUTH_VARIABLE)? {
            for proxy in [https, http] {
                let with = proxy.take().map(|proxy| proxy.with_credentials(credentials.clone()));
                *proxy = with.transpose().map_err(|error| format!("cannot use the upstream proxy: {error}"))?;
            }
            selected.warnings.extend(options.auth_file.as_deref().and_then(startup::exposed_secret));
        }
        Ok(selected)
    }

    fn read_variables(&mut self, environment: &Environment) {
        // Where requests become variables (CGI), a client's `Proxy` field is HTTP_PROXY.
        let is_cgi = environment.value("REQUEST_METHOD").is_some();
        let http: &[&str] = if is_cgi { &["http_proxy"] } else { &["http_proxy", "HTTP_PROXY"] };
        let all = self.read_variable(environment, &["all_proxy", "ALL_PROXY"]);
        let https = self.read_variable(environment, &["https_proxy", "HTTPS_PROXY"]);
        let http = self.read_variable(environment, http);
        (self.https_variable, self.proxies.https) = https.or(all.clone()).unzip();
        (self.http_variable, self.proxies.http) = http.or(all).unzip();
        if self.proxies == UpstreamProxies::default() {
            let bypassed: Vec<_> = environment.proxy_variables().filter(|name| !VARIABLES.contains(name)).collect();
            if !bypassed.is_empty() {
                let names = bypassed.join(", ");
                self.warnings.push(format!(
                    "the proxy in {names} is bypassed: hosts reachable only through that proxy will fail"
                ));
            }
        }
    }

    /// Reads the first of these variables that is set.
    fn read_variable(
        &mut self,
        environment: &Environment,
        names: &[&'static str],
    ) -> Option<(&'static str, UpstreamProxy)> {
        let (name, value) = names.iter().find_map(|name| Some((*name, environment.value(name)?)))?;
        match value.to_str().map_or(Err(UpstreamProxyError::Scheme), UpstreamProxy::parse) {
            Ok(proxy) => Some((name, proxy)),
            Err(error) => {
                self.warnings.push(format!(
                    "the proxy in {name} is not used: {error}; hosts reachable only through that proxy will fail"
                ));
                None
            }
        }
    }

    /// Returns the proxies that `proxy`, which was bound with the selected ones, uses.
    ///
    /// # Errors
    /// If the option names `proxy` itself.
    pub(crate) fn in_use(&self, proxy: &Proxy) -> Result<InUse, String> {
        let (wanted, used) = (&self.proxies, proxy.upstream_proxies());
        let mut warnings = self.warnings.clone();
        let mut ignored = Vec::new();
        for (wanted, used, variable) in
            [(&wanted.https, &used.https, self.https_variable), (&wanted.http, &used.http, self.http_variable)]
        {
            if wanted.is_some() && used.is_none() {
                let name =
                    variable.ok_or("the upstream proxy is this proxy itself: give --upstream-proxy another one")?;
                if !ignored.contains(&name) {
                    ignored.push(name);
                }
            }
        }
        if !ignored.is_empty() {
            warnings.push(format!("the proxy in {} is this proxy itself, and is not used", ignored.join(", ")));
        }
        Ok(InUse { line: self.line(used), warnings })
    }

    /// Returns `http://proxy:3128 (HTTPS_PROXY)`.
    fn line(&self, used: &UpstreamProxies) -> Option<String> {
        let shown = |proxy: &Option<UpstreamProxy>, variables: &[Option<&str>]| {
            let Some(proxy) = proxy else { return "direct".to_owned() };
            let mut variables: Vec<_> = variables.iter().copied().flatten().collect();
            variables.dedup();
            match variables.as_slice() {
                [] => proxy.to_string(),
                names => format!("{proxy} ({})", names.join(", ")),
            }
        };
        let UpstreamProxies { https, http, .. } = used;
        match (https, http) {
            (None, None) => None,
            (https, http) if https == http => Some(shown(https, &[self.https_variable, self.http_variable])),
            (https, http) => Some(format!(
                "https: {}, http: {}",
                shown(https, &[self.https_variable]),
                shown(http, &[self.http_variable])
            )),
        }
    }
}

/// The variable with the credentials for upstream proxies.
const AUTH_VARIABLE: &str = "SPECTRAL_UPSTREAM_AUTH";

/// The variables that are read for proxies.
const VARIABLES: &[&str] = &["https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];

#[cfg(test)]
mod tests {
    use super::*;
    use spectral_capture::Config;
    use std::net::TcpListener;

    fn from_variables(variables: &[(&str, &str)]) -> Selected {
        let options = UpstreamOptions { choice: Choice::Variables, auth_file: None };
        Selected::new(&options, &Environment::from_iter(variables.iter().copied())).unwrap()
    }

    /// Returns the line in the banner; empty if there is none.
    fn line(variables: &[(&str, &str)]) -> String {
        let selected = from_variables(variables);
        selected.line(&selected.proxies).unwrap_or_default()
    }

    #[test]
    fn reads_variables_in_both_cases() {
        let a = "http://a:1";
        assert_eq!(line(&[]), "");
        assert_eq!(line(&[("HTTPS_PROXY", a), ("HTTP_PROXY", a)]), "http://a:1 (HTTPS_PROXY, HTTP_PROXY)");
        assert_eq!(
            line(&[("HTTPS_PROXY", "b:2"), ("https_proxy", a)]),
            "https: http://a:1 (https_proxy), http: direct"
        );
        assert_eq!(line(&[("ALL_PROXY", "socks5h://u:secret@s")]), "socks5://s:1080 (ALL_PROXY)");
        assert_eq!(
            line(&[("ALL_PROXY", "socks5://s"), ("HTTP_PROXY", a), ("https_proxy", "")]),
            "https: socks5://s:1080 (ALL_PROXY), http: http://a:1 (HTTP_PROXY)"
        );
        assert_eq!(line(&[("HTTP_PROXY", a), ("REQUEST_METHOD", "GET")]), "");
    }

    #[test]
    fn a_nested_capture_uses_the_variables_before_the_outer_one() {
        let outer =
            [("SPECTRAL_PROXY", "http://outer:1"), ("HTTPS_PROXY", "http://outer:1"), ("http_proxy", "http://outer:1")];
        assert_eq!(line(&outer), "");
        let before = [("SPECTRAL_BEFORE_HTTPS_PROXY", "http://corp:2"), ("SPECTRAL_BEFORE_NO_PROXY", "x.test")];
        let variables = [&outer[..], &before].concat();
        assert_eq!(line(&variables), "https: http://corp:2 (HTTPS_PROXY), http: direct");
        assert_eq!(from_variables(&variables).proxies.no_proxy, NoProxy::parse("x.test"));
    }

    #[test]
    fn an_invalid_variable_is_a_warning_without_its_value() {
        let selected = from_variables(&[("HTTPS_PROXY", "https://u:secret@h"), ("NPM_CONFIG_PROXY", "x")]);
        assert_eq!(
            selected.warnings,
            ["the proxy in HTTPS_PROXY is not used: TLS to the proxy (https://) is not supported; \
              hosts reachable only through that proxy will fail"]
        );
        assert_eq!(selected.proxies, UpstreamProxies::default());
    }

    #[test]
    fn other_variables_are_bypassed_with_a_warning() {
        let npm = ("npm_config_proxy", "http://a:1");
        let warning = "the proxy in npm_config_proxy is bypassed: hosts reachable only through that proxy will fail";
        assert_eq!(from_variables(&[npm]).warnings, [warning]);
        assert!(from_variables(&[npm, ("HTTPS_PROXY", "http://a:1")]).warnings.is_empty());
    }

    #[test]
    fn options_take_precedence_over_variables() {
        let environment = Environment::from_iter([("HTTPS_PROXY", "http://a:1"), ("no_proxy", "x")]);
        let file = std::env::temp_dir().join(format!("spectral-upstream-{}", std::process::id()));
        std::fs::write(&file, "u:p\n").unwrap();
        let selected = |choice| {
            let options = UpstreamOptions { choice, auth_file: Some(file.clone()) };
            Selected::new(&options, &environment).unwrap().proxies
        };
        assert_eq!(selected(Choice::Direct), UpstreamProxies::default());
        let mut expected = UpstreamProxies::all(UpstreamProxy::parse("socks5://u:p@b").unwrap());
        expected.no_proxy = NoProxy::parse("x");
        assert_eq!(selected(Choice::Option(UpstreamProxy::parse("socks5://other:other@b").unwrap())), expected);
        std::fs::remove_file(&file).unwrap();
    }

    #[test]
    fn the_proxy_itself_is_refused_as_an_option_and_ignored_in_a_variable() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let itself = format!("http://localhost:{port}");
        let bind = |selected: &Selected| {
            let mut config = Config::discover();
            config.listen.set_port(port);
            config.upstream_proxies = selected.proxies.clone();
            Proxy::bind(config).unwrap()
        };
        let selected =
            from_variables(&[("HTTPS_PROXY", &itself), ("HTTP_PROXY", "http://a:1"), ("ALL_PROXY", &itself)]);
        let in_use = selected.in_use(&bind(&selected)).unwrap();
        assert_eq!(in_use.line.as_deref(), Some("https: direct, http: http://a:1 (HTTP_PROXY)"));
        assert_eq!(in_use.warnings, ["the proxy in HTTPS_PROXY is this proxy itself, and is not used"]);
        let choice = Choice::Option(UpstreamProxy::parse(&itself).unwrap());
        let options = UpstreamOptions { choice, auth_file: None };
        let selected = Selected::new(&options, &Environment::default()).unwrap();
        assert!(selected.in_use(&bind(&selected)).is_err());
    }
}
