//! Decodes bodies that a capture stored as received, because it had to end before it could decode them.
//!
//! ```text
//! body_encoding "br, gzip" ─▶ gzip, then br ─▶ body_encoding null, body_size, cut_off
//!                                └─ an unknown, damaged or too large part stays as it is
//! ```

use super::temp_body::TempBody;
use crate::bundle::cut_off::{CutOff, CutOffCause, CutOffSide};
use crate::bundle::format::{self, Header, Trace};
use crate::coding::{Coding, Content, DecodeLimits, Decoded, Decoder, decode};
use std::path::{Path, PathBuf};

/// Decodes bodies one after the other.
pub(super) struct BodyDecoder {
    decoder: Decoder,
    /// The directory for large bodies.
    directory: PathBuf,
}

/// The request or the response of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Request,
    Response,
}

impl Side {
    pub(super) const BOTH: [Self; 2] = [Self::Request, Self::Response];
}

impl BodyDecoder {
    /// `output` is the bundle that is written. Temporary files are created beside it.
    pub(super) fn new(output: &Path) -> Self {
        Self { decoder: Decoder::new(), directory: crate::bundle::output::names::directory_of(output).to_owned() }
    }

    /// Returns an empty body.
    pub(super) fn empty_body(&self) -> TempBody {
        TempBody::new(self.directory.clone())
    }

    /// Decodes a body of `trace` that has codings, and updates the trace. `load` appends the body as it is stored. Returns
    /// `None` if nothing can be decoded.
    pub(super) fn decode<E>(
        &mut self,
        trace: &mut Trace,
        side: Side,
        load: impl FnOnce(&mut TempBody) -> Result<(), E>,
    ) -> Result<Option<TempBody>, E> {
        let codings = codings(encoding(trace, side).as_deref());
        if codings.last().and_then(|coding| Coding::from_name(coding)).is_none() {
            return Ok(None);
        }
        let mut body = self.empty_body();
        load(&mut body)?;
        if !body.is_whole() {
            return Ok(None);
        }
        let limits = DecodeLimits::new(MAX_DECODED_BYTES);
        let Decoded { body, remaining_codings, is_truncated } = decode(&mut self.decoder, body, &codings, limits);
        if remaining_codings.as_ref().is_some_and(|remaining| *remaining == codings.join(", ")) {
            return Ok(None);
        }
        if is_truncated && !is_range(trace, side) {
            mark_closed(trace, side);
        }
        set_body(trace, side, body.len(), remaining_codings);
        Ok(Some(body))
    }
}

/// Sets the size and the codings of a body. An empty body has no file.
pub(super) fn set_body(trace: &mut Trace, side: Side, len: u64, remaining_codings: Option<String>) {
    let (file, size, encoding) = match side {
        Side::Request => (&mut trace.request.body_file, &mut trace.request.body_size, &mut trace.request.body_encoding),
        Side::Response => {
            (&mut trace.response.body_file, &mut trace.response.body_size, &mut trace.response.body_encoding)
        }
    };
    (*size, *encoding) = (len, remaining_codings);
    if len == 0 {
        *file = None;
    }
}

/// Returns the codings that a body still has.
pub(super) fn encoding(trace: &Trace, side: Side) -> &Option<String> {
    match side {
        Side::Request => &trace.request.body_encoding,
        Side::Response => &trace.response.body_encoding,
    }
}

fn codings(encoding: Option<&str>) -> Vec<String> {
    let names = encoding.unwrap_or_default().split(',').map(|name| name.trim().to_ascii_lowercase());
    names.filter(|name| !name.is_empty()).collect()
}

/// True if a body is a range of a representation, whose coding may not end in it (RFC 9110 section 14.4).
fn is_range(trace: &Trace, side: Side) -> bool {
    let has_range = |headers: &[Header]| headers.iter().any(|header| header.name.eq_ignore_ascii_case("content-range"));
    match side {
        Side::Request => has_range(&trace.request.headers),
        Side::Response => trace.response.status == 206 || has_range(&trace.response.headers),
    }
}

/// Marks a message as cut off because its body ended before its coding did.
fn mark_closed(trace: &mut Trace, side: Side) {
    let earlier = trace.cut_off.as_ref().map(|cut_off| CutOff::from_names(&cut_off.side, &cut_off.why));
    // Leaves values that are unknown here.
    let Some(earlier) = earlier.map_or(Some(None), |known| known.map(Some)) else { return };
    let side = match side {
        Side::Request => CutOffSide::Request,
        Side::Response => CutOffSide::Response,
    };
    let CutOff { side, why } = CutOff::also(earlier, side, CutOffCause::Closed);
    trace.cut_off = Some(format::CutOff { side: side.name().into(), why: why.name().into() });
}

/// The largest body that is decoded: the default of a capture.
const MAX_DECODED_BYTES: u64 = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coding::testing::gz;

    /// Decodes `body` as a response with these codings. Returns the body, and the codings, size and end in the trace.
    fn decoded(body: &[u8], encoding: &str, status: u16) -> Option<(Vec<u8>, Option<String>, Option<String>)> {
        let mut trace: Trace = Trace::default();
        trace.response.status = status;
        trace.response.body_encoding = Some(encoding.into());
        trace.response.body_file = Some("file".into());
        let mut decoder = BodyDecoder::new(&std::env::temp_dir().join("out.zip"));
        let decoded = decoder.decode(&mut trace, Side::Response, |to| {
            to.push(body);
            Ok::<_, std::convert::Infallible>(())
        });
        let bytes = decoded.unwrap()?.to_bytes().unwrap();
        assert_eq!(trace.response.body_size, bytes.len() as u64);
        assert_eq!(trace.response.body_file.is_some(), !bytes.is_empty());
        Some((
            bytes,
            trace.response.body_encoding,
            trace.cut_off.map(|cut_off| format!("{} {}", cut_off.side, cut_off.why)),
        ))
    }

    #[test]
    fn bodies_are_decoded_as_far_as_their_codings_are_known() {
        let text = b"some text, some text".repeat(10);
        assert_eq!(decoded(&gz(&text), "gzip", 200), Some((text.clone(), None, None)));
        assert_eq!(decoded(&gz(&gz(&text)), "GZIP , x-gzip", 200), Some((text.clone(), None, None)));
        assert_eq!(decoded(&gz(&text), "aes, gzip", 200), Some((text.clone(), Some("aes".into()), None)));
        assert_eq!(decoded(&gz(b""), "gzip", 200), Some((Vec::new(), None, None)));
        for (body, encoding) in [(&text, "gzip"), (&gz(&text), "gzip, aes"), (&text, ""), (&text, "zstd")] {
            assert_eq!(decoded(body, encoding, 200), None, "{encoding}");
        }
    }

    #[test]
    fn a_body_that_ends_within_its_coding_is_cut_off() {
        let text: Vec<u8> = (0..90_000u32).flat_map(|n| n.to_le_bytes()).collect();
        let body = gz(&text);
        let part = &body[..body.len() / 2];
        let (bytes, encoding, end) = decoded(part, "gzip", 200).unwrap();
        assert!(text.starts_with(&bytes) && bytes.len() > 1000 && encoding.is_none());
        assert_eq!(end.as_deref(), Some("response closed"));
        let (_, _, end) = decoded(part, "gzip", 206).unwrap();
        assert_eq!(end, None, "a range");
    }
}
