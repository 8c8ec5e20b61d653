//! Application protocols (ALPN, RFC 7301). The origin gets the client's whole offer, in its order, and so chooses the
//! protocol that it would choose without the proxy.
//!
//! ```text
//! offer        origin chooses   then
//! foo, h2      h2               intercepted
//! foo, h2      foo              passed through: no tap parses it
//! foo, bar     -                passed through at once
//! ```

use crate::notice::Reason;

/// The protocols to offer to the origin of a client that offers `offer`: the same, except for offers of unusual size,
/// which are reduced to the protocols that a tap can parse.
///
/// # Errors
/// If no connection with this offer can be intercepted.
pub(crate) fn offer(offer: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, Reason> {
    if !offer.is_empty() && !offer.iter().any(|name| is_supported(name)) {
        return Err(unsupported(offer));
    }
    let size = offer.iter().map(Vec::len).sum::<usize>().saturating_add(offer.len());
    if size <= MAX_OFFER_BYTES {
        return Ok(offer.to_vec());
    }
    let mut reduced: Vec<Vec<u8>> = Vec::new();
    for name in offer.iter().filter(|name| is_supported(name)) {
        if !reduced.contains(name) {
            reduced.push(name.clone());
        }
    }
    Ok(reduced)
}

/// True if a tap can parse this protocol.
pub(crate) fn is_supported(name: &[u8]) -> bool {
    SUPPORTED_PROTOCOLS.contains(&name)
}

/// The reason to report if the origin, or every client with this offer, uses protocols that no tap can parse.
pub(crate) fn unsupported<N: AsRef<[u8]>>(names: &[N]) -> Reason {
    let listed: Vec<_> =
        names.iter().take(MAX_LISTED_PROTOCOLS).map(|name| String::from_utf8_lossy(name.as_ref())).collect();
    let more = if names.len() > MAX_LISTED_PROTOCOLS { ", …" } else { "" };
    Reason::Protocol(listed.join(", ") + more)
}

/// The application protocols that a tap can parse.
const SUPPORTED_PROTOCOLS: [&[u8]; 3] = [b"h2", b"http/1.1", b"http/1.0"];
/// Number of a client's protocols listed in a report. A client may offer thousands, of up to 255 bytes each.
const MAX_LISTED_PROTOCOLS: usize = 4;
/// rustls keeps the offer for the lifetime of a connection, so its size is limited. All names in IANA's registry have half
/// as many bytes together.
const MAX_OFFER_BYTES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(names: &[&[u8]]) -> Result<Vec<Vec<u8>>, Reason> {
        offer(&names.iter().map(|name| name.to_vec()).collect::<Vec<_>>())
    }

    #[test]
    fn everything_is_offered_if_a_tap_can_parse_one_of_the_protocols() {
        assert_eq!(offered(&[]), Ok(vec![]));
        for names in [&[&b"h2"[..], b"http/1.1"][..], &[b"\x0a\x0a", b"x", b"http/1.1", b"h2"], &[b"h2", b"h3"]] {
            assert_eq!(offered(names).unwrap(), names);
        }
        assert_eq!(offered(&[b"h3", b"x"]), Err(Reason::Protocol("h3, x".into())));
        assert_eq!(offered(&[b"1", b"2", b"3", b"4", b"5"]), Err(Reason::Protocol("1, 2, 3, 4, …".into())));
    }

    #[test]
    fn an_offer_of_unusual_size_is_reduced() {
        let long = [7; 255];
        assert_eq!(offered(&[&long, &long, &long, b"h2"]).unwrap().len(), 4);
        assert_eq!(offered(&[&long, &long, b"http/1.1", &long, &long, b"h2"]).unwrap(), [&b"http/1.1"[..], b"h2"]);
        let many: Vec<&[u8]> = std::iter::repeat_n(&b"h2"[..], 10_000).collect();
        assert_eq!(offered(&many).unwrap(), [b"h2"]);
    }
}
