//! The recovery note: an extra field of local headers with facts that only recovery needs. Other ZIP readers skip it.
//!
//! ```text
//! first JSON of a bundle       capture: id, created, name      otherwise only in the manifest, written last
//! JSON of a handshake          opens: socket, protocols        otherwise only in the JSON written when it closes
//! JSON of an amendment         is_amendment                    its bodies precede an earlier JSON of the exchange
//! ```
//!
//! Encoded as JSON, with or without spaces after it. The field names are part of the file format.

use serde::{Deserialize, Serialize};

/// The recovery note of an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct RecoveryNote {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) capture: Option<CaptureIdentity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) opens: Option<OpenedWebSocket>,
}

/// The capture that the bundle belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct CaptureIdentity {
    /// A UUID.
    pub(crate) id: String,
    /// The start of the capture in microseconds since the epoch.
    pub(crate) created: u64,
    /// The stem of the output's file name.
    pub(crate) name: String,
}

/// The WebSocket that a handshake opens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct OpenedWebSocket {
    /// The number in its id.
    pub(crate) socket: u32,
    /// The negotiated subprotocol, if any.
    pub(crate) protocols: Vec<String>,
}

impl RecoveryNote {
    /// Returns the content of the extra field; empty for an empty note. Leaves out subprotocols that would exceed the
    /// limit.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let json = |note: &Self| match note {
            Self { capture: None, opens: None } => Ok(Vec::new()),
            note => serde_json::to_vec(note),
        };
        let mut encoded = json(self).unwrap_or_default();
        if encoded.len() > MAX_NOTE_BYTES {
            let opens = self.opens.as_ref().map(|opens| OpenedWebSocket { protocols: Vec::new(), ..*opens });
            encoded = json(&Self { opens, capture: self.capture.clone() }).unwrap_or_default();
        }
        encoded
    }

    /// Decodes an extra field. Returns an empty note if it is invalid.
    pub(crate) fn decode(encoded: &[u8]) -> Self {
        serde_json::from_slice(encoded).unwrap_or_default()
    }
}

/// The note of an amendment. Its bodies were restored as received where they are, which recovery sees there.
pub(crate) const AMENDMENT: &[u8] = br#"{"is_amendment":true}"#;

/// The largest note: all extra fields of an entry share 64 KiB.
const MAX_NOTE_BYTES: usize = 32 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_round_trip() {
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
        assert_eq!(RecoveryNote::decode(b"\xff"), RecoveryNote::default());
    }

    #[test]
    fn leaves_out_subprotocols_that_are_too_long() {
        let capture = Some(CaptureIdentity { id: "x".into(), created: 5, name: "ü\"".into() });
        let protocols = vec!["x".repeat(MAX_NOTE_BYTES)];
        let long = RecoveryNote { capture: capture.clone(), opens: Some(OpenedWebSocket { socket: 3, protocols }) };
        let opens = Some(OpenedWebSocket { socket: 3, protocols: vec![] });
        assert_eq!(RecoveryNote::decode(&long.encode()), RecoveryNote { capture, opens });
    }
}
