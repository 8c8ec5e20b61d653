//! An entry that is compressed in memory, to be added by the thread that writes the archive.

use super::deflate::{Deflater, MAX_WHOLE_BYTES};
use super::headers::{CompressionMethod, EntryHeader};
use crate::coding::crc32::Crc;
use std::io;

/// An entry as it will be in the file, without a recovery note.
pub(crate) struct PackedEntry {
    pub(crate) header: EntryHeader,
    /// The compressed content.
    pub(crate) content: Vec<u8>,
}

impl PackedEntry {
    /// Compresses `bytes` as [`super::Archive::add`] does: a small entry is stored if compression does not make it smaller.
    pub(crate) fn new(deflater: &mut Deflater, name: String, bytes: &[u8]) -> io::Result<Self> {
        if bytes.len() > MAX_WHOLE_BYTES {
            return Self::streamed(deflater, name, bytes);
        }
        let compressed = deflater.whole(bytes)?.filter(|compressed| compressed.len() < bytes.len());
        let method = if compressed.is_some() { CompressionMethod::Deflated } else { CompressionMethod::Stored };
        Ok(Self::of(name, method, bytes, compressed.unwrap_or(bytes).to_vec()))
    }

    /// Compresses `bytes` as the entry that [`super::Archive::begin_entry`] begins.
    pub(crate) fn streamed(deflater: &mut Deflater, name: String, bytes: &[u8]) -> io::Result<Self> {
        let mut content = Vec::new();
        let mut append = |bytes: &[u8]| {
            content.extend_from_slice(bytes);
            Ok(())
        };
        deflater.begin();
        deflater.push(bytes, &mut append)?;
        deflater.end(&mut append)?;
        Ok(Self::of(name, CompressionMethod::Deflated, bytes, content))
    }

    fn of(name: String, method: CompressionMethod, bytes: &[u8], content: Vec<u8>) -> Self {
        let mut crc = Crc::new();
        crc.update(bytes);
        let (compressed_size, size) = (content.len() as u64, bytes.len() as u64);
        Self { header: EntryHeader { name, method, crc: crc.sum(), compressed_size, size, is_zip64: false }, content }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Archive, Deflater};
    use super::*;
    use crate::bundle::test_dir::TestDir;
    use std::io::Write;
    use std::time::Duration;

    #[test]
    fn packed_entries_are_those_of_the_archive() {
        let dir = TestDir::new("packed");
        let contents: Vec<Vec<u8>> = [0, 1, 10, 3000, MAX_WHOLE_BYTES, MAX_WHOLE_BYTES + 1, 700_000]
            .map(|len| (0..len).map(|n: usize| (n.wrapping_mul(0x9e37_79b9) >> 24) as u8 & 0x3f).collect())
            .into();
        let mut deflater = Deflater::new();
        let method = CompressionMethod::Deflated;
        let mut write = |name: &str, is_packed: bool, is_streamed: bool| {
            let (mut archive, _) = Archive::create(&dir.path(name), Duration::ZERO).unwrap();
            for (n, bytes) in contents.iter().enumerate() {
                let name = format!("entry {n}");
                let add = |archive: &mut Archive| match (is_packed, is_streamed) {
                    (true, true) => archive.add_packed(&PackedEntry::streamed(&mut deflater, name, bytes)?),
                    (true, false) => archive.add_packed(&PackedEntry::new(&mut deflater, name, bytes)?),
                    (false, true) => {
                        archive.begin_entry(name, bytes.len() as u64, method, &[])?;
                        archive.write_all(bytes)
                    }
                    (false, false) => archive.add(&name, bytes, method, &[]),
                };
                archive.group(add).unwrap();
            }
            std::fs::read(archive.finish().unwrap().path).unwrap()
        };
        assert!(write("a.zip", true, false) == write("b.zip", false, false));
        assert!(write("c.zip", true, true) == write("d.zip", false, true));
    }
}
