//! What shells need to complete our commands, options and their values.

use super::{COMMANDS, Command, Operand, Opt, Value, options_of};
use std::fmt::Write as _;

/// A shell that completes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Shell {
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "bash" => Some(Self::Bash),
            "zsh" => Some(Self::Zsh),
            "fish" => Some(Self::Fish),
            _ => None,
        }
    }

    /// The script.
    pub(crate) fn script(self) -> String {
        match self {
            Self::Bash => bash(),
            Self::Zsh => zsh(),
            Self::Fish => fish(),
        }
    }
}

/// The first words there are, and the second words of each.
fn words() -> (Vec<&'static str>, Vec<(&'static str, Vec<&'static str>)>) {
    let (mut first, mut second) = (Vec::new(), Vec::<(&str, Vec<&str>)>::new());
    for command in COMMANDS {
        let (one, two) = command.words.split_once(' ').unwrap_or((command.words, ""));
        if !first.contains(&one) {
            first.push(one);
        }
        if two.is_empty() {
            continue;
        }
        match second.iter_mut().find(|(known, _)| *known == one) {
            Some((_, twos)) => twos.push(two),
            None => second.push((one, vec![two])),
        }
    }
    (first, second)
}

/// Everywhere.
const COMMON: &str = "-h --help -V --version";

fn names(option: &Opt) -> Vec<String> {
    let long = format!("--{}", option.long);
    option.short.map(|short| format!("-{short}")).into_iter().chain([long]).collect()
}

fn bash() -> String {
    let (first, second) = words();
    let mut script = String::from(
        "# bash completion for spectral\n\
         _spectral() {\n    \
             local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command= words=() i at=0\n    \
             COMPREPLY=()\n    \
             for ((i = 1; i < COMP_CWORD && ${#words[@]} < 2; i++)); do\n        \
                 [[ ${COMP_WORDS[i]} == -* ]] || { words+=(\"${COMP_WORDS[i]}\"); at=$i; }\n    \
             done\n    \
             case \"${words[0]-}\" in\n",
    );
    for (one, _) in &second {
        let _ = writeln!(script, "        {one}) command=\"{one} ${{words[1]-}}\" ;;");
    }
    script.push_str("        *) command=${words[0]-} ;;\n    esac\n    case \"$command\" in\n");
    let _ =
        writeln!(script, "        '') COMPREPLY=($(compgen -W '{} {COMMON}' -- \"$cur\")); return ;;", first.join(" "));
    for (one, twos) in &second {
        let twos = twos.join(" ");
        let _ =
            writeln!(script, "        '{one} ') COMPREPLY=($(compgen -W '{twos} {COMMON}' -- \"$cur\")); return ;;");
    }
    script.push_str("    esac\n    case \"$command $prev\" in\n");
    for command in COMMANDS {
        for option in options_of(command) {
            let reply = match option.value {
                Value::None => continue,
                Value::File => "compgen -f -- \"$cur\"".to_owned(),
                Value::Folder => "compgen -d -- \"$cur\"".to_owned(),
                Value::Words(words) => format!("compgen -W '{}' -- \"$cur\"", words.join(" ")),
                Value::Text(_) => "true".to_owned(),
            };
            let patterns: Vec<_> = names(option).iter().map(|name| format!("'{} {name}'", command.words)).collect();
            let _ = writeln!(script, "        {}) COMPREPLY=($({reply})); return ;;", patterns.join("|"));
        }
    }
    script.push_str("    esac\n    case \"$command\" in\n");
    for command in COMMANDS {
        let options: Vec<_> = options_of(command).flat_map(names).collect();
        let options = format!("{} {COMMON}", options.join(" "));
        let options = format!("[[ $cur == -* ]] && COMPREPLY=($(compgen -W '{}' -- \"$cur\"))", options.trim_start());
        let operand = match command.operand {
            Operand::Nothing => "true".to_owned(),
            Operand::File => "COMPREPLY=($(compgen -f -- \"$cur\"))".to_owned(),
            Operand::Program => "COMPREPLY=($(compgen -c -f -- \"$cur\"))".to_owned(),
            Operand::Words(words) => format!("COMPREPLY=($(compgen -W '{}' -- \"$cur\"))", words.join(" ")),
        };
        let _ = writeln!(script, "        '{}') {options} || {operand} ;;", command.words);
    }
    // File names get their quotes and slashes from bash.
    script + "    esac\n}\ncomplete -o filenames -F _spectral spectral\n"
}

fn zsh() -> String {
    let (first, second) = words();
    let mut script = String::from("#compdef spectral\n# zsh completion for spectral\n_spectral() {\n");
    script.push_str("    local command=\"${words[2]}\" skip=2\n    case \"$command\" in\n");
    for (one, _) in &second {
        let _ = writeln!(script, "        {one}) command=\"{one} ${{words[3]}}\"; skip=3 ;;");
    }
    script.push_str("    esac\n    if (( CURRENT == 2 )); then\n");
    let _ = writeln!(script, "        compadd -- {} {COMMON}; return", first.join(" "));
    script.push_str("    elif (( CURRENT == 3 && skip == 3 )); then\n        case \"${words[2]}\" in\n");
    for (one, twos) in &second {
        let _ = writeln!(script, "            {one}) compadd -- {} {COMMON}; return ;;", twos.join(" "));
    }
    script.push_str(
        "        esac\n    fi\n    shift $((skip - 1)) words; (( CURRENT -= skip - 1 ))\n    case \"$command\" in\n",
    );
    for command in COMMANDS {
        let _ = writeln!(script, "        '{}')\n            _arguments -s \\", command.words);
        for option in options_of(command) {
            let value = match option.value {
                Value::None => String::new(),
                Value::File => ":file:_files".into(),
                Value::Folder => ":folder:_files -/".into(),
                Value::Words(words) => format!(":value:({})", words.join(" ")),
                Value::Text(name) => format!(":{}: ", name.split(' ').next().unwrap_or_default()),
            };
            let brief = option.brief.replace('\'', "'\\''").replace(':', "\\:").replace('[', "\\[").replace(']', "\\]");
            for name in names(option) {
                let _ = writeln!(script, "                '*{name}[{brief}]{value}' \\");
            }
        }
        let operand = match command.operand {
            Operand::Nothing => String::new(),
            Operand::File => " '*:file:_files'".into(),
            Operand::Program => " '*::command:_normal'".into(),
            Operand::Words(words) => format!(" '1:which:({})'", words.join(" ")),
        };
        let _ = writeln!(script, "                {{-h,--help}}'[help]' {{-V,--version}}'[version]'{operand} ;;");
    }
    script
        + "    esac\n}\nif [ \"$funcstack[1]\" = _spectral ]; then _spectral \"$@\"; else compdef _spectral spectral; fi\n"
}

fn fish() -> String {
    let (first, second) = words();
    let mut script = String::from(
        "# fish completion for spectral\n\
         function __spectral_words\n    \
             for word in (commandline -opc)[2..]\n        \
                 string match -q -- '-*' $word; or echo $word\n    \
             end\n\
         end\n\
         function __spectral_is\n    \
             string match -q -- (string join ' ' $argv '*') (string join ' ' (__spectral_words) '')\n\
         end\n\
         function __spectral_only\n    \
             test \"$argv\" = (string join ' ' (__spectral_words) '' | string trim)\n\
         end\n\
         complete -c spectral -f\n\
         complete -c spectral -s h -l help -d 'help'\n\
         complete -c spectral -s V -l version -d 'version'\n",
    );
    let _ = writeln!(script, "complete -c spectral -n '__spectral_only' -a '{}'", first.join(" "));
    for (one, twos) in &second {
        let _ = writeln!(script, "complete -c spectral -n '__spectral_only {one}' -a '{}'", twos.join(" "));
    }
    for command in COMMANDS {
        let when = format!("complete -c spectral -n '__spectral_is {}'", command.words);
        for option in options_of(command) {
            script.push_str(&when);
            let _ = option.short.map(|short| write!(script, " -s {short}"));
            let _ = write!(script, " -l {}", option.long);
            let _ = match option.value {
                Value::None => Ok(()),
                Value::File => write!(script, " -r -F"),
                Value::Folder => write!(script, " -x -a '(__fish_complete_directories)'"),
                Value::Words(words) => write!(script, " -x -a '{}'", words.join(" ")),
                Value::Text(_) => write!(script, " -x"),
            };
            let _ = writeln!(script, " -d '{}'", option.brief.replace('\'', "\\'"));
        }
        script.push_str(&operand(command, &when));
    }
    script
}

fn operand(command: &Command, when: &str) -> String {
    match command.operand {
        Operand::Nothing => String::new(),
        Operand::File => format!("{when} -F\n"),
        Operand::Program => format!("{when} -a '(__fish_complete_subcommand)'\n"),
        Operand::Words(words) => format!("{when} -a '{}'\n", words.join(" ")),
    }
}
