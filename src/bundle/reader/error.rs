//! Errors of the reader.

use super::MANIFEST;
use std::fmt;
use std::path::PathBuf;

pub use crate::bundle::archive::{EntryError, OpenError};

/// The reason why a bundle cannot be read.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be opened as a bundle.
    Open {
        /// The file.
        path: PathBuf,
        /// The cause.
        cause: OpenError,
    },
    /// The bundle lacks an entry.
    Missing {
        /// The file.
        path: PathBuf,
        /// The name of the entry.
        name: String,
    },
    /// An entry of the bundle cannot be read.
    Malformed {
        /// The file.
        path: PathBuf,
        /// The name of the entry.
        name: String,
        /// The cause.
        cause: EntryError,
    },
}

impl Error {
    /// Returns true if one entry of the bundle is damaged, malformed or missing, and others may still be read. An error of the
    /// operating system is none of these: it may affect the whole file.
    pub fn is_of_one_entry(&self) -> bool {
        match self {
            Self::Open { .. } | Self::Malformed { cause: EntryError::Io(_), .. } => false,
            Self::Missing { .. } | Self::Malformed { .. } => true,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open { path, cause } => write!(f, "cannot read {}: {cause}", path.display()),
            Self::Missing { path, name } if name == MANIFEST => {
                write!(f, "cannot read {}: not a bundle, {MANIFEST} is missing", path.display())
            }
            Self::Missing { path, name } => write!(f, "cannot read {}: {name} is missing", path.display()),
            Self::Malformed { path, name, cause } => {
                write!(f, "cannot read {name} in {}: {cause}", path.display())
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Open { cause, .. } => Some(cause),
            Self::Malformed { cause, .. } => Some(cause),
            Self::Missing { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_file_and_the_cause() {
        let name = "timeline.json".to_owned();
        let missing = Error::Missing { path: "capture.zip".into(), name: name.clone() };
        assert_eq!(missing.to_string(), "cannot read capture.zip: timeline.json is missing");
        let malformed = Error::Malformed { path: "capture.zip".into(), name, cause: EntryError::Damaged };
        assert_eq!(malformed.to_string(), "cannot read timeline.json in capture.zip: damaged");
    }
}
