//! Commands on bundles with bodies larger than the memory.

#![cfg(target_os = "linux")]

use crate::support::TempDir;
use crate::support::peers::{self, Output};
use spectral_capture::text::Base64;
use std::fs::File;
use std::io::Write;
use std::process::Command;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// Writes a bundle whose exchanges have these response bodies, each `pieces` copies of a piece.
fn write_bundle(dir: &TempDir, bodies: &[(&str, &[u8], usize)]) {
    let mut zip = ZipWriter::new(File::create(dir.join("large.zip")).unwrap());
    let options = SimpleFileOptions::default().compression_level(Some(1)).large_file(true);
    for ((media_type, piece, pieces), n) in bodies.iter().zip(1..) {
        zip.start_file(format!("traces/t_000{n}_response.bin"), options).unwrap();
        (0..*pieces).for_each(|_| zip.write_all(piece).unwrap());
        zip.start_file(format!("traces/t_000{n}.json"), options).unwrap();
        let headers = format!(r#"[{{"name":"Content-Type","value":"{media_type}"}}]"#);
        let response = format!(r#""status":200,"headers":{headers},"body_file":"t_000{n}_response.bin""#);
        let request = format!(r#""method":"GET","url":"http://a.test/{n}?token=s3cret""#);
        let size = piece.len() * pieces;
        write!(zip, r#"{{"id":"t_000{n}","request":{{{request}}},"response":{{{response},"body_size":{size}}}}}"#)
            .unwrap();
    }
    zip.start_file("manifest.json", options).unwrap();
    zip.write_all(b"{}").unwrap();
    zip.finish().unwrap();
}

/// Writes a bundle with a WebSocket of such messages, each `pieces` copies of a piece.
fn write_messages(dir: &TempDir, messages: &[(&str, &[u8], usize)]) {
    let mut zip = ZipWriter::new(File::create(dir.join("large.zip")).unwrap());
    let options = SimpleFileOptions::default().compression_level(Some(1)).large_file(true);
    for ((opcode, piece, pieces), n) in messages.iter().zip(1..) {
        zip.start_file(format!("ws/ws_0001_m00{n}.bin"), options).unwrap();
        (0..*pieces).for_each(|_| zip.write_all(piece).unwrap());
        zip.start_file(format!("ws/ws_0001_m00{n}.json"), options).unwrap();
        write!(zip, r#"{{"opcode":"{opcode}","payload_file":"ws_0001_m00{n}.bin"}}"#).unwrap();
    }
    for name in ["ws/ws_0001.json", "manifest.json"] {
        zip.start_file(name, options).unwrap();
        zip.write_all(b"{}").unwrap();
    }
    zip.finish().unwrap();
}

/// Runs `spectral capture` with `arguments` and at most `megabytes` of writable memory. Its output is written to `out`.
fn run_within(megabytes: usize, dir: &TempDir, arguments: &str) -> Output {
    let line = format!("ulimit -d {}; exec \"$0\" capture {arguments}", megabytes * 1024);
    let mut command = Command::new("sh");
    command.args(["-c", &line, env!("CARGO_BIN_EXE_spectral")]).current_dir(dir.path()).env("HOME", dir.path());
    peers::run(&mut command)
}

#[test]
fn commands_take_little_memory_for_large_bodies() {
    const PIECES: usize = 26;
    let dir = TempDir::new();
    let text = "{\"id\": 1, \"name\": \"grün\"}\n".repeat(MIB / 28);
    let binary: Vec<u8> = (0..MIB).map(|n| (n % 251) as u8).collect();
    write_bundle(&dir, &[("application/json", text.as_bytes(), PIECES), ("image/x", &binary, PIECES)]);
    for arguments in [
        "inspect large.zip",
        "inspect large.zip --json",
        "inspect large.zip --grep nowhere",
        "inspect large.zip --trace t_0001 >out",
        "inspect large.zip --trace t_0002 >out",
        "inspect large.zip --body t_0002 >out",
        "export --format curl large.zip -o -",
        "export --format html large.zip -o large.html",
        "merge large.zip large.zip -o merged.zip",
        "recover large.zip -o recovered.zip",
    ] {
        run_within(MAX_MEGABYTES, &dir, arguments).ok();
    }
    assert!(std::fs::read(dir.join("out")).unwrap() == binary.repeat(PIECES));
    run_within(MAX_MEGABYTES, &dir, "export --format har large.zip -o large.har").ok();
    let har = std::fs::read_to_string(dir.join("large.har")).unwrap();
    assert_eq!(har.matches("\\\"grün\\\"").count(), PIECES * (MIB / 28));
    assert!(har.len() > PIECES * 2 * MIB && har.contains("\"encoding\":\"base64\"") && har.ends_with("]}}\n"));
}

#[test]
fn a_report_of_many_exchanges_takes_little_memory() {
    const EXCHANGES: usize = 60_000;
    let dir = TempDir::new();
    let mut zip = ZipWriter::new(File::create(dir.join("large.zip")).unwrap());
    let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for n in 1..=EXCHANGES {
        zip.start_file(format!("traces/t_{n:04}_response.bin"), options).unwrap();
        zip.write_all(b"{}").unwrap();
        zip.start_file(format!("traces/t_{n:04}.json"), options).unwrap();
        write!(zip, r#"{{"response":{{"body_file":"t_{n:04}_response.bin","body_size":2}}}}"#).unwrap();
    }
    zip.start_file("manifest.json", options).unwrap();
    zip.write_all(b"{}").unwrap();
    zip.finish().unwrap();
    let megabytes = MAX_MEGABYTES + 2 * EXCHANGES * 32 / MIB;
    let output = run_within(megabytes, &dir, "export --format html large.zip -o large.html").ok();
    assert_eq!(output.err, "");
    let report = std::fs::read_to_string(dir.join("large.html")).unwrap();
    assert!(report.contains(&format!("\"t_{EXCHANGES}\",\"body\"")));
}

#[test]
fn messages_are_shown_in_little_memory() {
    let dir = TempDir::new();
    let binary: Vec<u8> = (0..MIB).map(|n| (n % 251) as u8).collect();
    write_messages(&dir, &[("text", "grün\n".repeat(MIB / 6).as_bytes(), 26), ("binary", &binary, 26)]);
    let text = run_within(MAX_MEGABYTES, &dir, "inspect large.zip --ws ws_0001 >out").ok();
    assert!(text.err.is_empty(), "{}", text.err);
    let shown = std::fs::read_to_string(dir.join("out")).unwrap();
    assert_eq!(shown.matches("grün\\n").count(), 26 * (MIB / 6));
    assert!(shown.ends_with("  27,262,976 bytes\n"));
    run_within(MAX_MEGABYTES, &dir, "inspect large.zip --ws ws_0001 --json >out").ok();
    let json = std::fs::read_to_string(dir.join("out")).unwrap();
    let messages: Vec<serde_json::Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(messages[0]["text"] == "grün\n".repeat(MIB / 6).repeat(26) && messages[0]["base64"].is_null());
    let base64 = messages[1]["base64"].as_str().unwrap();
    assert!(base64 == Base64(&binary.repeat(26)).to_string() && messages[1]["text"].is_null());
}

#[test]
fn commands_take_little_memory_for_many_exchanges() {
    let dir = TempDir::new();
    let mut zip = ZipWriter::new(File::create(dir.join("large.zip")).unwrap());
    let options = SimpleFileOptions::default().compression_level(Some(1));
    for n in 1..=12_000 {
        zip.start_file(format!("traces/t_{n:04}.json"), options).unwrap();
        let request = format!(r#""method":"GET","url":"http://a.test/{n}?token=a8Zk29xQ71mLp03v{n}""#);
        write!(zip, r#"{{"id":"t_{n:04}","request":{{{request}}},"response":{{"status":200}}}}"#).unwrap();
    }
    zip.start_file("manifest.json", options).unwrap();
    zip.write_all(b"{}").unwrap();
    zip.finish().unwrap();
    for arguments in [
        "inspect large.zip --grep nowhere",
        "export --format har large.zip -o large.har",
        "export --format curl large.zip -o large.sh",
        "merge large.zip large.zip -o merged.zip",
        "recover large.zip -o recovered.zip",
        "redact large.zip -o redacted.zip",
    ] {
        run_within(MAX_MEGABYTES, &dir, arguments).ok();
    }
    let text = run_within(MAX_MEGABYTES, &dir, "inspect redacted.zip").ok().text();
    assert_eq!((text.matches("token=redacted-").count(), text.matches("a8Zk29xQ71mLp03v").count()), (12_000, 0));
}

#[test]
fn a_body_over_one_gibibyte_is_read() {
    let dir = TempDir::new();
    write_bundle(&dir, &[("image/x", &[0; MIB], 1025), ("text/plain", b"needle", 1)]);
    for (arguments, expected) in [
        ("inspect large.zip --trace t_0001", "binary, 1,074,790,400 bytes"),
        ("inspect large.zip --grep needle", "Matched: 1 of 2 exchanges"),
        ("inspect large.zip --body t_0001 | wc -c", "1074790400"),
    ] {
        let output = run_within(MAX_MEGABYTES, &dir, arguments).ok();
        assert!(output.text().contains(expected), "{arguments}: {}", output.text());
    }
    let redacted = run_within(MAX_MEGABYTES, &dir, "redact large.zip -o redacted.zip").ok().text();
    assert!(redacted.contains("2  token\n") && redacted.contains("1 body or message: t_0001 response"), "{redacted}");
    let output = run_within(MAX_MEGABYTES, &dir, "inspect redacted.zip --body t_0001 | wc -c").ok();
    assert_eq!(output.text().trim(), "1074790400");
}

#[test]
fn a_message_over_one_gibibyte_is_read() {
    let dir = TempDir::new();
    write_messages(&dir, &[("binary", &[0; MIB], 1025), ("text", b"needle", 1)]);
    for (arguments, expected) in [
        ("inspect large.zip --ws ws_0001", "  binary  1,074,790,400 bytes\n"),
        ("inspect large.zip --grep needle", "1 of 1 WebSocket"),
        ("inspect large.zip --body ws_0001_m001 | wc -c", "1074790400"),
    ] {
        let output = run_within(MAX_MEGABYTES, &dir, arguments).ok();
        assert!(output.text().contains(expected), "{arguments}: {}", output.text());
    }
}

const MIB: usize = 1 << 20;

/// Less than a body has.
const MAX_MEGABYTES: usize = 24;
