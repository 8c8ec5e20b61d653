//! The user and password that clients must send.

use crate::support::cli::{Spectral, capture_run, command, spectral};
use crate::support::peers::{peer, run};
use crate::support::{Capture, Ending, Origin, TempDir};
use spectral_capture::{Config, Conflict, Credentials, Error, Proxy, Reason, Transparent};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// me:secret and me:wrong.
const RIGHT: &str = "Proxy-Authorization: Basic bWU6c2VjcmV0\r\n";
const WRONG: &str = "Proxy-Authorization: Basic bWU6d3Jvbmc=\r\n";
const PROXY_ITSELF: &str = "(the proxy itself)";

/// Starts a capture with the user `me` and the password `secret`.
fn protected() -> Capture {
    Capture::with(|config| config.auth = Credentials::parse("me:secret"))
}

fn connect(target: &str, fields: &str) -> String {
    format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{fields}\r\n")
}

fn get(origin: &Origin, path: &str, fields: &str) -> String {
    let host = origin.authority("127.0.0.1");
    format!("GET http://{host}/{path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n")
}

#[test]
fn a_client_may_repeat_connect_with_the_password() {
    let origin = Origin::tls_responding(OK);
    let capture = protected();
    let target = origin.authority("localhost");
    let mut connection = capture.dial();
    let response = connection.request(connect(&target, ""));
    assert_eq!(response.status, 407);
    assert_eq!(response.header("proxy-authenticate"), Some("Basic realm=\"spectral\""));
    assert_eq!(response.header("connection"), None);
    assert_eq!(origin.connections(), 0);
    connection.send(connect(&target, RIGHT));
    assert!(connection.read_head().starts_with("HTTP/1.1 200 "));
    capture.client("localhost").start(&mut connection).unwrap();
    assert_eq!(connection.request("GET /in HTTP/1.1\r\nHost: localhost\r\n\r\n").text(), "ok");
    drop(connection);
    let outcome = capture.stop();
    assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
    assert_eq!(outcome.bundle().traces.len(), 1);
}

#[test]
fn each_plain_request_needs_the_password_which_stays_here() {
    let origin = Origin::plain_responding(OK);
    let capture = protected();
    let mut connection = capture.dial();
    for (path, fields, status) in
        [("1", "", 407), ("2", RIGHT, 200), ("3", WRONG, 407), ("4", "", 407), ("5", RIGHT, 200)]
    {
        assert_eq!(connection.request(get(&origin, path, fields)).status, status, "{path}");
    }
    drop(connection);
    let outcome = capture.stop();
    let received = String::from_utf8(origin.received(0)).unwrap();
    assert!(!received.to_lowercase().contains("proxy-"), "{received}");
    assert_eq!(received.matches("GET ").count(), 2);
    assert_eq!(origin.connections(), 1);
    let traces = &outcome.bundle().traces;
    assert_eq!(traces.len(), 2);
    assert!(traces.iter().all(|trace| !trace.json.to_string().to_lowercase().contains("proxy-")));
    outcome.assert_uncaptured(PROXY_ITSELF, 1, |reason| *reason == Reason::WrongPassword);
    assert_eq!(outcome.summary.uncaptured.len(), 1);
}

#[test]
fn a_request_with_a_body_ends_the_connection() {
    let origin = Origin::plain_responding(OK);
    let capture = protected();
    let mut connection = capture.dial();
    let host = origin.authority("localhost");
    connection.send(format!("POST http://{host}/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 30\r\n\r\n"));
    connection.send(&connect(&host, "").as_bytes()[..30]);
    let response = connection.read_response();
    assert_eq!((response.status, response.header("connection")), (407, Some("close")));
    assert_eq!(connection.read_to_end(), (vec![], Ending::Clean));
    let mut connection = capture.dial();
    connection.send(get(&origin, "", "").replace("GET ", "HEAD "));
    let head = connection.read_head();
    assert!(head.starts_with("HTTP/1.1 407 ") && head.contains("Content-Length: "), "{head}");
    connection.finish();
    assert_eq!(connection.read_to_end(), (vec![], Ending::Clean));
    assert_eq!(origin.connections(), 0);
    capture.stop().assert_uncaptured(PROXY_ITSELF, 2, |reason| *reason == Reason::NoPassword);
}

#[test]
fn responses_do_not_pile_up_for_a_client_that_does_not_read_them() {
    let capture = protected();
    let mut connection = capture.dial();
    let requests = connect("a.test:1", "").repeat(1000);
    // Until the proxy closes. If it takes a while to close, it drops further requests.
    let sent = (0..2000).take_while(|_| connection.writer.try_send(requests.as_bytes()).is_ok()).count();
    let (responses, _) = connection.read_to_end();
    let answered = String::from_utf8_lossy(&responses).matches("HTTP/1.1 407 ").count();
    assert!((1..sent * 1000).contains(&answered), "{answered} responses after {sent} times 1000 requests");
}

#[test]
fn socks_clients_send_the_password_first() {
    let origin = Origin::plain_responding(OK);
    let capture = protected();
    let login = |methods: &[u8], user: &str, password: &str| {
        let counted = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
        let target = [&b"\x05\x01\x00\x01\x7f\x00\x00\x01"[..], &origin.port().to_be_bytes()].concat();
        let mut connection = capture.dial();
        connection.send([methods, &[1], &counted(user), &counted(password), &target].concat());
        connection
    };
    let mut connection = login(b"\x05\x02\x00\x02", "me", "secret");
    assert_eq!(connection.read_exactly(14), b"\x05\x02\x01\x00\x05\0\0\x01\0\0\0\0\0\0");
    assert_eq!(connection.request("GET / HTTP/1.1\r\nHost: x\r\n\r\n").text(), "ok");
    assert_eq!(login(b"\x05\x01\x02", "me", "wrong").read_to_end(), (b"\x05\x02\x01\x01".to_vec(), Ending::Clean));
    assert_eq!(login(b"\x05\x01\x00", "me", "secret").read_to_end(), (b"\x05\xff".to_vec(), Ending::Clean));
    assert_eq!(origin.connections(), 1);
    drop(connection);
    let outcome = capture.stop();
    outcome.assert_uncaptured(PROXY_ITSELF, 1, |reason| *reason == Reason::WrongPassword);
    outcome.assert_uncaptured(PROXY_ITSELF, 1, |reason| *reason == Reason::NoPassword);
}

#[test]
fn only_the_own_page_is_open() {
    let capture = protected();
    let own = capture.addr;
    for request in [
        "GET http://mitm.it/ HTTP/1.1\r\nHost: mitm.it\r\n\r\n".to_owned(),
        format!("GET / HTTP/1.1\r\nHost: {own}\r\n\r\n"),
        format!("GET http://{own}/cert/pem HTTP/1.1\r\nHost: {own}\r\n\r\n"),
    ] {
        let response = capture.dial().request(&request);
        assert_eq!(response.status, 200, "{request}");
        assert!(!response.text().contains("secret"));
    }
    assert_eq!(capture.dial().request(connect("mitm.it:443", "")).status, 407);
    assert_eq!(capture.dial().request(connect(&own.to_string(), "")).status, 407);
    assert_eq!(capture.dial().request("GET / HTTP/1.1\r\nHost: web.test\r\n\r\n").status, 400);
}

#[test]
fn redirected_traffic_and_a_password_exclude_each_other() {
    let mut config = Config::discover();
    config.listen.set_port(0);
    config.transparent = Transparent::ByName;
    config.auth = Credentials::parse("me:secret");
    assert!(!format!("{config:?}").contains("secret"));
    let error = Proxy::bind(config).unwrap_err();
    assert!(matches!(error, Error::Conflict(Conflict::PasswordForRedirected)), "{error:?}");
    let dir = TempDir::new();
    let mut transparent = command(&dir, &["capture", "proxy", "-p", "0", "--transparent=by-name"]);
    let output = run(transparent.env("SPECTRAL_AUTH", "me:secret"));
    let expected = "spectral: error: redirected clients cannot send the password that is required; give --transparent \
                    or a password (--auth-file, SPECTRAL_AUTH), not both\n";
    assert_eq!((output.code, output.err.as_str()), (Some(1), expected));
}

#[test]
fn the_password_comes_from_a_file_or_a_variable_and_is_never_shown() {
    let origin = Origin::plain_responding(OK);
    let dir = TempDir::new();
    let file = dir.write("auth", "me:secret\nmore\n");
    let permit = |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    for (mode, is_warned) in [(Some(0o644), true), (Some(0o600), false), (None, false)] {
        let command = match mode {
            Some(mode) => {
                permit(mode);
                command(&dir, &["capture", "proxy", "-p", "0", "--auth-file", "auth"])
            }
            None => {
                let mut command = command(&dir, &["capture", "discover", "-p", "0", "-q"]);
                command.env("SPECTRAL_AUTH", "me:secret");
                command
            }
        };
        let running = Spectral::start(command);
        let mut connection = crate::support::Connection::to(running.addr);
        assert_eq!(connection.request(get(&origin, "x", "")).status, 407);
        assert_eq!(connection.request(get(&origin, "x", RIGHT)).text(), "ok");
        drop(connection);
        let output = running.interrupt().ok();
        let all = output.text() + &output.err;
        assert!(!all.contains("secret") && !all.contains("bWU6"), "{all}");
        assert_eq!(all.contains("spectral: warning: other users can read or change auth"), is_warned, "{all}");
        if all.contains("Capturing") {
            assert!(all.contains("HTTPS_PROXY=http://USER:PASSWORD@127.0.0.1:"), "{all}");
        }
    }
}

#[test]
fn a_source_without_a_password_is_an_error() {
    let dir = TempDir::new();
    dir.write("none", "secret\n");
    dir.write("empty", "me:\n");
    for (file, expected) in [
        ("none", "spectral: error: the first line of none is not USER:PASSWORD\n"),
        ("empty", "spectral: error: the password in empty is empty\n"),
        ("missing", "spectral: error: cannot read missing: No such file or directory\n"),
    ] {
        let output = spectral(&dir, &["capture", "proxy", "-p", "0", "--auth-file", file]);
        assert_eq!((output.code, output.err.as_str()), (Some(1), expected));
    }
    for (value, expected) in [
        ("", "spectral: error: SPECTRAL_AUTH is not USER:PASSWORD\n"),
        ("me:", "spectral: error: the password in SPECTRAL_AUTH is empty\n"),
    ] {
        let output = run(command(&dir, &["capture", "discover", "-p", "0"]).env("SPECTRAL_AUTH", value));
        assert_eq!((output.code, output.err.as_str()), (Some(1), expected));
    }
}

#[test]
fn capture_run_ignores_the_variable() {
    let Some(curl) = peer("curl") else {
        return;
    };
    let origin = Origin::plain_responding(OK);
    let dir = TempDir::new();
    let url = format!("http://{}/run", origin.authority("127.0.0.1"));
    let mut command = capture_run(&dir, &[], &[curl.to_str().unwrap(), "-sS", &url]);
    assert_eq!(run(command.env("SPECTRAL_AUTH", "me:secret")).ok().text(), "ok");
}

#[test]
fn on_all_addresses_with_a_password_others_are_told_where() {
    let dir = TempDir::new();
    let mut command = command(&dir, &["capture", "proxy", "-p", "0", "--listen", "0.0.0.0"]);
    command.env("SPECTRAL_AUTH", "me:secret");
    let running = Spectral::start(command);
    let err = running.interrupt().ok().err;
    assert!(!err.contains("anyone"), "{err}");
    assert!(err.contains("access   with the user and password only"), "{err}");
}

#[test]
fn curl_sends_the_password_in_each_way() {
    let Some(program) = peer("curl") else {
        return;
    };
    let (tls, clear) = (Origin::tls_responding(OK), Origin::plain_responding(OK));
    let capture = protected();
    let urls =
        [format!("https://{}/", tls.authority("localhost")), format!("http://{}/", clear.authority("localhost"))];
    for (scheme, way) in [("http", "--proxy-basic"), ("http", "--proxy-anyauth"), ("socks5h", "-s"), ("socks5", "-s")] {
        for url in &urls {
            for (user, code) in [("me:secret", true), ("me:wrong", false)] {
                let mut curl = Command::new(&program);
                curl.args([
                    "-sSf",
                    "--noproxy",
                    "",
                    "-x",
                    &format!("{scheme}://{}", capture.addr),
                    way,
                    "-U",
                    user,
                    url,
                ]);
                let output = run(curl.arg("--cacert").arg(capture.ca.as_ref().unwrap()));
                assert_eq!(output.code == Some(0), code, "{scheme} {way} {user} {url}: {}", output.err);
            }
        }
    }
    let outcome = capture.stop();
    assert_eq!(outcome.bundle().traces.len(), 8);
    assert!(outcome.summary.uncaptured.iter().all(|uncaptured| uncaptured.reason == Reason::WrongPassword));
}
