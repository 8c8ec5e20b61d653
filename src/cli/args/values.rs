//! Values that several commands read.

use super::parser::{Args, listed};
use crate::cli::table::options::{KEEP_BACKUPS, LISTEN, PORT};
use crate::cli::table::{Operands, Opt};
use spectral_capture::{Pattern, PatternError};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;

/// Reads `--listen` and `--port`. Each defaults to its part of `default`; a port below `min_port` is an error.
pub(super) fn socket_address(args: &Args, default: SocketAddr, min_port: u16) -> Result<SocketAddr, String> {
    let mut address = default;
    if let Some(text) = args.text(&PORT)? {
        let expected = if min_port == 0 { "0 to 65535" } else { "1 to 65535" };
        let port = text.parse().ok().filter(|port| *port >= min_port);
        address.set_port(port.ok_or_else(|| invalid("port", text, expected))?);
    }
    if let Some(text) = args.text(&LISTEN)? {
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        address.set_ip(match bare {
            "localhost" => Ipv4Addr::LOCALHOST.into(),
            _ => bare.parse::<IpAddr>().map_err(|_| {
                invalid("address", text, "an IP address of this machine, such as 127.0.0.1; the port is set with -p")
            })?,
        });
    }
    Ok(address)
}

/// Reads the host patterns of a repeatable option.
pub(super) fn patterns(args: &Args, option: &Opt) -> Result<Vec<Pattern>, String> {
    let parse = |text| {
        Pattern::parse(text).map_err(|error| match error.cause {
            PatternError::Separator => [&error.to_string(), ": repeat ", &option.name(), " for each pattern"].concat(),
            _ => error.to_string(),
        })
    };
    args.texts(option)?.into_iter().map(parse).collect()
}

/// Reads an option whose values the table lists.
pub(super) fn choice<T>(args: &Args, option: &Opt, from_name: fn(&str) -> Option<T>) -> Result<Option<T>, String> {
    let Some(name) = args.text(option)? else { return Ok(None) };
    from_name(name).map(Some).ok_or_else(|| invalid(option.long, name, &listed(option.value.words())))
}

/// Reads the only operand, whose values the table lists.
pub(super) fn operand_choice<T>(args: &Args, what: &str, from_name: fn(&str) -> Option<T>) -> Result<T, String> {
    let name = args.operand()?.to_string_lossy();
    let known = if let Operands::One(value) = args.command().operands { value.words() } else { &[] };
    from_name(&name).ok_or_else(|| invalid(what, &name, &listed(known)))
}

/// Reads the path of a bundle to write, which cannot be stdout.
pub(super) fn bundle_path(args: &Args, option: &Opt) -> Result<Option<PathBuf>, String> {
    match args.path(option) {
        Some(path) if path.as_os_str() == STDOUT => Err("cannot write a bundle to stdout: give -o FILE".into()),
        path => Ok(path),
    }
}

/// Reads `--keep-backups`.
pub(super) fn keep_backups(args: &Args) -> Result<Option<NonZeroU32>, String> {
    let parse = |text: &str| text.parse().map_err(|_| invalid("number of backups", text, "1 or more"));
    args.text(&KEEP_BACKUPS)?.map(parse).transpose()
}

/// Reads the path of a file to write; `None` is stdout.
pub(super) fn output_path(args: &Args, option: &Opt) -> Option<PathBuf> {
    args.path(option).filter(|path| path.as_os_str() != STDOUT)
}

/// Returns `invalid port 'abc': expected 0 to 65535`.
pub(super) fn invalid(what: &str, text: &str, expected: &str) -> String {
    ["invalid ", what, " '", text, "': expected ", expected].concat()
}

const STDOUT: &str = "-";
