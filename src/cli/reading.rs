//! Opens bundles for the commands that read them: whole ones, and those that a capture is still writing.

use super::text::escape;
use spectral_capture::reader::{Bundle, Error, Ids, State};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// Why nothing more is shown.
pub(crate) enum Stop {
    /// The output takes no more.
    Out(io::Error),
    Bundle(Error),
    /// What was asked for makes no sense here; a sentence.
    Asked(String),
}

impl From<io::Error> for Stop {
    fn from(e: io::Error) -> Self {
        Self::Out(e)
    }
}

impl From<serde_json::Error> for Stop {
    fn from(e: serde_json::Error) -> Self {
        Self::Out(e.into())
    }
}

impl From<Error> for Stop {
    fn from(e: Error) -> Self {
        Self::Bundle(e)
    }
}

/// What to tell of a command's end. A reader that left early has what it wanted, and is nothing to complain about.
pub(crate) fn ended(result: Result<(), Stop>) -> Result<(), String> {
    match result {
        Ok(()) => Ok(()),
        Err(Stop::Out(e)) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(Stop::Out(e)) => Err(format!("cannot write: {e}")),
        Err(Stop::Bundle(e)) => Err(escape(&e.to_string()).into_owned()),
        Err(Stop::Asked(what)) => Err(escape(&what).into_owned()),
    }
}

/// Which of two files is meant, where both are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prefer {
    /// The bundle that was named.
    Whole,
    /// The one that a capture is writing, to take its place.
    Growing,
}

/// An open bundle, how far it has come, and what one has to know about that.
pub(crate) struct Opened {
    pub(crate) bundle: Bundle,
    pub(crate) state: State,
    pub(crate) remark: Option<String>,
}

/// Opens `file`; where there is only its `.part`, that.
pub(crate) fn open(file: &Path, prefer: Prefer) -> Result<Opened, Stop> {
    if file.extension().is_some_and(|extension| extension == "part") {
        return Ok(remarked(part(file)?));
    }
    let growing = last_part(file)?;
    match growing {
        Some(part) if !file.exists() => Ok(remarked(part)),
        Some(part) if part.1 == State::Growing && prefer == Prefer::Growing => Ok(remarked(part)),
        Some((part, State::Growing)) => {
            let remark = format!("a capture is writing {}: --follow shows that one", part.path().display());
            Ok(Opened { bundle: Bundle::open(file)?, state: State::Complete, remark: Some(remark) })
        }
        _ => Ok(Opened { bundle: Bundle::open(file)?, state: State::Complete, remark: None }),
    }
}

/// Fails unless the bundle has an exchange called `id`.
pub(crate) fn known(bundle: &Bundle, id: &str) -> Result<(), Stop> {
    if bundle.sockets().contains(id) {
        return Err(Stop::Asked(format!("{id} is a WebSocket: --ws {id} shows its messages")));
    }
    known_among(bundle, "trace", bundle.traces(), id)
}

/// Fails unless the bundle has a WebSocket called `id`.
pub(crate) fn known_socket(bundle: &Bundle, id: &str) -> Result<(), Stop> {
    if bundle.traces().contains(id) {
        return Err(Stop::Asked(format!("{id} is an exchange: --trace {id} shows it")));
    }
    known_among(bundle, "WebSocket", bundle.sockets(), id)
}

fn known_among(bundle: &Bundle, what: &str, ids: &Ids, id: &str) -> Result<(), Stop> {
    if ids.contains(id) {
        return Ok(());
    }
    let range = match (ids.first(), ids.last()) {
        (Some(first), Some(last)) if first == last => format!("it has {first} alone"),
        (Some(first), Some(last)) => format!("it has {first} to {last}"),
        _ => "it has none".into(),
    };
    Err(Stop::Asked(format!("{} has no {what} {id}: {range}", bundle.path().display())))
}

fn part(file: &Path) -> Result<(Bundle, State), Stop> {
    let mut bundle = Bundle::open_part(file)?;
    let state = bundle.refresh()?;
    Ok((bundle, state))
}

/// The last of `NAME.zip.part`, `NAME.zip.2.part` and so on: earlier ones are of captures that did not end.
fn last_part(file: &Path) -> Result<Option<(Bundle, State)>, Stop> {
    let path = |n: u32| -> PathBuf {
        let mut name = OsString::from(file);
        name.push(if n == 1 { ".part".to_owned() } else { format!(".{n}.part") });
        name.into()
    };
    let last = (1..=MOST_PARTS).map(path).take_while(|path| path.exists()).last();
    last.map(|path| part(&path)).transpose()
}

fn remarked((bundle, state): (Bundle, State)) -> Opened {
    let path = bundle.path().display();
    let remark = match state {
        State::Complete => None,
        State::Growing => Some(format!("{path} is unfinished: a capture is writing it")),
        State::Interrupted => Some(format!(
            "{path} is unfinished, and nobody is writing it: spectral capture recover {path} makes a bundle of it"
        )),
    };
    Opened { bundle, state, remark }
}

/// As many as a capture makes.
const MOST_PARTS: u32 = 100;
