//! The options and variables for upstream proxies, in the built program.

use crate::support::bundle::Bundle;
use crate::support::cli::{Spectral, capture_run, command, spectral};
use crate::support::peers::{Output, peer, run};
use crate::support::upstream_proxy::{AUTHORIZATION, UpstreamProxy};
use crate::support::{Connection, Origin, TempDir};
use std::ffi::OsString;

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";

/// Fails if a password is in the messages or the bundle.
#[track_caller]
fn assert_no_password(output: &Output, bundle: &std::path::Path) {
    let bytes = std::fs::read(bundle).unwrap_or_default();
    let files = Bundle::open(bundle);
    let shown = format!("{output:?}{}{:?}{:?}", String::from_utf8_lossy(&bytes), files.manifest, files.traces);
    assert!(!shown.contains("secret") && !shown.contains("dXNlcjpzZWNyZXQ"), "{shown}");
}

#[test]
fn the_variables_of_capture_run_become_the_upstream_proxy() {
    let Some(curl) = peer("curl") else {
        return;
    };
    let (tls, plain) = (Origin::tls_responding(HELLO), Origin::plain_responding(HELLO));
    for (variables, origin, url, source) in [
        (["HTTPS_PROXY", "NONE"], &tls, "https://example.test/", "https: PROXY (HTTPS_PROXY), http: direct"),
        (["HTTP_PROXY", "NONE"], &plain, "http://example.test/", "https: direct, http: PROXY (HTTP_PROXY)"),
        (["https_proxy", "http_proxy"], &tls, "https://example.test/", "PROXY (https_proxy, http_proxy)"),
        (["ALL_PROXY", "NONE"], &plain, "http://example.test/", "PROXY (ALL_PROXY)"),
    ] {
        let (dir, proxy) = (TempDir::new(), UpstreamProxy::to(origin.addr));
        let mut command = capture_run(&dir, &[], &[curl.to_str().unwrap(), "-sS", url]);
        for variable in variables {
            command.env(variable, format!("http://user:secret@{}", proxy.addr));
        }
        let output = run(&mut command).ok();
        assert_eq!(output.text(), "hello");
        let line = format!("Upstream proxy: {}", source.replace("PROXY (", &format!("http://{} (", proxy.addr)));
        assert!(output.err.lines().any(|shown| shown == line), "{line}: {}", output.err);
        assert!(!output.err.contains("warning"), "{}", output.err);
        assert!(proxy.heads.read(|heads| heads.len() == 1 && heads[0].contains(AUTHORIZATION)));
        assert_eq!(Bundle::open(&dir.join("capture.zip")).urls(), [url]);
        assert_no_password(&output, &dir.join("capture.zip"));
    }
}

#[test]
fn a_run_within_a_run_uses_the_proxy_of_the_outer_one_s_environment() {
    let Some(curl) = peer("curl") else {
        return;
    };
    let origin = Origin::tls_responding(HELLO);
    let (dir, proxy) = (TempDir::new(), UpstreamProxy::to(origin.addr));
    let inner = capture_run(&dir, &["-o", "inner.zip"], &[curl.to_str().unwrap(), "-sS", "https://example.test/"]);
    let inner: Vec<OsString> = [inner.get_program()].into_iter().chain(inner.get_args()).map(Into::into).collect();
    let mut outer = capture_run(&dir, &["-o", "outer.zip"], &inner);
    let output = run(outer.env("HTTPS_PROXY", format!("http://user:secret@{}", proxy.addr))).ok();
    assert_eq!(output.text(), "hello", "{}", output.err);
    assert_eq!(Bundle::open(&dir.join("inner.zip")).urls(), ["https://example.test/"]);
    assert_eq!(Bundle::open(&dir.join("outer.zip")).traces.len(), 0, "the inner run captures alone");
    assert!(proxy.heads.read(|heads| heads.len() == 1 && heads[0].starts_with("CONNECT example.test:443 ")));
    assert_no_password(&output, &dir.join("inner.zip"));
}

/// Sends a plain request for `example.test` through `running`; returns the body of the answer.
fn fetch(running: &Spectral) -> String {
    Connection::to(running.addr).request("GET http://example.test/ HTTP/1.1\r\nHost: example.test\r\n\r\n").text()
}

#[test]
fn the_option_and_its_password_file_take_precedence() {
    let origin = Origin::plain_responding(HELLO);
    let (dir, proxy) = (TempDir::new(), UpstreamProxy::to(origin.addr));
    let file = dir.write("password", "user:secret\n");
    let url = format!("http://{}", proxy.addr);
    let args =
        ["capture", "proxy", "-p", "0", "--upstream-proxy", &url, "--upstream-auth-file", file.to_str().unwrap()];
    let mut command = command(&dir, &args);
    command.env("HTTP_PROXY", "http://127.0.0.1:1").env("SPECTRAL_UPSTREAM_AUTH", "other:other");
    let running = Spectral::start(command);
    assert_eq!(running.wait_for_line("  upstream "), format!("  upstream {url}"));
    assert_eq!(fetch(&running), "hello");
    assert!(proxy.heads.read(|heads| heads[0].contains(AUTHORIZATION)));
    assert_no_password(&running.interrupt(), &dir.join("capture.zip"));
}

#[test]
fn discover_uses_the_variables_and_their_password() {
    let origin = Origin::plain_responding(HELLO);
    let (dir, proxy) = (TempDir::new(), UpstreamProxy::to(origin.addr));
    let mut command = command(&dir, &["capture", "discover", "-p", "0"]);
    command.env("http_proxy", proxy.addr.to_string()).env("SPECTRAL_UPSTREAM_AUTH", "user:secret");
    let running = Spectral::start(command);
    running.wait_for_line("  upstream ");
    assert_eq!(fetch(&running), "hello");
    assert!(proxy.heads.read(|heads| heads[0].contains(AUTHORIZATION)));
    let output = running.interrupt();
    assert!(output.text().contains("example.test") && !output.err.contains("secret"), "{output:?}");
}

#[test]
fn no_upstream_proxy_and_no_proxy_ignore_the_variables() {
    for (args, no_proxy) in [(&["--no-upstream-proxy"][..], ""), (&[], "example.test")] {
        let dir = TempDir::new();
        let mut command = command(&dir, &[&["capture", "proxy", "-p", "0"][..], args].concat());
        let running = Spectral::start({
            command.env("HTTP_PROXY", "http://127.0.0.1:1").env("NO_PROXY", no_proxy);
            command
        });
        assert!(fetch(&running).contains("its name does not resolve"));
        let output = running.interrupt();
        assert_eq!(output.err.contains("  upstream "), args.is_empty(), "{}", output.err);
    }
}

#[test]
fn wrong_options_and_passwords_are_errors() {
    let dir = TempDir::new();
    for (args, code, error) in [
        (
            &["--upstream-proxy", "https://u:secret@h"][..],
            2,
            "invalid --upstream-proxy: TLS to the proxy (https://) is not supported",
        ),
        (&["--upstream-proxy", "http://u:secret@h/x"], 2, "invalid --upstream-proxy: nothing may follow the port"),
        (
            &["--upstream-proxy", "h", "--no-upstream-proxy"],
            2,
            "--upstream-proxy and --no-upstream-proxy exclude each other",
        ),
        (&["--upstream-proxy", "h", "--upstream-auth-file", "none"], 1, "cannot read none: No such file or directory"),
    ] {
        for kind in [&["capture", "proxy", "-p", "0"][..], &["capture", "discover", "-p", "0"]] {
            let output = spectral(&dir, &[kind, args].concat());
            assert_eq!((output.code, output.err.trim_end()), (Some(code), &*format!("spectral: error: {error}")));
        }
    }
    let mut command = command(&dir, &["capture", "run", "--upstream-proxy", "h", "--", "true"]);
    let output = run(command.env("SPECTRAL_UPSTREAM_AUTH", "secret"));
    assert_eq!(output.err, "spectral: error: SPECTRAL_UPSTREAM_AUTH is not USER:PASSWORD\n");
    assert_eq!(dir.names(), ["capture.zip"; 0], "nothing is created");
}

#[test]
fn an_invalid_variable_is_a_warning() {
    let dir = TempDir::new();
    let mut command = capture_run(&dir, &[], &["true"]);
    let output = run(command.env("HTTPS_PROXY", "https://u:secret@proxy.example:443")).ok();
    let expected = "spectral: warning: the proxy in HTTPS_PROXY is not used: TLS to the proxy (https://) is not supported; \
                    hosts reachable only through that proxy will fail";
    assert!(output.err.lines().any(|line| line == expected), "{}", output.err);
    assert!(!output.err.contains("secret"), "{}", output.err);
}

#[test]
fn a_variable_that_names_the_proxy_itself_is_ignored() {
    let origin = Origin::plain_responding(HELLO);
    let dir = TempDir::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = command(&dir, &["capture", "proxy", "-p", &port.to_string()]);
    let itself = format!("http://127.0.0.1:{port}");
    command.env("HTTPS_PROXY", &itself).env("HTTP_PROXY", &itself);
    let running = Spectral::start(command);
    let target = origin.authority("127.1");
    let request = format!("GET http://{target}/ HTTP/1.1\r\nHost: {target}\r\n\r\n");
    assert_eq!(Connection::to(running.addr).request(request).text(), "hello");
    let output = running.interrupt();
    let warning = "spectral: warning: the proxy in HTTPS_PROXY, HTTP_PROXY is this proxy itself, and is not used";
    assert!(output.err.lines().any(|line| line == warning), "{}", output.err);
    let option = ["capture", "proxy", "-p", &port.to_string(), "--upstream-proxy", &itself];
    let error = "spectral: error: the upstream proxy is this proxy itself: give --upstream-proxy another one\n";
    let output = spectral(&dir, &option);
    assert_eq!((output.code, &*output.err), (Some(1), error));
}
