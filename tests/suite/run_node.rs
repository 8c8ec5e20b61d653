//! Node under `spectral capture run`: each client has the result that it has without it, and is captured.
//!
//! The clients are in `tests/peers/node_clients.js`.

use crate::support::bundle::Bundle;
use crate::support::cli::capture_run;
use crate::support::connection::header;
use crate::support::peers::{peer, report_skipped, run, script};
use crate::support::{Connection, Origin, TempDir, TestCa, next_request};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Clients that are part of Node.
const OWN: &[&str] = &[
    "http",
    "host",
    "own-agent",
    "no-agent",
    "fetch",
    "fetch-request",
    "fetch-post",
    "worker",
    "child",
    "limited",
    "lookup",
    "refused",
    "unresolved",
];
/// Clients from npm. `undici` defines its dispatcher before Node's own copy does.
const UNDICI: &[&str] = &["undici", "undici-composed", "fetch"];
const PACKAGES: &[&str] = &["axios-old", "axios", "got", "node-fetch", "superagent", "request", "http-proxy"];
/// Clients that are not captured: one that connects by itself, those that reach nothing.
const UNCAPTURED: &[&str] = &["lookup", "refused", "unresolved"];

/// Answers each request with its method, host, path and length.
fn describe(mut connection: Connection) {
    while let Some((head, body)) = next_request(&mut connection) {
        let mut words = head.split(' ');
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        let host = header(&head, "host").unwrap();
        let text = format!("{method} {host} {path} {}", body.len());
        connection.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{text}",
            text.len()
        ));
    }
}

/// Asserts that each of `clients` prints under capture what it prints without, and is captured. They find the packages in
/// `modules`.
#[track_caller]
fn assert_same_as_direct(node: &Path, clients: &[&str], modules: &Path) {
    let (plain, tls) = (Origin::plain(describe), Origin::tls(describe));
    let program = std::fs::read_to_string(script("node_clients.js")).unwrap();
    let urls = [format!("http://{}", plain.authority("127.0.0.1")), format!("https://{}", tls.authority("localhost"))];
    let clients = clients.join(",");
    // The warnings name the process.
    let command = [node.to_str().unwrap(), "--no-deprecation", "-e", &program, &clients, &urls[0], &urls[1]];
    let dir = TempDir::new();
    // NODE_OPTIONS must quote its name.
    let temporary = dir.join("a \"quoted\" \\ folder");
    std::fs::create_dir(&temporary).unwrap();
    let run_with = |command: &mut Command| {
        command.current_dir(modules).env("TMPDIR", &temporary).env("NODE_EXTRA_CA_CERTS", &TestCa::trusted().pem);
        run(command.env_remove("NODE_OPTIONS").env_remove("NODE_USE_ENV_PROXY")).ok()
    };
    let bundle = dir.join("capture.zip");
    let direct = run_with(Command::new(command[0]).args(&command[1..]));
    let captured = run_with(&mut capture_run(&dir, &["-q", "-o", bundle.to_str().unwrap()], &command));
    assert_eq!((captured.text(), &captured.err), (direct.text(), &direct.err), "{}", node.display());

    let bundle = Bundle::open(&bundle);
    for line in direct.text().lines() {
        let (client, result) = line.split_once(' ').unwrap();
        assert!(!result.contains("error"), "{}: {line}", node.display());
        let path = format!("/{client}");
        let captured = bundle.urls().into_iter().filter(|url| url.ends_with(&path)).count();
        let expected = if UNCAPTURED.contains(&client) { 0..=0 } else { result.split(" | ").count()..=usize::MAX };
        assert!(expected.contains(&captured), "{}: {line}, captured {:?}", node.display(), bundle.urls());
    }
}

/// Returns a folder with Nodes and packages, as `tests/clients/install` makes it.
fn folder() -> Option<PathBuf> {
    std::env::var_os("SPECTRAL_CLIENTS").map(PathBuf::from)
}

/// Returns the Nodes of the major versions that the tests need, else the one in `PATH`.
#[track_caller]
fn nodes() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for version in ["20", "22", "24"] {
        let program = folder().map(|folder| folder.join(format!("node{version}/node_modules/.bin/node")));
        match program.filter(|program| program.exists()) {
            Some(program) => found.push(program),
            None => report_skipped(&format!("node {version}")),
        }
    }
    if found.is_empty() { peer("node").into_iter().collect() } else { found }
}

#[test]
fn clients_of_node_have_the_same_results_as_without_capture() {
    for node in nodes() {
        assert_same_as_direct(&node, OWN, &std::env::temp_dir());
    }
}

#[test]
fn packages_have_the_same_results_as_without_capture() {
    let Some(modules) = folder().map(|folder| folder.join("js")).filter(|folder| folder.exists()) else {
        return report_skipped("node packages");
    };
    for node in nodes() {
        assert_same_as_direct(&node, UNDICI, &modules);
        assert_same_as_direct(&node, PACKAGES, &modules);
    }
}

#[test]
fn node_keeps_its_own_options() {
    let Some(node) = nodes().pop() else {
        return;
    };
    let dir = TempDir::new();
    let own = dir.write("own script.js", "globalThis.preloaded = true");
    let options = format!("--require \"{}\" --title=mine", own.display());
    let fetch = [node.to_str().unwrap(), "-p", "globalThis.preloaded + process.title"];
    let output = run(capture_run(&dir, &["-q"], &fetch).env("NODE_OPTIONS", options)).ok();
    assert_eq!((output.text().trim(), output.err.as_str()), ("truemine", ""));
}

/// A process may outlive the capture.
#[test]
fn node_connects_directly_without_the_proxy() {
    let Some(node) = nodes().pop() else {
        return;
    };
    let origin = Origin::plain(describe);
    let url = format!("http://{}/gone", origin.authority("127.0.0.1"));
    let program = "const http = require('http'); fetch(process.argv[1]).then(answer => answer.text()).then(text => {
        console.log(text);
        http.get(process.argv[1], answer => answer.pipe(process.stdout));
    })";
    let preload = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/trust/node.js");
    let mut command = Command::new(node);
    command.arg("--require").arg(preload).args(["-e", program, &url]);
    // Nothing listens on that port.
    let output = run(command.env("SPECTRAL_PROXY", "http://127.77.77.77:1")).ok();
    let expected = format!("GET {} /gone 0", origin.authority("127.0.0.1"));
    assert_eq!(output.text(), format!("{expected}\n{expected}"));
}
