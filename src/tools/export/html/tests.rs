use super::*;
use crate::bundle::archive::{Archive, CompressionMethod};
use crate::bundle::json::add_json;
use crate::bundle::test_dir::TestDir;
use serde_json::{Value, json};
use std::time::Duration;

/// Writes a bundle with one exchange per body, and a WebSocket with one message per body, and opens it.
fn bundle(dir: &TestDir, bodies: &[&[u8]], messages: &[&[u8]]) -> Bundle {
    let (mut archive, _) = Archive::create(&dir.path("a <b>.zip"), Duration::ZERO).unwrap();
    for (at, body) in bodies.iter().enumerate() {
        let number = at + 1;
        archive
            .group(|archive| {
                archive.add(&format!("traces/t_{number:04}_response.bin"), body, CompressionMethod::Deflated, &[])?;
                let header = json!([{"name": "Content-Type", "value": "text/html; charset=utf-8"}]);
                let trace = json!({
                    "request": {"method": "GET", "url": "http://a/</script>"},
                    "response": {"status": 200, "headers": header, "body_file": format!("t_{number:04}_response.bin")},
                    "timing": {"wait_ms": 1.23456},
                });
                add_json(archive, format!("traces/t_{number:04}.json"), &trace, &[])
            })
            .unwrap();
    }
    archive
        .group(|archive| {
            for (at, message) in messages.iter().enumerate() {
                let id = format!("ws_0001_m{:03}", at + 1);
                archive.add(&format!("ws/{id}.bin"), message, CompressionMethod::Deflated, &[])?;
                let json = json!({
                    "direction": if at % 3 == 2 { "receive" } else { "send" },
                    "opcode": "text",
                    "payload_file": format!("{id}.bin"),
                    "payload_size": message.len(),
                    "timestamp": 5,
                });
                add_json(archive, format!("ws/{id}.json"), &json, &[])?;
            }
            if !messages.is_empty() {
                add_json(archive, "ws/ws_0001.json".into(), &json!({"url": "ws://a/"}), &[])?;
            }
            add_json(archive, "manifest.json".into(), &json!({}), &[])
        })
        .unwrap();
    Bundle::open(archive.finish().unwrap().path).unwrap()
}

/// A report, and what was left out of it.
struct TestReport {
    text: String,
    written: Written,
}

impl TestReport {
    fn of(bundle: &Bundle, options: &Options) -> Self {
        let mut report = Vec::new();
        let written = write(bundle, options, &mut report).unwrap();
        Self { text: String::from_utf8(report).unwrap(), written }
    }

    /// The JSON of each data block of this kind.
    fn blocks(&self, kind: &str) -> Vec<Value> {
        let start = format!("<script type=\"application/json\" data-kind=\"{kind}\">");
        let blocks = self.text.split(&start).skip(1).map(|rest| rest.split("</script>").next().unwrap());
        blocks.map(|json| serde_json::from_str(json).unwrap()).collect()
    }

    /// The values of all blocks of this kind.
    fn values(&self, kind: &str) -> Vec<Value> {
        self.blocks(kind).iter().flat_map(|block| block.as_array().unwrap().clone()).collect()
    }
}

fn sized(max_size: u64, max_body: u64) -> Options {
    Options { max_size, max_body, inspect_command: "inspect a.zip --trace".into(), ..Options::default() }
}

#[test]
fn rows_heads_and_bodies_are_data() {
    let dir = TestDir::new("report");
    let bundle = bundle(&dir, &[b"<script>alert(1)</script>\n", b"\xff\0"], &[b"hello"]);
    let report = TestReport::of(&bundle, &Options { title: "a <b>".into(), ..Options::default() });
    assert_eq!(report.written.omitted, Omitted::default());
    let row = json!([
        "t_0001",
        0,
        "GET",
        "http://a/</script>",
        200,
        "text/html",
        0,
        0,
        0.0,
        [0.0, 0.0, 0.0, 0.0, 1.235, 0.0],
        false,
        false
    ]);
    assert_eq!(report.values("rows")[0], row);
    let details = report.values("details");
    let headers = json!(["Content-Type", "text/html; charset=utf-8"]);
    assert_eq!(details[0], json!(["t_0001", "head", "", "", "", [], headers]));
    assert_eq!(details[2], json!(["t_0001", "body", "", "", "<script>alert(1)</script>\n", ""]));
    assert_eq!(details[3], json!(["t_0002", "body", "", "", "\u{0}0:0", ""]));
    assert_eq!(details[4], json!(["ws_0001", "messages", "ws_0001_m001", "send", "text", "5", "hello", ""]));
    assert_eq!(report.values("binary"), ["/wA="]);
    let meta = &report.blocks("meta")[0];
    assert_eq!((&meta["title"], &meta["index"]), (&json!("a <b>"), &json!([[0, 1, 0, 1, 2]])));
    assert_eq!(meta["websockets"], json!([[2, 5, 0]]));
}

#[test]
fn captured_text_cannot_end_a_script_element() {
    let dir = TestDir::new("report");
    let bundle = bundle(&dir, &[b"</script><!--<script>"], &[]);
    let text = TestReport::of(&bundle, &Options::default()).text;
    // Only those that the page has itself, and those of data blocks.
    let ends = 1 + text.matches("data-kind=\"").count() - page_mentions("data-kind=\"");
    assert_eq!(text.matches("</script").count() - page_mentions("</script"), ends);
    assert!(!text.contains("<!--"));
}

/// The number of times that the page itself, without data, contains this.
fn page_mentions(needle: &str) -> usize {
    [include_str!("../report/report.html"), include_str!("../report/report.css"), include_str!("../report/report.js")]
        .iter()
        .map(|part| part.matches(needle).count())
        .sum()
}

#[test]
fn the_policy_comes_first_and_allows_only_this_style_and_script() {
    let dir = TestDir::new("report");
    let text = TestReport::of(&bundle(&dir, &[], &[]), &Options::default()).text;
    let (before, policy) = text.split_once("Content-Security-Policy\" content=\"").unwrap();
    assert!(before.len() < 200 && !before.contains("<script") && !before.contains("<style"));
    let hash = |start: &str, end: &str| {
        let (_, content) = text.rsplit_once(start).unwrap();
        let content = content.split_once(end).unwrap().0;
        crate::text::Base64(ring::digest::digest(&ring::digest::SHA256, content.as_bytes()).as_ref()).to_string()
    };
    let expected = format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; img-src data: blob:; base-uri 'none'; form-action 'none'",
        hash("<script>", "</script>"),
        hash("<style>", "</style>"),
    );
    assert_eq!(policy.split_once('"').unwrap().0, expected);
    assert!(!text.contains(" style=\"") && !text.contains("unsafe-inline"));
}

#[test]
fn long_bodies_are_cut_between_characters() {
    let dir = TestDir::new("report");
    let bundle = bundle(&dir, &["aü".repeat(1000).as_bytes()], &["bü".repeat(1000).as_bytes()]);
    let report = TestReport::of(&bundle, &sized(1 << 20, 1025));
    let details = report.values("details");
    assert_eq!(details[1][4], json!("aü".repeat(341) + "a"));
    assert_eq!(details[1][5], "the first 1024 of 3000 bytes");
    assert_eq!(details[2][7], "the first 1024 of 3000 bytes");
    let expected = [
        "t_0001: response body of 3000 bytes cut; see inspect a.zip --trace t_0001",
        "ws_0001_m001: message of 3000 bytes cut; see inspect a.zip --trace ws_0001",
    ];
    assert_eq!(report.written.omitted.first, expected);
    assert_eq!(report.blocks("meta")[0]["omitted"], json!(expected));
}

#[test]
fn the_size_of_the_report_is_bounded() {
    let dir = TestDir::new("report");
    let large = "x".repeat(40_000);
    let bodies: Vec<_> = (0..20).map(|_| large.as_bytes()).chain([&b"small"[..]]).collect();
    let bundle = bundle(&dir, &bodies, &[large.as_bytes(), large.as_bytes(), b"three"]);
    let max_size = page::len() + META_BYTES + 500_000;
    let report = TestReport::of(&bundle, &sized(max_size, 1 << 20));
    assert!(report.text.len() as u64 <= max_size);
    // Heads, bodies or notes about them, and a line of messages.
    assert_eq!((report.values("rows").len(), report.values("details").len()), (22, 21 + 21 + 1));
    // Messages that are left out count.
    assert_eq!(report.blocks("meta")[0]["websockets"], json!([[21, 80_000, 5]]));
    // A small body still fits behind large ones that do not.
    assert_eq!(report.values("details").iter().filter(|line| line[4] == "small").count(), 1);
    let omitted = &report.written.omitted;
    assert_eq!(omitted.count, 20 - 12 + 2);
    assert_eq!(omitted.first[0], "t_0013: response body of 40000 bytes left out; see inspect a.zip --trace t_0013");

    let report = TestReport::of(&bundle, &sized(page::len() + META_BYTES + 1500, 1 << 20));
    let omitted = report.written.omitted.first.join("\n");
    assert!(omitted.contains("t_0021: left out;") && omitted.contains(": heads left out;"), "{omitted}");
    assert!(!report.values("rows").is_empty());
}

#[test]
fn the_page_is_short_enough_to_be_read() {
    let parts = [
        include_str!("../report/report.html"),
        include_str!("../report/report.css"),
        include_str!("../report/report.js"),
    ];
    let lines = parts.iter().map(|part| part.lines().count()).sum::<usize>();
    assert!(lines <= 1500, "{lines} lines");
}

#[test]
fn redacted_values_are_mentioned() {
    let dir = TestDir::new("report");
    let with = bundle(&dir, &[b"x"], &[]);
    assert_eq!(TestReport::of(&with, &Options::default()).blocks("meta")[0]["redacted"], false);
    let options = Options { is_redacted: true, ..Options::default() };
    assert_eq!(TestReport::of(&with, &options).blocks("meta")[0]["redacted"], true);
}
