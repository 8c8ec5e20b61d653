//! What goes wrong while a capture goes on: told once a kind as it happens, and counted for the end.

use super::{MOST_MESSAGES, MOST_TRACES};
use crate::bundle::archive::part::{Owner, owner};
use crate::config::Observer;
use crate::notice::Notice;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// What can go wrong while a capture goes on, or at its end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trouble {
    /// Another capture's part was there.
    OtherPart(PathBuf),
    /// Something did not go into the archive.
    Unwritten,
    /// Something panicked.
    Panic,
    /// A body's end did not go into its spill file.
    CutBody,
    /// Ids past four digits.
    ManyTraces,
    /// Ids past three digits.
    ManyMessages,
    /// The bundle is whole and could not be renamed.
    Unnamed(PathBuf),
    /// The bundle lacks its end.
    Unfinished(PathBuf),
}

/// Troubles by kind, so that a full disk does not make a sentence for each exchange.
pub(super) struct Troubles {
    observer: Observer,
    /// How often, and the first cause.
    known: BTreeMap<Trouble, (u64, String)>,
    writing: Writing,
}

/// Whether the archive takes what is written: that it does not, and that it does again, is told once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writing {
    Well,
    Failing,
    WellAgain,
}

impl Troubles {
    pub(super) fn new(observer: Observer) -> Self {
        Self { observer, known: BTreeMap::new(), writing: Writing::Well }
    }

    /// Counts it, and tells the owner of the first of its kind.
    pub(super) fn add(&mut self, trouble: Trouble, cause: &str) {
        if let Some((count, _)) = self.known.get_mut(&trouble) {
            *count = count.saturating_add(1);
            return;
        }
        self.tell(&Notice::Trouble { what: sentence(&trouble, 1, cause) });
        if trouble == Trouble::Unwritten {
            self.writing = Writing::Failing;
        }
        self.known.insert(trouble, (1, cause.to_owned()));
    }

    /// Something was written. `owed` of what was not will be tried again.
    pub(super) fn written(&mut self, owed: usize) {
        if self.writing == Writing::Failing {
            self.writing = Writing::WellAgain;
            let lost = self.count(&Trouble::Unwritten).saturating_sub(u64::try_from(owed).unwrap_or(u64::MAX));
            let (lost, were) = match lost {
                1 => ("1 exchange or message".to_owned(), "was"),
                lost => (format!("{lost} exchanges or messages"), "were"),
            };
            self.tell(&Notice::Trouble { what: format!("the bundle can be written again; {lost} {were} lost") });
        }
    }

    /// Takes back `times`.
    pub(super) fn forget(&mut self, trouble: Trouble, times: u64) {
        if let Some((count, _)) = self.known.get_mut(&trouble) {
            *count = count.saturating_sub(times);
        }
    }

    /// The observer is the owner's code; its panic is not ours.
    pub(super) fn tell(&self, notice: &Notice) {
        let _ = catch_unwind(AssertUnwindSafe(|| self.observer.tell(notice)));
    }

    /// How many items are not in the bundle.
    pub(super) fn lost(&self) -> u64 {
        self.count(&Trouble::Unwritten).saturating_add(self.count(&Trouble::Panic))
    }

    /// How many bodies lack their end.
    pub(super) fn cut(&self) -> u64 {
        self.count(&Trouble::CutBody)
    }

    fn count(&self, trouble: &Trouble) -> u64 {
        self.known.get(trouble).map_or(0, |(count, _)| *count)
    }

    /// One for each kind.
    pub(super) fn sentences(&self) -> Vec<String> {
        let told = self.known.iter().filter(|(_, (count, _))| *count > 0);
        told.map(|(trouble, (count, cause))| sentence(trouble, *count, cause)).collect()
    }
}

fn sentence(trouble: &Trouble, count: u64, cause: &str) -> String {
    match trouble {
        Trouble::OtherPart(part) => match owner(part) {
            Owner::Alive => format!("another capture is running and writes {}", part.display()),
            Owner::Gone => format!("{} is there from a capture that did not end: {}", part.display(), recover(part)),
        },
        Trouble::Unwritten if count == 1 => format!("an exchange or message could not be written: {cause}"),
        Trouble::Unwritten => format!("{count} exchanges or messages could not be written: {cause}"),
        Trouble::Panic if count == 1 => "an exchange or message was lost to a defect of this program".into(),
        Trouble::Panic => format!("{count} exchanges or messages were lost to a defect of this program"),
        Trouble::CutBody if count == 1 => format!("the end of a body is missing from the bundle: {cause}"),
        Trouble::CutBody => format!("the ends of {count} bodies are missing from the bundle: {cause}"),
        Trouble::ManyTraces => {
            format!("there are more than {MOST_TRACES} traces: tools that sort them by name misorder those beyond")
        }
        Trouble::ManyMessages => format!(
            "there are more than {MOST_MESSAGES} messages on a WebSocket: tools that sort them by name misorder those beyond"
        ),
        Trouble::Unnamed(part) => format!("the bundle is whole but stays in {}: {cause}", part.display()),
        Trouble::Unfinished(part) => {
            format!("the bundle could not be completed: {cause}; {}", recover(part))
        }
    }
}

/// How to make a bundle of `part`.
fn recover(part: &Path) -> String {
    format!("spectral capture recover {} makes a bundle of what it holds", part.display())
}
