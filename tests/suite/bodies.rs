//! Bodies are stored decoded, or raw if they do not decode.

use crate::support::bundle::Trace;
use crate::support::encoded_bodies::{TEXT_BR, TEXT_ZST, gz, raw_deflate, sample, zlib};
use crate::support::peers::{peer, run};
use crate::support::{Capture, Origin, next_request};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;
use std::process::Command;

const TEXT: &[u8] = b"decode me, decode me, decode me once more\n";

/// Returns the trace of a response with `fields` (each with CRLF), a Content-Length and `body`.
#[track_caller]
fn trace_of_body(fields: &str, body: &[u8]) -> Trace {
    let head = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n", body.len());
    trace_of_response(&[head.as_bytes(), body].concat())
}

#[track_caller]
fn trace_of_response(response: &[u8]) -> Trace {
    let bytes = response.to_vec();
    let origin = Origin::tls(move |mut connection| {
        next_request(&mut connection);
        connection.send(&bytes);
    });
    let capture = Capture::start();
    let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
    connection.send("GET /body HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(connection.read_exactly(response.len()) == response, "unchanged on the wire");
    connection.finish();
    connection.read_to_end();
    drop(connection);
    capture.stop().bundle().only_trace().clone()
}

#[track_caller]
fn assert_decoded(coding: &str, body: &[u8], expected: &[u8]) {
    let trace = trace_of_body(&format!("Content-Encoding: {coding}\r\n"), body);
    assert_eq!(String::from_utf8_lossy(&trace.response_body), String::from_utf8_lossy(expected), "{coding}");
    assert_eq!(trace.response_encoding(), None, "{coding}");
    assert!(trace.response_headers().contains(&("Content-Encoding", coding)), "headers are recorded as sent");
}

#[test]
fn decodes_all_forms_of_gzip_and_deflate() {
    assert_decoded("gzip", &gz(TEXT), TEXT);
    assert_decoded("x-gzip", &gz(TEXT), TEXT);
    assert_decoded("GZIP", &gz(TEXT), TEXT);
    assert_decoded("gzip", &[gz(b"two "), gz(b"members")].concat(), b"two members");
    assert_decoded("gzip", &[gz(TEXT), b"trailing garbage".to_vec()].concat(), TEXT);
    assert_decoded("deflate", &zlib(TEXT), TEXT);
    assert_decoded("deflate", &raw_deflate(TEXT), TEXT);
    assert_decoded("identity", TEXT, TEXT);
    assert_decoded("deflate, gzip", &gz(&zlib(TEXT)), TEXT);
    assert_decoded("gzip", &gz(b""), b"");
}

/// Larger than what is decoded before the exchange is written.
#[test]
fn decodes_bodies_that_are_written_first() {
    let text = sample();
    assert_decoded("gzip", &gz(&text), &text);
    assert_decoded("gzip", &[gz(&text), gz(&text)].concat(), &[&text[..], &text].concat());
    assert_decoded("deflate", &zlib(&text), &text);
    assert_decoded("br", TEXT_BR, &text);
    assert_decoded("zstd", TEXT_ZST, &text);
    assert_decoded("gzip, gzip", &gz(&gz(&text)), &text);
    let mut wrong = gz(&text);
    let at = wrong.len() - 8;
    wrong[at] ^= 1;
    let trace = trace_of_body("Content-Encoding: gzip\r\n", &wrong);
    assert!(trace.response_body == wrong);
    assert_eq!(trace.response_encoding(), Some("gzip"));
}

#[test]
fn decodes_brotli_and_zstd() {
    assert_decoded("br", &brotli_stored(TEXT), TEXT);
    // A frame with one raw block (RFC 8878 section 3.1.1), which needs no encoder.
    let zstd = [0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x06, 0x31, 0, 0, b'd', b'e', b'c', b'o', b'd', b'e'];
    assert_decoded("zstd", &zstd, b"decode");
    assert_decoded("zstd", &[zstd, zstd].concat(), b"decodedecode");
    assert_decoded("gzip, br", &brotli_stored(&gz(TEXT)), TEXT);
}

/// Returns `bytes`, up to 64 KiB, as a brotli stream of uncompressed data (RFC 7932 section 9.2).
fn brotli_stored(bytes: &[u8]) -> Vec<u8> {
    // WBITS 16 is the bit 0. Then ISLAST 0, MNIBBLES 4 (00), MLEN-1 in 16 bits, ISUNCOMPRESSED 1, and padding.
    let header: u32 = (u32::try_from(bytes.len() - 1).unwrap() << 4) | (1 << 20);
    let mut out = header.to_le_bytes()[..3].to_vec();
    out.extend_from_slice(bytes);
    out.push(0x03); // ISLAST, ISLASTEMPTY
    out
}

#[test]
fn decodes_transfer_codings() {
    let packed = gz(TEXT);
    let (begin, end) = packed.split_at(10);
    let mut response = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n".to_vec();
    for piece in [begin, end] {
        response.extend(format!("{:x}\r\n", piece.len()).bytes());
        response.extend(piece);
        response.extend(b"\r\n");
    }
    response.extend(b"0\r\n\r\n");
    let trace = trace_of_response(&response);
    assert_eq!((trace.response_body.as_slice(), trace.response_encoding()), (TEXT, None));
}

#[test]
fn keeps_undecodable_bodies_raw_with_their_encoding() {
    let trace = trace_of_body("Content-Encoding: gzip\r\n", b"this is not gzip");
    assert_eq!((trace.text().as_str(), trace.response_encoding()), ("this is not gzip", Some("gzip")));
    let trace = trace_of_body("Content-Encoding: compress\r\n", b"whatever that is");
    assert_eq!((trace.text().as_str(), trace.response_encoding()), ("whatever that is", Some("compress")));
    let mut damaged = gz(TEXT);
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0xff;
    let trace = trace_of_body("Content-Encoding: gzip\r\n", &damaged);
    assert_eq!((trace.response_body.as_slice(), trace.response_encoding()), (damaged.as_slice(), Some("gzip")));
}

#[test]
fn decodes_the_start_of_a_truncated_body() {
    let noise: Vec<u8> = (0..200_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
    let packed = gz(&noise);
    let half = packed.len() / 2;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", packed.len());
    let trace = trace_of_response(&[head.as_bytes(), &packed[..half]].concat());
    assert_eq!(trace.response_encoding(), None);
    assert!(trace.response_body.len() > 10_000 && noise.starts_with(&trace.response_body));
}

#[test]
fn decodes_request_bodies() {
    let origin = Origin::tls_responding("HTTP/1.1 204 No Content\r\n\r\n");
    let capture = Capture::start();
    let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
    let packed = gz(TEXT);
    let head = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        packed.len()
    );
    connection.request([head.as_bytes(), &packed].concat());
    drop(connection);
    let outcome = capture.stop();
    let trace = outcome.bundle().only_trace();
    assert_eq!(trace.request_body, TEXT);
    assert!(trace.json["request"]["body_encoding"].is_null());
    assert!(trace.json["response"]["body_file"].is_null(), "an empty body has no file");
}

#[test]
fn survives_a_decompression_bomb() {
    // 4 GiB of zeros, as 4096 members of 1 MiB each, compressed twice: a few KiB on the wire.
    let smaller = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let bomb = smaller(&smaller(&vec![0; 1 << 20]).repeat(4096));
    assert!(bomb.len() < 64 << 10);
    let origin = Origin::plain_responding(
        [
            format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip, gzip\r\nContent-Length: {}\r\n\r\n", bomb.len())
                .as_bytes(),
            &bomb,
        ]
        .concat(),
    );
    let capture = Capture::start();
    let mut connection = capture.connect(&origin.authority("localhost"));
    connection.request("GET /bomb HTTP/1.1\r\nHost: localhost\r\n\r\n");
    drop(connection);
    let outcome = capture.stop();
    // The body may be decoded in part or kept raw, but within the timeout.
    let trace = outcome.bundle().only_trace();
    assert!((1..512 << 20).contains(&trace.response_body.len()), "{} bytes", trace.response_body.len());
    assert!(trace.response_encoding().is_some(), "the remaining coding, or the truncation, is recorded");
}

#[test]
fn decodes_bodies_compressed_by_node() {
    let Some(node) = peer("node") else {
        return;
    };
    let text = "decode what node made of it, twice and thrice\n".repeat(500);
    let script = "const z = require('zlib'), f = z[process.argv[1]]; if (f) process.stdout.write(f(process.argv[2]))";
    for (function, coding) in
        [("brotliCompressSync", "br"), ("gzipSync", "gzip"), ("deflateSync", "deflate"), ("zstdCompressSync", "zstd")]
    {
        let packed = run(Command::new(&node).args(["-e", script, function, &text])).ok().out;
        if !packed.is_empty() {
            assert_decoded(coding, &packed, text.as_bytes());
        }
    }
}
