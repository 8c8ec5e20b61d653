//! The arguments of `spectral capture inspect`.

use spectral_capture::filter::Filter;
use std::path::PathBuf;

/// The arguments of the command.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) file: PathBuf,
    pub(crate) show: Show,
    pub(crate) filter: Filter,
    pub(crate) json: bool,
    /// True to continue until the capture that writes the bundle ends.
    pub(crate) follow: bool,
    /// Shows no progress.
    pub(crate) quiet: bool,
}

/// The part of the bundle to show.
#[derive(Debug)]
pub(crate) enum Show {
    /// A list of the exchanges and WebSockets.
    List,
    /// The exchange with this id.
    Exchange(String),
    /// The bytes of one body of the exchange with this id, or of the message with this id.
    Body(String, BodySide),
    /// The messages of the WebSocket with this id.
    Messages(String),
}

/// A choice between the two bodies of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodySide {
    Request,
    Response,
}

impl BodySide {
    /// Parses the word after `--body ID`.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "request" => Some(Self::Request),
            "response" => Some(Self::Response),
            _ => None,
        }
    }
}
