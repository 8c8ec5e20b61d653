//! Reads DER (ITU-T X.690 section 8): consecutive values with a tag of one byte and a definite length.

use std::fmt;

/// Consecutive DER values that have not been read yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Der<'a>(&'a [u8]);

/// One DER value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Value<'a> {
    /// The identifier octet: class, constructed bit and number.
    pub(super) tag: u8,
    /// The content octets.
    pub(super) content: &'a [u8],
    /// All octets: tag, length and content.
    pub(super) raw: &'a [u8],
}

/// The error for DER that ends early or has another structure than expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl<'a> Der<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Reads the next value, or returns `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Value<'a>>, Malformed> {
        let all = self.0;
        let Some((&tag, rest)) = all.split_first() else { return Ok(None) };
        let (&first, rest) = rest.split_first().ok_or(Malformed)?;
        let (len, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            // Longer lengths exceed any certificate; 0x80 is the indefinite form, which DER forbids.
            0x81..=0x84 => {
                let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f)).ok_or(Malformed)?;
                (digits.iter().fold(0, |len, digit| len << 8 | usize::from(*digit)), rest)
            }
            _ => return Err(Malformed),
        };
        if tag & TAG_NUMBER == TAG_NUMBER {
            return Err(Malformed); // A tag of several bytes: no certificate has one.
        }
        let (content, rest) = rest.split_at_checked(len).ok_or(Malformed)?;
        let (raw, _) = all.split_at_checked(all.len().saturating_sub(rest.len())).ok_or(Malformed)?;
        self.0 = rest;
        Ok(Some(Value { tag, content, raw }))
    }

    /// Reads the next value, which must have this tag.
    pub(super) fn expect(&mut self, tag: u8) -> Result<Value<'a>, Malformed> {
        self.optional(tag)?.ok_or(Malformed)
    }

    /// Reads the next value if it has this tag.
    pub(super) fn optional(&mut self, tag: u8) -> Result<Option<Value<'a>>, Malformed> {
        let mut ahead = *self;
        let value = ahead.next()?.filter(|value| value.tag == tag);
        if value.is_some() {
            *self = ahead;
        }
        Ok(value)
    }
}

impl<'a> Value<'a> {
    /// The values within a constructed value.
    pub(super) fn values(self) -> Der<'a> {
        Der(self.content)
    }

    /// The bits of a BIT STRING whose number is a multiple of eight.
    pub(super) fn whole_bytes(self) -> Result<&'a [u8], Malformed> {
        self.content.strip_prefix(&[0]).ok_or(Malformed)
    }

    /// The magnitude of an INTEGER that is not negative, without leading zeros.
    pub(super) fn magnitude(self) -> Result<&'a [u8], Malformed> {
        match self.content {
            [] => Err(Malformed),
            [first, ..] if first & 0x80 != 0 => Err(Malformed),
            content => {
                let zeros = content.iter().take_while(|byte| **byte == 0).count();
                Ok(content.get(zeros..).unwrap_or_default())
            }
        }
    }
}

/// Writes the content of an OBJECT IDENTIFIER in dotted decimal (X.690 section 8.19).
pub(super) fn dotted(oid: &[u8]) -> String {
    let mut arcs = Vec::new();
    let mut arc: u64 = 0;
    for byte in oid {
        arc = arc.saturating_mul(128).saturating_add(u64::from(byte & 0x7f));
        if byte & 0x80 == 0 {
            if arcs.is_empty() {
                let first = (arc / 40).min(2);
                arcs.push(first.to_string());
                arc = arc.saturating_sub(first.saturating_mul(40));
            }
            arcs.push(arc.to_string());
            arc = 0;
        }
    }
    arcs.join(".")
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the certificate is not valid DER")
    }
}

impl std::error::Error for Malformed {}

/// The bits of an identifier octet that give the tag's number. If all are set, more octets follow.
const TAG_NUMBER: u8 = 0x1f;

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
pub(super) const UTC_TIME: u8 = 0x17;
pub(super) const GENERALIZED_TIME: u8 = 0x18;
pub(super) const SEQUENCE: u8 = 0x30;
/// A primitive value with the context-specific tag `number`.
pub(super) const fn context(number: u8) -> u8 {
    0x80 | number
}
/// A constructed value with the context-specific tag `number`.
pub(crate) const fn constructed(number: u8) -> u8 {
    0xa0 | number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_short_and_long_lengths() {
        let long = [&[0x04, 0x82, 0x01, 0x00][..], &[7; 256]].concat();
        let all = [&[0x02, 1, 5][..], &long].concat();
        let mut der = Der::new(&all);
        assert_eq!(der.expect(INTEGER).unwrap().content, [5]);
        assert_eq!(der.optional(INTEGER), Ok(None));
        let value = der.expect(OCTET_STRING).unwrap();
        assert_eq!((value.content, value.raw), (&[7; 256][..], &*long));
        assert_eq!(der.next(), Ok(None));
    }

    #[test]
    fn rejects_what_ends_early_and_indefinite_lengths() {
        for bytes in
            [&[0x30][..], &[0x30, 1], &[0x30, 0x81], &[0x30, 0x80, 0, 0], &[0x30, 0x85, 0, 0, 0, 0, 0], &[0x1f, 0]]
        {
            assert_eq!(Der::new(bytes).next(), Err(Malformed), "{bytes:x?}");
        }
    }

    #[test]
    fn object_identifiers_are_dotted() {
        for (bytes, text) in [
            (&[0x55, 0x04, 0x03][..], "2.5.4.3"),
            (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d], "1.2.840.113549"),
            (&[0x2b, 0x65, 0x70], "1.3.101.112"),
            (&[0x88, 0x37, 0x03], "2.999.3"),
        ] {
            assert_eq!(dotted(bytes), text);
        }
    }
}
