//! Writes DER (ITU-T X.690): each function returns a whole value, which becomes part of the content of another one.

use super::der::{GENERALIZED_TIME, INTEGER, OID, SEQUENCE, UTC_TIME};
use crate::calendar::Utc;

/// Returns a value with a tag of one byte, whose content is `parts`.
pub(crate) fn value(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let len = parts.iter().fold(0usize, |len, part| len.saturating_add(part.len()));
    let mut der = vec![tag];
    match u8::try_from(len) {
        Ok(short @ ..0x80) => der.push(short),
        _ => {
            let bytes = len.to_be_bytes();
            let digits = significant(&bytes);
            der.push(0x80 | digits.len() as u8);
            der.extend_from_slice(digits);
        }
    }
    parts.iter().for_each(|part| der.extend_from_slice(part));
    der
}

/// Returns a SEQUENCE of `parts`.
pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    value(SEQUENCE, parts)
}

/// Returns an OBJECT IDENTIFIER from its content.
pub(crate) fn oid(content: &[u8]) -> Vec<u8> {
    value(OID, &[content])
}

/// Returns an INTEGER that is not negative, from its magnitude.
pub(crate) fn unsigned(magnitude: &[u8]) -> Vec<u8> {
    match significant(magnitude) {
        digits @ [..=0x7f, ..] => value(INTEGER, &[digits]),
        digits => value(INTEGER, &[&[0], digits]),
    }
}

/// Returns a time in the form that RFC 5280 section 4.1.2.5 requires for its year, or `None` before the year 0 or after 9999.
pub(super) fn time(unix_seconds: i64) -> Option<Vec<u8>> {
    let utc = Utc::from_unix(unix_seconds);
    let text = [utc.date(), utc.time(), "Z".into()].concat().replace(['-', ':'], "");
    let der = match utc.year {
        1950..2050 => value(UTC_TIME, &[text.get(2..)?.as_bytes()]),
        _ => value(GENERALIZED_TIME, &[text.as_bytes()]),
    };
    (utc.unix() == unix_seconds).then_some(der)
}

/// Returns the bytes without leading zeros.
fn significant(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::der::{Der, OCTET_STRING};
    use super::*;

    #[test]
    fn lengths_are_as_short_as_possible() {
        for (len, header) in [
            (0, &[4, 0][..]),
            (127, &[4, 127]),
            (128, &[4, 0x81, 128]),
            (255, &[4, 0x81, 255]),
            (256, &[4, 0x82, 1, 0]),
            (65_536, &[4, 0x83, 1, 0, 0]),
        ] {
            let content = vec![7; len];
            let der = value(OCTET_STRING, &[&content]);
            assert_eq!(der, [header, &content].concat());
            assert_eq!(Der::new(&der).expect(OCTET_STRING).unwrap().content, content);
        }
        assert_eq!(sequence(&[&unsigned(&[1]), &oid(&[0x55, 4, 3])]), [0x30, 8, 2, 1, 1, 6, 3, 0x55, 4, 3]);
    }

    #[test]
    fn integers_are_not_negative_and_as_short_as_possible() {
        for (magnitude, content) in [
            (&[][..], &[0][..]),
            (&[0, 0], &[0]),
            (&[0x7f], &[0x7f]),
            (&[0x80], &[0, 0x80]),
            (&[0, 0, 8, 0], &[8, 0]),
            (&[0, 0xff, 1], &[0, 0xff, 1]),
        ] {
            assert_eq!(unsigned(magnitude), [&[2, content.len() as u8], content].concat(), "{magnitude:x?}");
        }
    }

    #[test]
    fn times_have_the_form_of_their_year() {
        for (seconds, tag, text) in [
            (-631_152_001, GENERALIZED_TIME, "19491231235959Z"),
            (-631_152_000, UTC_TIME, "500101000000Z"),
            (0, UTC_TIME, "700101000000Z"),
            (1_718_452_799, UTC_TIME, "240615115959Z"),
            (2_524_607_999, UTC_TIME, "491231235959Z"),
            (2_524_608_000, GENERALIZED_TIME, "20500101000000Z"),
            (253_402_300_799, GENERALIZED_TIME, "99991231235959Z"),
        ] {
            assert_eq!(time(seconds).unwrap(), [&[tag, text.len() as u8], text.as_bytes()].concat(), "{text}");
        }
        assert_eq!((time(253_402_300_800), time(i64::MIN)), (None, None));
    }
}
