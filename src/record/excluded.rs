//! The exchanges of a connection that are left out of the bundle.
//!
//! A connection is opened if its own names match the host patterns: the CONNECT target, the SNI, the first Host field. Its
//! exchanges may be for other hosts, in HTTP/2 in particular (RFC 9113 section 9.1.1), so each is compared with the excluded
//! patterns too.
//!
//! ```text
//! Request ─┬─ no excluded pattern matches ─▶ recorded
//!          └─ one does ─▶ this and all later events of the exchange and its WebSocket are dropped; it is counted once
//! ```
//!
//! A CONNECT on the connection is left out in the same way: its origin is another proxy, and its content is a tunnel.

use super::origin::Origin;
use super::url::{connect_authority, named_authorities};
use crate::notice::Reason;
use crate::wire::authority::Authority;
use crate::wire::message::RequestHead;
use crate::wire::pattern::HostFilter;
use crate::wire::tap::{Dir, ExchangeId, TapEvent};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Finds the excluded exchanges of one connection.
#[derive(Default)]
pub(super) struct ExcludedExchanges {
    /// `None` excludes nothing.
    filter: Option<Arc<HostFilter>>,
    /// Those in progress.
    open: BTreeMap<ExchangeId, OpenParts>,
    /// The authority of each excluded exchange and why it is left out, until they are taken.
    authorities: Vec<(Authority, Reason)>,
}

/// The parts of an excluded exchange that have not ended.
struct OpenParts {
    request: bool,
    response: bool,
    websocket: bool,
}

impl ExcludedExchanges {
    /// Excludes the hosts that `filter` excludes.
    pub(super) fn set_filter(&mut self, filter: Arc<HostFilter>) {
        self.filter = Some(filter).filter(|filter| !filter.exclude.is_empty());
    }

    /// Returns the id of the excluded exchange that `event` belongs to; `None` if the event is to be recorded. Every event
    /// of the connection must pass here.
    pub(super) fn exclude(&mut self, event: &TapEvent<'_>, origin: &Origin) -> Option<ExchangeId> {
        let id = event.id()?;
        if let TapEvent::Request { head, .. } = event
            && let Some(excluded) = self.excluded_authority(head, origin)
        {
            self.authorities.push(excluded);
            self.open.insert(id, OpenParts { request: true, response: true, websocket: false });
            return Some(id);
        }
        let parts = self.open.get_mut(&id)?;
        match event {
            TapEvent::End { dir: Dir::Up, .. } => parts.request = false,
            TapEvent::End { dir: Dir::Down, .. } => parts.response = false,
            TapEvent::WebSocketOpen { .. } => parts.websocket = true,
            TapEvent::WebSocketEnd { .. } => parts.websocket = false,
            _ => {}
        }
        if !parts.request && !parts.response && !parts.websocket {
            self.open.remove(&id);
        }
        Some(id)
    }

    /// Returns the authority of each exchange that was excluded since the last call, and the reason.
    pub(super) fn take_authorities(&mut self) -> Vec<(Authority, Reason)> {
        std::mem::take(&mut self.authorities)
    }

    /// Returns the number of bytes allocated, approximately.
    pub(super) fn memory_bytes(&self) -> usize {
        let open = self.open.len().saturating_mul(2 * size_of::<(ExchangeId, OpenParts)>());
        open.saturating_add(self.authorities.len().saturating_mul(AUTHORITY_BYTES))
    }

    /// Forgets those in progress.
    pub(super) fn clear(&mut self) {
        self.open.clear();
    }

    /// True if none is in progress.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Returns the authority of `request` for which it is excluded, and the reason; `None` if it is to be recorded. The
    /// filter is applied to each authority, not only to the one in the URL: which of several an origin uses is unknown.
    fn excluded_authority(&self, request: &RequestHead, origin: &Origin) -> Option<(Authority, Reason)> {
        if let Some(filter) = &self.filter {
            let mut named = named_authorities(request, origin).into_iter();
            if let Some(excluded) = named.find(|it| filter.excludes(&it.host.to_string(), it.port)) {
                return Some((excluded, Reason::ExchangeExcluded));
            }
        }
        connect_authority(request, origin).map(|authority| (authority, Reason::NestedConnect))
    }
}

/// The size of an authority with a host of usual length, and of a reason.
const AUTHORITY_BYTES: usize = size_of::<(Authority, Reason)>() + 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http::HttpTap;
    use crate::wire::http2::testing::{END_STREAM, GET, PREFACE, data, headers, push_promise, reset, settings};
    use crate::wire::message::Version;
    use crate::wire::tap::testing::DialogueStep::{self, Down, End, Up};
    use crate::wire::tap::testing::{events, events_in_any_pieces};
    use crate::wire::tap::{Ending, EventSink, Tap};

    /// Reports the events of an HTTP tap that are to be recorded.
    struct RecordedEvents {
        tap: HttpTap,
        excluded: ExcludedExchanges,
        origin: Origin,
    }

    impl RecordedEvents {
        /// Excludes `patterns` on a connection to a.example:443.
        fn new(patterns: &[&str]) -> Self {
            let exclude = patterns.iter().map(|pattern| pattern.parse().unwrap()).collect();
            let mut excluded = ExcludedExchanges::default();
            excluded.set_filter(Arc::new(HostFilter { exclude, ..HostFilter::default() }));
            let authority = Authority::from_host_header(b"a.example", 443).unwrap();
            Self { tap: HttpTap::new(), excluded, origin: Origin { is_tls: true, authority, connect_timing: None } }
        }
    }

    impl Tap for RecordedEvents {
        fn data(&mut self, dir: Dir, bytes: &[u8], out: EventSink<'_>) {
            let Self { tap, excluded, origin } = self;
            tap.data(dir, bytes, &mut |event| {
                if excluded.exclude(&event, origin).is_none() {
                    out(event)
                }
            });
        }

        fn end(&mut self, dir: Dir, how: Ending, out: EventSink<'_>) {
            let Self { tap, excluded, origin } = self;
            tap.end(dir, how, &mut |event| {
                if excluded.exclude(&event, origin).is_none() {
                    out(event)
                }
            });
        }

        fn memory_bytes(&self) -> usize {
            self.tap.memory_bytes()
        }
    }

    /// Asserts that a dialogue has these recorded events, and these excluded authorities.
    #[track_caller]
    fn dialogue(patterns: &[&str], steps: &[DialogueStep<'_>], lines: &[&str], authorities: &[&str]) {
        let recorded = events_in_any_pieces(|| RecordedEvents::new(patterns), steps);
        // An exchange begins before its host is known.
        assert_eq!(recorded.into_iter().filter(|line| !line.ends_with(" begins")).collect::<Vec<_>>(), lines);
        for size in [0, 1] {
            let mut tap = RecordedEvents::new(patterns);
            events(&mut tap, steps, || size);
            let taken: Vec<_> = tap.excluded.take_authorities().iter().map(|(it, _)| it.to_string()).collect();
            assert_eq!(taken, authorities);
            assert!(tap.excluded.is_empty() && tap.excluded.take_authorities().is_empty());
        }
    }

    #[test]
    fn excludes_single_requests_of_an_http1_connection() {
        dialogue(
            &["secret.example"],
            &[
                Up(b"GET /1 HTTP/1.1\r\nHost: a.example\r\n\r\n\
                     POST /2 HTTP/1.1\r\nHost: Secret.example\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nX: y\r\n\r\n\
                     GET /3 HTTP/1.1\r\nHost: a.example\r\n\r\n"),
                Down(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1"),
                Down(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2"),
                Down(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n3"),
            ],
            &[
                "0> GET /1 Http11 Host: a.example;",
                "0> ends Complete",
                "2> GET /3 Http11 Host: a.example;",
                "2> ends Complete",
                "0< 200 OK Http11 Content-Length: 1;",
                "0< | 1",
                "0< ends Complete",
                "2< 200 OK Http11 Content-Length: 1;",
                "2< | 3",
                "2< ends Complete",
            ],
            &["secret.example:443"],
        );
    }

    #[test]
    fn excludes_a_websocket_with_its_messages() {
        dialogue(
            &["secret.example"],
            &[
                Up(b"GET / HTTP/1.1\r\nHost: secret.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"),
                Down(b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x02hi\x89\0"),
                Up(b"\x81\x81\0\0\0\0x\x88\x80\0\0\0\0"),
                Down(b"\x88\0"),
                End(Dir::Down, Ending::Clean),
                End(Dir::Up, Ending::Clean),
            ],
            &[],
            &["secret.example:443"],
        );
    }

    #[test]
    fn excludes_single_streams_of_an_http2_connection() {
        let secret = GET.replace(":authority a", ":authority secret.example");
        let websocket = secret.replace(":method GET", ":method CONNECT\n:protocol websocket");
        dialogue(
            &["secret.example"],
            &[
                Up(&[PREFACE, &settings(&[]), &headers(1, END_STREAM, GET), &headers(3, 0, &secret)].concat()),
                Down(&settings(&[(8, 1)])),
                Up(&[headers(5, 0, &websocket), data(3, END_STREAM, b"up")].concat()),
                Down(&[push_promise(1, 2, &secret), push_promise(1, 4, GET), headers(3, 0, ":status 200")].concat()),
                Down(&[headers(5, 0, ":status 200"), data(5, 0, b"\x81\x02hi"), headers(2, 0, ":status 200")].concat()),
                Down(&[headers(1, END_STREAM, ":status 204"), headers(4, END_STREAM, ":status 205")].concat()),
                Down(&[data(2, END_STREAM, b"pushed"), reset(3, 2), reset(5, 8)].concat()),
            ],
            &[
                "1> GET https://a/ Http2",
                "1> ends Complete",
                "4> GET https://a/ Http2",
                "4> ends Complete",
                "1< 204  Http2",
                "1< ends Complete",
                "4< 205  Http2",
                "4< ends Complete",
            ],
            &["secret.example:443"; 3],
        );
    }

    #[test]
    fn a_malformed_host_field_is_compared() {
        dialogue(
            &["secret.example"],
            &[Up(b"GET / HTTP/1.1\r\nHost: a.example\r\nHost : secret.example\r\n\r\n"), Down(b"HTTP/1.1 204\r\n\r\n")],
            &[],
            &["secret.example:443"],
        );
    }

    #[test]
    fn leaves_out_connect() {
        dialogue(
            &[],
            &[
                Up(b"CONNECT inner:22 HTTP/1.1\r\nHost: inner:22\r\n\r\n"),
                Down(b"HTTP/1.1 407 No\r\nContent-Length: 1\r\n\r\n!"),
                Up(b"GET / HTTP/1.1\r\n\r\n"),
                Down(b"HTTP/1.1 204 No\r\n\r\n"),
                Up(b"CONNECT * HTTP/1.1\r\n\r\n"),
                Down(b"HTTP/1.1 200 OK\r\n\r\nSSH"),
            ],
            &[
                "1> GET / Http11",
                "1> ends Complete",
                "1< 204 No Http11",
                "1< ends Complete",
                "opaque: a switch to another protocol",
            ],
            &["inner:22", "a.example:443"],
        );
        let connect = ":method CONNECT\n:authority inner:22";
        let websocket = GET.replace(":method GET", ":method CONNECT\n:protocol websocket");
        dialogue(
            &[],
            &[
                Up(&[PREFACE, &settings(&[]), &headers(1, 0, connect), &headers(3, 0, &websocket)].concat()),
                Up(&data(1, END_STREAM, b"SSH")),
                Down(&[settings(&[(8, 1)]), headers(1, END_STREAM, ":status 200")].concat()),
                Down(&headers(3, END_STREAM, ":status 403")),
                Up(&data(3, END_STREAM, b"")),
            ],
            &["3> CONNECT https://a/ Http2", "3> ends Complete", "3< 403  Http2", "3< ends Complete"],
            &["inner:22"],
        );
    }

    #[test]
    fn excludes_an_upgraded_request_and_streams_after_an_upgrade() {
        let upgrade = "GET /1 HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
                       HTTP2-Settings: AAEAAAAA\r\n\r\n";
        let secret = GET.replace(":authority a", ":authority secret.example");
        let up = [PREFACE, &settings(&[]), &headers(3, END_STREAM, GET), &headers(5, END_STREAM, &secret)].concat();
        let switch = b"HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
        let down = [&switch[..], &settings(&[]), &headers(1, END_STREAM, ":status 201")].concat();
        let responses = [headers(3, END_STREAM, ":status 203"), headers(5, END_STREAM, ":status 205")].concat();
        let requests = |patterns: &[&str]| {
            let steps = [Up(upgrade.as_bytes()), Down(&down), Up(&up), Down(&responses)];
            let mut lines = events_in_any_pieces(|| RecordedEvents::new(patterns), &steps);
            lines.retain(|line| line.contains("> GET") || line.contains("< 20"));
            lines.iter().map(|line| line.split(" Http").next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let (second, last) = (["2> GET https://a/", "2< 203 "], "4> GET https://secret.example/");
        assert_eq!(requests(&["secret.example"]), ["0> GET /1", "0< 201 ", second[0], second[1]]);
        assert_eq!(requests(&["a.example"]), [second[0], last, second[1], "4< 205 "]);
        assert_eq!(requests(&["*.example"]), second);
    }

    #[test]
    fn every_authority_of_a_request_is_compared_with_its_port() {
        let excluded = |pattern: &str, target: &str, named: Option<&str>, hosts: &[&str]| {
            let mut headers = crate::wire::headers::Headers::default();
            hosts.iter().for_each(|host| headers.push(b"hOst ", host.as_bytes()));
            let head = RequestHead {
                method: "GET".into(),
                target: target.into(),
                version: Version::Http11,
                scheme: None,
                authority: named.map(Into::into),
                headers,
                is_ambiguous: false,
            };
            let RecordedEvents { excluded, origin, .. } = RecordedEvents::new(&[pattern]);
            excluded.excluded_authority(&head, &origin).map(|(authority, reason)| {
                assert_eq!(reason, Reason::ExchangeExcluded);
                authority.to_string()
            })
        };
        let secret = Some("secret.example:443".to_owned());
        assert_eq!(excluded("secret.example", "/", None, &["SECRET.example"]), secret);
        assert_eq!(excluded("secret.example:443", "/", None, &["secret.example"]), secret);
        assert_eq!(excluded("secret.example:8443", "/", None, &["secret.example"]), None);
        assert_eq!(
            excluded("secret.example:8443", "/", None, &["secret.example:8443"]).as_deref(),
            Some("secret.example:8443")
        );
        assert_eq!(excluded("secret.example", "/", None, &["a.example", "secret.example"]), secret);
        assert_eq!(excluded("secret.example", "/", Some("a.example"), &["secret.example"]), secret);
        assert_eq!(excluded("secret.example", "/", Some("secret.example"), &["a.example"]), secret);
        assert_eq!(excluded("secret.example", "https://secret.example/", None, &["a.example"]), secret);
        assert_eq!(excluded("*.example", "/", None, &["secret.example."]).as_deref(), Some("secret.example.:443"));
        for malformed in ["secret.example:x", "u:p@secret.example:1:2", "secret.example/", "secret.example, a.example"]
        {
            assert_eq!(excluded("secret.example", "/", None, &[malformed]), secret, "{malformed}");
        }
        assert_eq!(excluded("secret.example", "https://u@secret.example/", None, &["a.example"]), secret);
        assert_eq!(excluded("secret.example", "/", None, &["a.example", "not a host", "", "[x"]), None);
        assert_eq!(excluded("secret.example", "/", None, &[]), None);
    }
}
