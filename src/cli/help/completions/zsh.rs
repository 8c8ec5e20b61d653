//! The script for zsh.

use super::{HELP, RUN, all_patterns, commands, paths, quoted};
use crate::cli::table::{Operands, Opt, ValueKind};

pub(super) fn script() -> String {
    let mut script = String::from(START);
    script.extend(["            ('", HELP, "') skip=$i ;;\n"]);
    script.extend(["            (", &paths(), ") at+=\" $words[i]\"; skip=$i ;;\n"]);
    script.extend(["            (", &all_patterns(&Opt::takes_value), ") ((i++)) ;;\n"]);
    script.extend(["            ('", RUN, " '*) break ;;\n"]);
    script.push_str(AFTER_WALK);
    for (path, command) in commands() {
        script.extend(["        (", &quoted(&path), ")\n"]);
        let operand = match command.operands {
            Operands::None => String::new(),
            Operands::Program => "'*::: :_normal'".into(),
            Operands::One(value) => ["'1:", &action(value), "'"].concat(),
            Operands::Many(value) => ["'*:", &action(value), "'"].concat(),
            Operands::Subcommand(commands) => {
                let list: Vec<_> =
                    commands.iter().map(|command| quoted(&[command.name, ":", command.brief].concat())).collect();
                script.extend(["            subcommands=(", &list.join(" "), ")\n"]);
                "'1: :{_describe command subcommands}'".into()
            }
        };
        // Options after the program to run belong to that program.
        let only_first = if matches!(command.operands, Operands::Program) { "-A '-*' " } else { "" };
        script.extend(["            _arguments -s -S ", only_first, "\\\n"]);
        for option in command.options() {
            script.extend(["                ", &spec(option), " \\\n"]);
        }
        script.extend(["                ", &operand, "\n            ;;\n"]);
    }
    script.push_str(END);
    script
}

/// Returns `'*'{-o+,--output=}'[Bundle to write]:file:_files'`. The star allows the option more than once.
fn spec(option: &Opt) -> String {
    let (short, long) = if option.takes_value() { ("+", "=") } else { ("", "") };
    let names = match option.short {
        Some(name) => ["{-", &String::from(name), short, ",--", option.long, long, "}"].concat(),
        None => ["--", option.long, long].concat(),
    };
    let brief = option.brief.replace('\\', "\\\\").replace('[', "\\[").replace(']', "\\]").replace(':', "\\:");
    let value = if option.takes_value() { [":", &action(option.value)].concat() } else { String::new() };
    ["'*'", &names, &quoted(&["[", &brief, "]", &value].concat())].concat()
}

/// Returns the message and the action that complete a value.
fn action(value: ValueKind) -> String {
    match value {
        ValueKind::None | ValueKind::MayBeOneOf(_) | ValueKind::Command => " : ".into(),
        ValueKind::File => "file:_files".into(),
        ValueKind::Directory => "directory:_files -/".into(),
        ValueKind::OneOf(words) => ["value:(", &words.join(" "), ")"].concat(),
        ValueKind::Text(name) => [name.split(' ').next().unwrap_or_default(), ": "].concat(),
    }
}

const START: &str = r#"#compdef spectral
# zsh completion for spectral

_spectral() {
    local at= i skip=1
    local -a subcommands
    for ((i = 2; i < CURRENT; i++)); do
        case "$at $words[i]" in
"#;

const AFTER_WALK: &str = r#"        esac
    done
    shift $((skip - 1)) words
    ((CURRENT -= skip - 1))
    case "$at" in
"#;

const END: &str = r#"    esac
}

if [[ $funcstack[1] == _spectral ]]; then
    _spectral "$@"
else
    compdef _spectral spectral
fi
"#;
