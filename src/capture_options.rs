//! The settings that only a capture has.

use crate::recorded::RecordCallback;
use crate::wire::pattern::{HostFunction, Pattern};
use std::fmt;
use std::fs::File;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The settings that only a capture has. Start from [`CaptureOptions::new`] and set the fields that differ.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CaptureOptions {
    /// The destination of what is recorded.
    pub output: Output,
    /// The place for what does not fit into memory.
    pub spilling: Spilling,
    /// Gets each exchange and message once it is complete. `None` by default.
    pub on_record: Option<RecordCallback>,
    /// The CA that signs the certificates that clients get.
    pub ca: CaSource,
    /// Hosts to capture. Empty means all.
    pub include: Vec<Pattern>,
    /// Hosts not to capture, even if `include` matches them.
    pub exclude: Vec<Pattern>,
    /// Selects hosts besides the patterns: a host is captured only if the function returns true for all of its known names, such as
    /// those in CONNECT, SNI and Host. `None` selects all.
    pub filter: Option<HostFunction>,
    /// Passes a client's connections to a host through, for the rest of the capture, after it refused our certificate
    /// for that host. An app that pins its certificates then works from its second connection on; from its third if it
    /// closes the first without an alert, and later than a quarter of a second after the handshake. Clients
    /// with another kind of ClientHello are still captured.
    pub passthrough_refused: bool,
    /// Writes several bundles, one after the other, which needs an output with a path; `None` writes one. The number of each is inserted into the file name:
    /// `capture-0001.zip`. Numbers continue after the highest one that is there.
    pub rotate: Option<Rotate>,
    /// The number of finished bundles to keep if the capture rotates; `None` keeps all. Older ones are deleted, but only
    /// those that this capture wrote.
    pub keep: Option<NonZeroU32>,
}

impl CaptureOptions {
    /// The default settings for a capture to `output`.
    pub fn new(output: Output) -> Self {
        Self {
            output,
            spilling: Spilling::default(),
            on_record: None,
            ca: CaSource::default(),
            include: Vec::new(),
            exclude: Vec::new(),
            filter: None,
            passthrough_refused: false,
            rotate: None,
            keep: None,
        }
    }
}

/// The destination of what a capture records.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Output {
    /// A bundle at this path. The file has another name until it is complete, `NAME.zip.part`, so that readers never find an
    /// incomplete one. A crash loses no item that was written: the part can be recovered. An existing file is kept, with `.bak`,
    /// `.2.bak` and so on appended to its name. A capture that recorded nothing does not replace it.
    Path(PathBuf),
    /// A bundle in this open file: a regular file without content, such as of memfd_create(2), open for reading and writing. It is
    /// written in place and is a bundle only once the capture has stopped. There is no lock, no backup and no rotation.
    /// [`Summary::bundle`](crate::Summary::bundle) is the name of its descriptor then, `/dev/fd/5`.
    File(Arc<File>),
    /// No bundle. The callback ([`CaptureOptions::on_record`]) gets what is recorded. What it does not get is lost.
    None,
}

impl Output {
    /// Returns the path of the bundle, if it has one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Path(path) => Some(path),
            Self::File(_) | Self::None => None,
        }
    }
}

impl From<File> for Output {
    fn from(file: File) -> Self {
        Self::File(Arc::new(file))
    }
}

/// The place for bodies that do not fit into memory, and for the index of the bundle while it grows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Spilling {
    /// The folder of the output's path. As [`Spilling::Memory`] if the output has no path.
    #[default]
    BesideOutput,
    /// Unlinked files with mode 0600 in this folder. It is an error if it does not allow them.
    Dir(PathBuf),
    /// Memory alone: no file is created. A body that does not fit into 5/16 of [`Limits::memory`](crate::Limits::memory) together
    /// with the other bodies is truncated ([`Summary::truncated`](crate::Summary::truncated)). Once the index of the bundle
    /// exceeds 1/16 of it, further exchanges and messages are lost ([`Summary::lost`](crate::Summary::lost)).
    Memory,
}

/// The CA of a capture, which signs the certificates that clients get. Clients must trust its certificate
/// ([`Proxy::ca`](crate::Proxy::ca)).
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum CaSource {
    /// The folder `.mitmproxy` in the user's home folder. A CA is created there if it has none.
    #[default]
    Home,
    /// This folder, in mitmproxy's layout. A CA is created there if it has none; the folder too.
    Dir(PathBuf),
    /// The private key and the certificate in PEM, in any order: PKCS#8, PKCS#1 or SEC1; RSA of 2,048 to 4,096 bits, P-256,
    /// P-384 or Ed25519. More certificates are the CA's chain. No file is read or written. `Debug` does not show them.
    Pem(Vec<u8>),
    /// A new CA, which exists only in the memory of this process and ends with the capture. No file is read or written.
    Ephemeral,
}

impl fmt::Debug for CaSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Home => f.write_str("Home"),
            Self::Dir(dir) => f.debug_tuple("Dir").field(dir).finish(),
            Self::Pem(_) => f.write_str("Pem(..)"),
            Self::Ephemeral => f.write_str("Ephemeral"),
        }
    }
}

impl CaSource {
    /// Returns the folder that [`CaSource::Dir`] names.
    pub fn dir(&self) -> Option<&Path> {
        match self {
            Self::Dir(dir) => Some(dir),
            Self::Home | Self::Pem(_) | Self::Ephemeral => None,
        }
    }
}

impl From<Option<PathBuf>> for CaSource {
    /// The folder, or the one in the home folder.
    fn from(dir: Option<PathBuf>) -> Self {
        dir.map_or(Self::Home, Self::Dir)
    }
}

/// The limit at which a capture finishes its bundle and begins the next one. A bundle without items is not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rotate {
    /// The size of the bundle's exchanges and messages in bytes. The file is larger by its index.
    Size(u64),
    /// The time since the bundle was begun.
    Time(Duration),
}
