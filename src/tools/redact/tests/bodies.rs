//! Fields of all items, media types, and values at the ends of pieces.

use super::super::*;
use super::{bundle, contents, headers};
use crate::bundle::archive::{Archive, CompressionMethod};
use crate::bundle::reader::Trace;
use crate::bundle::test_dir::TestDir;
use serde_json::json;
use std::time::Duration;

/// Redacts a bundle whose exchange has this request body.
fn redacted_body(media_type: &str, body: &[u8]) -> (Report, String) {
    let dir = TestDir::new("body");
    let mut trace = Trace::default();
    trace.request.headers = headers(&[("Content-Type", media_type), ("X-Token", "s3cret-value")]);
    let path = bundle(&dir, &trace, body, b"", b"hi");
    let done = redact(&path, &dir.path("b.zip"), &Rules::default(), &Options::default()).unwrap();
    (done.report, contents(&done.output).1)
}

#[test]
fn fields_of_all_items_are_searched() {
    let dir = TestDir::new("fields");
    let path = dir.path("a.zip");
    let (mut archive, _) = Archive::create(&path, Duration::ZERO).unwrap();
    let later = json!({"token": "s3cret", "list": [{"password": "s3cret"}], "kept": 1});
    let entries = [
        ("contexts/c_0001.json", json!({"kind": "click", "state": later})),
        (
            "traces/t_0001.json",
            json!({"later": later, "initiator": {"type": "script", "url": "https://a.test/?token=s3cret"}}),
        ),
        ("ws/ws_0001.json", json!({"later": later, "url": "wss://a.test/", "protocols": ["bearer.s3cret"]})),
        ("ws/ws_0001_m001.json", json!({"later": later, "opcode": "text"})),
        ("manifest.json", json!({"created_at": "2026-11-22T09:07:09Z", "later": later, "app": {"later": later}})),
    ];
    let fill = |archive: &mut Archive| {
        entries.iter().try_for_each(|(name, json)| {
            archive.add(name, json.to_string().as_bytes(), CompressionMethod::Deflated, &[])
        })
    };
    archive.group(fill).unwrap();
    archive.finish().unwrap();
    let done = redact(&path, &dir.path("b.zip"), &Rules::default(), &Options::default()).unwrap();
    let new = crate::bundle::archive::ZipReader::open(&done.output).unwrap();
    for (name, _) in &entries {
        let text = String::from_utf8(new.read(name, 1 << 20).unwrap().unwrap()).unwrap();
        assert!(!text.contains("s3cret") && text.contains("\"kept\": 1"), "{name}: {text}");
    }
}

#[test]
fn the_media_type_decides_between_grammars() {
    let (_, form) = redacted_body("application/x-www-form-urlencoded", b"user name=me&password=ab zz");
    assert!(form.starts_with("user name=me&password=redacted-") && !form.contains("zz"), "{form}");
    let (_, events) = redacted_body("text/event-stream", b"x: y\ndata: <token>x</token>\n");
    assert!(events.starts_with("x: y\ndata: <token>redacted-"), "{events}");
    let head = b"--b\r\nContent-Disposition: form-data; name=a; filename=\"\xff s3cret-value.txt\"\r\n\r\n";
    let (_, part) = redacted_body("multipart/form-data; boundary=b", &[head, &b"x\r\n--b--\r\n"[..]].concat());
    assert!(part.contains(" redacted-") && part.contains(".txt") && !part.contains("s3cret"), "{part}");
    let head = b"--b\r\nContent-Disposition: form-data; name=a\r\nContent-Type: text/plain; charset=Shift_JIS\r\n\r\n";
    let (report, part) =
        redacted_body("multipart/form-data; boundary=b", &[head, &b"\x83\x5c\r\n--b--\r\n"[..]].concat());
    assert_eq!((report.unsearched.count, part.as_str()), (1, ""));
}

#[test]
fn deeply_nested_parts_are_searched_as_text() {
    let mut body = b"the end".to_vec();
    for n in 0..2000 {
        let inner = if n == 0 { "text/plain".to_owned() } else { format!("multipart/mixed; boundary=b{:04}", n - 1) };
        let (start, end) = (format!("--b{n:04}\r\nContent-Type: {inner}\r\n\r\n"), format!("\r\n--b{n:04}--\r\n"));
        body = [start.as_bytes(), &body, end.as_bytes()].concat();
    }
    let (report, text) = redacted_body("multipart/mixed; boundary=b1999", &body);
    assert!(report.unsearched.count == 0 && text.as_bytes() == body);
}

#[test]
fn values_at_the_ends_of_pieces_are_found() {
    let (report, binary) = redacted_body("image/png", &b"\xff\0s3cret-value".repeat(400_000));
    assert!(report.binary.count == 1 && !binary.contains("s3cret"));
    // A private key at the end of the first piece.
    let key = format!(
        "-----BEGIN PRIVATE KEY-----\n{}-----END PRIVATE KEY-----\n",
        "QUJD".repeat(15).as_str().to_owned() + "\n"
    );
    let key = key.replace("QUJD", &"QUJDQUJDQUJD\n".repeat(2000));
    let lines = ["x y\n".repeat((4 << 20) / 4 - 20_000), key, "x y\n".repeat(200_000)].concat();
    let (report, lines) = redacted_body("text/plain", lines.as_bytes());
    assert!(report.unsearched.count == 0 && !lines.contains("QUJD") && lines.ends_with("x y\n"));
    // Base64 with line breaks, in which the first piece ends.
    let text = "my s3cret-value, again: ".repeat(20_000);
    let encoded = crate::text::Base64(text.as_bytes()).to_string();
    let folded: Vec<_> = encoded.as_bytes().chunks(76).map(|line| [line, b"\r\n"].concat()).collect();
    let start = "x y\n".repeat((4 << 20) / 4 - 60_000);
    let (_, redacted) = redacted_body("text/plain", &[start.as_bytes(), &folded.concat(), b"x y"].concat());
    let encoded: String = redacted[start.len()..redacted.len() - 3].split("\r\n").collect();
    let decoded = String::from_utf8(crate::text::from_base64(&encoded).unwrap()).unwrap();
    assert_eq!((decoded.matches("my redacted-").count(), decoded.matches("s3cret").count()), (20_000, 0));
    // Each event is a text of its own.
    let event = format!("data: \"{}\"\n\n", "x y ".repeat(20_000));
    let events = [event.repeat(60).as_str(), "data: {\"password\":{\"on\":12}}\n\n"].concat();
    let (_, events) = redacted_body("text/event-stream", events.as_bytes());
    assert!(events.contains("{\"password\":{\"on\":999"), "{}", &events[events.len() - 60..]);
    // The bytes after a syntax error are text.
    let json = ["[".to_owned(), "\"x y\",\n".repeat(700_000), "oops\n \"token\": \"s3cret\",\n".into()].concat();
    let (report, json) = redacted_body("application/json", json.as_bytes());
    assert!(report.unsearched.count == 0 && json.contains("oops\n \"token\": \"redacted-"), "{}", json.len());
}
