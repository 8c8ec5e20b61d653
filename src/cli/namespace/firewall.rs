//! The rules of the namespace, as messages for nf_tables.
//!
//! ```text
//! prerouting   our mark, not TCP ──────────────────────▶ passes
//!              TCP to this machine ──▶ here
//!              other TCP ──────────────────────────────▶ our listener
//! here         a socket inside has the destination ────▶ our listener, which connects inside
//!              a socket outside listens on the port ───▶ our listener, which connects outside
//!              else ───────────────────────────────────▶ passes: refused
//! input        TCP, to this machine, UDP to port 53 ───▶ passes
//!              other UDP, ping ────────────────────────▶ counted by port, rejected
//! ```
//!
//! TPROXY gives a connection to the listener without a change of its addresses, and without connection tracking. Each packet
//! passes these chains once, on `lo`.

use super::message::{APPEND, CREATE, DUMP, Open, Writer, find};
use super::{MARK, OWN_V4, OWN_V6, PORT};

/// Creates the rules.
pub(super) static SETUP: [u8; SETUP_MESSAGES.len] = SETUP_MESSAGES.bytes();
/// Adds a rule: every loopback port is intercepted.
pub(super) static ANY_PORT: [u8; ANY_PORT_MESSAGE.len] = ANY_PORT_MESSAGE.bytes();
/// Begin and end a transaction, in which rules are created and elements are changed.
pub(super) static BEGIN: [u8; BEGIN_MESSAGE.len] = BEGIN_MESSAGE.bytes();
pub(super) static END: [u8; END_MESSAGE.len] = END_MESSAGE.bytes();
/// Requests the elements of the set [`REFUSED`].
pub(super) static LIST_REFUSED: [u8; LIST_MESSAGE.len] = LIST_MESSAGE.bytes();
/// The path of the list of elements in an answer to it.
pub(super) const ELEMENTS: &[u16] = &[3];

const SETUP_MESSAGES: Writer = setup();
const ANY_PORT_MESSAGE: Writer = any_port();
const BEGIN_MESSAGE: Writer = boundary(0x10);
const END_MESSAGE: Writer = boundary(0x11);
const LIST_MESSAGE: Writer = list_of_refused();
const ELEMENT_MESSAGE: Writer = element();

/// A port on which connections of one family are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Port {
    /// [`IPV4`] or [`IPV6`].
    pub(super) family: u8,
    pub(super) port: u16,
}

/// Returns the message that adds `port` to the ports on which a socket outside listens, or removes it.
pub(super) fn listed(is_added: bool, Port { family, port }: Port) -> [u8; ELEMENT_MESSAGE.len] {
    const LEN: usize = ELEMENT_MESSAGE.len;
    static ELEMENT: [u8; LEN] = ELEMENT_MESSAGE.bytes();
    let mut message = ELEMENT;
    let [low, high] = (NFTABLES | if is_added { NEW_ELEMENT } else { DELETE_ELEMENT }).to_ne_bytes();
    (message[4], message[5]) = (low, high);
    let [first, second] = port.to_be_bytes();
    // The key is at the end: the family and the port, each padded to four bytes.
    (message[LEN - 8], message[LEN - 4], message[LEN - 3]) = (family, first, second);
    message
}

/// Returns the port and the number of packets in an element of the answer to [`LIST_REFUSED`]. Port 0 is ping.
pub(super) fn refused(element: &[u8]) -> Option<(u16, u64)> {
    let port = find(element, &[1, 1])?.first_chunk()?;
    let packets = find(element, &[7, 2, 2])?.first_chunk()?;
    Some((u16::from_be_bytes(*port), u64::from_be_bytes(*packets)))
}

/// An expression of a rule.
enum Expression<'a> {
    /// Loads a property of the packet into a register.
    Meta(u32, u32),
    /// Loads bytes of a header into a register: base, offset, length, register.
    Header(u32, u32, u32, u32),
    /// Compares the first register, as all that follow use it.
    Equals(&'a [u8]),
    Differs(&'a [u8]),
    /// Loads bytes.
    Bytes(&'a [u8]),
    /// True if a socket inside has the packet's addresses, or listens on them.
    HasSocket,
    /// True if the first two registers are an element of [`OUTSIDE`].
    IsOutside,
    /// Gives the packet to the listener on the port in the register.
    Tproxy,
    /// Counts the packet in [`REFUSED`].
    Count,
    /// Answers with an ICMP error.
    Reject(u8),
    Accept,
    Goto(&'a str),
}

use Expression::*;

const fn setup() -> Writer {
    let mut all = Writer::new();
    let table = object(&mut all, 0);
    all.close_message(table);
    set(&mut all, OUTSIDE, 0, 8, 1);
    set(&mut all, REFUSED, DYNAMIC, 2, 2);
    chain(&mut all, "prerouting", Some((0, -150)));
    chain(&mut all, "input", Some((1, 0)));
    chain(&mut all, "here", None);

    let port = &PORT.to_be_bytes();
    let destination = &Header(TRANSPORT, 2, 2, 1);
    rule(&mut all, "prerouting", &[&Meta(MARK_KEY, 1), &Equals(&MARK.to_ne_bytes()), &Accept]);
    rule(&mut all, "prerouting", &[&Meta(L4PROTO, 1), &Differs(TCP), &Accept]);
    here(&mut all, "prerouting", &Goto("here"));
    rule(&mut all, "prerouting", &[&Bytes(port), &Tproxy, &Accept]);
    rule(&mut all, "here", &[&HasSocket, &Bytes(port), &Tproxy, &Accept]);
    let outside = &[&Meta(NFPROTO, 1), &Header(TRANSPORT, 2, 2, SECOND), &IsOutside, &Bytes(port), &Tproxy, &Accept];
    rule(&mut all, "here", outside);
    rule(&mut all, "input", &[&Meta(L4PROTO, 1), &Equals(TCP), &Accept]);
    here(&mut all, "input", &Accept);
    rule(&mut all, "input", &[&Meta(L4PROTO, 1), &Equals(UDP), destination, &Equals(DNS), &Accept]);
    rule(&mut all, "input", &[&Meta(L4PROTO, 1), &Equals(UDP), destination, &Count, &Reject(PORT_UNREACHABLE)]);
    ping(&mut all, 1, 8);
    ping(&mut all, 58, 128);
    all
}

const fn any_port() -> Writer {
    let mut all = Writer::new();
    rule(&mut all, "here", &[&Bytes(&PORT.to_be_bytes()), &Tproxy, &Accept]);
    all
}

/// Rejects requests of ping. `protocol` is ICMP of a family, `request` the type of the message.
const fn ping(all: &mut Writer, protocol: u8, request: u8) {
    let (protocol, request) = ([protocol], [request]);
    let (is_protocol, is_request) = (&Equals(&protocol), &Equals(&request));
    let (kind, port) = (&Header(TRANSPORT, 0, 1, 1), &Bytes(&[0, 0]));
    rule(all, "input", &[&Meta(L4PROTO, 1), is_protocol, kind, is_request, port, &Count, &Reject(HOST_UNREACHABLE)]);
}

/// Rules that apply `verdict` to packets for this machine: loopback, and the addresses of the namespace.
const fn here(all: &mut Writer, chain: &str, verdict: &Expression<'_>) {
    let loopback: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let mut rest: &[(u8, u32, &[u8])] =
        &[(IPV4, 16, &[127]), (IPV4, 16, &OWN_V4), (IPV6, 24, loopback), (IPV6, 24, &OWN_V6)];
    while let [(family, offset, address), others @ ..] = rest {
        let destination = &Header(NETWORK, *offset, address.len() as u32, 1);
        rule(all, chain, &[&Meta(NFPROTO, 1), &Equals(&[*family]), destination, &Equals(address), verdict]);
        rest = others;
    }
}

const fn boundary(kind: u16) -> Writer {
    let mut all = Writer::new();
    // The subsystem, as the resource of the transaction.
    let message = all.message(kind, 0, &[0, 0, 0, 10]);
    all.close_message(message);
    all
}

const fn list_of_refused() -> Writer {
    let mut all = Writer::new();
    let message = all.message(NFTABLES | GET_ELEMENTS, DUMP, HEADER);
    all.text(1, TABLE);
    all.text(2, REFUSED);
    all.close_message(message);
    all
}

const fn element() -> Writer {
    let mut all = Writer::new();
    let message = object(&mut all, NEW_ELEMENT);
    all.text(2, OUTSIDE);
    let (elements, element) = (all.list(3), all.list(1));
    value(&mut all, 1, &[0; 8]);
    all.close_list(element);
    all.close_list(elements);
    all.close_message(message);
    all
}

/// Begins a message that creates an object in the table.
const fn object(all: &mut Writer, kind: u16) -> Open {
    let message = all.message(NFTABLES | kind, CREATE | APPEND, HEADER);
    all.text(1, TABLE);
    message
}

const fn set(all: &mut Writer, name: &str, flags: u32, key_length: u32, id: u32) {
    let message = object(all, 9);
    all.text(2, name);
    all.numbers(&[(3, flags), (5, key_length), (10, id)]);
    all.close_message(message);
}

/// Creates a chain. `hook` has its number and priority.
const fn chain(all: &mut Writer, name: &str, hook: Option<(u32, i32)>) {
    let message = object(all, 3);
    all.text(3, name);
    if let Some((number, priority)) = hook {
        let list = all.list(4);
        all.numbers(&[(1, number), (2, priority as u32)]);
        all.close_list(list);
        all.text(7, "filter");
    }
    all.close_message(message);
}

const fn rule(all: &mut Writer, chain: &str, expressions: &[&Expression<'_>]) {
    let message = object(all, 6);
    all.text(2, chain);
    let list = all.list(4);
    let mut rest = expressions;
    while let [first, others @ ..] = rest {
        let item = all.list(1);
        expression(all, first);
        all.close_list(item);
        rest = others;
    }
    all.close_list(list);
    all.close_message(message);
}

const fn expression(all: &mut Writer, expression: &Expression<'_>) {
    let (name, numbers): (&str, &[(u16, u32)]) = match expression {
        Meta(key, register) => ("meta", &[(1, *register), (2, *key)]),
        Header(base, offset, len, register) => ("payload", &[(1, *register), (2, *base), (3, *offset), (4, *len)]),
        Equals(_) => ("cmp", &[(1, 1), (2, 0)]),
        Differs(_) => ("cmp", &[(1, 1), (2, 1)]),
        Bytes(_) => ("immediate", &[(1, 1)]),
        // The key is whether the socket is transparent. Without a socket, the rule does not match.
        HasSocket => ("socket", &[(1, 0), (2, 1)]),
        IsOutside => ("lookup", &[(2, 1)]),
        Tproxy => ("tproxy", &[(1, 0), (3, 1)]),
        Count => ("dynset", &[(3, 1), (4, 1)]),
        Reject(_) => ("reject", &[(1, 2)]),
        Accept | Goto(_) => ("immediate", &[(1, 0)]),
    };
    all.text(1, name);
    let data = all.list(2);
    all.numbers(numbers);
    match expression {
        Equals(bytes) | Differs(bytes) => value(all, 3, bytes),
        Bytes(bytes) => value(all, 2, bytes),
        IsOutside => all.text(1, OUTSIDE),
        Reject(code) => all.attribute(2, &[*code]),
        Accept => verdict(all, 1, ""),
        Goto(chain) => verdict(all, -4, chain),
        Count => {
            all.text(1, REFUSED);
            let counter = all.list(7);
            all.text(1, "counter");
            let empty = all.list(2);
            all.close_list(empty);
            all.close_list(counter);
        }
        Meta(..) | Header(..) | HasSocket | Tproxy => {}
    }
    all.close_list(data);
}

const fn value(all: &mut Writer, kind: u16, bytes: &[u8]) {
    let list = all.list(kind);
    all.attribute(1, bytes);
    all.close_list(list);
}

const fn verdict(all: &mut Writer, code: i32, chain: &str) {
    let (value, verdict) = (all.list(2), all.list(2));
    all.numbers(&[(1, code as u32)]);
    if !chain.is_empty() {
        all.text(2, chain);
    }
    all.close_list(verdict);
    all.close_list(value);
}

const TABLE: &str = "spectral";
/// The ports of [`super::ports`].
const OUTSIDE: &str = "outside";
/// The ports of rejected packets.
const REFUSED: &str = "refused";

/// The family of the table: IPv4 and IPv6.
const HEADER: &[u8] = &[1, 0, 0, 0];
const NFTABLES: u16 = 10 << 8;
const NEW_ELEMENT: u16 = 12;
const GET_ELEMENTS: u16 = 13;
const DELETE_ELEMENT: u16 = 14;
/// The flag of a set to which rules add elements.
const DYNAMIC: u32 = 0x20;
/// The register that follows the first four bytes of register 1.
const SECOND: u32 = 9;
const MARK_KEY: u32 = 3;
const NFPROTO: u32 = 15;
const L4PROTO: u32 = 16;
/// The headers that [`Header`] reads.
const NETWORK: u32 = 1;
const TRANSPORT: u32 = 2;
const TCP: &[u8] = &[6];
const UDP: &[u8] = &[17];
const DNS: &[u8] = &[0, 53];
pub(super) const IPV4: u8 = 2;
pub(super) const IPV6: u8 = 10;
/// Codes of [`Reject`] for both families.
const PORT_UNREACHABLE: u8 = 1;
const HOST_UNREACHABLE: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn a_changed_port_is_one_message() {
        let port = Port { family: IPV6, port: 0x1234 };
        let expected = |kind| {
            [
                &[72, 0, 0, 0, kind, 10, 1, 0x0c, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0][..],
                &[13, 0, 1, 0],
                b"spectral\0\0\0\0",
                &[12, 0, 2, 0],
                b"outside\0",
                &[24, 0, 3, 0x80, 20, 0, 1, 0x80, 16, 0, 1, 0x80, 12, 0, 1, 0, 10, 0, 0, 0, 0x12, 0x34, 0, 0],
            ]
            .concat()
        };
        assert_eq!(listed(true, port)[..], expected(12));
        assert_eq!(listed(false, port)[..], expected(14));
    }

    /// The rule for DNS, as `nft --debug=netlink` shows it: meta load l4proto => reg 1, cmp eq reg 1 0x11, payload load
    /// 2b @ transport header + 2 => reg 1, cmp eq reg 1 0x3500, immediate reg 0 accept.
    #[cfg(target_endian = "little")]
    #[test]
    fn a_rule_is_one_message() {
        let loads_protocol = [
            &[36, 0, 1, 0x80, 9, 0, 1, 0][..],
            b"meta\0\0\0\0",
            &[20, 0, 2, 0x80, 8, 0, 1, 0, 0, 0, 0, 1, 8, 0, 2, 0, 0, 0, 0, 16],
        ];
        let is_udp = [
            &[44, 0, 1, 0x80, 8, 0, 1, 0][..],
            b"cmp\0",
            &[32, 0, 2, 0x80, 8, 0, 1, 0, 0, 0, 0, 1, 8, 0, 2, 0, 0, 0, 0, 0, 12, 0, 3, 0x80, 5, 0, 1, 0, 17, 0, 0, 0],
        ];
        let accepts = [
            &[48, 0, 1, 0x80, 14, 0, 1, 0][..],
            b"immediate\0\0\0",
            &[28, 0, 2, 0x80, 8, 0, 1, 0, 0, 0, 0, 0, 16, 0, 2, 0x80, 12, 0, 2, 0x80, 8, 0, 1, 0, 0, 0, 0, 1],
        ];
        for expression in [loads_protocol.concat(), is_udp.concat(), accepts.concat()] {
            assert!(SETUP.windows(expression.len()).any(|part| part == expression), "{expression:?}");
        }
        // Messages end where their lengths say.
        let (mut rest, mut kinds) = (&SETUP[..], Vec::new());
        while let Some(length) = rest.first_chunk() {
            kinds.push(rest[4]);
            rest = &rest[u32::from_ne_bytes(*length) as usize..];
        }
        assert_eq!(kinds, [&[0, 9, 9, 3, 3, 3][..], &[6; 18]].concat());
    }
}
