//! Dialogues with the HTTP/2 tap. Each runs unsplit and in pieces of several sizes.

mod limits;
mod messages;
mod misplaced;
mod opaque;
mod recorded;
mod settings_frames;
mod streams;
mod upgraded;
mod websockets;

use super::Http2Tap;
use super::testing::*;
use crate::wire::tap::testing::DialogueStep::{self, Down, End, Up};
use crate::wire::tap::testing::events_in_any_pieces;
use crate::wire::tap::{Dir, Ending, ExchangeId, Tap, TapEvent};

/// Asserts the events of `steps` after the client's preface and both SETTINGS.
#[track_caller]
fn dialogue(steps: &[DialogueStep<'_>], lines: &[&str]) {
    let settings = settings(&[]);
    let steps = [&[Up(PREFACE), Up(&settings), Down(&settings)], steps].concat();
    assert_eq!(events_in_any_pieces(Http2Tap::new, &steps), lines);
}

/// Like [`dialogue`], after a `GET` on stream 1 whose events are omitted.
#[track_caller]
fn after_get(steps: &[DialogueStep<'_>], lines: &[&str]) {
    let get = headers(1, END_STREAM, GET);
    let request_events = ["1> begins", "1> GET https://a/ Http2", "1> ends Complete"];
    dialogue(&[&[Up(&get)], steps].concat(), &[&request_events, lines].concat());
}

const OPAQUE: &str = "opaque: malformed HTTP/2 framing";
const MISPLACED: &str = "opaque: misplaced HTTP/2 frames";
const LIMIT_EXCEEDED: &str = "opaque: an exceeded limit of an HTTP/2 message (head size, number or size of streams)";
