//! DNS over UDP: a query of the command goes to the resolver that it was sent to, from outside the namespace, and the answer back.
//!
//! ```text
//! client ─▶ resolver:53 ─▶ our socket inside ─▶ a socket outside ─▶ resolver:53
//! ```
//!
//! Every address is this machine's inside, so one socket receives all queries, with their destination (`IPV6_PKTINFO`, or `IP_PKTINFO`
//! on a kernel without IPv6).

use super::on_any_address;
use nix::cmsg_space;
use nix::errno::Errno;
use nix::libc::{in_addr, in_pktinfo, in6_pktinfo};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::sockopt::{IpTransparent, Ipv4PacketInfo, Ipv6RecvPacketInfo};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt};
use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};

/// A query without an answer.
struct Query {
    client: SockaddrStorage,
    /// Its destination, which is the source of the answer.
    resolver: Resolver,
    outside: UdpSocket,
}

/// The destination of a query, as the kernel reports it on a socket of either family.
enum Resolver {
    V4(in_pktinfo),
    V6(in6_pktinfo),
}

/// Opens the socket inside. Must be called on a thread of the namespace.
pub(super) fn open() -> io::Result<UdpSocket> {
    let socket = on_any_address(|any| UdpSocket::bind((any, DNS_PORT)))?;
    match socket.local_addr()?.is_ipv6() {
        true => setsockopt(&socket, Ipv6RecvPacketInfo, &true)?,
        false => setsockopt(&socket, Ipv4PacketInfo, &true)?,
    }
    // To answer from the address of the resolver.
    setsockopt(&socket, IpTransparent, &true)?;
    Ok(socket)
}

/// Forwards queries until the process ends. Must be called on a thread outside.
pub(super) fn forward(inside: &UdpSocket) {
    let mut queries = VecDeque::new();
    let mut buffer = vec![0; MAX_MESSAGE];
    loop {
        let ready = wait(inside, &queries);
        // From the back: removing one does not move those before it.
        for place in (1..ready.len()).rev().filter(|place| ready.get(*place) == Some(&true)) {
            let Some(query) = queries.remove(place.saturating_sub(1)) else { continue };
            // An error, such as a refusal, is no answer: the client's own timeout applies.
            if let Ok(length) = query.outside.recv(&mut buffer) {
                answer(inside, &query, buffer.get(..length).unwrap_or_default());
            }
        }
        if ready.first() == Some(&true)
            && let Ok(Some(query)) = receive(inside, &mut buffer)
        {
            if queries.len() == MAX_QUERIES {
                queries.pop_front();
            }
            queries.push_back(query);
        }
    }
}

/// Waits until a query or an answer can be received; returns true for each such socket, the one inside first.
fn wait(inside: &UdpSocket, queries: &VecDeque<Query>) -> Vec<bool> {
    let sockets = queries.iter().map(|query| query.outside.as_fd());
    let all = [inside.as_fd()].into_iter().chain(sockets);
    let mut polled: Vec<_> = all.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
    let is_done = poll(&mut polled, PollTimeout::NONE).is_ok();
    polled.iter().map(|fd| is_done && fd.any().unwrap_or(false)).collect()
}

/// Receives a query and sends it to its destination.
fn receive(inside: &UdpSocket, buffer: &mut [u8]) -> io::Result<Option<Query>> {
    let mut control = cmsg_space!(in6_pktinfo);
    let mut pieces = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_DONTWAIT;
    let received = recvmsg::<SockaddrStorage>(inside.as_raw_fd(), &mut pieces, Some(&mut control), flags)?;
    let resolver = received.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::Ipv4PacketInfo(info) => Some(Resolver::V4(info)),
        ControlMessageOwned::Ipv6PacketInfo(info) => Some(Resolver::V6(info)),
        _ => None,
    });
    let (Some(client), Some(resolver), length) = (received.address, resolver, received.bytes) else {
        return Ok(None);
    };
    let to = match &resolver {
        Resolver::V4(info) => IpAddr::from(info.ipi_addr.s_addr.to_ne_bytes()),
        Resolver::V6(info) => Ipv6Addr::from(info.ipi6_addr.s6_addr).to_canonical(),
    };
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let outside = UdpSocket::bind((any, 0))?;
    outside.connect((to, DNS_PORT))?;
    outside.send(buffer.get(..length).unwrap_or_default())?;
    Ok(Some(Query { client, resolver, outside }))
}

fn answer(inside: &UdpSocket, query: &Query, message: &[u8]) {
    let v4;
    let source = match &query.resolver {
        // The source is a field of its own.
        Resolver::V4(info) => {
            v4 = in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: info.ipi_addr, ipi_addr: in_addr { s_addr: 0 } };
            ControlMessage::Ipv4PacketInfo(&v4)
        }
        Resolver::V6(info) => ControlMessage::Ipv6PacketInfo(info),
    };
    let pieces = [IoSlice::new(message)];
    // Best effort: the client may be gone.
    let _: Result<usize, Errno> =
        sendmsg(inside.as_raw_fd(), &pieces, &[source], MsgFlags::MSG_DONTWAIT, Some(&query.client));
}

pub(super) const DNS_PORT: u16 = 53;
const MAX_MESSAGE: usize = 64 << 10;
/// The oldest is given up for a new one. Each has a descriptor.
const MAX_QUERIES: usize = 400;
