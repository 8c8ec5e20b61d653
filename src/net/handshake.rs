//! Drives the TLS handshake of one leg, and waits for its peer.

use super::leg::Leg;
use super::stop::Stop;
use super::sys::{self, Interest};
use super::tls::failures::describe;
use crate::clock::Moment;
use std::error::Error;
use std::fmt;
use std::os::fd::AsFd;
use std::time::Duration;

/// Drives a handshake to its end. Its last bytes may be pending then. Application data that was received with the last
/// flight stays unread.
pub(crate) fn handshake(leg: &mut Leg, stop: &Stop) -> Result<(), HandshakeError> {
    let deadline = Moment::now().plus(HANDSHAKE_TIMEOUT);
    loop {
        if !leg.tls().is_some_and(|tls| tls.is_handshaking()) {
            return Ok(());
        }
        leg.flush();
        let closing_alert = leg.tls().and_then(|tls| tls.closing_alert());
        if leg.ended().is_some() || !leg.is_writable() || closing_alert.is_some() {
            return Err(match closing_alert {
                _ if stop.is_set() => HandshakeError::Stopped,
                Some(alert) => HandshakeError::Tls(rustls::Error::AlertReceived(alert)),
                None => HandshakeError::Ended,
            });
        }
        let left = deadline.since(Moment::now());
        let interest = Interest { read: true, write: leg.pending() > 0 };
        match sys::wait([(stop.as_fd(), Interest::READ), (leg.fd(), interest)], Some(left)) {
            Ok([stopped, _]) if stopped.read => return Err(HandshakeError::Stopped),
            Ok([_, ready]) if ready.read => {
                if let Err(e) = leg.receive_unread() {
                    // Sends our alert.
                    leg.flush();
                    return Err(HandshakeError::Tls(e));
                }
            }
            Ok(_) if left.is_zero() => return Err(HandshakeError::Timeout),
            Ok(_) => {}
            Err(_) => return Err(HandshakeError::Ended),
        }
    }
}

/// The reason why a handshake failed. `Display` is a clause about the peer.
#[derive(Debug)]
pub(crate) enum HandshakeError {
    /// A violation of TLS, or an alert.
    Tls(rustls::Error),
    /// The peer closed the connection.
    Ended,
    /// The handshake was not complete in time.
    Timeout,
    /// The capture stops.
    Stopped,
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tls(cause) => f.write_str(&describe(cause)),
            Self::Ended => f.write_str("it closed the connection during the handshake"),
            Self::Timeout => write!(f, "its handshake was not complete after {} seconds", HANDSHAKE_TIMEOUT.as_secs()),
            Self::Stopped => f.write_str("the capture stopped during the handshake"),
        }
    }
}

impl Error for HandshakeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Tls(cause) => Some(cause),
            Self::Ended | Self::Timeout | Self::Stopped => None,
        }
    }
}

/// A common timeout of servers.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
