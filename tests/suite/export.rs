//! `spectral capture export`: HAR files that other tools read, curl commands that repeat the requests, and reports. What a report
//! shows in a browser is the matter of tests/report.

use crate::support::cli::{Spectral, spectral};
use crate::support::connection::header;
use crate::support::peers::{har_validator, peer, python_with, run, script, without_proxy_settings};
use crate::support::websocket_frames::{frame, handshake};
use crate::support::{Connection, Origin, TempDir};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// Opens a tunnel through `running` to `origin`; its bytes are forwarded unchanged.
fn tunnel(running: &Spectral, origin: &Origin) -> Connection {
    let mut connection = Connection::to(running.addr);
    let target = origin.authority("127.0.0.1");
    connection.send(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"));
    connection.read_head();
    connection
}

/// Reads one request, with Content-Length or in chunks, and sends an empty response.
fn respond_empty(mut connection: Connection) {
    let head = connection.read_head();
    if header(&head, "transfer-encoding").is_some() {
        while !connection.read_until(b"\r\n").starts_with(b"0\r\n") {}
        connection.read_until(b"\r\n");
    } else if let Some(len) = header(&head, "content-length").filter(|_| !head.starts_with("HEAD")) {
        connection.read_exactly(len.parse().unwrap());
    }
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    connection.finish();
    connection.read_to_end();
}

/// Requests that need careful quoting; `HOST` stands for the origin's host.
fn requests() -> Vec<Vec<u8>> {
    let large = "0123456789abcdef".repeat(10_000);
    let text = "it's a \"$HOME\" `id` \\n % &;|<>*?#~!\n\tsecond line\n";
    let posted = |headers: &str, body: &[u8]| {
        let head = format!("POST /post HTTP/1.1\r\nHost: HOST\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
        [head.as_bytes(), body].concat()
    };
    let request = |line: &str, headers: &str| format!("{line} HTTP/1.1\r\nHost: HOST\r\n{headers}\r\n").into_bytes();
    vec![
        request("GET /plain?a=b&c=%20d", "User-Agent: me/1.0\r\nAccept: */*\r\n"),
        request("GET /bare", ""),
        request("GET /q?ids[]={1}&x='$y'&z=!(a)*", "accept: text/html\r\n"),
        request("GET /a/../b/./c/%2e%2e/", ""),
        request("GET /gr\u{fc}n\"<>^`|", "Accept: x\r\n"),
        request("GET /odd", "X-It: it's $(id) `id` \"quoted\" \\ % !\r\nX-Empty:\r\nX-Twice: 1\r\nx-twice: 2\r\nCookie: a=b; c=d\r\n"),
        request("GET /utf8", "X-Name: gr\u{fc}n \u{9b}31m\u{202e}\r\n"),
        request("GET /coded", "Accept-Encoding: gzip, br\r\nReferer: http://a/?b=c\r\nAuthorization: Basic YTpi\r\n"),
        request("DELETE /thing/1", "Accept: */*\r\n"),
        request("PROPFIND /dav", "Depth: 1\r\n"),
        request("OPTIONS *", ""),
        request("HEAD /head", "Accept: */*\r\n"),
        request("POST /empty", "Content-Length: 0\r\n"),
        posted("Content-Type: text/plain\r\n", text.as_bytes()),
        posted("Content-Type: application/x-www-form-urlencoded\r\nUser-Agent: me\r\n", b"a=b&c=d"),
        posted("", b"@/etc/passwd"),
        posted("Content-Type: application/octet-stream\r\n", b"\0\x01\xff'\x1b\r\n"),
        posted("Content-Type: text/plain\r\n", large.as_bytes()),
        b"PUT /put HTTP/1.1\r\nHost: HOST\r\nContent-Type: a/b\r\nContent-Length: 3\r\n\r\nput".to_vec(),
        b"GET /body HTTP/1.1\r\nHost: HOST\r\nContent-Type: a/b\r\nContent-Length: 3\r\n\r\nget".to_vec(),
        b"POST /chunks HTTP/1.1\r\nHost: HOST\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
            .to_vec(),
        request("GET /host", "").iter().map(|&b| char::from(b)).collect::<String>().replace("HOST", "Other.Example").into(),
    ]
}

#[test]
fn curl_commands_repeat_the_request() {
    let Some(_curl) = peer("curl") else {
        return;
    };
    let (dir, origin) = (TempDir::new(), Origin::plain(respond_empty));
    let running = Spectral::capture(&dir, &[]);
    let host = origin.authority("127.0.0.1");
    let requests: Vec<Vec<u8>> = requests()
        .into_iter()
        .map(|request| {
            let at = request.windows(4).position(|word| word == b"HOST");
            at.map_or(request.clone(), |at| [&request[..at], host.as_bytes(), &request[at + 4..]].concat())
        })
        .collect();
    for request in &requests {
        let mut connection = tunnel(&running, &origin);
        connection.send(request);
        connection.read_to_end();
    }
    assert_eq!(running.interrupt().code, Some(0));

    for (index, request) in requests.iter().enumerate() {
        assert!(origin.received(index) == *request, "the request is repeated unchanged");
        let id = format!("t_{:04}", index + 1);
        let args = ["capture", "export", "capture.zip", "--format", "curl", "--trace", &id];
        let script = spectral(&dir, &args).ok().text();
        // The name of the origin differs if the request has a Host field of its own.
        let script = script.replace("//other.example:", "//127.0.0.1:");
        let mut shell = Command::new("/bin/sh");
        let output = run(shell.arg(dir.write("again.sh", &script)).current_dir(dir.path()).env("HOME", dir.path()));
        assert_eq!(output.code, Some(0), "{script}\n{}", output.err);
        let again = origin.received(requests.len() + index);
        let (sent, again) = (String::from_utf8_lossy(request), String::from_utf8_lossy(&again));
        assert!(sent == again, "{script}\n--- sent\n{sent}\n--- again\n{again}");
    }
    let all = spectral(&dir, &["capture", "export", "capture.zip", "--format", "curl"]).ok().text();
    assert_eq!(all.matches("\n# t_00").count() + 1, requests.len(), "a comment for each request");
    let posts = ["capture", "export", "capture.zip", "--format", "curl", "--method", "POST", "--grep", "passwd"];
    assert_eq!(spectral(&dir, &posts).ok().text().matches("curl ").count(), 1);
}

#[test]
fn a_report_takes_filters_redaction_and_limits() {
    let (dir, origin) = (TempDir::new(), Origin::plain(respond_empty));
    let running = Spectral::capture(&dir, &[]);
    let host = origin.authority("127.0.0.1");
    let large = "x".repeat(3000);
    for (path, header, body) in
        [("/first", "Authorization: Bearer s3cret-token", ""), ("/second", "Accept: */*", &large)]
    {
        let mut connection = tunnel(&running, &origin);
        let len = body.len();
        connection
            .send(format!("POST {path} HTTP/1.1\r\nHost: {host}\r\n{header}\r\nContent-Length: {len}\r\n\r\n{body}"));
        connection.read_to_end();
    }
    assert_eq!(running.interrupt().code, Some(0));
    let export = |more: &[&str]| {
        spectral(&dir, &[&["capture", "export", "capture.zip", "--format", "html"], more].concat()).ok()
    };
    let all = export(&[]);
    assert!(all.text().contains("/first") && all.text().contains("/second") && all.text().contains(&large));
    assert!(all.text().contains("s3cret-token") && all.err.is_empty(), "{}", all.err);
    let filtered = export(&["--grep", "s3cret"]).text();
    assert!(filtered.contains("/first") && !filtered.contains("/second"));
    let redacted = export(&["--redact"]).text();
    assert!(!redacted.contains("s3cret-token") && redacted.contains("Bearer redacted-"));
    assert!(redacted.contains("\"redacted\":true") && !all.text().contains("\"redacted\":true"));
    let cut = export(&["--max-body", "1K"]);
    let line = "t_0002: request body of 3000 bytes cut; see spectral capture inspect capture.zip --trace t_0002";
    assert!(cut.err.ends_with(&format!("spectral: warning: {line}\n")), "{}", cut.err);
    assert!(cut.text().contains(line) && !cut.text().contains(&large));
    export(&["-o", "report.html"]);
    assert_eq!(dir.join("report.html").metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn other_tools_read_the_har() {
    let (dir, origin) = (TempDir::new(), Origin::plain(serve));
    let running = Spectral::capture(&dir, &[]);
    let host = origin.authority("127.0.0.1");
    for request in [
        format!(
            "GET /cookies?a=1&b=%C3%BC HTTP/1.1\r\nHost: {host}\r\nCookie: id=7; theme=dark\r\nUser-Agent: me\r\n\r\n"
        ),
        format!(
            "POST /form HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: 9\r\n\r\na=b+c&d=e"
        ),
        format!("GET /binary HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        format!("GET /redirect HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        format!("GET /silent HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    ] {
        let mut connection = tunnel(&running, &origin);
        connection.send(request);
        connection.read_to_end();
    }
    let mut connection = tunnel(&running, &origin);
    connection.send(handshake("").0);
    connection.read_head();
    connection.send(frame(0x81, Some([1; 4]), b"hello"));
    connection.read_to_end();
    assert_eq!(running.interrupt().code, Some(0));

    let args = ["capture", "export", "capture.zip", "--format", "har", "-o", "capture.har"];
    let output = spectral(&dir, &args).ok();
    assert_eq!((output.text(), output.err), (String::new(), String::new()));
    let file = dir.join("capture.har");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "the file may contain secrets");
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(spectral(&dir, &args[..5]).ok().text(), text, "stdout is the default");
    let har: Value = serde_json::from_str(&text).unwrap();
    let log = &har["log"];
    assert_eq!((&log["version"], &log["creator"]["name"]), (&Value::from("1.2"), &Value::from("spectral")));
    let entries = log["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 6);
    for entry in entries {
        let timings = entry["timings"].as_object().unwrap();
        let parts = timings.iter().filter(|(name, _)| *name != "ssl").map(|(_, ms)| ms.as_f64().unwrap());
        let sum: f64 = parts.filter(|ms| *ms > 0.0).sum();
        assert!((sum - entry["time"].as_f64().unwrap()).abs() < 0.001, "{entry}");
        assert!(entry["startedDateTime"].as_str().unwrap().ends_with("+00:00"));
        assert_eq!((&entry["request"]["headersSize"], &entry["cache"]), (&Value::from(-1), &serde_json::json!({})));
    }
    let (request, response) = (&entries[0]["request"], &entries[0]["response"]);
    assert_eq!(request["cookies"][1], serde_json::json!({"name": "theme", "value": "dark"}));
    assert_eq!(request["queryString"][1], serde_json::json!({"name": "b", "value": "ü"}));
    assert_eq!(response["cookies"][0]["expires"], "2015-10-21T07:28:00.000Z");
    assert_eq!(response["content"]["text"], "{\"answer\":42}");
    let form = &entries[1]["request"]["postData"];
    assert_eq!((&form["text"], &form["params"][0]["value"]), (&Value::from("a=b+c&d=e"), &Value::from("b c")));
    let binary = &entries[2]["response"]["content"];
    assert_eq!((&binary["text"], &binary["encoding"]), (&Value::from("AP8="), &Value::from("base64")));
    assert_eq!(entries[3]["response"]["redirectURL"], "/elsewhere");
    assert_eq!(entries[4]["response"]["status"], 0);
    let socket = &entries[5];
    assert_eq!(
        (&socket["_resourceType"], &socket["response"]["status"]),
        (&Value::from("websocket"), &Value::from(101))
    );
    let messages = socket["_webSocketMessages"].as_array().unwrap();
    let output: Vec<_> = messages
        .iter()
        .map(|m| (m["type"].as_str().unwrap(), m["opcode"].as_u64().unwrap(), m["data"].as_str().unwrap()))
        .collect();
    assert_eq!(
        output,
        [("send", 1, "hello"), ("receive", 1, "hi"), ("receive", 2, "AAE="), ("receive", 8, "A+hieWU=")]
    );
    assert!(messages[0]["time"].as_f64().unwrap() > 1_600_000_000.0, "time is in seconds");

    read_by_haralyzer(&dir);
    assert_valid_har(&file);
}

/// Validates the file against the JSON schema of HAR 1.2, which most HAR tools use.
#[track_caller]
pub(crate) fn assert_valid_har(har: &Path) {
    let (Some(node), Some(validator)) = (peer("node"), har_validator()) else {
        return;
    };
    run(Command::new(node).arg(script("har_schema.js")).args([validator.as_path(), har])).ok();
}

/// Serves a request by its path.
fn serve(mut connection: Connection) {
    let head = connection.read_head();
    let body = header(&head, "content-length").map_or(0, |len| len.parse().unwrap());
    connection.read_exactly(body);
    match head.split(' ').nth(1).unwrap() {
        "/binary" => connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 2\r\n\r\n\0\xff"),
        "/redirect" => connection.send("HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"),
        "/silent" => {}
        "/raw" => {
            connection.send(handshake("").1);
            connection.read_exactly(frame(0x81, Some([1; 4]), b"hello").len());
            connection.send([frame(0x81, None, b"hi"), frame(0x82, None, b"\0\x01")].concat());
            connection.send(frame(0x88, None, b"\x03\xe8bye"));
        }
        _ => connection.send(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\
             Set-Cookie: id=8; Path=/; Expires=Wed, 21 Oct 2015 07:28:00 GMT; Secure\r\n\r\n{\"answer\":42}",
        ),
    }
    connection.finish();
    connection.read_to_end();
}

/// Checks that haralyzer reads the contents of `capture.har`.
fn read_by_haralyzer(dir: &TempDir) {
    let Some(python) = python_with("haralyzer") else {
        return;
    };
    let script = "
import json
from haralyzer import HarParser
har = HarParser(json.load(open('capture.har')))
assert har.version == '1.2' and har.creator['name'] == 'spectral'
[page] = har.pages
entries = page.entries
first = entries[0]
assert first.request.method == 'GET' and first.request.userAgent == 'me', first.request
assert first.response.status == 200 and first.response.mimeType == 'application/json'
assert first.response.text == '{\"answer\":42}' and first.startTime.utcoffset() is not None
assert first.request.cookies[0]['name'] == 'id' and len(page.post_requests) == 1
assert HarParser.match_headers(first, 'response', 'content-type', 'json')
assert entries[1].request.mimeType == 'application/x-www-form-urlencoded'
assert entries[2].response.textEncoding == 'base64'
assert entries[3].status == 302 and abs(sum(v for k, v in first.timings.items() if k != 'ssl' and v > 0) - first.time) <= 1
print(len(entries))
";
    let output = run(without_proxy_settings(Command::new(python).args(["-c", script]).current_dir(dir.path()))).ok();
    assert_eq!(output.text().trim(), "6");
}

#[test]
fn a_failed_export_leaves_no_file() {
    let dir = TempDir::new();
    let theirs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/extension.zip");
    let theirs = theirs.to_str().unwrap();
    let export = |args: &[&str]| spectral(&dir, &[&["capture", "export"], args].concat());
    assert_eq!(export(&[theirs]).code, Some(2), "--format is required");
    assert_eq!(export(&[theirs, "--format", "pcap"]).code, Some(2));
    assert_eq!(export(&[theirs, "--format", "har", "-o", "missing/x.har"]).code, Some(1));
    assert_eq!(export(&[theirs, "--format", "har", "--trace", "t_9999", "-o", "x.har"]).code, Some(1));
    let output = export(&[theirs, "--format", "har", "-o", "."]);
    assert_eq!(output.err, "spectral: error: cannot write .: it is a directory; name a file with -o\n");
    let output = export(&[theirs, "--format", "har", "--trace", "ws_0001"]);
    assert!(output.err.contains("ws_0001 is a WebSocket: it is exported only without --trace"), "{}", output.err);
    assert_eq!(dir.names(), Vec::<String>::new());
    let bundle = std::fs::read(theirs).unwrap();
    std::fs::write(dir.join("a.zip"), &bundle).unwrap();
    let output = export(&["a.zip", "--format", "har", "-o", "./a.zip"]);
    let problem = "cannot write ./a.zip: it is the bundle to export; choose another file with -o";
    assert_eq!((output.code, output.err), (Some(1), format!("spectral: error: {problem}\n")));
    assert_eq!(std::fs::read(dir.join("a.zip")).unwrap(), bundle);
    // A bundle of the browser extension has messages without a handshake.
    let har: Value = serde_json::from_slice(&export(&[theirs, "--format", "har"]).ok().out).unwrap();
    let last = har["log"]["entries"].as_array().unwrap().last().unwrap();
    assert_eq!(last["_webSocketMessages"].as_array().unwrap().len(), 4);
    assert_eq!(har["log"]["browser"]["name"], "Chrome");
}
