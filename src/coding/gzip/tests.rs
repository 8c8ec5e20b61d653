//! Headers, sole members, and claims of trailers that are true or false.

use super::super::testing::sample;
use super::super::{Coding, DecodeLimits, Decoder};
use super::*;
use flate2::{Compression, GzBuilder};
use std::io::Write;

fn member_of(builder: GzBuilder, content: &[u8]) -> Vec<u8> {
    let mut encoder = builder.write(Vec::new(), Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn gz(content: &[u8]) -> Vec<u8> {
    member_of(GzBuilder::new(), content)
}

/// Returns `member` with the flag and the checksum of its header, whose length is given.
fn with_header_crc(member: &[u8], len: usize) -> Vec<u8> {
    let (header, rest) = member.split_at(len);
    let mut header = header.to_vec();
    header[3] |= HAS_HEADER_CRC;
    let mut crc = Crc::new();
    crc.update(&header);
    [&header[..], &crc.sum().to_le_bytes()[..2], rest].concat()
}

fn sole(body: &[u8]) -> Option<Member> {
    let head = &body[..body.len().min(HEAD_BYTES)];
    let tail = body[body.len().saturating_sub(TRAILER_BYTES)..].try_into().ok()?;
    sole_member(head, tail, body.len() as u64)
}

fn verifies(slice: &[u8], crc: u32, size: u64) -> bool {
    Inflater::new().verify(&mut &*slice, crc, size, u64::MAX).unwrap()
}

#[test]
fn finds_members_with_any_header() {
    let text = sample();
    let plain = gz(&text);
    let long = "x".repeat(900);
    let all = GzBuilder::new().extra(vec![0; 60]).filename("name.txt").comment("a comment").mtime(7);
    let all_len = 10 + 2 + 60 + "name.txt\0".len() + "a comment\0".len();
    for (body, header_len) in [
        (plain.clone(), 10),
        (member_of(GzBuilder::new().filename("name.txt"), &text), 10 + 9),
        (member_of(GzBuilder::new().comment(long), &text), 10 + 901),
        (with_header_crc(&plain, 10), 12),
        (with_header_crc(&member_of(all, &text), all_len), all_len + 2),
        (gz(b"short"), 10),
        (gz(&vec![0; 3 << 20]), 10),
    ] {
        let member = sole(&body).unwrap();
        assert_eq!((member.header_len, member.slice_len), (header_len, (body.len() - header_len - 8) as u64));
        let slice = &body[header_len..body.len() - 8];
        assert!(verifies(slice, member.crc, member.size.into()));
        assert_eq!(trailer(member.crc, member.size), body[body.len() - 8..]);
        let mut decoded = Vec::new();
        let mut sink = |bytes: &[u8]| {
            decoded.extend_from_slice(bytes);
            true
        };
        let limits = DecodeLimits::new(u64::MAX);
        Decoder::new().decode(Coding::Gzip, &mut &*body, body.len() as u64, limits, &mut sink).unwrap();
        assert_eq!(decoded.len(), member.size as usize);
    }
}

#[test]
fn takes_no_other_body_for_a_member() {
    let text = sample();
    let body = gz(&text);
    let changed = |at: usize, value: u8| {
        let mut body = body.clone();
        body[at] = value;
        body
    };
    let larger_than_reachable = {
        let mut body = body.clone();
        let claim = body.len() as u32 * 1033;
        body.truncate(body.len() - 4);
        body.extend(claim.to_le_bytes());
        body
    };
    for (body, why) in [
        (gz(b""), "no content, so no entry"),
        (b"{}".to_vec(), "too short"),
        (vec![b'x'; 5000], "another format"),
        (changed(0, 0), "the magic number"),
        (changed(2, 7), "another method"),
        (changed(3, 0x20), "a reserved flag"),
        (changed(3, HAS_HEADER_CRC), "a wrong header checksum"),
        (member_of(GzBuilder::new().comment("x".repeat(1100)), &text), "a long header"),
        (body[..9].to_vec(), "a truncated header"),
        (body[..12].to_vec(), "no trailer"),
        (larger_than_reachable, "the size"),
        ([gz(b"one"), vec![0; 300]].concat(), "padding"),
        ([&body[..10], &[0xff; 5000]].concat(), "not deflate"),
    ] {
        assert_eq!(sole(&body), None, "{why}");
    }
    // The ends do not show these: the claims are to be verified.
    let short = gz(b"short");
    for (body, why) in [
        ([&short[..short.len() - 4], &[6, 0, 0, 0]].concat(), "another size"),
        (short[..short.len() - 1].to_vec(), "truncated"),
        (body[..body.len() - 300].to_vec(), "truncated"),
        ([gz(b"one"), gz(b"two")].concat(), "two members"),
        ([&body[..10], &[0xff; 50], &body[body.len() - 8..]].concat(), "not deflate"),
    ] {
        let is_true = sole(&body).is_some_and(|Member { header_len, crc, size, .. }| {
            verifies(&body[header_len..body.len() - 8], crc, size.into())
        });
        assert!(!is_true, "{why}");
    }
}

#[test]
fn verifies_checksum_size_and_end() {
    let text = sample();
    let body = gz(&text);
    let slice = &body[10..body.len() - 8];
    let mut crc = Crc::new();
    crc.update(&text);
    let (crc, size) = (crc.sum(), text.len() as u64);
    assert!(verifies(slice, crc, size));
    assert!(!verifies(slice, crc ^ 1, size), "the checksum");
    assert!(!verifies(slice, crc, size - 1) && !verifies(slice, crc, size + 1), "the size");
    assert!(!verifies(slice, crc, size + (1 << 32)), "a size that is equal modulo 2^32");
    assert!(!verifies(&slice[..slice.len() - 1], crc, size), "truncated");
    assert!(!verifies(&[slice, b"\0"].concat(), crc, size), "a byte follows");
    assert!(!verifies(b"", crc, size) && !verifies(b"", 0, 0), "empty");
    let mut inflater = Inflater::new();
    let mut verify = |slice: &[u8], max| inflater.verify(&mut &*slice, crc, size, max).unwrap();
    assert!(!verify(slice, size - 1), "past the limit");
    // The same inflater after streams that ended, and that did not.
    for broken in [&slice[..1000], b"\xff\xff", slice] {
        verify(broken, u64::MAX);
        assert!(verify(slice, size));
    }
    // Output that fills the buffer exactly.
    for len in [64 << 10, 128 << 10, (64 << 10) - 1, (64 << 10) + 1] {
        let zeros = vec![0; len];
        let body = gz(&zeros);
        let mut crc = Crc::new();
        crc.update(&zeros);
        assert!(verifies(&body[10..body.len() - 8], crc.sum(), len as u64), "{len}");
    }
}

/// A reader of one byte at a time, which is interrupted.
struct Slow<'b>(&'b [u8], bool);

impl Read for Slow<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        self.1 = !self.1;
        if self.1 {
            return Err(std::io::ErrorKind::Interrupted.into());
        }
        let len = into.len().min(1);
        self.0.read(&mut into[..len])
    }
}

/// Says nothing about the claims, so nothing is replaced because of it.
struct Failing;

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::Error::other("the disk failed"))
    }
}

#[test]
fn a_slice_is_verified_however_it_is_read() {
    let text = sample();
    let body = gz(&text);
    let member = sole(&body).unwrap();
    let mut slow = Slow(&body[10..body.len() - 8], false);
    assert!(Inflater::new().verify(&mut slow, member.crc, member.size.into(), u64::MAX).unwrap());
    assert!(Inflater::new().verify(&mut Failing, member.crc, member.size.into(), u64::MAX).is_err());
}

/// A claim that is too small ends the verification of a bomb early.
#[test]
fn a_bomb_is_not_inflated_past_its_claim() {
    let bomb = gz(&vec![0; 64 << 20]);
    let slice = &bomb[10..bomb.len() - 8];
    struct Counted<'b>(&'b [u8], usize);
    impl Read for Counted<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let len = into.len().min(256);
            let n = self.0.read(&mut into[..len])?;
            self.1 += n;
            Ok(n)
        }
    }
    let mut counted = Counted(slice, 0);
    assert!(!Inflater::new().verify(&mut counted, 0, 100_000, u64::MAX).unwrap());
    assert!(counted.1 < slice.len() / 100, "{} of {}", counted.1, slice.len());
}

/// Small members are cheap, because the inflater is reused.
#[test]
fn decodes_many_empty_members() {
    let members = gz(b"").repeat(20_000);
    let mut sink = |bytes: &[u8]| bytes.is_empty();
    let limits = DecodeLimits::new(u64::MAX);
    let result = Decoder::new().decode(Coding::Gzip, &mut &*members, members.len() as u64, limits, &mut sink);
    assert_eq!(result, Ok(()));
}
