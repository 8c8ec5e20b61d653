//! The variables that send a command through a proxy, and have it trust what the proxy shows.
//!
//! ```text
//!   what the command would get ──▶ through(proxy, files) ──▶ what it gets
//!            ▲                                                  │ SPECTRAL_PROXY
//!            └──────────────────── restored ◀───────────────────┘ SPECTRAL_BEFORE_…
//! ```
//!
//! Nothing is lost: whatever a variable said before stands beside it under another name, so that the way back is known. Our own
//! verification of origins goes back first (its roots would hold our own CA otherwise), and so does a run within a run, so that
//! nothing piles up.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The variables of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<OsString, OsString>);

/// The files that variables name, for [`Environment::through`].
#[derive(Clone, Debug)]
pub struct TrustFiles {
    /// PEM: every root that a command may trust, and the CA's certificate.
    pub roots: PathBuf,
    /// PEM: what a command trusts besides its own roots.
    pub extra: PathBuf,
    /// PKCS#12, with [`crate::P12_PASSWORD`]: the same as `roots`.
    pub java: PathBuf,
    /// A start-up file of wget that names `roots`: many are linked to GnuTLS, which has no variable for them.
    pub wgetrc: Option<PathBuf>,
}

impl Environment {
    #[cfg(test)]
    pub(crate) fn of<const N: usize>(vars: [(&str, &str); N]) -> Self {
        Self(vars.iter().map(|(name, value)| (name.into(), value.into())).collect())
    }

    /// This process's own.
    pub fn current() -> Self {
        Self(env::vars_os().collect())
    }

    /// The value of a variable, unless it is empty.
    pub fn value(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// All of it.
    pub fn iter(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.0.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }

    /// Whether it is one that [`Environment::through`] made.
    pub fn is_ours(&self) -> bool {
        self.value(MARK).is_some()
    }

    /// What it was before [`Environment::through`]; itself, if that did not make it.
    pub fn restored(&self) -> Self {
        let mut restored = self.0.clone();
        if self.is_ours() {
            restored.remove(OsStr::new(MARK));
            for name in managed() {
                restored.remove(OsStr::new(name));
                if let Some(before) = restored.remove(OsStr::new(&saved(name))) {
                    restored.insert(name.into(), before);
                }
            }
        }
        Self(restored)
    }

    /// What a command gets that is to go through `proxy`.
    pub fn through(&self, proxy: SocketAddr, files: &TrustFiles) -> Self {
        let before = self.restored();
        let mut after = before.0.clone();
        for name in managed() {
            if let Some(value) = after.remove(OsStr::new(name)) {
                after.insert(saved(name).into(), value);
            }
        }
        let url = OsString::from(format!("http://{proxy}"));
        let mut set = |names: &[&str], value: &OsStr| {
            for name in names {
                after.insert(name.into(), value.to_owned());
            }
        };
        set(&[MARK], &url);
        set(PROXIES, &url);
        set(NODE_READS_PROXIES, OsStr::new("1"));
        set(ROOTS, files.roots.as_os_str());
        set(EXTRA, files.extra.as_os_str());
        set(JAVA, &java_options(before.value("JAVA_TOOL_OPTIONS"), proxy, &files.java));
        match (&files.wgetrc, before.value("WGETRC")) {
            (Some(file), _) => set(WGET, file.as_os_str()),
            (None, Some(own)) => set(WGET, own),
            (None, None) => {}
        }
        Self(after)
    }

    /// What changes from this to `other`, in the order of names; `None` for what goes.
    pub fn changes_to<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = (&'a OsStr, Option<&'a OsStr>)> {
        let names: BTreeSet<_> = self.0.keys().chain(other.0.keys()).collect();
        names.into_iter().filter_map(|name| {
            let after = other.0.get(name);
            (self.0.get(name) != after).then_some((name.as_os_str(), after.map(OsString::as_os_str)))
        })
    }

    /// The variables that name a proxy: ours, if it has one, is asked instead of theirs.
    pub fn proxies(&self) -> impl Iterator<Item = &'static str> {
        PROXIES.iter().copied().filter(|name| self.value(name).is_some())
    }

    /// The files that variables name as the only roots to trust.
    pub fn root_files(&self) -> BTreeSet<&Path> {
        ROOTS.iter().filter_map(|name| self.value(name)).map(Path::new).collect()
    }
}

/// Proxy, trust store and its password, after whatever the person has: of two values of a property the JVM takes the last.
fn java_options(own: Option<&OsStr>, proxy: SocketAddr, store: &Path) -> OsString {
    let (host, port) = (proxy.ip(), proxy.port());
    let mut options = own.map(OsStr::to_owned).unwrap_or_default();
    if !options.is_empty() {
        options.push(" ");
    }
    for protocol in ["http", "https"] {
        options.push(format!("-D{protocol}.proxyHost={host} -D{protocol}.proxyPort={port} "));
    }
    // The JVM leaves out this machine's own addresses unless it is told to leave out nothing.
    options.push("-Dhttp.nonProxyHosts= ");
    // The JVM takes quotes of both kinds out, and knows no other way to keep a blank.
    let quote = if store.as_os_str().as_encoded_bytes().contains(&b'\'') { "\"" } else { "'" };
    for part in [OsStr::new("-Djavax.net.ssl.trustStore="), quote.as_ref(), store.as_os_str(), quote.as_ref()] {
        options.push(part);
    }
    options.push(" -Djavax.net.ssl.trustStoreType=PKCS12 -Djavax.net.ssl.trustStorePassword=");
    options.push(crate::P12_PASSWORD);
    options
}

/// Everything that [`Environment::through`] decides about.
fn managed() -> impl Iterator<Item = &'static str> {
    [PROXIES, NO_PROXIES, NODE_READS_PROXIES, ROOTS, EXTRA, JAVA, WGET].into_iter().flatten().copied()
}

/// Where the value of `name` from before is kept.
fn saved(name: &str) -> String {
    format!("SPECTRAL_BEFORE_{name}")
}

/// Says that an environment is ours, and where the proxy is.
const MARK: &str = "SPECTRAL_PROXY";
/// Programs differ in whether they read capitals (curl does not read `HTTP_PROXY`), and npm, global-agent and some WebSocket
/// clients have names of their own.
const PROXIES: &[&str] = &[
    "http_proxy",
    "https_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "all_proxy",
    "WS_PROXY",
    "WSS_PROXY",
    "npm_config_proxy",
    "npm_config_https_proxy",
    "GLOBAL_AGENT_HTTP_PROXY",
    "GLOBAL_AGENT_HTTPS_PROXY",
];
/// Cleared: what they list would not be captured.
const NO_PROXIES: &[&str] = &["NO_PROXY", "no_proxy", "npm_config_noproxy", "GLOBAL_AGENT_NO_PROXY"];
/// Without it Node (from 22.21 and 24.5 on) does not read the others.
const NODE_READS_PROXIES: &[&str] = &["NODE_USE_ENV_PROXY"];
/// What these name replaces a program's own roots.
const ROOTS: &[&str] = &[
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "GIT_SSL_CAINFO",
    "CARGO_HTTP_CAINFO",
    "AWS_CA_BUNDLE",
    "DENO_CERT",
    "PERL_LWP_SSL_CA_FILE",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
    "HTTPLIB2_CA_CERTS",
    "NIX_SSL_CERT_FILE",
    "BUNDLE_SSL_CA_CERT",
    "HEX_CACERTS_PATH",
    // Where an npmrc names a file, npm does not look at NODE_EXTRA_CA_CERTS.
    "npm_config_cafile",
];
/// What this names is trusted besides a program's own roots.
const EXTRA: &[&str] = &["NODE_EXTRA_CA_CERTS"];
const JAVA: &[&str] = &["JAVA_TOOL_OPTIONS"];
const WGET: &[&str] = &["WGETRC"];

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &str, wgetrc: bool) -> TrustFiles {
        let file = |name| Path::new(folder).join(name);
        TrustFiles {
            roots: file("roots.pem"),
            extra: file("ca.pem"),
            java: file("roots.p12"),
            wgetrc: wgetrc.then(|| file("wgetrc")),
        }
    }

    fn proxy(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    /// What a person with everything set has.
    fn busy() -> Environment {
        Environment::of([
            ("HOME", "/home/me"),
            ("HTTPS_PROXY", "http://corporate:3128"),
            ("NO_PROXY", "localhost"),
            ("no_proxy", ""),
            ("SSL_CERT_FILE", "/corporate.pem"),
            ("JAVA_TOOL_OPTIONS", "-Xmx64m"),
            ("WGETRC", "/home/me/wgetrc"),
        ])
    }

    #[test]
    fn everything_points_to_the_proxy_and_to_the_roots() {
        let after = busy().through(proxy(4711), &files("/t", true));
        for name in PROXIES {
            assert_eq!(after.value(name), Some(OsStr::new("http://127.0.0.1:4711")), "{name}");
        }
        for name in NO_PROXIES {
            assert_eq!(after.0.get(OsStr::new(name)), None, "{name}");
        }
        for name in ROOTS {
            assert_eq!(after.value(name), Some(OsStr::new("/t/roots.pem")), "{name}");
        }
        for (name, value) in [
            ("NODE_USE_ENV_PROXY", "1"),
            ("NODE_EXTRA_CA_CERTS", "/t/ca.pem"),
            ("WGETRC", "/t/wgetrc"),
            ("HOME", "/home/me"),
            ("SPECTRAL_PROXY", "http://127.0.0.1:4711"),
            ("SPECTRAL_BEFORE_SSL_CERT_FILE", "/corporate.pem"),
            (
                "JAVA_TOOL_OPTIONS",
                "-Xmx64m -Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort=4711 -Dhttps.proxyHost=127.0.0.1 \
                 -Dhttps.proxyPort=4711 -Dhttp.nonProxyHosts= -Djavax.net.ssl.trustStore='/t/roots.p12' \
                 -Djavax.net.ssl.trustStoreType=PKCS12 -Djavax.net.ssl.trustStorePassword=changeit",
            ),
        ] {
            assert_eq!(after.value(name), Some(OsStr::new(value)), "{name}");
        }
    }

    #[test]
    fn the_way_back_is_exact() {
        for before in [busy(), Environment::of([]), Environment::of([("HOME", "/home/me")])] {
            for wgetrc in [true, false] {
                assert_eq!(before.through(proxy(1), &files("/t", wgetrc)).restored(), before);
            }
            assert_eq!(before.restored(), before);
        }
    }

    #[test]
    fn a_run_within_a_run_takes_nothing_from_the_outer_one() {
        let outer = busy().through(proxy(1), &files("/outer", true));
        let inner = outer.through(proxy(2), &files("/inner", true));
        assert_eq!(inner, busy().through(proxy(2), &files("/inner", true)));
        assert!(!format!("{inner:?}").contains("/outer"), "{inner:?}");
        // What the outer one has and the inner one has not is as the person had it.
        let inner = outer.through(proxy(2), &files("/inner", false));
        assert_eq!(inner.value("WGETRC"), Some(OsStr::new("/home/me/wgetrc")));
    }

    #[test]
    fn what_names_roots_and_proxies_is_known() {
        let mut before = busy();
        before.0.insert("CURL_CA_BUNDLE".into(), "/corporate.pem".into());
        before.0.insert("PIP_CERT".into(), "/pip.pem".into());
        assert_eq!(before.root_files(), [Path::new("/corporate.pem"), Path::new("/pip.pem")].into());
        assert_eq!(before.proxies().collect::<Vec<_>>(), ["HTTPS_PROXY"]);
        assert_eq!(Environment::of([("http_proxy", "")]).proxies().count(), 0, "empty is none");
    }

    #[test]
    fn changes_are_what_differs() {
        let (from, to) = (
            Environment::of([("a", "1"), ("b", "1"), ("c", "1")]),
            Environment::of([("b", "2"), ("c", "1"), ("d", "")]),
        );
        let changes: Vec<_> =
            from.changes_to(&to).map(|(name, value)| (name.to_str(), value.and_then(OsStr::to_str))).collect();
        assert_eq!(changes, [(Some("a"), None), (Some("b"), Some("2")), (Some("d"), Some(""))]);
    }

    #[test]
    fn blanks_and_quotes_in_a_path_reach_the_jvm() {
        let options = |path| java_options(None, proxy(1), Path::new(path)).into_string().unwrap();
        assert!(options("/a b/c").contains("trustStore='/a b/c' "));
        assert!(options("/o'brien/c").contains("trustStore=\"/o'brien/c\" "));
    }
}
