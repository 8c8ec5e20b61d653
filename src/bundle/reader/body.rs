//! The bodies of exchanges and the payloads of messages. They may be larger than the memory, so they are read in blocks.

use super::{Bundle, EntryError, Error, Message, Meter, Source, Trace};
#[cfg(feature = "tools")]
use crate::bundle::archive::PackedEntry;
use crate::bundle::archive::entry_content::EntryContent;
use crate::bundle::archive::file_range::FileRange;
use crate::bundle::archive::{Archive, EntryHeader};
use crate::bundle::id::{ItemKind, owns_file};
use std::fmt;
use std::io::{self, BufReader, Read};

/// The name of an archive entry with a body or payload, which belongs to the item whose JSON names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BodyEntry(String);

/// A reader of a body or payload of any size.
///
/// ```no_run
/// # fn count(bundle: &spectral_capture::reader::Bundle) -> Result<(), spectral_capture::reader::Error> {
/// let trace = bundle.trace("t_0001")?;
/// let (mut body, mut lines) = (bundle.open_response_body(&trace)?, 0);
/// loop {
///     match body.next_block()? {
///         [] => break,
///         block => lines += block.iter().filter(|&&byte| byte == b'\n').count(),
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct Body<'b> {
    bundle: &'b Bundle,
    /// The name of the entry; empty without one.
    name: String,
    content: BodyContent<'b>,
}

/// The source of a body.
enum BodyContent<'b> {
    Empty,
    Entry(Box<EntryContent<'b>>),
    /// A gzip member as received, of an unfinished bundle.
    Received(Received<'b>),
}

impl<'b> BodyContent<'b> {
    fn entry(content: EntryContent<'b>) -> Self {
        Self::Entry(Box::new(content))
    }
}

/// A body as it was received.
pub(super) struct Received<'b> {
    pub(super) from: Box<dyn Read + Send + 'b>,
    pub(super) size: u64,
    /// A buffer for [`Body::next_block`].
    pub(super) block: Vec<u8>,
}

impl Body<'_> {
    /// Returns the size in bytes, as the archive claims it. [`Body::next_block`] never returns more.
    pub fn size(&self) -> u64 {
        match &self.content {
            BodyContent::Empty => 0,
            BodyContent::Entry(content) => content.size(),
            BodyContent::Received(received) => received.size,
        }
    }

    /// Returns the next bytes, at most 64 KiB; none at the end.
    ///
    /// # Errors
    /// Returns [`Error::Malformed`] if the body cannot be read. If its size or checksum is wrong, earlier blocks were too.
    pub fn next_block(&mut self) -> Result<&[u8], Error> {
        let block = match &mut self.content {
            BodyContent::Empty => return Ok(&[]),
            BodyContent::Entry(content) => content.next(),
            BodyContent::Received(received) => received.next().map_err(EntryError::from),
        };
        let block = block.map_err(|cause| self.bundle.malformed(&self.name, cause))?;
        self.bundle.meter.add(block.len() as u64);
        Ok(block)
    }

    /// Reads all of it, up to `max_size` bytes.
    fn read_all(mut self, max_size: u64) -> Result<Vec<u8>, Error> {
        if self.size() > max_size {
            return Err(self.bundle.malformed(&self.name, EntryError::TooLarge(self.size())));
        }
        let mut bytes = Vec::new();
        loop {
            match self.next_block()? {
                [] => return Ok(bytes),
                block => bytes.extend_from_slice(block),
            }
        }
    }
}

impl fmt::Debug for Body<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("name", &self.name).field("size", &self.size()).finish_non_exhaustive()
    }
}

impl Received<'_> {
    fn next(&mut self) -> io::Result<&[u8]> {
        self.block.resize(BLOCK_BYTES, 0);
        loop {
            match self.from.read(&mut self.block) {
                Ok(n) => return Ok(self.block.get(..n).unwrap_or_default()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
}

impl Bundle {
    /// Opens the request body of an exchange; empty if it has none. The body is decoded unless `request.body_encoding` is
    /// set.
    ///
    /// # Errors
    /// Returns [`Error::Missing`] if the bundle has no such entry, and [`Error::Malformed`] if it cannot be read.
    pub fn open_request_body(&self, trace: &Trace) -> Result<Body<'_>, Error> {
        self.open_file(ItemKind::Trace, &trace.id, trace.request.body_file.as_deref())
    }

    /// Opens the response body of an exchange; empty if it has none. The body is decoded unless `response.body_encoding` is
    /// set.
    ///
    /// # Errors
    /// Returns [`Error::Missing`] if the bundle has no such entry, and [`Error::Malformed`] if it cannot be read.
    pub fn open_response_body(&self, trace: &Trace) -> Result<Body<'_>, Error> {
        self.open_file(ItemKind::Trace, &trace.id, trace.response.body_file.as_deref())
    }

    /// Opens the payload of a message, unmasked; empty if it has none. The payload is decoded unless `payload_encoding` is
    /// set.
    ///
    /// # Errors
    /// Returns [`Error::Missing`] if the bundle has no such entry, and [`Error::Malformed`] if it cannot be read.
    pub fn open_payload(&self, message: &Message) -> Result<Body<'_>, Error> {
        self.open_file(ItemKind::Message, &message.id, message.payload_file.as_deref())
    }

    /// As [`Bundle::open_request_body`], for bodies of up to 1 GiB.
    ///
    /// # Errors
    /// As [`Bundle::open_request_body`], and [`Error::Malformed`] if the body is larger.
    pub fn request_body(&self, trace: &Trace) -> Result<Vec<u8>, Error> {
        self.open_request_body(trace)?.read_all(MAX_BODY_BYTES)
    }

    /// As [`Bundle::open_response_body`], for bodies of up to 1 GiB.
    ///
    /// # Errors
    /// As [`Bundle::open_response_body`], and [`Error::Malformed`] if the body is larger.
    pub fn response_body(&self, trace: &Trace) -> Result<Vec<u8>, Error> {
        self.open_response_body(trace)?.read_all(MAX_BODY_BYTES)
    }

    /// As [`Bundle::open_payload`], for payloads of up to 1 GiB.
    ///
    /// # Errors
    /// As [`Bundle::open_payload`], and [`Error::Malformed`] if the payload is larger.
    pub fn payload(&self, message: &Message) -> Result<Vec<u8>, Error> {
        self.open_payload(message)?.read_all(MAX_BODY_BYTES)
    }

    /// Opens the body `file` of the item `id`; empty without a file.
    fn open_file(&self, kind: ItemKind, id: &str, file: Option<&str>) -> Result<Body<'_>, Error> {
        match file {
            Some(file) => self.open_body(&self.body_entry(kind, id, file)?),
            None => Ok(Body { bundle: self, name: String::new(), content: BodyContent::Empty }),
        }
    }

    /// Opens the body in an entry.
    pub(crate) fn open_body(&self, BodyEntry(name): &BodyEntry) -> Result<Body<'_>, Error> {
        let found = match &self.source {
            Source::Complete(reader) => reader.content(name).map(|found| found.map(BodyContent::entry)),
            Source::Growing(growing) => growing.received(name).and_then(|received| match received {
                Some(received) => Ok(Some(BodyContent::Received(received))),
                None => Ok(growing.content(name)?.map(BodyContent::entry)),
            }),
        };
        let content = found.map_err(|cause| self.malformed(name, cause))?.ok_or_else(|| self.missing(name))?;
        Ok(Body { bundle: self, name: name.clone(), content })
    }

    /// Returns the entry of the body or payload that the JSON of the item `id` calls `file`. Fails if it is that of another
    /// item: thousands of items could otherwise share one body, and a copy of the bundle would be much larger than itself.
    pub(crate) fn body_entry(&self, kind: ItemKind, id: &str, file: &str) -> Result<BodyEntry, Error> {
        match owns_file(id, file) {
            true => Ok(BodyEntry(kind.body_name(file))),
            false => Err(self.malformed(&kind.json_name(id), EntryError::ForeignFile(file.to_owned()))),
        }
    }

    /// Copies the entry `from` to `archive` as `to`, without recompressing it.
    pub(crate) fn copy(&self, archive: &mut Archive, BodyEntry(from): &BodyEntry, to: String) -> io::Result<()> {
        let (header, mut content) = self.compressed(from).map_err(io::Error::other)?;
        let (size, mut copied) = (header.size, 0u64);
        let metered = Metered { from: &mut content, meter: &self.meter, copied: &mut copied };
        let block_bytes = usize::try_from(header.compressed_size).map_or(BLOCK_BYTES, |len| len.min(BLOCK_BYTES));
        let mut blocks = BufReader::with_capacity(block_bytes, metered);
        archive.copy(EntryHeader { name: to, ..header }, &[], &mut blocks)?;
        // The rest of its content, which was not inflated.
        self.meter.add(size.saturating_sub(copied));
        Ok(())
    }

    /// Reads the entry `from` as [`Bundle::copy`] copies it. For small entries: all of it is in memory.
    #[cfg(feature = "tools")]
    pub(crate) fn packed(&self, BodyEntry(from): &BodyEntry, to: String) -> Result<PackedEntry, Error> {
        let (header, mut compressed) = self.compressed(from)?;
        let mut content = Vec::new();
        let read = compressed.read_to_end(&mut content);
        if read.map_err(|e| self.malformed(from, e.into()))? as u64 != header.compressed_size {
            return Err(self.malformed(from, EntryError::Damaged));
        }
        self.meter.add(header.size);
        Ok(PackedEntry { header: EntryHeader { name: to, is_zip64: false, ..header }, content })
    }

    /// Returns the number of bytes that a reader of the entry needs to have in memory, compressed or not.
    #[cfg(feature = "tools")]
    pub(crate) fn entry_bytes(&self, BodyEntry(name): &BodyEntry) -> Result<u64, Error> {
        let (header, _) = self.compressed(name)?;
        Ok(header.size.max(header.compressed_size))
    }

    /// Fails if the entry cannot be copied. Damaged content can.
    pub(crate) fn require_entry(&self, BodyEntry(name): &BodyEntry) -> Result<(), Error> {
        self.compressed(name).map(drop)
    }

    /// Returns the header and the compressed content of the entry `name`.
    fn compressed(&self, name: &str) -> Result<(EntryHeader, FileRange<'_>), Error> {
        let compressed = match &self.source {
            Source::Complete(reader) => reader.compressed(name),
            Source::Growing(growing) => growing.compressed(name),
        };
        compressed.map_err(|cause| self.malformed(name, cause))?.ok_or_else(|| self.missing(name))
    }

    /// Passes the content of a body to `sink`.
    pub(crate) fn stream_body(&self, entry: &BodyEntry, sink: &mut dyn FnMut(&[u8])) -> Result<(), Error> {
        let mut body = self.open_body(entry)?;
        loop {
            match body.next_block()? {
                [] => return Ok(()),
                block => sink(block),
            }
        }
    }
}

/// Counts the compressed bytes that are read.
struct Metered<'m, R> {
    from: &'m mut R,
    meter: &'m Meter,
    copied: &'m mut u64,
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(into)?;
        self.meter.add(n as u64);
        *self.copied = self.copied.saturating_add(n as u64);
        Ok(n)
    }
}

/// The largest body that is read into memory.
const MAX_BODY_BYTES: u64 = 1 << 30;

/// The size of a block of [`Received`].
const BLOCK_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::archive::CompressionMethod;
    use crate::bundle::json::add_json;
    use crate::bundle::test_dir::TestDir;
    use serde_json::json;
    use std::fs;
    use std::time::Duration;

    /// Writes a bundle with one exchange, whose response body is `body`.
    fn bundle_with(dir: &TestDir, body: &[u8], method: CompressionMethod) -> std::path::PathBuf {
        let (mut archive, _) = Archive::create(&dir.path("a.zip"), Duration::ZERO).unwrap();
        archive
            .group(|archive| {
                archive.add("traces/t_0001_response.bin", body, method, &[])?;
                let trace = json!({"response": {"body_file": "t_0001_response.bin"}});
                add_json(archive, "traces/t_0001.json".into(), &trace, &[])?;
                add_json(archive, "manifest.json".into(), &json!({}), &[])
            })
            .unwrap();
        archive.finish().unwrap().path
    }

    fn blocks(path: &std::path::Path) -> Result<Vec<Vec<u8>>, Error> {
        let bundle = Bundle::open(path)?;
        let trace = bundle.trace("t_0001")?;
        assert!(bundle.open_request_body(&trace)?.next_block()?.is_empty());
        let (mut body, mut blocks) = (bundle.open_response_body(&trace)?, Vec::new());
        loop {
            match body.next_block()? {
                [] => return Ok(blocks),
                block => blocks.push(block.to_vec()),
            }
        }
    }

    #[test]
    fn bodies_are_read_in_blocks() {
        let (dir, body) = (TestDir::new("body"), (0..50_000u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>());
        for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
            for len in [1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 2 * BLOCK_BYTES, body.len()] {
                let blocks = blocks(&bundle_with(&dir, &body[..len], method)).unwrap();
                assert!(blocks.concat() == body[..len], "{len} {method:?}");
                assert!(blocks.iter().all(|block| block.len() <= BLOCK_BYTES), "{len} {method:?}");
            }
        }
    }

    #[test]
    fn damage_is_found_at_the_end_at_the_latest() {
        let (dir, body) = (TestDir::new("body"), vec![b'x'; 3 * BLOCK_BYTES]);
        let path = bundle_with(&dir, &body, CompressionMethod::Stored);
        let mut bytes = fs::read(&path).unwrap();
        let at = bytes.windows(9).position(|window| window == b"xxxxxxxxx").unwrap();
        bytes[at + 2 * BLOCK_BYTES] ^= 1;
        fs::write(&path, bytes).unwrap();
        let error = blocks(&path).unwrap_err();
        assert!(matches!(error, Error::Malformed { cause: EntryError::Damaged, .. }), "{error}");
    }
}
