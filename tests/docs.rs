//! Checks documents and comments: the files and tests that they name exist, documents stay within their word budgets, and
//! prose keeps to those rules of the project's language that a pattern can check.

#![allow(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "this is a test")]

use std::path::{Path, PathBuf};

#[test]
fn every_test_named_in_the_hazards_exists() {
    let hazards = read("docs/hazards.md");
    let named: Vec<_> = hazards.split('`').skip(1).step_by(2).filter_map(|code| code.split_once("::")).collect();
    assert!(named.len() > 30, "the table was not found");
    for (module, test) in named {
        let file = format!("tests/suite/{module}.rs");
        assert!(read(&file).contains(&format!("fn {test}()")), "docs/hazards.md names {module}::{test}: no such test");
    }
}

#[test]
fn every_file_named_in_a_document_exists() {
    for document in [
        "ARCHITECTURE.md",
        "docs/bundle.md",
        "docs/dependencies.md",
        "docs/hazards.md",
        "docs/openapi.md",
        "docs/performance.md",
        "docs/relay.md",
        "docs/run.md",
    ] {
        let text = read(document);
        let is_path = |code: &&str| {
            (code.ends_with(".rs") || code.ends_with('/')) && !code.contains(' ') && !code.starts_with('.')
        };
        let mut count = 0;
        for name in text.split('`').skip(1).step_by(2).filter(is_path) {
            let found = ["", "src/"].iter().any(|under| root().join(under).join(name).exists());
            assert!(found, "{document} names {name}: no such file");
            count += 1;
        }
        assert!(count > 2, "{document} names no files");
    }
}

/// The two commands are the ones that CI runs.
#[test]
fn the_readme_has_the_commands_to_build_and_test() {
    let readme = read("README.md");
    for command in ["cargo run --release -- capture proxy", "cargo test"] {
        assert!(readme.lines().any(|line| line == command), "{command}");
    }
}

#[test]
fn documents_keep_to_their_word_budgets() {
    for (document, budget) in [("README.md", 1400), ("ARCHITECTURE.md", 900)] {
        let words = read(document).split_whitespace().filter(|word| word.contains(char::is_alphanumeric)).count();
        assert!(words <= budget, "{document} has {words} words; its budget is {budget}");
    }
}

/// A doc comment begins with what the item is or does. In scripts and settings, all comments are checked.
#[test]
fn doc_comments_do_not_open_with_a_relative_clause() {
    let mut wrong = Vec::new();
    for (file, text) in texts() {
        let marks: &[_] = match file.rsplit('.').next().unwrap() {
            "rs" => &["///", "//!"],
            "py" => &["\"\"\"", "#"],
            "js" => &["//"],
            "sh" | "toml" | ".ci/run" | "justfile" => &["#"],
            _ => &[],
        };
        let mut before = "";
        for (number, line) in text.lines().map(str::trim).enumerate() {
            let opening = marks.iter().find_map(|mark| line.strip_prefix(mark).filter(|_| !before.starts_with(mark)));
            if opening.is_some_and(|text| BANNED_OPENINGS.iter().any(|banned| starts_with_words(text.trim(), banned))) {
                wrong.push(format!("{file}:{}: {line}", number + 1));
            }
            before = line;
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn prose_avoids_private_words() {
    let mut wrong = Vec::new();
    for (file, text) in texts() {
        // They contain lists of these words.
        if ["tests/docs.rs", "src/cli/help/tests.rs", "CONTRIBUTING.md"].contains(&file.as_str()) {
            continue;
        }
        // Other files have little code, so each line is read as a whole.
        let prose = if file.ends_with(".rs") { prose_of(&text) } else { text.lines().map(str::to_owned).collect() };
        for ((number, line), prose) in text.lines().enumerate().zip(prose) {
            let prose = prose.to_lowercase();
            let mut words = prose.split(|c: char| !c.is_alphanumeric() && c != '_');
            if words.any(|word| BANNED_WORDS.contains(&word))
                || BANNED_PHRASES.iter().any(|phrase| contains_words(&prose, phrase))
            {
                wrong.push(format!("{file}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_language_checks_detect_violations() {
    assert!(starts_with_words("What it holds", "What"));
    assert!(!starts_with_words("Whatever", "What"));
    assert!(contains_words("it waits for ever.", "for ever") && !contains_words("for every client", "for ever"));
    let line = |code| prose_of(code).concat();
    assert_eq!(line(r#"let a = f("one", b); // two"#), " one two");
    assert_eq!(line("let blank = 1;"), "");
    assert_eq!(line(r#""http://x" // y"#), " http://x y");
    assert_eq!(line(r#"if c == '"' { f("a\"b\nc") } // d"#), " a b c d");
    assert_eq!(prose_of("f(\"one \\\n    two\", b);\nlet c;"), [" one  ", "    two", ""]);
    assert_eq!(prose_of("r#\"one \"1\"\ntwo\"#; c\n// three"), [" one \"1\"", "two", " three"]);
}

const BANNED_OPENINGS: &[&str] = &[
    "What",
    "Whether",
    "Who",
    "Whoever",
    "Whose",
    "How",
    "So much",
    "So many",
    "So often",
    "As long as",
    "As many",
    "As much",
    "See above",
    "The same.",
];

const BANNED_WORDS: &[&str] = &[
    "blank", "blanks", "nobody", "somebody", "whoever", "lent", "lend", "lends", "owe", "owes", "owed", "crew", "anew",
    "unasked", "said", "told", "tells", "speaks", "spoken", "hears", "anyhow",
];

const BANNED_PHRASES: &[&str] = &[
    "see above",
    "as ever",
    "in vain",
    "for ever",
    "has its say",
    "without a word",
    "all the same",
    "in its name",
    "of its own accord",
    "what is there",
    "at all events",
];

fn starts_with_words(text: &str, words: &str) -> bool {
    text.strip_prefix(words).is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric()))
}

fn contains_words(text: &str, words: &str) -> bool {
    let is_letter = |c: char| c.is_alphanumeric();
    text.match_indices(words)
        .any(|(at, _)| !text[..at].ends_with(is_letter) && !text[at + words.len()..].starts_with(is_letter))
}

/// Returns the prose of each line of Rust code: string literals, which may extend over several lines, and line comments. Escapes
/// are replaced by spaces.
fn prose_of(text: &str) -> Vec<String> {
    let mut open: Option<Literal> = None;
    let mut lines = Vec::new();
    for line in text.lines() {
        let (mut prose, mut rest) = (String::new(), line);
        while !rest.is_empty() {
            if let Some(literal) = &open {
                let (inside, after) = literal.split(rest);
                prose.push_str(&inside);
                rest = after.unwrap_or_default();
                if after.is_some() {
                    open = None;
                }
                continue;
            }
            // A quotation mark in a character literal does not start a string.
            let code = rest.replace("'\"'", "' '").replace("'\\\"'", "'  '");
            let Some(at) = [code.find('"'), code.find("//")].into_iter().flatten().min() else { break };
            prose.push(' ');
            if rest[at..].starts_with("//") {
                prose.push_str(rest[at..].trim_start_matches(['/', '!']).trim());
                break;
            }
            open = Some(Literal::after(&rest[..at]));
            rest = &rest[at + 1..];
        }
        lines.push(prose);
    }
    lines
}

/// A string literal that is open.
struct Literal {
    /// The text that closes it.
    end: String,
    is_raw: bool,
}

impl Literal {
    /// Returns the literal that a quotation mark after `code` opens.
    fn after(code: &str) -> Self {
        let before = code.trim_end_matches('#');
        let is_raw = before.ends_with('r');
        Self { end: format!("\"{}", if is_raw { &code[before.len()..] } else { "" }), is_raw }
    }

    /// Splits `text` into the text of the literal and, if the literal is closed, what follows.
    fn split<'t>(&self, text: &'t str) -> (String, Option<&'t str>) {
        let (mut inside, mut chars) = (String::new(), text.char_indices());
        while let Some((at, c)) = chars.next() {
            if let Some(after) = text[at..].strip_prefix(&self.end) {
                return (inside, Some(after));
            }
            let is_escape = c == '\\' && !self.is_raw;
            inside.push(if is_escape { ' ' } else { c });
            if is_escape {
                chars.next();
            }
        }
        (inside, None)
    }
}

/// Returns the path and text of every file that people read: sources, scripts, settings and documents.
fn texts() -> Vec<(String, String)> {
    let mut files = Vec::new();
    for folder in ["src", "tests", "benches", "docs", "fuzz/fuzz_targets", ".ci", ".cargo"] {
        collect(&root().join(folder), &mut files);
    }
    for entry in std::fs::read_dir(root()).unwrap() {
        files.push(entry.unwrap().path());
    }
    files.push(root().join("fuzz/Cargo.toml"));
    let kinds = ["rs", "md", "py", "js", "sh", "html", "toml"];
    let is_read = |file: &Path| match file.extension() {
        Some(kind) => kinds.iter().any(|known| kind == *known),
        None => ["run", "justfile"].iter().any(|name| file.ends_with(name)),
    };
    files.retain(|file| file.is_file() && is_read(file));
    let texts: Vec<_> = files
        .iter()
        .map(|file| {
            let name = file.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            (name.clone(), read(&name))
        })
        .collect();
    for kind in kinds.into_iter().chain(["run", "justfile"]) {
        assert!(texts.iter().any(|(file, _)| file.ends_with(kind)), "no {kind} was found");
    }
    assert!(texts.len() > 200, "the files were not found");
    texts
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}

fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}
