//! The result does not depend on the number of threads, and damaged items are left out of both passes.

use super::super::placeholder::Placeholders;
use super::super::*;
use super::headers;
use crate::bundle::archive::{Archive, CompressionMethod, ZipReader};
use crate::bundle::json::add_json;
use crate::bundle::reader::Trace;
use crate::bundle::test_dir::TestDir;
use crate::coding::testing::gz;
use serde_json::json;
use std::io::{self, Read};
use std::time::Duration;

const DEFLATED: CompressionMethod = CompressionMethod::Deflated;

/// Writes a bundle with exchanges and messages of all sizes, some of them damaged.
fn write_bundle(path: &Path) {
    let (mut archive, _) = Archive::create(path, Duration::ZERO).unwrap();
    archive.group(fill).unwrap();
    archive.finish().unwrap();
}

fn fill(archive: &mut Archive) -> io::Result<()> {
    let mut add = |name: String, content: &[u8]| archive.add(&name, content, DEFLATED, &[]);
    for n in 1..=400 {
        let id = format!("t_{n:04}");
        let text = format!("{{\"token\":\"s3cret-value-{n}\",\"a\":\"{}\"}}", "x y ".repeat(n % 7 * 300));
        let body = match n {
            // Larger than what threads have in memory.
            50 => format!("[\"s3cret-value-3\",{text}{}]", ",\"some text\"".repeat(40_000)).into_bytes(),
            60 => gz(text.as_bytes()),
            70 => b"\xff\0binary s3cret-value-400".to_vec(),
            80 => b"\xff\xfeodd".to_vec(),
            n if n % 3 == 0 => format!("page {n}").into_bytes(),
            _ => text.into_bytes(),
        };
        let file = format!("{id}_response.bin");
        let mut trace = Trace { timestamp: n as u64, ..Trace::default() };
        trace.request.url = format!("https://a.test/{n}?token=s3cret-value-{}", 401 - n);
        trace.request.headers = headers(&[("X-Echo", "s3cret-value-7"), ("Authorization", "Bearer a8Zk29xQ71mLp03v")]);
        trace.response.body_file = Some(if n == 90 { "t_0001_response.bin".into() } else { file.clone() });
        trace.response.body_encoding = (n == 60).then(|| "gzip".into());
        trace.response.body_size = body.len() as u64;
        if n != 100 {
            add(format!("traces/{file}"), &body)?;
        }
        match n {
            110 => add(format!("traces/{id}.json"), b"{\"request\":")?,
            // More JSON than what threads have in memory.
            120 => {
                let mut json = serde_json::to_value(&trace)?;
                json["later"] = json!({"token": "s3cret-value-later", "text": "x".repeat(300_000)});
                add(format!("traces/{id}.json"), json.to_string().as_bytes())?;
            }
            _ => add(format!("traces/{id}.json"), &serde_json::to_vec(&trace)?)?,
        }
    }
    for websocket in ["ws_0001", "ws_0002"] {
        let handshake = if websocket == "ws_0001" { "t_0110" } else { "t_0111" };
        let json =
            json!({"url": "ws://a.test/?token=s3cret-value-9", "handshake_trace_ref": handshake, "message_count": 150});
        match websocket {
            "ws_0002" => add("ws/ws_0002.json".into(), b"no JSON")?,
            _ => add(format!("ws/{websocket}.json"), json.to_string().as_bytes())?,
        }
        for n in 1..=150 {
            let id = format!("{websocket}_m{n:03}");
            add(format!("ws/{id}.bin"), format!("{{\"sid\":\"message-secret-{n}\"}}").as_bytes())?;
            let json = json!({"opcode": "text", "payload_file": format!("{id}.bin"), "payload_size": 1});
            let text = if n == 20 { "{".into() } else { json.to_string() };
            add(format!("ws/{id}.json"), text.as_bytes())?;
        }
    }
    add_json(archive, "contexts/c_0001.json".into(), &json!({"kind": "click", "token": "context-secret"}), &[])?;
    add_json(archive, "manifest.json".into(), &json!({"created_at": "2026-11-22T09:07:09Z"}), &[])
}

/// Returns the names of the entries with their compressed contents, in the order of the file. The manifest has a random id.
fn entries(path: &Path) -> Vec<(String, Vec<u8>)> {
    let archive = ZipReader::open(path).unwrap();
    let names = archive.names().filter(|name| name != "manifest.json");
    let content = |name: &str| {
        let mut content = Vec::new();
        archive.compressed(name).unwrap().unwrap().1.read_to_end(&mut content).unwrap();
        content
    };
    names.map(|name| (name.clone(), content(&name))).collect()
}

#[test]
fn the_number_of_threads_does_not_matter() {
    let dir = TestDir::new("threads");
    let path = dir.path("a.zip");
    write_bundle(&path);
    let key = Placeholders::default();
    let run = |threads: usize, keep_unsearched: bool| {
        let rules = Rules { keep_unsearched, ..Rules::default() };
        let done = redact_with(&path, &dir.path("b.zip"), &rules, &Options::default(), &mut |redaction| {
            redaction.threads = threads;
            redaction.use_key(&key);
        });
        let done = done.unwrap();
        (entries(&done.output), Redacted { output: PathBuf::new(), backup: None, ..done })
    };
    for keep_unsearched in [false, true] {
        let (expected, counts) = run(1, keep_unsearched);
        for threads in [2, 3, 8] {
            let (entries, other) = run(threads, keep_unsearched);
            assert_eq!(other, counts);
            assert!(entries == expected, "{threads} threads");
        }
    }
}

#[test]
fn damaged_items_are_left_out_and_named() {
    let dir = TestDir::new("damaged");
    let path = dir.path("a.zip");
    write_bundle(&path);
    let done = redact(&path, &dir.path("b.zip"), &Rules::default(), &Options::default()).unwrap();
    // The body of another exchange, a missing body, damaged JSON.
    let damaged = ["t_0090", "t_0100", "t_0110", "ws_0001_m020", "ws_0002"];
    assert_eq!((done.report.damaged.count, &done.report.damaged.first[..]), (5, &damaged.map(String::from)[..]));
    assert_eq!((done.exchanges, done.websockets), (397, 1));
    assert_eq!(done.report.unsearched.first, ["t_0080 response"]);
    assert_eq!(done.report.binary.first, ["t_0070 response"]);
    let bundle = Bundle::open(&done.output).unwrap();
    let websocket = bundle.websocket("ws_0001").unwrap();
    assert_eq!((websocket.message_count, websocket.handshake_trace_ref), (149, None));
    assert!(bundle.messages("ws_0002").is_empty() && !bundle.traces().contains("t_0110"));
    // Values of items that are left out are not sought.
    let body = |n: usize| {
        let trace = bundle.trace(&format!("t_{n:04}")).unwrap();
        String::from_utf8_lossy(&bundle.response_body(&trace).unwrap()).into_owned()
    };
    for n in [1, 50, 60, 70, 400] {
        assert!(body(n).contains("redacted-") && !body(n).contains("s3cret"), "{n}: {}", body(n));
    }
    let checked = check(&path, &Rules::default(), &Options::default()).unwrap();
    assert_eq!(checked.damaged, done.report.damaged);
    assert!(check(&done.output, &Rules::default(), &Options::default()).unwrap().is_clean());
    let mut filtered = Options::default();
    filtered.filter.ids = vec!["t_0110".into()];
    let checked = check(&path, &Rules::default(), &filtered).unwrap();
    assert_eq!(checked.damaged.first, ["ws_0001", "ws_0002", "t_0110"], "not clean without a secret");
    assert!(!checked.is_clean());
}
