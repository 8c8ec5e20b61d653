//! `spectral capture inspect` of gRPC and gRPC-Web calls: a failed call has HTTP status 200, so its own status is shown.

use crate::support::cli::{Spectral, spectral};
use crate::support::grpc::GrpcOrigin;
use crate::support::{Connection, Origin, TempDir};
use std::path::Path;

fn frame(flags: u8, content: &str) -> String {
    let length = u8::try_from(content.len()).unwrap();
    format!("{}\0\0\0{}{content}", char::from(flags), char::from(length))
}

/// Returns the bytes of `text`, whose characters are below 256.
fn bytes(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
}

/// Returns a response whose body ends with the connection.
fn closing(media_type: &str, fields: &str, body: &str) -> Vec<u8> {
    bytes(&format!("HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\nConnection: close\r\n{fields}\r\n{body}"))
}

/// Captures a call for each path. Bodies with chunks have trailers, as in HTTP/2.
fn captured(dir: &TempDir) {
    let origin = Origin::plain(|mut connection| {
        let head = connection.read_head();
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let chunked = |fields: &str, trailers: &str| {
            let head = format!("HTTP/1.1 200 OK\r\n{fields}Transfer-Encoding: chunked\r\n\r\n");
            let body = format!("{}{}", frame(0, "hello"), frame(1, "packed"));
            bytes(&format!("{head}{:x}\r\n{body}\r\n0\r\n{trailers}\r\n", body.len()))
        };
        let grpc = "Content-Type: application/grpc+proto\r\nX-First: 1\r\n";
        let web_trailers = frame(0x80, "grpc-status:7\r\ngrpc-message:not%20you\r\n");
        connection.send(match path.as_str() {
            "/ok" => chunked(grpc, "grpc-status: 0\r\nX-Last: 2\r\n"),
            "/failed" => chunked(grpc, "grpc-status: 5\r\ngrpc-message: no such %1b[2Jus%C3%A9r\r\n"),
            "/early" => closing("application/grpc", "grpc-status: 12\r\n", ""),
            "/none" => closing("application/grpc", "", &frame(0, "hello")[..7]),
            "/web" => closing("application/grpc-web+proto", "", &format!("{}{web_trailers}", frame(0, "hello"))),
            "/announced" => chunked("Trailer: X-Sum\r\nX-First: 1\r\n", "X-Sum: 99\r\n"),
            _ => panic!("{path}"),
        });
        connection.finish();
        connection.read_to_end();
    });
    let running = Spectral::capture(dir, &[]);
    let target = origin.authority("127.0.0.1");
    for path in ["/ok", "/failed", "/early", "/none", "/web", "/announced"] {
        let mut connection = Connection::to(running.addr);
        connection.send(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"));
        connection.read_head();
        connection.send(format!("GET {path} HTTP/1.1\r\nHost: {target}\r\n\r\n"));
        connection.read_to_end();
    }
    assert_eq!(running.interrupt().code, Some(0));
}

fn inspect(dir: &TempDir, args: &[&str]) -> String {
    spectral(dir, &[&["capture", "inspect", "capture.zip"], args].concat()).ok().text()
}

#[test]
fn the_list_marks_failed_calls() {
    let dir = TempDir::new();
    captured(&dir);
    let list = inspect(&dir, &[]);
    for (path, expected) in [
        ("/ok", ""),
        ("/failed", "  (gRPC 5 NOT_FOUND: no such \\x1b[2Jusér)"),
        ("/early", "  (gRPC 12 UNIMPLEMENTED)"),
        ("/none", "  (no gRPC status)"),
        ("/web", "  (gRPC 7 PERMISSION_DENIED: not you)"),
        ("/announced", ""),
    ] {
        assert!(list.lines().any(|line| line.ends_with(&format!("{path}{expected}"))), "{path}: {list}");
    }
    assert!(!list.contains('\u{1b}') && !inspect(&dir, &["--json"]).contains("NOT_FOUND"));
}

#[test]
fn a_call_has_messages_trailers_and_a_status() {
    let dir = TempDir::new();
    captured(&dir);
    for (id, expected) in [
        (
            "t_0001",
            "X-First: 1\nTransfer-Encoding: chunked\n\nbinary, 21 bytes\ngRPC: 2 messages, 1 compressed\n\n\
             Trailers:\ngrpc-status: 0\nX-Last: 2\n\ngRPC status 0 OK\n",
        ),
        (
            "t_0002",
            "Trailers:\ngrpc-status: 5\ngrpc-message: no such %1b[2Jus%C3%A9r\n\n\
             gRPC status 5 NOT_FOUND: no such \\x1b[2Jusér\n",
        ),
        ("t_0003", "grpc-status: 12\n\ngRPC status 12 UNIMPLEMENTED\n"),
        ("t_0004", "binary, 7 bytes\ngRPC: 0 messages, then one that is incomplete\n"),
        (
            "t_0005",
            "gRPC: 1 message\n\nTrailers in the body:\ngrpc-status: 7\ngrpc-message: not%20you\n\n\
             gRPC status 7 PERMISSION_DENIED: not you\n",
        ),
        ("t_0006", "X-First: 1\nTransfer-Encoding: chunked\n\nbinary, 21 bytes\n\nTrailers:\nX-Sum: 99\n\n"),
    ] {
        let shown = inspect(&dir, &["--trace", id]);
        assert!(shown.contains(expected), "{id}: {shown}");
        assert!(id != "t_0003" || !shown.contains("Trailers:"), "{shown}");
    }
}

#[test]
fn calls_are_selected_by_status() {
    let dir = TempDir::new();
    captured(&dir);
    for (args, expected) in [
        (&["--status", "grpc:5"][..], &["/failed"][..]),
        (&["--status", "grpc:permission_denied"], &["/web"]),
        (&["--status", "grpc:1-16"], &["/failed", "/early", "/web"]),
        (&["--status", "grpc:0", "--status", "404"], &["/ok"]),
        (&["--status", "200", "--status", "grpc:16", "--type", "grpc"], &["/ok", "/failed", "/early", "/none"]),
    ] {
        let list = inspect(&dir, args);
        let listed: Vec<_> = ["/ok", "/failed", "/early", "/none", "/web", "/announced"]
            .into_iter()
            .filter(|path| list.contains(&format!("{path}\n")) || list.contains(&format!("{path}  (")))
            .collect();
        assert_eq!(listed, expected, "{args:?}: {list}");
    }
}

#[test]
fn calls_of_grpcio_are_shown() {
    let Some(origin) = GrpcOrigin::plain() else { return };
    let dir = TempDir::new();
    let running = Spectral::capture(&dir, &[]);
    origin.run_client_with(Some(running.addr), Path::new("-"), &["echo", "fail", "fail_late", "packed"]);
    assert_eq!(running.interrupt().code, Some(0));
    let list = inspect(&dir, &[]);
    assert!(list.contains("/Echo\n") && list.contains("  (gRPC 5 NOT_FOUND: nothing here: ümläut)"), "{list}");
    let late = inspect(&dir, &["--status", "grpc:RESOURCE_EXHAUSTED"]);
    let id = late.lines().find_map(|line| line.split(' ').next().filter(|word| word.starts_with("t_"))).unwrap();
    let shown = inspect(&dir, &["--trace", id]);
    assert!(
        shown.contains("\ngRPC: 1 message\n") && shown.contains("\ngRPC status 8 RESOURCE_EXHAUSTED: no more\n"),
        "{shown}"
    );
    let (headers, trailers) = shown.split_once("\nTrailers:\n").unwrap();
    assert!(headers.contains("content-type: application/grpc\n") && trailers.contains("grpc-status: 8\n"), "{shown}");
    assert!(!headers.contains("grpc-status"), "{shown}");
}
