//! The options of the commands under `ca`.

use super::Task;
use super::parser::Args;
use super::values::{choice, operand_choice, output_path, socket_address};
use crate::cli::address::reachable;
use crate::cli::ca::{Action, Execution, Format, Request, Shell, find_guide};
use crate::cli::table::options::*;
use spectral_capture::Config;

/// Reads the options of `spectral ca NAME`.
pub(super) fn read(name: &str, args: &Args) -> Result<Task, String> {
    let proxy = socket_address(args, Config::capture("").listen, 1)?;
    let shell = choice(args, &SHELL, Shell::from_name)?.unwrap_or(Shell::Sh);
    let execution = if args.has(&DRY_RUN) { Execution::DryRun } else { Execution::Real };
    let action = match name {
        "path" => Action::Path,
        "show" => Action::Show,
        "export" => Action::Export {
            format: choice(args, &CERTIFICATE_FORMAT, Format::from_name)?.unwrap_or(Format::Pem),
            output: output_path(args, &OUTPUT_OR_STDOUT),
        },
        "env" if args.has(&UNSET) => Action::UnsetEnv(shell),
        "env" => Action::Env { shell, proxy: reachable(proxy) },
        "install" => Action::Install(execution),
        "uninstall" => Action::Uninstall(execution),
        _ => Action::Help(operand_choice(args, "platform", find_guide)?, proxy),
    };
    Ok(Task::Ca(Request { action, dir: args.path(&CA_DIR) }))
}
