//! `spectral capture export --format openapi` on the command line: the document, its file, the comparison with an earlier document,
//! and errors.

use crate::support::cli::{Spectral, command, spectral};
use crate::support::connection::header;
use crate::support::peers::{Output, finish};
use crate::support::{Connection, Origin, TempDir};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

/// Responds to requests of an API for users. `version` 2 has changed.
fn serve(mut connection: Connection, version: u32) {
    let head = connection.read_head();
    let body = header(&head, "content-length").map_or(0, |len| len.parse().unwrap());
    connection.read_exactly(body);
    let json = "application/json";
    let (status, media_type, body) = match (head.split(' ').nth(1).unwrap().split('?').next().unwrap(), version) {
        ("/users", 1) => {
            ("200 OK", json, r#"{"data":[{"id":1,"owner":{"name":"Ada"}},{"id":2,"owner":{"name":"Bob"}}]}"#)
        }
        ("/users", _) => {
            ("200 OK", json, r#"{"data":[{"id":1,"owner":{"login":"ada"}},{"id":"2","owner":{"login":"bob"}}]}"#)
        }
        ("/logo.png", _) => ("200 OK", "image/png", "\u{89}PNG"),
        ("/users/3", _) => ("404 Not Found", json, r#"{"error":"none"}"#),
        ("/users/4", _) => ("409 Conflict", json, r#"{"error":"none"}"#),
        ("/report", 1) => ("200 OK", "text/csv", "a,b\n"),
        ("/report", _) => ("200 OK", json, "[1]"),
        _ => ("200 OK", json, r#"{"id":1,"name":"Ada"}"#),
    };
    let len = body.len();
    connection.send(format!(
        "HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n{body}"
    ));
    connection.finish();
    connection.read_to_end();
}

/// Returns a directory with `capture.zip`, a capture of these requests.
fn captured(targets: &[&str]) -> TempDir {
    let dir = TempDir::new();
    capture(&dir, 1, targets);
    dir
}

/// Captures requests to this version of the API into `capture.zip`.
fn capture(dir: &TempDir, version: u32, targets: &[&str]) {
    let origin = Origin::plain(move |connection| serve(connection, version));
    let running = Spectral::capture(dir, &[]);
    let host = origin.authority("127.0.0.1");
    for target in targets {
        let mut connection = Connection::to(running.addr);
        connection.send(format!("GET http://{host}{target} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n\r\n"));
        connection.read_to_end();
    }
    assert_eq!(running.interrupt().code, Some(0));
}

/// Runs `export capture.zip --format openapi` with more arguments.
fn export(dir: &TempDir, more: &[&str]) -> Output {
    spectral(dir, &[&["capture", "export", "capture.zip", "--format", "openapi"], more].concat())
}

fn document(output: &Output) -> Value {
    serde_json::from_slice(&output.out).unwrap_or_else(|e| panic!("{e}: {}", output.text()))
}

/// A document with operations that no test calls.
fn earlier() -> String {
    let schema = json!({"schema": {"type": "object", "properties": {"id": {"type": "integer"}}}});
    let get = json!({"responses": {"200": {"content": {"application/json": schema}}}});
    json!({"openapi": "3.0.3", "paths": {"/groups": {"get": get}, "/\u{1b}[31m": {"delete": {}}}}).to_string()
}

#[test]
fn the_document_is_written_to_stdout_or_to_a_private_file() {
    let dir = captured(&["/users"]);
    let output = export(&dir, &[]).ok();
    let document = document(&output);
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."), "{document}");
    assert!(document["paths"].is_object() && document["info"].is_object(), "{document}");
    let to_file = export(&dir, &["-o", "api.json"]).ok();
    assert_eq!((to_file.text(), &to_file.err), (String::new(), &output.err));
    assert_eq!(std::fs::read(dir.join("api.json")).unwrap(), output.out);
    assert_eq!(dir.join("api.json").metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(export(&dir, &["-o", "-"]).ok().out, output.out);
}

#[test]
fn a_capture_does_not_differ_from_its_own_document() {
    let dir = captured(&["/users?limit=3", "/users/1", "/users/2", "/users/3", "/report"]);
    export(&dir, &["-o", "api.json"]).ok();
    let same = export(&dir, &["--since-document", "api.json"]).ok();
    assert_eq!(same.err, "no changes since api.json\n");
    assert_eq!(same.out, std::fs::read(dir.join("api.json")).unwrap());
}

#[test]
fn the_changes_of_an_api_are_listed() {
    let dir = captured(&["/users?limit=3", "/users/1", "/users/2", "/users/3", "/report", "/old"]);
    export(&dir, &["-o", "api.json"]).ok();
    // One user is a literal path, which the template of the earlier document covers.
    capture(&dir, 2, &["/users?offset=3", "/users/7", "/users/4", "/report", "/groups/1"]);
    let changed = export(&dir, &["--since-document", "api.json"]);
    assert_eq!(changed.code, Some(1));
    let expected = "\
new: GET /groups/{groupId}
gone: GET /old
new: GET /report 200 application/json
gone: GET /report 200 text/csv
changed: GET /users 200: data[].id: integer -> integer, string
new: GET /users 200: data[].owner.login
gone: GET /users 200: data[].owner.name
gone: GET /users query parameter limit
new: GET /users query parameter offset
gone: GET /users/{userId} 404
new: GET /users/{userId} 409
since api.json: 5 new, 5 gone, 1 changed
";
    assert_eq!(changed.err, expected);
    let filtered = export(&dir, &["--since-document", "api.json", "--status", "409"]);
    assert!(filtered.err.contains("gone: GET /report\n"), "the filter applies: {}", filtered.err);
}

#[test]
fn exchanges_that_are_not_described_are_counted_by_reason() {
    let dir = captured(&["/users", "/logo.png", "/logo.png", "/nothing/3"]);
    let output = export(&dir, &[]).ok();
    assert_eq!(output.err, "left out: 2 exchanges: static file\n");
    assert!(!output.text().contains("Ada"), "no values: {}", output.text());
    let pictures = export(&dir, &["--type", "image"]).ok();
    let warning = "spectral: warning: the document has no operations, since no matching exchange is a call of an API; list the \
                   exchanges with: spectral capture inspect capture.zip\n";
    assert_eq!(pictures.err, format!("left out: 2 exchanges: static file\n{warning}"));
}

#[test]
fn examples_are_added_only_on_request_and_secrets_are_replaced() {
    let dir = captured(&["/users?limit=37", "/users?limit=37&note=s3cret-token"]);
    let parameters =
        |more: &[&str]| document(&export(&dir, more).ok())["paths"]["/users"]["get"]["parameters"].to_string();
    assert!(!parameters(&[]).contains("37"), "{}", parameters(&[]));
    assert!(parameters(&["--examples"]).contains("\"example\":\"37\""), "{}", parameters(&["--examples"]));
    let redacted = export(&dir, &["--redact", "--name", "note", "--examples"]).ok();
    assert!(!redacted.text().contains("s3cret") && redacted.text().contains("\"note\""), "{}", redacted.text());
    assert!(redacted.err.starts_with("spectral: warning: "), "{}", redacted.err);
}

#[test]
fn an_operation_that_is_gone_is_listed() {
    let dir = captured(&["/users"]);
    dir.write("earlier.json", earlier());
    let output = export(&dir, &["--since-document", "earlier.json", "-o", "api.json"]);
    assert_eq!((output.code, output.text().as_str()), (Some(1), ""));
    let listed: Vec<_> = output.err.lines().filter(|line| line.starts_with("gone: ")).collect();
    assert_eq!(listed, ["gone: DELETE /\\x1b[31m", "gone: GET /groups"], "{}", output.err);
    let last = output.err.lines().last().unwrap();
    assert!(last.starts_with("since earlier.json: ") && last.contains(" 2 gone, 0 changed"), "{last}");
    assert_eq!(std::fs::read(dir.join("api.json")).unwrap(), export(&dir, &[]).ok().out, "the document is written");
    assert_eq!(dir.join("api.json").metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn the_output_may_be_the_earlier_document() {
    let dir = captured(&["/users"]);
    dir.write("api.json", earlier());
    let args = ["--since-document", "api.json", "-o", "api.json"];
    let first = export(&dir, &args);
    assert_eq!(first.code, Some(1), "{}", first.err);
    assert!(first.err.contains("\ngone: GET /groups\n"), "{}", first.err);
    let second = export(&dir, &args).ok();
    assert_eq!(second.err.lines().last(), Some("no changes since api.json"));
    assert!(!std::fs::read_to_string(dir.join("api.json")).unwrap().contains("/groups"));
}

#[test]
fn a_closed_stdout_does_not_hide_changes() {
    let dir = captured(&["/users"]);
    dir.write("earlier.json", earlier());
    let args = ["capture", "export", "capture.zip", "--format", "openapi", "--since-document", "earlier.json"];
    let mut child = command(&dir, &args);
    let mut child = child.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = finish(child);
    assert!(output.code == Some(1) && output.err.contains("gone: GET /groups\n"), "{}", output.err);
}

#[test]
fn an_earlier_document_that_cannot_be_compared_ends_the_command_before_it_writes() {
    let dir = captured(&["/users"]);
    dir.write("api.yaml", "openapi: 3.0.3\npaths: {}\n");
    dir.write("plain.txt", "openapi: 3.0.3\n");
    dir.write("cut.json", "{\"openapi\":");
    dir.write("list.json", "[]");
    dir.write("swagger.json", "{\"swagger\":\"2.0\"}");
    dir.write("four.json", r#"{"openapi":"4.0\u001b"}"#);
    dir.write("none.json", "{}");
    std::fs::create_dir(dir.join("dir.json")).unwrap();
    let large = std::fs::File::create(dir.join("large.json")).unwrap();
    large.set_len((32 << 20) + 1).unwrap();
    for (file, problem) in [
        ("api.yaml", "cannot compare with api.yaml: not JSON: expected value at line 1 column 1; convert YAML to JSON"),
        (
            "plain.txt",
            "cannot compare with plain.txt: not JSON: expected value at line 1 column 1; convert YAML to JSON",
        ),
        ("cut.json", "cannot compare with cut.json: not JSON: EOF while parsing a value at line 1 column 11"),
        ("list.json", "cannot compare with list.json: not an OpenAPI document: not an object"),
        ("swagger.json", "cannot compare with swagger.json: Swagger 2.0 instead of OpenAPI 3; convert it to OpenAPI 3"),
        ("four.json", "cannot compare with four.json: OpenAPI 4.0\\x1b instead of OpenAPI 3"),
        ("none.json", "cannot compare with none.json: not an OpenAPI document: no member 'openapi' with a version"),
        ("large.json", "cannot compare with large.json: larger than 32 MiB or 2000000 values"),
        ("dir.json", "cannot read dir.json: Is a directory"),
        ("missing.json", "cannot read missing.json: No such file or directory"),
        (
            "capture.zip",
            "cannot compare with capture.zip: not JSON: expected value at line 1 column 1; convert YAML to JSON",
        ),
    ] {
        let output = export(&dir, &["--since-document", file, "-o", "new.json"]);
        assert_eq!((output.code, output.err), (Some(1), format!("spectral: error: {problem}\n")), "{file}");
        assert!(output.out.is_empty() && !dir.join("new.json").exists(), "{file}");
    }
}

#[test]
fn parts_that_are_not_compared_are_reported() {
    let dir = captured(&["/users"]);
    dir.write("earlier.json", r#"{"openapi":"3.1.0","paths":{"/a":{"$ref":"a.json"},"/b":{"$ref":"b.json"}}}"#);
    let output = export(&dir, &["--since-document", "earlier.json"]);
    let warning = "spectral: warning: not followed: 2 references to other files or to nothing, whose parts are not compared; \
                   bundle earlier.json into one file\n";
    assert!(output.err.contains(warning), "{}", output.err);
    let many: serde_json::Map<_, _> = (0..1200).map(|n| (format!("/{n:04}"), json!({"get": {}}))).collect();
    dir.write("many.json", json!({"openapi": "3.1.0", "paths": many}).to_string());
    let output = export(&dir, &["--since-document", "many.json"]);
    assert_eq!((output.err.matches("gone: ").count(), output.err.matches("new: ").count()), (1000, 1));
    let mut last = output.err.lines().rev();
    assert!(last.next().unwrap().contains(" 1200 gone, "), "{}", output.err);
    assert_eq!(last.next().unwrap(), "200 changes more", "{}", output.err);
}

#[test]
fn a_document_without_operations_is_reported() {
    let dir = captured(&["/users"]);
    let output = export(&dir, &["--host", "nowhere.example"]).ok();
    assert_eq!(document(&output)["paths"], json!({}));
    let warning = "spectral: warning: the document has no operations, since no matching exchange is a call of an API; list the \
                   exchanges with: spectral capture inspect capture.zip\n";
    assert_eq!(output.err, warning);
}
