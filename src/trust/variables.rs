//! The environment variables by which programs find a proxy and root certificates.

use super::p12::P12_PASSWORD;
use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::path::Path;

/// Returns `JAVA_TOOL_OPTIONS` with the proxy, if there is one, the trust store and its password.
///
/// They come after the original options, because the JVM uses the last value of a property.
pub(super) fn java_options(original: Option<&OsStr>, proxy: Option<SocketAddr>, store: &Path) -> OsString {
    let mut options = original.map(OsStr::to_owned).unwrap_or_default();
    if !options.is_empty() {
        options.push(" ");
    }
    if let Some(proxy) = proxy {
        let (host, port) = (proxy.ip(), proxy.port());
        for protocol in ["http", "https"] {
            options.push(format!("-D{protocol}.proxyHost={host} -D{protocol}.proxyPort={port} "));
        }
        // By default the JVM uses no proxy for the machine's own addresses. An empty list changes that.
        options.push("-Dhttp.nonProxyHosts= ");
    }
    // The JVM removes single and double quotes. It has no other way to escape a space.
    let quote = if store.as_os_str().as_encoded_bytes().contains(&b'\'') { "\"" } else { "'" };
    for part in [OsStr::new("-Djavax.net.ssl.trustStore="), quote.as_ref(), store.as_os_str(), quote.as_ref()] {
        options.push(part);
    }
    options.push(" -Djavax.net.ssl.trustStoreType=PKCS12 -Djavax.net.ssl.trustStorePassword=");
    options.push(P12_PASSWORD);
    options
}

/// Returns `NODE_OPTIONS` with `script` to preload, or `None` if its path cannot be quoted.
///
/// It comes first, so that programs that instrument Node find what it replaced.
pub(super) fn node_options(original: Option<&OsStr>, script: &Path) -> Option<OsString> {
    let script = script.to_str()?;
    // Only Node 12 and later know quotes.
    let is_quoted = script.contains([' ', '"', '\\']);
    let script =
        if is_quoted { format!("\"{}\"", script.replace('\\', r"\\").replace('"', "\\\"")) } else { script.into() };
    let mut options = OsString::from(format!("--require {script}"));
    if let Some(original) = original.filter(|original| !original.is_empty()) {
        options.push(" ");
        options.push(original);
    }
    Some(options)
}

/// Returns `PHP_INI_SCAN_DIR` with `dir` last: of two values of a setting, PHP takes the last.
///
/// An empty first part stands for PHP's own directories, which it scans if the variable is unset. They name its extensions.
pub(super) fn php_scan_dirs(original: Option<&OsStr>, dir: &Path) -> OsString {
    let mut dirs = original.map(OsStr::to_owned).unwrap_or_default();
    // A variable that is set, but empty, keeps PHP from scanning any directory.
    if !dirs.is_empty() || original.is_none() {
        dirs.push(":");
    }
    dirs.push(dir);
    dirs
}

/// Iterates over all variables that a capture sets or removes.
pub(super) fn managed() -> impl Iterator<Item = &'static str> {
    let others = [NODE_OPTIONS, PERL_USES_PROXIES, ROOTS, EXTRA_ROOTS, JAVA, WGET, WGET2, APT, PHP];
    proxy_variables().chain(others.into_iter().flatten().copied())
}

/// Iterates over the variables that configure a proxy.
pub(super) fn proxy_variables() -> impl Iterator<Item = &'static str> {
    [PROXIES, OTHER_PROXIES, NO_PROXIES, NODE_USES_PROXIES].into_iter().flatten().copied()
}

/// Returns the name of the variable that keeps the previous value of `name`.
pub(super) fn saved_name(name: &str) -> String {
    format!("SPECTRAL_BEFORE_{name}")
}

/// Marks the environment of a captured command. Its value is the proxy's URL, or [`REDIRECTED`].
pub(super) const MARKER: &str = "SPECTRAL_PROXY";
/// The value of [`MARKER`] for a command whose connections are redirected.
pub(super) const REDIRECTED: &str = "all";
/// The proxy's URL. Programs differ in which case they read: curl ignores `HTTP_PROXY`. npm, global-agent and some WebSocket
/// clients read their own variables.
pub(super) const PROXIES: &[&str] = &[
    "http_proxy",
    "https_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "WS_PROXY",
    "WSS_PROXY",
    "npm_config_proxy",
    "npm_config_https_proxy",
    "GLOBAL_AGENT_HTTP_PROXY",
    "GLOBAL_AGENT_HTTPS_PROXY",
];
/// A proxy for every protocol. Removed: our proxy serves HTTP only, and other protocols such as FTP go to their origin.
pub(super) const OTHER_PROXIES: &[&str] = &["ALL_PROXY", "all_proxy"];
/// Hosts to reach without a proxy. Removed, because they would not be captured.
pub(super) const NO_PROXIES: &[&str] = &["NO_PROXY", "no_proxy", "npm_config_noproxy", "GLOBAL_AGENT_NO_PROXY"];
/// Node since 22.21 and 24.5 reads the proxy variables if this is set. Removed: it would send a plain request to the host
/// that its Host field names, which may be another server than the one that it was meant for.
pub(super) const NODE_USES_PROXIES: &[&str] = &["NODE_USE_ENV_PROXY"];
/// Options of every Node, with a preloaded script that tunnels connections: `node.js`.
pub(super) const NODE_OPTIONS: &[&str] = &["NODE_OPTIONS"];
/// Perl's LWP reads the proxy variables only if this is set.
pub(super) const PERL_USES_PROXIES: &[&str] = &["PERL_LWP_ENV_PROXY"];
/// Root files that replace a program's own roots.
pub(super) const ROOTS: &[&str] = &[
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
    // npm ignores NODE_EXTRA_CA_CERTS if an npmrc sets `cafile`.
    "npm_config_cafile",
];
/// Certificates that are trusted in addition to a program's own roots.
pub(super) const EXTRA_ROOTS: &[&str] = &["NODE_EXTRA_CA_CERTS"];
pub(super) const JAVA: &[&str] = &["JAVA_TOOL_OPTIONS"];
pub(super) const WGET: &[&str] = &["WGETRC"];
pub(super) const WGET2: &[&str] = &["WGET2RC"];
pub(super) const APT: &[&str] = &["APT_CONFIG"];
/// Directories with settings of PHP.
pub(super) const PHP: &[&str] = &["PHP_INI_SCAN_DIR"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_with_spaces_and_quotes_reach_the_jvm() {
        let options =
            |path| java_options(None, Some(([127, 0, 0, 1], 1).into()), Path::new(path)).into_string().unwrap();
        assert!(options("/a b/c").contains("trustStore='/a b/c' "));
        assert!(options("/o'brien/c").contains("trustStore=\"/o'brien/c\" "));
    }

    #[test]
    fn node_preloads_the_script_before_its_own_options() {
        let options =
            |original: Option<&str>, script| node_options(original.map(OsStr::new), Path::new(script)).unwrap();
        assert_eq!(options(None, "/t/node.js"), "--require /t/node.js");
        assert_eq!(options(Some("--require /mine.js"), "/t/node.js"), "--require /t/node.js --require /mine.js");
        assert_eq!(options(None, r#"/a b/"c\d"#), r#"--require "/a b/\"c\\d""#);
    }

    #[test]
    fn php_still_scans_the_directories_that_it_scanned() {
        let dirs = |original: Option<&str>| php_scan_dirs(original.map(OsStr::new), Path::new("/t"));
        assert_eq!(dirs(None), ":/t");
        assert_eq!(dirs(Some("")), "/t");
        assert_eq!(dirs(Some("/a:")), "/a::/t");
    }
}
