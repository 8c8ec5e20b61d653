//! Opens a bundle for a command that reads one, complete or still unfinished.

use super::command_error::CommandError;
use super::message::print_warning;
use super::process::effective_user;
use super::text::count;
use spectral_capture::filter::Filter;
use spectral_capture::reader::{Bundle, Ids, LeftOut, State};
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The file to open if both the bundle and a newer unfinished bundle exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prefer {
    /// The complete bundle with the given name.
    Complete,
    /// The unfinished bundle of a running capture, which will replace it.
    Growing,
}

/// An open bundle.
pub(crate) struct Opened {
    pub(crate) bundle: Bundle,
    pub(crate) state: State,
    /// A warning for the user if the bundle is unfinished or about to be replaced.
    pub(crate) warning: Option<String>,
}

/// Opens `file`, or its unfinished bundle (`.part`) if only that exists.
pub(crate) fn open(file: &Path, prefer: Prefer) -> Result<Opened, CommandError> {
    if file.extension().is_some_and(|extension| extension == "part") {
        return Ok(with_warning(open_part(file)?));
    }
    match open_last_part(file)? {
        Some(part) if !file.exists() => Ok(with_warning(part)),
        Some(part) if part.1 == State::Growing && prefer == Prefer::Growing => Ok(with_warning(part)),
        Some((part, State::Growing)) => {
            let warning = format!("a capture is writing {}: show it with --follow", part.path().display());
            Ok(Opened { bundle: Bundle::open(file)?, state: State::Complete, warning: Some(warning) })
        }
        _ => Ok(Opened { bundle: Bundle::open(file)?, state: State::Complete, warning: None }),
    }
}

/// Warns of items that are left out because their JSON is too large.
pub(crate) fn warn_of_left_out(left_out: &LeftOut) {
    warn_of_items(left_out, "since their JSON exceeds 16 MiB (a context: 1 MiB)");
}

/// Warns of items that are left out because they are damaged, and returns the exit code of the command: 1 if there are any.
pub(crate) fn warn_of_damaged(damaged: &LeftOut) -> ExitCode {
    warn_of_items(damaged, if damaged.count == 1 { "since it is damaged" } else { "since they are damaged" });
    if damaged.count > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Adds a damaged item to those that are reported at the end. Also warns of it now if the bundle `is_followed`: the end may be days
/// away.
pub(crate) fn add_damaged(damaged: &mut LeftOut, id: &str, is_followed: bool) {
    damaged.add(id);
    if is_followed {
        let mut item = LeftOut::default();
        item.add(id);
        warn_of_damaged(&item);
    }
}

fn warn_of_items(left_out: &LeftOut, reason: &str) {
    if left_out.count > 0 {
        print_warning(&format!("{} left out, {reason}: {}", count(left_out.count, "item"), named(left_out)));
    }
}

/// Returns the first ids of items, and the number of the others.
pub(crate) fn named(left_out: &LeftOut) -> String {
    let more = left_out.count.saturating_sub(left_out.first.len() as u64);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    [&left_out.first.join(", "), more.as_str()].concat()
}

/// Warns of an output without items because the filter excludes all of them, perhaps by mistake.
pub(crate) fn warn_of_no_match(filter: &Filter) {
    if !filter.is_empty() {
        print_warning("no exchange or WebSocket matches: the output is empty");
    }
}

/// Returns the path of the unfinished bundle `n` of `output`: `NAME.zip.part`, `NAME.zip.2.part` and so on.
pub(crate) fn part_path(output: &Path, n: u32) -> PathBuf {
    let mut path = OsString::from(output);
    path.push(if n == 1 { ".part".to_owned() } else { format!(".{n}.part") });
    path.into()
}

/// Fails unless the bundle has an exchange with this id.
pub(crate) fn require_exchange(bundle: &Bundle, id: &str) -> Result<(), CommandError> {
    if bundle.websockets().contains(id) {
        return Err(CommandError::Request(format!("{id} is a WebSocket: show its messages with --ws {id}")));
    }
    require_id(id, "exchange", "this bundle", bundle.traces())
}

/// Fails unless the bundle has a WebSocket with this id.
pub(crate) fn require_websocket(bundle: &Bundle, id: &str) -> Result<(), CommandError> {
    if bundle.traces().contains(id) {
        return Err(CommandError::Request(format!("{id} is an exchange: show it with --trace {id}")));
    }
    require_id(id, "WebSocket", "this bundle", bundle.websockets())
}

/// Fails unless the WebSocket `websocket` has a message with this id.
pub(crate) fn require_message(bundle: &Bundle, websocket: &str, id: &str) -> Result<(), CommandError> {
    require_id(id, "message", websocket, bundle.messages(websocket))
}

/// Fails unless `id` is among `ids`. `noun` is the kind of item, and `owner` the bundle or WebSocket that contains
/// the items.
fn require_id(id: &str, noun: &str, owner: &str, ids: &Ids) -> Result<(), CommandError> {
    if ids.contains(id) {
        return Ok(());
    }
    let known = match (ids.first(), ids.last()) {
        (Some(first), Some(last)) if first == last => format!("only {first}"),
        (Some(first), Some(last)) => format!("{first} to {last}"),
        _ => format!("no {noun}s"),
    };
    Err(CommandError::Request(format!("no {noun} '{id}': {owner} has {known}")))
}

fn open_part(file: &Path) -> Result<(Bundle, State), CommandError> {
    let mut bundle = Bundle::open_part(file)?;
    let state = bundle.refresh()?;
    Ok((bundle, state))
}

/// Opens the last of `NAME.zip.part`, `NAME.zip.2.part` and so on. The others are left over from interrupted captures.
fn open_last_part(file: &Path) -> Result<Option<(Bundle, State)>, CommandError> {
    let names = (1..=MAX_PARTS).map(|n| part_path(file, n)).take_while(|path| fs::symlink_metadata(path).is_ok());
    // Other users may have put files, links and pipes under such names. Root may look at a capture in the directory of its user.
    let is_owner = |meta: &Metadata, path: &Path| {
        let directory = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
        meta.uid() == effective_user() || fs::metadata(directory).is_ok_and(|directory| meta.uid() == directory.uid())
    };
    let is_part = |path: &PathBuf| fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file() && is_owner(&meta, path));
    match names.filter(is_part).last().map(|path| open_part(&path)).transpose() {
        // The complete bundle is read instead.
        Err(_) if file.exists() => Ok(None),
        opened => opened,
    }
}

fn with_warning((bundle, state): (Bundle, State)) -> Opened {
    let path = bundle.path().display();
    let warning = match state {
        State::Complete => None,
        State::Growing => Some(format!("{path} is unfinished: a capture is writing it")),
        // Interrupted.
        _ => Some(format!(
            "{path} is unfinished: its capture was interrupted; make a bundle of it with: spectral capture recover \
             {path}"
        )),
    };
    Opened { bundle, state, warning }
}

/// A capture makes at most this many unfinished bundles for one output.
const MAX_PARTS: u32 = 100;
