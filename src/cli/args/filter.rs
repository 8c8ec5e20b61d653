//! The options that select exchanges and WebSockets. All commands that read bundles share them.

use super::moment;
use super::parser::Args;
use super::values::{invalid, patterns};
use crate::cli::table::Opt;
use crate::cli::table::options::{ANSWERED, GREP, HOST, METHOD, SINCE, STATUS, TYPE, UNTIL};
use spectral_capture::filter::{Filter, MediaType, SearchText};
use spectral_capture::grpc::GrpcStatus;
use std::ops::RangeInclusive;

/// Reads the options that select exchanges and WebSockets.
pub(super) fn filter(args: &Args) -> Result<Filter, String> {
    let moment = |option| args.text(option)?.map(|text| moment::parse(text, Filter::now())).transpose();
    let mut filter = Filter::default();
    filter.hosts = patterns(args, &HOST)?;
    filter.methods = args.texts(&METHOD)?.into_iter().map(str::to_owned).collect();
    for text in args.texts(&STATUS)? {
        match text.strip_prefix("grpc:") {
            Some(status) => filter.grpc_statuses.push(grpc_status(status)?),
            None => filter.statuses.push(status(text)?),
        }
    }
    filter.media_types = args.texts(&TYPE)?.into_iter().map(media_type).collect::<Result<_, _>>()?;
    filter.texts = args.texts(&GREP)?.into_iter().map(SearchText::new).collect();
    filter.since = moment(&SINCE)?;
    filter.until = moment(&UNTIL)?;
    filter.answered = args.has(&ANSWERED);
    match (filter.since, filter.until) {
        (Some(since), Some(until)) if since >= until => Err("--since must be before --until".into()),
        _ => Ok(filter),
    }
}

/// Returns the name of an option that selects exchanges, if one is given.
pub(super) fn filter_option(args: &Args) -> Option<String> {
    let options: [&Opt; 8] = [&HOST, &METHOD, &STATUS, &TYPE, &GREP, &SINCE, &UNTIL, &ANSWERED];
    options.into_iter().find(|option| args.has(option)).map(Opt::name)
}

fn status(text: &str) -> Result<RangeInclusive<u16>, String> {
    // Statuses have three digits (RFC 9110 section 15); 0 stands for none.
    let exists = |range: &RangeInclusive<u16>| *range.end() == 0 || *range.end() >= 100;
    let range = parse_statuses(text).filter(exists);
    range.ok_or_else(|| invalid("status", text, "0, 100 to 999, 4xx, 200-299, or grpc:5"))
}

/// Reads `5`, `NOT_FOUND` or `1-16` after `grpc:`.
fn grpc_status(text: &str) -> Result<RangeInclusive<u32>, String> {
    let code = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    let one = code(text).or_else(|| GrpcStatus::code_of(text)).map(|code| code..=code);
    let range = || text.split_once('-').and_then(|(from, to)| Some(code(from)?..=code(to)?));
    let found = one.or_else(range).filter(|range| !range.is_empty());
    found.ok_or_else(|| invalid("status of gRPC", text, "a number, a name such as NOT_FOUND, or 1-16"))
}

/// Parses `404`, `4xx` or `200-299`; 0 matches exchanges without a response.
fn parse_statuses(text: &str) -> Option<RangeInclusive<u16>> {
    let status = |text: &str| text.parse::<u16>().ok().filter(|&n| n < 1000);
    if let Some(class) = text.to_ascii_lowercase().strip_suffix("xx") {
        let first = class.parse::<u16>().ok().filter(|n| (1..=9).contains(n))?.checked_mul(100)?;
        return Some(first..=first.checked_add(99)?);
    }
    match text.split_once('-') {
        Some((from, to)) => Some(status(from)?..=status(to)?).filter(|range| !range.is_empty()),
        None => status(text).map(|status| status..=status),
    }
}

/// Refuses what is not a media type and would therefore match nothing.
fn media_type(text: &str) -> Result<MediaType, String> {
    // RFC 9110 section 5.6.2. A parameter is not part of the comparison.
    let is_token = |word: &str| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~?".contains(&b))
    };
    let is_type = text.split('/').count() <= 2 && text.split('/').all(is_token);
    match is_type {
        true => Ok(MediaType::new(text)),
        false => {
            Err(invalid("media type", text, "a type such as application/json, text/* or json, without parameters"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_a_status_a_class_and_a_range() {
        let cases = [("404", 404..=404), ("4xx", 400..=499), ("5XX", 500..=599), ("200-299", 200..=299), ("0", 0..=0)];
        for (text, range) in cases {
            assert_eq!(parse_statuses(text), Some(range), "{text}");
        }
        for invalid in ["", "x", "xx", "40x", "0xx", "10xx", "299-200", "1000", "200-", "-1", "4xx-5xx", "+200x"] {
            assert_eq!(parse_statuses(invalid), None, "{invalid}");
        }
    }

    #[test]
    fn parses_a_status_of_grpc() {
        for (text, range) in [("5", 5..=5), ("not_found", 5..=5), ("1-16", 1..=16), ("99", 99..=99)] {
            assert_eq!(grpc_status(text), Ok(range), "{text}");
        }
        for wrong in ["", "-", "1-", "16-1", "+5", "FOUND", "5xx", "4294967296"] {
            let expected = "expected a number, a name such as NOT_FOUND, or 1-16";
            assert_eq!(grpc_status(wrong), Err(format!("invalid status of gRPC '{wrong}': {expected}")));
        }
    }

    #[test]
    fn a_media_type_has_one_slash_at_most_and_no_parameters() {
        for valid in ["application/json", "text/*", "json", "application/vnd.api+json", "*"] {
            assert!(media_type(valid).is_ok(), "{valid}");
        }
        for wrong in ["", "/", "text/", "a/b/c", "text/html; charset=utf-8", "text html", "a,b"] {
            assert!(media_type(wrong).unwrap_err().starts_with(&format!("invalid media type '{wrong}': ")), "{wrong}");
        }
    }
}
