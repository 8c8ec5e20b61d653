//! A ZIP file being read, by its directory. The one file that names `zip`.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use zip::ZipArchive;
use zip::result::ZipError;

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
}

fn explain(error: &ZipError) -> String {
    match error {
        ZipError::Io(e) => e.to_string(),
        ZipError::InvalidArchive(_) => "it is no ZIP archive, or is cut off".into(),
        e => e.to_string(),
    }
}
