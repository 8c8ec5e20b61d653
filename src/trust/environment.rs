//! The environment variables of a captured command: its own, changed so that it uses the proxy and trusts the CA.
//!
//! ```text
//!   the command's variables ──▶ with_proxy(proxy, files) ──▶ the captured command's variables
//!            ▲                                                  │ SPECTRAL_PROXY
//!            └─────────────── without_proxy() ◀─────────────────┘ SPECTRAL_BEFORE_…
//! ```
//!
//! The previous value of each changed variable is kept in `SPECTRAL_BEFORE_*`, so the change can be undone. It is undone in two
//! places. Origins are verified with the original roots, because the captured command's root files contain the CA. A capture
//! inside another capture starts from the original variables, so changes do not accumulate.

use super::variables::{
    APT, EXTRA_ROOTS, JAVA, MARKER, NODE_OPTIONS, OTHER_PROXIES, PERL_USES_PROXIES, PHP, PROXIES, REDIRECTED, ROOTS,
    WGET, WGET2, java_options, managed, node_options, php_scan_dirs, proxy_variables, saved_name,
};
use crate::cert::RootLocations;
use crate::sorting::sort_by;
use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The script that a captured Node preloads: its HTTP clients then use the proxy that `SPECTRAL_PROXY` names.
pub const NODE_SCRIPT: &str = include_str!("node.js");

/// The environment variables of a process, and their changes for a captured command.
///
/// [`with_proxy`](Self::with_proxy) returns the variables with which a command uses the proxy and trusts the CA.
/// [`without_proxy`](Self::without_proxy) undoes that. Neither changes the variables of this process.
///
/// ```no_run
/// # use spectral_capture::{Environment, TrustFiles};
/// # fn command(proxy: std::net::SocketAddr, files: &TrustFiles) {
/// let variables = Environment::current().with_proxy(proxy, files);
/// std::process::Command::new("curl").env_clear().envs(variables.iter());
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl<N: Into<OsString>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    /// Collects the variables of another process, each a name and a value.
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        // Inserted one by one: collecting would sort them first, with 7 KB of code.
        let mut all = BTreeMap::new();
        for (name, value) in variables {
            all.insert(name.into(), value.into());
        }
        Self(all)
    }
}

/// The paths of the files that [`Environment::with_proxy`] names in variables. [`crate::TrustedRoots`] returns the contents
/// of the first three.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TrustFiles {
    /// PEM: the CA and every root that a command trusted before.
    pub roots: PathBuf,
    /// PEM: the certificates that a command trusts in addition to its own roots.
    pub extra: PathBuf,
    /// PKCS#12 with the password [`crate::P12_PASSWORD`]: the same certificates as `roots`.
    pub java: PathBuf,
    /// [`crate::NODE_SCRIPT`], which Node preloads.
    pub node: PathBuf,
    /// A wget start-up file that names `roots`. wget is often built with GnuTLS, which reads no variable for roots.
    pub wgetrc: Option<PathBuf>,
    /// A wget2 start-up file that sets no proxy: requests of wget2 1.99 to a proxy are malformed.
    pub wget2rc: Option<PathBuf>,
    /// An apt configuration file that names `roots`. apt reads no other variable for roots.
    pub apt: Option<PathBuf>,
    /// A directory with a PHP settings file that names `roots`. PHP's curl reads no other variable for roots.
    pub php: Option<PathBuf>,
}

impl TrustFiles {
    /// Returns the paths of the files that are always there; the others are `None`.
    pub fn new(roots: PathBuf, extra: PathBuf, java: PathBuf, node: PathBuf) -> Self {
        Self { roots, extra, java, node, wgetrc: None, wget2rc: None, apt: None, php: None }
    }
}

impl Environment {
    /// Returns this process's variables.
    pub fn current() -> Self {
        env::vars_os().collect()
    }

    /// Returns the value of a variable, or `None` if it is unset or empty.
    pub fn value(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// Iterates over all variables, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.0.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }

    /// Returns true if [`Environment::with_proxy`] or [`Environment::with_redirection`] made these variables.
    pub fn is_proxied(&self) -> bool {
        self.value(MARKER).is_some()
    }

    /// Returns these variables as they were before [`Environment::with_proxy`], or unchanged if it did not make them.
    pub fn without_proxy(&self) -> Self {
        let mut original = self.0.clone();
        if self.is_proxied() {
            original.remove(OsStr::new(MARKER));
            for name in managed() {
                original.remove(OsStr::new(name));
                if let Some(value) = original.remove(OsStr::new(&saved_name(name))) {
                    original.insert(name.into(), value);
                }
            }
        }
        Self(original)
    }

    /// Returns these variables for a command that uses `proxy` and trusts the CA in `files`. The caller writes the files.
    /// Variables that an earlier call made are undone first.
    pub fn with_proxy(&self, proxy: SocketAddr, files: &TrustFiles) -> Self {
        self.changed(Some(proxy), files)
    }

    /// Returns these variables for a command whose connections are redirected: without a proxy. With `files`, it trusts the CA in them.
    /// Variables that an earlier call made are undone first.
    pub fn with_redirection(&self, files: Option<&TrustFiles>) -> Self {
        match files {
            Some(files) => self.changed(None, files),
            None => {
                let original = self.without_proxy();
                let mut changed = original.saved();
                let others = managed().filter(|name| proxy_variables().all(|proxy| proxy != *name));
                for (name, value) in others.filter_map(|name| original.0.get_key_value(OsStr::new(name))) {
                    changed.0.insert(name.clone(), value.clone());
                }
                changed
            }
        }
    }

    /// Returns true if [`Environment::with_redirection`] made these variables.
    pub fn is_redirected(&self) -> bool {
        self.value(MARKER).is_some_and(|value| value == REDIRECTED)
    }

    /// Returns these variables with those that a capture changes saved under other names, and the marker of a redirected command.
    fn saved(&self) -> Self {
        let mut changed = self.0.clone();
        for name in managed() {
            if let Some(value) = changed.remove(OsStr::new(name)) {
                changed.insert(saved_name(name).into(), value);
            }
        }
        changed.insert(MARKER.into(), REDIRECTED.into());
        Self(changed)
    }

    fn changed(&self, proxy: Option<SocketAddr>, files: &TrustFiles) -> Self {
        let original = self.without_proxy();
        let Self(mut changed) = original.saved();
        let mut set = |names: &[&str], value: &OsStr| {
            for name in names {
                changed.insert(name.into(), value.to_owned());
            }
        };
        let mut node = None;
        if let Some(proxy) = proxy {
            let url = OsString::from(format!("http://{proxy}"));
            set(&[MARKER], &url);
            set(PROXIES, &url);
            set(PERL_USES_PROXIES, OsStr::new("1"));
            node = node_options(original.value("NODE_OPTIONS"), &files.node);
        }
        set(ROOTS, files.roots.as_os_str());
        set(EXTRA_ROOTS, files.extra.as_os_str());
        set(JAVA, &java_options(original.value("JAVA_TOOL_OPTIONS"), proxy, &files.java));
        let before = |names: &[&str]| names.first().and_then(|name| original.0.get(OsStr::new(name)));
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.as_os_str().to_owned());
        let php = files.php.as_ref().map(|dir| php_scan_dirs(before(PHP).map(OsString::as_os_str), dir));
        for (names, value) in [
            (NODE_OPTIONS, node),
            (WGET, path(&files.wgetrc)),
            (WGET2, path(&files.wget2rc)),
            (APT, path(&files.apt)),
            (PHP, php),
        ] {
            if let Some(value) = value.or_else(|| before(names).cloned()) {
                set(names, &value);
            }
        }
        Self(changed)
    }

    /// Iterates over the changes from these variables to `other`, sorted by name. `None` means that a variable is removed.
    pub fn changes_to<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = (&'a OsStr, Option<&'a OsStr>)> {
        let mut names: Vec<_> =
            self.0.keys().chain(other.0.keys().filter(|name| !self.0.contains_key(*name))).collect();
        sort_by(&mut names, &|a, b| a.cmp(b));
        names.into_iter().filter_map(|name| {
            let after = other.0.get(name);
            (self.0.get(name) != after).then_some((name.as_os_str(), after.map(OsString::as_os_str)))
        })
    }

    /// Iterates over the names of variables that configure a proxy. A captured command does not use that proxy.
    pub fn proxy_variables(&self) -> impl Iterator<Item = &'static str> {
        PROXIES.iter().chain(OTHER_PROXIES).copied().filter(|name| self.value(name).is_some())
    }

    /// Returns the files that variables name as a program's only roots.
    pub fn root_files(&self) -> BTreeSet<&Path> {
        let mut files = BTreeSet::new();
        for file in ROOTS.iter().filter_map(|name| self.value(name)) {
            files.insert(Path::new(file));
        }
        files
    }

    /// Returns the locations of the roots before an outer capture changed them. Returns `None` outside a capture.
    pub(crate) fn root_locations(&self) -> Option<RootLocations> {
        self.is_proxied().then(|| {
            let original = self.without_proxy();
            RootLocations {
                file: original.value("SSL_CERT_FILE").map(PathBuf::from),
                dirs: original.value("SSL_CERT_DIR").map(|dirs| env::split_paths(dirs).collect()).unwrap_or_default(),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::variables::{NO_PROXIES, NODE_USES_PROXIES};
    use super::*;

    fn files(folder: &str, has_settings: bool) -> TrustFiles {
        let file = |name| Path::new(folder).join(name);
        TrustFiles {
            roots: file("roots.pem"),
            extra: file("ca.pem"),
            java: file("roots.p12"),
            node: file("node.js"),
            wgetrc: has_settings.then(|| file("wgetrc")),
            wget2rc: has_settings.then(|| file("wget2rc")),
            apt: has_settings.then(|| file("apt.conf")),
            php: has_settings.then(|| folder.into()),
        }
    }

    fn proxy(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    /// An environment in which a proxy, roots, Java options and wget are configured.
    fn configured() -> Environment {
        Environment::from_iter([
            ("HOME", "/home/me"),
            ("HTTPS_PROXY", "http://corporate:3128"),
            ("ALL_PROXY", "socks5://corporate"),
            ("NO_PROXY", "localhost"),
            ("no_proxy", ""),
            ("APT_CONFIG", "/corporate/apt.conf"),
            ("PHP_INI_SCAN_DIR", "/corporate/php"),
            ("SSL_CERT_FILE", "/corporate.pem"),
            ("JAVA_TOOL_OPTIONS", "-Xmx64m"),
            ("WGETRC", "/home/me/wgetrc"),
            ("NODE_OPTIONS", "--no-warnings"),
            ("NODE_USE_ENV_PROXY", "1"),
        ])
    }

    #[test]
    fn sets_proxy_and_roots_and_saves_previous_values() {
        let after = configured().with_proxy(proxy(4711), &files("/t", true));
        for name in PROXIES {
            assert_eq!(after.value(name), Some(OsStr::new("http://127.0.0.1:4711")), "{name}");
        }
        for name in NO_PROXIES.iter().chain(OTHER_PROXIES).chain(NODE_USES_PROXIES) {
            assert_eq!(after.0.get(OsStr::new(name)), None, "{name}");
        }
        for name in ROOTS {
            assert_eq!(after.value(name), Some(OsStr::new("/t/roots.pem")), "{name}");
        }
        for (name, value) in [
            ("NODE_OPTIONS", "--require /t/node.js --no-warnings"),
            ("NODE_EXTRA_CA_CERTS", "/t/ca.pem"),
            ("WGETRC", "/t/wgetrc"),
            ("WGET2RC", "/t/wget2rc"),
            ("APT_CONFIG", "/t/apt.conf"),
            ("PHP_INI_SCAN_DIR", "/corporate/php:/t"),
            ("PERL_LWP_ENV_PROXY", "1"),
            ("HOME", "/home/me"),
            ("SPECTRAL_PROXY", "http://127.0.0.1:4711"),
            ("SPECTRAL_BEFORE_NODE_USE_ENV_PROXY", "1"),
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
    fn without_proxy_undoes_with_proxy() {
        for before in [configured(), Environment::default(), Environment::from_iter([("HOME", "/home/me")])] {
            for has_settings in [true, false] {
                assert_eq!(before.with_proxy(proxy(1), &files("/t", has_settings)).without_proxy(), before);
            }
            assert_eq!(before.without_proxy(), before);
        }
    }

    #[test]
    fn a_redirected_command_has_no_proxy_and_trusts_the_ca() {
        let before = configured();
        let after = before.with_redirection(Some(&files("/t", true)));
        for name in PROXIES.iter().chain(OTHER_PROXIES).chain(NO_PROXIES).chain(NODE_USES_PROXIES) {
            assert_eq!(after.0.get(OsStr::new(name)), None, "{name}");
        }
        for (name, value) in [
            ("SSL_CERT_FILE", "/t/roots.pem"),
            ("NODE_EXTRA_CA_CERTS", "/t/ca.pem"),
            ("NODE_OPTIONS", "--no-warnings"),
            ("SPECTRAL_BEFORE_HTTPS_PROXY", "http://corporate:3128"),
            (
                "JAVA_TOOL_OPTIONS",
                "-Xmx64m -Djavax.net.ssl.trustStore='/t/roots.p12' -Djavax.net.ssl.trustStoreType=PKCS12 \
                 -Djavax.net.ssl.trustStorePassword=changeit",
            ),
        ] {
            assert_eq!(after.value(name), Some(OsStr::new(value)), "{name}");
        }
        let discovered = before.with_redirection(None);
        assert_eq!(discovered.value("SSL_CERT_FILE"), Some(OsStr::new("/corporate.pem")));
        assert_eq!(discovered.value("HTTPS_PROXY"), None);
        for changed in [after, discovered] {
            assert!(changed.is_redirected() && changed.is_proxied());
            assert_eq!(changed.without_proxy(), before);
            assert!(!changed.with_proxy(proxy(1), &files("/t", true)).is_redirected());
        }
    }

    #[test]
    fn a_nested_capture_starts_from_the_original_variables() {
        let outer = configured().with_proxy(proxy(1), &files("/outer", true));
        let inner = outer.with_proxy(proxy(2), &files("/inner", true));
        assert_eq!(inner, configured().with_proxy(proxy(2), &files("/inner", true)));
        assert!(!format!("{inner:?}").contains("/outer"), "{inner:?}");
        // Only the outer capture set WGETRC, so the inner one has the original value.
        let inner = outer.with_proxy(proxy(2), &files("/inner", false));
        assert_eq!(inner.value("WGETRC"), Some(OsStr::new("/home/me/wgetrc")));
    }

    #[test]
    fn lists_root_files_and_proxy_variables() {
        let mut before = configured();
        before.0.insert("CURL_CA_BUNDLE".into(), "/corporate.pem".into());
        before.0.insert("PIP_CERT".into(), "/pip.pem".into());
        assert_eq!(before.root_files(), [Path::new("/corporate.pem"), Path::new("/pip.pem")].into());
        assert_eq!(before.proxy_variables().collect::<Vec<_>>(), ["HTTPS_PROXY", "ALL_PROXY"]);
        assert_eq!(
            Environment::from_iter([("http_proxy", "")]).proxy_variables().count(),
            0,
            "an empty variable counts as not set"
        );
    }

    #[test]
    fn lists_changed_added_and_removed_variables() {
        let (from, to) = (
            Environment::from_iter([("a", "1"), ("b", "1"), ("c", "1")]),
            Environment::from_iter([("b", "2"), ("c", "1"), ("d", "")]),
        );
        let changes: Vec<_> =
            from.changes_to(&to).map(|(name, value)| (name.to_str(), value.and_then(OsStr::to_str))).collect();
        assert_eq!(changes, [(Some("a"), None), (Some("b"), Some("2")), (Some("d"), Some(""))]);
    }

    #[test]
    fn root_locations_are_those_before_the_outer_capture() {
        let original = Environment::from_iter([("SSL_CERT_FILE", "/corporate.pem"), ("SSL_CERT_DIR", ":/a:/b")]);
        assert_eq!(original.root_locations(), None);
        let locations = original.with_proxy(proxy(1), &files("/t", false)).root_locations().unwrap();
        assert_eq!(locations.file, Some("/corporate.pem".into()));
        assert_eq!(locations.dirs, ["", "/a", "/b"].map(PathBuf::from));
        let locations = Environment::default().with_proxy(proxy(1), &files("/t", false)).root_locations();
        assert_eq!(locations, Some(RootLocations::default()));
    }
}
