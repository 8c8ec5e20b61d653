//! The ports on which the machine's own services accept connections to loopback addresses. Besides those of servers inside, only
//! these are intercepted: a program that tries a port finds out whether something listens there.

use super::firewall::{self, IPV4, IPV6, Port};
use super::message::{DUMP, Writer, find};
use super::netlink::Netlink;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::thread;
use std::time::Duration;

/// The ports, as the firewall has them.
pub(super) struct Ports {
    /// Lists sockets of the machine.
    outside: Netlink,
    /// Changes the firewall of the namespace.
    inside: Netlink,
    known: Vec<Port>,
}

impl Ports {
    /// Adds the ports to the firewall.
    pub(super) fn new(outside: Netlink, inside: Netlink) -> Self {
        let mut ports = Self { outside, inside, known: Vec::new() };
        ports.update();
        ports
    }

    /// Keeps them current until the process ends. No event announces a new listener.
    pub(super) fn follow(mut self) {
        loop {
            thread::sleep(INTERVAL);
            self.update();
        }
    }

    fn update(&mut self) {
        // The resolver of a container may be reached by rules of its firewall alone.
        let mut now = vec![Port { family: IPV4, port: 53 }];
        for request in [&LIST_V4, &LIST_V6] {
            // Without the kernel's list, services of the machine are not reached.
            let _ = self.outside.send(request, &mut |socket| {
                for port in accepting(socket).into_iter().flatten() {
                    if !now.contains(&port) {
                        now.push(port);
                    }
                }
            });
        }
        let mut changes = firewall::BEGIN.to_vec();
        for (is_added, some, others) in [(false, &self.known, &now), (true, &now, &self.known)] {
            for port in some.iter().filter(|port| !others.contains(port)) {
                changes.extend(firewall::listed(is_added, *port));
            }
        }
        changes.extend(firewall::END);
        if now != self.known && self.inside.send(&changes, &mut |_| ()).is_ok() {
            self.known = now;
        }
    }
}

/// Returns the ports on which `socket`, an `inet_diag_msg` and attributes, accepts connections to loopback addresses.
fn accepting(socket: &[u8]) -> [Option<Port>; 2] {
    let Some(&[family, _, _, _, p0, p1]) = socket.first_chunk() else { return [None; 2] };
    let Some(address) = socket.get(8..).and_then(|rest| rest.first_chunk::<16>()) else { return [None; 2] };
    let (port, address) = (u16::from_be_bytes([p0, p1]), Ipv6Addr::from(*address));
    let [a, b, c, d, ..] = address.octets();
    let only_v6 = || find(socket.get(SOCKET_LENGTH..).unwrap_or_default(), &[ONLY_V6]).is_some_and(|it| it != [0]);
    let is_local = |address: Ipv4Addr| address.is_loopback() || address.is_unspecified();
    let (v4, v6) = match family {
        IPV4 => (is_local(Ipv4Addr::new(a, b, c, d)), false),
        _ if address.is_unspecified() => (!only_v6(), true),
        _ => (address.to_ipv4_mapped().is_some_and(is_local), address.is_loopback()),
    };
    [v4.then_some(Port { family: IPV4, port }), v6.then_some(Port { family: IPV6, port })]
}

/// Request the listening TCP sockets of a family.
static LIST_V4: [u8; V4.len] = V4.bytes();
static LIST_V6: [u8; V6.len] = V6.bytes();

const V4: Writer = list(IPV4);
const V6: Writer = list(IPV6);

const fn list(family: u8) -> Writer {
    // SOCK_DIAG_BY_FAMILY, inet_diag_req_v2: family, IPPROTO_TCP, extensions, padding, states, a socket.
    let mut request = [0; 56];
    request[0] = family;
    request[1] = 6;
    let states = LISTEN.to_ne_bytes();
    (request[4], request[5], request[6], request[7]) = (states[0], states[1], states[2], states[3]);
    let mut all = Writer::new();
    let message = all.message(20, DUMP, &request);
    all.close_message(message);
    all
}

/// `TCP_LISTEN`, as a bit.
const LISTEN: u32 = 1 << 10;
/// The length of `inet_diag_msg`.
const SOCKET_LENGTH: usize = 72;
/// `INET_DIAG_SKV6ONLY`.
const ONLY_V6: u16 = 11;
/// Short for a person, and some microseconds of work.
const INTERVAL: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_accepts_connections_to_the_loopback_addresses_of_its_families() {
        let port = |family| Some(Port { family, port: 0x1234 });
        let (v4, v6) = (port(IPV4), port(IPV6));
        for (address, only_v6, expected) in [
            ("0.0.0.0", false, [v4, None]),
            ("127.0.0.53", false, [v4, None]),
            ("192.0.2.7", false, [None, None]),
            ("::", false, [v4, v6]),
            ("::", true, [None, v6]),
            ("::1", false, [None, v6]),
            ("::ffff:127.0.0.1", false, [v4, None]),
            ("2001:db8::1", false, [None, None]),
        ] {
            let mut socket = [0; SOCKET_LENGTH];
            (socket[4], socket[5]) = (0x12, 0x34);
            match address.parse().unwrap() {
                std::net::IpAddr::V4(it) => {
                    socket[0] = IPV4;
                    socket[8..12].copy_from_slice(&it.octets());
                }
                std::net::IpAddr::V6(it) => {
                    socket[0] = IPV6;
                    socket[8..24].copy_from_slice(&it.octets());
                }
            }
            let socket = [&socket[..], &[5, 0, 11, 0, u8::from(only_v6), 0, 0, 0]].concat();
            assert_eq!(accepting(&socket), expected, "{address}");
        }
        assert_eq!(accepting(&[2]), [None; 2]);
    }
}
