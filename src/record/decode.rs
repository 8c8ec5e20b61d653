//! Decodes the codings of a message's body: content codings and transfer codings (RFC 9110 section 8.4, RFC 9112
//! section 7).

use super::body::Body;
use crate::bundle::format::text;
use crate::coding::{self, Content, DecodeLimits, Decoder};
use crate::wire::headers::{Headers, trim};
use std::io::{BufRead, BufReader};

pub(crate) type Decoded = coding::Decoded<Body>;

/// Returns the codings of a message's body in the order in which they were applied: content codings, then transfer
/// codings (RFC 9112 section 6.1). Leaves out `chunked`, which the tap has removed, and `identity`.
pub(crate) fn codings(headers: &Headers) -> Vec<String> {
    let content = headers.list("content-encoding").map(coding_name);
    let transfer = headers.list("transfer-encoding").map(coding_name).filter(|name| name != "chunked");
    content.chain(transfer).filter(|name| !name.is_empty() && name != "identity").collect()
}

/// Decodes as many of `codings` as possible. A body that would decode to more than `max_bytes` is not decoded.
pub(crate) fn decode(body: Body, codings: &[String], max_bytes: u64) -> Decoded {
    coding::decode(&mut Decoder::new(), body, codings, DecodeLimits::new(max_bytes))
}

/// Returns the name of a coding in lower case, without parameters.
fn coding_name(member: &[u8]) -> String {
    let name = member.split(|&b| b == b';').next().unwrap_or_default();
    text(trim(name)).to_lowercase()
}

/// Decoded bodies are in memory or in a file, like any other.
impl Content for Body {
    fn len(&self) -> u64 {
        self.len()
    }

    fn empty_like(&self) -> Self {
        self.empty_like()
    }

    fn push(&mut self, bytes: &[u8]) {
        self.push(bytes);
    }

    fn is_whole(&self) -> bool {
        self.truncation().is_none()
    }

    fn read<T>(&self, read: impl FnOnce(&mut dyn BufRead) -> T) -> T {
        match self.in_memory() {
            Some(mut bytes) => read(&mut bytes),
            None => read(&mut BufReader::with_capacity(BUFFER_BYTES, self.reader())),
        }
    }
}

/// The size of the pieces in which a body in a file is read.
const BUFFER_BYTES: usize = 32 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::body::test_store;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::{Read as _, Write as _};

    #[test]
    fn lists_transfer_codings_after_content_codings() {
        let mut headers = Headers::default();
        headers.push(b"transfer-encoding", b"gzip, Chunked");
        headers.push(b"Content-Encoding", b"br,identity, X-GZip");
        headers.push(b"content-encoding", b" deflate ;q=1");
        assert_eq!(codings(&headers), ["br", "x-gzip", "deflate", "gzip"]);
    }

    #[test]
    fn decodes_bodies_in_memory_and_in_files() {
        // Incompressible, so that the encoded body is as large.
        let noise: Vec<u8> = (0..600_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for (text, is_small) in [(&noise[..1000], true), (&noise, false)] {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
            encoder.write_all(text).unwrap();
            let mut body = Body::new(&test_store(std::env::temp_dir(), 1 << 20));
            encoder.finish().unwrap().chunks(10_000).for_each(|piece| body.push(piece));
            assert_eq!(body.in_memory().is_some(), is_small);
            let Decoded { body, remaining_codings, is_truncated } = decode(body, &["gzip".into()], u64::MAX);
            let mut decoded = Vec::new();
            body.reader().read_to_end(&mut decoded).unwrap();
            assert!(decoded == text && remaining_codings.is_none() && !is_truncated);
        }
    }
}
