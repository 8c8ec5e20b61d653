//! Other programs, used with the proxy as their users do.

use crate::support::peers::{newest_python, peer, run};
use crate::support::{Capture, Origin, next_request};
use std::process::Command;

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";

/// Returns curl with the environment that the banner recommends.
fn curl(program: &std::path::Path, capture: &Capture) -> Command {
    let proxy = format!("http://{}", capture.addr);
    let mut command = Command::new(program);
    command.env("HTTPS_PROXY", &proxy).env("http_proxy", &proxy).env("NO_PROXY", "");
    command.args(["-sS", "--cacert"]).arg(capture.ca.as_ref().unwrap());
    command
}

#[test]
fn captures_curl_with_https_proxy() {
    let Some(program) = peer("curl") else {
        return;
    };
    let origin = Origin::tls_responding(HELLO);
    let capture = Capture::start();
    let url = format!("https://{}/users?a=b", origin.authority("localhost"));
    for version in ["--http1.1", "--http2", "--http1.0"] {
        assert_eq!(run(curl(&program, &capture).args([version, &url])).ok().text(), "hello", "{version}");
    }
    let outcome = capture.stop();
    assert_eq!(outcome.bundle().urls(), [&url; 3]);
    assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
}

#[test]
fn captures_curl_with_a_plain_url_and_with_parallel_transfers() {
    let Some(program) = peer("curl") else {
        return;
    };
    let origins = [Origin::plain_responding(HELLO), Origin::plain_responding(HELLO)];
    let capture = Capture::start();
    let urls: Vec<_> = (0..4).map(|n| format!("http://{}/{n}", origins[n % 2].authority("localhost"))).collect();
    assert_eq!(run(curl(&program, &capture).args(&urls)).ok().text(), "hello".repeat(4));
    assert_eq!(capture.stop().bundle().urls(), urls);
}

#[test]
fn captures_uploads_of_curl() {
    let Some(program) = peer("curl") else {
        return;
    };
    let origin = Origin::tls(|mut connection| {
        let head = connection.read_head();
        if head.to_lowercase().contains("expect: 100-continue") {
            connection.send("HTTP/1.1 100 Continue\r\n\r\n");
        }
        if head.to_lowercase().contains("transfer-encoding: chunked") {
            connection.read_until(b"0\r\n\r\n");
        } else {
            connection.read_exactly(3_000_000);
        }
        connection.send(HELLO);
    });
    let capture = Capture::start();
    let body: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 253) as u8).collect();
    // A body without the bytes of a last chunk.
    let file = capture.dir.write("upload", &body);
    let data = format!("@{}", file.display());
    let url = |path: &str| format!("https://{}/{path}", origin.authority("localhost"));
    run(curl(&program, &capture).args(["--data-binary", &data, &url("length")])).ok();
    run(curl(&program, &capture).args([
        "-T",
        file.to_str().unwrap(),
        "-H",
        "Transfer-Encoding: chunked",
        &url("chunked"),
    ]))
    .ok();
    let outcome = capture.stop();
    for (path, method) in [("/length", "POST"), ("/chunked", "PUT")] {
        let trace = outcome.bundle().trace(path);
        assert_eq!(trace.method(), method);
        assert!(trace.request_body == body, "{path}");
    }
}

#[test]
fn decodes_compressed_responses_to_curl() {
    let (Some(program), Some(python)) = (peer("curl"), newest_python()) else {
        return;
    };
    let text = "compress me, compress me, compress me again\n".repeat(100);
    let script = "import gzip, sys, zlib; t = sys.argv[2].encode(); \
                  sys.stdout.buffer.write(gzip.compress(t) if sys.argv[1] == 'gzip' else zlib.compress(t))";
    for coding in ["gzip", "deflate"] {
        let packed = run(Command::new(&python).args(["-c", script, coding, &text])).ok().out;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {}\r\n\r\n", packed.len());
        let origin = Origin::tls_responding([head.as_bytes(), &packed].concat());
        let capture = Capture::start();
        let url = format!("https://{}/{coding}", origin.authority("localhost"));
        assert_eq!(run(curl(&program, &capture).args(["--compressed", &url])).ok().text(), text);
        assert_eq!(run(curl(&program, &capture).arg(&url)).ok().out, packed, "unchanged on the wire");
        let outcome = capture.stop();
        for trace in &outcome.bundle().traces {
            assert_eq!((trace.text(), trace.response_encoding()), (text.clone(), None));
        }
    }
}

#[test]
fn curl_gets_502_for_an_origin_that_does_not_exist() {
    let Some(program) = peer("curl") else {
        return;
    };
    let capture = Capture::start();
    let output = run(curl(&program, &capture).args(["-m", "60", "https://no.such.name.invalid/"]));
    assert_ne!(output.code, Some(0));
    assert!(output.err.contains("502"), "{}", output.err);
}

const URLLIB: &str = "
import ssl, sys, urllib.request
url, ca = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
request = urllib.request.Request(url, data=b'posted', headers={'X-Odd': 'one'})
with urllib.request.urlopen(request, context=context, timeout=20) as answer:
    sys.stdout.write(answer.read().decode())
";

const HTTP_CLIENT: &str = "
import http.client, ssl, sys
proxy, host, port, ca = sys.argv[1:]
connection = http.client.HTTPSConnection(*proxy.split(':'), context=ssl.create_default_context(cafile=ca), timeout=20)
connection.set_tunnel(host, int(port))
for number in range(3):
    connection.request('GET', '/client/%d' % number)
    sys.stdout.write(connection.getresponse().read().decode())
connection.request('POST', '/client/chunks', body=iter([b'one', b'two']), encode_chunked=True, headers={'Transfer-Encoding': 'chunked'})
sys.stdout.write(connection.getresponse().read().decode())
connection.close()
";

#[test]
fn captures_python_urllib() {
    let Some(python) = newest_python() else {
        return;
    };
    let origin = Origin::tls(|mut connection| {
        assert_eq!(next_request(&mut connection).unwrap().1, b"posted");
        connection.send(HELLO);
    });
    let capture = Capture::start();
    let url = format!("https://{}/urllib", origin.authority("localhost"));
    let output = run(Command::new(python)
        .args(["-c", URLLIB, &url])
        .arg(capture.ca.as_ref().unwrap())
        .env("https_proxy", format!("http://{}", capture.addr))
        .env("no_proxy", ""))
    .ok();
    assert_eq!(output.text(), "hello");
    let outcome = capture.stop();
    let trace = outcome.bundle().only_trace();
    assert_eq!((trace.method(), trace.url(), trace.request_body.as_slice()), ("POST", url.as_str(), &b"posted"[..]));
}

#[test]
fn captures_python_http_client() {
    let Some(python) = newest_python() else {
        return;
    };
    let origin = Origin::tls(|mut connection| {
        for _ in 0..3 {
            next_request(&mut connection);
            connection.send(HELLO);
        }
        connection.read_until(b"0\r\n\r\n");
        connection.send(HELLO);
        connection.read_to_end();
    });
    let capture = Capture::start();
    let output = run(Command::new(python)
        .args(["-c", HTTP_CLIENT, &capture.addr.to_string(), "localhost", &origin.port().to_string()])
        .arg(capture.ca.as_ref().unwrap()))
    .ok();
    assert_eq!(output.text(), "hello".repeat(4));
    let outcome = capture.stop();
    assert_eq!(outcome.bundle().traces.len(), 4);
    assert_eq!(outcome.bundle().trace("/chunks").request_body, b"onetwo");
}

#[test]
fn captures_node_through_connect() {
    let Some(node) = peer("node") else {
        return;
    };
    let origin = Origin::tls_responding(HELLO);
    let capture = Capture::start();
    let output = run(Command::new(node)
        .args(["-e", crate::certificates::NODE, &capture.addr.to_string(), "localhost", &origin.port().to_string()])
        .arg(capture.ca.as_ref().unwrap()))
    .ok();
    assert_eq!(output.text(), "hello");
    let outcome = capture.stop();
    assert_eq!(outcome.bundle().only_trace().url(), format!("https://{}/node?q=1", origin.authority("localhost")));
}

#[test]
fn captures_a_python_server() {
    use std::io::{BufRead, BufReader};
    let (Some(python), Some(program)) = (peer("python3"), peer("curl")) else {
        return;
    };
    let dir = crate::support::TempDir::new();
    dir.write("file.txt", "served by Python\n");
    let child = crate::support::peers::without_proxy_settings(&mut Command::new(python))
        .args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1"])
        .current_dir(dir.path())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut server = crate::support::peers::BackgroundProcess(child);
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let port = line.split(" port ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_else(|| panic!("{line}"));
    let capture = Capture::start();
    let url = format!("http://127.0.0.1:{port}/file.txt");
    assert_eq!(run(curl(&program, &capture).args([&url, &url])).ok().text(), "served by Python\n".repeat(2));
    assert_eq!(capture.stop().bundle().urls(), [&url, &url]);
}
