//! Stand-in: reads short pings, and nothing else.

use super::message::Headers;
use super::tap::{Dir, Ending, Event, ExchangeId, Opcode, Out, Tap};

pub(crate) struct WebSocket {
    id: ExchangeId,
    ended: u8,
    bytes: [Vec<u8>; 2],
}

impl WebSocket {
    pub(crate) fn new(id: ExchangeId, _response: &Headers) -> Self {
        Self {
            id,
            ended: 0,
            bytes: Default::default(),
        }
    }
}

impl Tap for WebSocket {
    fn data(&mut self, dir: Dir, bytes: &[u8], out: Out<'_>) {
        let [up, down] = &mut self.bytes;
        let (held, head) = if dir == Dir::Up { (up, 6) } else { (down, 2) };
        held.extend_from_slice(bytes);
        while let Some(len) = held
            .get(1)
            .map(|len| usize::from(len & 0x7f))
            .filter(|len| held.len() >= head + len)
        {
            let payload = held.get(head..head + len).unwrap_or_default();
            out(Event::Control {
                id: self.id,
                dir,
                opcode: Opcode::Ping,
                payload,
            });
            held.drain(..head + len);
        }
    }

    fn end(&mut self, _dir: Dir, _how: Ending, out: Out<'_>) {
        self.ended += 1;
        if self.ended == 2 {
            out(Event::SocketEnd { id: self.id });
        }
    }
}
