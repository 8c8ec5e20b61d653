//! Decodes bodies to text, and encodes the redacted text again.
//!
//! UTF-16 and UTF-32 are known by their byte order mark, their declaration, or the zeros between ASCII characters. In character sets
//! that extend ASCII, each byte is mapped to a character and back: names and placeholders are ASCII. Sets in which ASCII bytes
//! have other meanings cannot be searched.

/// The conclusion from the bytes of a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decoding {
    Text(Charset, String),
    /// The bytes are UTF-8 as they are.
    Utf8,
    Binary,
    /// The bytes are text in a character set that cannot be searched.
    Unknown,
}

/// A character set that can be encoded again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charset {
    Utf16(Endian),
    Utf32(Endian),
    /// ISO-8859-1, or another set that extends ASCII.
    Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endian {
    Big,
    Little,
}

/// Decodes `bytes`. `declared` is the parameter `charset`. `is_textual` is true for a textual media type.
pub(super) fn decode(bytes: &[u8], declared: Option<&str>, is_textual: bool) -> Decoding {
    let declared = declared.unwrap_or_default().to_ascii_lowercase();
    if let Some(charset) = wide(bytes, &declared) {
        return charset.decode(bytes).map_or(Decoding::Unknown, |text| Decoding::Text(charset, text));
    }
    if OPAQUE.iter().any(|name| declared.contains(name)) {
        return Decoding::Unknown;
    }
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => return Decoding::Utf8,
        _ if bytes.contains(&0) || !is_textual => return Decoding::Binary,
        _ => {}
    }
    match MULTIBYTE.iter().any(|name| declared.contains(name)) {
        true => Decoding::Unknown,
        false => Decoding::Text(Charset::Bytes, bytes.iter().copied().map(char::from).collect()),
    }
}

impl Charset {
    fn decode(self, bytes: &[u8]) -> Option<String> {
        match self {
            Self::Utf16(endian) => {
                let (units, rest) = bytes.as_chunks::<2>();
                let units = units.iter().map(|unit| match endian {
                    Endian::Big => u16::from_be_bytes(*unit),
                    Endian::Little => u16::from_le_bytes(*unit),
                });
                char::decode_utf16(units).collect::<Result<_, _>>().ok().filter(|_| rest.is_empty())
            }
            Self::Utf32(endian) => {
                let (units, rest) = bytes.as_chunks::<4>();
                let unit = |unit: &[u8; 4]| match endian {
                    Endian::Big => u32::from_be_bytes(*unit),
                    Endian::Little => u32::from_le_bytes(*unit),
                };
                units.iter().map(|bytes| char::from_u32(unit(bytes))).collect::<Option<_>>().filter(|_| rest.is_empty())
            }
            Self::Bytes => Some(bytes.iter().copied().map(char::from).collect()),
        }
    }

    /// Encodes text that was decoded and whose replacements are ASCII.
    pub(super) fn encode(self, text: &str) -> Vec<u8> {
        match self {
            Self::Utf16(endian) => text
                .encode_utf16()
                .flat_map(|unit| if endian == Endian::Big { unit.to_be_bytes() } else { unit.to_le_bytes() })
                .collect(),
            Self::Utf32(endian) => text
                .chars()
                .map(u32::from)
                .flat_map(|unit| if endian == Endian::Big { unit.to_be_bytes() } else { unit.to_le_bytes() })
                .collect(),
            Self::Bytes => text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect(),
        }
    }
}

/// Returns UTF-16 or UTF-32 if `bytes` are in one of these.
fn wide(bytes: &[u8], declared: &str) -> Option<Charset> {
    use Charset::{Utf16, Utf32};
    use Endian::{Big, Little};
    match bytes {
        [0xff, 0xfe, 0, 0, ..] => return Some(Utf32(Little)),
        [0, 0, 0xfe, 0xff, ..] => return Some(Utf32(Big)),
        [0xff, 0xfe, ..] => return Some(Utf16(Little)),
        [0xfe, 0xff, ..] => return Some(Utf16(Big)),
        _ => {}
    }
    let by_name = match declared {
        "utf-16le" => Some(Utf16(Little)),
        "utf-16" | "utf-16be" | "ucs-2" | "iso-10646-ucs-2" => Some(Utf16(Big)),
        "utf-32le" => Some(Utf32(Little)),
        "utf-32" | "utf-32be" => Some(Utf32(Big)),
        _ => None,
    };
    let by_zeros = match bytes {
        [0, 0, 0, 1..=0x7f, 0, 0, 0, 1..=0x7f, ..] | [0, 0, 0, 1..=0x7f] => Some(Utf32(Big)),
        [1..=0x7f, 0, 0, 0, 1..=0x7f, 0, 0, 0, ..] | [1..=0x7f, 0, 0, 0] => Some(Utf32(Little)),
        [0, 0x09..=0x7f, 0, 0x09..=0x7f, ..] => Some(Utf16(Big)),
        [0x09..=0x7f, 0, 0x09..=0x7f, 0, ..] => Some(Utf16(Little)),
        _ => None,
    };
    match (by_zeros, by_name) {
        // Binary formats begin with small numbers, too.
        (Some(charset), None) => {
            Some(charset).filter(|charset| charset.decode(bytes).is_some_and(|text| is_plain(&text)))
        }
        (Some(charset), Some(_)) => Some(charset),
        (None, by_name) => by_name,
    }
}

/// Returns true for text without control characters.
fn is_plain(text: &str) -> bool {
    text.chars().all(|c| !c.is_control() || matches!(c, '\t' | '\n' | '\r' | '\u{c}' | '\u{1e}'))
}

/// Parts of the names of sets in which ASCII bytes have other meanings.
const OPAQUE: &[&str] = &["utf-7", "ebcdic", "ibm037", "ibm500", "ibm1047", "cp037", "hz-gb", "iso-2022", "imap"];

/// Parts of the names of sets in which a character may contain ASCII bytes.
const MULTIBYTE: &[&str] =
    &["shift_jis", "sjis", "windows-31j", "gbk", "gb18030", "big5", "gb2312", "johab", "windows-949"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_character_sets_are_decoded_and_encoded_again() {
        let text = "{\"grün\":\"\u{1f600}\"}";
        for charset in [
            Charset::Utf16(Endian::Big),
            Charset::Utf16(Endian::Little),
            Charset::Utf32(Endian::Big),
            Charset::Utf32(Endian::Little),
        ] {
            for text in [text.to_owned(), format!("\u{feff}{text}")] {
                let bytes = charset.encode(&text);
                assert_eq!(decode(&bytes, None, false), Decoding::Text(charset, text), "{charset:?}");
            }
        }
        let bytes = Charset::Utf16(Endian::Little).encode("ü\"a\"");
        assert_eq!(
            decode(&bytes, Some("UTF-16LE"), true),
            Decoding::Text(Charset::Utf16(Endian::Little), "ü\"a\"".into())
        );
        assert_eq!(decode(b"\xff\xfea", None, true), Decoding::Unknown, "half a character");
        assert_eq!(decode(b"\xff\xfe\x00\xd8", None, true), Decoding::Unknown, "half a surrogate pair");
    }

    #[test]
    fn other_bytes_are_text_or_binary() {
        assert_eq!(decode("grün".as_bytes(), None, false), Decoding::Utf8);
        assert_eq!(decode(b"gr\xfcn", Some("ISO-8859-1"), true), Decoding::Text(Charset::Bytes, "grün".into()));
        assert_eq!(Charset::Bytes.encode("grün"), b"gr\xfcn");
        assert_eq!(decode(b"gr\xfcn", None, false), Decoding::Binary);
        assert_eq!(decode(b"gr\xfcn\0", None, true), Decoding::Binary);
        assert_eq!(decode(b"\x83\x5c", Some("Shift_JIS"), true), Decoding::Unknown);
        assert_eq!(decode(b"+ADw-", Some("utf-7"), true), Decoding::Unknown);
        assert_eq!(decode(b"\x01\0\x02\0\x03\0\x04\0", None, false), Decoding::Binary);
        assert_eq!(decode(b"", None, true), Decoding::Utf8);
    }
}
