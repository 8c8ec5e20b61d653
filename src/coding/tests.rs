//! Each coding: complete, truncated, malformed and hostile.

use super::content::MAX_CODINGS;
use super::fuzz::{Buffer, check_limits};
use super::gzip::MAGIC as GZIP_MAGIC;
use super::testing::{TEXT_BR, TEXT_ZST, gz, raw_deflate, sample, zlib};
use super::zstd::FIRST_SKIPPABLE_MAGIC as FIRST_ZSTD_SKIPPABLE_MAGIC;
use super::*;

fn decoded_within(bytes: &[u8], list: &str, limits: DecodeLimits) -> (Vec<u8>, Option<String>) {
    let names = list.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    let decoded = decode(&mut Decoder::new(), Buffer(bytes.to_vec()), &names.collect::<Vec<_>>(), limits);
    (decoded.body.0, decoded.remaining_codings)
}

fn decoded(bytes: &[u8], list: &str) -> (Vec<u8>, Option<String>) {
    decoded_within(bytes, list, DecodeLimits::new(u64::MAX))
}

#[track_caller]
fn assert_decodes(bytes: &[u8], list: &str, to: &[u8]) {
    let (all, remaining) = decoded(bytes, list);
    assert_eq!(remaining, None, "{list}");
    assert!(all == to, "{list}: {} bytes instead of {}", all.len(), to.len());
}

#[track_caller]
fn assert_kept(bytes: &[u8], list: &str, codings: &str) {
    let (all, remaining) = decoded(bytes, list);
    assert_eq!(remaining.as_deref(), Some(codings), "{list}");
    assert!(all == bytes, "{list}: {} bytes instead of {}", all.len(), bytes.len());
}

#[test]
fn decodes_each_coding() {
    let text = sample();
    assert_decodes(&gz(&text), "gzip", &text);
    assert_decodes(&gz(&text), "x-gzip", &text);
    assert_decodes(&zlib(&text), "deflate", &text);
    assert_decodes(&raw_deflate(&text), "deflate", &text);
    assert_decodes(TEXT_BR, "br", &text);
    assert_decodes(TEXT_ZST, "zstd", &text);
    assert_decodes(&text, "", &text);
    for empty in [gz(b""), zlib(b""), raw_deflate(b"")] {
        let list = if empty.starts_with(&GZIP_MAGIC) { "gzip" } else { "deflate" };
        assert_decodes(&empty, list, b"");
    }
}

#[test]
fn an_empty_body_has_no_remaining_coding() {
    assert_decodes(b"", "gzip", b"");
    assert_decodes(b"", "never-heard-of", b"");
}

#[test]
fn decodes_several_codings_from_the_last_applied() {
    let text = sample();
    assert_decodes(&gz(TEXT_BR), "br, gzip", &text);
    assert_decodes(&gz(&zlib(TEXT_ZST)), "zstd,deflate , gzip", &text);
    assert_kept(&gz(TEXT_BR), "gzip, br", "gzip, br");
}

#[test]
fn lists_an_unknown_coding_and_decodes_those_applied_after_it() {
    let (all, remaining) = decoded(&gz(b"secret"), "aes, gzip");
    assert_eq!((all.as_slice(), remaining.as_deref()), (&b"secret"[..], Some("aes")));
    let (all, remaining) = decoded(&gz(&gz(b"x")), "br, x-new, gzip, gzip");
    assert_eq!((all.as_slice(), remaining.as_deref()), (&b"x"[..], Some("br, x-new")));
    assert_kept(b"secret", "aes", "aes");
    assert_kept(&gz(b"secret"), "gzip, aes", "gzip, aes");
}

#[test]
fn leaves_too_many_codings_encoded() {
    let list = ["gzip"; MAX_CODINGS + 1].join(", ");
    assert_kept(&gz(b"x"), &list, &list);
}

#[test]
fn decodes_several_members_and_ignores_trailing_garbage() {
    let text = sample();
    let twice = [text.clone(), text.clone()].concat();
    assert_decodes(&[gz(&text), gz(&text)].concat(), "gzip", &twice);
    assert_decodes(&[gz(&text), vec![0; 700]].concat(), "gzip", &text);
    assert_decodes(&[gz(&text), vec![0x1f]].concat(), "gzip", &text);
    assert_decodes(&[zlib(&text), b"garbage".to_vec()].concat(), "deflate", &text);
    assert_decodes(&[TEXT_BR, b"garbage"].concat(), "br", &text);
    let skip = [&FIRST_ZSTD_SKIPPABLE_MAGIC.to_le_bytes()[..], &[3, 0, 0, 0], b"abc"].concat();
    assert_decodes(&[TEXT_ZST, &skip, TEXT_ZST].concat(), "zstd", &twice);
    assert_decodes(&[&skip, TEXT_ZST].concat(), "zstd", &text);
    assert_decodes(&[TEXT_ZST, b"garbage"].concat(), "zstd", &text);
    assert_decodes(&[TEXT_ZST, b"gar"].concat(), "zstd", &text);
}

#[test]
fn decodes_a_truncated_body_as_far_as_possible() {
    let text = sample();
    for (bytes, list) in [
        (gz(&text), "gzip"),
        (zlib(&text), "deflate"),
        (raw_deflate(&text), "deflate"),
        (TEXT_BR.to_vec(), "br"),
        (TEXT_ZST.to_vec(), "zstd"),
        (gz(TEXT_ZST), "zstd, gzip"),
    ] {
        // zstd decodes in blocks of 128 KiB, and the first block is three quarters of the text.
        for len in [bytes.len() * 9 / 10, bytes.len() - 1] {
            let (all, remaining) = decoded(&bytes[..len], list);
            assert_eq!(remaining, None, "{list} truncated at {len}");
            assert!(text.starts_with(&all), "{list} truncated at {len}");
            assert!(all.len() > text.len() / 4, "{list} truncated at {len} of {}: only {}", bytes.len(), all.len());
            assert!(is_truncated(&bytes[..len], list), "{list} truncated at {len}");
        }
        assert!(!is_truncated(&bytes, list), "{list}");
    }
    let both = [gz(&text), gz(&text)].concat();
    let (all, remaining) = decoded(&both[..both.len() * 3 / 4], "gzip");
    assert!(remaining.is_none() && all.len() > text.len() && all.starts_with(&text));
}

fn is_truncated(bytes: &[u8], list: &str) -> bool {
    is_truncated_within(bytes, list, DecodeLimits::new(u64::MAX))
}

fn is_truncated_within(bytes: &[u8], list: &str, limits: DecodeLimits) -> bool {
    let names: Vec<_> = list.split(", ").map(str::to_owned).collect();
    decode(&mut Decoder::new(), Buffer(bytes.to_vec()), &names, limits).is_truncated
}

#[test]
fn a_body_is_truncated_if_it_ends_before_a_coding() {
    let text = sample();
    for (bytes, list, expected) in [
        (&gz(&text)[..1], "gzip", true),
        (&gz(&text)[..8], "gzip", true),
        (&TEXT_ZST[..1], "zstd", true),
        (&FIRST_ZSTD_SKIPPABLE_MAGIC.to_le_bytes()[..3], "zstd", true),
        (&[0x5f], "zstd", true),
        (&TEXT_ZST[..9], "zstd", true),
        // The inner coding is truncated, or the outer one.
        (&gz(&gz(&text)[..100]), "gzip, gzip", true),
        (&gz(&gz(&text))[..100], "gzip, gzip", true),
        (&gz(&gz(&text)), "gzip, gzip", false),
        // Not in this coding.
        (b"g", "gzip", false),
        (b"\x1fz", "gzip", false),
        (b"ok", "zstd", false),
        (b"Psk", "zstd", false),
        (b"some longer text", "gzip", false),
        (&gz(&text)[..100], "unknown", false),
        (b"", "gzip", false),
    ] {
        assert_eq!(is_truncated(bytes, list), expected, "{list} {:?}", &bytes[..bytes.len().min(16)]);
    }
    assert!(!is_truncated_within(&gz(&text)[..500], "gzip", DecodeLimits::new(100)), "too large");
}

#[test]
fn keeps_a_body_that_is_truncated_before_any_output() {
    assert_kept(&gz(&sample())[..8], "gzip", "gzip");
    assert_kept(&zlib(&sample())[..1], "deflate", "deflate");
    assert_kept(&zlib(&sample())[..3], "deflate", "deflate");
    assert_kept(&TEXT_BR[..2], "br", "br");
    assert_kept(&TEXT_ZST[..3], "zstd", "zstd");
    assert_kept(&TEXT_ZST[..9], "zstd", "zstd");
}

#[test]
fn keeps_a_malformed_body_encoded() {
    let text = sample();
    for (mut bytes, list) in [(gz(&text), "gzip"), (zlib(&text), "deflate"), (TEXT_ZST.to_vec(), "zstd")] {
        // A wrong checksum at the end.
        let last = bytes.len() - 1 - if list == "gzip" { 4 } else { 0 };
        bytes[last] ^= 1;
        assert_kept(&bytes, list, list);
    }
    for list in ["gzip", "deflate", "zstd"] {
        assert_kept(b"{\"plain\": \"text that is called something else\"}", list, list);
        assert_kept(b"<html><body>text that is called something else</body></html>", list, list);
    }
    let mut bytes = TEXT_BR.to_vec();
    let middle = bytes.len() / 2;
    bytes[middle..].reverse();
    assert_kept(&bytes, "br", "br");
    // The outer coding is decoded, the inner one is not.
    let (all, remaining) = decoded(&gz(&bytes), "br, gzip");
    assert!(all == bytes && remaining.as_deref() == Some("br"));
}

#[test]
fn keeps_a_bomb_encoded() {
    let limits = DecodeLimits { ratio_free_bytes: 1 << 20, max_ratio: 100, ..DecodeLimits::new(4 << 20) };
    let zeros = gz(&vec![0; 2 << 20]);
    assert_eq!(decoded_within(&zeros, "gzip", limits), (zeros, Some("gzip".into())), "past the ratio");
    let large: Vec<u8> = sample().repeat(30);
    assert!(large.len() > 4 << 20);
    let encoded = gz(&large);
    assert!(decoded_within(&encoded, "gzip", limits) == (encoded, Some("gzip".into())), "past the size");
    let double = gz(&gz(&vec![0; 2 << 20]));
    let lenient = DecodeLimits { max_ratio: 2000, ..limits };
    let (kept, remaining) = decoded_within(&double, "gzip, gzip", lenient);
    assert!(kept.len() < 1 << 16 && remaining.as_deref() == Some("gzip"), "past the ratio of both codings together");
    let regular = vec![0; 1 << 20];
    assert!(decoded_within(&gz(&regular), "gzip", limits) == (regular, None), "small enough");
}

#[test]
fn refuses_windows_of_gigabytes() {
    // zstd: no single segment, window descriptor 0xff (3.75 TiB), or 31 (64 MiB).
    for descriptor in [0xff, (16 << 3) | 1] {
        assert_kept(&[0x28, 0xb5, 0x2f, 0xfd, 0, descriptor, 1, 0, 0, 0], "zstd", "zstd");
    }
    // br: the first byte, 0x11, announces a large window; the second sets it to 30 bits.
    assert_kept(&[0x11, 30, 0x02, 0x80, b'a', 3], "br", "br");
}

#[test]
fn mutated_bytes_keep_the_property() {
    check_limits(b"");
    let seeds = [gz(b"hello hello hello"), zlib(b"hello hello"), raw_deflate(b"hello hello")];
    for choice in [0, 1, 2, 3, 0x80 | 0b0100, 0x80 | 0b1011] {
        for seed in seeds.iter().map(Vec::as_slice).chain([&TEXT_BR[..300], &TEXT_ZST[..300]]) {
            for (at, flip) in (0..seed.len()).map(|i| (i, (i * 37 % 255 + 1) as u8)) {
                let mut data = [&[choice], seed].concat();
                data[at + 1] ^= flip;
                check_limits(&data);
            }
        }
    }
}

#[test]
fn a_decoder_is_reused_after_any_result() {
    let text = sample();
    let complete = [
        (gz(&text), Coding::Gzip),
        (zlib(&text), Coding::Deflate),
        (raw_deflate(&text), Coding::Deflate),
        (TEXT_BR.to_vec(), Coding::Brotli),
        (TEXT_ZST.to_vec(), Coding::Zstd),
    ];
    let mut decoder = Decoder::new();
    let mut run = |bytes: &[u8], coding, max_bytes| {
        let mut out = Vec::new();
        let mut sink = |bytes: &[u8]| {
            out.extend_from_slice(bytes);
            true
        };
        let result = decoder.decode(coding, &mut &*bytes, bytes.len() as u64, DecodeLimits::new(max_bytes), &mut sink);
        (result, out)
    };
    for (broken, coding) in &complete {
        let middle = broken.len() / 2;
        let mut damaged = broken.clone();
        damaged[middle..].reverse();
        for broken in [&broken[..middle], &damaged, b"", b"text"] {
            assert!(run(broken, *coding, u64::MAX).0.is_err(), "{coding:?}");
        }
        assert_eq!(run(broken, *coding, 100).0, Err(DecodeError::TooLarge), "{coding:?}");
        for (bytes, coding) in &complete {
            assert!(run(bytes, *coding, u64::MAX) == (Ok(()), text.clone()), "{coding:?}");
        }
    }
}

#[test]
fn a_window_above_the_limit_is_reported() {
    let mut decoder = Decoder::new();
    for (bytes, coding) in [(TEXT_BR, Coding::Brotli), (TEXT_ZST, Coding::Zstd)] {
        let window = window::bytes(coding, bytes);
        for (max_window_bytes, expected) in [(window, Ok(())), (window - 1, Err(DecodeError::WindowTooLarge))] {
            let limits = DecodeLimits { max_window_bytes, ..DecodeLimits::new(u64::MAX) };
            let result = decoder.decode(coding, &mut &*bytes, bytes.len() as u64, limits, &mut |_| true);
            assert_eq!(result, expected, "{coding:?}");
        }
    }
}
