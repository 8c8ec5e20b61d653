//! Bundles that others made to harm who opens them: names that leave the bundle, documents that inflate, shared bodies.

use super::export;
use super::merge::merge;
use super::redact::{Options, Rules, redact};
use crate::bundle::archive::{Archive, CompressionMethod, ZipReader};
use crate::bundle::reader::{Bundle, EntryError, Error};
use crate::bundle::test_dir::TestDir;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Writes a bundle with these entries and a manifest.
fn bundle(dir: &TestDir, name: &str, entries: &[(&str, Vec<u8>)]) -> PathBuf {
    let (mut archive, _) = Archive::create(&dir.path(name), Duration::ZERO).unwrap();
    archive
        .group(|archive| {
            for (name, content) in entries {
                archive.begin_entry((*name).into(), content.len() as u64, CompressionMethod::Deflated, &[])?;
                std::io::Write::write_all(archive, content)?;
            }
            archive.add("manifest.json", b"{}", CompressionMethod::Stored, &[])
        })
        .unwrap();
    archive.finish().unwrap().path
}

fn text(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// Returns the names in a bundle, and asserts that each is one of the bundle format.
fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<_> = ZipReader::open(path).unwrap().names().collect();
    names.sort();
    assert!(names.iter().all(|name| !name.contains("..") && !name.starts_with('/')), "{names:?}");
    names
}

#[test]
fn ids_in_json_never_become_names() {
    let dir = TestDir::new("hostile");
    let pwn = "../../../../tmp/PWN";
    let path = bundle(
        &dir,
        "a.zip",
        &[
            ("traces/t_0001_response.bin", b"one".to_vec()),
            (
                "traces/t_0001.json",
                text(&json!({"id": pwn, "response": {"body_file": "t_0001_response.bin", "body_size": 3}})),
            ),
            // Both have the id of the third.
            ("traces/t_0002.json", text(&json!({"id": "t_0003", "request": {"url": "http://a/2"}}))),
            ("traces/t_0003.json", text(&json!({"id": "t_0003", "request": {"url": "http://a/3"}}))),
            ("ws/ws_0001.json", text(&json!({"id": pwn}))),
            ("ws/ws_0001_m001.bin", b"payload".to_vec()),
            (
                "ws/ws_0001_m001.json",
                text(&json!({"id": pwn, "connection_ref": pwn, "payload_file": "ws_0001_m001.bin", "payload_size": 7})),
            ),
            ("contexts/c_0001.json", text(&json!({"id": pwn}))),
        ],
    );
    let expected = [
        "contexts/c_0001.json",
        "manifest.json",
        "timeline.json",
        "traces/t_0001.json",
        "traces/t_0001_response.bin",
        "traces/t_0002.json",
        "traces/t_0003.json",
        "ws/ws_0001.json",
        "ws/ws_0001_m001.bin",
        "ws/ws_0001_m001.json",
    ];
    let mut rules = Rules::default();
    for name in ["redacted.zip", "searched.zip", "merged.zip"] {
        let output = dir.path(name);
        if name == "merged.zip" {
            assert_eq!(merge(std::slice::from_ref(&path), &output, &Options::default()).unwrap().exchanges, 3);
        } else {
            redact(&path, &output, &rules, &Options::default()).unwrap();
            rules.names.push("token".into());
        }
        assert_eq!(names(&output), expected, "{name}");
        let bundle = Bundle::open(&output).unwrap();
        assert_eq!(bundle.manifest().stats.trace_count, 3);
        let urls = ["t_0002", "t_0003"].map(|id| bundle.trace(id).unwrap().request.url);
        assert_eq!(urls, ["http://a/2", "http://a/3"]);
        assert_eq!(bundle.response_body(&bundle.trace("t_0001").unwrap()).unwrap(), b"one");
        let message = bundle.message("ws_0001_m001").unwrap();
        assert_eq!(
            (message.connection_ref.as_str(), bundle.payload(&message).unwrap()),
            ("ws_0001", b"payload".into())
        );
        for name in names(&output) {
            let content = ZipReader::open(&output).unwrap().read(&name, 1 << 20).unwrap().unwrap();
            assert!(!String::from_utf8(content).unwrap().contains("PWN"), "{name}");
        }
    }
}

#[test]
fn items_cannot_share_a_body() {
    let dir = TestDir::new("hostile");
    let trace = |file: &str| text(&json!({"response": {"body_file": file, "body_size": 3}}));
    for file in ["t_0001_response.bin", "t_0001.json", "../manifest.json", ""] {
        let path = bundle(
            &dir,
            "a.zip",
            &[("traces/t_0001_response.bin", b"one".to_vec()), ("traces/t_0002.json", trace(file))],
        );
        let is_refused = |error: &Error| {
            matches!(error, Error::Malformed { name, cause: EntryError::ForeignFile(foreign), .. }
                if name == "traces/t_0002.json" && foreign == file)
        };
        let opened = Bundle::open(&path).unwrap();
        assert!(is_refused(&opened.response_body(&opened.trace("t_0002").unwrap()).unwrap_err()), "{file}");
        let redacted = redact(&path, &dir.path("b.zip"), &Rules::default(), &Options::default()).unwrap();
        assert_eq!((redacted.exchanges, &redacted.report.damaged.first[..]), (0, &["t_0002".to_owned()][..]));
        let merged = merge(std::slice::from_ref(&path), &dir.path("c.zip"), &Options::default()).unwrap();
        assert_eq!((merged.exchanges, &merged.damaged.first[..]), (0, &["t_0002".to_owned()][..]));
        let left_out = export::har::write(&opened, &export::Options::default(), &mut Vec::new()).unwrap();
        assert_eq!(left_out, merged.damaged);
    }
}

#[test]
fn items_with_oversized_json_are_left_out_and_named() {
    let dir = TestDir::new("hostile");
    let headers = vec![json!({"name": "a", "value": "b"}); 700_000];
    let huge = text(&json!({"response": {"headers": headers}}));
    assert!(huge.len() > 16 << 20);
    let path = bundle(
        &dir,
        "a.zip",
        &[
            ("traces/t_0001.json", huge.clone()),
            ("traces/t_0002.json", b"{}".to_vec()),
            ("ws/ws_0001.json", huge.clone()),
            ("ws/ws_0002_m001.json", huge),
            ("contexts/c_0001.json", text(&json!({"rest": vec![0; 1 << 20]}))),
        ],
    );
    let mut opened = Bundle::open(&path).unwrap();
    let ids = ["t_0001", "ws_0001", "ws_0002_m001", "c_0001"];
    assert_eq!((opened.left_out().count, &opened.left_out().first[..]), (4, &ids.map(String::from)[..]));
    assert_eq!(opened.traces().iter().collect::<Vec<_>>(), ["t_0002"]);
    assert!(opened.websockets().is_empty() && opened.contexts().is_empty() && opened.messages("ws_0002").is_empty());
    let too_large = |error| matches!(error, Error::Malformed { cause: EntryError::TooLarge(_), .. });
    assert!(too_large(opened.trace("t_0001").unwrap_err()), "by its id alone");
    opened.refresh().unwrap();
    let redacted = redact(&path, &dir.path("redacted.zip"), &Rules::default(), &Options::default()).unwrap();
    let merged = merge(&[path.clone(), path.clone()], &dir.path("merged.zip"), &Options::default()).unwrap();
    assert_eq!((redacted.report.left_out.count, merged.left_out.count, merged.left_out.first.len()), (4, 8, 8));
    assert_eq!(merged.exchanges, 2);
    let part = dir.path("a.zip.part");
    std::fs::copy(&path, &part).unwrap();
    let growing = Bundle::open_part(&part).unwrap();
    assert_eq!((growing.left_out().count, growing.traces().len()), (4, 1));
}

#[test]
fn deeply_nested_json_is_damage() {
    let dir = TestDir::new("hostile");
    let deep = |open: &str, close: &str| {
        [&br#"{"x":"#[..], open.repeat(400_000).as_bytes(), b"0", close.repeat(400_000).as_bytes(), b"}"].concat()
    };
    let context = deep("[", "]");
    let trace = deep(r#"{"a":"#, "}");
    let mut rules = Rules::default();
    rules.names.push("a".into());
    let path = bundle(&dir, "a.zip", &[("contexts/c_0001.json", context)]);
    let error = Bundle::open(&path).unwrap().context("c_0001").unwrap_err().to_string();
    assert!(error.contains("contexts/c_0001.json") && error.contains("recursion limit"), "{error}");
    let redacted = redact(&path, &dir.path("b.zip"), &rules, &Options::default()).unwrap();
    assert_eq!((redacted.report.damaged.count, names(&redacted.output).len()), (1, 2));
    // Unknown members are skipped without recursion.
    let path = bundle(&dir, "a.zip", &[("traces/t_0001.json", trace.clone())]);
    redact(&path, &dir.path("b.zip"), &rules, &Options::default()).unwrap();
    // In a body it is text.
    let json = text(&json!({"response": {"body_file": "t_0001_response.bin", "body_size": trace.len()}}));
    let path = bundle(&dir, "a.zip", &[("traces/t_0001_response.bin", trace), ("traces/t_0001.json", json)]);
    assert_eq!(redact(&path, &dir.path("b.zip"), &rules, &Options::default()).unwrap().report.names["a"], 1);
}
