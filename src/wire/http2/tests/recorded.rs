//! Recorded connections of real peers (`>` and `<`), followed by the expected events (`=`).

use super::*;
use crate::wire::tap::testing::events;

#[track_caller]
fn assert_recorded(text: &str) {
    let lines = |marks: &'static [&str]| {
        text.lines().filter_map(move |line| line.split_once(' ').filter(|(mark, _)| marks.contains(mark)))
    };
    let sent: Vec<_> = lines(&[">", "<"]).map(|(mark, hex)| (mark, from_hex(hex))).collect();
    let mut steps: Vec<_> =
        sent.iter().map(|(mark, bytes)| if *mark == ">" { Up(bytes) } else { Down(bytes) }).collect();
    steps.extend([End(Dir::Up, Ending::Clean), End(Dir::Down, Ending::Clean)]);
    let expected: Vec<_> = lines(&["="]).map(|(_, line)| line).collect();
    assert_eq!(events_in_any_pieces(Http2Tap::new, &steps), expected);
    let mut sizes = [1, 60, 2, 9, 300].into_iter().cycle();
    assert_eq!(events(&mut Http2Tap::new(), &steps, || sizes.next().unwrap()), expected);
}

#[test]
fn curl_and_python() {
    assert_recorded(include_str!("../../../../tests/data/http2/curl.txt"));
}

#[test]
fn nghttp2_client_and_server() {
    assert_recorded(include_str!("../../../../tests/data/http2/nghttp2.txt"));
}
