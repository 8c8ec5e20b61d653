//! The table is held to what the command line accepts, and what is made of it to what shells and formatters make of it.

use super::completions::Shell;
use super::*;
use crate::cli::args;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::process::Command as Program;

/// Whether the command line knows `option` in `command`.
fn is_known(command: &str, option: &str) -> bool {
    let words = ["spectral"].into_iter().chain(command.split(' ')).chain([option]);
    match args::parse(words.map(OsString::from)) {
        Ok(_) => true,
        // What else is missing or wrong does not matter.
        Err(said) => !said.contains("invalid option"),
    }
}

#[test]
fn every_command_has_the_options_of_the_table_and_no_others() {
    let all: BTreeSet<_> =
        OPTIONS.iter().flat_map(|o| [Some(format!("--{}", o.long)), o.short.map(|s| format!("-{s}"))]).collect();
    for command in COMMANDS {
        let has: BTreeSet<_> = options_of(command)
            .flat_map(|o| [Some(format!("--{}", o.long)), o.short.map(|s| format!("-{s}"))])
            .collect();
        for option in all.iter().flatten() {
            let listed = has.contains(&Some(option.clone()));
            assert_eq!(is_known(command.words, option), listed, "{} {option}", command.words);
        }
        for option in ["-h", "--help", "-V", "--version"] {
            assert!(is_known(command.words, option), "{} {option}", command.words);
        }
    }
}

/// The table has every option that the sources name, so that the test above asks for every one.
#[test]
fn every_option_that_is_read_is_in_the_table() {
    let sources = [include_str!("../args.rs"), include_str!("../args/bundles.rs"), include_str!("../args/ca.rs")];
    let known: BTreeSet<_> = OPTIONS.iter().map(|option| option.long).chain(["help", "version"]).collect();
    let mut found = BTreeSet::new();
    for source in sources {
        let code = source.split("#[cfg(test)]").next().unwrap();
        for rest in code.split("Long(").skip(1) {
            let names = rest.split(") ").next().unwrap().split("),").next().unwrap().split(')').next().unwrap();
            found.extend(names.split('"').skip(1).step_by(2));
        }
    }
    assert!(found.len() > 30 && found.contains("grep"), "the sources are not read as they are written: {found:?}");
    assert_eq!(found.difference(&known).collect::<Vec<_>>(), Vec::<&&str>::new());
}

#[test]
fn help_shows_every_command_and_option() {
    let (short, long) = (text(&[""; 0], Length::Short), text(&[""; 0], Length::Long));
    let made =
        [&long, &man::page().replace("\\-", "-"), &Shell::Bash.script(), &Shell::Zsh.script(), &Shell::Fish.script()];
    for command in COMMANDS {
        assert!(short.contains(&format!("spectral {}", command.words)), "{short}");
        for (at, text) in made.iter().enumerate() {
            let last = command.words.split(' ').next_back().unwrap();
            assert!(text.contains(last), "{} in {at}", command.words);
        }
        let own = text(&command.words.split(' ').collect::<Vec<_>>(), Length::Long);
        let brief = text(&command.words.split(' ').collect::<Vec<_>>(), Length::Short);
        for option in options_of(command) {
            let name = format!("--{}", option.long);
            assert!(own.contains(&name) && brief.contains(&name), "{} {name}", command.words);
            for (at, text) in made.iter().enumerate() {
                assert!(text.contains(&name) || text.contains(&format!("-l {}", option.long)), "{name} in {at}");
            }
        }
    }
    for option in OPTIONS {
        for words in option.of {
            assert!(COMMANDS.iter().any(|command| command.words == *words), "{words} has --{}", option.long);
        }
    }
    assert!(short.lines().count() < 25, "one screen");
    for line in long.lines().chain(short.lines()) {
        assert!(line.chars().count() <= WIDTH + 2, "{line}");
    }
}

#[test]
fn typing_errors_are_understood() {
    for (typed, meant) in
        [("captrue", Some("capture")), ("capture rnu", Some("capture run")), ("capture frobnicate", None), ("", None)]
    {
        assert_eq!(nearest_command(typed), meant, "{typed}");
    }
    for (typed, meant) in [("otput", Some("output")), ("jsn", Some("json")), ("json", None), ("frobnicate", None)] {
        assert_eq!(nearest_option(typed), meant, "{typed}");
    }
    for (from, to, expected) in [("", "", 0), ("", "ab", 2), ("ab", "", 2), ("kitten", "sitting", 3), ("ab", "ba", 2)] {
        assert_eq!(distance(from, to), expected, "{from} {to}");
    }
    assert!(listed_under("capture").starts_with("run, proxy") && listed_under("capture").ends_with(" or recover"));
}

/// `program` with `args`, if it is here; who wants it to be asks for it.
fn run(program: &str, args: &[&str], input: &str) -> Option<(String, String)> {
    use std::io::Write;
    let spawned = Program::new(program)
        .args(args)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn();
    let Ok(mut child) = spawned else {
        let required = std::env::var("SPECTRAL_REQUIRE_PEERS").unwrap_or_default();
        assert!(!required.split(',').any(|name| name == program), "{program} is required and not there");
        // Past the harness, which shows what a test prints only if it fails.
        writeln!(std::io::stderr(), "skipped, no {program}: completions or the man page").ok();
        return None;
    };
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program}: {output:?}");
    Some((String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap()))
}

/// What bash offers after `line`, the last word of which is under way.
fn completed(line: &str) -> Option<Vec<String>> {
    let words: Vec<_> = line.split(' ').map(|word| format!("'{word}'")).collect();
    let script = format!(
        "{}\nCOMP_WORDS=({}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _spectral; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        Shell::Bash.script(),
        words.join(" ")
    );
    let (said, complaint) = run("bash", &["--norc", "-u"], &script)?;
    assert_eq!(complaint, "");
    Some(said.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

#[test]
fn bash_completes_commands_options_and_values() {
    for (line, expected) in [
        ("spectral c", &["capture", "ca", "completions"][..]),
        ("spectral capture re", &["redact", "recover"]),
        ("spectral capture inspect --f", &["--follow"]),
        ("spectral capture inspect x.zip --j", &["--json"]),
        ("spectral capture proxy --j", &[]),
        ("spectral capture export x.zip --format ", &["har", "curl"]),
        ("spectral ca export --format p", &["pem", "p12"]),
        ("spectral ca help c", &["chrome"]),
        ("spectral completions z", &["zsh"]),
        ("spectral capture inspect Cargo.t", &["Cargo.toml"]),
        ("spectral capture proxy -o Cargo.t", &["Cargo.toml"]),
        ("spectral capture proxy --ca-dir sr", &["src"]),
        ("spectral capture proxy -p ", &[]),
    ] {
        let Some(offered) = completed(line) else {
            return;
        };
        assert_eq!(offered, expected, "{line}");
    }
}

#[test]
fn zsh_and_fish_read_their_completions() {
    run("zsh", &["-n"], &Shell::Zsh.script());
    let ask = "complete -C 'spectral capture export x.zip --format '; complete -C 'spectral capture re'; \
               complete -C 'spectral capture inspect --fo'; complete -C 'spectral c'";
    let script = format!("{}\n{ask}\n", Shell::Fish.script());
    if let Some((said, complaint)) = run("fish", &["--no-config"], &script) {
        let words: Vec<_> = said.lines().map(|line| line.split('\t').next().unwrap()).collect();
        let expected = ["curl", "har", "recover", "redact", "--follow", "ca", "capture", "completions"];
        assert_eq!((words, complaint.as_str()), (expected.to_vec(), ""));
    }
}

#[test]
fn the_man_page_is_formatted_without_a_complaint() {
    let page = man::page();
    if let Some((said, complaint)) = run("groff", &["-man", "-Tutf8", "-ww", "-P-c"], &page) {
        assert_eq!(complaint, "");
        // Letters in bold are struck twice.
        let mut plain = String::new();
        for c in said.chars() {
            match c {
                '\u{8}' => plain.truncate(plain.len() - plain.chars().next_back().map_or(0, char::len_utf8)),
                c => plain.push(c),
            }
        }
        for part in ["--passthrough-refused", "EXIT STATUS", "spectral capture run -- curl https", "'*.example.com'"] {
            assert!(plain.contains(part), "{part} in {plain}");
        }
    }
}
