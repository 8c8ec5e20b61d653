//! `spectral capture redact` on random secrets in every grammar, checked with the parsers of Python and jq.

use crate::support::TempDir;
use crate::support::cli::spectral;
use crate::support::peers::{peer, run, script};
use std::process::Command;

#[test]
fn no_part_of_a_secret_survives_and_texts_stay_well_formed() {
    let (Some(_), Some(_)) = (peer("python3"), peer("jq")) else { return };
    let dir = TempDir::new();
    let output =
        |program: &str, args: &[&str]| run(Command::new(program).args(args).current_dir(dir.path())).ok().text();
    let script = script("redact_secrets.py");
    let python = |args: &[&str]| output("python3", &[&[script.to_str().unwrap()], args].concat());
    for seed in ["1", "2", "3"] {
        python(&["make", seed, "a.zip"]);
        spectral(&dir, &["capture", "redact", "a.zip", "-o", "b.zip"]).ok();
        let checked = python(&["check", seed, "b.zip", "documents"]);
        assert!(checked.contains("secrets, 700 texts"), "{checked}");
        let names = output("jq", &["-c", "keys_unsorted", "documents"]);
        assert!(
            names.lines().count() > 10 && names.lines().all(|line| line.starts_with("[\"a\",\"none\",")),
            "{names}"
        );
        let clean = spectral(&dir, &["capture", "redact", "--check", "b.zip"]);
        assert_eq!(clean.code, Some(0), "{}", clean.text());
    }
}
