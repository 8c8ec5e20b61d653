//! What may wait, what may be understood, what may be written: the three worlds of the source stay apart.
//!
//! ```text
//! net/     sockets, threads, TLS       may wait; must not understand
//! wire/    bytes to meaning            may compute, and nothing else
//! bundle/  meaning to file             may write; must not touch a socket
//! ```
//!
//! Reads the source as text, without its comments and its tests: rough, and enough to notice the first step over a line.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "this is a test")]

use std::fs;
use std::path::{Path, PathBuf};

/// What nothing below `wire/` may name: it would make understanding wait, fail or depend on the time.
const NOT_IN_WIRE: &[&str] = &[
    "std::net",
    "std::fs",
    "std::thread",
    "std::process",
    "std::env",
    "std::os",
    "std::sync::mpsc",
    "std::io",
    "std::time::Instant",
    "Instant::now",
    "SystemTime",
    "Moment",
    "TcpStream",
    "rustls",
    "nix::",
    "crate::net",
    "crate::bundle",
    "crate::cert",
    "crate::cli",
];

/// What nothing below `bundle/` may name.
const NOT_IN_BUNDLE: &[&str] =
    &["std::net", "TcpStream", "TcpListener", "UdpSocket", "rustls", "nix::", "crate::net", "crate::cert"];

/// What nothing below `net/` may name: it moves bytes and asks `wire` what they mean.
const NOT_IN_NET: &[&str] = &["httparse", "tungstenite", "zip::", "flate2", "serde_json"];

/// What `wire/` may name all the same: values that only look like the world outside.
const HARMLESS: &[&str] = &[
    "std::net::{Ipv4Addr, Ipv6Addr}",
    "std::net::IpAddr",
    "std::net::Ipv4Addr",
    "std::net::Ipv6Addr",
    "std::io::Cursor",
];

/// Foreign crates, and the one file or folder of ours that knows each. (`nix` stands twice: `poll` and sockets in one file,
/// signals in the other.)
const KNOWN_IN: &[(&str, &str)] = &[
    ("httparse", "wire/http1/head.rs"),
    ("tungstenite", "wire/websocket/"),
    ("brotli_decompressor", "record/decode.rs"),
    ("ruzstd", "record/decode.rs"),
    ("nix", "net/sys.rs"),
    ("nix", "cli/process.rs"),
    ("rcgen", "cert/"),
    ("x509_parser", "cert/"),
    ("yasna", "trust/"),
    ("yasna", "cert/"),
    ("pem", "cert/"),
    ("ring", "cert/"),
    ("ring", "trust/"),
    ("rustls_native_certs", "cert/roots.rs"),
    ("webpki_root_certs", "cert/roots.rs"),
    ("lexopt", "cli/"),
    ("ctrlc", "cli/"),
];

#[test]
fn understanding_touches_nothing() {
    forbid("wire", NOT_IN_WIRE);
}

#[test]
fn writing_touches_no_socket() {
    forbid("bundle", NOT_IN_BUNDLE);
}

#[test]
fn moving_bytes_understands_nothing() {
    forbid("net", NOT_IN_NET);
}

#[test]
fn each_foreign_crate_has_one_place() {
    let mut wrong = Vec::new();
    for (name, place) in KNOWN_IN {
        let mut used = false;
        for (file, text) in sources("") {
            if !names_crate(&text, name) {
                continue;
            }
            used = true;
            if !KNOWN_IN.iter().any(|(known, place)| known == name && file.starts_with(place)) {
                wrong.push(format!("{file} names {name}, which belongs to {place}"));
            }
        }
        if !used {
            wrong.push(format!("nobody names {name}: take it out of here, or out of Cargo.toml"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn one_file_asks_the_clock_and_one_prints() {
    let mut wrong = Vec::new();
    for (file, text) in sources("") {
        let clock = ["Instant::now", "SystemTime::now", ".elapsed()"];
        if file != "clock.rs" && clock.iter().any(|word| text.contains(word)) {
            wrong.push(format!("{file} asks the clock"));
        }
        let printing =
            ["println!", "print!(", "eprint!(", "dbg!(", "std::io::stderr", "std::io::stdout", "io::stdout()"];
        if !file.starts_with("cli/") && file != "main.rs" && printing.iter().any(|word| text.contains(word)) {
            wrong.push(format!("{file} prints"));
        }
        if text.contains("unsafe ") {
            wrong.push(format!("{file} is unsafe"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn tests_and_comments_do_not_count() {
    let text = "\
use a; // use b
/// use c
#[cfg(test)]
mod testing {
    use d;
}
#[cfg(any(test, fuzzing))]
pub(crate) mod more {
    mod inner { use e; }
}
#[cfg(test)]
mod elsewhere;
fn f() { \"http://g\" }
#[cfg(test)]
mod tests {
    use h;
}
";
    let code = code_of(text);
    for (word, counts) in [("a", true), ("b", false), ("c", false), ("d", false), ("e", false), ("h", false)] {
        assert_eq!(code.contains(&format!("use {word}")), counts, "{word} in {code}");
    }
    assert!(code.contains("fn f()") && !code.contains("elsewhere"), "{code}");
    assert!(names_crate("use zip::write;", "zip") && names_crate("x: zip::Zip", "zip"));
    assert!(!names_crate("crate::zip::x", "zip") && !names_crate("unzip::x", "zip") && !names_crate("zipped", "zip"));
}

/// Fails if a file below `folder` names any of `words`.
#[track_caller]
fn forbid(folder: &str, words: &[&str]) {
    let mut wrong = Vec::new();
    let sources = sources(folder);
    assert!(!sources.is_empty(), "{folder} has no files");
    for (file, text) in sources {
        for (number, line) in text.lines().enumerate() {
            let line = HARMLESS.iter().fold(line.to_owned(), |line, harmless| line.replace(harmless, ""));
            for word in words.iter().filter(|word| names(&line, word)) {
                wrong.push(format!("{file}:{} {word}: {}", number + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Whether `line` has `word` in it as a whole.
fn names(line: &str, word: &str) -> bool {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back().is_some_and(part_of_name);
        let after = line[at + word.len()..].chars().next().is_some_and(part_of_name);
        !before && (!after || word.ends_with(':'))
    })
}

/// Whether `text` names the foreign crate `name` in a path.
fn names_crate(text: &str, name: &str) -> bool {
    text.match_indices(&format!("{name}::")).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
    })
}

/// The path (below `src/`) and the code of every file below `folder`, files that are only for tests left out.
fn sources(folder: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root.join(folder), &mut files);
    files.sort();
    let only_for_tests = test_modules(&files);
    let tested = |file: &PathBuf| only_for_tests.iter().any(|module| file.starts_with(module));
    let wanted = files.iter().filter(|file| !tested(&file.with_extension("")));
    wanted
        .map(|file| {
            let name = file.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
            (name, code_of(&fs::read_to_string(file).unwrap()))
        })
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The paths, without `.rs`, of modules that are declared for tests only.
fn test_modules(files: &[PathBuf]) -> Vec<PathBuf> {
    let mut modules = Vec::new();
    for file in files {
        let text = fs::read_to_string(file).unwrap();
        let mut for_tests = false;
        for line in text.lines().map(str::trim) {
            let declared = line.rsplit_once("mod ").and_then(|(_, name)| name.strip_suffix(';'));
            if let (true, Some(name)) = (for_tests, declared) {
                let folder = match file.file_stem().unwrap().to_str().unwrap() {
                    "mod" | "lib" | "main" => file.parent().unwrap().to_owned(),
                    _ => file.with_extension(""),
                };
                modules.push(folder.join(name));
            }
            for_tests = is_test_attribute(line) || (for_tests && line.starts_with("#["));
        }
    }
    modules
}

fn is_test_attribute(line: &str) -> bool {
    line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(any(test") || line.starts_with("#[cfg(all(test")
}

/// `text` without comments and without what is compiled for tests only; lines keep their numbers.
fn code_of(text: &str) -> String {
    let mut code = String::new();
    // Inside an item for tests only: how many braces are open; `None` before its first.
    let mut skipping: Option<Option<usize>> = None;
    for line in text.lines() {
        let bare = without_comment(line);
        if skipping.is_none() && is_test_attribute(bare.trim_start()) {
            skipping = Some(None);
        } else if let Some(depth) = skipping {
            let (opened, closed) = (bare.matches('{').count(), bare.matches('}').count());
            skipping = match depth {
                None if opened == 0 && bare.trim_end().ends_with([';', ',']) => None,
                None if opened == 0 => Some(None),
                _ => {
                    let open = (depth.unwrap_or(0) + opened).saturating_sub(closed);
                    (open > 0).then_some(Some(open))
                }
            };
        } else {
            code.push_str(bare);
        }
        code.push('\n');
    }
    code
}

/// `line` up to a comment, unless the slashes are those of a URL.
fn without_comment(line: &str) -> &str {
    let comment = line.match_indices("//").find(|(at, _)| !line[..*at].ends_with(':'));
    comment.map_or(line, |(at, _)| &line[..at])
}
