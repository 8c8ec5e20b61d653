//! The options of `capture run`, `capture proxy` and `capture discover`.

use super::amount::{self, Amount};
use super::parser::Args;
use super::values::{bundle_path, choice, invalid, keep_backups, patterns, socket_address};
use super::{CaptureOptions, Task, size, time};
use crate::cli::stop_after::StopAfter;
use crate::cli::table::options::*;
use crate::cli::upstream::{Choice, UpstreamOptions};
use spectral_capture::{
    CertificateSource, ClientCertificate, Config, Output, Pattern, Rotate, Transparent, UpstreamProxy,
};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

pub(super) fn run(mut args: Args) -> Result<Task, String> {
    let mut config = Config::capture("capture.zip");
    config.listen.set_port(0);
    if let Some(options) = config.capture_options_mut() {
        options.passthrough_refused = !args.has(&NO_PASSTHROUGH_REFUSED);
    }
    let options = capture(&args, config)?;
    match std::mem::take(&mut args.program) {
        command if command.is_empty() => Err(args.missing_operand()),
        command => Ok(Task::Run { options, command }),
    }
}

pub(super) fn discover(mut args: Args) -> Result<Task, String> {
    let options = capture(&args, Config::discover())?;
    let command = std::mem::take(&mut args.program);
    match (options.all, command.is_empty()) {
        (false, true) if options.domains_file.is_some() => Err("-o needs --all: the domains are on stdout".into()),
        (false, true) => Ok(Task::Capture(options)),
        (true, false) => Ok(Task::Run { options, command }),
        (true, true) => Err("missing COMMAND: spectral capture discover --all -- COMMAND".into()),
        (false, false) => Err("a COMMAND needs --all: spectral capture discover --all -- COMMAND".into()),
    }
}

/// Reads the options. An option that the command does not have keeps its value in `config`.
pub(super) fn capture(args: &Args, mut config: Config) -> Result<CaptureOptions, String> {
    config.listen = socket_address(args, config.listen, 0)?;
    config.insecure = args.has(&INSECURE);
    config.upstream_ca = args.values(&UPSTREAM_CA).map(|file| PathBuf::from(file).into()).collect();
    config.client_certificates = args.values(&CLIENT_CERT).map(client_certificate).collect::<Result<_, _>>()?;
    let transparent = choice(args, &TRANSPARENT, |name| match name {
        "" => Some(Transparent::OriginalDestination),
        "by-name" => Some(Transparent::ByName),
        _ => None,
    })?;
    if transparent == Some(Transparent::OriginalDestination) && !cfg!(target_os = "linux") {
        return Err("only Linux keeps the original destination: use --transparent=by-name".into());
    }
    config.transparent = transparent.unwrap_or_default();
    config.key_log = args.path(&KEYLOG);
    if let Some(text) = args.text(&MEMORY)? {
        config.limits.memory = size::parse(text, &size::MEMORY)?;
    }
    if let Some(text) = args.text(&MAX_BODY)? {
        config.limits.max_body = size::parse(text, &size::BODY)?;
    }
    let mut parse_limit: fn(&str) -> Result<StopAfter, String> = |text| time::parse(text).map(StopAfter::Time);
    if let Some(capture) = config.capture_options_mut() {
        read_capture_options(args, capture)?;
        parse_limit = amount::parse_stop_after;
    }
    let keep_backups = keep_backups(args)?;
    if keep_backups.is_some() && config.capture_options().is_some_and(|capture| capture.rotate.is_some()) {
        return Err("--keep-backups cannot be used with --rotate, which replaces no bundle: use --keep".into());
    }
    let log_every = args.text(&LOG_EVERY)?.map(time::parse).transpose()?;
    let stop_after = args.texts(&STOP_AFTER)?.into_iter().map(parse_limit).collect::<Result<_, _>>()?;
    let (quiet, verbose, json) = (args.has(&QUIET), args.has(&VERBOSE), args.has(&DOMAINS_AS_JSON));
    let auth_file = args.path(&AUTH_FILE);
    let upstream = upstream(args)?;
    let all = args.has(&ALL);
    let unused = [&PORT, &LISTEN, &AUTH_FILE, &TRANSPARENT, &STOP_AFTER, &LOG_EVERY];
    if let Some(option) = unused.into_iter().find(|option| all && args.has(option)) {
        return Err([&option.name(), " cannot be used with --all"].concat());
    }
    let domains_file = args.path(&DOMAINS_FILE).filter(|_| config.capture_options().is_none());
    if domains_file.as_deref() == Some(Path::new("-")) {
        return Err("cannot write domains to stdout, which is the command's: give -o FILE".into());
    }
    Ok(CaptureOptions {
        config,
        upstream,
        quiet,
        verbose,
        json,
        log_every,
        stop_after,
        auth_file,
        all,
        domains_file,
        keep_backups,
    })
}

/// Reads the options that only captures have.
fn read_capture_options(args: &Args, capture: &mut spectral_capture::CaptureOptions) -> Result<(), String> {
    if let Some(path) = bundle_path(args, &OUTPUT)? {
        capture.output = Output::Path(path);
    }
    capture.ca = args.path(&CA_DIR).into();
    capture.include = patterns(args, &DOMAIN)?;
    capture.exclude = patterns(args, &EXCLUDE)?;
    capture.passthrough_refused |= args.has(&PASSTHROUGH_REFUSED);
    if let Some(text) = args.text(&ROTATE)? {
        capture.rotate = Some(match amount::parse(text, &size::BODY)? {
            Amount::Size(bytes) => Rotate::Size(bytes),
            Amount::Time(time) => Rotate::Time(time),
        });
    }
    if let Some(text) = args.text(&KEEP)? {
        capture.keep = Some(text.parse().map_err(|_| invalid("number of bundles", text, "1 or more"))?);
        if capture.rotate.is_none() {
            return Err("--keep needs --rotate".into());
        }
    }
    Ok(())
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
    let certificate = ClientCertificate::new(CertificateSource::File(file));
    Ok(match host {
        Some(host) => certificate.for_host(host),
        None => certificate,
    })
}
