//! A body on its way into an export, or a payload to be shown. One that is too large for the memory is read twice: to see if it is text, and to write it.
//!
//! ```text
//! up to 1 MiB     read once ─▶ memory ─▶ written
//! larger          read: is it text? does its checksum match? ─▶ read again, written block by block
//! ```

use crate::bundle::id::ItemKind;
use crate::bundle::reader::{Body, BodyEntry, Bundle, Error, Message, Trace};
use crate::text::{Base64, TextDecoder, as_text};
use serde::{Serialize, Serializer};
use std::cell::RefCell;
use std::convert::Infallible;
use std::fmt::{self, Display};

/// A body that can be read again. It was read once, and is not damaged.
#[derive(Debug)]
pub struct StoredBody<'b> {
    size: u64,
    content: Content<'b>,
    is_text: bool,
    /// The first error of a second read. A formatter cannot return it.
    error: RefCell<Option<Error>>,
}

#[derive(Debug)]
enum Content<'b> {
    InMemory(Vec<u8>),
    Large(&'b Bundle, BodyEntry),
}

impl<'b> StoredBody<'b> {
    /// Reads the body that the JSON of the item `id` calls `file`; empty without a file.
    pub(super) fn new(bundle: &'b Bundle, kind: ItemKind, id: &str, file: Option<&str>) -> Result<Self, Error> {
        let Some(file) = file else { return Ok(Self::of_bytes(Vec::new())) };
        let entry = bundle.body_entry(kind, id, file)?;
        let mut body = bundle.open_body(&entry)?;
        let size = body.size();
        let mut check = TextDecoder::new();
        if size <= MAX_MEMORY_BYTES {
            let mut bytes = Vec::new();
            for_each_block(&mut body, &mut |block| bytes.extend_from_slice(block))?;
            return Ok(Self::of_bytes(bytes));
        }
        let mut is_text = true;
        for_each_block(&mut body, &mut |block| {
            is_text = is_text && check.push(block, &mut |_| Ok::<_, Infallible>(())).is_ok_and(|is_text| is_text);
        })?;
        let is_text = is_text && check.is_complete();
        // It is read again.
        bundle.meter().take_back(size);
        Ok(Self { size, content: Content::Large(bundle, entry), is_text, error: RefCell::default() })
    }

    /// Reads the payload of `message`.
    ///
    /// # Errors
    /// If it is missing or damaged.
    pub fn of_message(bundle: &'b Bundle, message: &Message) -> Result<Self, Error> {
        Self::new(bundle, ItemKind::Message, &message.id, message.payload_file.as_deref())
    }

    /// Returns the request body and the response body of `trace`.
    pub(super) fn of_trace(bundle: &'b Bundle, trace: &Trace) -> Result<[Self; 2], Error> {
        let stored = |file: &Option<String>| Self::new(bundle, ItemKind::Trace, &trace.id, file.as_deref());
        Ok([stored(&trace.request.body_file)?, stored(&trace.response.body_file)?])
    }

    pub(super) fn of_bytes(bytes: Vec<u8>) -> Self {
        let (size, is_text) = (bytes.len() as u64, as_text(&bytes).is_some());
        Self { size, content: Content::InMemory(bytes), is_text, error: RefCell::default() }
    }

    /// Returns the size in bytes.
    pub fn len(&self) -> u64 {
        self.size
    }

    /// Returns true for a body of no bytes.
    pub fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// Returns true if it is in memory.
    pub(super) fn is_in_memory(&self) -> bool {
        matches!(self.content, Content::InMemory(_))
    }

    /// Returns its size in memory.
    pub(super) fn memory(&self) -> usize {
        match &self.content {
            Content::InMemory(bytes) => bytes.len(),
            Content::Large(..) => 0,
        }
    }

    /// Returns true if it is text.
    pub fn is_text(&self) -> bool {
        self.is_text
    }

    /// Returns the text if it is text in memory.
    pub(super) fn text_in_memory(&self) -> Option<&str> {
        self.in_memory().and_then(as_text)
    }

    /// Returns the bytes if they are in memory.
    pub fn in_memory(&self) -> Option<&[u8]> {
        match &self.content {
            Content::InMemory(bytes) => Some(bytes),
            Content::Large(..) => None,
        }
    }

    /// Passes all of it to `sink`, in blocks. [`StoredBody::check`] returns an error of the bundle.
    pub fn read(&self, sink: &mut dyn FnMut(&[u8])) {
        match &self.content {
            Content::InMemory(bytes) => sink(bytes),
            Content::Large(bundle, entry) => {
                if let Err(e) = bundle.stream_body(entry, sink) {
                    self.error.borrow_mut().get_or_insert(e);
                }
            }
        }
    }

    /// Fails if it could not be read while it was written.
    ///
    /// # Errors
    /// The first error of a second read.
    pub fn check(self) -> Result<(), Error> {
        self.error.into_inner().map_or(Ok(()), Err)
    }
}

fn for_each_block(body: &mut Body<'_>, sink: &mut dyn FnMut(&[u8])) -> Result<(), Error> {
    loop {
        match body.next_block()? {
            [] => return Ok(()),
            block => sink(block),
        }
    }
}

/// The content of a body as a string: its text, with U+FFFD for invalid bytes, or base64.
#[derive(Debug)]
pub struct BodyString<'s, 'b> {
    body: &'s StoredBody<'b>,
    form: StringForm,
}

/// The form of a [`BodyString`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StringForm {
    Text,
    Base64,
}

impl<'b> StoredBody<'b> {
    /// Returns its text.
    pub fn as_text(&self) -> BodyString<'_, 'b> {
        BodyString { body: self, form: StringForm::Text }
    }

    /// Returns its base64.
    pub fn as_base64(&self) -> BodyString<'_, 'b> {
        BodyString { body: self, form: StringForm::Base64 }
    }
}

impl Display for BodyString<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The start of a character, or of three bytes, that continues in the next block.
        let mut split: Vec<u8> = Vec::new();
        let write = |bytes: &[u8], f: &mut fmt::Formatter<'_>| match self.form {
            StringForm::Text => f.write_str(&String::from_utf8_lossy(bytes)),
            StringForm::Base64 => Base64(bytes).fmt(f),
        };
        let mut written = Ok(());
        self.body.read(&mut |block| {
            let joined;
            let bytes = match split.is_empty() {
                true => block,
                false => {
                    joined = [&split, block].concat();
                    &joined
                }
            };
            let whole = match self.form {
                StringForm::Text => bytes.len().saturating_sub(split_character_len(bytes)),
                StringForm::Base64 => bytes.len().saturating_sub(bytes.len() % 3),
            };
            let (bytes, rest) = bytes.split_at(whole);
            written = written.and_then(|()| write(bytes, f));
            split = rest.to_vec();
        });
        written?;
        write(&split, f)
    }
}

impl Serialize for BodyString<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.form, &self.body.content) {
            (StringForm::Text, Content::InMemory(bytes)) => serializer.serialize_str(&String::from_utf8_lossy(bytes)),
            _ => serializer.collect_str(self),
        }
    }
}

/// Returns the length of a character at the end of `bytes` that is not complete; 0 if there is none.
fn split_character_len(bytes: &[u8]) -> usize {
    // A character has up to four bytes.
    let tail = bytes.get(bytes.len().saturating_sub(3)..).unwrap_or_default();
    let start = tail.iter().rposition(|byte| byte & 0xc0 != 0x80);
    let character = start.and_then(|start| tail.get(start..)).unwrap_or_default();
    let len = match character.first() {
        Some(0xf0..=0xf7) => 4,
        Some(0xe0..=0xef) => 3,
        Some(0xc0..=0xdf) => 2,
        _ => 1,
    };
    if character.len() < len { character.len() } else { 0 }
}

/// The largest body that is kept in memory.
#[cfg(not(test))]
const MAX_MEMORY_BYTES: u64 = 1 << 20;
#[cfg(test)]
const MAX_MEMORY_BYTES: u64 = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::archive::{Archive, CompressionMethod};
    use crate::bundle::json::add_json;
    use crate::bundle::test_dir::TestDir;
    use serde_json::json;
    use std::time::Duration;

    #[test]
    fn large_bodies_are_written_as_small_ones_are() {
        let dir = TestDir::new("stored");
        // Characters and groups of three bytes lie across the ends of blocks.
        for unit in [&b"a\"\xc3\xbc\xe6\x97\xa5\xf0\x9f\x98\x80"[..], b"a\0b", b"\xff\xe6a", b"\xe6\x97", b"plain\n"] {
            for size in [MAX_MEMORY_BYTES - 1, MAX_MEMORY_BYTES + 1, 70_000, 131_072, 200_001] {
                let bytes: Vec<u8> = unit.iter().copied().cycle().take(usize::try_from(size).unwrap()).collect();
                let (mut archive, _) = Archive::create(&dir.path("a.zip"), Duration::ZERO).unwrap();
                archive
                    .group(|archive| {
                        archive.add("traces/t_0001_response.bin", &bytes, CompressionMethod::Deflated, &[])?;
                        let trace = json!({"response": {"body_file": "t_0001_response.bin"}});
                        add_json(archive, "traces/t_0001.json".into(), &trace, &[])?;
                        add_json(archive, "manifest.json".into(), &json!({}), &[])
                    })
                    .unwrap();
                let bundle = Bundle::open(archive.finish().unwrap().path).unwrap();
                let trace = bundle.trace("t_0001").unwrap();
                let [_, stored] = StoredBody::of_trace(&bundle, &trace).unwrap();
                assert_eq!(matches!(stored.content, Content::Large(..)), size > MAX_MEMORY_BYTES);
                assert_eq!((stored.len(), stored.is_text()), (size, as_text(&bytes).is_some()), "{unit:?}");
                for (string, expected) in [
                    (stored.as_text(), String::from_utf8_lossy(&bytes).into_owned()),
                    (stored.as_base64(), Base64(&bytes).to_string()),
                ] {
                    assert!(string.to_string() == expected, "{unit:?} {size}");
                    assert!(serde_json::to_string(&string).unwrap() == serde_json::to_string(&expected).unwrap());
                }
                stored.check().unwrap();
            }
        }
    }
}
