//! The ways in which a direction of the HTTP/1 tap stops: it ends, or it becomes opaque.
//!
//! ```text
//! finish          the direction ended      ─┬─▶ a head that is incomplete is reported as far as it goes
//! become_opaque   limit, malformed bytes   ─┴─▶ its open messages end
//! ```

use super::{Http1Tap, Phase};
use crate::wire::http1::direction::MessageReader;
use crate::wire::http1::partial;
use crate::wire::http1::pending::PendingRequest;
use crate::wire::tap::{Dir, Ending, EventSink, Finish, Opaque, TapEvent};

impl Http1Tap {
    /// Ends all open messages of `dir`, which has ended.
    ///
    /// Called again for messages that begin later: a request may arrive after the direction of its response has ended.
    pub(super) fn finish(&mut self, dir: Dir, how: Ending, out: EventSink<'_>) {
        if let Phase::Switched(tap) = &mut self.phase {
            // The direction ended before the switch or while its bytes were held, so this is the first call for the new tap.
            return tap.end(dir, how, out);
        }
        let is_open = dir == Dir::Up || self.answering.is_some();
        let mut finish = match &self.direction(dir).reader {
            MessageReader::Body(body) if is_open => body.finish(how),
            _ => Finish::Truncated(how),
        };
        match dir {
            Dir::Up => {
                if let Some(id) = self.sending {
                    self.end_message(id, dir, finish, out);
                }
                let is_answered = !self.down.held.is_empty();
                let cause = if is_answered { Opaque::EarlyResponse } else { Opaque::IncompleteRequest };
                self.end_head(finish, cause, out);
            }
            Dir::Down => {
                let lines = self.down.take_incomplete_head(&[]);
                self.report_incomplete_response(&lines, out);
                while let Some(PendingRequest { id, .. }) = self.pending.front() {
                    self.end_message(id, dir, finish, out);
                    finish = Finish::Truncated(how);
                }
                // The meaning of the held bytes depends on a response that can no longer arrive.
                self.up.held = Vec::new();
            }
        }
    }

    /// Stops reading `dir`, because the position of its next message is unknown.
    pub(super) fn become_opaque(&mut self, dir: Dir, cause: Opaque, out: EventSink<'_>) {
        match dir {
            Dir::Up => {
                if let Some(id) = self.sending {
                    self.end_message(id, dir, Finish::Opaque(cause), out);
                }
            }
            Dir::Down => {
                if let Some(PendingRequest { id, .. }) = self.answering {
                    self.end_message(id, dir, Finish::Opaque(cause), out);
                } else if self.pending.is_empty() {
                    self.down.reader = MessageReader::Skip;
                    return;
                }
                self.end_pending(Opaque::EarlierResponse, out);
                // A switch of protocols would not be noticed.
                self.upgrade = None;
            }
        }
        let direction = self.direction(dir);
        (direction.reader, direction.held) = (MessageReader::Opaque, Vec::new());
        out(TapEvent::Opaque { cause });
    }

    /// Ends the responses to all pending requests.
    pub(super) fn end_pending(&mut self, cause: Opaque, out: EventSink<'_>) {
        while let Some(PendingRequest { id, .. }) = self.pending.front() {
            self.end_message(id, Dir::Down, Finish::Opaque(cause), out);
        }
    }

    /// Reports the request whose head is incomplete, and its end; returns false if not even its first line is complete.
    pub(super) fn report_incomplete_request(&mut self, lines: &[u8], how: Finish, out: EventSink<'_>) -> bool {
        let Some(head) = partial::request(lines) else {
            return false;
        };
        let Ok(id) = self.report_request(head, lines.len(), out) else {
            return false;
        };
        self.end_message(id, Dir::Up, how, out);
        true
    }

    /// Ends a request whose head is incomplete and remains so. If not even its first line is complete, it is not reported,
    /// because of `cause`.
    pub(super) fn end_head(&mut self, how: Finish, cause: Opaque, out: EventSink<'_>) {
        if !self.up.is_in_head() {
            return;
        }
        let lines = self.up.take_incomplete_head(&[]);
        match (self.report_incomplete_request(&lines, how, out), how) {
            (false, _) => self.become_opaque(Dir::Up, cause, out),
            (true, Finish::Opaque(cause)) => self.become_opaque(Dir::Up, cause, out),
            (true, _) => {}
        }
    }

    /// Reports the response whose head is incomplete, if its first line is complete.
    pub(super) fn report_incomplete_response(&mut self, lines: &[u8], out: EventSink<'_>) {
        if let (Some(PendingRequest { id, .. }), Some(head)) = (self.answering, partial::response(lines)) {
            out(TapEvent::Response { id, head });
        }
    }
}
