//! The client's dialogue with a SOCKS5 proxy (RFC 1928), with a user name and a password (RFC 1929).
//!
//! ```text
//! ▶ 5, methods             ◀ 5, method
//! ▶ 1, user, password      ◀ 1, 0                         only if the proxy chose method 2
//! ▶ 5, CONNECT, address    ◀ 5, reply, 0, bound address   the next byte is the origin's
//! ```

use super::Dialogue;
use super::refusal::{Authentication, Refusal};
use crate::wire::authority::{Authority, Host};
use crate::wire::credentials::Credentials;

/// A connection to a SOCKS5 proxy until its tunnel is open.
pub(crate) struct Socks5Client {
    state: State,
    output: Vec<u8>,
    /// The incomplete answer.
    received: Vec<u8>,
    /// The messages to send once the proxy accepts them.
    authentication: Option<Vec<u8>>,
    connect: Vec<u8>,
}

/// The answer that comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Method,
    Authentication,
    Reply,
    Open,
}

impl Socks5Client {
    /// Asks for a tunnel to `origin`. The proxy resolves its name.
    pub(crate) fn new(origin: &Authority, credentials: Option<&Credentials>) -> Self {
        let methods: &[u8] = if credentials.is_some() { &[NO_AUTHENTICATION, PASSWORD] } else { &[NO_AUTHENTICATION] };
        Self {
            state: State::Method,
            output: [&[VERSION, length(methods)], methods].concat(),
            received: Vec::new(),
            authentication: credentials.map(|credentials| {
                let (user, password) = (credentials.user(), credentials.password());
                [&[PASSWORD_VERSION, length(user)], user, &[length(password)], password].concat()
            }),
            connect: connect(origin),
        }
    }

    /// The number of bytes in the next answer, as far as it is known from those that were received.
    fn answer_bytes(&self) -> Result<usize, Refusal> {
        Ok(match (self.state, self.received.as_slice()) {
            (State::Open, _) => 0,
            (State::Method | State::Authentication, _) => 2,
            // A proxy that refuses may close before the rest.
            (State::Reply, [VERSION, SUCCEEDED, _, IPV4, ..]) => 10,
            (State::Reply, [VERSION, SUCCEEDED, _, IPV6, ..]) => 22,
            (State::Reply, [VERSION, SUCCEEDED, _, NAME, name_bytes, ..]) => usize::from(*name_bytes).saturating_add(7),
            (State::Reply, [VERSION, SUCCEEDED, _, NAME]) => 5,
            (State::Reply, [VERSION, SUCCEEDED, _, _, ..]) => return Err(Refusal::NotSocks5),
            (State::Reply, [VERSION, SUCCEEDED, ..]) => 4,
            (State::Reply, [VERSION, code, ..]) => return Err(Refusal::Socks5(*code)),
            (State::Reply, _) => 2,
        })
    }

    /// Acts on a whole answer.
    fn advance(&mut self) -> Result<(), Refusal> {
        self.state = match (self.state, self.received.as_slice()) {
            (State::Method, [VERSION, NO_AUTHENTICATION]) => {
                self.output = std::mem::take(&mut self.connect);
                State::Reply
            }
            (State::Method, [VERSION, PASSWORD]) => {
                self.output = self.authentication.take().ok_or(Refusal::NotSocks5)?;
                State::Authentication
            }
            (State::Method, [VERSION, NO_ACCEPTABLE_METHOD]) => {
                let has_credentials = self.authentication.is_some();
                let why = if has_credentials { Authentication::Rejected } else { Authentication::Missing };
                return Err(Refusal::Authentication(why));
            }
            (State::Authentication, [_, SUCCEEDED]) => {
                self.output = std::mem::take(&mut self.connect);
                State::Reply
            }
            (State::Authentication, _) => return Err(Refusal::Authentication(Authentication::Rejected)),
            (State::Reply, [VERSION, SUCCEEDED, ..]) => State::Open,
            _ => return Err(Refusal::NotSocks5),
        };
        self.received.clear();
        Ok(())
    }
}

impl Dialogue for Socks5Client {
    fn output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    fn input(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        let mut rest = bytes;
        while self.state != State::Open {
            let missing = self.answer_bytes()?.saturating_sub(self.received.len());
            if missing == 0 {
                self.advance()?;
                continue;
            }
            let Some((next, after)) =
                rest.split_at_checked(missing.min(rest.len())).filter(|(next, _)| !next.is_empty())
            else {
                break;
            };
            self.received.extend_from_slice(next);
            rest = after;
        }
        Ok(bytes.len().saturating_sub(rest.len()))
    }

    fn is_open(&self) -> bool {
        self.state == State::Open
    }
}

/// The request for a connection to `origin` (RFC 1928 section 4).
fn connect(origin: &Authority) -> Vec<u8> {
    let mut request = vec![VERSION, CONNECT, 0];
    match &origin.host {
        Host::V4(address) => {
            request.push(IPV4);
            request.extend(address.octets());
        }
        Host::V6(address) => {
            request.push(IPV6);
            request.extend(address.octets());
        }
        Host::Name(name) => {
            request.extend([NAME, length(name.as_bytes())]);
            request.extend(name.as_bytes());
        }
    }
    request.extend(origin.port.to_be_bytes());
    request
}

/// The length of a field, which has at most 255 bytes: names are limited in `authority.rs`, credentials by
/// [`MAX_CREDENTIAL_BYTES`].
fn length(field: &[u8]) -> u8 {
    u8::try_from(field.len()).unwrap_or(u8::MAX)
}

/// The longest user name and password (RFC 1929 section 2).
pub(crate) const MAX_CREDENTIAL_BYTES: usize = 255;

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const PASSWORD: u8 = 2;
const NO_ACCEPTABLE_METHOD: u8 = 0xff;
const PASSWORD_VERSION: u8 = 1;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;
const SUCCEEDED: u8 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    /// One step: bytes that the client sends, then bytes of the proxy.
    type Step<'a> = (&'a [u8], &'a [u8]);

    /// Plays a dialogue, the proxy's bytes in pieces of `size`. Returns true if the tunnel is open at its end.
    fn play(target: &str, credentials: Option<&str>, steps: &[Step<'_>], size: usize) -> Result<bool, Refusal> {
        let origin = Authority::from_connect_target(target.as_bytes()).unwrap();
        let credentials = credentials.map(|text| Credentials::parse(text).unwrap());
        let mut client = Socks5Client::new(&origin, credentials.as_ref());
        for (sent, answer) in steps {
            assert_eq!(client.output(), *sent);
            // The origin's bytes may follow at once.
            let mut rest = answer.to_vec();
            while !rest.is_empty() {
                let piece = &rest[..size.min(rest.len())];
                let used = client.input(piece)?;
                assert_eq!(used, piece.len());
                rest.drain(..used);
            }
        }
        if client.is_open() {
            assert_eq!(client.input(b"SSH-2.0"), Ok(0));
        }
        Ok(client.is_open())
    }

    const REPLY: &[u8] = &[5, 0, 0, 1, 127, 0, 0, 1, 0, 80];

    #[test]
    fn asks_for_names_and_both_kinds_of_addresses() {
        for size in [1, 3, 100] {
            for (target, request) in [
                ("h.test:443", &b"\x05\x01\0\x03\x06h.test\x01\xbb"[..]),
                ("192.0.2.1:80", &[5, 1, 0, 1, 192, 0, 2, 1, 0, 80]),
                ("[::1]:80", &[5, 1, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 80]),
            ] {
                for reply in [REPLY, &[&[5, 0, 0, 4][..], &[0; 18]].concat(), b"\x05\0\0\x03\x01h\0\x50"] {
                    let steps: [Step<'_>; 2] = [(&[5, 1, 0], &[5, 0]), (request, reply)];
                    assert_eq!(play(target, None, &steps, size), Ok(true), "{target} {size}");
                }
            }
        }
    }

    #[test]
    fn sends_the_password_only_if_the_proxy_asks() {
        let request = b"\x05\x01\0\x03\x01h\x01\xbb";
        let asked: [Step<'_>; 3] = [(&[5, 2, 0, 2], &[5, 2]), (b"\x01\x01u\x06secret", &[1, 0]), (request, REPLY)];
        assert_eq!(play("h:443", Some("u:secret"), &asked, 1), Ok(true));
        let not_asked: [Step<'_>; 2] = [(&[5, 2, 0, 2], &[5, 0]), (request, REPLY)];
        assert_eq!(play("h:443", Some("u:secret"), &not_asked, 1), Ok(true));
    }

    #[test]
    fn states_why_there_is_no_tunnel() {
        let methods: Step<'_> = (&[5, 1, 0], &[5, 0]);
        let request = b"\x05\x01\0\x03\x01h\x01\xbb";
        let rejected = Refusal::Authentication(Authentication::Rejected);
        let cases: &[(Option<&str>, &[Step<'_>], Refusal)] = &[
            (None, &[methods, (request, &[5, 5])], Refusal::Socks5(5)),
            (None, &[methods, (request, &[5, 0, 0, 9])], Refusal::NotSocks5),
            (None, &[methods, (request, b"HT")], Refusal::NotSocks5),
            (None, &[(&[5, 1, 0], &[5, 0xff])], Refusal::Authentication(Authentication::Missing)),
            (None, &[(&[5, 1, 0], &[5, 2])], Refusal::NotSocks5),
            (None, &[(&[5, 1, 0], b"HTTP/1.1 400 Bad Request")], Refusal::NotSocks5),
            (Some("u:p"), &[(&[5, 2, 0, 2], &[5, 0xff])], rejected.clone()),
            (Some("u:p"), &[(&[5, 2, 0, 2], &[5, 2]), (b"\x01\x01u\x01p", &[1, 1])], rejected),
        ];
        for (credentials, steps, refusal) in cases {
            for size in [1, 2] {
                assert_eq!(play("h:443", *credentials, steps, size), Err(refusal.clone()));
            }
        }
    }
}
