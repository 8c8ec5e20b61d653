//! The options of the commands that read bundles.

use super::Task;
use super::filter::{filter, filter_option};
use super::parser::{Args, listed};
use super::size;
use super::values::{bundle_path, choice, keep_backups, output_path};
use crate::cli::export::{self, Format};
use crate::cli::inspect::{self, BodySide, Show};
use crate::cli::table::Opt;
use crate::cli::table::options::*;
use spectral_capture::export::{html, openapi};
use spectral_capture::redact::Rules;
use std::path::PathBuf;

pub(super) fn inspect(args: &Args) -> Result<Task, String> {
    let filter = filter(args)?;
    let (json, follow) = (args.has(&EXCHANGES_AS_JSON), args.has(&FOLLOW));
    let side = body_side(args);
    let mut shows = Vec::new();
    for id in args.texts(&TRACE)? {
        shows.push(("--trace", Show::Exchange(id.into())));
    }
    for id in args.texts(&WS)? {
        shows.push(("--ws", Show::Messages(id.into())));
    }
    for id in args.texts(&BODY)? {
        shows.push(("--body", Show::Body(id.into(), side.as_ref().map_or(BodySide::Response, |(_, side)| *side))));
    }
    let mut files = args.operands().enumerate().filter(|(at, _)| side.is_none_or(|(side_at, _)| side_at != *at));
    let (_, file) = files.next().ok_or_else(|| args.missing_operand())?;
    if let Some((_, word)) = files.next() {
        return Err(args.unexpected(word));
    }
    if let [(first, _), (second, _), ..] = shows[..] {
        return Err(conflict(first, second));
    }
    let shown = shows.pop();
    if let Some((option, show)) = &shown {
        if follow && !matches!(show, Show::Messages(_)) {
            return Err(conflict(option, "--follow"));
        }
        if let Some(criterion) = filter_option(args) {
            return Err(conflict(option, &criterion));
        }
        if json && matches!(show, Show::Body(..)) {
            return Err(conflict(option, "--json"));
        }
    }
    let show = shown.map_or(Show::List, |(_, show)| show);
    Ok(Task::Inspect(inspect::Options { file: file.into(), show, filter, json, follow, quiet: args.has(&QUIET) }))
}

/// Finds the operand that is `request` or `response` after `--body ID`, and its position among the operands.
fn body_side(args: &Args) -> Option<(usize, BodySide)> {
    let body = args.items.iter().position(|(option, _)| option.is_some_and(|option| option.long == BODY.long))?;
    let before = args.items.iter().take(body).filter(|(option, _)| option.is_none()).count();
    let side = |(at, word): (usize, &std::ffi::OsStr)| Some((at, BodySide::from_name(word.to_str()?)?));
    args.operands().enumerate().skip(before).find_map(side)
}

pub(super) fn export(args: &Args) -> Result<Task, String> {
    let file = PathBuf::from(args.operand()?);
    let mut filter = filter(args)?;
    filter.ids = args.text(&TRACE)?.map(str::to_owned).into_iter().collect();
    let missing = || ["missing --format: expected ", &listed(EXPORT_FORMAT.value.words())].concat();
    let format = choice(args, &EXPORT_FORMAT, Format::from_name)?.ok_or_else(missing)?;
    if let (Some(_), Some(criterion)) = (filter.ids.first(), filter_option(args)) {
        return Err(conflict("--trace", &criterion));
    }
    for (option, needed) in [
        (&REPORT_SIZE, Format::Html),
        (&REPORT_BODY, Format::Html),
        (&EXAMPLES, Format::Openapi),
        (&SINCE_DOCUMENT, Format::Openapi),
    ] {
        if args.has(option) && format != needed {
            return Err(["--", option.long, " needs --format ", needed.name()].concat());
        }
    }
    let mut report = html::Options::default();
    for (option, limits, size) in
        [(&REPORT_SIZE, &size::REPORT, &mut report.max_size), (&REPORT_BODY, &size::REPORT_BODY, &mut report.max_body)]
    {
        if let Some(text) = args.text(option)? {
            *size = size::parse(text, limits)?;
        }
    }
    let mut description = openapi::Options::default();
    description.has_examples = args.has(&EXAMPLES);
    let since_document = args.path(&SINCE_DOCUMENT);
    let output = output_path(args, &OUTPUT_OR_STDOUT);
    let redact = args.has(&REDACT).then(|| rules(args)).transpose()?;
    if redact.is_none() && args.has(&REDACTED_NAME) {
        return Err("--name needs --redact".into());
    }
    let quiet = args.has(&QUIET);
    Ok(Task::Export(export::Options {
        file,
        format,
        report,
        description,
        since_document,
        output,
        filter,
        redact,
        quiet,
    }))
}

pub(super) fn merge(args: &Args) -> Result<Task, String> {
    args.operand()?;
    let bundles = args.operands().map(PathBuf::from).collect();
    let (output, filter) = (new_bundle(args)?, filter(args)?);
    Ok(Task::Merge { bundles, output, filter, quiet: args.has(&QUIET), keep_backups: keep_backups(args)? })
}

pub(super) fn redact(args: &Args) -> Result<Task, String> {
    let file = args.operand()?.into();
    let rules = rules(args)?;
    let output = match args.has(&CHECK) {
        true if args.has(&NEW_BUNDLE) => return Err(conflict("--check", "-o")),
        true => None,
        false => Some(new_bundle(args)?),
    };
    let (quiet, keep_backups) = (args.has(&QUIET), keep_backups(args)?);
    Ok(Task::Redact { file, output, rules, filter: filter(args)?, quiet, keep_backups })
}

/// Reads the options that select secrets.
fn rules(args: &Args) -> Result<Rules, String> {
    let mut rules = Rules::default();
    rules.names = names(args, &NAME)?;
    rules.headers = names(args, &HEADER)?;
    rules.query = names(args, &QUERY)?;
    rules.json = names(args, &JSON_MEMBER)?;
    rules.only_named = args.has(&ONLY_NAMED);
    rules.keep_unsearched = args.has(&KEEP_UNSEARCHED);
    Ok(rules)
}

pub(super) fn recover(args: &Args) -> Result<Task, String> {
    let (part, output) = (args.operand()?.into(), bundle_path(args, &RECOVERED_BUNDLE)?);
    Ok(Task::Recover { part, output, quiet: args.has(&QUIET), keep_backups: keep_backups(args)? })
}

fn new_bundle(args: &Args) -> Result<PathBuf, String> {
    bundle_path(args, &NEW_BUNDLE)?.ok_or_else(|| args.missing("-o FILE"))
}

/// Reads names to redact. An empty name would match nothing, without an error.
fn names(args: &Args, option: &Opt) -> Result<Vec<String>, String> {
    let names = args.texts(option)?;
    match names.iter().any(|name| name.trim().is_empty()) {
        true => Err(["option '", &option.name(), "' needs a name"].concat()),
        false => Ok(names.into_iter().map(str::to_owned).collect()),
    }
}

fn conflict(first: &str, second: &str) -> String {
    [first, " cannot be used with ", second].concat()
}
