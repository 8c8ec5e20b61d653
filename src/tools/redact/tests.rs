//! Compares bundles before and after redaction.

use super::*;
use crate::bundle::archive::{Archive, CompressionMethod};
use crate::bundle::json::add_json;
use crate::bundle::reader::{Header, Message, Trace};
use crate::bundle::test_dir::TestDir;
use crate::coding::testing::gz;
use serde_json::{Value, json};
use std::io::Write;
use std::time::Duration;

mod bodies;
mod order;
mod texts;

fn named(names: &[&str]) -> Rules {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    Rules { names, only_named: true, ..Rules::default() }
}

fn headers(list: &[(&str, &str)]) -> Vec<Header> {
    list.iter().map(|(name, value)| Header::new(name.as_bytes(), value.as_bytes()).owned()).collect()
}

/// Writes a bundle with one exchange and one text message.
fn bundle(dir: &TestDir, trace: &Trace, request: &[u8], response: &[u8], message: &[u8]) -> PathBuf {
    let text = Message { opcode: "text".into(), ..Message::default() };
    bundle_with_message(dir, trace, request, response, &text, message)
}

/// Writes a bundle with one exchange and one message.
fn bundle_with_message(
    dir: &TestDir,
    trace: &Trace,
    request: &[u8],
    response: &[u8],
    message_json: &Message,
    message: &[u8],
) -> PathBuf {
    let path = dir.path("a.zip");
    let (mut archive, _) = Archive::create(&path, Duration::ZERO).unwrap();
    let mut bundle_trace = trace.clone();
    bundle_trace.id = "t_0001".into();
    let mut message_json =
        Message { id: "ws_0001_m001".into(), connection_ref: "ws_0001".into(), ..message_json.clone() };
    archive
        .group(|archive| {
            let bodies = [
                ("traces/t_0001_request.bin", request, &mut bundle_trace.request.body_file),
                ("traces/t_0001_response.bin", response, &mut bundle_trace.response.body_file),
                ("ws/ws_0001_m001.bin", message, &mut message_json.payload_file),
            ];
            for (name, bytes, file) in bodies {
                if !bytes.is_empty() {
                    *file = Some(name.split_once('/').unwrap().1.to_owned());
                    archive.begin_entry(name.into(), bytes.len() as u64, CompressionMethod::Deflated, &[])?;
                    archive.write_all(bytes)?;
                }
            }
            bundle_trace.request.body_size = request.len() as u64;
            bundle_trace.response.body_size = response.len() as u64;
            message_json.payload_size = message.len() as u64;
            add_json(archive, "traces/t_0001.json".into(), &bundle_trace, &[])?;
            let websocket = json!({"id": "ws_0001", "url": "wss://a.test/?token=s3cret", "message_count": 1});
            add_json(archive, "ws/ws_0001.json".into(), &websocket, &[])?;
            add_json(archive, "ws/ws_0001_m001.json".into(), &message_json, &[])?;
            add_json(archive, "manifest.json".into(), &json!({"created_at": "2026-11-22T09:07:09Z"}), &[])
        })
        .unwrap();
    archive.finish().unwrap().path
}

/// Returns the request and response of the only exchange, its bodies, and the payload of the message, as text.
fn contents(path: &Path) -> (Trace, String, String, String) {
    let bundle = Bundle::open(path).unwrap();
    let trace = bundle.trace("t_0001").unwrap();
    let message = bundle.message("ws_0001_m001").unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    assert_eq!(bundle.request_body(&trace).unwrap().len() as u64, trace.request.body_size);
    assert_eq!(bundle.response_body(&trace).unwrap().len() as u64, trace.response.body_size);
    assert_eq!(bundle.payload(&message).unwrap().len() as u64, message.payload_size);
    let bodies = [bundle.request_body(&trace).unwrap(), bundle.response_body(&trace).unwrap()].map(text);
    let [sent, received] = bodies;
    (trace, sent, received, text(bundle.payload(&message).unwrap()))
}

#[test]
fn replaces_secrets_by_name_and_wherever_else_they_stand() {
    let dir = TestDir::new("all");
    let mut trace = Trace::default();
    trace.request.url = "https://a.test/x/s3cret-value?page=2&token=s3cret-value".into();
    trace.request.headers = headers(&[
        ("Authorization", "Bearer s3cret-value"),
        ("cookie", "id=s3cret-value; theme=dark;  empty="),
        ("X-Api-Key", "s3cret-value"),
        ("Referer", "https://a.test/?Token=s3cret-value#top"),
        ("Accept", "*/*"),
        ("Content-Type", "application/x-www-form-urlencoded"),
    ]);
    trace.response.headers = headers(&[
        ("Set-Cookie", "id=s3cret-value; Path=/; HttpOnly"),
        ("Location", "/y#token=s3cret-value"),
        ("Link", "</?token=s3cret-value>; rel=next"),
        ("X-Echo", "you sent s3cret-value"),
    ]);
    trace.response.status = 200;
    trace.response.status_text = "OK s3cret-value".into();
    let response =
        br#"{"a": 1.50, "password": "s3cret-value", "s3cret-value": "in s3cret-value", "list": [{"Password": 12345678},
        {"password": {"x": ["s3cret-value", true, null]}}, 12345678, "c3\u0063ret-value", "bz1zM2NyZXQtdmFsdWU7"]}"#;
    let sent = b"user=me&password=s3cret-value&x=s3cret%2Dvalue";
    let path = bundle(&dir, &trace, sent, response, br#"{"say":"s3cret-value","n":1}"#);
    let done = redact(&path, &dir.path("b.zip"), &Rules::default(), &Options::default()).unwrap();
    let (trace, sent, received, payload) = contents(&done.output);
    let websocket = Bundle::open(&done.output).unwrap().websocket("ws_0001").unwrap();

    let placeholder = trace.request.headers[2].value.clone();
    assert!(placeholder.starts_with("redacted-") && placeholder.len() == 21, "{placeholder}");
    assert_eq!(trace.request.url, format!("https://a.test/x/{placeholder}?page=2&token={placeholder}"));
    assert_eq!(trace.request.headers[0].value, format!("Bearer {placeholder}"));
    let cookie = &trace.request.headers[1].value;
    assert!(
        cookie.starts_with(&format!("id={placeholder}; theme=redacted-")) && cookie.ends_with(";  empty="),
        "{cookie}"
    );
    assert_eq!(trace.request.headers[3].value, format!("https://a.test/?Token={placeholder}#top"));
    assert_eq!(trace.response.headers[0].value, format!("id={placeholder}; Path=/; HttpOnly"));
    assert_eq!(trace.response.headers[1].value, format!("/y#token={placeholder}"));
    assert_eq!(trace.response.headers[2].value, format!("</?token={placeholder}>; rel=next"));
    assert_eq!(trace.response.headers[3].value, format!("you sent {placeholder}"));
    assert_eq!(trace.response.status_text, format!("OK {placeholder}"));
    assert_eq!(sent, format!("user=me&password={placeholder}&x={placeholder}"));
    assert_eq!(payload, format!("{{\"say\":\"{placeholder}\",\"n\":1}}"));
    assert_eq!(websocket.url, "wss://a.test/?token=".to_owned() + &websocket.url[20..]);
    assert!(websocket.url.contains("redacted-"), "{}", websocket.url);
    assert!(received.starts_with(r#"{"a": 1.50, "password": "redacted-"#), "bytes between values stay: {received}");
    let received: Value = serde_json::from_str(&received).unwrap();
    assert_eq!(received["s3cret-value"], format!("in {placeholder}"), "names stay");
    let number = &received["list"][0]["Password"];
    assert!(
        number.is_u64() && *number != 12_345_678 && received["list"][2] == *number,
        "numbers stay numbers: {number}"
    );
    assert_eq!(received["list"][1]["password"]["x"], json!([placeholder, true, null]));
    assert_eq!(received["list"][3], "c3cret-value", "another value");
    let base64 = crate::text::from_base64(received["list"][4].as_str().unwrap()).unwrap();
    assert!(String::from_utf8(base64).unwrap().contains(&placeholder));

    let report = done.report;
    assert_eq!(report.names["authorization"], 1);
    assert_eq!((report.names["id"], report.names["token"], report.names["password"]), (2, 5, 3));
    assert!(report.elsewhere >= 6 && report.forms.is_empty() && report.unsearched.count == 0, "{report:?}");
    assert!(
        check(&done.output, &Rules::default(), &Options::default()).unwrap().is_clean(),
        "placeholders are no secrets"
    );
    assert!(!check(&path, &Rules::default(), &Options::default()).unwrap().is_clean());
    let again = redact(&done.output, &dir.path("c.zip"), &Rules::default(), &Options::default()).unwrap();
    assert_eq!(contents(&again.output), contents(&dir.path("b.zip")), "and stay");
}

#[test]
fn only_named_switches_the_default_list_off() {
    let dir = TestDir::new("named");
    let mut trace = Trace::default();
    trace.request.url = "http://user:pass-word@a.test/?token=s3cret-value".into();
    trace.request.headers = headers(&[("Authorization", "Bearer s3cret-value1"), ("Cookie", "a=b"), ("X-One", "two")]);
    let path = bundle(
        &dir,
        &trace,
        b"{\"token\":\"abcdefgh\"}",
        b"{\"customerId\":12,\"x\":{\"customer-id\":[\"a\"]}}",
        b"hi",
    );
    let done = redact(&path, &dir.path("b.zip"), &named(&["customer_id", "x_one"]), &Options::default()).unwrap();
    let (new, sent, received, _) = contents(&done.output);
    assert_eq!((&new.request.url, sent.as_str()), (&trace.request.url, "{\"token\":\"abcdefgh\"}"));
    assert_eq!(new.request.headers[..2], trace.request.headers[..2]);
    assert!(new.request.headers[2].value.starts_with("redacted-"));
    assert!(
        received.starts_with("{\"customerId\":999") && received.contains("{\"customer-id\":[\"redacted-"),
        "{received}"
    );
    assert!(done.report.suspicious.contains_key("authorization"), "{:?}", done.report.suspicious);
    let done =
        redact(&path, &dir.path("c.zip"), &Rules { json: vec!["x".into()], ..Rules::default() }, &Options::default())
            .unwrap();
    let (_, _, received, _) = contents(&done.output);
    assert!(received.starts_with("{\"customerId\":12,") && !received.contains("\"a\""), "{received}");
}

#[test]
fn redacts_credentials_in_urls_and_in_malformed_fields() {
    let dir = TestDir::new("malformed");
    let mut trace = Trace::default();
    trace.request.url = "http://user:s3cret@a.test/x".into();
    trace.request.headers = headers(&[
        (" Authorization\t", "Basic s3cret"),
        ("Cookie\u{b}", "a=s3cret"),
        ("Referer", "http://s3cret@a.test/"),
        ("Host", "s3cret@a.test"),
        ("Authorization Basic s3cret", ""),
        ("\tcookie=s3cret; b=user", "s3cret"),
        ("Cooking are s3cr", ""),
        ("Cookie\u{1}", ""),
        ("Authorization", "KEY s3cret"),
        ("Sec-WebSocket-Protocol", "bearer, s3cret"),
    ]);
    let path = bundle(&dir, &trace, b"", b"", b"hi");
    let done = redact(&path, &dir.path("b.zip"), &Rules::default(), &Options::default()).unwrap();
    let trace = Bundle::open(&done.output).unwrap().trace("t_0001").unwrap();
    assert!(!format!("{trace:?}").contains("s3cret"), "{trace:?}");
    assert!(!format!("{trace:?}").contains("KEY"), "{trace:?}");
    assert!(trace.request.url.ends_with("@a.test/x"), "{}", trace.request.url);
    let names: Vec<_> = trace.request.headers.iter().map(|header| header.name.as_str()).collect();
    assert!(
        names[4].starts_with("Authorization Basic redacted-") && names[5].starts_with("\tcookie=redacted-"),
        "{names:?}"
    );
    assert_eq!(names[6..8], ["Cooking are s3cr", "Cookie\u{1}"]);
    assert!(trace.request.headers[0].value.starts_with("Basic redacted-"));
}

#[test]
fn a_password_in_basic_credentials_is_sought_alone() {
    let dir = TestDir::new("basic");
    let mut trace = Trace::default();
    // user:pass-w0rd
    trace.request.headers = headers(&[("Authorization", "Basic dXNlcjpwYXNzLXcwcmQ=")]);
    let path = bundle(&dir, &trace, b"<p>pass-w0rd</p>", b"user%3Apass-w0rd", b"hi");
    let done = redact(&path, &dir.path("b.zip"), &Rules::default(), &Options::default()).unwrap();
    let (_, sent, received, _) = contents(&done.output);
    assert!(sent.starts_with("<p>redacted-") && received.starts_with("redacted-"), "{sent} {received}");
}

#[test]
fn bodies_that_cannot_be_searched_are_left_out_unless_kept() {
    let dir = TestDir::new("coded");
    let mut trace: Trace = serde_json::from_value(json!({"cut_off": {"side": "both", "why": "reset"}})).unwrap();
    trace.request.headers = headers(&[("Content-Type", "text/plain; charset=Shift_JIS")]);
    trace.response.body_encoding = Some("gzip".into());
    let json = json!({"opcode": "binary", "payload_encoding": "unknown", "cut_off": {"why": "stopped"}});
    let message: Message = serde_json::from_value(json).unwrap();
    let path = bundle_with_message(&dir, &trace, b"\x83\x5c", b"\x1f\x8b", &message, b"{\"token\":\"1\"}");
    for keep in [false, true] {
        let rules = Rules { keep_unsearched: keep, ..Rules::default() };
        let done = redact(&path, &dir.path("b.zip"), &rules, &Options::default()).unwrap();
        let places = ["t_0001 request", "t_0001 response", "ws_0001_m001"].map(String::from);
        assert_eq!((done.report.unsearched.count, &done.report.unsearched.first[..]), (3, &places[..]));
        let new = Bundle::open(&done.output).unwrap();
        let redacted = new.trace("t_0001").unwrap();
        assert_eq!(redacted.cut_off, trace.cut_off);
        assert_eq!(new.response_body(&redacted).unwrap().is_empty(), !keep);
        assert_eq!(new.request_body(&redacted).unwrap().is_empty(), !keep);
        assert_eq!((redacted.response.body_file.is_some(), redacted.response.body_size > 0), (keep, keep));
        let redacted = new.message("ws_0001_m001").unwrap();
        assert_eq!(redacted.cut_off, message.cut_off);
        assert_eq!(redacted.payload_encoding, message.payload_encoding.clone().filter(|_| keep));
        assert_eq!(new.payload(&redacted).unwrap().is_empty(), !keep);
    }
    assert_eq!(check(&path, &Rules::default(), &Options::default()).unwrap().unsearched.count, 3);
}

#[test]
fn binary_bodies_are_searched_for_known_values_and_keep_their_length() {
    let dir = TestDir::new("binary");
    let mut trace = Trace::default();
    trace.request.headers = headers(&[("X-Token", "s3cret-value")]);
    let path = bundle(&dir, &trace, b"\xff\0\x0cs3cret-value\x01", b"\xff\xd8\0", b"hi");
    let done = redact(&path, &dir.path("b.zip"), &Rules::default(), &Options::default()).unwrap();
    let places = ["t_0001 request", "t_0001 response"].map(String::from);
    assert_eq!((done.report.binary.count, &done.report.binary.first[..]), (2, &places[..]));
    let new = Bundle::open(&done.output).unwrap();
    let body = new.request_body(&new.trace("t_0001").unwrap()).unwrap();
    assert!(body.starts_with(b"\xff\0\x0credacted-") && body.ends_with(b"\x01") && body.len() == 16, "{body:?}");
    assert!(check(&done.output, &Rules::default(), &Options::default()).unwrap().is_clean());
}

#[test]
fn multipart_bodies_are_searched_part_by_part() {
    let dir = TestDir::new("multipart");
    let mut trace = Trace::default();
    trace.request.headers = headers(&[("Content-Type", "multipart/form-data; boundary=\"b\"")]);
    let part = |head: &str, content: &[u8]| {
        [b"--b\r\nContent-Disposition: form-data", head.as_bytes(), b"\r\n\r\n", content, b"\r\n"].concat()
    };
    let body = [
        part("; name=password", b"s3cret\r\n--bvalue"),
        part(";name=\"token\"", b"s3cret-two"),
        part("; name=file; filename=\"token\"\r\nContent-Type: image/png", b"\xff\0s3cret-two\xfe"),
        part("; name=doc\r\nContent-Type: application/json", br#"{"pwd":"s3cret-three"}"#),
        part("; name=\"s3cret-two\"; filename=\"s3cret-two.txt\"\r\nX-Token: s3cret-four", b"text"),
        b"--b--\r\n".to_vec(),
    ]
    .concat();
    let path = bundle(&dir, &trace, &body, b"", b"hi");
    let done = redact(&path, &dir.path("b.zip"), &Rules::default(), &Options::default()).unwrap();
    let new = Bundle::open(&done.output).unwrap();
    let body = new.request_body(&new.trace("t_0001").unwrap()).unwrap();
    let text = String::from_utf8_lossy(&body);
    assert!(text.contains("; name=\"s3cret-two\"; filename=\"redacted-"), "names of fields stay: {text}");
    assert_eq!(text.matches("s3cret").count(), 1, "{text}");
    assert!(!text.contains("bvalue"), "{text}");
    assert_eq!(text.matches("redacted-").count(), 6, "{text}");
    assert!(text.contains(".txt\"\r\nX-Token: redacted-"), "{text}");
    assert!(body.windows(3).any(|bytes| bytes == b"\xff\0r") && body.ends_with(b"\r\n--b--\r\n"), "{text}");
    assert_eq!(text.matches("\r\n--b\r\nContent-Disposition: form-data").count(), 4, "{text}");
}

#[test]
fn searches_bodies_in_other_character_sets() {
    let dir = TestDir::new("charsets");
    let mut trace = Trace::default();
    trace.request.headers = headers(&[("Content-Type", "text/json; charset=iso-8859-1")]);
    let utf16: Vec<u8> =
        "{\"gr\u{fc}n\":\"\u{fc}\",\"token\":\"x\"}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let path = bundle(&dir, &trace, b"{\"gr\xfcn\":\"\xfc\",\"token\":\"x\"}", &utf16, b"hi");
    let done = redact(&path, &dir.path("b.zip"), &Rules::default(), &Options::default()).unwrap();
    let new = Bundle::open(&done.output).unwrap();
    let trace = new.trace("t_0001").unwrap();
    let body = new.request_body(&trace).unwrap();
    assert!(body.starts_with(b"{\"gr\xfcn\":\"\xfc\",\"token\":\"redacted-"), "{body:?}");
    let body = new.response_body(&trace).unwrap();
    let units: Vec<_> = body.chunks(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])).collect();
    let text = String::from_utf16(&units).unwrap();
    assert!(text.starts_with("{\"grün\":\"ü\",\"token\":\"redacted-"), "{text}");
    assert_eq!(done.report.names["token"], 2 + 1, "with the WebSocket's URL");
}

#[test]
fn bodies_that_were_left_as_received_are_decoded_and_searched() {
    let dir = TestDir::new("received");
    let mut trace = Trace::default();
    trace.request.body_encoding = Some("gzip".into());
    trace.response.body_encoding = Some("gzip".into());
    let path = bundle(&dir, &trace, &gz(br#"{"password":"s3cret"}"#), b"not gzip", b"hi");
    let done = redact(&path, &dir.path("b.zip"), &Rules::default(), &Options::default()).unwrap();
    let (trace, sent, received, _) = contents(&done.output);
    assert_eq!(trace.request.body_encoding, None);
    assert!(sent.starts_with("{\"password\":\"redacted-") && received.is_empty(), "{sent}");
    assert_eq!(done.report.unsearched.first, ["t_0001 response"]);
}

#[test]
fn large_bodies_are_searched_in_pieces() {
    let dir = TestDir::new("large");
    let filler = "x y ".repeat(300);
    let record = |n: usize| format!("{{\"n\":{n},\"text\":\"{filler} {n}\",\"token\":\"s3cret-value-{n}\"}}");
    let json = format!("[{}]", (0..4_000).map(record).collect::<Vec<_>>().join(","));
    let lines: String = (0..4_000).map(|n| format!("{filler} line {n} s3cret-value-{n}\n")).collect();
    assert!(json.len() > 4 << 20 && lines.len() > 4 << 20);
    let path = bundle(&dir, &Trace::default(), json.as_bytes(), lines.as_bytes(), b"hi");
    let done = redact(&path, &dir.path("b.zip"), &Rules::default(), &Options::default()).unwrap();
    let (_, sent, received, _) = contents(&done.output);
    assert_eq!((done.report.names["token"], done.report.elsewhere), (4_001, 4_000));
    assert!(!sent.contains("s3cret") && !received.contains("s3cret"));
    assert_eq!(serde_json::from_str::<Value>(&sent).unwrap().as_array().unwrap().len(), 4_000);
    assert_eq!(received.lines().count(), 4_000);

    let binary = [b"\xff\0".repeat(5 << 19), b"s3cret-value".to_vec(), b"\xff\0".repeat(1 << 16)].concat();
    let line = "x y".repeat(3 << 19);
    let mut trace = Trace::default();
    trace.request.headers = headers(&[("X-Token", "s3cret-value")]);
    let path = bundle(&dir, &trace, &binary, line.as_bytes(), b"hi");
    let done = redact(&path, &dir.path("b.zip"), &Rules::default(), &Options::default()).unwrap();
    let (_, sent, received, _) = contents(&done.output);
    assert!(!sent.contains("s3cret") && received.is_empty());
    assert_eq!(
        (&done.report.binary.first[..], &done.report.unsearched.first[..]),
        (&["t_0001 request".to_owned()][..], &["t_0001 response".to_owned()][..])
    );
    let xml = format!("<a>{}</a>", "<b>x</b>\n".repeat(600_000));
    let part =
        format!("--b\r\nContent-Disposition: form-data; name=a\r\n\r\n{}\r\n--b--\r\n", "x y\n".repeat(1_200_000));
    let form = "a=b&".repeat(1_200_000);
    for (media_type, body) in [
        ("text/xml", &xml),
        ("multipart/form-data; boundary=b", &part),
        ("application/x-www-form-urlencoded", &form),
        ("text/plain; charset=utf-16", &String::from_utf16(&vec![0x4141; 3 << 20]).unwrap()),
    ] {
        let mut trace = Trace::default();
        trace.request.headers = headers(&[("Content-Type", media_type)]);
        let body = match media_type.ends_with("utf-16") {
            true => [b"\xff\xfe".to_vec(), body.encode_utf16().flat_map(u16::to_le_bytes).collect()].concat(),
            false => body.clone().into_bytes(),
        };
        let path = bundle(&dir, &trace, &body, b"", b"hi");
        let checked = check(&path, &Rules::default(), &Options::default()).unwrap();
        assert_eq!(checked.unsearched.first, ["t_0001 request"], "{media_type}");
    }
}

#[test]
fn never_replaces_the_source_bundle() {
    let dir = TestDir::new("itself");
    let path = bundle(&dir, &Trace::default(), b"", b"", b"");
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(redact(&path, &path, &Rules::default(), &Options::default()), Err(Error::OutputIsInput(_))));
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert!(matches!(
        redact(&dir.path("no.zip"), &dir.path("b.zip"), &Rules::default(), &Options::default()),
        Err(Error::Read(_))
    ));
    assert_eq!(std::fs::read_dir(dir.directory()).unwrap().count(), 1, "nothing is left behind");
}
