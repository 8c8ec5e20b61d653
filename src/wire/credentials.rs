//! A user name and a password, for Basic authentication (RFC 7617) and SOCKS5 (RFC 1929).

use std::fmt;
use std::hint::black_box;
use std::iter::repeat_n;

/// A user name and a password. `Debug` shows neither.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    user: Vec<u8>,
    password: Vec<u8>,
}

impl Credentials {
    /// Parses `USER:PASSWORD`. The first colon is the separator; neither part is decoded. Returns `None` if there is no
    /// colon.
    pub fn parse(text: &str) -> Option<Self> {
        let (user, password) = text.split_once(':')?;
        Some(Self { user: user.into(), password: password.into() })
    }

    /// Parses the part of a URL before its `@` (RFC 3986 section 3.2.1), as clients do that send it to an origin; `None` if
    /// that part is empty. wget, aria2, curl and LWP agree on it: the first colon separates the password, which may be
    /// missing, and percent-encoding is decoded.
    pub(crate) fn from_userinfo(userinfo: &[u8]) -> Option<Self> {
        if userinfo.is_empty() {
            return None;
        }
        let colon = userinfo.iter().position(|&b| b == b':');
        let (user, password) = userinfo.split_at_checked(colon.unwrap_or(userinfo.len()))?;
        let password = password.strip_prefix(b":").unwrap_or_default();
        Some(Self { user: percent_decoded(user), password: percent_decoded(password) })
    }

    /// The user name.
    pub(crate) fn user(&self) -> &[u8] {
        &self.user
    }

    /// The password.
    pub(crate) fn password(&self) -> &[u8] {
        &self.password
    }

    /// The value of an Authorization or Proxy-Authorization field (RFC 7617 section 2).
    pub(crate) fn basic(&self) -> Vec<u8> {
        let credentials = [&self.user, b":".as_slice(), &self.password].concat();
        [BASIC, base64(&credentials).as_slice()].concat()
    }

    /// True if the password is not empty.
    pub fn has_password(&self) -> bool {
        !self.password.is_empty()
    }

    /// True for a field value that [`Credentials::basic`] makes of this user and password. The scheme's case is ignored. The
    /// time it takes does not depend on our credentials.
    pub(crate) fn matches_basic(&self, value: &[u8]) -> bool {
        let Some((scheme, token)) = value.split_at_checked(BASIC.len()) else { return false };
        let ours = self.basic();
        scheme.eq_ignore_ascii_case(BASIC) && equal(token.trim_ascii(), ours.get(BASIC.len()..).unwrap_or_default())
    }

    /// True for this user and password. The time it takes does not depend on ours.
    pub(crate) fn matches(&self, user: &[u8], password: &[u8]) -> bool {
        equal(user, &self.user) & equal(password, &self.password)
    }
}

/// True if `given` is `expected`. The time depends on the length of `given` only.
fn equal(given: &[u8], expected: &[u8]) -> bool {
    let differences = given.iter().zip(expected.iter().cycle()).fold(0, |all, (a, b)| all | (a ^ b));
    // The compiler could otherwise end the loop at the first difference.
    (black_box(differences) == 0) & (given.len() == expected.len())
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

/// Decodes percent-encoding (RFC 3986 section 2.1). A `%` without two digits is kept.
fn percent_decoded(mut bytes: &[u8]) -> Vec<u8> {
    let digit = |b: u8| char::from(b).to_digit(16);
    let mut decoded = Vec::with_capacity(bytes.len());
    while let Some((&first, rest)) = bytes.split_first() {
        let encoded = match (first, rest) {
            (b'%', [high, low, after @ ..]) => digit(*high).zip(digit(*low)).map(|digits| (digits, after)),
            _ => None,
        };
        let (byte, after) = match encoded {
            Some(((high, low), after)) => ((high << 4 | low) as u8, after),
            None => (first, rest),
        };
        decoded.push(byte);
        bytes = after;
    }
    decoded
}

/// Encodes in base64 (RFC 4648 section 4).
fn base64(bytes: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(bytes.len().div_ceil(3).saturating_mul(4));
    for group in bytes.chunks(3) {
        let bits = [0, 1, 2].map(|at| u32::from(group.get(at).copied().unwrap_or(0)));
        let [first, second, third] = bits;
        let bits = first << 16 | second << 8 | third;
        let digits = [18, 12, 6, 0].map(|shift| ALPHABET.get((bits >> shift & 63) as usize).copied().unwrap_or(b'='));
        let used = group.len().saturating_add(1);
        encoded.extend(digits.into_iter().take(used).chain(repeat_n(b'=', digits.len().saturating_sub(used))));
    }
    encoded
}

/// The scheme of Basic authentication.
const BASIC: &[u8] = b"Basic ";
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_base64_as_the_rfc_does() {
        let pairs =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE=")];
        for (plain, encoded) in pairs {
            assert_eq!(base64(plain.as_bytes()), encoded.as_bytes());
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), b"+//+");
    }

    #[test]
    fn parses_user_and_password_without_decoding() {
        let basic = |text| Credentials::parse(text).map(|credentials| credentials.basic());
        assert_eq!(basic("Aladdin:open sesame").as_deref(), Some(&b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="[..]));
        assert_eq!(basic("a:b%41:c"), Credentials { user: b"a".into(), password: b"b%41:c".into() }.basic().into());
        assert_eq!(basic("no colon"), None);
        assert_eq!(format!("{:?}", Credentials::parse("u:secret")), "Some(Credentials)");
    }

    #[test]
    fn matches_the_same_user_and_password() {
        let credentials = Credentials::parse("me:secret").unwrap();
        assert!(credentials.matches(b"me", b"secret"));
        for (user, password) in [
            ("me", "Secret"),
            ("me", "secre"),
            ("me", "secretsecret"),
            ("me", ""),
            ("", "secret"),
            ("meme", "secret"),
            ("m", "esecret"),
        ] {
            assert!(!credentials.matches(user.as_bytes(), password.as_bytes()), "{user} {password}");
        }
        let empty = Credentials::parse(":").unwrap();
        assert!(empty.matches(b"", b"") && !empty.matches(b"a", b"") && !empty.matches(b"", b"a"));
    }

    #[test]
    fn decodes_user_and_password() {
        let value = |userinfo: &str| {
            let value = Credentials::from_userinfo(userinfo.as_bytes())?.basic();
            Some(String::from_utf8(value).unwrap().strip_prefix("Basic ").unwrap().to_owned())
        };
        let encoded = |credentials: &[u8]| Some(String::from_utf8(base64(credentials)).unwrap());
        assert_eq!(value(""), None);
        assert_eq!(value("Aladdin:open%20sesame").as_deref(), Some("QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
        assert_eq!(value("u"), encoded(b"u:"));
        assert_eq!(value(":p"), encoded(b":p"));
        assert_eq!(value("u:p:q%3a"), encoded(b"u:p:q:"));
        assert_eq!(value("a%40b:%c3%A9%0d%0A"), encoded(b"a@b:\xc3\xa9\r\n"));
        assert_eq!(value("%:%4:%zz+"), encoded(b"%:%4:%zz+"));
    }
}
