//! The reasons why a capture cannot start.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

pub use ca::{CaError, CaExposure, Exposure};
pub use client_certificate::ClientCertificateError;

pub(crate) mod ca;
mod client_certificate;

/// The reason why a capture cannot start. When it is returned, nothing listens and no existing file was changed.
///
/// Displayed as one line: what failed, on what, and why. Each cause is also the [`source`](std::error::Error::source).
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The proxy cannot listen on the address.
    Listen {
        /// The requested address.
        addr: SocketAddr,
        /// The system's error.
        cause: io::Error,
    },
    /// The bundle cannot be created.
    Output {
        /// The bundle's file.
        path: PathBuf,
        /// The reason.
        cause: OutputError,
    },
    /// The CA cannot be used or created.
    Ca {
        /// The CA's file or directory.
        path: PathBuf,
        /// The reason.
        cause: CaError,
    },
    /// The CA of [`CaSource::Pem`](crate::CaSource::Pem) cannot be used, or the one of
    /// [`CaSource::Ephemeral`](crate::CaSource::Ephemeral) cannot be created.
    CaInMemory(CaError),
    /// No file can be created in the folder for spilled bodies.
    Spill {
        /// The folder.
        path: PathBuf,
        /// The system's error.
        cause: io::Error,
    },
    /// A file of additional roots for origins cannot be used.
    UpstreamCa {
        /// The file.
        path: PathBuf,
        /// The reason.
        cause: UpstreamCaError,
    },
    /// A certificate of [`UpstreamCa::Der`](crate::UpstreamCa::Der) cannot be used.
    UpstreamCaDer(UpstreamCaError),
    /// A certificate of [`CertificateSource::Der`](crate::CertificateSource::Der) cannot be used.
    ClientCertificateDer(ClientCertificateError),
    /// A certificate for origins that request one cannot be used.
    ClientCertificate {
        /// The file.
        path: PathBuf,
        /// The reason.
        cause: ClientCertificateError,
    },
    /// The file for the secrets of TLS sessions cannot be opened.
    KeyLog {
        /// The file.
        path: PathBuf,
        /// The system's error, or that it is not a regular file.
        cause: io::Error,
    },
    /// Two settings exclude each other.
    Conflict(Conflict),
    /// The system refused another resource, such as a thread.
    System {
        /// The operation that failed, for example `cannot start a thread`.
        what: &'static str,
        /// The system's error.
        cause: io::Error,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen { addr, cause } => match cause.kind() {
                io::ErrorKind::AddrInUse => write!(f, "cannot listen on {addr}: the port is in use"),
                io::ErrorKind::PermissionDenied => write!(f, "cannot listen on {addr}: permission denied"),
                io::ErrorKind::AddrNotAvailable => {
                    write!(f, "cannot listen on {addr}: {} is not an address of this machine", addr.ip())
                }
                _ => write!(f, "cannot listen on {addr}: {cause}"),
            },
            Self::Output { path, cause } => write!(f, "cannot write {}: {cause}", path.display()),
            Self::Ca { path, cause } => write!(f, "cannot use the CA {}: {cause}", path.display()),
            Self::CaInMemory(cause) => write!(f, "cannot use the CA in memory: {cause}"),
            Self::Spill { path, cause } => write!(f, "cannot create a file in {}: {cause}", path.display()),
            Self::UpstreamCa { path, cause } => {
                write!(f, "cannot use the certificates in {}: {cause}", path.display())
            }
            Self::UpstreamCaDer(cause) => write!(f, "cannot use a certificate for origins: {cause}"),
            Self::ClientCertificateDer(cause) => write!(f, "cannot use a client certificate: {cause}"),
            Self::ClientCertificate { path, cause } => {
                write!(f, "cannot use the client certificate in {}: {cause}", path.display())
            }
            Self::KeyLog { path, cause } => write!(f, "cannot open the key log {}: {cause}", path.display()),
            Self::Conflict(conflict) => conflict.fmt(f),
            Self::System { what, cause } => write!(f, "{what}: {cause}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Listen { cause, .. }
            | Self::Spill { cause, .. }
            | Self::KeyLog { cause, .. }
            | Self::System { cause, .. } => Some(cause),
            Self::Output { cause, .. } => Some(cause),
            Self::Ca { cause, .. } | Self::CaInMemory(cause) => Some(cause),
            Self::UpstreamCa { cause, .. } | Self::UpstreamCaDer(cause) => Some(cause),
            Self::ClientCertificate { cause, .. } | Self::ClientCertificateDer(cause) => Some(cause),
            Self::Conflict(_) => None,
        }
    }
}

/// Settings that exclude each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Conflict {
    /// A password is required, and redirected traffic is to be served: its clients do not know of the proxy.
    PasswordForRedirected,
    /// Anyone who can reach the proxy could act with the client certificates: it does not listen on loopback, and requires no
    /// password.
    CertificatesForAnyone,
    /// There is no socket to listen on.
    NoListener,
    /// Several bundles are to be written, and the output is not a path.
    RotationWithoutPath,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PasswordForRedirected => f.write_str("redirected clients cannot send the password that is required"),
            Self::NoListener => f.write_str("there is no socket to listen on"),
            Self::RotationWithoutPath => f.write_str("several bundles need a path as their output"),
            Self::CertificatesForAnyone => {
                f.write_str("anyone who can reach the proxy could act with the client certificate")
            }
        }
    }
}

/// The reason why a bundle cannot be created.
#[derive(Debug)]
#[non_exhaustive]
pub enum OutputError {
    /// The path has no file name, for example `/` or `..`.
    NoFileName,
    /// The path is a directory.
    IsDirectory,
    /// The path exists and is not a regular file, for example `/dev/null`.
    NotAFile,
    /// The path is a symbolic link whose target cannot be resolved.
    DanglingLink(io::Error),
    /// The path is a symbolic link that another user made, or it leads to one. Such links are not followed.
    ForeignLink {
        /// The link.
        link: PathBuf,
        /// The user id of its owner.
        owner: u32,
    },
    /// The path is a symbolic link that another user can replace, or it leads to one. Such links are not followed.
    ReplaceableLink {
        /// The link.
        link: PathBuf,
    },
    /// The open file is not empty.
    NotEmpty,
    /// The open file cannot be used: it is not open for reading and writing, or it is open for appending; or its state cannot be
    /// read.
    OpenFile(io::Error),
    /// The directory already holds as many unfinished bundles of this name as may be.
    TooManyUnfinished {
        /// The directory.
        directory: PathBuf,
    },
    /// The unfinished bundle cannot be created in the output's directory.
    Create {
        /// The directory.
        directory: PathBuf,
        /// The system's error.
        cause: io::Error,
    },
}

impl fmt::Display for OutputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFileName => f.write_str("the path has no file name"),
            Self::IsDirectory => f.write_str("it is a directory"),
            Self::NotAFile => f.write_str("not a regular file"),
            Self::NotEmpty => f.write_str("the file is not empty"),
            Self::OpenFile(cause) => cause.fmt(f),
            Self::DanglingLink(cause) => write!(f, "cannot resolve the symbolic link: {cause}"),
            Self::ForeignLink { link, owner } => {
                write!(f, "{} is a symbolic link of another user (uid {owner}), which is not followed", link.display())
            }
            Self::ReplaceableLink { link } => {
                write!(f, "{} is a symbolic link that others can replace, which is not followed", link.display())
            }
            Self::TooManyUnfinished { directory } => {
                write!(f, "too many unfinished bundles (.part) in {}", directory.display())
            }
            Self::Create { directory, cause } => match cause.kind() {
                io::ErrorKind::NotFound => write!(f, "the directory {} does not exist", directory.display()),
                io::ErrorKind::NotADirectory => write!(f, "{} is not a directory", directory.display()),
                io::ErrorKind::PermissionDenied => {
                    write!(f, "permission denied in the directory {}", directory.display())
                }
                io::ErrorKind::ReadOnlyFilesystem => {
                    write!(f, "the directory {} is read-only", directory.display())
                }
                _ => cause.fmt(f),
            },
        }
    }
}

impl std::error::Error for OutputError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::DanglingLink(cause) | Self::Create { cause, .. } | Self::OpenFile(cause) => Some(cause),
            Self::NoFileName
            | Self::IsDirectory
            | Self::NotAFile
            | Self::NotEmpty
            | Self::ForeignLink { .. }
            | Self::ReplaceableLink { .. }
            | Self::TooManyUnfinished { .. } => None,
        }
    }
}

/// The reason why additional roots cannot be used: those of a file ([`Error::UpstreamCa`], which has the path), or one in memory
/// ([`Error::UpstreamCaDer`]).
#[derive(Debug)]
#[non_exhaustive]
pub enum UpstreamCaError {
    /// The file cannot be read.
    Read(io::Error),
    /// The file has no certificate in PEM (`-----BEGIN CERTIFICATE-----`).
    NoCertificate,
    /// The file is not valid PEM, or a certificate cannot be used as a root.
    Damaged(Box<dyn std::error::Error + Send + Sync>),
    /// Signatures of a certificate's key cannot be verified: the certificate would have no effect.
    UnsupportedKey {
        /// The certificate's subject.
        subject: String,
    },
}

impl fmt::Display for UpstreamCaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(cause) => cause.fmt(f),
            Self::NoCertificate => f.write_str("no certificate in PEM (-----BEGIN CERTIFICATE-----)"),
            Self::Damaged(cause) => write!(f, "a certificate is damaged: {cause}"),
            Self::UnsupportedKey { subject } => write!(
                f,
                "the key of the certificate {subject} is not supported \
                 (supported: RSA 2048 to 8192, P-256, P-384, Ed25519)"
            ),
        }
    }
}

impl std::error::Error for UpstreamCaError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read(cause) => Some(cause),
            Self::Damaged(cause) => Some(&**cause),
            Self::NoCertificate | Self::UnsupportedKey { .. } => None,
        }
    }
}
