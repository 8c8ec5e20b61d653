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
pub(crate) struct RecoveryNote {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) capture: Option<CaptureIdentity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) opens: Option<OpenedWebSocket>,
}

/// The capture that the entry is of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct CaptureIdentity {
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
pub(crate) struct OpenedWebSocket {
    /// Its number.
    pub(crate) socket: u32,
    /// The negotiated subprotocol.
    pub(crate) protocols: Vec<String>,
}

impl RecoveryNote {
    /// As it stands in a header, empty if there is nothing to say.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let json = |note: &Self| if *note == Self::default() { Ok(Vec::new()) } else { serde_json::to_vec(note) };
        let mut encoded = json(self).unwrap_or_default();
        if encoded.len() > MOST {
            // A subprotocol of that length has no meaning to anyone.
            let opens = self.opens.as_ref().map(|opens| OpenedWebSocket { protocols: Vec::new(), ..*opens });
            encoded = json(&Self { opens, capture: self.capture.clone() }).unwrap_or_default();
        }
        encoded
    }

    /// Reads what [`RecoveryNote::encode`] wrote; anything else says nothing.
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
        let capture = Some(CaptureIdentity { id: "x".into(), created: 5, name: "ü\"".into() });
        let opens = |protocol: &str| Some(OpenedWebSocket { socket: 3, protocols: vec![protocol.into()] });
        for note in [
            RecoveryNote::default(),
            RecoveryNote { capture: capture.clone(), opens: None },
            RecoveryNote { capture: capture.clone(), opens: opens("graphql-ws") },
        ] {
            assert_eq!(RecoveryNote::decode(&note.encode()), note);
        }
        assert!(RecoveryNote::default().encode().is_empty());
        let long = RecoveryNote { capture: capture.clone(), opens: opens(&"x".repeat(MOST)) };
        assert_eq!(
            RecoveryNote::decode(&long.encode()),
            RecoveryNote { capture, opens: Some(OpenedWebSocket { socket: 3, protocols: vec![] }) }
        );
        assert_eq!(RecoveryNote::decode(b"\xff"), RecoveryNote::default());
    }
}
