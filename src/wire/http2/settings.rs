//! Parses the settings that affect parsing (RFC 9113 section 6.5.2), from a SETTINGS frame or from the request of an upgrade.

/// The relevant settings; `None` if a setting is absent.
#[derive(Default)]
pub(super) struct Settings {
    /// SETTINGS_HEADER_TABLE_SIZE: the largest dynamic table that the sender's decoder allows.
    pub table_size: Option<u32>,
    /// SETTINGS_MAX_FRAME_SIZE: the largest frame that the sender accepts.
    pub max_frame_size: Option<u32>,
}

impl Settings {
    /// Adds one setting of a SETTINGS frame. A later value replaces an earlier one.
    pub(super) fn add(&mut self, [a, b, value @ ..]: [u8; SETTING_BYTES]) {
        let value = u32::from_be_bytes(value);
        match u16::from_be_bytes([a, b]) {
            0x1 => self.table_size = Some(value),
            0x5 => self.max_frame_size = Some(value),
            _ => {}
        }
    }

    /// Parses the value of an `HTTP2-Settings` field (RFC 7540 section 3.2.1).
    pub(super) fn from_upgrade(field: &[u8]) -> Self {
        let mut settings = Self::default();
        decode_base64url(field).as_chunks().0.iter().for_each(|setting| settings.add(*setting));
        settings
    }
}

/// Decodes unpadded base64url up to the first invalid character (RFC 4648 section 5).
fn decode_base64url(text: &[u8]) -> Vec<u8> {
    let digit = |byte: &u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    };
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u16, 0);
    for digit in text.iter().map_while(digit) {
        bits = (bits << 6) | u16::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    bytes
}

/// The size of a setting: its identifier and its value.
pub(super) const SETTING_BYTES: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_the_relevant_settings() {
        let mut settings = Settings::default();
        [[0, 1, 0, 0, 32, 0], [0, 9, 1, 1, 1, 1], [0, 5, 0, 0, 64, 1]].into_iter().for_each(|s| settings.add(s));
        assert_eq!((settings.table_size, settings.max_frame_size), (Some(8192), Some(16385)));
        let settings = Settings::from_upgrade(b"AAEAACAA=odd");
        assert_eq!((settings.table_size, settings.max_frame_size), (Some(8192), None));
    }

    #[test]
    fn decodes_base64url_without_padding() {
        for (text, bytes) in [("", &b""[..]), ("Zg", b"f"), ("Zm8", b"fo"), ("Zm9v", b"foo"), ("-_-_", b"\xfb\xff\xbf")]
        {
            assert_eq!(decode_base64url(text.as_bytes()), bytes);
        }
    }
}
