//! Documents and comments that can rot: what they name exists, their length has a budget, and the rules of the project's
//! language hold where a pattern can tell.

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

/// A doc comment begins with what the item is or does.
#[test]
fn doc_comments_do_not_open_with_a_relative_clause() {
    let mut wrong = Vec::new();
    for (file, text) in texts().into_iter().filter(|(file, _)| file.ends_with(".rs")) {
        let mut before = "";
        for (number, line) in text.lines().map(str::trim).enumerate() {
            let is_first = |mark| line.starts_with(mark) && !before.starts_with(mark);
            if is_first("///") || is_first("//!") {
                let opening = line[3..].trim();
                if BANNED_OPENINGS.iter().any(|banned| starts_with_words(opening, banned)) {
                    wrong.push(format!("{file}:{}: {line}", number + 1));
                }
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
        // They contain the lists below.
        if file == "tests/docs.rs" || file == "CONTRIBUTING.md" {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let prose = if file.ends_with(".md") { line.to_owned() } else { prose_of(line) };
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
fn the_language_checks_find_what_they_are_for() {
    assert!(starts_with_words("What it holds", "What"));
    assert!(!starts_with_words("Whatever", "What"));
    assert!(contains_words("it waits for ever.", "for ever") && !contains_words("for every client", "for ever"));
    assert_eq!(prose_of(r#"let a = f("one", b); // two"#), "one two");
    assert_eq!(prose_of("let blank = 1;"), "");
    assert_eq!(prose_of(r#""http://x" // y"#), "http://x y");
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
    "unasked",
];

const BANNED_PHRASES: &[&str] = &["see above", "as ever", "in vain", "for ever", "has its say", "without a word"];

fn starts_with_words(text: &str, words: &str) -> bool {
    text.strip_prefix(words).is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric()))
}

fn contains_words(text: &str, words: &str) -> bool {
    let is_letter = |c: char| c.is_alphanumeric();
    text.match_indices(words)
        .any(|(at, _)| !text[..at].ends_with(is_letter) && !text[at + words.len()..].starts_with(is_letter))
}

/// The string literals and the comment of a line of code.
fn prose_of(line: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let mut rest = line;
    loop {
        let (quote, comment) = (rest.find('"'), rest.find("//"));
        match (quote, comment) {
            (Some(quote), comment) if comment.is_none_or(|comment| quote < comment) => {
                let inside = &rest[quote + 1..];
                let end = inside.find('"').unwrap_or(inside.len());
                parts.push(&inside[..end]);
                rest = inside.get(end + 1..).unwrap_or_default();
            }
            (_, Some(comment)) => {
                parts.push(rest[comment..].trim_start_matches(['/', '!']).trim());
                break;
            }
            _ => break,
        }
    }
    parts.join(" ")
}

/// The path and text of every source file and document.
fn texts() -> Vec<(String, String)> {
    let mut files = Vec::new();
    for folder in ["src", "tests", "benches", "docs", "fuzz/fuzz_targets"] {
        collect(&root().join(folder), &mut files);
    }
    for file in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"] {
        files.push(root().join(file));
    }
    let texts: Vec<_> = files
        .iter()
        .filter(|file| file.extension().is_some_and(|extension| extension == "rs" || extension == "md"))
        .map(|file| {
            let name = file.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            (name.clone(), read(&name))
        })
        .collect();
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
