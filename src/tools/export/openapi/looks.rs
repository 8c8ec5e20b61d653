//! Looks at many exchanges on several threads, with results in their order.

use crate::bundle::id::ItemKind;
use crate::bundle::reader::{Bundle, Error};
use crate::tools::in_order::{self, Outcome};
use std::any::Any;

/// The result of looking at an exchange.
pub(super) struct Look<T> {
    pub(super) id: String,
    /// The number of the exchange in the capture.
    pub(super) number: usize,
    /// `None` if it cannot be read.
    pub(super) seen: Option<T>,
    size: usize,
}

impl<T: Send> Outcome for Look<T> {
    fn size(&self) -> usize {
        self.id.len().saturating_add(self.size)
    }
}

/// The observation of an exchange and its approximate size in bytes, `None` for an exchange that is left out.
pub(super) type LookResult<T> = Result<Option<(T, usize)>, Error>;

/// Calls `look` with each exchange that `is_wanted`, and `take` with the results in order.
pub(super) fn for_each<T: Send + 'static>(
    bundle: &Bundle,
    is_wanted: &(dyn Fn(&str) -> bool + Sync),
    look: &(dyn Fn(usize, &str) -> LookResult<T> + Sync),
    take: &mut dyn FnMut(Look<T>),
) -> Result<(), Error> {
    let look = |number, id: &str| -> LookResult<AnySeen> {
        Ok(look(number, id)?.map(|(seen, size)| (Box::new(seen) as AnySeen, size)))
    };
    for_each_any(bundle, is_wanted, &look, &mut |Look { id, number, seen, size }| {
        let seen = seen.and_then(|seen| seen.downcast().ok()).map(|seen| *seen);
        take(Look { id, number, seen, size });
    })
}

/// A result of any type: the code of the threads exists once in the binary.
type AnySeen = Box<dyn Any + Send>;

fn for_each_any(
    bundle: &Bundle,
    is_wanted: &(dyn Fn(&str) -> bool + Sync),
    look: &(dyn Fn(usize, &str) -> LookResult<AnySeen> + Sync),
    take: &mut dyn FnMut(Look<AnySeen>),
) -> Result<(), Error> {
    let ids = bundle.traces().iter().enumerate().filter(|(_, id)| is_wanted(id));
    let worker = || {
        |(number, id): (usize, &str)| {
            let look = match look(number, id) {
                Ok(Some((seen, size))) => Some(Look { id: id.to_owned(), number, seen: Some(seen), size }),
                Ok(None) => None,
                Err(e) if e.is_of_one_entry() => Some(Look { id: id.to_owned(), number, seen: None, size: 0 }),
                Err(e) => return Err(e),
            };
            Ok(look)
        }
    };
    in_order::map(ids, worker, |look| {
        look.into_iter().for_each(&mut *take);
        Ok(())
    })
}

/// Reads the body or payload that the JSON of the item `id` calls `file`; empty without a file. Returns `None` if it is stored
/// encoded, or too large.
pub(super) fn load(
    bundle: &Bundle,
    kind: ItemKind,
    id: &str,
    file: Option<&str>,
    encoding: Option<&str>,
) -> Result<Option<Vec<u8>>, Error> {
    let Some(file) = file else { return Ok(Some(Vec::new())) };
    let entry = bundle.body_entry(kind, id, file)?;
    let mut body = bundle.open_body(&entry)?;
    if encoding.is_some() || body.size() > MAX_BODY_BYTES {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    loop {
        match body.next_block()? {
            [] => return Ok(Some(bytes)),
            block => bytes.extend_from_slice(block),
        }
    }
}

/// Larger bodies are not described. Several are in memory at a time.
const MAX_BODY_BYTES: u64 = 8 << 20;
