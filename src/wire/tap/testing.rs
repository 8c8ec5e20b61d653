//! Feeds a dialogue to a tap and logs its events as text: one line for each event, pieces of one body joined.
//!
//! ```text
//! > bytes up      0> GET /users
//! < bytes down    0< 200 OK
//! ```

use super::{Dir, Ending, ExchangeId, Finish, Tap, TapEvent};
use crate::wire::headers::Headers;
use std::collections::BTreeMap;

/// One step of a dialogue: bytes in a direction, or the end of a direction.
#[derive(Clone, Copy, Debug)]
pub(crate) enum DialogueStep<'a> {
    Up(&'a [u8]),
    Down(&'a [u8]),
    End(Dir, Ending),
}

/// Returns the events that `tap` reports for `steps`. The bytes of a step arrive in pieces of `piece_size()` bytes; 0 means
/// all remaining bytes.
pub(crate) fn events(
    tap: &mut dyn Tap,
    steps: &[DialogueStep<'_>],
    mut piece_size: impl FnMut() -> usize,
) -> Vec<String> {
    let mut log = EventLog::default();
    for step in steps {
        let (dir, mut bytes) = match *step {
            DialogueStep::Up(bytes) => (Dir::Up, bytes),
            DialogueStep::Down(bytes) => (Dir::Down, bytes),
            DialogueStep::End(dir, how) => {
                tap.end(dir, how, &mut |event| log.add(event));
                continue;
            }
        };
        while !bytes.is_empty() {
            let size = match piece_size() {
                0 => bytes.len(),
                n => n.min(bytes.len()),
            };
            let (piece, rest) = bytes.split_at(size);
            tap.data(dir, piece, &mut |event| log.add(event));
            bytes = rest;
        }
    }
    log.lines
}

/// Returns the [`events`] for unsplit steps, after asserting that they are the same in pieces of 1, 2, 3, 7 and 64 bytes.
#[cfg(test)]
pub(crate) fn events_in_any_pieces<T: Tap>(tap: impl Fn() -> T, steps: &[DialogueStep<'_>]) -> Vec<String> {
    let whole = events(&mut tap(), steps, || 0);
    for size in [1, 2, 3, 7, 64] {
        assert_eq!(events(&mut tap(), steps, || size), whole, "in pieces of {size}");
    }
    whole
}

#[derive(Default)]
struct EventLog {
    lines: Vec<String>,
    /// The body or message to which the last lines belong, and the line of each sign before its bytes.
    open: Option<(ExchangeId, Dir, BTreeMap<char, usize>)>,
}

impl EventLog {
    fn add(&mut self, event: TapEvent<'_>) {
        let arrow = |dir| if dir == Dir::Up { '>' } else { '<' };
        let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
        let fields =
            |headers: &Headers| headers.iter().map(|(n, v)| format!(" {}: {};", text(n), text(v))).collect::<String>();
        let mut open = None;
        let line = match event {
            TapEvent::Begin { id, dir } => format!("{}{} begins", id.0, arrow(dir)),
            TapEvent::Request { id, head: h } => {
                let scheme = h.scheme.map(|scheme| text(&scheme) + "://").unwrap_or_default();
                let target = scheme + &text(&h.authority.unwrap_or_default()) + &text(&h.target);
                format!("{}> {} {target} {:?}{}", id.0, h.method, h.version, fields(&h.headers))
            }
            TapEvent::Response { id, head: h } => {
                format!("{}< {} {} {:?}{}", id.0, h.status, text(&h.reason), h.version, fields(&h.headers))
            }
            TapEvent::Body { id, dir, bytes }
            | TapEvent::MessageData { id, dir, bytes }
            | TapEvent::MessageEncoded { id, dir, bytes } => {
                assert!(!bytes.is_empty(), "a piece is empty");
                let sign = if matches!(event, TapEvent::MessageEncoded { .. }) { '#' } else { '|' };
                let mut lines = match self.open.take() {
                    Some((open_id, open_dir, lines)) if (open_id, open_dir) == (id, dir) => lines,
                    _ => BTreeMap::new(),
                };
                let line = *lines.entry(sign).or_insert(self.lines.len());
                open = Some((id, dir, lines));
                if let Some(line) = self.lines.get_mut(line) {
                    line.push_str(&text(bytes));
                    self.open = open;
                    return;
                }
                format!("{}{} {sign} {}", id.0, arrow(dir), text(bytes))
            }
            TapEvent::Trailers { id, dir, headers } => format!("{}{} trailers{}", id.0, arrow(dir), fields(&headers)),
            TapEvent::End { id, dir, how } => format!("{}{} ends {}", id.0, arrow(dir), finish(how)),
            TapEvent::WebSocketOpen { id, protocol } => format!("{} WebSocket {protocol:?}", id.0),
            TapEvent::Upgraded { id } => format!("{} continues in HTTP/2", id.0),
            TapEvent::MessageBegin { id, dir, opcode } => format!("{}{} message {opcode:?}", id.0, arrow(dir)),
            TapEvent::MessageUndecodable { id, dir, encoding } => {
                format!("{}{} message undecodable {encoding:?}", id.0, arrow(dir))
            }
            TapEvent::MessageEnd { id, dir, how } => format!("{}{} message ends {}", id.0, arrow(dir), finish(how)),
            TapEvent::Control { id, dir, opcode, payload } => {
                format!("{}{} {opcode:?} {}", id.0, arrow(dir), text(payload))
            }
            TapEvent::WebSocketEnd { id, how } => format!("{} WebSocket ends {}", id.0, finish(how)),
            // Depends on how the bytes are split.
            TapEvent::WindowNeeded { .. } | TapEvent::Unrequested { .. } => return,
            TapEvent::Opaque { cause } => format!("opaque: {cause}"),
        };
        self.open = open;
        self.lines.push(line);
    }
}

/// Returns the name of `how`, without the cause of `Opaque`.
fn finish(how: Finish) -> String {
    match how {
        Finish::Complete | Finish::Truncated(_) => format!("{how:?}"),
        Finish::Opaque(_) => "Opaque".into(),
        Finish::Reset { by: Dir::Up, code } => format!("Reset by the client: {code}"),
        Finish::Reset { by: Dir::Down, code } => format!("Reset by the origin: {code}"),
        Finish::Short => "Short".into(),
    }
}

/// The progress of one direction of an exchange.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum MessageProgress {
    NotStarted,
    Head,
    Body,
    Trailers,
    End,
}

/// Asserts that the events of each direction of each exchange are in order, and that every exchange and WebSocket ends exactly
/// once. `answered` is an exchange whose request was made before the dialogue.
#[track_caller]
pub(crate) fn assert_all_ends(tap: &mut dyn Tap, answered: Option<ExchangeId>, steps: &[DialogueStep<'_>]) {
    let mut progress: BTreeMap<ExchangeId, [MessageProgress; 2]> =
        answered.map(|id| (id, [MessageProgress::End, MessageProgress::NotStarted])).into_iter().collect();
    let mut websockets: BTreeMap<ExchangeId, bool> = BTreeMap::new();
    let mut check = |event: TapEvent<'_>| {
        let (id, dir, now) = match event {
            TapEvent::Begin { .. }
            | TapEvent::Upgraded { .. }
            | TapEvent::WindowNeeded { .. }
            | TapEvent::Unrequested { .. }
            | TapEvent::Opaque { .. } => return,
            TapEvent::Request { id, .. } => (id, Dir::Up, MessageProgress::Head),
            TapEvent::Response { id, .. } => (id, Dir::Down, MessageProgress::Head),
            TapEvent::Body { id, dir, .. } => (id, dir, MessageProgress::Body),
            TapEvent::Trailers { id, dir, .. } => (id, dir, MessageProgress::Trailers),
            TapEvent::End { id, dir, .. } => (id, dir, MessageProgress::End),
            TapEvent::WebSocketOpen { id, .. } => return assert_eq!(websockets.insert(id, true), None),
            TapEvent::WebSocketEnd { id, .. } => return assert_eq!(websockets.insert(id, false), Some(true)),
            TapEvent::MessageBegin { id, .. }
            | TapEvent::MessageData { id, .. }
            | TapEvent::MessageEncoded { id, .. }
            | TapEvent::MessageUndecodable { id, .. }
            | TapEvent::MessageEnd { id, .. }
            | TapEvent::Control { id, .. } => return assert_eq!(websockets.get(&id), Some(&true)),
        };
        let exchange = progress.entry(id).or_insert([MessageProgress::NotStarted; 2]);
        let [up, down] = exchange;
        assert!(
            *up > MessageProgress::NotStarted || now == MessageProgress::Head && dir == Dir::Up,
            "{event:?} before its request"
        );
        let before = if dir == Dir::Up { up } else { down };
        // A response that ends without a head was never received.
        let skips = *before == MessageProgress::NotStarted
            && now != MessageProgress::Head
            && !(now == MessageProgress::End && dir == Dir::Down);
        assert!(
            !skips && (*before < now || *before == MessageProgress::Body && now == MessageProgress::Body),
            "{event:?} after {before:?}"
        );
        *before = now;
    };
    for step in steps {
        match *step {
            DialogueStep::Up(bytes) => tap.data(Dir::Up, bytes, &mut check),
            DialogueStep::Down(bytes) => tap.data(Dir::Down, bytes, &mut check),
            DialogueStep::End(dir, how) => tap.end(dir, how, &mut check),
        }
    }
    assert!(progress.values().all(|ends| *ends == [MessageProgress::End; 2]), "left open: {progress:?}");
    assert!(websockets.values().all(|open| !open), "websockets left open");
}
