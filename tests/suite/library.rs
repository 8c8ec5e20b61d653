//! Captures of programs that use the library: settings that the command line does not have.

use crate::support::websocket_frames::{frame, handshake};
use crate::support::{
    Capture, CertSpec, Connection, Gate, Origin, TempDir, TestCa, TlsClient, Watched, next_request, options,
};
use spectral_capture::{
    CaSource, CertificateSource, ClientCertificate, Config, Conflict, Connector, Error, HostFunction, MessageKind,
    Output, OutputError, Proxy, Reason, RecordCallback, Recorded, Rotate, Spilling, UpstreamCa,
};
use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::time::Duration;

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// Captures one request to a TLS origin, from a client that trusts the CA of `capture` only.
#[track_caller]
fn assert_intercepts(capture: Capture) {
    let origin = Origin::tls_responding(HELLO);
    let mut connection = capture.tls(&origin.authority("127.0.0.1"), "localhost");
    assert_eq!(connection.request("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").text(), "hello");
    assert_eq!(capture.stop().bundle().traces.len(), 1);
}

#[test]
fn an_ephemeral_ca_writes_nothing() {
    let capture = Capture::with(|config| options(config).ca = CaSource::Ephemeral);
    assert_eq!(capture.ca, None);
    let names: Vec<_> = fs::read_dir(capture.dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["capture.zip.part"]);
    assert_intercepts(capture);
}

#[test]
fn a_ca_is_given_in_memory() {
    let dir = TempDir::new();
    let mut config = Config::capture(dir.join("capture.zip"));
    config.listen.set_port(0);
    options(&mut config).ca = CaSource::Dir(dir.join("ca"));
    let first = Proxy::bind(config).unwrap().ca().unwrap().der().to_vec();
    let file = fs::read(dir.join("ca/mitmproxy-ca.pem")).unwrap();
    let shown = format!("{:?}", CaSource::Pem(file.clone()));
    assert_eq!(shown, "Pem(..)");
    let capture = Capture::with(|config| options(config).ca = CaSource::Pem(file));
    assert_eq!(*capture.roots()[0], *first);
    assert_intercepts(capture);
}

#[test]
fn a_ca_in_memory_that_cannot_be_used_is_an_error() {
    const DAMAGED_PEM: &str = "-----BEGIN PRIVATE KEY-----\nA*ID\n-----END PRIVATE KEY-----\n";
    let dir = TempDir::new();
    let mut config = Config::capture(dir.join("capture.zip"));
    for (pem, cause) in [("", "empty"), ("garbage", "no private key"), (DAMAGED_PEM, "damaged: ")] {
        options(&mut config).ca = CaSource::Pem(pem.into());
        let error = Proxy::bind(config.clone()).unwrap_err();
        assert!(matches!(error, Error::CaInMemory(_)), "{error:?}");
        assert!(error.to_string().starts_with(&format!("cannot use the CA in memory: {cause}")), "{error}");
        assert!(!error.to_string().contains("file"), "{error}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

/// Creates an empty file in `dir`, open for reading and writing, and deletes its name.
fn unlinked(dir: &TempDir) -> fs::File {
    let path = dir.join("unlinked");
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
    fs::remove_file(path).unwrap();
    file
}

#[test]
fn a_bundle_is_written_to_an_open_file_and_nothing_else() {
    let dir = TempDir::new();
    let file = unlinked(&dir);
    let output = Output::from(file.try_clone().unwrap());
    let capture = Capture::with(|config| {
        options(config).output = output;
        options(config).ca = CaSource::Ephemeral;
    });
    let origin = Origin::tls_responding(HELLO);
    let mut connection = capture.tls(&origin.authority("127.0.0.1"), "localhost");
    assert_eq!(connection.request("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").text(), "hello");
    assert_eq!((capture.dir.names(), dir.names()), (vec![], vec![]));
    let outcome = capture.stop();
    outcome.assert_no_warnings();
    assert!(outcome.summary.bundle.as_ref().unwrap().starts_with("/dev/fd"));
    assert_eq!((outcome.dir.names(), dir.names()), (vec![], vec![]));
    let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    let copy = dir.write("copy.zip", bytes);
    assert_eq!(crate::support::bundle::Bundle::open(&copy).traces.len(), 1);
}

#[test]
fn outputs_that_cannot_be_written_are_errors_before_anything_changes() {
    let dir = TempDir::new();
    let bind = |change: &dyn Fn(&mut spectral_capture::CaptureOptions)| {
        let mut config = Config::capture(dir.join("capture.zip"));
        config.listen.set_port(0);
        options(&mut config).ca = CaSource::Ephemeral;
        change(options(&mut config));
        Proxy::bind(config).unwrap_err()
    };
    let full = dir.write("full", "content");
    let open = || OpenOptions::new().read(true).write(true).open(&full).unwrap();
    let error = bind(&|options| options.output = open().into());
    assert!(matches!(error, Error::Output { cause: OutputError::NotEmpty, .. }), "{error}");
    assert_eq!(fs::read(&full).unwrap(), b"content");
    let error = bind(&|options| {
        options.output = Output::None;
        options.rotate = Some(Rotate::Size(1 << 20));
    });
    assert!(matches!(error, Error::Conflict(Conflict::RotationWithoutPath)), "{error}");
    let missing = dir.join("missing");
    let error = bind(&|options| options.spilling = Spilling::Dir(missing.clone()));
    assert!(matches!(&error, Error::Spill { path, .. } if *path == missing), "{error}");
    assert_eq!(dir.names(), ["full"]);
}

/// Starts a capture without a bundle, a CA in memory, and this callback.
fn in_memory(memory: u64, callback: impl Fn(Recorded<'_>) + Send + Sync + 'static) -> Capture {
    Capture::with(|config| {
        config.limits.memory = memory;
        let options = options(config);
        (options.output, options.ca) = (Output::None, CaSource::Ephemeral);
        options.on_record = Some(RecordCallback::new(callback));
    })
}

/// Returns a line for `recorded`, with its bodies.
fn line(recorded: &Recorded<'_>) -> String {
    let text = |body: &spectral_capture::RecordedBody<'_>| {
        let mut text = String::new();
        body.reader().read_to_string(&mut text).unwrap();
        assert_eq!((text.len() as u64, body.lost_bytes()), (body.len(), 0));
        assert!(body.bytes().is_none_or(|bytes| bytes == text.as_bytes()));
        text
    };
    match recorded {
        Recorded::Exchange(exchange) => {
            let response = exchange.response.as_ref().unwrap();
            let (host, kind) = (exchange.request_headers.first("host"), response.headers.iter().next());
            assert!(host.is_some() && kind.is_some());
            assert!(exchange.started.elapsed().is_ok() && exchange.cut_off.is_none());
            let (sent, received) = (text(&exchange.request_body), text(&response.body));
            let path = exchange.url.rsplit('/').next().unwrap();
            format!("{} {path} {sent:?} {} {received:?} {:?}", exchange.method, response.status, exchange.websocket)
        }
        Recorded::Message(message) => {
            assert!(!message.is_encoded && message.cut_off.is_none());
            let payload = text(&message.payload);
            format!("{} {} {:?} {payload:?}", message.websocket, message.is_from_client, message.kind)
        }
        Recorded::WebSocketEnd { websocket } => format!("{websocket} ends"),
        _ => panic!("{recorded:?}"),
    }
}

#[test]
fn a_callback_gets_whole_exchanges_without_a_bundle() {
    let lines: Watched<Vec<String>> = Watched::default();
    let log = lines.clone();
    let capture = in_memory(64 << 20, move |recorded| log.update(|lines| lines.push(line(&recorded))));
    let origin = Origin::tls_responding(HELLO);
    let mut connection = capture.tls(&origin.authority("127.0.0.1"), "localhost");
    for body in ["", "posted"] {
        let length = body.len();
        let request = format!("POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}");
        assert_eq!(connection.request(request).text(), "hello");
    }
    lines.until("two exchanges", |lines| (lines.len() == 2).then_some(()));
    assert_eq!(capture.running().gauge().read().exchanges, 2);
    assert_eq!(capture.dir.names(), Vec::<String>::new());
    let summary = capture.stop().summary;
    assert_eq!((summary.exchanges, summary.unobserved, summary.lost, summary.bundle), (2, 0, 0, None));
    assert_eq!(lines.read(Clone::clone), [r#"POST a "" 200 "hello" None"#, r#"POST a "posted" 200 "hello" None"#]);
}

#[test]
fn a_callback_gets_the_messages_of_a_websocket() {
    for with_bundle in [true, false] {
        let lines: Watched<Vec<String>> = Watched::default();
        let log = lines.clone();
        let callback = move |recorded: Recorded<'_>| log.update(|lines| lines.push(line(&recorded)));
        let capture = if with_bundle {
            Capture::with(|config| options(config).on_record = Some(RecordCallback::new(callback)))
        } else {
            in_memory(64 << 20, callback)
        };
        let (request, response) = handshake("");
        let origin = Origin::plain(move |mut connection: Connection| {
            next_request(&mut connection);
            connection.send(&response);
            connection.send(frame(0x81, None, b"from the origin"));
            connection.read_to_end();
        });
        let mut client = capture.connect(&origin.authority("127.0.0.1"));
        client.send(request);
        client.read_head();
        client.read_exactly(frame(0x81, None, b"from the origin").len());
        client.send(frame(0x82, Some([1, 2, 3, 4]), b"from the client"));
        client.finish();
        client.read_to_end();
        drop(client);
        let seen =
            lines.until("the end", |lines| lines.iter().any(|line| line.ends_with("ends")).then(|| lines.clone()));
        assert!(seen[0].starts_with("GET ") && seen[0].ends_with(" 101 \"\" Some(0)"), "{seen:?}");
        assert_eq!(
            seen[1..],
            [
                r#"0 false Text "from the origin""#.to_owned(),
                format!("0 true {:?} \"from the client\"", MessageKind::Binary),
                "0 ends".to_owned(),
            ]
        );
        let summary = capture.stop().summary;
        assert_eq!((summary.exchanges, summary.websockets, summary.messages, summary.unobserved), (1, 1, 2, 0));
    }
}

#[test]
fn a_callback_gets_large_bodies_with_and_without_a_bundle() {
    // Most of the body is in the spill file if there is one.
    const LEN: usize = 3 << 20;
    for with_bundle in [true, false] {
        let sizes: Watched<Vec<u64>> = Watched::default();
        let log = sizes.clone();
        let callback = move |recorded: Recorded<'_>| {
            let Recorded::Exchange(exchange) = recorded else { return };
            let mut body = Vec::new();
            exchange.response.unwrap().body.reader().read_to_end(&mut body).unwrap();
            assert!(body.iter().enumerate().all(|(n, byte)| *byte == (n % 251) as u8));
            log.update(|sizes| sizes.push(body.len() as u64));
        };
        let capture = if with_bundle {
            Capture::with(|config| options(config).on_record = Some(RecordCallback::new(callback)))
        } else {
            in_memory(64 << 20, callback)
        };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LEN}\r\n\r\n");
        let body: Vec<u8> = (0..LEN).map(|n| (n % 251) as u8).collect();
        let origin = Origin::tls_responding([head.into_bytes(), body].concat());
        let mut connection = capture.tls(&origin.authority("127.0.0.1"), "localhost");
        assert_eq!(connection.request("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").body.len(), LEN);
        sizes.until("the body", |sizes| (*sizes == [LEN as u64]).then_some(()));
        let summary = capture.stop().summary;
        assert_eq!((summary.exchanges, summary.truncated), (1, 0));
    }
}

#[test]
fn a_callback_that_blocks_delays_neither_the_traffic_nor_the_bundle() {
    const COUNT: u64 = 100;
    let gate = Gate::default();
    let passing = gate.clone();
    let capture = Capture::with(|config| {
        config.limits.memory = 1 << 20;
        options(config).on_record = Some(RecordCallback::new(move |_| passing.pass()));
    });
    let body = "x".repeat(4000);
    let origin = Origin::tls_responding(format!("HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n{body}"));
    let mut connection = capture.tls(&origin.authority("127.0.0.1"), "localhost");
    for _ in 0..COUNT {
        assert_eq!(connection.request("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").text(), body);
    }
    drop(connection);
    capture.wait_for_exchanges(COUNT as usize);
    let so_far = capture.running().gauge().summary_so_far();
    assert!(so_far.unobserved > 0 && so_far.unobserved < COUNT, "{}", so_far.unobserved);
    gate.open();
    let outcome = capture.stop();
    assert_eq!((outcome.summary.exchanges, outcome.summary.lost), (COUNT, 0));
    assert_eq!(outcome.summary.unobserved, so_far.unobserved);
}

#[test]
fn a_forced_stop_does_not_wait_for_the_callback() {
    let (gate, entered) = (Gate::default(), Watched::new(false));
    let (passing, entering) = (gate.clone(), entered.clone());
    let capture = in_memory(64 << 20, move |_| {
        entering.update(|entered| *entered = true);
        passing.pass();
    });
    let origin = Origin::tls_responding(HELLO);
    let mut connection = capture.tls(&origin.authority("127.0.0.1"), "localhost");
    for _ in 0..2 {
        connection.request("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    entered.until("the first call", |entered| entered.then_some(()));
    let summary = capture.stop_within(Duration::from_millis(100)).summary;
    gate.open();
    assert_eq!((summary.exchanges, summary.unobserved, summary.lost), (1, 1, 1));
}

#[test]
fn a_panic_in_a_callback_is_caught() {
    let calls = Watched::new(0);
    let log = calls.clone();
    let capture = in_memory(64 << 20, move |_| {
        log.update(|calls| *calls += 1);
        panic!("in a callback");
    });
    let origin = Origin::tls_responding(HELLO);
    let mut connection = capture.tls(&origin.authority("127.0.0.1"), "localhost");
    for _ in 0..2 {
        assert_eq!(connection.request("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").text(), "hello");
    }
    calls.until("two calls", |calls| (*calls == 2).then_some(()));
    capture.stop();
}

#[test]
fn a_body_that_does_not_fit_into_memory_is_truncated() {
    const LEN: usize = 1 << 20;
    let capture = Capture::with(|config| {
        config.limits.memory = 1 << 20;
        options(config).spilling = Spilling::Memory;
    });
    let body = "x".repeat(LEN);
    let origin = Origin::tls_responding(format!("HTTP/1.1 200 OK\r\nContent-Length: {LEN}\r\n\r\n{body}"));
    let mut connection = capture.tls(&origin.authority("127.0.0.1"), "localhost");
    assert_eq!(connection.request("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").body.len(), LEN);
    drop(connection);
    let outcome = capture.stop();
    assert_eq!((outcome.summary.exchanges, outcome.summary.truncated, outcome.summary.lost), (1, 1, 0));
    let warnings: Vec<_> = outcome.summary.warnings.iter().map(ToString::to_string).collect();
    assert!(warnings[0].contains("the memory limit is reached"), "{warnings:?}");
}

#[test]
fn an_index_that_does_not_fit_into_memory_is_reported() {
    const COUNT: u64 = 60;
    let capture = Capture::with(|config| {
        config.limits.memory = 64 << 10;
        options(config).spilling = Spilling::Memory;
    });
    let origin = Origin::tls_responding(HELLO);
    let mut connection = capture.tls(&origin.authority("127.0.0.1"), "localhost");
    for _ in 0..COUNT {
        assert_eq!(connection.request("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").text(), "hello");
    }
    drop(connection);
    let summary = capture.stop().summary;
    assert!(summary.exchanges > 0 && summary.lost > 0, "{} and {}", summary.exchanges, summary.lost);
    assert_eq!(summary.exchanges + summary.lost, COUNT);
    let warnings: Vec<_> = summary.warnings.iter().map(ToString::to_string).collect();
    assert!(warnings[0].contains("the index of the bundle exceeds its memory"), "{warnings:?}");
}

#[test]
fn roots_and_functions_are_given_in_memory() {
    let origin = Origin::tls_responding(HELLO);
    let asked: Watched<Vec<String>> = Watched::default();
    let (log, filtered) = (asked.clone(), asked.clone());
    let (ip, port) = (std::net::IpAddr::from([127, 0, 0, 1]), origin.port());
    let capture = Capture::with(|config| {
        config.upstream_ca = vec![UpstreamCa::Der(TestCa::trusted().der().to_vec())];
        config.connector = Connector::with_resolver(move |name| {
            log.update(|asked| asked.push(format!("resolve {name}")));
            if name == "example.test" { Ok(vec![ip]) } else { Err(std::io::ErrorKind::NotFound.into()) }
        });
        options(config).filter = Some(HostFunction::new(move |name, asked_port| {
            assert_eq!(asked_port, port);
            filtered.update(|asked| asked.push(format!("filter {name}")));
            name == "example.test"
        }));
    });
    let target = format!("EXAMPLE.test:{port}");
    let mut connection = capture.tls(&target, "example.test");
    assert_eq!(connection.request("GET / HTTP/1.1\r\nHost: example.test\r\n\r\n").text(), "hello");
    drop(connection);
    let (_, response) = capture.try_connect("other.test:1");
    assert_eq!(response.status, 502);
    // The filter does not select this name, so the connection passes through.
    let client = TlsClient::new("api.example.test", vec![TestCa::trusted().der()]);
    let mut connection = capture.tls_with(&target, &client);
    assert_eq!(connection.peer_certificate(), *origin.certificate());
    assert_eq!(connection.request("GET / HTTP/1.1\r\nHost: api.example.test\r\n\r\n").text(), "hello");
    drop(connection);
    let outcome = capture.stop();
    assert_eq!(outcome.bundle().traces.len(), 1);
    outcome.assert_uncaptured(&format!("api.example.test:{port}"), 1, |reason| *reason == Reason::NotMatched);
    let asked = asked.read(Clone::clone);
    for wanted in ["resolve other.test", "filter example.test", "filter api.example.test"] {
        assert!(asked.iter().any(|line| line == wanted), "{wanted} in {asked:?}");
    }
    assert!(asked.iter().any(|line| line.eq_ignore_ascii_case("resolve example.test")), "{asked:?}");
}

#[test]
fn a_damaged_certificate_in_memory_is_an_error() {
    let bind = |change: &dyn Fn(&mut Config)| {
        let mut config = Config::discover();
        config.listen.set_port(0);
        change(&mut config);
        Proxy::bind(config).unwrap_err()
    };
    let error = bind(&|config| config.upstream_ca = vec![UpstreamCa::Der(b"no certificate".to_vec())]);
    assert!(matches!(error, Error::UpstreamCaDer(_)), "{error:?}");
    assert!(
        error.to_string().starts_with("cannot use a certificate for origins: a certificate is damaged: "),
        "{error}"
    );
    let source = CertificateSource::Der { certificates: Vec::new(), key: b"no key".to_vec() };
    assert!(!format!("{source:?}").contains("key"));
    let error = bind(&|config| config.client_certificates = vec![ClientCertificate::new(source.clone())]);
    assert!(matches!(error, Error::ClientCertificateDer(_)), "{error:?}");
    // The key is good.
    let key = TestCa::trusted().issue(&CertSpec::default()).key.secret_der().to_vec();
    let source = CertificateSource::Der { certificates: Vec::new(), key };
    let error = bind(&|config| config.client_certificates = vec![ClientCertificate::new(source.clone())]);
    assert_eq!(error.to_string(), "cannot use a client certificate: no certificate");
}

#[test]
fn a_connector_connects_without_the_resolver() {
    let origin = Origin::tls_responding(HELLO);
    let port = origin.port();
    let targets: Watched<Vec<String>> = Watched::default();
    let log = targets.clone();
    let capture = Capture::with(|config| {
        config.connector = Connector::with_connect(move |host, asked_port| {
            log.update(|targets| targets.push(format!("{host}:{asked_port}")));
            match host {
                "closed.test" => Err(std::io::ErrorKind::ConnectionRefused.into()),
                "panic.test" => panic!("in a connector"),
                _ => std::net::TcpStream::connect(("127.0.0.1", port)),
            }
        });
    });
    let mut connection = capture.tls("example.test:443", "example.test");
    assert_eq!(connection.request("GET / HTTP/1.1\r\nHost: example.test\r\n\r\n").text(), "hello");
    for (target, cause) in [("closed.test:1", "refused"), ("panic.test:2", "panicked")] {
        let (mut connection, response) = capture.try_connect(target);
        assert_eq!(response.status, 502, "{target}");
        let (body, _) = connection.read_to_end();
        assert!(String::from_utf8_lossy(&body).contains(cause), "{}", String::from_utf8_lossy(&body));
    }
    let outcome = capture.stop();
    assert_eq!(outcome.bundle().traces.len(), 1);
    assert_eq!(targets.read(Clone::clone), ["example.test:443", "closed.test:1", "panic.test:2"]);
}

#[test]
fn a_connector_that_blocks_does_not_delay_the_stop() {
    let (gate, entered) = (Gate::default(), Watched::new(false));
    let (passing, entering) = (gate.clone(), entered.clone());
    let capture = Capture::with(|config| {
        config.connector = Connector::with_connect(move |_, _| {
            entering.update(|entered| *entered = true);
            passing.pass();
            Err(std::io::ErrorKind::TimedOut.into())
        });
    });
    let mut client = capture.dial();
    client.send("CONNECT example.test:1 HTTP/1.1\r\nHost: example.test:1\r\n\r\n");
    entered.until("the call", |entered| entered.then_some(()));
    capture.stop();
    gate.open();
}
