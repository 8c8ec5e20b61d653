//! Checks every entry of the table in each text made from it. Real shells run the scripts, and formatters the man page.

use super::completions::CompletionShell;
use super::*;
use crate::cli::args;
use crate::cli::table::Operands;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::process::Command as Program;

/// Returns the path to every command and group, the program included.
fn paths() -> Vec<Vec<&'static Command>> {
    let mut paths = vec![vec![&SPECTRAL]];
    for (words, _) in below(&SPECTRAL) {
        let mut path = vec![&SPECTRAL];
        for word in words.split(' ') {
            path.push(path.last().unwrap().subcommand(word).unwrap());
        }
        paths.push(path);
    }
    paths
}

fn name_of(path: &[&'static Command]) -> String {
    path.iter().skip(1).map(|command| command.name).collect::<Vec<_>>().join(" ")
}

/// Returns the usage error of `spectral COMMAND ARGS`; empty if there is none.
fn usage_error(command: &str, args: &[&str]) -> String {
    let words = ["spectral"].into_iter().chain(command.split_whitespace()).chain(args.iter().copied());
    args::parse(words.map(OsString::from)).err().unwrap_or_default()
}

#[test]
fn every_command_takes_the_options_of_the_table_and_no_others() {
    let all: BTreeSet<String> =
        paths().iter().flat_map(|path| path.last().unwrap().options()).flat_map(Opt::names).collect();
    assert!(all.len() > 40, "{all:?}");
    for path in paths() {
        let (name, command) = (name_of(&path), *path.last().unwrap());
        let declared: BTreeSet<String> = command.options().into_iter().flat_map(Opt::names).collect();
        assert_eq!(declared.len(), command.options().into_iter().flat_map(Opt::names).count(), "{name}: a name twice");
        for option in &all {
            let is_unknown = usage_error(&name, &[option]).starts_with("unknown option");
            assert_eq!(is_unknown, !declared.contains(option), "{name} {option}");
        }
        for option in command.options() {
            for given in option.names() {
                let error = usage_error(&name, &[&given]);
                let needs_value = error == format!("option '{given}' needs a value");
                assert_eq!(needs_value, option.takes_value(), "{name} {given}: {error}");
            }
            for word in option.value.words() {
                let error = usage_error(&name, &[&format!("--{}={word}", option.long)]);
                assert!(!error.starts_with("invalid"), "{name} --{} {word}: {error}", option.long);
            }
        }
        if let Operands::One(value) = command.operands {
            for word in value.words() {
                assert_eq!(usage_error(&name, &[word]), "", "{name} {word}");
            }
        }
    }
}

#[test]
fn every_trust_guide_is_a_platform_of_ca_help() {
    let ca_help = SPECTRAL.subcommand("ca").and_then(|ca| ca.subcommand("help")).unwrap();
    let names: Vec<_> = spectral_capture::TRUST_GUIDES.iter().map(|guide| guide.name).collect();
    let platforms = [&names[..], &["apparmor"]].concat();
    assert!(matches!(ca_help.operands, Operands::One(value) if value.words() == platforms), "{platforms:?}");
    assert!(names.iter().all(|name| ca_help.brief.contains(name)), "{}", ca_help.brief);
}

#[test]
fn every_command_of_the_table_is_run() {
    for path in paths() {
        let error = usage_error(&name_of(&path), &[]);
        let is_group = !path.last().unwrap().subcommands().is_empty();
        let is_missing = error.starts_with("missing command: ") || error.starts_with("missing subcommand: ");
        assert_eq!(is_missing, is_group, "{}: {error}", name_of(&path));
    }
}

/// An option that no reader names would be accepted and ignored.
#[test]
fn every_option_of_the_table_is_read() {
    let readers = [
        include_str!("../args.rs"),
        include_str!("../args/bundles.rs"),
        include_str!("../args/ca.rs"),
        include_str!("../args/capture.rs"),
        include_str!("../args/filter.rs"),
        include_str!("../args/parser.rs"),
        include_str!("../args/values.rs"),
    ]
    .concat();
    let words: BTreeSet<_> = readers.split(|c: char| !c.is_alphanumeric() && !"_&".contains(c)).collect();
    let is_read = |name: &str| words.contains(&*format!("&{name}"));
    let mut count = 0;
    for declaration in include_str!("../table/options.rs").split("pub(crate) static ").skip(1) {
        let name = declaration.split(':').next().unwrap();
        // A variant is read by the name of the option that it varies.
        let base =
            declaration.split("..").nth(1).and_then(|rest| rest.split(|c: char| !c.is_uppercase() && c != '_').next());
        let base = base.filter(|base| !base.is_empty());
        assert!(is_read(name) || base.is_some_and(is_read), "{name} is declared and not read");
        count += 1;
    }
    assert!(count > 35, "the declarations were not found");
}

#[test]
fn every_command_and_option_is_in_help_man_and_completions() {
    let man = man::page().replace("\\-", "-");
    let scripts = [CompletionShell::Bash.script(), CompletionShell::Zsh.script(), CompletionShell::Fish.script()];
    for path in paths() {
        let (name, command) = (name_of(&path), *path.last().unwrap());
        let (short, long) = (text(&path, Length::Short), text(&path, Length::Long));
        let is_group = !command.subcommands().is_empty();
        for (inner, inner_command) in below(command) {
            if inner_command.subcommands().is_empty() {
                assert!(
                    short.contains(&format!("\n  {inner}  ")) || short.contains(&format!("\n  {inner} ")),
                    "{short}"
                );
                assert!(long.contains(&format!("\nspectral {name} {inner}").replace("  ", " ")), "{long}");
            }
        }
        assert!(is_group || man.contains(&format!(".SS spectral {name}")), "{name} in {man}");
        let quoted_brief = command.brief.replace('\'', "'\\''");
        for (at, script) in scripts.iter().enumerate() {
            assert!(path.len() == 1 || script.contains(&quoted_brief), "{name} in script {at}");
        }
        for option in command.options() {
            let signature = option.signature();
            let shown = is_group && !command.options.iter().any(|own| own.long == option.long);
            assert!(shown || short.contains(&format!("  {signature}  ")), "{signature} in {short}");
            assert!(long.contains(signature.trim_start()), "{signature} in {long}");
            assert!(man.contains(&format!(".B {}", signature.trim_start())), "{signature} in the man page");
            for (script, quote) in scripts.iter().zip([false, true, false]) {
                let brief = option.brief.replace('\'', "'\\''");
                let brief =
                    if quote { brief.replace('[', "\\[").replace(']', "\\]").replace(':', "\\:") } else { brief };
                assert!(script.contains(&brief), "{name} {signature}: {brief} in {script}");
                let fish = format!(" -l {}", option.long);
                assert!(script.contains(&format!("--{}", option.long)) || script.contains(&fish), "{signature}");
            }
        }
    }
}

#[test]
fn descriptions_are_plain_and_alike() {
    let mut texts = Vec::new();
    for path in paths() {
        let command = *path.last().unwrap();
        texts.push((command.brief, command.more));
        texts.extend(command.options().into_iter().map(|option| (option.brief, option.more)));
    }
    for (brief, more) in texts {
        assert!(brief.starts_with(|c: char| c.is_ascii_uppercase()), "begins with a capital: {brief:?}");
        assert!(!brief.ends_with(['.', ' ']) && !brief.contains('\n'), "one line, no full stop: {brief:?}");
        assert!(
            more.is_empty() || more.ends_with('.') || more.lines().last().unwrap().starts_with(EXAMPLE),
            "{more:?}"
        );
        let prose = format!("{brief} {more}").to_lowercase();
        let words: Vec<_> = prose.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        for banned in BANNED_WORDS.split_whitespace() {
            assert!(!words.contains(&banned), "{banned} in {prose}");
        }
        for banned in BANNED_PHRASES.trim().split('/') {
            assert!(!prose.contains(banned), "{banned} in {prose}");
        }
    }
}

/// Private words, and second names for exchange and WebSocket.
const BANNED_WORDS: &str = "
    blank blanks nobody somebody whoever lent lend owed owes crew hire told tells says speaks anew meanwhile whose whom
    traces sockets folder please
";

const BANNED_PHRASES: &str = "
    is no /that of/as ever/in vain/where to/what is/so that it
";

#[test]
fn help_is_aligned_and_at_most_100_columns_wide() {
    for path in paths() {
        for length in [Length::Short, Length::Long] {
            let help = text(&path, length);
            for line in help.lines() {
                assert!(line.chars().count() <= WIDTH && line == line.trim_end(), "{line:?}");
            }
        }
        let command = *path.last().unwrap();
        if command.subcommands().is_empty() {
            let help = text(&path, Length::Short);
            let column = |option: &Opt| {
                let line =
                    help.lines().find(|line| line.starts_with("  ") && line.contains(&option.signature())).unwrap();
                line.find(&format!("  {}", option.brief)).unwrap()
            };
            let columns: BTreeSet<_> = command.options().into_iter().map(column).collect();
            assert_eq!(columns.len(), 1, "{help}");
            assert_eq!(help.lines().count(), command.options().len() + 6, "one line for each option: {help}");
        }
    }
    assert!(text(&[&SPECTRAL], Length::Short).lines().count() < 25, "one screen");
}

/// Runs `program` with `args` and returns its stdout and stderr; `None` if it is not installed and not required.
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
        assert!(!required.split(',').any(|name| name == program), "{program} is required and not installed");
        // The test harness hides a passing test's output, but not this stream.
        writeln!(std::io::stderr(), "skipped, no {program}: completions or the man page").ok();
        return None;
    };
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program}: {output:?}");
    Some((String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap()))
}

/// Returns bash's candidates for the last word of `line`. `before` runs first.
fn bash_candidates(line: &str, before: &str) -> Option<Vec<String>> {
    let words: Vec<_> = line.split(' ').map(|word| format!("'{word}'")).collect();
    let script = format!(
        "{}\n{before}\nCOMP_WORDS=({}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _spectral; \
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        CompletionShell::Bash.script(),
        words.join(" ")
    );
    let (candidates, errors) = run("bash", &["--norc", "-u"], &script)?;
    assert_eq!(errors, "", "{line}");
    Some(candidates.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

#[test]
fn bash_completes_commands_options_and_values() {
    for (line, expected) in [
        ("spectral c", &["capture", "ca", "completions"][..]),
        ("spectral capture re", &["redact", "recover"]),
        ("spectral help capture re", &["redact", "recover"]),
        ("spectral capture inspect --f", &["--follow"]),
        ("spectral capture inspect x.zip --j", &["--json"]),
        ("spectral capture proxy --j", &[]),
        ("spectral capture proxy --v", &["--verbose", "--version"]),
        ("spectral capture export x.zip --format ", &["har", "curl", "html", "openapi"]),
        ("spectral capture export x.zip --format = c", &["curl"]),
        ("spectral capture export x.zip --format = har --ho", &["--host"]),
        ("spectral ca export --format p", &["pem", "p12"]),
        ("spectral ca --ca-dir src ex", &["export"]),
        ("spectral ca help c", &["chrome"]),
        ("spectral completions z", &["zsh"]),
        ("spectral capture inspect Cargo.t", &["Cargo.toml"]),
        ("spectral capture proxy -o Cargo.t", &["Cargo.toml"]),
        ("spectral capture proxy --ca-dir sr", &["src"]),
        ("spectral capture proxy -p ", &[]),
    ] {
        let Some(candidates) = bash_candidates(line, "") else {
            return;
        };
        assert_eq!(candidates, expected, "{line}");
    }
}

#[test]
fn bash_shows_descriptions_when_it_lists_candidates() {
    let Some(listed) = bash_candidates("spectral capture re", "COMP_TYPE=63 COLUMNS=50") else {
        return;
    };
    let expected =
        ["redact                  (Write a copy of a bundle ", "recover                 (Make a bundle from an int"];
    assert_eq!(listed, expected);
    let only = bash_candidates("spectral capture red", "COMP_TYPE=63").unwrap();
    assert_eq!(only, ["redact"], "a single candidate is inserted");
}

#[test]
fn bash_completes_the_program_and_its_arguments() {
    // As in bash-completion; the index is the program's position in the line.
    let offset = "_command_offset() { COMPREPLY=(\"$1\"); }";
    for (line, expected) in [
        ("spectral capture run -- gi", "4"),
        ("spectral capture run -- git com", "4"),
        ("spectral capture run -o x.zip git com", "5"),
        ("spectral capture run --output = x.zip -v git -- --h", "7"),
        ("spectral capture run gi", "3"),
    ] {
        let Some(offered) = bash_candidates(line, offset) else {
            return;
        };
        assert_eq!(offered, [expected], "{line}");
    }
    assert!(bash_candidates("spectral capture run -- bas", "").unwrap().contains(&"bash".to_owned()));
    assert_eq!(bash_candidates("spectral capture run cat Cargo.t", "").unwrap(), ["Cargo.toml"]);
    assert_eq!(bash_candidates("spectral capture run --outp", offset).unwrap(), ["--output"]);
}

/// Runs an interactive zsh on a pseudo-terminal. `$1` is a directory with the completions in `_spectral`; the other arguments
/// are lines. Writes each line, and the candidates for its last word, to stdout.
const ZSH_DRIVER: &str = r#"
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "cd $PWD; dir=$1; source $1/setup"
shift
for line in "$@"; do
    zpty -w -n shell "$line"$'\C-x'
    zpty -r shell output '*DONE*'
done
"#;

/// Records what completion functions pass to `compadd`.
const ZSH_SETUP: &str = r#"
PS1=
autoload -Uz compinit
compinit -D -u
source $dir/_spectral
compadd() {
    local -a candidates
    if [[ "${@[1,(i)(-|--)]}" != *-[OAD]* ]]; then
        builtin compadd -O candidates "$@"
        print -rl -- $candidates >> $dir/candidates
    fi
    builtin compadd "$@"
}
zle -C list list-choices _main_complete
complete-and-clear() {
    print -r -- "> $BUFFER" >> $dir/candidates
    zle list
    BUFFER=
    print DONE
}
zle -N complete-and-clear
bindkey '^X' complete-and-clear
"#;

#[test]
fn zsh_completes_commands_options_values_and_the_program() {
    let cases = [
        ("spectral c", "capture ca completions"),
        ("spectral capture re", "redact recover"),
        ("spectral help capture re", "redact recover"),
        ("spectral capture inspect --fo", "--follow"),
        ("spectral capture inspect x.zip --js", "--json"),
        ("spectral capture export x.zip --format ", "har curl html openapi"),
        ("spectral capture export x.zip --format=", "har curl html openapi"),
        ("spectral ca --ca-dir src ex", "export"),
        ("spectral ca help c", "chrome"),
        ("spectral completions ", "bash zsh fish"),
        ("spectral capture proxy -o Cargo.t", "Cargo.toml"),
        ("spectral capture run --verb", "--verbose"),
        ("spectral capture run -- cat Cargo.t", "Cargo.toml"),
        ("spectral capture run -o x.zip cat Cargo.t", "Cargo.toml"),
        ("spectral capture run -- zmod", "zmodload"),
    ];
    let dir = std::env::temp_dir().join(format!("spectral-zsh-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    for (name, text) in [("_spectral", &*CompletionShell::Zsh.script()), ("setup", ZSH_SETUP), ("driver", ZSH_DRIVER)] {
        std::fs::write(dir.join(name), text).unwrap();
    }
    let driver = dir.join("driver");
    let args = ["-f", driver.to_str().unwrap(), dir.to_str().unwrap()].into_iter().chain(cases.map(|(line, _)| line));
    if run("zsh", &args.collect::<Vec<_>>(), "").is_some() {
        let found = std::fs::read_to_string(dir.join("candidates")).unwrap();
        let found: String = found.lines().filter(|line| !line.is_empty()).map(|line| format!("{line}\n")).collect();
        let expected: String =
            cases.iter().map(|(line, words)| format!("> {line}\n{}\n", words.replace(' ', "\n"))).collect();
        let sorted = |text: &str| {
            let mut groups: Vec<Vec<String>> = Vec::new();
            for line in text.lines() {
                match groups.last_mut() {
                    Some(group) if !line.starts_with('>') => group.push(line.to_owned()),
                    _ => groups.push(vec![line.to_owned()]),
                }
            }
            groups.iter_mut().for_each(|group| group.sort());
            groups
        };
        assert_eq!(sorted(&found), sorted(&expected));
    }
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn fish_completes_commands_options_values_and_the_program() {
    let cases = [
        ("spectral c", "ca capture completions"),
        ("spectral capture re", "recover redact"),
        ("spectral help capture re", "recover redact"),
        ("spectral capture inspect --fo", "--follow"),
        ("spectral capture export x.zip --format ", "curl har html openapi"),
        ("spectral ca --ca-dir src ex", "export"),
        ("spectral ca help c", "chrome"),
        ("spectral completions ", "bash fish zsh"),
        ("spectral capture proxy -p ", ""),
        ("spectral capture proxy -o Cargo.t", "Cargo.toml"),
        ("spectral capture proxy --ca-dir sr", "src/"),
        ("spectral capture run --verb", "--verbose"),
        ("spectral capture run -- cat --frob", "--frobnicate"),
        ("spectral capture run -o x.zip cat --frob", "--frobnicate"),
        ("spectral capture run -- cat Cargo.t", "Cargo.toml"),
        ("spectral capture run -- cat --verb", ""),
    ];
    let script = [&*CompletionShell::Fish.script(), "complete -c cat -l frobnicate\n"].concat();
    let script =
        cases.iter().fold(script, |script, (line, _)| script + &format!("echo '> {line}'; complete -C '{line}'\n"));
    if let Some((found, errors)) = run("fish", &["--no-config"], &script) {
        let expected =
            cases.map(|(line, words)| format!("> {line}\n{}\n", words.replace(' ', "\n")).replace("\n\n", "\n"));
        let words: String = found.lines().map(|line| format!("{}\n", line.split('\t').next().unwrap())).collect();
        assert_eq!((words.as_str(), errors.as_str()), (expected.concat().as_str(), ""));
        assert!(found.contains("redact\tWrite a copy of a bundle"), "{found}");
    }
}

#[test]
fn the_man_page_is_formatted_without_a_complaint() {
    let page = man::page();
    if let Some((formatted, errors)) = run("groff", &["-man", "-Tutf8", "-ww", "-P-c"], &page) {
        assert_eq!(errors, "");
        // Bold letters are overstruck: a letter, a backspace, and the letter again.
        let mut plain = String::new();
        for c in formatted.chars() {
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
