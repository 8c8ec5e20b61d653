//! The interface, addresses and routes of the namespace, as messages for rtnetlink: every address is this machine's.

use super::message::{APPEND, CREATE, Writer};
use super::{OWN_V4, OWN_V6};

/// Brings `lo` up, with an address for programs that look for one other than loopback (`AI_ADDRCONFIG`), and a route.
pub(super) static SETUP_V4: [u8; V4.len] = V4.bytes();
/// The same for IPv6.
pub(super) static SETUP_V6: [u8; V6.len] = V6.bytes();

const V4: Writer = messages(2, &OWN_V4);
const V6: Writer = messages(10, &OWN_V6);

const fn messages(family: u8, address: &[u8]) -> Writer {
    let mut all = Writer::new();
    let [i0, i1, i2, i3] = LOOPBACK;
    let [up0, up1, up2, up3] = 1_u32.to_ne_bytes();
    // RTM_NEWLINK: family, type, index, flags and their mask: IFF_UP.
    let header = &[0, 0, 0, 0, i0, i1, i2, i3, up0, up1, up2, up3, up0, up1, up2, up3];
    let message = all.message(16, 0, header);
    all.close_message(message);
    // RTM_NEWADDR: family, prefix, flags (IFA_F_NODAD), scope, index. The address twice: of the peer, and its own.
    let flags = if family == 10 { 2 } else { 0 };
    let header = &[family, address.len() as u8 * 8, flags, 0, i0, i1, i2, i3];
    let message = all.message(20, CREATE, header);
    all.attribute(1, address);
    all.attribute(2, address);
    all.close_message(message);
    // RTM_NEWROUTE: family, lengths, TOS, table main, protocol static, scope host, type local, flags.
    let header = &[family, 0, 0, 0, 254, 4, 254, 2, 0, 0, 0, 0];
    let message = all.message(24, CREATE | APPEND, header);
    // The interface, and the source address.
    all.attribute(4, &LOOPBACK);
    all.attribute(7, address);
    all.close_message(message);
    all
}

/// The index of `lo`.
const LOOPBACK: [u8; 4] = 1_u32.to_ne_bytes();
