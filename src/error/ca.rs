//! Reasons why the CA cannot be used.

use crate::calendar::Utc;
use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// An error of a library, of which only the text is used.
pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// The reason why the CA cannot be used: that of a directory ([`crate::Error::Ca`], which has the path), or one in memory
/// ([`crate::Error::CaInMemory`]).
#[derive(Debug)]
#[non_exhaustive]
pub enum CaError {
    /// No directory was given, and the user has no home directory.
    NoHomeDirectory,
    /// The CA's directory is a file or is below one.
    NotADirectory,
    /// The CA's file is a symbolic link to a file that does not exist, for example on a volume that is not mounted.
    DanglingLink,
    /// Another process removed the CA's file while it was opened.
    Removed,
    /// The CA's file cannot be read.
    Read(io::Error),
    /// A new CA cannot be written to the directory.
    Create(io::Error),
    /// The key or the certificate of a new CA cannot be generated.
    Generate(Box<dyn Error + Send + Sync>),
    /// Everyone can read, change or replace the private key.
    Exposed(Exposure),
    /// The PEM text is empty.
    Empty,
    /// The PEM text is not valid, or the certificate in it is not valid DER.
    Damaged(Box<dyn Error + Send + Sync>),
    /// The private key is encrypted.
    Passphrase,
    /// The PEM text has no private key.
    NoKey,
    /// The key is damaged, or its algorithm or size is not supported.
    UnsupportedKey,
    /// The PEM text has no certificate.
    NoCertificate,
    /// No certificate belongs to the private key.
    Mismatch,
    /// The certificate is not a CA certificate (RFC 5280 section 4.2.1.9).
    NotCa,
    /// The certificate's key usage excludes signing certificates (RFC 5280 section 4.2.1.3).
    CannotSign,
    /// The certificate's extended key usage excludes TLS servers (RFC 5280 section 4.2.1.12).
    NotForServers,
    /// The certificate's name constraints (RFC 5280 section 4.2.1.10) allow it to issue for some hosts only.
    NameConstraints,
    /// The certificate has an unknown extension that is marked as critical (RFC 5280 section 4.2); its object identifier.
    CriticalExtension(String),
    /// The certificate has an empty subject (RFC 5280 section 4.1.2.6), so that it cannot be named as an issuer.
    NoSubject,
    /// The clock is set to a time before 1970, which TLS libraries do not support.
    ClockBefore1970,
    /// The certificate is not valid yet.
    NotYetValid {
        /// The start of its validity.
        from: SystemTime,
    },
    /// The certificate has expired.
    Expired {
        /// The end of its validity.
        until: SystemTime,
    },
}

/// The access that others have to the CA's private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exposure {
    /// Everyone can read the key.
    KeyReadable,
    /// Everyone can change the key.
    KeyWritable,
    /// Everyone can replace files in the directory.
    DirectoryWritable,
    /// A group can read or change the key.
    KeyOfGroup,
    /// A group can replace files in the directory.
    DirectoryWritableByGroup,
    /// The file or directory belongs to another user, who is not root; the user's id.
    OtherOwner(u32),
}

impl fmt::Display for Exposure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyReadable => f.write_str("everyone can read the private key"),
            Self::KeyWritable => f.write_str("everyone can change the private key"),
            Self::DirectoryWritable => f.write_str("everyone can replace files in this directory"),
            Self::KeyOfGroup => f.write_str("a group can read or change the private key"),
            Self::DirectoryWritableByGroup => f.write_str("a group can replace files in this directory"),
            Self::OtherOwner(user) => write!(f, "it belongs to another user (id {user})"),
        }
    }
}

/// An exposure of the CA's key that is accepted: it is limited, or cannot be mended on a read-only file system.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CaExposure {
    /// The file or directory.
    pub path: PathBuf,
    /// The access that others have to it.
    pub exposure: Exposure,
    /// True if its file system is mounted read-only, so that the permissions cannot be changed.
    pub is_read_only: bool,
}

impl fmt::Display for CaExposure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.exposure)
    }
}

impl fmt::Display for CaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHomeDirectory => f.write_str("no home directory"),
            Self::NotADirectory => f.write_str("not a directory"),
            Self::DanglingLink => f.write_str("dangling symbolic link"),
            Self::Removed => f.write_str("the file was removed while it was opened"),
            Self::Read(cause) => write!(f, "cannot read the file: {cause}"),
            Self::Create(cause) => write!(f, "cannot create a CA in this directory: {cause}"),
            Self::Generate(cause) => write!(f, "cannot generate a CA: {cause}"),
            Self::Exposed(exposure) => exposure.fmt(f),
            Self::Empty => f.write_str("empty"),
            Self::Damaged(cause) => write!(f, "damaged: {cause}"),
            Self::Passphrase => f.write_str("the private key has a passphrase"),
            Self::NoKey => f.write_str("no private key"),
            Self::UnsupportedKey => f.write_str(
                "the private key is damaged or not supported (supported: RSA 2048 to 4096, P-256, P-384, Ed25519)",
            ),
            Self::NoCertificate => f.write_str("no certificate"),
            Self::Mismatch => f.write_str("the certificate does not match the private key"),
            Self::NotCa => f.write_str("the certificate is not a CA certificate (basicConstraints CA:TRUE is missing)"),
            Self::CannotSign => {
                f.write_str("the certificate's key usage excludes signing certificates (keyCertSign is missing)")
            }
            Self::NotForServers => {
                f.write_str("the certificate's extended key usage excludes TLS servers (serverAuth is missing)")
            }
            Self::NameConstraints => {
                f.write_str("the certificate has name constraints, so clients reject what it issues for other hosts")
            }
            Self::CriticalExtension(oid) => {
                write!(f, "the certificate has a critical extension that clients do not know ({oid})")
            }
            Self::NoSubject => f.write_str("the certificate has an empty subject"),
            Self::ClockBefore1970 => f.write_str("the clock is set to a time before 1970"),
            Self::NotYetValid { from } => write!(f, "the certificate is not valid before {}", Day(*from)),
            Self::Expired { until } => write!(f, "the certificate expired on {}", Day(*until)),
        }
    }
}

impl Error for CaError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Read(cause) | Self::Create(cause) => Some(cause),
            Self::Generate(cause) | Self::Damaged(cause) => Some(&**cause),
            _ => None,
        }
    }
}

/// Displays a time as its date in UTC, `2030-06-15`.
struct Day(SystemTime);

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = match self.0.duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_secs()).map_or(i64::MIN, i64::saturating_neg),
        };
        f.write_str(&Utc::from_unix(seconds).date())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn displays_dates_before_and_after_1970() {
        let expired = |until| CaError::Expired { until }.to_string();
        assert_eq!(expired(UNIX_EPOCH + Duration::from_secs(1_907_755_200)), "the certificate expired on 2030-06-15");
        assert_eq!(expired(UNIX_EPOCH - Duration::from_secs(1)), "the certificate expired on 1969-12-31");
    }

    #[test]
    fn has_the_cause_as_its_source() {
        let cause = || io::Error::from(io::ErrorKind::PermissionDenied);
        for error in [CaError::Read(cause()), CaError::Create(cause()), CaError::Damaged(cause().into())] {
            assert_eq!(error.source().unwrap().to_string(), cause().to_string());
        }
        assert!(CaError::Empty.source().is_none());
    }
}
