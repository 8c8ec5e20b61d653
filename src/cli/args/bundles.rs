//! The arguments of the commands that read bundles.

use super::{Command, TRY, common, pattern, said, value};
use crate::cli::export::{self, Format};
use crate::cli::filter::{Filter, SearchText, parse_statuses};
use crate::cli::inspect::{self, BodySide, Show};
use lexopt::prelude::*;
use spectral_capture::redact::Rules;
use std::path::PathBuf;

pub(super) fn inspect(mut parser: lexopt::Parser) -> Result<Command, String> {
    let (mut file, mut filter, mut json, mut follow) = (None, Filter::default(), false, false);
    let mut shows = Vec::new();
    while let Some(arg) = parser.next().map_err(said)? {
        match arg {
            Long("trace") => shows.push(("--trace", Show::Exchange(value(&mut parser, "--trace")?))),
            Long("ws") => shows.push(("--ws", Show::Messages(value(&mut parser, "--ws")?))),
            Long("body") => shows.push(("--body", Show::Body(value(&mut parser, "--body")?, BodySide::Response))),
            Long("json") => json = true,
            Long("follow") => follow = true,
            Long(option @ ("host" | "method" | "status" | "grep")) => {
                let option = option.to_owned();
                narrow(&option, &mut parser, &mut filter)?;
            }
            Value(word) => match (shows.last_mut(), word.to_str().and_then(BodySide::parse)) {
                // As in `--body t_0001 request`.
                (Some((_, Show::Body(_, side))), Some(named)) => *side = named,
                _ if file.is_none() => file = Some(PathBuf::from(word)),
                _ => return Err(unexpected(&word)),
            },
            other => match common(other)? {
                Some(command) => return Ok(command),
                None => continue,
            },
        }
    }
    let file = file.ok_or_else(|| format!("which bundle? spectral capture inspect FILE; {TRY}"))?;
    if let [(first, _), (second, _), ..] = shows[..] {
        return Err(format!("{first} and {second} do not go together: {TRY}"));
    }
    let what = shows.pop();
    if let Some((option, show)) = &what {
        let is_raw = matches!(show, Show::Body(..));
        let cannot_follow = follow && !matches!(show, Show::Messages(_));
        if cannot_follow || !filter.is_empty() || (json && is_raw) {
            let other = if cannot_follow {
                "--follow"
            } else if filter.is_empty() {
                "--json"
            } else {
                "a filter"
            };
            return Err(format!("{option} and {other} do not go together: {TRY}"));
        }
    }
    let show = what.map_or(Show::List, |(_, show)| show);
    Ok(Command::Inspect(inspect::Options { file, show, filter, json, follow }))
}

pub(super) fn export(mut parser: lexopt::Parser) -> Result<Command, String> {
    let (mut file, mut filter, mut output, mut format, mut trace) = (None, Filter::default(), None, None, None);
    while let Some(arg) = parser.next().map_err(said)? {
        match arg {
            Long("format") => {
                let name = value(&mut parser, "--format")?;
                format =
                    Some(Format::from_name(&name).ok_or_else(|| format!("'{name}' is no format: give har or curl"))?);
            }
            Short('o') | Long("output") => output = Some(PathBuf::from(parser.value().map_err(said)?)),
            Long("trace") => trace = Some(value(&mut parser, "--trace")?),
            Long(option @ ("host" | "method" | "status" | "grep")) => {
                let option = option.to_owned();
                narrow(&option, &mut parser, &mut filter)?;
            }
            Value(word) if file.is_none() => file = Some(PathBuf::from(word)),
            other => match common(other)? {
                Some(command) => return Ok(command),
                None => continue,
            },
        }
    }
    let file = file.ok_or_else(|| format!("which bundle? spectral capture export FILE --format har; {TRY}"))?;
    let format = format.ok_or_else(|| format!("which format? --format har or --format curl; {TRY}"))?;
    if trace.is_some() && !filter.is_empty() {
        return Err(format!("--trace and a filter do not go together: {TRY}"));
    }
    Ok(Command::Export(export::Options { file, format, output, filter, trace }))
}

pub(super) fn merge(mut parser: lexopt::Parser) -> Result<Command, String> {
    let (mut bundles, mut output) = (Vec::new(), None);
    while let Some(arg) = parser.next().map_err(said)? {
        match arg {
            Short('o') | Long("output") => output = Some(PathBuf::from(parser.value().map_err(said)?)),
            Value(word) => bundles.push(PathBuf::from(word)),
            other => match common(other)? {
                Some(command) => return Ok(command),
                None => continue,
            },
        }
    }
    if bundles.is_empty() {
        return Err(format!("which bundles? spectral capture merge FILE FILE -o FILE; {TRY}"));
    }
    let output = output.ok_or_else(|| format!("where to? spectral capture merge FILE FILE -o FILE; {TRY}"))?;
    Ok(Command::Merge { bundles, output })
}

pub(super) fn redact(mut parser: lexopt::Parser) -> Result<Command, String> {
    let (mut file, mut output, mut rules) = (None, None, Rules::default());
    while let Some(arg) = parser.next().map_err(said)? {
        match arg {
            Short('o') | Long("output") => output = Some(PathBuf::from(parser.value().map_err(said)?)),
            Long("header") => rules.headers.push(name(&mut parser, "--header")?),
            Long("query") => rules.query.push(name(&mut parser, "--query")?),
            Long("json") => rules.json.push(name(&mut parser, "--json")?),
            Long("keep-coded") => rules.keep_coded = true,
            Value(word) if file.is_none() => file = Some(PathBuf::from(word)),
            other => match common(other)? {
                Some(command) => return Ok(command),
                None => continue,
            },
        }
    }
    let file = file.ok_or_else(|| format!("which bundle? spectral capture redact FILE -o FILE; {TRY}"))?;
    let output = output.ok_or_else(|| format!("where to? spectral capture redact FILE -o FILE; {TRY}"))?;
    Ok(Command::Redact { file, output, rules })
}

/// A name to look for; an empty one would find nothing, and seem to have worked.
fn name(parser: &mut lexopt::Parser, option: &str) -> Result<String, String> {
    let name = value(parser, option)?;
    if name.trim().is_empty() { Err(format!("{option} needs a name: {TRY}")) } else { Ok(name) }
}

/// Reads the value of an option that says which exchanges are meant.
fn narrow(option: &str, parser: &mut lexopt::Parser, filter: &mut Filter) -> Result<(), String> {
    match option {
        "host" => filter.hosts.push(pattern(parser, "--host")?),
        "method" => filter.methods.push(value(parser, "--method")?),
        "grep" => filter.texts.push(SearchText::new(&value(parser, "--grep")?)),
        _ => {
            let text = value(parser, "--status")?;
            let wrong = || format!("'{text}' is no status: give one such as 404, 4xx or 200-299");
            filter.statuses.push(parse_statuses(&text).ok_or_else(wrong)?);
        }
    }
    Ok(())
}

fn unexpected(word: &std::ffi::OsStr) -> String {
    format!("unexpected argument {word:?}: {TRY}")
}
