//! What stands after `spectral ca`.

use super::{Command, TRY, common, listen_address, no_command, port, said, value};
use crate::cli::address::reachable;
use crate::cli::ca::{Action, Execution, Format, Request, Shell, find_guide};
use lexopt::prelude::*;
use spectral_capture::{Config, TRUST_GUIDES};
use std::path::PathBuf;

/// Reads the rest of a command line.
///
/// # Errors
/// One line that says what makes no sense.
pub(super) fn parse(mut parser: lexopt::Parser) -> Result<Command, String> {
    let mut words = Vec::new();
    let mut given = Given::default();
    let mut proxy = Config::capture("").listen;
    let mut dir = None;
    while let Some(arg) = parser.next().map_err(said)? {
        let verb = words.first().map(String::as_str).unwrap_or_default();
        match arg {
            Long("ca-dir") => dir = Some(PathBuf::from(parser.value().map_err(said)?)),
            Long("format") if verb == "export" => {
                let name = value(&mut parser, "--format")?;
                given.format = Some(
                    Format::parse(&name)
                        .ok_or_else(|| format!("'{name}' is no format: give pem, der, p12 or mobileconfig"))?,
                );
            }
            Short('o') | Long("output") if verb == "export" => {
                given.output = Some(parser.value().map_err(said)?.into())
            }
            Long("shell") if verb == "env" => {
                let name = value(&mut parser, "--shell")?;
                given.shell =
                    Shell::parse(&name).ok_or_else(|| format!("'{name}' is no shell: give sh, fish or powershell"))?;
            }
            Long("unset") if verb == "env" => given.unset = true,
            Short('p') | Long("port") if matches!(verb, "env" | "help") => proxy.set_port(port(&mut parser)?),
            Long("listen") if matches!(verb, "env" | "help") => {
                proxy = listen_address(&value(&mut parser, "--listen")?, proxy.port())?;
            }
            Long("dry-run") if matches!(verb, "install" | "uninstall") => given.doing = Execution::DryRun,
            Value(word) if words.len() < 2 => words.push(word.string().map_err(said)?),
            other => match common(other)? {
                Some(command) => return Ok(command),
                None => continue,
            },
        }
    }
    let action = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["path"] => Action::Path,
        ["show"] => Action::Show,
        ["export"] => Action::Export { format: given.format.unwrap_or(Format::Pem), output: given.output },
        ["env"] if given.unset => Action::UnsetEnv(given.shell),
        ["env"] if proxy.port() == 0 => return Err("no proxy is found at port 0: give the one it listens on".into()),
        ["env"] => Action::Env { shell: given.shell, proxy: reachable(proxy) },
        ["install"] => Action::Install(given.doing),
        ["uninstall"] => Action::Uninstall(given.doing),
        ["help", name] => {
            Action::Help(find_guide(name).ok_or_else(|| format!("'{name}' is none of {}", known()))?, proxy)
        }
        ["help"] => return Err(format!("help with what? spectral ca help PLATFORM, one of {}", known())),
        [] => return Err(format!("what about the CA? path, show, export, env, install, uninstall or help: {TRY}")),
        ["path" | "show" | "export" | "env" | "install" | "uninstall", more] => {
            return Err(format!("unexpected argument {more:?}: {TRY}"));
        }
        _ => return Err(no_command(&format!("ca {}", words.join(" ")))),
    };
    Ok(Command::Ca(Request { action, dir }))
}

/// Options, as they were given or as they are otherwise.
struct Given {
    format: Option<Format>,
    output: Option<PathBuf>,
    shell: Shell,
    unset: bool,
    doing: Execution,
}

impl Default for Given {
    fn default() -> Self {
        Self { format: None, output: None, shell: Shell::Sh, unset: false, doing: Execution::Real }
    }
}

fn known() -> String {
    TRUST_GUIDES.iter().map(|platform| platform.name).collect::<Vec<_>>().join(", ")
}
