//! The options of `capture run`, `capture proxy` and `capture discover`.

use super::amount::{self, Amount};
use super::parser::Args;
use super::values::{bundle_path, choice, invalid, keep_backups, patterns, socket_address};
use super::{CaptureOptions, Task, size, time};
use crate::cli::stop_after::StopAfter;
use crate::cli::table::options::*;
use crate::cli::upstream::{Choice, UpstreamOptions};
use spectral_capture::{ClientCertificate, Config, Mode, Pattern, Rotate, Transparent, UpstreamProxy};
use std::ffi::OsStr;
use std::path::PathBuf;

pub(super) fn run(mut args: Args) -> Result<Task, String> {
    let mut config = Config::capture("capture.zip");
    config.listen.set_port(0);
    config.passthrough_refused = !args.has(&NO_PASSTHROUGH_REFUSED);
    let options = capture(&args, config)?;
    match std::mem::take(&mut args.program) {
        command if command.is_empty() => Err(args.missing_operand()),
        command => Ok(Task::Run { options, command }),
    }
}

/// Reads the options. An option that the command does not have keeps its value in `config`.
pub(super) fn capture(args: &Args, mut config: Config) -> Result<CaptureOptions, String> {
    config.listen = socket_address(args, config.listen, 0)?;
    if let Some(output) = bundle_path(args, &OUTPUT)? {
        config.mode = Mode::Capture { output };
    }
    config.include = patterns(args, &DOMAIN)?;
    config.exclude = patterns(args, &EXCLUDE)?;
    config.insecure = args.has(&INSECURE);
    config.upstream_ca = args.values(&UPSTREAM_CA).map(PathBuf::from).collect();
    config.client_certificates = args.values(&CLIENT_CERT).map(client_certificate).collect::<Result<_, _>>()?;
    config.passthrough_refused |= args.has(&PASSTHROUGH_REFUSED);
    let transparent = choice(args, &TRANSPARENT, |name| match name {
        "" => Some(Transparent::OriginalDestination),
        "by-name" => Some(Transparent::ByName),
        _ => None,
    })?;
    if transparent == Some(Transparent::OriginalDestination) && !cfg!(target_os = "linux") {
        return Err("only Linux keeps the original destination: use --transparent=by-name".into());
    }
    config.transparent = transparent.unwrap_or_default();
    config.ca_dir = args.path(&CA_DIR);
    config.key_log = args.path(&KEYLOG);
    if let Some(text) = args.text(&MEMORY)? {
        config.memory = size::parse(text, &size::MEMORY)?;
    }
    if let Some(text) = args.text(&MAX_BODY)? {
        config.max_body = size::parse(text, &size::BODY)?;
    }
    if let Some(text) = args.text(&ROTATE)? {
        config.rotate = Some(match amount::parse(text, &size::BODY)? {
            Amount::Size(bytes) => Rotate::Size(bytes),
            Amount::Time(time) => Rotate::Time(time),
        });
    }
    if let Some(text) = args.text(&KEEP)? {
        config.keep = Some(text.parse().map_err(|_| invalid("number of bundles", text, "1 or more"))?);
        if config.rotate.is_none() {
            return Err("--keep needs --rotate".into());
        }
    }
    let keep_backups = keep_backups(args)?;
    if keep_backups.is_some() && config.rotate.is_some() {
        return Err("--keep-backups cannot be used with --rotate, which replaces no bundle: use --keep".into());
    }
    let log_every = args.text(&LOG_EVERY)?.map(time::parse).transpose()?;
    let parse_limit = match config.mode {
        Mode::Capture { .. } => amount::parse_stop_after,
        Mode::Discover => |text: &str| time::parse(text).map(StopAfter::Time),
    };
    let stop_after = args.texts(&STOP_AFTER)?.into_iter().map(parse_limit).collect::<Result<_, _>>()?;
    let (quiet, verbose, json) = (args.has(&QUIET), args.has(&VERBOSE), args.has(&DOMAINS_AS_JSON));
    let auth_file = args.path(&AUTH_FILE);
    let upstream = upstream(args)?;
    Ok(CaptureOptions { config, upstream, quiet, verbose, json, log_every, stop_after, auth_file, keep_backups })
}

/// Reads the options for upstream proxies.
fn upstream(args: &Args) -> Result<UpstreamOptions, String> {
    let choice = match (args.text(&UPSTREAM_PROXY)?, args.has(&NO_UPSTREAM_PROXY)) {
        (Some(_), true) => return Err("--upstream-proxy and --no-upstream-proxy exclude each other".into()),
        (Some(url), false) => {
            // The error does not show the URL, which may have a password.
            Choice::Option(UpstreamProxy::parse(url).map_err(|error| format!("invalid --upstream-proxy: {error}"))?)
        }
        (None, true) => Choice::Direct,
        (None, false) => Choice::Variables,
    };
    Ok(UpstreamOptions { choice, auth_file: args.path(&UPSTREAM_AUTH_FILE) })
}

/// Reads `[HOST=]FILE`. What follows a slash belongs to the file's name.
fn client_certificate(value: &OsStr) -> Result<ClientCertificate, String> {
    let text = value.to_str().unwrap_or_default();
    let (host, file) = match text.split_once('=') {
        Some((host, file)) if !host.contains('/') => {
            (Some(Pattern::parse(host).map_err(|error| error.to_string())?), PathBuf::from(file))
        }
        _ => (None, PathBuf::from(value)),
    };
    if file.as_os_str().is_empty() {
        return Err("missing FILE in --client-cert [HOST=]FILE".into());
    }
    Ok(ClientCertificate { host, file })
}
