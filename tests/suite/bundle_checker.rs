//! `tests/tools/check_bundle.py`: accepts the optional members as documented, and refuses all others.

use crate::support::peers::{peer, run};
use crate::support::{Capture, Origin, TempDir};
use std::io::Write;
use std::path::Path;
use std::process::Command;

/// Writes a bundle with one exchange, whose JSON `change` changes, and returns the checker's output.
fn checked(python: &Path, dir: &TempDir, bundle: &Path, change: impl Fn(String) -> String) -> String {
    let mut source = zip::ZipArchive::new(std::fs::File::open(bundle).unwrap()).unwrap();
    let path = dir.join("changed.zip");
    let mut changed = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
    let options = zip::write::SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Stored)
        .unix_permissions(0o600);
    for index in 0..source.len() {
        let entry = source.by_index(index).unwrap();
        let name = entry.name().unwrap().into_owned();
        let mut text = std::io::read_to_string(entry).unwrap();
        if name == "traces/t_0001.json" {
            text = change(text);
        }
        changed.start_file(name.as_str(), options).unwrap();
        changed.write_all(text.as_bytes()).unwrap();
    }
    changed.finish().unwrap();
    let checker = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools/check_bundle.py");
    run(Command::new(python).arg(checker).arg(path)).text()
}

#[test]
fn optional_members_are_checked() {
    let Some(python) = peer("python3") else {
        return;
    };
    let origin = Origin::plain_responding("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let capture = Capture::start();
    let mut connection = capture.connect(&origin.authority("localhost"));
    connection.request("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    drop(connection);
    let outcome = capture.stop();
    let (dir, bundle) = (TempDir::new(), outcome.summary.bundle.as_deref().unwrap());
    let end = "  \"context_refs\": []\n}";
    for (members, is_valid) in [
        ("", true),
        (r#","cut_off": {"side": "response", "why": "reset"}"#, true),
        (r#","cut_off": {"side": "both", "why": "limit"}"#, true),
        (r#","cut_off": {"why": "reset"}"#, false),
        (r#","cut_off": {"why": "reset", "side": "both"}"#, false),
        (r#","cut_off": {"side": "response", "why": "Reset"}"#, false),
        (r#","cut_off": {"side": "client", "why": "reset"}"#, false),
        (r#","cut_off": null"#, false),
        (r#","payload_encoding": "unknown""#, false),
        (r#","other": 1"#, false),
        (r#","cut_off": {"side": "both", "why": "limit"},"other": 1"#, false),
    ] {
        let output = checked(&python, &dir, bundle, |json| {
            assert!(json.ends_with(end), "{json}");
            format!("{}{members}\n}}", json.strip_suffix("\n}").unwrap())
        });
        assert_eq!(output.starts_with("OK "), is_valid, "{members}: {output}");
    }
    // The member must be the last one.
    let output = checked(&python, &dir, bundle, |json| {
        let cut_off = r#""cut_off": {"side": "both", "why": "limit"},"#;
        json.replace("\"timing\":", &format!("{cut_off}\"timing\":"))
    });
    assert!(output.contains("fields are "), "{output}");
    // Without a response, only the request can be cut off.
    for (side, is_valid) in [("request", true), ("response", false), ("both", false)] {
        let output = checked(&python, &dir, bundle, |json| {
            let json = json.replace("\"status\": 200", "\"status\": 0");
            format!("{},\"cut_off\": {{\"side\": \"{side}\", \"why\": \"reset\"}}}}", json.strip_suffix("\n}").unwrap())
        });
        assert_eq!(output.starts_with("OK "), is_valid, "{side}: {output}");
    }
}
