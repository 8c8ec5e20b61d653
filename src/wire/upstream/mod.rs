//! Upstream proxies: proxies through which origins are reached, where there is no other way out.
//!
//! ```text
//! proxy     the URL of a proxy, the proxies of a capture     which one leads to this origin?
//! no_proxy  the hosts that are reached without one
//! connect   the dialogue with an HTTP proxy ───┐
//! socks5    the dialogue with a SOCKS5 proxy ──┴▶ refusal: why it serves no tunnel
//! answer    the beginning of an answer to a plain request    407 must not reach the client
//! ```
//!
//! A plain request goes to an HTTP proxy in absolute form (`proxy_request::to_absolute_form`).

pub(crate) mod answer;
pub(crate) mod connect;
pub(crate) mod no_proxy;
pub(crate) mod proxy;
pub(crate) mod refusal;
pub(crate) mod socks5;

use refusal::Refusal;

/// A dialogue with an upstream proxy that opens a tunnel. It uses no byte behind the proxy's last one: that is the origin's.
pub(crate) trait Dialogue {
    /// Returns the bytes to send next, and forgets them; empty if the proxy's answer comes first.
    fn output(&mut self) -> Vec<u8>;

    /// Reads the proxy's `bytes`, which follow those that were used before. Returns how many were used: all of them while
    /// the answer is incomplete.
    ///
    /// # Errors
    /// If there is no tunnel.
    fn input(&mut self, bytes: &[u8]) -> Result<usize, Refusal>;

    /// Returns true once the tunnel is open.
    fn is_open(&self) -> bool;
}

/// The longest head of a proxy's own answer. The page in its body is not read.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// Fuzzing: asserts that the result of a dialogue, and what passes of an answer, do not depend on how the bytes are split.
#[cfg(any(test, fuzzing))]
pub(crate) fn check_any_split(data: &[u8]) {
    let proxies = ["http://h", "http://u:p@h", "socks5://h", "socks5://u:p@h"].map(proxy::UpstreamProxy::parse);
    let origin = crate::wire::authority::Authority::from_connect_target(b"origin:443");
    for proxy in proxies.into_iter().flatten() {
        let outcome = |size| {
            let (mut dialogue, mut at) = (proxy.tunnel_to(origin.as_ref().ok()?), 0_usize);
            while !dialogue.is_open() && at < data.len() {
                dialogue.output();
                let piece = data.get(at..)?.chunks(size).next()?;
                let used = dialogue.input(piece).map_err(|refusal| refusal.to_string());
                match used {
                    Ok(used) if dialogue.is_open() || used == piece.len() => at = at.saturating_add(used),
                    // An interim response ends in the piece.
                    Ok(used) if used > 0 => at = at.saturating_add(used),
                    Ok(_) => return Some(Err("nothing was used".to_owned())),
                    Err(refusal) => return Some(Err(refusal)),
                }
            }
            Some(Ok((dialogue.is_open(), at)))
        };
        assert_ne!(outcome(1), Some(Err("nothing was used".to_owned())));
        assert_eq!(outcome(1), outcome(data.len().max(1)));
        assert_eq!(outcome(1), outcome(7));
    }
    let answer = |size| {
        let (mut held, mut passed, mut is_held) = (answer::HeldAnswer::new(true), Vec::new(), true);
        for piece in data.chunks(size) {
            match held.read(piece) {
                _ if !is_held => passed.extend_from_slice(piece),
                answer::Decision::Held(bytes) => passed.extend(bytes),
                answer::Decision::Passes(bytes) => {
                    passed.extend(bytes);
                    is_held = false;
                }
                answer::Decision::Refused(refusal) => return Err(refusal),
            }
        }
        assert!(data.starts_with(&passed) && (is_held || passed == data));
        Ok(passed)
    };
    assert_eq!(answer(1), answer(data.len().max(1)));
    assert_eq!(answer(1), answer(7));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::mutations::mutations;

    #[test]
    fn results_do_not_depend_on_splits() {
        let seeds = [
            &b"HTTP/1.1 200 Connection established\r\nA: b\r\n\r\n220 ready\r\n"[..],
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 407 X\r\nProxy-Authenticate: NTLM, Basic realm=x\r\n\r\nno",
            b"HTTP/1.0 401 Unauthorized\r\nServer: tinyproxy/1.11.1\r\n\r\n",
            b"\r\nHTTP/1.1 403 Forbidden\r\nX-Squid-Error: ERR_ACCESS_DENIED 0\r\n\r\n",
            b"\x05\0\x05\0\0\x01\x7f\0\0\x01\0\x50SSH-2.0",
            b"\x05\x02\x01\0\x05\0\0\x03\x01h\0\x50SSH-2.0",
            b"\x05\x02\x01\0\x05\x05\0\x04",
        ];
        mutations(&seeds.map(<[u8]>::to_vec), 1000, check_any_split);
    }
}
