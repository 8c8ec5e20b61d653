//! Why a capture cannot begin.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a capture cannot begin. Nothing was listening and no file was changed when it is returned.
///
/// Displayed as one line that says what happened and what to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The address cannot be listened on.
    Listen {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system said.
        cause: io::Error,
    },
    /// The bundle cannot be written where it should.
    Output {
        /// The bundle's file.
        path: PathBuf,
        /// What is wrong, in a few words.
        what: String,
    },
    /// The CA cannot be read or made.
    Ca {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong and what to do, in a few words.
        what: String,
    },
    /// A file of certificates to trust in origins cannot be used.
    UpstreamCa {
        /// The file.
        path: PathBuf,
        /// What is wrong, in a few words.
        what: String,
    },
    /// The system refused something else that a capture needs, such as a thread.
    System {
        /// What was asked of it.
        what: &'static str,
        /// What it said.
        cause: io::Error,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen { addr, cause } => match cause.kind() {
                io::ErrorKind::AddrInUse => {
                    write!(f, "port {} is in use", addr.port())
                }
                io::ErrorKind::PermissionDenied => {
                    write!(f, "cannot listen on {addr}: permission denied")
                }
                io::ErrorKind::AddrNotAvailable => {
                    write!(f, "cannot listen on {}: not an address of this machine", addr.ip())
                }
                _ => write!(f, "cannot listen on {addr}: {cause}"),
            },
            Self::Output { path, what } => write!(f, "cannot write {}: {what}", path.display()),
            Self::Ca { path, what } => write!(f, "cannot use the CA {}: {what}", path.display()),
            Self::UpstreamCa { path, what } => {
                write!(f, "cannot use the trusted certificates in {}: {what}", path.display())
            }
            Self::System { what, cause } => write!(f, "{what}: {cause}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Listen { cause, .. } | Self::System { cause, .. } => Some(cause),
            Self::Output { .. } | Self::Ca { .. } | Self::UpstreamCa { .. } => None,
        }
    }
}
