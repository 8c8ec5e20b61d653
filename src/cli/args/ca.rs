//! The options of the commands under `ca`.

use super::Task;
use super::parser::Args;
use super::values::{choice, operand_choice, output_path, socket_address};
use crate::cli::address::reachable;
use crate::cli::ca::{Action, EnvForm, Execution, Format, Request, Shell, find_guide};
use crate::cli::table::options::*;
use spectral_capture::{Config, TrustGuide};

/// Reads the options of `spectral ca NAME`.
pub(super) fn read(name: &str, args: &Args) -> Result<Task, String> {
    let proxy = socket_address(args, Config::capture("").listen, 1)?;
    let shell = choice(args, &SHELL, Shell::from_name)?;
    let execution = if args.has(&DRY_RUN) { Execution::DryRun } else { Execution::Real };
    let action = match name {
        "path" => Action::Path,
        "show" => Action::Show,
        "export" => Action::Export {
            format: choice(args, &CERTIFICATE_FORMAT, Format::from_name)?.unwrap_or(Format::Pem),
            output: output_path(args, &OUTPUT_OR_STDOUT),
        },
        "env" if args.has(&UNSET) && !args.has(&ENV_FORMAT) => Action::UnsetEnv(shell.unwrap_or(Shell::Sh)),
        "env" => {
            Action::Env { form: env_form(args, shell)?, proxy: reachable(proxy), trust_dir: args.path(&TRUST_DIR) }
        }
        "install" => Action::Install(execution),
        "uninstall" => Action::Uninstall(execution),
        _ => match operand_choice(args, "platform", topic)? {
            Some(guide) => Action::Help(guide, proxy),
            None => Action::AppArmor,
        },
    };
    Ok(Task::Ca(Request { action, dir: args.path(&CA_DIR) }))
}

/// Returns the guide for a platform, or `None` within for AppArmor.
fn topic(name: &str) -> Option<Option<&'static TrustGuide>> {
    if name.eq_ignore_ascii_case("apparmor") { Some(None) } else { find_guide(name).map(Some) }
}

/// Reads `--format` of `ca env`. The default is lines for `shell`.
fn env_form(args: &Args, shell: Option<Shell>) -> Result<EnvForm, String> {
    let shell_form = EnvForm::Shell(shell.unwrap_or(Shell::Sh));
    let from_name = |name: &str| match name {
        "shell" => Some(None),
        "env" => Some(Some(EnvForm::File)),
        _ => None,
    };
    match choice(args, &ENV_FORMAT, from_name)?.flatten() {
        Some(_) if shell.is_some() || args.has(&UNSET) => {
            Err("--format env is not for a shell: omit --shell and --unset".into())
        }
        form => Ok(form.unwrap_or(shell_form)),
    }
}
