//! Compares bundles before and after redaction.

use super::*;
use crate::bundle::archive::{Archive, CompressionMethod};
use crate::bundle::json::add_json;
use crate::bundle::test_dir::TestDir;
use crate::coding::testing::gz;
use serde_json::{Value, json};
use std::io::Write;
use std::time::Duration;

fn rules(headers: &[&str], query: &[&str], json: &[&str]) -> Rules {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Rules { headers: names(headers), query: names(query), json: names(json), keep_coded: false }
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

#[test]
fn replaces_every_secret_and_equal_values_alike() {
    let dir = TestDir::new("all");
    let mut trace = Trace::default();
    trace.request.url = "https://a.test/x?page=2&token=s3cret".into();
    trace.request.headers = headers(&[
        ("Authorization", "Bearer s3cret"),
        ("cookie", "id=s3cret; theme=dark;  empty="),
        ("X-Api-Key", "s3cret"),
        ("Referer", "https://a.test/?Token=s3cret#top"),
        ("Accept", "*/*"),
    ]);
    trace.request.headers.push(Header::new(b"Content-Type", b"application/x-www-form-urlencoded").owned());
    trace.response.headers = headers(&[
        ("Set-Cookie", "id=s3cret; Path=/; HttpOnly"),
        ("Location", "/y#token=s3cret"),
        ("Link", "</?token=s3cret>; rel=next"),
    ]);
    trace.response.status = 200;
    let response = br#"{"a": 1.50, "password": "s3cret", "list": [{"Password": 12345}, {"password": {"x": ["s3cret", true, null]}}]}"#;
    let path = bundle(&dir, &trace, b"user=me&password=s3cret", response, br#"{"password":"s3cret","n":1}"#);

    let rules = rules(&["x-api-key"], &["token"], &["password"]);
    let done = redact(&path, &dir.path("b.zip"), &rules, &Options::default()).unwrap();
    let new = Bundle::open(&done.output).unwrap();
    let trace = new.trace("t_0001").unwrap();
    let (request_body, response_body) = (new.request_body(&trace).unwrap(), new.response_body(&trace).unwrap());
    let websocket = new.websocket("ws_0001").unwrap();
    let message = new.message("ws_0001_m001").unwrap();
    let payload = new.payload(&message).unwrap();
    let all = [
        serde_json::to_string(&trace).unwrap(),
        String::from_utf8(request_body.clone()).unwrap(),
        String::from_utf8(response_body.clone()).unwrap(),
        serde_json::to_string(&websocket).unwrap(),
        String::from_utf8(payload.clone()).unwrap(),
    ]
    .concat();
    assert!(!all.contains("s3cret") && !all.contains("12345") && !all.contains("dark"), "{all}");
    let placeholder = trace.request.headers[2].value.clone();
    assert!(placeholder.starts_with("redacted-") && placeholder.len() == 21, "{placeholder}");
    assert_eq!(all.matches(&placeholder).count(), 13, "equal values have equal placeholders: {all}");

    let value = |name: &str| {
        let all = trace.request.headers.iter().chain(&trace.response.headers);
        all.filter(|header| header.name == name).map(|header| header.value.clone()).next().unwrap()
    };
    assert_eq!(value("Authorization"), format!("Bearer {placeholder}"));
    assert!(value("cookie").starts_with(&format!("id={placeholder}; theme=redacted-")), "{}", value("cookie"));
    assert!(value("cookie").ends_with(";  empty="));
    assert_eq!(value("Set-Cookie"), format!("id={placeholder}; Path=/; HttpOnly"));
    assert_eq!(value("Location"), format!("/y#token={placeholder}"));
    assert_eq!(value("Link"), format!("</?token={placeholder}>; rel=next"));
    assert_eq!(value("Accept"), "*/*");
    assert_eq!(trace.request.url, format!("https://a.test/x?page=2&token={placeholder}"));
    assert_eq!(request_body, format!("user=me&password={placeholder}").into_bytes());
    let received: Value = serde_json::from_slice(&response_body).unwrap();
    assert_eq!(received["password"], placeholder);
    assert!(received["list"][0]["Password"].is_u64(), "numbers stay numbers: {received}");
    assert_eq!(received["list"][1]["password"]["x"], json!([placeholder, false, null]));
    assert_eq!(trace.request.body_size, request_body.len() as u64);
    assert_eq!(message.payload_size, payload.len() as u64);
    assert_eq!(
        done,
        Redacted {
            output: dir.path("b.zip"),
            exchanges: 1,
            websockets: 1,
            headers: 2,
            cookies: 3,
            parameters: 6,
            json: 5,
            ..Redacted::default()
        }
    );
}

#[test]
fn default_rules_redact_credentials_and_cookies_only() {
    let dir = TestDir::new("usual");
    let mut trace = Trace::default();
    trace.request.headers =
        headers(&[("AUTHORIZATION", "opaque"), ("Proxy-Authorization", "Basic eA=="), ("Cookie", "lonely")]);
    trace.response.body_encoding = Some("gzip".into());
    let path = bundle(&dir, &trace, b"{\"token\":1}", b"\x1f\x8b", b"hi");
    let done = redact(&path, &dir.path("b.zip"), &Rules::default(), &Options::default()).unwrap();
    let new = Bundle::open(&done.output).unwrap();
    let trace = new.trace("t_0001").unwrap();
    let values: Vec<_> = trace.request.headers.iter().map(|header| header.value.as_str()).collect();
    assert!(values[0].starts_with("redacted-") && values[1].starts_with("Basic redacted-"), "{values:?}");
    assert!(values[2].starts_with("redacted-"), "{values:?}");
    assert_eq!(new.request_body(&trace).unwrap(), b"{\"token\":1}");
    assert_eq!(new.response_body(&trace).unwrap(), b"\x1f\x8b");
    assert_eq!((done.headers, done.cookies, done.coded), (2, 1, 0));
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
        ("Cookies are s3cr", ""),
        ("Cookie\u{1}", ""),
    ]);
    let path = bundle(&dir, &trace, b"", b"", b"hi");
    let done = redact(&path, &dir.path("b.zip"), &Rules::default(), &Options::default()).unwrap();
    let trace = Bundle::open(&done.output).unwrap().trace("t_0001").unwrap();
    assert!(!format!("{trace:?}").contains("s3cret"), "{trace:?}");
    assert!(trace.request.url.ends_with("@a.test/x"), "{}", trace.request.url);
    let names: Vec<_> = trace.request.headers.iter().map(|header| header.name.as_str()).collect();
    assert!(names[4].starts_with("Authorization redacted-") && names[5].starts_with("cookie redacted-"), "{names:?}");
    assert_eq!(names[6..], ["Cookies are s3cr", "Cookie\u{1}"]);
    assert_eq!((done.headers, done.cookies, done.parameters), (3, 1, 3));
}

#[test]
fn leaves_out_undecoded_bodies_unless_kept() {
    let dir = TestDir::new("coded");
    let mut trace = Trace::default();
    trace.response.body_encoding = Some("gzip".into());
    trace.request.headers = headers(&[("Content-Type", "image/png")]);
    let path = bundle(&dir, &trace, b"\xff\xd8\0", b"\x1f\x8b", b"\0");
    let mut rules = rules(&[], &[], &["token"]);
    for keep in [false, true] {
        rules.keep_coded = keep;
        let done = redact(&path, &dir.path("b.zip"), &rules, &Options::default()).unwrap();
        assert_eq!((done.coded, done.binary), (1, 2));
        let new = Bundle::open(&done.output).unwrap();
        let trace = new.trace("t_0001").unwrap();
        assert_eq!(new.response_body(&trace).unwrap().is_empty(), !keep);
        assert_eq!((trace.response.body_file.is_some(), trace.response.body_size > 0), (keep, keep));
        assert_eq!(new.request_body(&trace).unwrap(), b"\xff\xd8\0");
    }
}

#[test]
fn leaves_out_undecoded_messages_unless_kept_and_keeps_what_was_cut_off() {
    let dir = TestDir::new("encoded");
    let trace: Trace = serde_json::from_value(json!({"cut_off": {"side": "both", "why": "reset"}})).unwrap();
    let json = json!({"opcode": "binary", "payload_encoding": "unknown", "cut_off": {"why": "stopped"}});
    let message: Message = serde_json::from_value(json).unwrap();
    // The unknown encoding leaves text as it is.
    let path = bundle_with_message(&dir, &trace, b"", b"", &message, b"{\"token\":1}");
    let mut rules = rules(&[], &[], &["token"]);
    for keep in [false, true] {
        rules.keep_coded = keep;
        let done = redact(&path, &dir.path("b.zip"), &rules, &Options::default()).unwrap();
        assert_eq!((done.coded, done.binary, done.json), (1, 0, 0));
        let new = Bundle::open(&done.output).unwrap();
        assert_eq!(new.trace("t_0001").unwrap().cut_off, trace.cut_off);
        let redacted = new.message("ws_0001_m001").unwrap();
        assert_eq!(redacted.cut_off, message.cut_off);
        assert_eq!((redacted.payload_file.is_some(), redacted.payload_size > 0), (keep, keep));
        assert_eq!(redacted.payload_encoding, message.payload_encoding.clone().filter(|_| keep));
        assert_eq!(new.payload(&redacted).unwrap().is_empty(), !keep);
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

/// Redacts `text` and shows placeholders as `#`.
fn members(text: &str) -> String {
    let made = json::members(text, &["key".into(), "é".into()], &RandomState::new());
    let text = made.map_or(text.to_owned(), |made| made.text);
    let mut shown = String::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find("redacted-") {
        shown.push_str(&rest[..at]);
        shown.push('#');
        rest = &rest[at + 21..];
    }
    shown + rest
}

#[test]
fn finds_members_in_any_text() {
    for (text, expected) in [
        (r#"{"key":"a\"}\\","b":"key"}"#, r##"{"key":"#","b":"key"}"##),
        (r#"{"b":"\"key\":1","key" : "x"}"#, r##"{"b":"\"key\":1","key" : "#"}"##),
        (r#"{"\u006bey":"x","KEY":null,"É":"y"}"#, r##"{"\u006bey":"#","KEY":null,"É":"#"}"##),
        (
            r#"{"key":{"a":["x",{"key":"y"},[]],"b":false},"c":"z"}"#,
            r##"{"key":{"a":["#",{"key":"#"},[]],"b":false},"c":"z"}"##,
        ),
        ("data: {\"key\":\"x\"}\n\ndata: {\"key\":\"y\"}\n", "data: {\"key\":\"#\"}\n\ndata: {\"key\":\"#\"}\n"),
        (r#"{"in":"{\"key\":\"x\\\"y\",\"b\":1}","c":2}"#, r##"{"in":"{\"key\":\"#\",\"b\":1}","c":2}"##),
        (r#"<a title="5"">var x = {"key": "x", y: 1}"#, r##"<a title="5"">var x = {"key": "#", y: 1}"##),
        (r#"{"key":"cut o"#, r##"{"key":"#"##),
        (r#"{"key":["a","b"#, r##"{"key":["#","#"##),
        (r#"{"key":"#, r#"{"key":"#),
        (r#"{"keys":"x","ke":"y","key"}"#, r#"{"keys":"x","ke":"y","key"}"#),
        ("{\"key\"\n:\n\"x\"}", "{\"key\"\n:\n\"#\"}"),
    ] {
        if text == r#"{"b":"\"key\":1","key" : "x"}"# {
            // JSON within a string is redacted too.
            assert!(!members(text).contains("\"x\""), "{text}");
            continue;
        }
        assert_eq!(members(text), expected, "{text}");
    }
}

#[test]
fn valid_json_stays_valid_and_keeps_its_shape() {
    fn shape(value: &Value) -> Value {
        match value {
            Value::String(_) => "string".into(),
            Value::Number(_) => "number".into(),
            Value::Bool(_) => "bool".into(),
            Value::Null => Value::Null,
            Value::Array(items) => items.iter().map(shape).collect(),
            Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), shape(value))).collect(),
        }
    }
    // Pseudo-random documents.
    for seed in 0u64..3000 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let document = random_document(&mut state, 4);
        for text in [document.to_string(), serde_json::to_string_pretty(&document).unwrap()] {
            let made = json::members(&text, &["key".into()], &RandomState::new());
            let Some(made) = made else { continue };
            let new: Value =
                serde_json::from_str(&made.text).unwrap_or_else(|e| panic!("{e}: {text} became {}", made.text));
            assert_eq!(shape(&new), shape(&document), "{text} became {}", made.text);
        }
    }
}

fn random_document(state: &mut u64, depth: u32) -> Value {
    let mut next = |below: u64| {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state % below
    };
    let strings = [
        "",
        "key",
        "a\"b",
        "back\\",
        "\\\"key\\\":",
        "line\nend",
        "é\u{2028}",
        "{\"key\":\"x\"}",
        "{\"key\":[1,\"\\\\\"]}",
    ];
    match next(if depth == 0 { 4 } else { 7 }) {
        0 => Value::Null,
        1 => Value::Bool(next(2) == 0),
        2 => json!(next(10_000)),
        3 => strings[next(strings.len() as u64) as usize].into(),
        4 => (0..next(4)).map(|_| random_document(state, depth - 1)).collect(),
        _ => {
            let names = ["key", "Key", "other", "a\"key", "k\\ey", ""];
            let count = next(4);
            (0..count)
                .map(|n| (names[((*state).wrapping_add(n) % 6) as usize].to_owned(), random_document(state, depth - 1)))
                .collect::<serde_json::Map<_, _>>()
                .into()
        }
    }
}

#[test]
fn placeholders_differ_between_runs() {
    let (one, other) = (RandomState::new(), RandomState::new());
    assert_eq!(placeholder(&one, "secret"), placeholder(&one, "secret"));
    assert_ne!(placeholder(&one, "secret"), placeholder(&one, "Secret"));
    assert_ne!(placeholder(&one, "secret"), placeholder(&other, "secret"));
}

#[test]
fn searches_bodies_in_other_character_sets() {
    let dir = TestDir::new("latin1");
    let mut trace = Trace::default();
    trace.request.headers = headers(&[("Content-Type", "text/json; charset=iso-8859-1")]);
    let path = bundle(&dir, &trace, b"{\"gr\xfcn\":\"\xfc\",\"token\":\"x\"}", b"", b"");
    let done = redact(&path, &dir.path("b.zip"), &rules(&[], &[], &["token"]), &Options::default()).unwrap();
    let new = Bundle::open(&done.output).unwrap();
    let trace = new.trace("t_0001").unwrap();
    let body = new.request_body(&trace).unwrap();
    assert!(body.starts_with(b"{\"gr\xfcn\":\"\xfc\",\"token\":\"redacted-"), "{body:?}");
    assert_eq!(done.json, 1);
}

#[test]
fn bodies_that_were_left_as_received_are_decoded_and_searched() {
    let dir = TestDir::new("received");
    let mut trace = Trace::default();
    trace.request.body_encoding = Some("gzip".into());
    trace.response.body_encoding = Some("gzip".into());
    let secret = br#"{"password":"s3cret"}"#;
    let path = bundle(&dir, &trace, &gz(secret), b"not gzip", b"");
    let output = dir.path("b.zip");
    for (rules, coded) in [(rules(&[], &[], &["password"]), 1), (rules(&[], &[], &[]), 0)] {
        let redacted = redact(&path, &output, &rules, &Options::default()).unwrap();
        assert_eq!((redacted.json, redacted.coded), (coded, coded));
        let bundle = Bundle::open(&redacted.output).unwrap();
        let trace = bundle.trace("t_0001").unwrap();
        let body = bundle.request_body(&trace).unwrap();
        assert_eq!((trace.request.body_encoding.as_deref(), trace.request.body_size), (None, body.len() as u64));
        let text = String::from_utf8(body).unwrap();
        assert_eq!(text.contains("s3cret"), coded == 0, "{text}");
        assert!(text.starts_with(r#"{"password":"#));
        // A body that does not decode is left out if it would have to be searched.
        assert_eq!(bundle.response_body(&trace).unwrap(), if coded == 1 { &b""[..] } else { b"not gzip" });
    }
}

#[test]
fn any_text_is_redacted() {
    let seeds: Vec<Vec<u8>> = [
        r#"{"a":"x","b":{"token":[1,-2.5e3,true,null,{"c":"d\\"}]},"a":{}}"#,
        r#"{"x":"{\"a\":\"1\",\"token\": [1, 2]}","\u0061":"y","a":""}"#,
        "data: {\"token\":\"v\"}\n\nvar a = {'token': \"x\"",
    ]
    .map(|seed| seed.as_bytes().to_vec())
    .into();
    crate::wire::mutations::mutations(&seeds, 3000, fuzz::check_json);
}
