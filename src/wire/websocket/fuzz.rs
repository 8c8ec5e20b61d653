//! The fuzzed property: the events do not depend on how a connection is split, every message ends, and no payload byte is lost.

use super::WebSocketTap;
use crate::wire::headers::Headers;
use crate::wire::tap::testing::{DialogueStep, events};
use crate::wire::tap::{Dir, Ending, ExchangeId, Tap, TapEvent};

/// Parses `data` as a choice, a position and the bytes of both directions, and asserts the property.
///
/// The first byte selects the negotiated parameters, the second the position where the client's bytes end and the origin's
/// begin.
pub(crate) fn check_any_split(data: &[u8]) {
    let [choice, split, bytes @ ..] = data else {
        return;
    };
    let mut response = Headers::default();
    if choice & 1 != 0 {
        let client = if choice & 2 != 0 { "; client_no_context_takeover" } else { "" };
        let server = if choice & 4 != 0 { "; server_no_context_takeover" } else { "" };
        response.push(b"Sec-WebSocket-Extensions", format!("permessage-deflate{client}{server}").as_bytes());
    }
    let (up, down) = bytes.split_at(bytes.len() * usize::from(*split) / 255);
    let steps = [
        DialogueStep::Up(up),
        DialogueStep::Down(down),
        DialogueStep::End(Dir::Up, Ending::Clean),
        DialogueStep::End(Dir::Down, Ending::Reset),
    ];
    // A limit that fuzzed inputs can exceed.
    let tap = || WebSocketTap::with_limit(ExchangeId(0), &response, 1 << 16);
    let whole = events(&mut tap(), &steps, || 0);
    let mut size = 0;
    let growing = || {
        size = size % 19 + 1;
        size
    };
    assert_eq!(events(&mut tap(), &steps, growing), whole);
    assert_eq!(events(&mut tap(), &steps, || 1), whole);

    let count = |arrow: &str, word: &str| {
        let is_counted = |line: &&String| line.starts_with(&format!("0{arrow} message {word}"));
        whole.iter().filter(is_counted).count()
    };
    for arrow in ["<", ">"] {
        let begun =
            ["Text", "Binary", "Ping", "Pong", "Close"].map(|opcode| count(arrow, opcode)).iter().sum::<usize>();
        assert_eq!(begun, count(arrow, "ends"), "{whole:?}");
    }
    assert_eq!(whole.iter().filter(|line| line.starts_with("0 WebSocket ends")).count(), 1, "{whole:?}");
    for (dir, bytes) in [(Dir::Up, up), (Dir::Down, down)] {
        assert_eq!(reported_payload(&mut tap(), dir, bytes), payload(bytes), "{whole:?}");
    }
}

/// Returns all payload bytes that `tap` reports, as they were sent except for the mask.
fn reported_payload(tap: &mut WebSocketTap, dir: Dir, bytes: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    // For each open message, true once it has encoded bytes. Its decoded bytes are left out then.
    let mut messages = Vec::new();
    let mut add = |event: TapEvent<'_>| match event {
        TapEvent::MessageBegin { .. } => messages.push(false),
        TapEvent::MessageEnd { .. } => assert!(messages.pop().is_some()),
        TapEvent::MessageData { bytes, .. } if messages.last() == Some(&false) => payload.extend_from_slice(bytes),
        TapEvent::MessageEncoded { bytes, .. } => {
            payload.extend_from_slice(bytes);
            messages.last_mut().into_iter().for_each(|is_encoded| *is_encoded = true);
        }
        TapEvent::Control { payload: bytes, .. } => payload.extend_from_slice(bytes),
        _ => {}
    };
    tap.data(dir, bytes, &mut add);
    tap.end(dir, Ending::Clean, &mut add);
    payload
}

/// Returns the unmasked payloads of all frames, up to a length above 63 bits.
fn payload(mut bytes: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    while let [_, second, rest @ ..] = bytes {
        let (length_bytes, short) = match second & 0x7f {
            126 => (2, 0),
            127 => (8, 0),
            length => (0, u64::from(length)),
        };
        let Some((length, rest)) = rest.split_at_checked(length_bytes) else { break };
        let length = length.iter().fold(short, |length, &byte| length << 8 | u64::from(byte));
        let Some((key, rest)) = rest.split_at_checked(if second & 0x80 == 0 { 0 } else { 4 }) else { break };
        if length >> 63 != 0 {
            break;
        }
        let end = usize::try_from(length).unwrap_or(usize::MAX).min(rest.len());
        let (masked, next) = rest.split_at(end);
        let key = if key.is_empty() { &[0; 4] } else { key };
        payload.extend(masked.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
        bytes = next;
    }
    payload
}
