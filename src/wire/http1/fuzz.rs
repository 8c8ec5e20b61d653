//! The fuzzed property: the events do not depend on how a connection is split, and both directions of every exchange end.

use crate::wire::http::HttpTap;
use crate::wire::tap::testing::{DialogueStep, assert_all_ends, events};
use crate::wire::tap::{Dir, Ending};

/// Parses `data` as piece sizes and a dialogue, and asserts the property.
///
/// ```text
/// N, N piece sizes, then bytes up, until one of the marks F8 to FF:
/// F8 bytes up follow   F9 bytes down follow   FA FB FC up ends   FD FE FF down ends
/// ```
pub(crate) fn check_any_split(data: &[u8]) {
    let (&count, data) = data.split_first().unwrap_or((&0, &[]));
    let (sizes, script) = data.split_at(usize::from(count).min(data.len()));
    let steps = dialogue(script);
    let whole = events(&mut HttpTap::new(), &steps, || 0);
    let mut sizes = sizes.iter().cycle();
    let split = events(&mut HttpTap::new(), &steps, || sizes.next().map_or(1, |&size| usize::from(size).max(1)));
    assert_eq!(split, whole);
    assert_all_ends(&mut HttpTap::new(), None, &steps);
}

/// Parses a dialogue in which both directions end exactly once, with no bytes after that.
fn dialogue(script: &[u8]) -> Vec<DialogueStep<'_>> {
    let (mut steps, mut dir, mut open) = (Vec::new(), Dir::Up, vec![Dir::Up, Dir::Down]);
    let mut rest = script;
    loop {
        let len = rest.iter().position(|&b| b >= FIRST_MARK).unwrap_or(rest.len());
        let (bytes, tail) = rest.split_at(len);
        if open.contains(&dir) {
            steps.push(if dir == Dir::Up { DialogueStep::Up(bytes) } else { DialogueStep::Down(bytes) });
        }
        let Some((&mark, tail)) = tail.split_first() else {
            break;
        };
        dir = if matches!(mark, 0xf8 | 0xfa..=0xfc) { Dir::Up } else { Dir::Down };
        let how = match mark {
            0xf8 | 0xf9 => None,
            0xfa | 0xfd => Some(Ending::Clean),
            0xfb | 0xfe => Some(Ending::Reset),
            _ => Some(Ending::Truncated),
        };
        if let (Some(how), true) = (how, open.contains(&dir)) {
            open.retain(|&other| other != dir);
            steps.push(DialogueStep::End(dir, how));
        }
        rest = tail;
    }
    steps.extend(open.iter().map(|&dir| DialogueStep::End(dir, Ending::Stopped)));
    steps
}

/// Bytes from this value on are marks. No seed contains them as data.
const FIRST_MARK: u8 = 0xf8;

#[cfg(test)]
mod tests {
    use super::*;

    /// Dialogues in the format of [`check_any_split`].
    const SEEDS: &[&[u8]] = &[
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\xf9HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi\xf8GET /2 HTTP/1.1\r\n\r\n\xf9HTTP/1.0 200\r\n\r\nrest\xfd\xfa",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n\xf9HTTP/1.1 100 Continue\r\n\r\n\xf80\r\nA: b\r\n\r\n\xf9HTTP/1.1 204 No\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc\xf9HTTP/1.1 413 No\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n\xf8defghi\xfb",
        b"HEAD / HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\nCONNECT a:1 HTTP/1.1\r\n\r\nGET /c HTTP/1.1\r\n\r\n\xf9HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHTTP/1.1 304 X\r\n\r\nHTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n",
        b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x89\x81\0\0\0\0u\xf9HTTP/1.1 103 E\r\n\r\nHTTP/1.1 101 S\r\nUpgrade: WebSocket\r\n\r\n\x89\x01d\x82\x03abc\xf8\x81\x81\0\0\0\0v\xfa\xf9\x88\0\xff",
        b"GET / HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\nGET /n HTTP/1.1\r\n\r\n\xfa\xf9HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
        b"GET / HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nHTTP2-Settings: AAEAAAAA\r\n\r\n\xf9HTTP/1.1 101 S\r\nUpgrade: h2c\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x01\x01\x05\0\0\0\x01\x88\xf8PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x03\x01\x05\0\0\0\x01\x82\x84\x87\xf9\0\0\x01\x01\x05\0\0\0\x01\x88",
        b"GET / HTT\xf9HTTP/1.1 408 Slow\r\nContent-Length: 0\r\n\r\n\xfd\xf8P/1.1\r\n\r\n",
        b"GET / HTTP/1.1\n\n\xfaGET\xfe",
        b"\r\nGET /a b HTTP/1.1\r\nX : \x01\r\nX-[a]: b\r\n c\r\nno field\r\n\r\n\xf9HTTP/1.1 200 OK\r\n fold: a\r\nnul: \0\rb\r\nContent-Length: 2,\r\n\r\nhi\xf8GET /2 HTTP/1.1\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n\xfd",
        b"PUT / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n\xf9HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n\xf8GET / HTTP/1.1\r\n\r\n\xf9HTTP/1.1 204 No\r\n\r\n",
        b"PUT / HTTP/1.1\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n\xf9HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n\xf8GET\xf9HTTP/1.1 408 Slow\r\n\r\n\xf8 / HTTP/1.1\r\n\r\n",
        b"PUT / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\xf9HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n\xf8\r\n\xf8GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nCoo\xf9HTTP/1.1 431 Long\r\nContent-Length: 1\r\n\r\nx\xfe\xf8kie\xfa",
        b"GET / HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nno size\xf9HTTP/1.1 204 No\r\n\r\nHTTP/1.1 400 Bad\r\nServ\xfe",
        b"\xf9HTTP/1.1 408 Slow\r\nContent-Length: 1\r\n\r\nxstray\xf8GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n\xf9HTTP/1.1 204 No\r\n\r\n\xfd",
        b"GET / HTTP/1.1\r\n\r\n\xf9HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno size\xf8GET / HTTP/1.1\r\n\r\n\xf9HTTP/1.1 204 No\r\n\r\n",
    ];

    fn with_sizes(sizes: &[u8], script: &[u8]) -> Vec<u8> {
        [&[sizes.len() as u8], sizes, script].concat()
    }

    #[test]
    fn holds_for_seeds() {
        for seed in SEEDS {
            for sizes in [&[1][..], &[2], &[3], &[7, 1, 64], &[5, 11]] {
                check_any_split(&with_sizes(sizes, seed));
            }
        }
    }

    #[test]
    fn holds_for_mutations() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as usize % below
        };
        for round in 0..6_000 {
            let mut script = SEEDS[round % SEEDS.len()].to_vec();
            for _ in 0..=random(4) {
                let (at, other) = (random(script.len()), SEEDS[random(SEEDS.len())]);
                let from = random(other.len());
                let to = from + random(other.len() - from);
                match random(6) {
                    0 => script[at] = random(256) as u8,
                    1 => script[at] = b"\r\n \t:;,0159af\0"[random(14)],
                    2 => script.insert(at, FIRST_MARK + random(8) as u8),
                    3 => script.truncate(at.max(1)),
                    4 => drop(script.splice(at..at, other[from..to].iter().copied())),
                    _ => drop(script.drain(at..(at + 1 + random(12)).min(script.len() - 1).max(at))),
                }
            }
            let sizes = [random(9) as u8, random(40) as u8, random(9) as u8];
            check_any_split(&with_sizes(&sizes, &script));
        }
    }
}
