//! The captures that the bundles to merge belong to. Bundles with one `capture_id` are parts of one capture: a capture
//! that rotates writes several, and an item may be in more than one of them.

use crate::bundle::reader::{Bundle, Error, Manifest};
use crate::bundle::{iso8601, uuid};
use crate::sorting::sort_by;
use crate::tools::id_set::IdSet;
use std::path::{Path, PathBuf};

/// The bundles of one capture.
pub(super) struct Capture<'p> {
    /// A UUID, or the text of another producer, which may be empty.
    pub(super) id: String,
    /// Its parts by time.
    pub(super) parts: Vec<Part<'p>>,
    /// The ids of WebSockets in any part.
    websockets: IdSet,
    /// The ids of WebSockets in more than one part.
    pub(super) split_websockets: IdSet,
}

/// A bundle of a capture.
pub(super) struct Part<'p> {
    /// Its start: in milliseconds since the epoch, then as its manifest has it, with microseconds.
    start: (Option<u64>, String),
    pub(super) path: &'p Path,
}

/// Opens each bundle, passes it to `opened`, and returns the captures in the order of their first bundles.
pub(super) fn captures<'p>(
    paths: &'p [PathBuf],
    mut opened: impl FnMut(&Bundle) -> Result<(), Error>,
) -> Result<Vec<Capture<'p>>, Error> {
    let mut captures: Vec<Capture<'_>> = Vec::new();
    for path in paths {
        let bundle = Bundle::open(path)?;
        opened(&bundle)?;
        let Manifest { capture_id: id, created_at, .. } = bundle.manifest();
        // Other ids may not be unique.
        let known = captures.iter_mut().find(|capture| capture.id == *id && uuid::is_uuid(id));
        let part = Part { start: (iso8601::parse_millis(created_at), created_at.clone()), path };
        match known {
            Some(capture) => capture.add(part, &bundle),
            None => {
                let (websockets, split_websockets) = (IdSet::default(), IdSet::default());
                let mut capture = Capture { id: id.clone(), parts: Vec::new(), websockets, split_websockets };
                capture.add(part, &bundle);
                captures.push(capture);
            }
        }
    }
    captures.iter_mut().for_each(|capture| sort_by(&mut capture.parts, &|a, b| a.start.cmp(&b.start)));
    Ok(captures)
}

impl<'p> Capture<'p> {
    fn add(&mut self, part: Part<'p>, bundle: &Bundle) {
        for id in bundle.websockets().iter() {
            if !self.websockets.insert(id) {
                self.split_websockets.insert(id);
            }
        }
        self.parts.push(part);
    }
}
