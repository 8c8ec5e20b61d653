//! Cut off: a message that ended before it was complete, with the cause.
//!
//! ```text
//! Finish of the request  (Up)  ─┐
//! Finish of the response (Down) ┴▶ CutOff { side, why }      None if both are complete
//! ```

use crate::wire::tap::{Dir, Ending, Finish, Opaque};

pub(crate) use crate::bundle::cut_off::{CutOff, CutOffCause, CutOffSide, MessageCutOff, MessageSender};

impl CutOffCause {
    /// Returns the cause why a message in direction `dir` is incomplete; `None` if it is complete.
    /// `has_client_left` is true if the client ended its direction before the origin did.
    pub(super) fn of(dir: Dir, how: Finish, has_client_left: bool) -> Option<Self> {
        Some(match (how, dir) {
            // Bytes after a switch of protocols belong to no HTTP message.
            (Finish::Complete | Finish::Opaque(Opaque::Switched), _) => return None,
            (Finish::Opaque(Opaque::LimitExceeded | Opaque::StreamLimit | Opaque::MemoryLimit), _) => Self::Limit,
            (Finish::Opaque(_), _) => Self::Malformed,
            (Finish::Short, _) => Self::Closed,
            (Finish::Reset { by: Dir::Up, .. }, _) => Self::Cancelled,
            // The origin does not read the rest of the request (RFC 9113 section 8.1).
            (Finish::Reset { by: Dir::Down, .. }, Dir::Up) => Self::Closed,
            (Finish::Reset { by: Dir::Down, .. }, Dir::Down) => Self::Reset,
            (Finish::Truncated(Ending::Stopped), _) => Self::Stopped,
            (Finish::Truncated(Ending::Abandoned), Dir::Down) => Self::Cancelled,
            // The origin ends its direction because the client did. If it still sends, its system resets the connection.
            (Finish::Truncated(_), Dir::Down) if has_client_left => Self::Cancelled,
            (Finish::Truncated(Ending::Reset), _) => Self::Reset,
            (Finish::Truncated(Ending::Clean | Ending::Truncated | Ending::Abandoned), _) => Self::Closed,
        })
    }
}

impl CutOff {
    /// Returns the part of an exchange that was cut off, from the causes for its request and its response.
    pub(super) fn of(request: Option<CutOffCause>, response: Option<CutOffCause>) -> Option<Self> {
        let (side, why) = match (request, response) {
            (None, None) => return None,
            (Some(why), None) => (CutOffSide::Request, why),
            (None, Some(why)) => (CutOffSide::Response, why),
            // The response's cause names the side that ended first: `Cancelled` is the client's.
            (Some(_), Some(why)) => (CutOffSide::Both, why),
        };
        Some(Self { side, why })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::error_code::ErrorCode;

    #[test]
    fn names_the_side_and_the_cause() {
        use Ending::{Abandoned, Clean, Reset, Stopped};
        let truncated = Finish::Truncated;
        let reset = |by| Finish::Reset { by, code: ErrorCode(0) };
        let (by_client, by_origin) = (reset(Dir::Up), reset(Dir::Down));
        for (request, response, has_client_left, expected) in [
            (Finish::Complete, Finish::Complete, false, None),
            (Finish::Complete, Finish::Complete, true, None),
            (Finish::Complete, truncated(Reset), false, Some("response reset")),
            (Finish::Complete, truncated(Clean), false, Some("response closed")),
            (Finish::Complete, truncated(Ending::Truncated), false, Some("response closed")),
            (Finish::Complete, truncated(Clean), true, Some("response cancelled")),
            (Finish::Complete, truncated(Abandoned), false, Some("response cancelled")),
            (Finish::Complete, truncated(Reset), true, Some("response cancelled")),
            (Finish::Complete, truncated(Stopped), true, Some("response stopped")),
            (truncated(Reset), truncated(Reset), true, Some("both cancelled")),
            (Finish::Complete, truncated(Stopped), false, Some("response stopped")),
            (Finish::Complete, Finish::Opaque(Opaque::Framing), false, Some("response malformed")),
            (Finish::Complete, Finish::Opaque(Opaque::LimitExceeded), false, Some("response limit")),
            (Finish::Complete, Finish::Opaque(Opaque::Switched), false, None),
            (truncated(Abandoned), Finish::Complete, false, Some("request closed")),
            (truncated(Clean), Finish::Complete, true, Some("request closed")),
            (truncated(Reset), truncated(Abandoned), true, Some("both cancelled")),
            (truncated(Abandoned), truncated(Reset), false, Some("both reset")),
            (truncated(Stopped), truncated(Stopped), false, Some("both stopped")),
            (Finish::Opaque(Opaque::Framing), Finish::Complete, false, Some("request malformed")),
            (Finish::Short, Finish::Complete, false, Some("request closed")),
            (Finish::Complete, Finish::Short, true, Some("response closed")),
            (by_client, by_client, false, Some("both cancelled")),
            (by_client, Finish::Complete, false, Some("request cancelled")),
            (Finish::Complete, by_client, true, Some("response cancelled")),
            (by_origin, by_origin, false, Some("both reset")),
            (by_origin, Finish::Complete, false, Some("request closed")),
            (Finish::Complete, by_origin, true, Some("response reset")),
        ] {
            let cut_off = CutOff::of(
                CutOffCause::of(Dir::Up, request, has_client_left),
                CutOffCause::of(Dir::Down, response, has_client_left),
            );
            let seen = cut_off.map(|cut_off| format!("{} {}", cut_off.side.name(), cut_off.why.name()));
            assert_eq!(seen.as_deref(), expected, "{request:?} {response:?} {has_client_left}");
        }
    }
}
