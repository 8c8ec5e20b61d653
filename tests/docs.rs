//! Documents that can rot: what they name has to exist.

#![allow(clippy::panic, reason = "this is a test")]

use std::path::{Path, PathBuf};

#[test]
fn every_test_that_the_hazards_name_exists() {
    let hazards = read("docs/hazards.md");
    let named: Vec<_> = hazards.split('`').skip(1).step_by(2).filter_map(|code| code.split_once("::")).collect();
    assert!(named.len() > 30, "the table is not read as it is written");
    for (module, test) in named {
        let file = format!("tests/suite/{module}.rs");
        assert!(
            read(&file).contains(&format!("fn {test}()")),
            "{module}::{test} is named in docs/hazards.md and is no test"
        );
    }
}

#[test]
fn every_file_that_the_architecture_names_exists() {
    let architecture = read("ARCHITECTURE.md");
    let named = architecture.split('`').skip(1).step_by(2).filter(|code| code.ends_with(".rs") || code.ends_with('/'));
    let mut count = 0;
    for name in named {
        let found = ["", "src/"].iter().any(|under| root().join(under).join(name).exists());
        assert!(found, "{name} is named in ARCHITECTURE.md and is not there");
        count += 1;
    }
    assert!(count > 15, "the document is not read as it is written");
}

/// The two commands of the README are what CI runs.
#[test]
fn the_readme_says_how_to_build_and_test() {
    let readme = read("README.md");
    for command in ["cargo run --release -- capture proxy", "cargo test"] {
        assert!(readme.lines().any(|line| line == command), "{command}");
    }
}

fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}
