//! Sample traffic of apps and origins, as bytes.

use flate2::write::GzEncoder;
use flate2::{Compress, Compression, FlushCompress};
use std::io::Write;

/// Returns `size` bytes of JSON as an API sends it.
pub(crate) fn json(size: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(size + 128);
    let mut random = Random(1);
    while text.len() < size {
        let (id, price) = (random.next() % 1_000_000, random.next() % 10_000);
        let tag = random.next() >> 32;
        text.extend(
            format!("{{\"id\": {id}, \"price\": {price}, \"tag\": \"{tag:x}\", \"in_stock\": true}},\n").bytes(),
        );
    }
    text.truncate(size);
    text
}

/// Returns `size` bytes of JSON with words, as a shop's API sends it. gzip makes it a fifth.
pub(crate) fn items(size: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(size + 256);
    let mut random = Random(3);
    while text.len() < size {
        let (bits, digits) = (random.next(), random.next());
        let word = |at: u32| WORDS[(bits >> (8 + 5 * at)) as usize % WORDS.len()];
        let (id, price, cents, seller) =
            (digits % 1_000_000, (digits >> 20) % 10_000, (digits >> 40) % 100, (digits >> 50) % 1000);
        let (sku, in_stock, rating) = (random.next() >> 12, bits >> 60 & 1 == 1, (bits >> 40) % 50);
        write!(text, "{{\"id\": {id}, \"sku\": \"{sku:013x}\", \"name\": \"{} {}\", ", word(0), word(1)).unwrap();
        write!(text, "\"price\": {price}.{cents:02}, \"in_stock\": {in_stock}, ").unwrap();
        write!(text, "\"tags\": [\"{}\", \"{}\"], \"rating\": {}.{}, ", word(2), word(3), rating / 10, rating % 10)
            .unwrap();
        writeln!(text, "\"seller\": {{\"id\": {seller}, \"country\": \"DE\"}}}},").unwrap();
    }
    text.truncate(size);
    text
}

/// Returns `size` bytes of HTML, a list of the same kind of items.
pub(crate) fn page(size: usize) -> Vec<u8> {
    let mut text =
        b"<!doctype html>\n<html lang=\"en\">\n<head><title>Items</title></head>\n<body>\n<ul class=\"items\">\n"
            .to_vec();
    let mut random = Random(4);
    while text.len() < size {
        let bits = random.next();
        let word = |at: u32| WORDS[(bits >> (8 + 5 * at)) as usize % WORDS.len()];
        let [a, b, c, d] = [0, 1, 2, 3].map(word);
        let id = bits % 100_000;
        writeln!(
            text,
            "  <li class=\"item\"><a href=\"/items/{id}\" title=\"{a} {b}\">{a} {b}</a> <span>{c}, {d}</span></li>"
        )
        .unwrap();
    }
    text.truncate(size);
    text
}

/// Returns `bytes` as a gzip member.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

const WORDS: [&str; 32] = [
    "alpine", "amber", "anchor", "arrow", "autumn", "basin", "beacon", "birch", "breeze", "bridge", "bronze", "canyon",
    "cedar", "clover", "cobalt", "copper", "coral", "crimson", "delta", "ember", "falcon", "forest", "garnet",
    "glacier", "harbor", "hazel", "indigo", "island", "juniper", "lagoon", "lantern", "maple",
];

/// Returns `size` incompressible bytes.
pub(crate) fn noise(size: usize) -> Vec<u8> {
    let mut random = Random(2);
    (0..size.div_ceil(8)).flat_map(|_| random.next().to_le_bytes()).take(size).collect()
}

/// A deterministic generator (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

/// A browser's request on a persistent connection.
pub(crate) const REQUEST: &str = "GET /api/v1/items?page=2&per_page=20 HTTP/1.1\r\n\
    Host: api.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
    Accept: application/json, text/plain, */*\r\n\
    Accept-Language: en-US,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Connection: keep-alive\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\r\n";

/// Returns a response head with these framing fields.
pub(crate) fn response(kind: &str, framing: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\nDate: Mon, 02 Jun 2025 10:00:00 GMT\r\nServer: nginx\r\nContent-Type: {kind}\r\n\
         Cache-Control: private, max-age=0\r\nVary: Accept-Encoding\r\nX-Request-Id: 5f3c2a1b\r\n{framing}\r\n\r\n"
    )
    .into_bytes()
}

/// Returns a response with a JSON body.
pub(crate) fn answer(size: usize) -> Vec<u8> {
    [response("application/json", &format!("Content-Length: {size}")), json(size)].concat()
}

/// Returns an HTTP/2 frame (RFC 9113 section 4.1).
pub(crate) fn http2_frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// Returns the client's connection preface (RFC 9113 section 3.4).
pub(crate) fn http2_preface() -> Vec<u8> {
    [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &http2_frame(SETTINGS, 0, 0, b"")].concat()
}

/// Returns the HEADERS frame of a GET request (RFC 7541). The first request adds its fields to the dynamic table, the later ones
/// refer to them; each has its own path.
pub(crate) fn http2_request(stream: u32) -> Vec<u8> {
    let fields = [
        (":authority", "api.example.com"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
        ("accept", "application/json, text/plain, */*"),
        ("accept-language", "en-US,en;q=0.5"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("cookie", "session=0123456789abcdef0123456789abcdef; theme=dark"),
    ];
    let path = format!("/api/v1/items?page={stream}&per_page=20");
    let block = [&[0x82, 0x87, 0x04][..], &hpack_string(&path), &table_fields(stream == 1, &fields)].concat();
    http2_frame(HEADERS, END_STREAM | END_HEADERS, stream, &block)
}

/// Returns the HEADERS frame of the response, encoded in the same way.
pub(crate) fn http2_response(stream: u32, length: usize) -> Vec<u8> {
    let fields = [
        ("date", "Mon, 02 Jun 2025 10:00:00 GMT"),
        ("server", "nginx"),
        ("content-type", "application/json"),
        ("cache-control", "private, max-age=0"),
        ("vary", "Accept-Encoding"),
    ];
    let length = [&[0x0f, 0x0d][..], &hpack_string(&length.to_string())].concat();
    http2_frame(HEADERS, END_HEADERS, stream, &[&[0x88][..], &table_fields(stream == 1, &fields), &length].concat())
}

/// Returns literals with indexing, or the indices of the newest entries of the dynamic table.
fn table_fields(first: bool, fields: &[(&str, &str)]) -> Vec<u8> {
    let literal = |(name, value): &(&str, &str)| [&[0x40][..], &hpack_string(name), &hpack_string(value)].concat();
    match first {
        true => fields.iter().flat_map(literal).collect(),
        false => (0..fields.len()).rev().map(|age| 0x80 | (62 + u8::try_from(age).unwrap())).collect(),
    }
}

/// Returns a string literal of less than 127 bytes without Huffman coding.
fn hpack_string(text: &str) -> Vec<u8> {
    assert!(text.len() < 0x7f);
    [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

/// Returns the header blocks of a story from the decoder's test data.
pub(crate) fn hpack_story(name: &str) -> Vec<Vec<u8>> {
    let stories = include_str!("../../tests/data/hpack/stories.txt");
    let story = stories.split("story ").find(|story| story.starts_with(name)).unwrap();
    let hex =
        |hex: &str| (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
    story.lines().filter_map(|line| line.strip_prefix("wire ")).map(hex).collect()
}

/// Returns a WebSocket frame with the first byte `first` and a payload of 126 to 65,535 bytes.
pub(crate) fn websocket_frame(first: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    match mask {
        None => [&[first, 126][..], &length, payload].concat(),
        Some(mask) => {
            let masked: Vec<_> = payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
            [&[first, 0x80 | 126][..], &length, &mask, &masked].concat()
        }
    }
}

/// Compresses a message's payload with permessage-deflate, without context takeover (RFC 7692 section 7.2.1).
pub(crate) fn deflated(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 64);
    Compress::new(Compression::default(), false).compress_vec(payload, &mut out, FlushCompress::Sync).unwrap();
    assert!(out.ends_with(b"\0\0\xff\xff"));
    out.truncate(out.len() - 4);
    out
}

/// Returns a browser's ClientHello (RFC 8446 section 4.1.2), with GREASE values (RFC 8701) and a post-quantum key share.
pub(crate) fn client_hello() -> Vec<u8> {
    let sni = vec16(&[&[0][..], &vec16(b"api.example.com")].concat());
    let alpn = vec16(b"\x02h2\x08http/1.1");
    let shares =
        vec16(&[&[0x1a, 0x1a, 0, 1, 0, 0x11, 0xec][..], &vec16(&noise(1216)), &[0, 0x1d], &vec16(&noise(32))].concat());
    let extensions: [(u16, &[u8]); 16] = [
        (0x0a0a, b""),
        (0, &sni),
        (23, b""),
        (0xff01, b"\0"),
        (10, b"\0\x0a\x1a\x1a\x11\xec\0\x1d\0\x17\0\x18"),
        (11, b"\x01\0"),
        (35, b""),
        (16, &alpn),
        (5, b"\x01\0\0\0\0"),
        (13, &[0, 16, 4, 3, 8, 4, 4, 1, 5, 3, 8, 5, 5, 1, 8, 6, 6, 1]),
        (18, b""),
        (51, &shares),
        (45, b"\x01\x01"),
        (43, b"\x06\x2a\x2a\x03\x04\x03\x03"),
        (27, b"\x02\0\x02"),
        (0xfe0d, &noise(250)),
    ];
    let extensions = extensions.iter().flat_map(|(kind, data)| [&kind.to_be_bytes()[..], &vec16(data)].concat());
    let fixed = [&[3, 3][..], &noise(32), &[32], &noise(32), &vec16(&noise(32)), &[1, 0]].concat();
    let body = [fixed, vec16(&extensions.collect::<Vec<_>>())].concat();
    let message = [&[1, 0][..], &vec16(&body)].concat();
    [&[22, 3, 1][..], &vec16(&message)].concat()
}

fn vec16(data: &[u8]) -> Vec<u8> {
    [&u16::try_from(data.len()).unwrap().to_be_bytes()[..], data].concat()
}
