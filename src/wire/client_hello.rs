//! Parses a TLS ClientHello before the handshake begins.
//!
//! ```text
//! record       16 | 03 01 | length | fragment …        (RFC 8446 section 5.1)
//! fragments    01 | length (3)     | ClientHello       (section 4), in one or more records
//! ClientHello  version random session_id cipher_suites compression_methods extensions   (section 4.1.2)
//! ```
//!
//! This is not left to the TLS library, because a ClientHello that is not intercepted is passed through unchanged. Only the
//! fields below are read; key shares and the rest are validated in the handshake.

use super::fingerprint::{Fingerprint, FingerprintParts};

/// The fields of a ClientHello that decide how its connection is handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientHello {
    /// The server_name extension.
    pub server_name: Sni,
    /// The offered application protocols in order of preference; empty if there is no ALPN extension (RFC 7301).
    pub alpn: Vec<Vec<u8>>,
    /// The offered versions, such as 0x0304; only `legacy_version` if there is no supported_versions extension (RFC 8446
    /// section 4.2.1).
    pub versions: Vec<u16>,
    /// True if the client would answer a request for its certificate after the handshake (RFC 8446 section 4.2.6).
    pub offers_post_handshake_auth: bool,
    /// The fingerprint of the client program.
    pub fingerprint: Fingerprint,
}

/// The server name indication of a client (RFC 6066 section 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sni {
    /// No name.
    None,
    /// A DNS name, as sent.
    Dns(String),
    /// Not a DNS name: an address, non-ASCII text, a name with a final dot, or a name of an unknown type.
    NotDnsName,
}

impl ClientHello {
    /// Returns true if the client offers TLS 1.2 or 1.3.
    pub(crate) fn offers_modern_tls(&self) -> bool {
        self.versions.iter().any(|version| [TLS_1_2, TLS_1_3].contains(version))
    }
}

/// The error for bytes that do not begin a well-formed ClientHello. More bytes do not change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotAClientHello;

/// Parses the ClientHello at the start of `bytes`, all bytes that the client sent so far. Returns `None` if it is incomplete.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<ClientHello>, NotAClientHello> {
    let mut hello = HandshakeMessage::default();
    let mut rest = bytes;
    for _ in 0..MAX_RECORDS {
        let Some(record) = tls_record(rest)? else {
            return Ok(None);
        };
        hello.add(record.fragment);
        if let Some(body) = hello.body()? {
            return client_hello(body).map(Some);
        }
        rest = record.rest;
    }
    Err(NotAClientHello)
}

/// A TLS record with a complete header.
struct TlsRecord<'a> {
    /// The bytes of the fragment received so far.
    fragment: &'a [u8],
    /// The bytes after the record.
    rest: &'a [u8],
}

fn tls_record(bytes: &[u8]) -> Result<Option<TlsRecord<'_>>, NotAClientHello> {
    let prefix_fits = [HANDSHAKE_RECORD, 3].iter().zip(bytes).all(|(wanted, byte)| wanted == byte);
    if !prefix_fits {
        return Err(NotAClientHello);
    }
    let [_, _, _, high, low, rest @ ..] = bytes else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    if length == 0 || length > MAX_FRAGMENT_BYTES {
        return Err(NotAClientHello);
    }
    let (fragment, rest) = rest.split_at_checked(length).unwrap_or((rest, &[]));
    Ok(Some(TlsRecord { fragment, rest }))
}

/// A handshake message. Its fragments are copied only if there are several.
#[derive(Default)]
struct HandshakeMessage<'a> {
    first: &'a [u8],
    joined: Vec<u8>,
}

impl<'a> HandshakeMessage<'a> {
    fn add(&mut self, fragment: &'a [u8]) {
        if self.first.is_empty() {
            self.first = fragment;
        } else {
            if self.joined.is_empty() {
                self.joined.extend_from_slice(self.first);
            }
            self.joined.extend_from_slice(fragment);
        }
    }

    /// Returns the body of the message, or `None` if it is incomplete.
    fn body(&self) -> Result<Option<&[u8]>, NotAClientHello> {
        let message = if self.joined.is_empty() { self.first } else { &self.joined };
        if message.first().is_some_and(|&kind| kind != CLIENT_HELLO) {
            return Err(NotAClientHello);
        }
        let [_, a, b, c, body @ ..] = message else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_be_bytes([0, *a, *b, *c])).map_err(|_| NotAClientHello)?;
        if length > MAX_CLIENT_HELLO_BYTES {
            return Err(NotAClientHello);
        }
        Ok(body.get(..length))
    }
}

fn client_hello(body: &[u8]) -> Result<ClientHello, NotAClientHello> {
    let mut body = StructReader(body);
    let legacy_version = body.u16()?;
    body.take(32)?; // random
    body.vec8()?; // session_id
    let cipher_suites = body.vec16()?.0;
    body.vec8()?; // compression_methods
    let mut hello = ClientHello {
        server_name: Sni::None,
        alpn: Vec::new(),
        versions: vec![legacy_version],
        offers_post_handshake_auth: false,
        fingerprint: Fingerprint::default(),
    };
    let mut extensions = if body.is_empty() { StructReader(&[]) } else { body.vec16()? };
    body.end()?;
    let (mut kinds, mut groups, mut signature_algorithms) = (Vec::new(), &[][..], &[][..]);
    while !extensions.is_empty() {
        let kind = extensions.u16()?;
        let data = extensions.vec16()?;
        kinds.push(kind);
        match kind {
            SERVER_NAME => hello.server_name = server_name(data)?,
            ALPN => hello.alpn = protocols(data)?,
            SUPPORTED_VERSIONS => hello.versions = versions(data)?,
            POST_HANDSHAKE_AUTH => hello.offers_post_handshake_auth = true,
            // The elements follow the length of the list, which the handshake validates.
            SUPPORTED_GROUPS => groups = data.0.get(2..).unwrap_or_default(),
            SIGNATURE_ALGORITHMS => signature_algorithms = data.0.get(2..).unwrap_or_default(),
            _ => {}
        }
    }
    let (versions, alpn) = (&hello.versions, &hello.alpn);
    let parts = FingerprintParts { cipher_suites, extensions: &kinds, versions, groups, signature_algorithms, alpn };
    hello.fingerprint = Fingerprint::new(&parts);
    // At most one of each kind (RFC 8446 section 4.2).
    kinds.sort_unstable();
    match kinds.windows(2).all(|pair| pair.first() != pair.last()) {
        true => Ok(hello),
        false => Err(NotAClientHello),
    }
}

/// Parses a `ServerNameList` (RFC 6066 section 3).
fn server_name(mut data: StructReader<'_>) -> Result<Sni, NotAClientHello> {
    let mut list = data.vec16()?;
    data.end()?;
    let kind = list.u8()?;
    if kind != HOST_NAME {
        // The length of a name depends on its type, and this type is unknown.
        return Ok(Sni::NotDnsName);
    }
    let name = list.vec16()?;
    Ok(match std::str::from_utf8(name.0) {
        Ok(name) if list.is_empty() && is_dns_name(name) => Sni::Dns(name.to_owned()),
        _ => Sni::NotDnsName,
    })
}

/// Returns true for a name whose labels consist of letters, digits, `-` and `_`, and whose last label is not a number. A name
/// that ends in a number is an IPv4 address in some notation.
fn is_dns_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let is_number = |label: &str| label.bytes().all(|b| b.is_ascii_digit());
    name.len() <= 253 && name.split('.').all(is_label) && !name.rsplit('.').next().is_some_and(is_number)
}

/// Parses a `ProtocolNameList` (RFC 7301 section 3.1).
fn protocols(mut data: StructReader<'_>) -> Result<Vec<Vec<u8>>, NotAClientHello> {
    let mut list = data.vec16()?;
    data.end()?;
    let mut protocols = Vec::new();
    while !list.is_empty() {
        let name = list.vec8()?.0;
        if name.is_empty() {
            return Err(NotAClientHello);
        }
        protocols.push(name.to_vec());
    }
    if protocols.is_empty() { Err(NotAClientHello) } else { Ok(protocols) }
}

/// Parses a client's `SupportedVersions` (RFC 8446 section 4.2.1).
fn versions(mut data: StructReader<'_>) -> Result<Vec<u16>, NotAClientHello> {
    let mut list = data.vec8()?;
    data.end()?;
    let mut versions = Vec::new();
    while !list.is_empty() {
        versions.push(list.u16()?);
    }
    if versions.is_empty() { Err(NotAClientHello) } else { Ok(versions) }
}

/// The unread bytes of a structure in the presentation language of RFC 8446 section 3.
struct StructReader<'a>(&'a [u8]);

impl<'a> StructReader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], NotAClientHello> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(NotAClientHello)?;
        self.0 = rest;
        Ok(taken)
    }

    fn u8(&mut self) -> Result<u8, NotAClientHello> {
        self.take(1)?.first().copied().ok_or(NotAClientHello)
    }

    fn u16(&mut self) -> Result<u16, NotAClientHello> {
        Ok(u16::from_be_bytes([self.u8()?, self.u8()?]))
    }

    /// Reads a vector with a length of one byte.
    fn vec8(&mut self) -> Result<StructReader<'a>, NotAClientHello> {
        let length = self.u8()?;
        self.take(usize::from(length)).map(StructReader)
    }

    /// Reads a vector with a length of two bytes.
    fn vec16(&mut self) -> Result<StructReader<'a>, NotAClientHello> {
        let length = self.u16()?;
        self.take(usize::from(length)).map(StructReader)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Fails if bytes are left.
    fn end(&self) -> Result<(), NotAClientHello> {
        if self.is_empty() { Ok(()) } else { Err(NotAClientHello) }
    }
}

/// `ContentType.handshake`.
const HANDSHAKE_RECORD: u8 = 22;
/// `HandshakeType.client_hello`.
const CLIENT_HELLO: u8 = 1;
/// `NameType.host_name`.
const HOST_NAME: u8 = 0;

const SERVER_NAME: u16 = 0;
const SUPPORTED_GROUPS: u16 = 10;
const SIGNATURE_ALGORITHMS: u16 = 13;
const ALPN: u16 = 16;
const SUPPORTED_VERSIONS: u16 = 43;
const POST_HANDSHAKE_AUTH: u16 = 49;

const TLS_1_2: u16 = 0x0303;
const TLS_1_3: u16 = 0x0304;

/// The largest plaintext fragment of a record (RFC 8446 section 5.1).
const MAX_FRAGMENT_BYTES: usize = 1 << 14;

/// rustls also rejects larger ones. A ClientHello with post-quantum key shares and a long ticket has about 4 KiB.
const MAX_CLIENT_HELLO_BYTES: usize = 64 * 1024;

/// Censorship circumvention tools split a ClientHello into tens of records. Each call parses all of them again.
const MAX_RECORDS: usize = 256;

/// Fuzzing: asserts that the first result other than `None` is also the result for all bytes.
#[cfg(any(test, fuzzing))]
pub(crate) fn check_any_split(data: &[u8]) {
    let whole = parse(data);
    // Long inputs are checked in steps to keep the fuzzer fast.
    let step = data.len() / 512 + 1;
    let decided = (0..data.len()).step_by(step).find_map(|end| parse(data.get(..end)?).transpose());
    if let Some(decided) = decided {
        assert_eq!(decided.map(Some), whole);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::mutations::mutations;

    fn vec8(data: &[u8]) -> Vec<u8> {
        [&[u8::try_from(data.len()).unwrap()], data].concat()
    }

    fn vec16(data: &[u8]) -> Vec<u8> {
        [&u16::try_from(data.len()).unwrap().to_be_bytes(), data].concat()
    }

    fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &vec16(data)].concat()
    }

    fn sni(name: &[u8]) -> Vec<u8> {
        extension(SERVER_NAME, &vec16(&[&[HOST_NAME][..], &vec16(name)].concat()))
    }

    fn alpn(names: &[&[u8]]) -> Vec<u8> {
        extension(ALPN, &vec16(&names.iter().flat_map(|name| vec8(name)).collect::<Vec<_>>()))
    }

    fn message(extensions: Option<&[Vec<u8>]>) -> Vec<u8> {
        let mut body = [&[3, 3][..], &[7; 32], &vec8(&[9; 32]), &vec16(&[0x13, 1, 0x13, 2]), &vec8(&[0])].concat();
        if let Some(extensions) = extensions {
            body.extend(vec16(&extensions.concat()));
        }
        [&[CLIENT_HELLO, 0][..], &vec16(&body)].concat()
    }

    fn records(message: &[u8], size: usize) -> Vec<u8> {
        message.chunks(size).flat_map(|fragment| [&[22, 3, 1][..], &vec16(fragment)].concat()).collect()
    }

    fn hello(extensions: &[Vec<u8>]) -> Vec<u8> {
        records(&message(Some(extensions)), MAX_FRAGMENT_BYTES)
    }

    fn usual_extensions() -> Vec<Vec<u8>> {
        let grease = extension(0x1a1a, b"");
        let key_share = extension(51, &[5; 1700]);
        let versions = extension(SUPPORTED_VERSIONS, &vec8(&[0x3a, 0x3a, 3, 4, 3, 3]));
        vec![grease, sni(b"api.Example.com"), alpn(&[b"h2", b"http/1.1"]), key_share, versions]
    }

    #[test]
    fn parses_a_usual_hello_in_any_records_and_segments() {
        let message = message(Some(&usual_extensions()));
        for size in [20, 100, 1400, MAX_FRAGMENT_BYTES] {
            let bytes = records(&message, size);
            let parsed = parse(&bytes).unwrap().unwrap();
            assert_eq!(parsed.server_name, Sni::Dns("api.Example.com".into()));
            assert_eq!(parsed.alpn, [&b"h2"[..], b"http/1.1"]);
            assert_eq!(parsed.versions, [0x3a3a, TLS_1_3, TLS_1_2]);
            assert!(parsed.offers_modern_tls());
            for end in 0..bytes.len() {
                assert_eq!(parse(&bytes[..end]), Ok(None), "{end} of {}", bytes.len());
            }
            assert_eq!(parse(&[&bytes[..], b"\x14\x03\x03\0\x01\x01"].concat()), Ok(Some(parsed)));
        }
    }

    #[test]
    fn parses_a_hello_without_extensions() {
        let mut bytes = records(&message(None), 1000);
        let parsed = parse(&bytes).unwrap().unwrap();
        assert_eq!(
            (&parsed.server_name, &parsed.alpn[..], &parsed.versions[..]),
            (&Sni::None, &[][..], &[TLS_1_2][..])
        );
        bytes[10] = 1;
        assert!(!parse(&bytes).unwrap().unwrap().offers_modern_tls(), "TLS 1.0");
    }

    #[test]
    fn reads_the_offer_of_a_certificate_after_the_handshake() {
        let offers = |extensions: &[Vec<u8>]| parse(&hello(extensions)).unwrap().unwrap().offers_post_handshake_auth;
        assert!(!offers(&usual_extensions()));
        assert!(offers(&[usual_extensions(), vec![extension(POST_HANDSHAKE_AUTH, b"")]].concat()));
    }

    #[test]
    fn the_fingerprint_depends_on_all_its_parts() {
        let fingerprint = |extensions: &[Vec<u8>]| parse(&hello(extensions)).unwrap().unwrap().fingerprint;
        let usual = fingerprint(&usual_extensions());
        let reversed: Vec<_> = usual_extensions().into_iter().rev().collect();
        assert_eq!(fingerprint(&reversed), usual);
        assert_eq!(fingerprint(&usual_extensions()[1..]), usual, "without GREASE");
        assert_ne!(fingerprint(&usual_extensions()[..4]), usual);
        let suites_only = FingerprintParts {
            cipher_suites: &[0x13, 1, 0x13, 2],
            versions: &[TLS_1_2],
            ..FingerprintParts::default()
        };
        assert_eq!(fingerprint(&[]), Fingerprint::new(&suites_only));
        let with = |kind, data: &[u8]| fingerprint(&[usual_extensions(), vec![extension(kind, data)]].concat());
        for kind in [SUPPORTED_GROUPS, SIGNATURE_ALGORITHMS] {
            assert_eq!(with(kind, &[0, 4, 0, 29, 0, 23]), with(kind, &[0, 6, 0xa, 0xa, 0, 29, 0, 23]), "GREASE");
            assert_ne!(with(kind, &[0, 4, 0, 29, 0, 23]), with(kind, &[0, 4, 0, 23, 0, 29]));
            assert!(parse(&hello(&[extension(kind, &[0])])).is_ok(), "left to the handshake");
        }
    }

    #[test]
    fn parses_server_names() {
        let name = |name: &[u8]| parse(&hello(&[sni(name)])).unwrap().unwrap().server_name;
        for dns in ["localhost", "my_host.example", "xn--bcher-kva.de", "1.2.3.4.in-addr.arpa", "7.a"] {
            assert_eq!(name(dns.as_bytes()), Sni::Dns(dns.into()));
        }
        let long = [vec![b'a'; 64], b".com".to_vec()].concat();
        let not_dns =
            ["1.2.3.4", "[::1]", "::1", "example.com.", "a..b", ".", "", "b\u{fc}cher.de", "a b", "a\r\nb", "a/b"];
        for odd in not_dns.iter().map(|odd| odd.as_bytes()).chain([&long[..], b"\xff"]) {
            assert_eq!(name(odd), Sni::NotDnsName, "{}", odd.escape_ascii());
        }
        let two = [HOST_NAME, 0, 1, b'a', HOST_NAME, 0, 1, b'b'];
        let other_kind = [7, b'?'];
        for list in [&two[..], &other_kind] {
            let parsed = parse(&hello(&[extension(SERVER_NAME, &vec16(list))])).unwrap().unwrap();
            assert_eq!(parsed.server_name, Sni::NotDnsName);
        }
    }

    #[test]
    fn rejects_malformed_hellos() {
        let refused = |bytes: &[u8]| assert_eq!(parse(bytes), Err(NotAClientHello), "{}", bytes.escape_ascii());
        refused(&hello(&[sni(b"a"), sni(b"a")]));
        refused(&hello(&[extension(9, b""), sni(b"a"), extension(9, b"")]));
        refused(&hello(&[extension(SERVER_NAME, b"")]));
        refused(&hello(&[extension(SERVER_NAME, &vec16(b""))]));
        refused(&hello(&[extension(ALPN, &vec16(b""))]));
        refused(&hello(&[alpn(&[b"h2", b""])]));
        refused(&hello(&[extension(ALPN, &[&vec16(b"\x02h2")[..], b"x"].concat())]));
        refused(&hello(&[extension(SUPPORTED_VERSIONS, &vec8(b""))]));
        refused(&hello(&[extension(SUPPORTED_VERSIONS, &vec8(b"\x03\x04\x03"))]));
        refused(&hello(&[b"\0\x07\0\x09short".to_vec()]));
        let mut longer = message(Some(&usual_extensions()));
        longer.push(0);
        let length = u16::try_from(longer.len() - 4).unwrap().to_be_bytes();
        longer[2..4].copy_from_slice(&length);
        refused(&records(&longer, MAX_FRAGMENT_BYTES));
    }

    #[test]
    fn rejects_other_protocols_early() {
        for bytes in [&b"G"[..], b"\x16\x02", b"\x16\x03\x01\0\0", b"\x16\x03\x01\x40\x01", b"\x16\x03\x01\0\x05\x02"] {
            assert_eq!(parse(bytes), Err(NotAClientHello), "{}", bytes.escape_ascii());
        }
        assert_eq!(parse(b"\x16\x03\x01\0\x05\x01\x01\0\x01"), Err(NotAClientHello), "above the limit");
        assert_eq!(parse(b"\x16\x03\x01\0\x05\x01\x01\0\0"), Ok(None));
        assert_eq!(
            parse(&records(&message(Some(&usual_extensions())), 1)),
            Err(NotAClientHello),
            "thousands of records"
        );
        assert_eq!(parse(b""), Ok(None));
    }

    #[test]
    fn results_do_not_depend_on_splits() {
        let message = message(Some(&usual_extensions()[1..3]));
        let seeds = [records(&message, 30), records(&message, MAX_FRAGMENT_BYTES)];
        mutations(&seeds, 3000, check_any_split);
    }
}
