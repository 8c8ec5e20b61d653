//! What only recovery has to know, in a field of the local headers that ordinary readers skip.
//!
//! ```text
//! first JSON of a bundle       capture: id, created, name      the manifest comes at the end, and may never come
//! JSON of a handshake          opens: socket, protocols        so does the socket's own JSON
//! ```

use serde::{Deserialize, Serialize};

/// What stands beside an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Note {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) capture: Option<Capture>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) opens: Option<Opens>,
}

/// The capture that the entry is of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Capture {
    /// Its UUID.
    pub(crate) id: String,
    /// When it began, in microseconds since the epoch.
    pub(crate) created: u64,
    /// The stem of the output's name.
    pub(crate) name: String,
}

/// The WebSocket that an exchange opens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Opens {
    /// Its number.
    pub(crate) socket: u32,
    /// The negotiated subprotocol.
    pub(crate) protocols: Vec<String>,
}

impl Note {
    /// As it stands in a header, empty if there is nothing to say.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let json = |note: &Self| if *note == Self::default() { Ok(Vec::new()) } else { serde_json::to_vec(note) };
        let mut encoded = json(self).unwrap_or_default();
        if encoded.len() > MOST {
            // A subprotocol of that length has no meaning to anyone.
            let opens = self.opens.as_ref().map(|opens| Opens { protocols: Vec::new(), ..*opens });
            encoded = json(&Self { opens, capture: self.capture.clone() }).unwrap_or_default();
        }
        encoded
    }

    /// Reads what [`Note::encode`] wrote; anything else says nothing.
    pub(crate) fn decode(encoded: &[u8]) -> Self {
        serde_json::from_slice(encoded).unwrap_or_default()
    }
}

/// All extra fields of an entry share 64 KiB; file systems allow names of 255 bytes.
const MOST: usize = 32 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_as_it_was_written() {
        let capture = Some(Capture { id: "x".into(), created: 5, name: "ü\"".into() });
        let opens = |protocol: &str| Some(Opens { socket: 3, protocols: vec![protocol.into()] });
        for note in [
            Note::default(),
            Note { capture: capture.clone(), opens: None },
            Note { capture: capture.clone(), opens: opens("graphql-ws") },
        ] {
            assert_eq!(Note::decode(&note.encode()), note);
        }
        assert!(Note::default().encode().is_empty());
        let long = Note { capture: capture.clone(), opens: opens(&"x".repeat(MOST)) };
        assert_eq!(Note::decode(&long.encode()), Note { capture, opens: Some(Opens { socket: 3, protocols: vec![] }) });
        assert_eq!(Note::decode(b"\xff"), Note::default());
    }
}
