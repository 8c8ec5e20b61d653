//! Many exchanges on one connection, concurrent and sequential: each is recorded with its own bodies.

use crate::support::capture::Outcome;
use crate::support::node::post;
use crate::support::peers::{peer, run};
use crate::support::{Capture, NodeOrigin, PortForward};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::Command;

/// Returns the ids in a bundle.
fn ids(outcome: &Outcome) -> BTreeSet<&str> {
    outcome.bundle().traces.iter().map(|trace| trace.id()).collect()
}

#[test]
fn records_a_hundred_concurrent_streams() {
    let Some(origin) = NodeOrigin::tls() else {
        return;
    };
    let capture = Capture::start();
    // The origin responds only after it has received all requests, in reverse order.
    let body = |n: usize| format!("body {n} ").repeat(n * 20);
    let requests: Vec<_> = (1..=100).map(|n| post(&format!("/together/100?{n}"), &body(n))).collect();
    let seen = origin.run_client_with(Some(&capture), &json!({"offer": ["h2"], "at_once": true, "requests": requests}));
    for n in 1..=100 {
        assert_eq!(seen["answers"][n - 1]["body"], body(n), "{n}");
    }
    let outcome = capture.stop();
    outcome.assert_no_warnings();
    assert_eq!(outcome.bundle().traces.len(), 100);
    for n in 1..=100 {
        let trace = outcome.bundle().trace(&format!("/together/100?{n}"));
        assert_eq!((trace.status(), trace.text()), (200, body(n)));
        assert_eq!(trace.request_body, body(n).as_bytes());
    }
    assert_eq!(ids(&outcome).len(), 100);
}

#[test]
fn records_thousands_of_streams_of_a_connection() {
    let (Some(origin), Some(h2load)) = (NodeOrigin::tls(), peer("h2load")) else {
        return;
    };
    let capture = Capture::start();
    let forward = PortForward::start(&capture, &origin.authority());
    let urls = ["/hello?one", "/hello?two", "/status/204"].map(|path| forward.url("https", path));
    let output = run(Command::new(h2load).args(["-n", "3000", "-c", "1", "-m", "100"]).args(&urls)).ok().text();
    assert!(output.contains("3000 succeeded, 0 failed, 0 errored"), "{output}");
    assert!(output.contains("Application protocol: h2"), "{output}");
    let outcome = capture.stop();
    outcome.assert_no_warnings();
    assert_eq!((outcome.bundle().traces.len(), ids(&outcome).len()), (3000, 3000));
    for (url, text) in urls.iter().zip(["hello", "hello", ""]) {
        let those: Vec<_> = outcome.bundle().traces.iter().filter(|trace| trace.url() == url).collect();
        assert_eq!(those.len(), 1000, "{url}");
        assert!(those.iter().all(|trace| trace.text() == text), "{url}");
    }
}

#[test]
fn records_concurrent_streams_of_curl() {
    let (Some(origin), Some(curl)) = (NodeOrigin::tls(), peer("curl")) else {
        return;
    };
    let capture = Capture::start();
    let urls: Vec<_> = (0..50).map(|n| origin.url(&format!("/hello?{n}"))).collect();
    let mut command = Command::new(curl);
    command.args(["-sS", "--http2", "--parallel", "--parallel-max", "50", "-x", &format!("http://{}", capture.addr)]);
    command.args(["--noproxy", "", "--cacert"]).arg(capture.ca.as_ref().unwrap()).args(&urls);
    assert_eq!(run(&mut command).ok().text(), "hello".repeat(50));
    let outcome = capture.stop();
    let recorded: BTreeSet<_> = outcome.bundle().urls().into_iter().map(str::to_owned).collect();
    assert_eq!(recorded, urls.into_iter().collect());
}

#[test]
fn records_concurrent_connections() {
    let Some(origin) = NodeOrigin::tls() else {
        return;
    };
    let capture = Capture::start();
    std::thread::scope(|scope| {
        for client in 0..8 {
            let (origin, capture) = (&origin, &capture);
            scope.spawn(move || {
                let requests: Vec<_> = (0..12).map(|n| post(&format!("/echo?{client}-{n}"), &format!("{n}"))).collect();
                let how = json!({"offer": ["h2"], "at_once": true, "requests": requests});
                let seen: Value = origin.run_client_with(Some(capture), &how);
                let bodies: Vec<_> = (0..12).map(|n| seen["answers"][n]["body"].as_str().unwrap()).collect();
                assert_eq!(bodies, (0..12).map(|n| n.to_string()).collect::<Vec<_>>(), "{client}");
            });
        }
    });
    let outcome = capture.stop();
    for (client, n) in (0..8).flat_map(|client| (0..12).map(move |n| (client, n))) {
        assert_eq!(outcome.bundle().trace(&format!("/echo?{client}-{n}")).text(), n.to_string());
    }
    assert_eq!(ids(&outcome).len(), 96);
}
