//! Bodies of each media type. A test is a media type, bodies, and the media type object.

use super::*;
use crate::tools::export::openapi::testing::{headers, schema, value, written};
use serde_json::{Value, json};

/// Returns the body of one message.
fn body(content_type: &str, bytes: &[u8]) -> MediaType {
    let headers = headers(&["content-type: ", content_type].concat());
    let mut body = MediaType { name: media_type(&headers), count: 1, ..MediaType::default() };
    if content_type.is_empty() {
        body.name = ANY_TYPE.into();
    }
    body.read(&headers, bytes);
    body
}

/// Returns the media type object of several bodies.
fn described(content_type: &str, bodies: &[&[u8]]) -> Value {
    let mut all = Bodies::default();
    for bytes in bodies {
        all.merge(Bodies { all: vec![body(content_type, bytes)] }, &mut Budget::DOCUMENT.clone());
    }
    let (content, _) = written(false, |writer| all.describe(writer, "thing").into());
    let content = content.as_object().unwrap();
    assert_eq!(content.len(), 1, "{content:?}");
    content.values().next().unwrap().clone()
}

fn one(content_type: &str, text: &str) -> Value {
    described(content_type, &[text.as_bytes()])
}

#[test]
fn json_has_a_schema_whatever_its_subtype() {
    let expected = schema(&[json!({"id": 1})]);
    for name in [
        "application/json",
        "Application/JSON; charset=utf-8",
        "text/json",
        "application/problem+json",
        "application/vnd.github.v3+json",
        "application/x-amz-json-1.1",
        "application/csp-report",
    ] {
        assert_eq!(one(name, r#"{"id": 1}"#), json!({"schema": expected}), "{name}");
    }
    assert_eq!(one("application/json", "\u{feff}{\"id\": 1}"), json!({"schema": expected}), "a byte order mark");
    assert_eq!(one("application/json", "null"), json!({"schema": {"type": "null"}}));
}

#[test]
fn malformed_bodies_are_counted_and_the_others_described() {
    let bodies = [&br#"{"id": 1}"#[..], br#"{"id": "#, b"<html>", b"\xff", br#"{"id": 2} x"#];
    let expected = json!({"schema": schema(&[json!({"id": 1})]), "x-malformed": 4});
    assert_eq!(described("application/json", &bodies), expected);
    assert_eq!(one("application/json", ""), json!({"x-malformed": 1}));
}

#[test]
fn unread_bodies_are_counted() {
    let mut known = body("application/json", b"1");
    known.merge(MediaType { count: 1, unread: 1, ..MediaType::default() }, &mut Budget::BODY.clone());
    let (object, _) = written(false, |writer| known.describe(writer, ""));
    assert_eq!(object, json!({"schema": {"type": "integer"}, "x-unread": 1}));
}

#[test]
fn forms_have_a_member_for_each_field() {
    let one = one("application/x-www-form-urlencoded", "name=A+b&mail=a%40example.com&tag=x&tag=y&empty=\r\n");
    let string = json!({"type": "string"});
    let expected = json!({"schema": {
        "type": "object",
        "properties": {
            "empty": string,
            "mail": {"type": "string", "format": "email"},
            "name": string,
            "tag": {"type": "array", "items": string},
        },
        "required": ["empty", "mail", "name", "tag"],
    }});
    assert_eq!(one, expected);
}

#[test]
fn a_form_without_fields_is_an_object() {
    assert_eq!(one("application/x-www-form-urlencoded", ""), json!({"schema": {"type": "object"}}));
}

#[test]
fn fields_that_some_forms_lack_are_not_required() {
    let forms = [&b"a=1&b=x"[..], b"a=2&a=3"];
    let schema = &described("application/x-www-form-urlencoded", &forms)["schema"];
    assert_eq!(schema["required"], json!(["a"]));
    assert_eq!(schema["properties"]["a"]["type"], json!(["array", "string"]));
}

#[test]
fn json_that_is_sent_as_a_form_has_its_schema() {
    let expected = json!({"schema": schema(&[json!({"secret": 1})]), "x-json": 1});
    assert_eq!(one("application/x-www-form-urlencoded", " {\"secret\": 1}"), expected);
}

#[test]
fn text_that_is_sent_as_a_form_is_malformed() {
    for text in ["a whole sentence", "{\"a\": ", "<a/>"] {
        assert_eq!(one("application/x-www-form-urlencoded", text), json!({"x-malformed": 1}), "{text}");
    }
    assert_eq!(described("application/x-www-form-urlencoded", &[b"a=\xff"]), json!({"x-malformed": 1}));
}

#[test]
fn forms_of_parts_have_their_fields_and_files() {
    let form = "--b\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\na title\r\n\
                --b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\n\0\u{1}\r\n\
                --b\r\nContent-Disposition: form-data; name=\"tag\"\r\n\r\nx\r\n\
                --b\r\nContent-Disposition: form-data; name=\"tag\"\r\nContent-Type: text/plain\r\n\r\ny\r\n--b--\r\n";
    let string = json!({"type": "string"});
    let expected = json!({"schema": {
        "type": "object",
        "properties": {
            "file": {"type": "string", "format": "binary"},
            "tag": {"type": "array", "items": string},
            "title": string,
        },
        "required": ["file", "tag", "title"],
    }});
    assert_eq!(one("multipart/form-data; boundary=b", form), expected);
    assert_eq!(one("multipart/form-data", form), expected, "the boundary is in the first line too");
}

#[test]
fn a_form_without_parts_is_malformed() {
    assert_eq!(one("multipart/form-data; boundary=b", "a=b"), json!({"x-malformed": 1}));
}

#[test]
fn fields_with_long_names_are_left_out() {
    let form: Vec<_> = (0..500).map(|n| format!("f{}=1", "x".repeat(n))).collect();
    assert_eq!(one("application/x-www-form-urlencoded", &form.join("&"))["schema"]["x-incomplete"], json!(true));
}

#[test]
fn lines_of_json_have_a_schema_for_each_line() {
    let item = schema(&[json!({"id": 1, "a": 1}), json!({"id": 1})]);
    let expected = json!({"schema": {"type": "string"}, "x-item-schema": item});
    for name in ["application/x-ndjson", "application/jsonl", "application/stream+json"] {
        assert_eq!(one(name, "{\"id\": 1, \"a\": 2}\r\n\n{\"id\": 2}"), expected, "{name}");
    }
    let malformed = json!({"schema": {"type": "string"}, "x-malformed": 1});
    assert_eq!(one("application/x-ndjson", "{\"id\": 1}\n{"), malformed);
}

#[test]
fn events_have_a_schema_for_each_name() {
    let stream = "event: price\ndata: {\"id\": 1}\n\ndata: hello you\n\nevent: price\ndata: {\"id\": 2,\ndata: \"a\": 3}\n\n: end\n\n";
    let expected = json!({"schema": {"type": "string"}, "x-events": {
        "price": schema(&[json!({"id": 1}), json!({"id": 1, "a": 1})]),
        "message": {"type": "string"},
    }});
    assert_eq!(one("text/event-stream", stream), expected);
    assert_eq!(one("text/event-stream", ": ping\n\n"), json!({"schema": {"type": "string"}}));
}

#[test]
fn names_of_events_that_are_text_or_identifiers_are_not_written() {
    let stream = "event: 8b0c6d4e-4f4e-4a0e-9f0e-0d5b8f0c1a2b\ndata: 1\n\nevent: a sentence\ndata: 2\n\n";
    assert_eq!(one("text/event-stream", stream)["x-events"], json!({"(other)": {"type": "integer"}}));
    let many: String = (0..100).map(|n| format!("event: {}\ndata: 1\n\n", "a".repeat(n % 64 + 1))).collect();
    let many = many + "event: new\ndata: true\n\n";
    let events = &one("text/event-stream", &many)["x-events"];
    assert_eq!(events.as_object().unwrap().len(), MAX_EVENTS + 1);
    assert_eq!(events["(other)"], json!({"type": "boolean"}));
}

#[test]
fn a_stream_that_ends_within_a_character_has_its_events() {
    let events = &described("text/event-stream", &[b"data: 1\n\ndata: \xc3"])["x-events"];
    assert_eq!(*events, json!({"message": {"type": "integer"}}));
}

#[test]
fn text_has_a_schema_of_its_content_if_all_of_it_is_json() {
    let content = json!({"schema": {
        "type": "string", "contentMediaType": "application/json", "contentSchema": schema(&[json!({"id": 1})]),
    }});
    let text = json!({"schema": {"type": "string"}});
    for (bodies, expected) in [
        (&[r#"{"id": 1}"#, " {\"id\": 2}\n"][..], &content),
        (&[r#"{"id": 1}"#, "not JSON"], &text),
        (&["17"], &text),
        (&["true", "\"word\""], &text),
        (&["{not JSON}"], &text),
        (&[""], &text),
    ] {
        let bodies: Vec<_> = bodies.iter().map(|text| text.as_bytes()).collect();
        assert_eq!(described("text/plain; charset=utf-8", &bodies), *expected, "{bodies:?}");
    }
    assert_eq!(described("text/html; charset=iso-8859-1", &[b"\xfc"]), text, "another charset");
    for name in ["application/xml", "image/svg+xml", "application/yaml", "application/graphql"] {
        assert_eq!(one(name, "x"), text, "{name}");
    }
}

#[test]
fn bodies_without_a_media_type_are_described_as_text_if_all_are() {
    assert_eq!(one("", "a=b&c=d"), json!({"schema": {"type": "string"}}));
    assert_eq!(one("", "{\"id\": 1}")["schema"]["contentSchema"], schema(&[json!({"id": 1})]));
    assert_eq!(described("", &[b"a", b"\0\xff"]), json!({}));
}

#[test]
fn other_media_types_have_no_schema() {
    for name in ["application/octet-stream", "image/png", "application/grpc", "application/protobuf"] {
        assert_eq!(one(name, "{\"id\": 1}"), json!({}), "{name}");
    }
}

#[test]
fn what_is_no_media_type_is_not_written() {
    for (name, is_known) in [
        ("application/json", true),
        ("", false),
        ("json", false),
        ("a/b/c", false),
        ("text/ secret", false),
        ("/json", false),
        ("text/", false),
        (&*["text/", &"x".repeat(200)].concat(), false),
    ] {
        assert_eq!(is_media_type(name), is_known, "{name}");
    }
}

#[test]
fn media_types_are_described_each_and_up_to_a_limit() {
    let mut all = Bodies::default();
    for n in 0..20 {
        all.merge(Bodies { all: vec![body(&format!("a/b{n}"), b"x")] }, &mut Budget::DOCUMENT.clone());
    }
    assert_eq!((all.all.len(), all.count()), (MAX_MEDIA_TYPES, 12));
    let (content, _) = written(false, |writer| all.describe(writer, "").into());
    assert_eq!(content["a/b11"], value(&Object::default().into()));
}
