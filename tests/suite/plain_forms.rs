//! Forms of plain proxy requests that programs send although the grammar has other ones: WebSocket schemes, credentials in
//! the URL, odd bytes.

use crate::support::peers::{peer, python_with, run};
use crate::support::websocket_frames::handshake;
use crate::support::{Capture, Connection, Message, Origin, next_request};
use std::process::Command;

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

#[test]
fn records_websockets_of_ws_and_wss_urls() {
    for (scheme, is_tls) in [("ws", false), ("wss", true)] {
        let script = |mut connection: Connection| {
            assert!(connection.read_head().starts_with("GET /chat?a HTTP/1.1\r\n"));
            connection.send(handshake("").1);
            assert_eq!(connection.read_exactly(8), b"\x81\x82\0\0\0\0hi");
            connection.send(b"\x81\x05hello\x88\0");
            connection.read_exactly(6);
        };
        let origin = if is_tls { Origin::tls(script) } else { Origin::plain(script) };
        let capture = Capture::start();
        let host = origin.authority("localhost");
        let mut connection = capture.dial();
        connection.send(format!(
            "GET {scheme}://{host}/chat?a HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ));
        assert!(connection.read_head().starts_with("HTTP/1.1 101 "));
        connection.send(b"\x81\x82\0\0\0\0hi");
        assert_eq!(connection.read_exactly(9), b"\x81\x05hello\x88\0");
        connection.send(b"\x88\x80\0\0\0\0");
        connection.read_to_end();
        let outcome = capture.stop();
        outcome.assert_no_warnings();
        let socket = outcome.bundle().only_websocket();
        assert_eq!(socket.url(), format!("{scheme}://{host}/chat?a"));
        assert_eq!(socket.messages[..2], [Message::sent("text", "hi"), Message::received("text", "hello")]);
    }
}

const AIOHTTP: &str = "
import asyncio, sys, aiohttp
async def main():
    async with aiohttp.ClientSession(trust_env=True) as session:
        async with session.ws_connect(sys.argv[1]) as socket:
            await socket.send_str('hi')
            print((await socket.receive()).data)
asyncio.run(main())
";

#[test]
fn records_a_websocket_of_aiohttp() {
    let Some(python) = python_with("aiohttp") else {
        return;
    };
    let origin = Origin::plain(|connection| {
        let mut peer = tungstenite::accept(connection.stream()).unwrap();
        while let Ok(message) = peer.read() {
            if message.is_text() {
                peer.send(message).unwrap();
            }
        }
    });
    let capture = Capture::start();
    let url = format!("ws://{}/chat", origin.authority("localhost"));
    let mut client = Command::new(python);
    client.args(["-c", AIOHTTP, &url]).env("WS_PROXY", format!("http://{}", capture.addr));
    assert_eq!(run(&mut client).ok().text().trim(), "hi");
    let outcome = capture.stop();
    let socket = outcome.bundle().only_websocket();
    assert_eq!(socket.url(), url);
    assert_eq!(socket.messages[..2], [Message::sent("text", "hi"), Message::received("text", "hi")]);
}

#[test]
fn sends_credentials_in_the_url_as_a_field() {
    let origin = Origin::plain_responding(HELLO);
    let capture = Capture::start();
    let host = origin.authority("127.0.0.1");
    let mut connection = capture.dial();
    let head = format!("GET http://user:pa%20ss@{host}/a?b@c HTTP/1.1\r\nHost: {host}\r\n\r\n");
    assert_eq!(connection.request(head).text(), "hello");
    drop(connection);
    let received = String::from_utf8(origin.received(0)).unwrap();
    let authorization = "Authorization: Basic dXNlcjpwYSBzcw==";
    assert_eq!(received, format!("GET /a?b@c HTTP/1.1\r\nHost: {host}\r\n{authorization}\r\n\r\n"));
    let outcome = capture.stop();
    let trace = outcome.bundle().only_trace();
    assert_eq!(trace.url(), format!("http://{host}/a?b@c"));
    assert_eq!(trace.request_headers()[1], ("Authorization", "Basic dXNlcjpwYSBzcw=="));
}

#[test]
fn clients_authenticate_as_they_do_without_the_proxy() {
    for name in ["wget", "curl"] {
        let Some(program) = peer(name) else {
            return;
        };
        let origin = Origin::plain(|mut connection| {
            while let Some((head, _)) = next_request(&mut connection) {
                let is_known = head.contains("\r\nAuthorization: Basic dXNlciBhOnA6QHc=\r\n");
                let refusal = "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n";
                connection.send(if is_known { HELLO } else { refusal });
            }
        });
        let capture = Capture::start();
        let url = format!("http://user%20a:p%3A%40w@{}/", origin.authority("localhost"));
        for proxy in ["", &format!("http://{}", capture.addr)] {
            let mut client = Command::new(&program);
            let options: &[&str] = if name == "wget" { &["-qO-", "--tries=1"] } else { &["-sSf"] };
            let output = run(client.args(options).arg(&url).env("http_proxy", proxy)).ok();
            assert_eq!(output.text(), "hello", "{name} {proxy}");
        }
        let outcome = capture.stop();
        let trace = outcome.bundle().traces.last().unwrap();
        assert_eq!((trace.url(), trace.status()), (&*format!("http://{}/", origin.authority("localhost")), 200));
    }
}

/// Sends `head` in absolute form to an origin; returns the target and the fields that are recorded. The origin must receive
/// the same head in origin-form.
#[track_caller]
fn recorded(path: &str, fields: &str) -> (String, Vec<(String, String)>) {
    let origin = Origin::plain_responding(HELLO);
    let capture = Capture::start();
    let host = origin.authority("127.0.0.1");
    let head = |target: &str| format!("GET {target}{path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n");
    let mut connection = capture.dial();
    assert_eq!(connection.request(head(&format!("http://{host}"))).text(), "hello");
    // The connection still serves requests.
    assert_eq!(connection.request(format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n")).text(), "hello");
    drop(connection);
    assert!(origin.received(0).starts_with(head("").as_bytes()), "{}", origin.received(0).escape_ascii());
    let outcome = capture.stop();
    outcome.assert_no_warnings();
    assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
    assert_eq!(outcome.bundle().traces.len(), 2);
    let trace = outcome.bundle().traces.first().unwrap();
    let fields = trace.request_headers().into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    (trace.url().strip_prefix(&format!("http://{host}")).unwrap().to_owned(), fields.skip(1).collect())
}

fn field(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn forwards_and_records_odd_bytes() {
    let (path, fields) = recorded(
        "/a b\u{201c}c\u{201d}\t\x01",
        "X[1]: a\r\nX-Gr\u{f6}\u{df}e: \x02\r\n\"Pasted: quotes\"\r\nX Y : z\r\nProxy-Foo: 1\r\nConnection: TE\r\nTE: trailers\r\n",
    );
    assert_eq!(path, "/a b\u{201c}c\u{201d}\t\x01");
    let expected = [
        field("X[1]", "a"),
        field("X-Gr\u{f6}\u{df}e", "\x02"),
        field("\"Pasted", "quotes\""),
        field("X Y ", "z"),
        field("Proxy-Foo", "1"),
        field("Connection", "TE"),
        field("TE", "trailers"),
    ];
    assert_eq!(fields, expected);
}

#[test]
fn forwards_the_header_with_unicode_quotes_of_curl_test_470() {
    let (_, fields) = recorded("/", "Accept: */*\r\n\u{201c}host:fake\u{201d}\r\n");
    assert_eq!(fields, [field("Accept", "*/*"), field("\u{201c}host", "fake\u{201d}")]);
}

#[test]
fn forwards_the_folded_header_of_curl_test_1147() {
    let (_, fields) = recorded("/1147", "Accept: */*\r\nOne: 1\r\nTwo: 2\r\n And A Funny One : wohoo\r\n");
    let folded = field("Two", "2   And A Funny One : wohoo");
    assert_eq!(fields, [field("Accept", "*/*"), field("One", "1"), folded]);
}

#[test]
fn forwards_the_large_headers_of_curl_test_3228() {
    let (large, name) = ("x".repeat(307_200), "X".repeat(307_201));
    let (_, fields) = recorded("/3228", &format!("X-Large: {large}\r\n{name}:\r\nConnection: {large}\r\n"));
    assert!(fields == [field("X-Large", &large), field(&name, ""), field("Connection", &large)]);
}
