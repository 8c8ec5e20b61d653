//! A ZIP file being read, by its directory. The one file that names `zip`.

use super::records::{Entry, Packing};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

/// A bundle being read.
pub(crate) struct Opened(ZipArchive<BufReader<File>>);

impl Opened {
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        let file = File::open(path).map_err(|e| e.to_string())?;
        ZipArchive::new(BufReader::new(file)).map(Self).map_err(|e| explain(&e))
    }

    /// What is in it, but for names that nobody could ask for.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        self.0.file_names().filter_map(|name| Some(name.ok()?.into_owned()))
    }

    /// An entry's content if it is there, and if its size is at most `most`.
    pub(crate) fn read(&mut self, name: &str, most: u64) -> Result<Option<Vec<u8>>, String> {
        let entry = match self.0.by_name(name) {
            Ok(entry) => entry,
            Err(ZipError::FileNotFound) => return Ok(None),
            Err(e) => return Err(explain(&e)),
        };
        let size = entry.size();
        if size > most {
            return Err(format!("is too large ({size} bytes)"));
        }
        // The size is a claim: memory grows with what is really there.
        let mut content = Vec::new();
        let read = entry.take(size.saturating_add(1)).read_to_end(&mut content).map_err(|e| e.to_string())?;
        if read as u64 != size {
            return Err("has another size than the archive says".into());
        }
        Ok(Some(content))
    }

    /// An entry as it is packed, if it is there.
    pub(crate) fn packed(&mut self, name: &str) -> Result<Option<(Entry, impl Read)>, String> {
        let Some(index) = self.0.index_for_name(name) else { return Ok(None) };
        let raw = self.0.by_index_raw(index).map_err(|e| explain(&e))?;
        let packing = match raw.compression() {
            CompressionMethod::Stored if !raw.encrypted() => Packing::Stored,
            CompressionMethod::Deflated if !raw.encrypted() => Packing::Deflated,
            _ => return Err("is packed in a way that is not known here".into()),
        };
        let (crc, packed, size) = (raw.crc32(), raw.compressed_size(), raw.size());
        Ok(Some((Entry { name: name.to_owned(), packing, crc, packed, size, large: false }, raw)))
    }
}

fn explain(error: &ZipError) -> String {
    match error {
        ZipError::Io(e) => e.to_string(),
        ZipError::InvalidArchive(_) => "it is no ZIP archive, or is cut off".into(),
        e => e.to_string(),
    }
}
