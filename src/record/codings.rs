//! The codings of a message's body: content codings and transfer codings (RFC 9110 section 8.4, RFC 9112 section 7).

use crate::bundle::format::text;
use crate::wire::headers::{Headers, trim};

/// Returns the codings of a message's body in the order in which they were applied: content codings, then transfer
/// codings (RFC 9112 section 6.1). Leaves out `chunked`, which the tap has removed, and `identity`.
pub(crate) fn codings(headers: &Headers) -> Vec<String> {
    let content = headers.list("content-encoding").map(coding_name);
    let transfer = headers.list("transfer-encoding").map(coding_name).filter(|name| name != "chunked");
    content.chain(transfer).filter(|name| !name.is_empty() && name != "identity").collect()
}

/// Returns the name of a coding in lower case, without parameters.
fn coding_name(member: &[u8]) -> String {
    let name = member.split(|&b| b == b';').next().unwrap_or_default();
    text(trim(name)).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_transfer_codings_after_content_codings() {
        let mut headers = Headers::default();
        headers.push(b"transfer-encoding", b"gzip, Chunked");
        headers.push(b"Content-Encoding", b"br,identity, X-GZip");
        headers.push(b"content-encoding", b" deflate ;q=1");
        assert_eq!(codings(&headers), ["br", "x-gzip", "deflate", "gzip"]);
    }
}
