//! The reasons why an archive or an entry of it cannot be read.

use std::error::Error;
use std::fmt;
use std::io;

/// The reason why a file cannot be opened as a bundle.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// The file cannot be opened or read.
    Io(io::Error),
    /// The path names a directory.
    IsADirectory,
    /// The file has no ZIP end record: it is another format, or truncated. An unfinished bundle has none either: see
    /// [`Bundle::open_part`](crate::reader::Bundle::open_part).
    NotZip,
    /// The ZIP directory contradicts its end record.
    DamagedDirectory,
    /// Several entries of the ZIP directory have this name.
    DuplicateEntry(String),
    /// Entries of the ZIP directory share bytes of the file.
    OverlappingEntries,
    /// The file does not begin as an unfinished bundle does.
    NotABundle,
}

/// The reason why an entry of a bundle cannot be read.
#[derive(Debug)]
#[non_exhaustive]
pub enum EntryError {
    /// The file cannot be read.
    Io(io::Error),
    /// The entry exceeds the limit for its kind: 16 MiB for JSON, 1 GiB for bodies. The value is its size in bytes.
    TooLarge(u64),
    /// The JSON of an item names this file as its body or payload, which is that of another item.
    ForeignFile(String),
    /// Sizes or checksum do not match the content.
    Damaged,
    /// The entry is encrypted, or its compression method is neither deflate nor stored.
    UnsupportedCompression,
    /// The entry is not the JSON that the bundle format requires.
    Json(Box<dyn Error + Send + Sync>),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(e) => e.fmt(f),
            Self::IsADirectory => f.write_str("is a directory"),
            Self::NotZip => f.write_str("not a ZIP archive, or truncated"),
            Self::DamagedDirectory => f.write_str("damaged ZIP directory"),
            Self::DuplicateEntry(name) => write!(f, "several entries are called {name}"),
            Self::OverlappingEntries => f.write_str("entries overlap"),
            Self::NotABundle => f.write_str("not a bundle, finished or unfinished"),
        }
    }
}

impl Error for OpenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io(e) => Some(e),
            Self::IsADirectory
            | Self::NotZip
            | Self::DamagedDirectory
            | Self::DuplicateEntry(_)
            | Self::OverlappingEntries
            | Self::NotABundle => None,
        }
    }
}

impl From<io::Error> for OpenError {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

impl fmt::Display for EntryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(e) => e.fmt(f),
            Self::TooLarge(size) => write!(f, "too large ({size} bytes)"),
            Self::ForeignFile(file) => write!(f, "its body file {file} is that of another item"),
            Self::Damaged => f.write_str("damaged"),
            Self::UnsupportedCompression => f.write_str("unsupported compression or encryption"),
            Self::Json(e) => write!(f, "invalid JSON: {e}"),
        }
    }
}

impl Error for EntryError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io(e) => Some(e),
            Self::Json(e) => Some(e.as_ref()),
            Self::TooLarge(_) | Self::ForeignFile(_) | Self::Damaged | Self::UnsupportedCompression => None,
        }
    }
}

impl From<io::Error> for EntryError {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}
