//! The settings that bear on reading (RFC 9113 section 6.5.2), as a frame carries them, or the request of an upgrade.

/// See above; what was not said is `None`.
#[derive(Default)]
pub(super) struct Settings {
    /// The largest table that who decodes allows.
    pub table: Option<u32>,
    /// The largest frame that who sent this takes.
    pub largest_frame: Option<u32>,
}

impl Settings {
    /// As a SETTINGS frame carries them.
    pub(super) fn read(payload: &[u8]) -> Self {
        let mut settings = Self::default();
        for [a, b, value @ ..] in payload.as_chunks::<6>().0 {
            let value = u32::from_be_bytes(*value);
            match u16::from_be_bytes([*a, *b]) {
                0x1 => settings.table = Some(value),
                0x5 => settings.largest_frame = Some(value),
                _ => {}
            }
        }
        settings
    }

    /// As an `HTTP2-Settings` field carries them (RFC 7540 section 3.2.1).
    pub(super) fn of_upgrade(field: &[u8]) -> Self {
        Self::read(&base64url(field))
    }
}

/// The bytes that unpadded base64url stands for, as far as it is one (RFC 4648 section 5).
fn base64url(text: &[u8]) -> Vec<u8> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_bear_on_reading() {
        let payload = [[0, 1, 0, 0, 32, 0], [0, 9, 1, 1, 1, 1], [0, 5, 0, 0, 64, 1]].concat();
        let settings = Settings::read(&payload);
        assert_eq!((settings.table, settings.largest_frame), (Some(8192), Some(16385)));
        let settings = Settings::of_upgrade(b"AAEAACAA=odd");
        assert_eq!((settings.table, settings.largest_frame), (Some(8192), None));
    }

    #[test]
    fn text_without_padding() {
        for (text, bytes) in [("", &b""[..]), ("Zg", b"f"), ("Zm8", b"fo"), ("Zm9v", b"foo"), ("-_-_", b"\xfb\xff\xbf")]
        {
            assert_eq!(base64url(text.as_bytes()), bytes);
        }
    }
}
