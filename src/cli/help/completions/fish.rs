//! The script for fish.

use super::{HELP, RUN, all_patterns, commands, paths, quoted};
use crate::cli::table::{Operands, Opt, ValueKind};

pub(super) fn script() -> String {
    let alternatives = |patterns: &str| patterns.replace('|', " ");
    let mut script = String::from(START);
    script.extend(["            case '", HELP, "'\n"]);
    script.extend(["            case ", &alternatives(&paths()), "\n                set at \"$at $word\"\n"]);
    script.extend([
        "            case ",
        &alternatives(&all_patterns(&Opt::takes_value)),
        "\n                set skip 1\n",
    ]);
    script.extend(["            case '", RUN, " --'\n                set at \"$at --\"\n                break\n"]);
    script.extend(["            case '", RUN, " -*'\n            case '", RUN, " *'\n"]);
    script.push_str(AFTER_WALK);
    for (path, command) in commands() {
        let start = ["complete -c spectral -n \"__spectral_at ", &quoted(&path), "\""].concat();
        for option in command.options() {
            let required = match option.value {
                ValueKind::None => "",
                ValueKind::File => " -r",
                _ => " -x",
            };
            script.push_str(&start);
            if let Some(short) = option.short {
                script.extend([" -s ", &String::from(short)]);
            }
            script.extend([" -l ", option.long, required, &action(option.value), " -d ", &quoted(option.brief), "\n"]);
        }
        match command.operands {
            Operands::None => {}
            Operands::One(value) | Operands::Many(value) => script.extend([&start[..], &action(value), "\n"]),
            Operands::Subcommand(commands) => {
                for command in commands {
                    script.extend([&start, " -a ", command.name, " -d ", &quoted(command.brief), "\n"]);
                }
            }
            Operands::Program => {
                let with_value: Vec<_> =
                    command.options().into_iter().filter(|option| option.takes_value()).flat_map(Opt::names).collect();
                for state in ["", " --"] {
                    script.extend(["complete -c spectral -n \"__spectral_at '", RUN, state, "'\" -a "]);
                    script.extend(["'(__fish_complete_subcommand --fcs-skip=3 ", &with_value.join(" "), ")'\n"]);
                }
            }
        }
    }
    script
}

/// Returns the arguments of `complete` for a value.
fn action(value: ValueKind) -> String {
    match value {
        ValueKind::None | ValueKind::MayBeOneOf(_) | ValueKind::Command | ValueKind::Text(_) => String::new(),
        ValueKind::File => " -F".into(),
        ValueKind::Directory => " -a '(__fish_complete_directories)'".into(),
        ValueKind::OneOf(words) => [" -a '", &words.join(" "), "'"].concat(),
    }
}

const START: &str = r#"# fish completion for spectral

# Succeeds if the words before the cursor lead to this command. Within the program of 'capture run', the path ends with --.
function __spectral_at
    set -l at ''
    set -l skip
    for word in (commandline -opc)[2..]
        if set -q skip[1]
            set skip
            continue
        end
        switch "$at $word"
"#;

const AFTER_WALK: &str = r#"                set at "$at --"
                break
        end
    end
    test "$at" = "$argv[1]"
end

complete -c spectral -f
"#;
