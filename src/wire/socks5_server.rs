//! The server's half of SOCKS5 (RFC 1928), with passwords (RFC 1929): a client's messages in, replies out, up to the target
//! of its connection.
//!
//! ```text
//! client                                         server
//!   05 | number | methods …           ─▶
//!                                     ◀─   05 | method            FF: none is acceptable
//!   01 | length user | length password ─▶                         only after method 02
//!                                     ◀─   01 | status            00: accepted
//!   05 | command | 00 | address | port ─▶
//!                                     ◀─   05 | reply code | 00 | address | port
//! ```
//!
//! Only CONNECT is served. A client may send all messages at once, and its first data with them.

use super::authority::{Authority, BadAuthority};
use super::credentials::Credentials;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The negotiation with one client.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Negotiation {
    awaited: Message,
}

/// A message of the client.
#[derive(Clone, Copy, Debug, Default)]
enum Message {
    #[default]
    Methods,
    Password,
    Request,
}

/// The result of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The reply to send; the next message is expected.
    Reply([u8; 2]),
    /// The client asks for a connection to this origin. [`reply`] makes the reply to it.
    Connect(Authority),
    /// The client is refused, with a last reply.
    Refuse { reply: Vec<u8>, refusal: Refusal },
}

/// The cause when a client is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A message has another version than its protocol.
    Version,
    /// The client offers no method that can be used.
    NoMethod,
    /// A password is needed, and the client offers none.
    NoPassword,
    /// The user or the password is wrong.
    WrongPassword,
    /// The command is not CONNECT. The target is known if it is valid.
    Command(u8, Option<Authority>),
    /// The type of address is unknown.
    AddressType(u8),
    /// The target is malformed.
    Target(BadAuthority),
}

/// A code in the reply to a request (RFC 1928 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReplyCode {
    Succeeded = 0,
    GeneralFailure = 1,
    NotAllowed = 2,
    NetworkUnreachable = 3,
    HostUnreachable = 4,
    ConnectionRefused = 5,
    CommandNotSupported = 7,
    AddressTypeNotSupported = 8,
}

/// True if `bytes` begin as SOCKS5 does. No HTTP method and no TLS record starts with this byte.
pub(crate) fn is_socks5(bytes: &[u8]) -> bool {
    bytes.first() == Some(&VERSION)
}

/// True if `bytes` begin as SOCKS4 does.
pub(crate) fn is_socks4(bytes: &[u8]) -> bool {
    bytes.first() == Some(&4)
}

/// The reply to a SOCKS4 request that is rejected.
pub(crate) const SOCKS4_REJECTED: [u8; 8] = [0, 91, 0, 0, 0, 0, 0, 0];

/// Returns the reply to a request. The address in it is unspecified: it would be that of the proxy's socket, and clients
/// ignore it.
pub(crate) fn reply(code: ReplyCode) -> Vec<u8> {
    [&[VERSION, code as u8, 0, IPV4][..], &[0; 6]].concat()
}

impl Negotiation {
    /// Handles the message at the start of `bytes`; returns its length and the result, or `None` while it is incomplete. With
    /// `credentials`, the client must send them; else it may send any.
    pub(crate) fn next(&mut self, bytes: &[u8], credentials: Option<&Credentials>) -> Option<(usize, Step)> {
        let mut input = Input(bytes);
        let step = match self.awaited {
            Message::Methods => self.select_method(&mut input, credentials),
            Message::Password => self.check_password(&mut input, credentials),
            Message::Request => request(&mut input),
        }?;
        Some((bytes.len().saturating_sub(input.0.len()), step))
    }

    fn select_method(&mut self, input: &mut Input<'_>, credentials: Option<&Credentials>) -> Option<Step> {
        let version = input.byte()?;
        let methods = input.counted()?;
        let refuse = |refusal| Some(Step::Refuse { reply: vec![VERSION, NO_METHOD], refusal });
        if version != VERSION {
            return refuse(Refusal::Version);
        }
        let offers = |method| methods.contains(&method);
        let (method, next) = match credentials {
            None if offers(NO_PASSWORD) => (NO_PASSWORD, Message::Request),
            _ if offers(PASSWORD) => (PASSWORD, Message::Password),
            None => return refuse(Refusal::NoMethod),
            Some(_) => return refuse(Refusal::NoPassword),
        };
        self.awaited = next;
        Some(Step::Reply([VERSION, method]))
    }

    fn check_password(&mut self, input: &mut Input<'_>, credentials: Option<&Credentials>) -> Option<Step> {
        let version = input.byte()?;
        let (user, password) = (input.counted()?, input.counted()?);
        let refuse = |refusal| Some(Step::Refuse { reply: vec![PASSWORD_VERSION, 1], refusal });
        if version != PASSWORD_VERSION {
            return refuse(Refusal::Version);
        }
        if credentials.is_some_and(|credentials| !credentials.matches(user, password)) {
            return refuse(Refusal::WrongPassword);
        }
        self.awaited = Message::Request;
        Some(Step::Reply([PASSWORD_VERSION, 0]))
    }
}

fn request(input: &mut Input<'_>) -> Option<Step> {
    let [version, command, _reserved, address_type] = input.array()?;
    let refuse = |code, refusal| Some(Step::Refuse { reply: reply(code), refusal });
    if version != VERSION {
        return refuse(ReplyCode::GeneralFailure, Refusal::Version);
    }
    let host = match address_type {
        IPV4 => Ipv4Addr::from(input.array::<4>()?).to_string().into_bytes(),
        IPV6 => Ipv6Addr::from(input.array::<16>()?).to_string().into_bytes(),
        NAME => input.counted()?.to_vec(),
        unknown => return refuse(ReplyCode::AddressTypeNotSupported, Refusal::AddressType(unknown)),
    };
    let port = u16::from_be_bytes(input.array()?);
    match (command, Authority::from_host_and_port(&host, port)) {
        (CONNECT, Ok(authority)) => Some(Step::Connect(authority)),
        (CONNECT, Err(cause)) => refuse(ReplyCode::GeneralFailure, Refusal::Target(cause)),
        (other, target) => refuse(ReplyCode::CommandNotSupported, Refusal::Command(other, target.ok())),
    }
}

impl std::error::Error for Refusal {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version => f.write_str("a SOCKS message has the wrong version"),
            Self::NoMethod => f.write_str("the SOCKS client offers no supported authentication"),
            Self::NoPassword => f.write_str("the SOCKS client offers no password"),
            Self::WrongPassword => f.write_str("the password is wrong"),
            Self::Command(2, _) => f.write_str("the SOCKS command BIND is not supported"),
            Self::Command(3, _) => f.write_str("the SOCKS command UDP ASSOCIATE is not supported"),
            Self::Command(code, _) => write!(f, "the SOCKS command {code} is unknown"),
            Self::AddressType(code) => write!(f, "the SOCKS address type {code} is unknown"),
            Self::Target(cause) => write!(f, "malformed SOCKS target: {cause}"),
        }
    }
}

/// The bytes that are left of a message.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    /// Bytes after their number.
    fn counted(&mut self) -> Option<&'a [u8]> {
        let count = self.byte()?;
        let (counted, rest) = self.0.split_at_checked(count.into())?;
        self.0 = rest;
        Some(counted)
    }
}

const VERSION: u8 = 5;
/// The version of the messages for a password (RFC 1929 section 2).
const PASSWORD_VERSION: u8 = 1;

/// Methods (RFC 1928 section 3).
const NO_PASSWORD: u8 = 0;
const PASSWORD: u8 = 2;
const NO_METHOD: u8 = 0xff;

/// The command (RFC 1928 section 4).
const CONNECT: u8 = 1;

/// Types of addresses (RFC 1928 section 5).
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// Fuzzing: asserts that the results do not depend on splits, with and without a password.
#[cfg(any(test, fuzzing))]
pub(crate) fn check_any_split(data: &[u8]) {
    let credentials = Credentials::parse("u:p");
    for credentials in [None, credentials.as_ref()] {
        let whole = steps(data.chunks(data.len().max(1)), credentials);
        assert_eq!(steps(data.chunks(1), credentials), whole);
        assert_eq!(steps(data.chunks(7), credentials), whole);
    }
}

/// Returns the results of all messages, and the bytes after them.
#[cfg(any(test, fuzzing))]
fn steps<'d>(pieces: impl Iterator<Item = &'d [u8]>, credentials: Option<&Credentials>) -> (Vec<Step>, Vec<u8>) {
    let (mut negotiation, mut unread, mut steps) = (Negotiation::default(), Vec::new(), Vec::new());
    for piece in pieces {
        unread.extend_from_slice(piece);
        while let None | Some(Step::Reply(_)) = steps.last() {
            let Some((used, step)) = negotiation.next(&unread, credentials) else { break };
            unread.drain(..used);
            steps.push(step);
        }
    }
    (steps, unread)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::mutations::mutations;

    /// Returns the results for a client that sends `data`, and the bytes after its messages.
    fn served(data: &[u8], credentials: Option<&str>) -> (Vec<Step>, Vec<u8>) {
        check_any_split(data);
        let credentials = credentials.map(|text| Credentials::parse(text).unwrap());
        steps([data].into_iter(), credentials.as_ref())
    }

    fn target(request: &[u8]) -> Step {
        let (mut steps, rest) = served(&[b"\x05\x01\x00", request].concat(), None);
        assert_eq!((steps.len(), rest), (2, vec![]));
        steps.pop().unwrap()
    }

    fn refusal(step: &Step) -> (u8, String) {
        match step {
            Step::Refuse { reply, refusal } => (reply[1], refusal.to_string()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn accepts_addresses_and_names() {
        for (request, expected) in [
            (&b"\x05\x01\x00\x01\x7f\0\0\x01\x01\xbb"[..], "127.0.0.1:443"),
            (b"\x05\x01\x00\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\x50", "[::1]:80"),
            (b"\x05\x01\x00\x03\x06A.test\x01\xbb", "a.test:443"),
            (b"\x05\x01\xff\x03\x079.9.9.9\x01\xbb", "9.9.9.9:443"),
            (b"\x05\x01\x00\x03\x03::1\0\x50", "[::1]:80"),
            (b"\x05\x01\x00\x03\x05[::1]\0\x50", "[::1]:80"),
        ] {
            match target(request) {
                Step::Connect(authority) => assert_eq!(authority.to_string(), expected),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_client_may_send_everything_at_once() {
        let data = b"\x05\x02\x00\x02\x05\x01\x00\x03\x01a\0\x50GET / HTTP/1.1\r\n";
        let (steps, rest) = served(data, None);
        assert!(matches!(&steps[..], [Step::Reply([5, 0]), Step::Connect(_)]), "{steps:?}");
        assert_eq!(rest, b"GET / HTTP/1.1\r\n");
    }

    #[test]
    fn refuses_with_the_code_of_the_cause() {
        for (request, code, cause) in [
            (&b"\x05\x02\x00\x01\0\0\0\0\0\0"[..], 7, "the SOCKS command BIND is not supported"),
            (b"\x05\x03\x00\x01\0\0\0\0\0\0", 7, "the SOCKS command UDP ASSOCIATE is not supported"),
            (b"\x05\xf0\x00\x03\x01a\0\x01", 7, "the SOCKS command 240 is unknown"),
            (b"\x05\x01\x00\x02", 8, "the SOCKS address type 2 is unknown"),
            (b"\x05\x01\x00\x03\0\0\x01", 1, "malformed SOCKS target: the host is empty"),
            (b"\x05\x01\x00\x03\x02a\n\0\x01", 1, "malformed SOCKS target: the host contains an invalid byte (0x0a)"),
            (b"\x05\x01\x00\x03\x01a\0\0", 1, "malformed SOCKS target: the port is not between 1 and 65535"),
            (b"\x05\x01\x00\x03\x02[:\0\x01", 1, "malformed SOCKS target: the IPv6 address is malformed"),
            (b"\x04\x01\x00\x01", 1, "a SOCKS message has the wrong version"),
        ] {
            assert_eq!(refusal(&target(request)), (code, cause.to_owned()), "{}", request.escape_ascii());
        }
        match target(b"\x05\x03\x00\x03\x01a\0\x01") {
            Step::Refuse { refusal: Refusal::Command(3, Some(target)), .. } => assert_eq!(target.to_string(), "a:1"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn without_a_password_of_ours_any_password_is_accepted() {
        let (steps, _) = served(b"\x05\x01\x02\x01\x01x\x00\x05\x01\x00\x03\x01a\0\x50", None);
        assert!(matches!(&steps[..], [Step::Reply([5, 2]), Step::Reply([1, 0]), Step::Connect(_)]), "{steps:?}");
        let (steps, _) = served(b"\x05\x01\x01", None);
        assert_eq!(refusal(&steps[0]), (255, "the SOCKS client offers no supported authentication".into()));
    }

    #[test]
    fn a_password_of_ours_is_the_only_way() {
        let login = |methods: &[u8], user: &str, password: &str| {
            let counted = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
            let data = [methods, &[1], &counted(user), &counted(password), b"\x05\x01\x00\x03\x01a\0\x50"].concat();
            served(&data, Some("me:secret")).0
        };
        let steps = login(b"\x05\x02\x00\x02", "me", "secret");
        assert!(matches!(&steps[..], [Step::Reply([5, 2]), Step::Reply([1, 0]), Step::Connect(_)]), "{steps:?}");
        for (user, password) in
            [("me", ""), ("", ""), ("me", "secre"), ("me", "secret1"), ("m", "secret"), ("you", "x")]
        {
            let steps = login(b"\x05\x01\x02", user, password);
            assert_eq!(steps[0], Step::Reply([5, 2]));
            assert_eq!(refusal(&steps[1]), (1, "the password is wrong".into()));
        }
        for methods in [&b"\x05\x01\x00"[..], b"\x05\x00", b"\x05\x02\x01\x00"] {
            let steps = login(methods, "me", "secret");
            assert_eq!(refusal(&steps[0]), (255, "the SOCKS client offers no password".into()));
        }
        let (steps, _) = served(b"\x05\x01\x02\x05\x02me\x06secret", Some("me:secret"));
        assert_eq!(refusal(&steps[1]), (1, "a SOCKS message has the wrong version".into()));
    }

    #[test]
    fn results_do_not_depend_on_splits() {
        let seeds = [
            b"\x05\x02\x00\x02\x05\x01\x00\x03\x06a.test\x01\xbb\x16\x03\x01".to_vec(),
            b"\x05\x01\x02\x01\x01u\x01p\x05\x01\x00\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\x50".to_vec(),
            b"\x05\x01\x00\x05\x03\x00\x01\x7f\0\0\x01\x01\xbb".to_vec(),
        ];
        mutations(&seeds, 1000, check_any_split);
    }
}
