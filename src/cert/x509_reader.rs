//! Reads X.509 certificates of any version (RFC 5280 section 4.1).
//!
//! Signatures and chains are webpki's matter. This module reads the fields that webpki does not expose, also of certificates
//! that webpki rejects: versions 1 and 2, unknown extensions and keys.

use super::der::{
    BIT_STRING, BOOLEAN, Der, GENERALIZED_TIME, INTEGER, Malformed, OCTET_STRING, OID, SEQUENCE, UTC_TIME, Value,
    constructed, context, dotted,
};
use super::validity::{Validity, system_time};
use crate::calendar::Utc;
use std::net::IpAddr;
use std::time::SystemTime;

/// The fields of a certificate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct X509<'a> {
    pub(crate) issuer: Name<'a>,
    pub(crate) subject: Name<'a>,
    pub(super) validity: Validity,
    pub(crate) public_key: PublicKey<'a>,
    /// The values within `Extensions`; empty in versions 1 and 2.
    extensions: Der<'a>,
}

/// A distinguished name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name<'a>(Value<'a>);

/// A public key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PublicKey<'a> {
    /// The whole SubjectPublicKeyInfo.
    pub(crate) spki: &'a [u8],
    /// The content of its AlgorithmIdentifier: the algorithm and its parameters.
    pub(super) algorithm: &'a [u8],
    /// The content of its `subjectPublicKey`.
    pub(super) bits: &'a [u8],
}

/// An extension.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extension<'a> {
    /// The content of the OBJECT IDENTIFIER.
    pub(super) id: &'a [u8],
    pub(super) critical: bool,
    /// The value that the extension's OCTET STRING holds.
    value: &'a [u8],
}

/// A subject alternative name of a kind that names a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ServerAltName<'a> {
    Dns(&'a str),
    Ip(IpAddr),
}

/// The kind of a public key, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyKind<'a> {
    /// The modulus in whole bytes, as bits, and the public exponent, if it has at most 64 bits.
    Rsa {
        bits: usize,
        exponent: Option<u64>,
    },
    /// The name of the curve.
    Ec(&'static str),
    Ed25519,
    /// The content of the algorithm's OBJECT IDENTIFIER.
    Other(&'a [u8]),
}

impl<'a> X509<'a> {
    /// Reads a certificate in DER. Bytes behind it are ignored.
    ///
    /// # Errors
    /// Fails if its fields are not valid DER, or not in the order of RFC 5280 section 4.1.
    pub(crate) fn parse(der: &'a [u8]) -> Result<Self, Malformed> {
        let mut fields = Der::new(der).expect(SEQUENCE)?.values().expect(SEQUENCE)?.values();
        fields.optional(constructed(0))?; // version
        fields.expect(INTEGER)?; // serialNumber
        fields.expect(SEQUENCE)?; // signature
        let issuer = Name(fields.expect(SEQUENCE)?);
        let mut validity = fields.expect(SEQUENCE)?.values();
        let validity = Validity { not_before: next_time(&mut validity)?, not_after: next_time(&mut validity)? };
        let subject = Name(fields.expect(SEQUENCE)?);
        let public_key = PublicKey::parse(fields.expect(SEQUENCE)?)?;
        fields.optional(context(1))?; // issuerUniqueID
        fields.optional(context(2))?; // subjectUniqueID
        let extensions = match fields.optional(constructed(3))? {
            Some(explicit) => explicit.values().expect(SEQUENCE)?.values(),
            None => Der::new(&[]),
        };
        Ok(Self { issuer, subject, validity, public_key, extensions })
    }

    /// The validity period, both ends inclusive. Times before 1970 are possible.
    pub(crate) fn validity(&self) -> (SystemTime, SystemTime) {
        (system_time(self.validity.not_before), system_time(self.validity.not_after))
    }

    /// Reads all extensions.
    pub(super) fn extensions(&self) -> Result<Vec<Extension<'a>>, Malformed> {
        let mut all = Vec::new();
        let mut rest = self.extensions;
        while let Some(extension) = rest.next()? {
            let mut fields = extension.values();
            let id = fields.expect(OID)?.content;
            let critical = fields.optional(BOOLEAN)?.is_some_and(|value| value.content != [0]);
            all.push(Extension { id, critical, value: fields.expect(OCTET_STRING)?.content });
        }
        Ok(all)
    }

    /// Returns the content of the extension with this id, or `None` if there is none.
    ///
    /// # Errors
    /// Fails if there are several (RFC 5280 section 4.2), or if the extensions are not valid DER.
    fn extension(&self, id: &[u8]) -> Result<Option<Der<'a>>, Malformed> {
        let mut found = self.extensions()?.into_iter().filter(|extension| extension.id == id);
        match (found.next(), found.next()) {
            (_, Some(_)) => Err(Malformed),
            (first, None) => Ok(first.map(|extension| Der::new(extension.value))),
        }
    }

    /// True if the basic constraints say that this is a CA (RFC 5280 section 4.2.1.9).
    pub(super) fn is_ca(&self) -> Result<bool, Malformed> {
        let Some(mut value) = self.extension(BASIC_CONSTRAINTS)? else { return Ok(false) };
        Ok(value.expect(SEQUENCE)?.values().optional(BOOLEAN)?.is_some_and(|ca| ca.content != [0]))
    }

    /// True if the key may sign certificates: by the key usage, or because there is none (section 4.2.1.3).
    pub(super) fn may_sign_certificates(&self) -> Result<bool, Malformed> {
        let Some(mut value) = self.extension(KEY_USAGE)? else { return Ok(true) };
        let bits = value.expect(BIT_STRING)?.content; // the number of unused bits, then the bits
        Ok(bits.get(1).is_some_and(|byte| byte & KEY_CERT_SIGN != 0))
    }

    /// True if the key's purposes include servers in TLS, or if they are not limited (section 4.2.1.12).
    pub(super) fn is_for_servers(&self) -> Result<bool, Malformed> {
        let Some(mut value) = self.extension(EXTENDED_KEY_USAGE)? else { return Ok(true) };
        let mut purposes = value.expect(SEQUENCE)?.values();
        while let Some(purpose) = purposes.next()? {
            if purpose.content == SERVER_AUTH || purpose.content == ANY_PURPOSE {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// True if the names that this CA may issue for are constrained (section 4.2.1.10).
    pub(super) fn has_name_constraints(&self) -> Result<bool, Malformed> {
        Ok(self.extension(NAME_CONSTRAINTS)?.is_some())
    }

    /// Returns the subject key identifier, if there is one (section 4.2.1.2).
    pub(super) fn subject_key_id(&self) -> Result<Option<&'a [u8]>, Malformed> {
        let Some(mut value) = self.extension(SUBJECT_KEY_ID)? else { return Ok(None) };
        Ok(Some(value.expect(OCTET_STRING)?.content))
    }

    /// Returns the alternative names of the kinds that name servers, or `None` without that extension (section 4.2.1.6).
    pub(super) fn server_alt_names(&self) -> Result<Option<Vec<ServerAltName<'a>>>, Malformed> {
        let Some(mut value) = self.extension(SUBJECT_ALT_NAME)? else { return Ok(None) };
        let mut names = Vec::new();
        let mut rest = value.expect(SEQUENCE)?.values();
        while let Some(name) = rest.next()? {
            let ip = || {
                let v4 = <[u8; 4]>::try_from(name.content).map(IpAddr::from);
                v4.or_else(|_| <[u8; 16]>::try_from(name.content).map(IpAddr::from)).ok()
            };
            names.extend(match name.tag {
                DNS_NAME => str::from_utf8(name.content).ok().map(ServerAltName::Dns),
                IP_ADDRESS => ip().map(ServerAltName::Ip),
                _ => None,
            });
        }
        Ok(Some(names))
    }
}

impl<'a> Name<'a> {
    /// The name in DER.
    pub(super) fn raw(self) -> &'a [u8] {
        self.0.raw
    }

    /// True for a name without attributes.
    pub(super) fn is_empty(self) -> bool {
        self.0.content.is_empty()
    }

    /// Returns the common names, in order. Attributes that are not valid DER end the list.
    pub(super) fn common_names(self) -> impl Iterator<Item = String> {
        self.attributes().flatten().filter(|(id, _)| *id == COMMON_NAME).map(|(_, value)| text(value))
    }

    /// Formats the attributes in the order of the DER: `C=DE, O=Example, CN=a.test`. Those of one set are joined with ` + `.
    pub(crate) fn to_text(self) -> String {
        let sets = self.attributes().map(|set| {
            let set = set.iter().map(|(id, value)| {
                let name = ATTRIBUTES.iter().find(|(known, _)| known == id);
                format!("{}={}", name.map_or_else(|| dotted(id), |(_, name)| (*name).to_owned()), text(*value))
            });
            set.collect::<Vec<_>>().join(" + ")
        });
        sets.collect::<Vec<_>>().join(", ")
    }

    /// Reads the attributes of each set: their ids and values.
    fn attributes(self) -> impl Iterator<Item = Vec<(&'a [u8], Value<'a>)>> {
        let mut sets = self.0.values();
        std::iter::from_fn(move || {
            let mut rest = sets.next().ok()??.values();
            let mut set = Vec::new();
            while let Some(attribute) = rest.next().ok()? {
                let mut fields = attribute.values();
                set.push((fields.expect(OID).ok()?.content, fields.next().ok()??));
            }
            Some(set)
        })
    }
}

impl<'a> PublicKey<'a> {
    /// Reads a SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7).
    pub(super) fn from_der(spki: &'a [u8]) -> Result<Self, Malformed> {
        Self::parse(Der::new(spki).expect(SEQUENCE)?)
    }

    fn parse(spki: Value<'a>) -> Result<Self, Malformed> {
        let mut fields = spki.values();
        let algorithm = fields.expect(SEQUENCE)?.content;
        Ok(Self { spki: spki.raw, algorithm, bits: fields.expect(BIT_STRING)?.whole_bytes()? })
    }

    /// Returns the kind of the key.
    ///
    /// # Errors
    /// Fails if an RSA key or the algorithm is not valid DER.
    pub(crate) fn kind(&self) -> Result<KeyKind<'a>, Malformed> {
        let mut algorithm = Der::new(self.algorithm);
        Ok(match algorithm.expect(OID)?.content {
            RSA => {
                let mut key = Der::new(self.bits).expect(SEQUENCE)?.values();
                let modulus = key.expect(INTEGER)?.magnitude()?;
                let exponent = key.expect(INTEGER)?.magnitude()?;
                let exponent = (exponent.len() <= 8)
                    .then(|| exponent.iter().fold(0, |number: u64, digit| number << 8 | u64::from(*digit)));
                KeyKind::Rsa { bits: modulus.len().saturating_mul(8), exponent }
            }
            EC => match algorithm.optional(OID)?.map(|curve| curve.content) {
                Some(P256) => KeyKind::Ec("P-256"),
                Some(P384) => KeyKind::Ec("P-384"),
                Some(P521) => KeyKind::Ec("P-521"),
                _ => KeyKind::Other(EC),
            },
            ED25519 => KeyKind::Ed25519,
            other => KeyKind::Other(other),
        })
    }
}

impl KeyKind<'_> {
    /// Names the algorithm and the size, such as `EC P-256`.
    pub(crate) fn to_text(self) -> String {
        match self {
            Self::Rsa { bits, .. } => format!("RSA {bits}"),
            Self::Ec(curve) => format!("EC {curve}"),
            Self::Ed25519 => "Ed25519".to_owned(),
            Self::Other(id) => dotted(id),
        }
    }
}

/// Reads a UTCTime or GeneralizedTime, as Unix seconds (RFC 5280 section 4.1.2.5). The seconds may be missing, as in old
/// certificates.
fn next_time(der: &mut Der<'_>) -> Result<i64, Malformed> {
    let value = der.next()?.ok_or(Malformed)?;
    let digits = value.content.strip_suffix(b"Z").ok_or(Malformed)?;
    let number = |range: std::ops::Range<usize>| {
        let digits = digits.get(range).filter(|digits| digits.iter().all(u8::is_ascii_digit)).ok_or(Malformed)?;
        Ok(digits.iter().fold(0_u16, |number, digit| number.saturating_mul(10).saturating_add(u16::from(digit & 0xf))))
    };
    let (year, month) = match value.tag {
        UTC_TIME => (number(0..2).map(|year| if year < 50 { 2000 + year } else { 1900 + year })?, 2),
        GENERALIZED_TIME => (number(0..4)?, 4),
        _ => return Err(Malformed),
    };
    // Each of the other fields has two digits.
    let field = |index: usize| -> Result<u8, Malformed> {
        let at = month + 2 * index;
        u8::try_from(number(at..at + 2)?).map_err(|_| Malformed)
    };
    let seconds = match digits.len().checked_sub(month + 8) {
        Some(0) => 0,
        Some(2) => field(4)?,
        _ => return Err(Malformed),
    };
    let [month, day, hour, minute] = [field(0)?, field(1)?, field(2)?, field(3)?];
    let utc = Utc { year: year.into(), month, day, hour, minute, second: seconds };
    Ok(utc.checked().ok_or(Malformed)?.unix())
}

/// Decodes a string of any type that names use (RFC 5280 section 4.1.2.4). Other values become hexadecimal digits.
fn text(value: Value<'_>) -> String {
    const UTF8: u8 = 0x0c;
    const NUMERIC: u8 = 0x12;
    const PRINTABLE: u8 = 0x13;
    const TELETEX: u8 = 0x14;
    const IA5: u8 = 0x16;
    const BMP: u8 = 0x1e;
    let content = value.content;
    match value.tag {
        UTF8 | NUMERIC | PRINTABLE | IA5 => String::from_utf8_lossy(content).into_owned(),
        // Everybody writes Latin-1 into it.
        TELETEX => content.iter().copied().map(char::from).collect(),
        BMP => {
            let units =
                content.chunks_exact(2).map(|pair| pair.iter().fold(0, |unit, byte| unit << 8 | u16::from(*byte)));
            char::decode_utf16(units).map(|char| char.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        }
        _ => content.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":"),
    }
}

/// `dNSName` and `iPAddress` of a GeneralName (RFC 5280 section 4.2.1.6).
const DNS_NAME: u8 = context(2);
const IP_ADDRESS: u8 = context(7);
/// Bit 5 of KeyUsage. The first bit is the highest.
const KEY_CERT_SIGN: u8 = 0x04;

/// Extensions of RFC 5280 section 4.2.
pub(super) const SUBJECT_KEY_ID: &[u8] = &[0x55, 0x1d, 14];
pub(super) const KEY_USAGE: &[u8] = &[0x55, 0x1d, 15];
pub(super) const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 17];
pub(super) const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];
const NAME_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 30];
pub(super) const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 37];
/// `id-kp-serverAuth` and `anyExtendedKeyUsage` (section 4.2.1.12).
pub(super) const SERVER_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
const ANY_PURPOSE: &[u8] = &[0x55, 0x1d, 37, 0];

/// Keys: RFC 3279 section 2.3, RFC 5480 section 2.1, RFC 8410 section 3.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0, 34];
const P521: &[u8] = &[0x2b, 0x81, 0x04, 0, 35];
pub(super) const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

pub(super) const COMMON_NAME: &[u8] = &[0x55, 4, 3];
/// Attributes and their names in text (RFC 4519, RFC 2985).
const ATTRIBUTES: &[(&[u8], &str)] = &[
    (COMMON_NAME, "CN"),
    (&[0x55, 4, 4], "SN"),
    (&[0x55, 4, 5], "serialNumber"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 9], "street"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1], "emailAddress"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1], "UID"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25], "DC"),
];

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz {
    use super::*;

    /// Asserts that any bytes are read without a panic.
    pub(crate) fn check_reading(data: &[u8]) {
        let Ok(certificate) = X509::parse(data) else { return };
        let _ = certificate.extensions();
        let _ = (certificate.is_ca(), certificate.may_sign_certificates(), certificate.is_for_servers());
        let _ = (certificate.has_name_constraints(), certificate.subject_key_id(), certificate.server_alt_names());
        let _ = (certificate.subject.to_text(), certificate.issuer.common_names().count());
        let _ = (certificate.public_key.kind().map(KeyKind::to_text), certificate.validity());
    }
}

#[cfg(test)]
mod tests;
