//! The fuzzed property: the events do not depend on how a connection is split, both directions of every exchange end, and no
//! state is left.

use super::tap::Http2Tap;
use crate::wire::tap::testing::{DialogueStep, assert_all_ends, events};
use crate::wire::tap::{Dir, Ending, ExchangeId};

/// Parses `data` as piece sizes and a dialogue, and asserts the property.
///
/// ```text
/// flags and N, N piece sizes, then steps:
/// direction, length, bytes      up (even) or down (odd)
/// F0 to FF                      up (even) or down (odd) ends
/// ```
pub(crate) fn check_any_split(data: &[u8]) {
    let (&first, data) = data.split_first().unwrap_or((&0, &[]));
    let (sizes, script) = data.split_at(usize::from(first & 0x3f).min(data.len()));
    let tap =
        || if first & UPGRADED == 0 { Http2Tap::new() } else { Http2Tap::upgraded(ExchangeId(4), Some(b"AAEAAAAA")) };
    let steps = dialogue(script, first & NO_PREFACE == 0);
    let whole = events(&mut tap(), &steps, || 0);
    let mut sizes = sizes.iter().cycle();
    let split = events(&mut tap(), &steps, || sizes.next().map_or(1, |&size| usize::from(size).max(1)));
    assert_eq!(split, whole);
    let mut tap = tap();
    assert_all_ends(&mut tap, (first & UPGRADED != 0).then_some(ExchangeId(4)), &steps);
    assert!(tap.is_empty());
}

/// Parses a dialogue in which both directions end exactly once, with no bytes after that.
fn dialogue(script: &[u8], with_preface: bool) -> Vec<DialogueStep<'_>> {
    let (mut steps, mut open, mut rest) = (Vec::new(), vec![Dir::Up, Dir::Down], script);
    if with_preface {
        steps.push(DialogueStep::Up(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
    }
    while let Some((&mark, tail)) = rest.split_first() {
        let dir = if mark % 2 == 0 { Dir::Up } else { Dir::Down };
        rest = tail;
        if mark >= FIRST_END {
            if open.contains(&dir) {
                open.retain(|&other| other != dir);
                steps.push(DialogueStep::End(dir, if mark & 2 == 0 { Ending::Clean } else { Ending::Reset }));
            }
            continue;
        }
        let (&length, tail) = rest.split_first().unwrap_or((&0, &[]));
        let (bytes, tail) = tail.split_at(usize::from(length).min(tail.len()));
        rest = tail;
        if open.contains(&dir) {
            steps.push(if dir == Dir::Up { DialogueStep::Up(bytes) } else { DialogueStep::Down(bytes) });
        }
    }
    steps.extend(open.iter().map(|&dir| DialogueStep::End(dir, Ending::Stopped)));
    steps
}

/// Flag in the first byte: the client sends no preface.
const NO_PREFACE: u8 = 0x80;

/// Flag in the first byte: the connection began with HTTP/1.
const UPGRADED: u8 = 0x40;

/// Steps that begin with this byte or a higher one are ends.
const FIRST_END: u8 = 0xf0;

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::wire::mutations::mutations;

    const UP: u8 = 0;
    const DOWN: u8 = 1;

    fn script(first: u8, sizes: &[u8], steps: &[(u8, Vec<u8>)]) -> Vec<u8> {
        let mut script = [&[first | sizes.len() as u8], sizes].concat();
        for (dir, bytes) in steps {
            for bytes in bytes.chunks(255) {
                script.extend([*dir, bytes.len() as u8]);
                script.extend(bytes);
            }
        }
        script
    }

    fn seeds() -> Vec<Vec<u8>> {
        let connect = ":method CONNECT\n:protocol websocket\n:scheme https\n:path /\n:authority a";
        vec![
            script(
                0,
                &[3, 11],
                &[
                    (UP, settings(&[(1, 100), (5, 20_000)])),
                    (DOWN, [settings(&[(1, 0)]), acknowledge()].concat()),
                    (UP, [acknowledge(), headers(1, END_STREAM, GET)].concat()),
                    (UP, [headers(3, 0, GET), data(3, PADDED, b"\x02ab\0\0")].concat()),
                    (DOWN, headers(1, 0, ":status 103")),
                    (DOWN, headers(1, 0, ":status 200\ngrpc x")),
                    (DOWN, [data(1, 0, b"one"), headers(3, 0, ":status 200"), data(3, 0, b"three")].concat()),
                    (UP, headers(3, END_STREAM, "trailer 1")),
                    (DOWN, [headers(1, END_STREAM, "grpc-status 0"), reset(3, 8)].concat()),
                    (UP, [headers(5, END_STREAM, GET), headers(7, 0, GET)].concat()),
                    (DOWN, goaway(5)),
                ],
            ),
            script(
                0,
                &[1],
                &[
                    (UP, frame(0x1, END_STREAM | PRIORITY, 1, &[&[0; 5], &block(GET)[..9]].concat())),
                    (UP, frame(0x9, 0, 1, &block(GET)[9..12])),
                    (UP, frame(0x9, END_HEADERS, 1, &block(GET)[12..])),
                    (DOWN, push_promise(1, 2, GET)),
                    (DOWN, [headers(2, 0, ":status 200"), data(2, END_STREAM, b"pushed")].concat()),
                    (DOWN, headers(1, END_STREAM, ":status 204")),
                    (UP, reset(2, 0)),
                ],
            ),
            script(
                0,
                &[7],
                &[
                    (UP, headers(1, 0, connect)),
                    (DOWN, headers(1, 0, ":status 200\nsec-websocket-protocol p")),
                    (UP, data(1, 0, b"\x81\x81\0\0\0\0u\x01")),
                    (DOWN, data(1, 0, b"\x89\x01d\x02\x03ab")),
                    (UP, headers(3, END_STREAM, GET)),
                    (DOWN, data(1, 0, b"c\x80\x01d")),
                    (UP, data(1, END_STREAM, b"\x81a\x88\x80\0\0\0\0")),
                    (DOWN, data(1, END_STREAM, b"")),
                ],
            ),
            script(
                UPGRADED,
                &[2],
                &[
                    (DOWN, [settings(&[]), headers(1, 0, ":status 200")].concat()),
                    (DOWN, data(1, END_STREAM, b"x")),
                    (UP, headers(3, END_STREAM, GET)),
                    (0xf2, vec![]),
                ],
            ),
            // Early data, a second response, messages after the end, and frames on unknown streams.
            script(
                0,
                &[5],
                &[
                    (UP, [headers(1, 0, connect), data(1, 0, b"\x81\x01a\x81\x02b")].concat()),
                    (DOWN, [headers(1, 0, ":status 200"), data(1, 0, b"\xf1\x01")].concat()),
                    (UP, [data(1, 0, b"c"), headers(3, END_STREAM, GET), headers(5, 0, GET)].concat()),
                    (DOWN, [headers(3, 0, ":status 200\ncontent-length 3"), headers(3, 0, ":status 200")].concat()),
                    (DOWN, [data(5, 0, b"x"), data(9, 0, b"y"), headers(9, END_STREAM, ":status 200")].concat()),
                    (UP, [data(5, END_STREAM, b""), data(5, 0, b"late")].concat()),
                ],
            ),
            // A request head that the origin answers before it is complete.
            script(
                0,
                &[4],
                &[
                    (UP, frame(0x1, END_STREAM, 1, &block(GET)[..20])),
                    (DOWN, headers(1, END_STREAM, ":status 431")),
                    (UP, frame(0x9, END_HEADERS, 1, &block(GET)[20..])),
                    (UP, frame(0x1, 0, 3, &block(GET))),
                    (DOWN, goaway(1)),
                    (UP, frame(0x9, END_HEADERS, 3, &[0xff; 6])),
                ],
            ),
            script(NO_PREFACE, &[2], &[(UP, PREFACE.to_vec()), (DOWN, b"HTTP/1.1 400 Bad\r\n\r\n".to_vec())]),
        ]
    }

    #[test]
    fn holds_for_mutations() {
        mutations(&seeds(), 3000, check_any_split);
    }
}
