//! The ids of a bundle's items, and the names of the archive entries with their JSON and bodies.
//!
//! ```text
//! t_0001        traces/t_0001.json, t_0001_request.bin, t_0001_response.bin    HTTP exchange
//! ws_0001       ws/ws_0001.json                                                WebSocket
//! ws_0001_m001  ws/ws_0001_m001.json, ws_0001_m001.bin                         WebSocket message
//! c_0001        contexts/c_0001.json                                           context, from the browser extension
//! ```
//!
//! In a merged bundle the number of the source bundle comes first: `t_001_0001`.

use std::fmt;

/// An id that this program assigns, made of counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Id {
    Trace(u32),
    WebSocket(u32),
    /// The numbers of the WebSocket and of the message.
    Message(u32, u32),
}

/// The kind of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ItemKind {
    Trace,
    WebSocket,
    Message,
    Context,
}

impl Id {
    pub(crate) fn kind(self) -> ItemKind {
        match self {
            Self::Trace(_) => ItemKind::Trace,
            Self::WebSocket(_) => ItemKind::WebSocket,
            Self::Message(..) => ItemKind::Message,
        }
    }

    /// Appends the id to `text`.
    pub(crate) fn push_to(self, text: &mut String) {
        match self {
            Self::Trace(n) => {
                text.push_str("t_");
                push_number(text, n.into(), 4);
            }
            Self::WebSocket(n) => {
                text.push_str("ws_");
                push_number(text, n.into(), 4);
            }
            Self::Message(websocket, n) => {
                Self::WebSocket(websocket).push_to(text);
                text.push_str("_m");
                push_number(text, n.into(), 3);
            }
        }
    }

    /// Returns the id.
    pub(crate) fn text(self) -> String {
        let mut text = String::with_capacity(MAX_ID_BYTES);
        self.push_to(&mut text);
        text
    }
}

impl ItemKind {
    /// Returns the directory of the archive that contains the items of this kind.
    pub(crate) fn directory(self) -> &'static str {
        match self {
            Self::Trace => "traces",
            Self::WebSocket | Self::Message => "ws",
            Self::Context => "contexts",
        }
    }

    /// Returns the name of the archive entry with the JSON of the item `id`.
    pub(crate) fn json_name(self, id: &str) -> String {
        joined([self.directory(), "/", id, ".json"])
    }

    /// Returns the name of the archive entry with a body or payload, whose JSON calls it `file`.
    pub(crate) fn body_name(self, file: &str) -> String {
        joined([self.directory(), "/", file])
    }
}

/// Returns the name of the archive entry with the request body of the exchange `id`.
pub(crate) fn request_path(id: &str) -> String {
    joined([ItemKind::Trace.directory(), "/", id, "_request.bin"])
}

/// Returns the name of the archive entry with the response body of the exchange `id`.
pub(crate) fn response_path(id: &str) -> String {
    joined([ItemKind::Trace.directory(), "/", id, "_response.bin"])
}

/// Returns the name of the archive entry with the payload of the message `id`.
pub(crate) fn payload_path(id: &str) -> String {
    joined([ItemKind::Message.directory(), "/", id, ".bin"])
}

/// Returns the file name of the request body of the exchange `id`.
pub(crate) fn request_file(id: &str) -> String {
    joined([id, "_request.bin"])
}

/// Returns the file name of the response body of the exchange `id`.
pub(crate) fn response_file(id: &str) -> String {
    joined([id, "_response.bin"])
}

/// Returns the file name of the payload of the message `id`.
pub(crate) fn payload_file(id: &str) -> String {
    joined([id, ".bin"])
}

/// Returns the file names that the bodies of the item `id` may have.
pub(crate) fn body_files(kind: ItemKind, id: &str) -> impl Iterator<Item = String> + use<> {
    let files = match kind {
        ItemKind::Trace => [Some(request_file(id)), Some(response_file(id))],
        ItemKind::Message => [Some(payload_file(id)), None],
        ItemKind::WebSocket | ItemKind::Context => [None, None],
    };
    files.into_iter().flatten()
}

/// Returns the concatenation of `parts`. For short strings `concat` takes twice as long.
fn joined<const N: usize>(parts: [&str; N]) -> String {
    let mut text = String::with_capacity(parts.iter().map(|part| part.len()).fold(0, usize::saturating_add));
    parts.into_iter().for_each(|part| text.push_str(part));
    text
}

/// Appends `n` to `text`, with zeros in front up to `width` digits, at most 20.
pub(crate) fn push_number(text: &mut String, n: u64, width: usize) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(n);
    text.push_str(ZEROS.get(..width.saturating_sub(digits.len())).unwrap_or(ZEROS));
    text.push_str(digits);
}

/// The length of the longest id, `ws_4294967295_m4294967295`.
const MAX_ID_BYTES: usize = 25;

/// Zeros for the width of the largest number, 20 digits.
const ZEROS: &str = "00000000000000000000";

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// Returns the id of the WebSocket that the message `id` belongs to.
pub(crate) fn websocket_of(id: &str) -> &str {
    // By one character: a search for two takes ten times as long.
    id.rsplit_once('m').and_then(|(before, _)| before.strip_suffix('_')).unwrap_or(id)
}

/// Returns true if the body `file` is one of the item `id`: `t_0001_request.bin` is one of `t_0001`, but not of `t_0001_0002`.
/// No file is one of two items.
pub(crate) fn owns_file(id: &str, file: &str) -> bool {
    let is_own = |rest: &str| match rest.strip_prefix('_') {
        Some(name) => name.starts_with(|c: char| !c.is_ascii_digit()),
        None => rest.starts_with('.'),
    };
    file.strip_prefix(id).is_some_and(is_own)
}

/// Returns the kind and the id of the item that the archive entry `name` describes; `None` for bodies and anything
/// else.
pub(crate) fn item_of(name: &str) -> Option<(ItemKind, &str)> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let are_numbers = |text: &str| text.split('_').all(is_number);
    if let Some(id) = name.strip_prefix("traces/").and_then(|rest| rest.strip_suffix(".json")) {
        return are_numbers(id.strip_prefix("t_")?).then_some((ItemKind::Trace, id));
    }
    if let Some(id) = name.strip_prefix("contexts/").and_then(|rest| rest.strip_suffix(".json")) {
        return are_numbers(id.strip_prefix("c_")?).then_some((ItemKind::Context, id));
    }
    let id = name.strip_prefix("ws/")?.strip_suffix(".json")?;
    let numbers = id.strip_prefix("ws_")?;
    match numbers.split_once("_m") {
        Some((websocket, message)) => (are_numbers(websocket) && is_number(message)).then_some((ItemKind::Message, id)),
        None => are_numbers(numbers).then_some((ItemKind::WebSocket, id)),
    }
}

/// Returns the numbers in `id`, by which ids are sorted: as text, ids past four digits would sort wrongly.
pub(crate) fn numbers(id: &str) -> impl Iterator<Item = u64> {
    id.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_at_least_four_and_three_digits() {
        for (id, text) in [
            (Id::Trace(0), "t_0000"),
            (Id::Trace(12), "t_0012"),
            (Id::Trace(12_345), "t_12345"),
            (Id::WebSocket(9999), "ws_9999"),
            (Id::Message(1, 7), "ws_0001_m007"),
            (Id::Message(u32::MAX, u32::MAX), "ws_4294967295_m4294967295"),
        ] {
            assert_eq!((id.text(), id.to_string()), (text.to_owned(), text.to_owned()));
            assert!(text.len() <= MAX_ID_BYTES);
            if let Id::Message(websocket, _) = id {
                assert_eq!(websocket_of(text), Id::WebSocket(websocket).text());
            }
        }
        for n in [0, 9, 10, 99_999, u64::MAX] {
            for width in [0, 1, 3, 20] {
                let mut text = String::new();
                push_number(&mut text, n, width);
                assert_eq!(text, format!("{n:0width$}"));
            }
        }
    }

    #[test]
    fn a_file_belongs_to_one_item() {
        let ids = ["t_0001", "t_0001_0002", "t_00012", "ws_0001_m001"];
        for (file, owner) in [
            ("t_0001_request.bin", Some("t_0001")),
            ("t_0001.json", Some("t_0001")),
            ("t_0001_0002_response.bin", Some("t_0001_0002")),
            ("t_00012_response.bin", Some("t_00012")),
            ("ws_0001_m001.bin", Some("ws_0001_m001")),
            ("ws_0001_m0011.bin", None),
            ("t_0001", None),
            ("t_0001_", None),
            ("../traces/t_0001_request.bin", None),
        ] {
            assert_eq!(
                ids.iter().filter(|id| owns_file(id, file)).collect::<Vec<_>>(),
                Vec::from_iter(&owner),
                "{file}"
            );
        }
    }

    #[test]
    fn entries_of_items_are_recognized_by_name() {
        assert_eq!(item_of("traces/t_0001.json"), Some((ItemKind::Trace, "t_0001")));
        assert_eq!(item_of("ws/ws_0001.json"), Some((ItemKind::WebSocket, "ws_0001")));
        assert_eq!(item_of("ws/ws_0001_m12345.json"), Some((ItemKind::Message, "ws_0001_m12345")));
        assert_eq!(item_of("traces/t_002_0001.json"), Some((ItemKind::Trace, "t_002_0001")));
        assert_eq!(item_of("ws/ws_002_0001.json"), Some((ItemKind::WebSocket, "ws_002_0001")));
        assert_eq!(item_of("ws/ws_002_001_0001_m001.json"), Some((ItemKind::Message, "ws_002_001_0001_m001")));
        for (kind, id) in [
            (ItemKind::Trace, "t_0001"),
            (ItemKind::WebSocket, "ws_0001"),
            (ItemKind::Message, "ws_0001_m001"),
            (ItemKind::Context, "c_0001"),
        ] {
            assert_eq!(item_of(&kind.json_name(id)), Some((kind, id)));
        }
        for name in [
            "traces/t_0001_request.bin",
            "traces/t_.json",
            "traces/t_1_.json",
            "traces/../t_0001.json",
            "./traces/t_0001.json",
            "ws/ws_0001_m001.bin",
            "ws/ws_1_m_1.json",
            "contexts/c_.json",
            "manifest.json",
            "",
        ] {
            assert_eq!(item_of(name), None, "{name}");
        }
    }
}
