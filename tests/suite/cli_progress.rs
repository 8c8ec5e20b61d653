//! The progress of commands that read bundles: one line of a terminal, and nothing anywhere else.

use crate::support::TempDir;
use crate::support::cli::spectral;
use crate::support::peers::{peer, run};
use std::io::Write;
use std::process::Command;

/// Runs its arguments on a new terminal, as its foreground process. The terminal's output goes to stdout.
const ON_A_TERMINAL: &str = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)";

/// The beginning of a status line: erase, dim.
const STATUS: &str = "\r\u{1b}[K\u{1b}[2m";
const ERASE: &str = "\r\u{1b}[K";

/// Writes a bundle of `count` exchanges to `path`, and `last` as the JSON of one more.
fn write_bundle(path: &std::path::Path, count: u32, last: &str) {
    let mut zip = zip::ZipWriter::new(std::io::BufWriter::new(std::fs::File::create(path).unwrap()));
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let body = "a body that is searched. ".repeat(40);
    for n in 1..=count {
        let file = format!("t_{n:04}_response.bin");
        zip.start_file(format!("traces/{file}"), stored).unwrap();
        zip.write_all(body.as_bytes()).unwrap();
        zip.start_file(format!("traces/t_{n:04}.json"), stored).unwrap();
        let found = if n % 100 == 0 { "found" } else { "other" };
        write!(
            zip,
            r#"{{"id":"t_{n:04}","request":{{"method":"GET","url":"http://a.test/{found}/{n}"}},
               "response":{{"status":200,"body_file":"{file}","body_size":{}}}}}"#,
            body.len()
        )
        .unwrap();
    }
    zip.start_file(format!("traces/t_{:04}.json", count + 1), stored).unwrap();
    zip.write_all(last.as_bytes()).unwrap();
    zip.start_file("manifest.json", stored).unwrap();
    zip.write_all(b"{}").unwrap();
    zip.finish().unwrap().flush().unwrap();
}

/// Runs `spectral capture` with `args` on a terminal, on larger and larger bundles, until it lasts long enough for a line, and
/// returns everything the terminal showed. The bundle is `a.zip`, and `a.zip.part` with the same content.
#[track_caller]
fn shown_by_long(dir: &TempDir, args: &[&str], last: &str) -> Option<String> {
    let python = peer("python3")?;
    let mut count = 4_000;
    loop {
        write_bundle(&dir.join("a.zip"), count, last);
        std::fs::copy(dir.join("a.zip"), dir.join("x.zip.part")).unwrap();
        let shown = on_a_terminal(dir, &python, args);
        if shown.contains(" left\u{1b}") {
            return Some(shown);
        }
        count *= 3;
        assert!(count < 400_000, "no progress: {shown:?}");
    }
}

fn on_a_terminal(dir: &TempDir, python: &std::path::Path, args: &[&str]) -> String {
    let mut command = Command::new(python);
    command.args(["-c", ON_A_TERMINAL, env!("CARGO_BIN_EXE_spectral"), "capture"]).args(args);
    run(command.current_dir(dir.path()).env("TERM", "xterm").env_remove("NO_COLOR")).text()
}

/// Removes status lines and erasures from what a terminal showed. Fails if one follows an incomplete row.
#[track_caller]
fn rows(shown: &str) -> String {
    let mut rows = String::new();
    let mut parts = shown.split(ERASE);
    rows.push_str(parts.next().unwrap());
    for part in parts {
        assert!(rows.is_empty() || rows.ends_with('\n'), "a status line after an incomplete row: {rows:?}");
        let after = match part.strip_prefix("\u{1b}[2m") {
            Some(status) => {
                let (text, after) = status.split_once("\u{1b}[m").unwrap();
                assert!(text.contains(" of ") && text.chars().count() < 80, "{text:?}");
                assert_eq!(after, "", "a row follows {text:?} on its line");
                after
            }
            None => part,
        };
        rows.push_str(after);
    }
    assert!(!rows.contains('\u{1b}'), "{rows:?}");
    rows
}

/// Each command shows how far it is, erases the line, and then prints its summary.
#[test]
fn long_commands_show_their_progress_and_erase_it() {
    let dir = TempDir::new();
    for (args, summary) in [
        (&["merge", "a.zip", "-o", "b.zip"][..], "Merged 1 bundle to b.zip: "),
        (&["redact", "a.zip", "-o", "c.zip", "--json", "x"], "Redacted to c.zip: "),
        (&["recover", "x.zip.part"], "Recovered to x.zip: "),
        (&["export", "a.zip", "--format", "har", "-o", "d.har"], ""),
        (&["inspect", "a.zip", "--grep", "in no body"], "Bundle a.zip"),
    ] {
        let Some(shown) = shown_by_long(&dir, args, "{}") else { return };
        assert!(shown.contains(STATUS) && shown.contains("/s, "), "{args:?}: {shown:?}");
        let rows = rows(&shown);
        assert!(rows.starts_with(summary) && !rows.contains(" left"), "{args:?}: {rows:?}");
        assert!(summary.is_empty() == rows.is_empty(), "{args:?}: {rows:?}");
    }
}

/// The rows of `inspect` are those that a file gets, each on a line of its own.
#[test]
fn rows_appear_above_the_line() {
    let dir = TempDir::new();
    let args = ["inspect", "a.zip", "--grep", "FOUND"];
    let Some(shown) = shown_by_long(&dir, &args, "{}") else { return };
    let file = spectral(&dir, &[&["capture"], &args[..]].concat()).ok();
    assert_eq!((rows(&shown).replace("\r\n", "\n"), file.err.as_str()), (file.text(), ""));
    assert!(file.text().contains("http://a.test/found/"), "{}", file.text());
}

#[test]
fn messages_appear_after_the_line_is_erased() {
    let dir = TempDir::new();
    let Some(shown) = shown_by_long(&dir, &["redact", "a.zip", "-o", "b.zip"], "no JSON") else { return };
    let shown_rows = rows(&shown);
    assert!(shown_rows.starts_with("Redacted to b.zip: "), "{shown_rows:?}");
    assert!(shown_rows.contains("\nspectral: warning: 1 item left out, "), "{shown_rows:?}");
    let Some(shown) = shown_by_long(&dir, &["merge", "a.zip", "-o", "c.zip"], "no JSON") else { return };
    let shown_rows = rows(&shown);
    assert!(shown_rows.starts_with("Merged 1 bundle to c.zip: "), "{shown_rows:?}");
    assert!(shown_rows.contains("\nspectral: warning: 1 item left out, "), "{shown_rows:?}");
}

#[test]
fn nothing_is_shown_with_q_or_without_a_terminal() {
    let dir = TempDir::new();
    let Some(python) = peer("python3") else { return };
    let args = ["merge", "a.zip", "-o", "b.zip"];
    // Large enough for a line.
    let Some(_) = shown_by_long(&dir, &args, "{}") else { return };
    let shown = on_a_terminal(&dir, &python, &[&args[..], &["-q"]].concat());
    assert!(shown.starts_with("Merged 1 bundle") && !shown.contains('\u{1b}'), "{shown:?}");
    let output = spectral(&dir, &[&["capture"], &args[..]].concat()).ok();
    assert_eq!(output.err, "");
}
