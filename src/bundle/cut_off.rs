//! The part of an exchange or message that was cut off, the cause, and the words for both.
//!
//! ```text
//! bundle      {"side": "response", "why": "reset"}
//! for people  response reset by the origin
//! ```

use std::fmt;

/// The part of an exchange that was cut off, and the cause.
///
/// `Display` states it as a clause: `response reset by the origin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CutOff {
    /// The message that is incomplete.
    pub side: CutOffSide,
    /// The cause. If both messages are incomplete, that of the response.
    pub why: CutOffCause,
}

/// The message of an exchange that is incomplete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CutOffSide {
    /// The request.
    Request,
    /// The response.
    Response,
    /// Both.
    Both,
}

/// The cause why a message is incomplete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CutOffCause {
    /// Its sender reset the connection or the stream.
    Reset,
    /// Its sender closed the connection early or ended the body before its content coding, or its receiver closed the
    /// connection while it was a request.
    Closed,
    /// The client left, or cancelled the exchange.
    Cancelled,
    /// Its bytes could not be parsed.
    Malformed,
    /// A limit was exceeded, or the rest could not be stored.
    Limit,
    /// The capture ended.
    Stopped,
}

/// The cause why a WebSocket message is incomplete.
///
/// `Display` states it as a clause: `reset by the origin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MessageCutOff {
    /// The sender of the message.
    pub sender: MessageSender,
    /// The cause.
    pub why: CutOffCause,
}

/// The sender of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MessageSender {
    /// The client.
    Client,
    /// The origin.
    Origin,
}

impl CutOff {
    /// Returns a value for tests of an [`Observer`](crate::Observer).
    pub fn new(side: CutOffSide, why: CutOffCause) -> Self {
        Self { side, why }
    }

    /// Parses the names in bundles. Returns `None` if one is unknown.
    pub(crate) fn from_names(side: &str, why: &str) -> Option<Self> {
        Some(Self { side: CutOffSide::from_name(side)?, why: CutOffCause::from_name(why)? })
    }

    /// Returns the part of an exchange that was cut off, if `side` is also incomplete because of `why`. The cause of an
    /// earlier end has precedence.
    pub(crate) fn also(earlier: Option<Self>, side: CutOffSide, why: CutOffCause) -> Self {
        match earlier {
            None => Self { side, why },
            Some(earlier) if earlier.side == side => earlier,
            Some(earlier) => Self { side: CutOffSide::Both, ..earlier },
        }
    }
}

impl MessageCutOff {
    /// Returns a value for tests of an [`Observer`](crate::Observer).
    pub fn new(sender: MessageSender, why: CutOffCause) -> Self {
        Self { sender, why }
    }

    /// Parses the names in bundles. Returns `None` if one is unknown.
    pub(crate) fn from_names(direction: &str, why: &str) -> Option<Self> {
        let sender = match direction {
            "send" => MessageSender::Client,
            "receive" => MessageSender::Origin,
            _ => return None,
        };
        Some(Self { sender, why: CutOffCause::from_name(why)? })
    }
}

impl CutOffSide {
    const ALL: [Self; 3] = [Self::Request, Self::Response, Self::Both];

    /// Returns the name in bundles.
    pub fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Response => "response",
            Self::Both => "both",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|side| side.name() == name)
    }
}

impl CutOffCause {
    const ALL: [Self; 6] = [Self::Reset, Self::Closed, Self::Cancelled, Self::Malformed, Self::Limit, Self::Stopped];

    /// Returns the name in bundles.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::Closed => "closed",
            Self::Cancelled => "cancelled",
            Self::Malformed => "malformed",
            Self::Limit => "limit",
            Self::Stopped => "stopped",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.name() == name)
    }

    /// Returns the words for people, to follow the name of a message that `sender` sent.
    fn words(self, sender: MessageSender) -> &'static str {
        match (self, sender) {
            (Self::Reset, MessageSender::Client) => "reset by the client",
            (Self::Reset, MessageSender::Origin) => "reset by the origin",
            // The origin may have closed the connection while it received the message.
            (Self::Closed, MessageSender::Client) => "ended early",
            (Self::Closed, MessageSender::Origin) => "ended early by the origin",
            (Self::Cancelled, _) => "cancelled by the client",
            (Self::Malformed, _) => "malformed",
            (Self::Limit, _) => "shortened by a limit of the capture",
            (Self::Stopped, _) => "interrupted by the end of the capture",
        }
    }
}

impl fmt::Display for CutOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (message, sender) = match self.side {
            CutOffSide::Request => ("request", MessageSender::Client),
            CutOffSide::Response => ("response", MessageSender::Origin),
            CutOffSide::Both => ("request and response", MessageSender::Origin),
        };
        write!(f, "{message} {}", self.why.words(sender))
    }
}

impl fmt::Display for MessageCutOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.why.words(self.sender))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed_and_put_into_words() {
        for (side, why, expected) in [
            ("request", "reset", "request reset by the client"),
            ("response", "reset", "response reset by the origin"),
            ("both", "reset", "request and response reset by the origin"),
            ("request", "closed", "request ended early"),
            ("response", "closed", "response ended early by the origin"),
            ("response", "cancelled", "response cancelled by the client"),
            ("request", "malformed", "request malformed"),
            ("response", "limit", "response shortened by a limit of the capture"),
            ("both", "stopped", "request and response interrupted by the end of the capture"),
        ] {
            let cut_off = CutOff::from_names(side, why).unwrap();
            assert_eq!((cut_off.side.name(), cut_off.why.name()), (side, why));
            assert_eq!(cut_off.to_string(), expected);
        }
        let message = MessageCutOff::from_names("receive", "cancelled").unwrap();
        assert_eq!(message.to_string(), "cancelled by the client");
        assert_eq!(MessageCutOff::from_names("send", "reset").unwrap().to_string(), "reset by the client");
        assert_eq!(CutOff::from_names("response", "new"), None);
        assert_eq!(CutOff::from_names("new", "reset"), None);
        assert_eq!(MessageCutOff::from_names("new", "reset"), None);
    }
}
