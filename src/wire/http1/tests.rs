//! Dialogues with the HTTP/1 tap. Each runs unsplit and in pieces of several sizes.

mod endings;
mod expect;
mod incomplete;
mod messages;
mod opaque;
mod order;
mod switching;
mod unsolicited;

use super::Http1Tap;
use super::head_scanner::MAX_HEAD_BYTES;
use crate::wire::tap::testing::DialogueStep::{self, Down, End, Up};
use crate::wire::tap::testing::{events, events_in_any_pieces};
use crate::wire::tap::{Dir, Ending};

#[track_caller]
fn dialogue(steps: &[DialogueStep<'_>], lines: &[&str]) {
    assert_eq!(events_in_any_pieces(Http1Tap::new, steps), lines);
}

/// Like [`dialogue`], after a plain `GET / HTTP/1.1` whose events are omitted.
#[track_caller]
fn after_get(steps: &[DialogueStep<'_>], lines: &[&str]) {
    let steps = [&[Up(b"GET / HTTP/1.1\r\n\r\n")], steps].concat();
    dialogue(&steps, &[&["0> begins", "0> GET / Http11", "0> ends Complete"], lines].concat());
}
