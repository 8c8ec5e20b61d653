//! The script for bash. Descriptions are shown when bash lists several candidates, after the second Tab.

use super::{HELP, RUN, all_patterns, commands, paths, quoted};
use crate::cli::table::{Operands, Opt, ValueKind};

pub(super) fn script() -> String {
    let mut script = String::from(START);
    script.extend(["            '", HELP, "') ;;\n"]);
    script.extend(["            ", &paths(), ") at+=\" ${COMP_WORDS[i]}\" ;;\n"]);
    script.extend(["            ", &all_patterns(&Opt::takes_value), ")\n", SKIP_VALUE]);
    script.extend(["            '", RUN, " --') _spectral_program $((i + 1)); return ;;\n"]);
    script.extend(["            '", RUN, " -'*) ;;\n"]);
    script.extend(["            '", RUN, " '*) _spectral_program $i; return ;;\n"]);
    script.push_str("        esac\n    done\n    case \"$at $prev\" in\n");
    for (value, reply) in [(ValueKind::File, "_spectral_paths -f"), (ValueKind::Directory, "_spectral_paths -d")] {
        script.extend(["        ", &all_patterns(&|option| option.value == value), ") ", reply, "; return ;;\n"]);
    }
    script.extend(["        ", &all_patterns(&|option| matches!(option.value, ValueKind::Text(_))), ") return ;;\n"]);
    for (path, command) in commands() {
        for option in command.options().into_iter().filter(|option| !option.value.words().is_empty()) {
            script.extend(["        ", &super::patterns(&path, option), ") "]);
            script.extend(["words=", &quoted(&option.value.words().join("\n")), " at=value ;;\n"]);
        }
    }
    script.push_str("    esac\n    case \"$at\" in\n");
    for (path, command) in commands() {
        let mut lines = Vec::new();
        for option in command.options() {
            lines.extend(option.names().into_iter().map(|name| [&name, "\t", option.brief].concat()));
        }
        script.extend(["        ", &quoted(&path), ")\n            options=", &quoted(&lines.join("\n")), "\n"]);
        let words = match command.operands {
            Operands::Subcommand(commands) => commands
                .iter()
                .map(|command| [command.name, "\t", command.brief].concat())
                .collect::<Vec<_>>()
                .join("\n"),
            Operands::One(value) | Operands::Many(value) => match value {
                ValueKind::File => {
                    script.push_str("            [[ $cur == -* ]] || { _spectral_paths -f; return; }\n");
                    String::new()
                }
                other => other.words().join("\n"),
            },
            Operands::Program => {
                script.push_str("            [[ $cur == -* ]] || { _spectral_program $COMP_CWORD; return; }\n");
                String::new()
            }
            Operands::None => String::new(),
        };
        script.extend(["            words=", &quoted(&words), "\n            ;;\n"]);
    }
    script.push_str(END);
    script
}

const START: &str = r#"# bash completion for spectral

# Completes the paths of files (-f) or directories (-d).
_spectral_paths() {
    local IFS=$'\n'
    compopt -o filenames 2>/dev/null
    COMPREPLY=($(compgen "$1" -- "$cur"))
}

# Completes the program that begins at this word, and its arguments.
_spectral_program() {
    if declare -F _comp_command_offset >/dev/null; then
        _comp_command_offset "$1"
    elif declare -F _command_offset >/dev/null; then
        _command_offset "$1"
    elif ((COMP_CWORD == $1)); then
        compopt -o filenames 2>/dev/null
        COMPREPLY=($(compgen -c -- "$cur"))
    else
        _spectral_paths -f
    fi
}

_spectral() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} at= i line options= words=
    COMPREPLY=()
    # bash splits --option=value into three words.
    if [[ $cur == = ]]; then
        cur=
    elif [[ $prev == = ]]; then
        prev=${COMP_WORDS[COMP_CWORD-2]}
    fi
    for ((i = 1; i < COMP_CWORD; i++)); do
        case "$at ${COMP_WORDS[i]}" in
"#;

const SKIP_VALUE: &str =
    "                ((++i))\n                [[ ${COMP_WORDS[i]-} != = ]] || ((++i))\n                ;;\n";

const END: &str = r#"    esac
    [[ $cur != -* ]] || words=$options
    while IFS= read -r line; do
        [[ -z $line || $line != "$cur"* ]] || COMPREPLY+=("$line")
    done <<< "$words"
    # Descriptions are added if bash only lists the candidates: ? (63), ! (33) or @ (64).
    if [[ ${#COMPREPLY[@]} -gt 1 && ${COMP_TYPE-} =~ ^(63|33|64)$ ]]; then
        for i in "${!COMPREPLY[@]}"; do
            line=${COMPREPLY[i]}
            [[ $line != *$'\t'* ]] || printf -v line '%-22s  (%s)' "${line%%$'\t'*}" "${line#*$'\t'}"
            COMPREPLY[i]=${line:0:${COLUMNS:-80}}
        done
    elif [[ ${#COMPREPLY[@]} -gt 0 ]]; then
        COMPREPLY=("${COMPREPLY[@]%%$'\t'*}")
    fi
}

complete -F _spectral spectral
"#;
