//! The client of one intercepted connection. Watches whether it accepts our certificate, and whether the origin wants a
//! certificate of the client after the handshake. Reports both, and lets the next connections pass through: those of such
//! clients, or all of the host's.
//!
//! ```text
//! handshake ─▶ Connected ─ request ─▶ Requested ─ first byte of the answer ─▶ Answered     it accepts our certificate
//!    │            │                      │
//!    └────────────┴──────────────────────┴─ the client ends the connection ─▶ Ended        a refusal, perhaps
//! ```

use super::passthrough_cache::PassthroughCache;
use super::refusals::{ClientKind, Refusals, Sign, Verdict};
use super::shared::{Capture, Shared};
use super::tls::failures::{alert_name, is_about_certificate, may_reject_certificate};
use crate::clock::Moment;
use crate::counters::Counters;
use crate::notice::Reason;
use crate::wire::authority::Authority;
use crate::wire::client_hello::ClientHello;
use crate::wire::tap::{Dir, Ending, TapEvent};
use std::sync::Arc;

/// The client of one intercepted connection.
pub(crate) struct InterceptedClient {
    counters: Arc<Counters>,
    passthrough: Arc<PassthroughCache>,
    refusals: Arc<Refusals>,
    /// `host:port`, for reports.
    label: String,
    kind: ClientKind,
    /// The end of its handshake; before that, the start of the connection.
    connected: Moment,
    /// True if it resumed a session and thus received no certificate.
    is_resumed: bool,
    /// True if the protocol is HTTP/2, in which the origin sends data of its own before it answers.
    is_http2: bool,
    progress: Progress,
    /// True once the tap cannot read a part of the connection. Then any byte may be one of the answer.
    is_opaque: bool,
    late_request: LateRequest,
    /// True once a renegotiation was reported.
    is_renegotiated: bool,
    /// True if the origin may have our client certificate, and may reject it after the handshake (TLS 1.3).
    may_be_rejected: bool,
}

/// The progress of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// It has sent no request.
    Connected,
    /// It has sent a request.
    Requested,
    /// It has sent a request, then the end of its direction with close_notify. It may still wait for the answer.
    Finished { sign: Sign, has_answer: bool },
    /// It got the first byte of an answer, so it accepts our certificate.
    Answered,
    /// The connection ended before that, or ends for another reason.
    Ended,
}

/// A request of the origin for a client certificate in mid connection, in TLS 1.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LateRequest {
    /// The client offered to answer one (RFC 8446 section 4.2.6). The proxy did not: it has no certificate.
    Prevented,
    /// The client did not offer that, the origin does not use TLS 1.3, or it was reported.
    None,
}

impl InterceptedClient {
    /// Creates the state of a client that sent `hello` for `origin`. It is reported as `label`, a `host:port`.
    pub(crate) fn new(
        shared: &Shared,
        capture: &Capture,
        label: String,
        origin: Authority,
        sni: Option<&str>,
        hello: &ClientHello,
    ) -> Self {
        Self {
            counters: Arc::clone(&shared.counters),
            passthrough: Arc::clone(&capture.passthrough),
            refusals: Arc::clone(&capture.refusals),
            label,
            kind: (origin, sni.map(str::to_owned), hello.fingerprint),
            connected: Moment::now(),
            is_resumed: false,
            is_http2: false,
            progress: Progress::Connected,
            is_opaque: false,
            late_request: LateRequest::None,
            is_renegotiated: false,
            may_be_rejected: false,
        }
    }

    /// True if the connection passes through, because a client of its kind refused our certificate.
    pub(crate) fn passes_through(&self) -> bool {
        self.refusals.passes_through(&self.kind)
    }

    /// Notes that the handshake is complete, and which protocol (ALPN) it selected.
    pub(crate) fn connected(&mut self, is_resumed: bool, alpn: Option<&[u8]>) {
        (self.connected, self.is_resumed, self.is_http2) = (Moment::now(), is_resumed, alpn == Some(b"h2"));
    }

    /// Notes that the client offered to answer a request for its certificate after the handshake, and that the origin
    /// uses TLS 1.3, in which such a request is possible.
    pub(crate) fn prevent_late_request(&mut self) {
        self.late_request = LateRequest::Prevented;
    }

    /// Notes that the origin may reject our client certificate after the handshake: in TLS 1.3, the handshake ends for us before
    /// the origin has seen the certificate.
    pub(crate) fn expect_rejection(&mut self) {
        self.may_be_rejected = true;
    }

    /// Its `host:port`.
    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    /// Reports that this connection is not captured.
    pub(crate) fn report(&self, reason: Reason) {
        self.counters.add_uncaptured(&self.label, reason);
    }

    /// Notes that the client ended the handshake in the way `how` after it had received our certificate.
    pub(crate) fn refuse(&mut self, sign: Sign, how: String) {
        self.judge(sign, Reason::CertificateRefused(how));
    }

    /// Sees an event of the connection's tap.
    pub(crate) fn observe(&mut self, event: &TapEvent<'_>) {
        match event {
            TapEvent::Begin { dir: Dir::Up, .. } if self.progress == Progress::Connected => {
                self.progress = Progress::Requested;
            }
            TapEvent::Begin { dir: Dir::Down, .. } => self.answered(),
            TapEvent::Opaque { .. } => self.is_opaque = true,
            TapEvent::Response { head, .. } if head.status == 403 && self.late_request == LateRequest::Prevented => {
                self.late_request = LateRequest::None;
                self.report(Reason::MayNeedClientCertificate);
            }
            _ => {}
        }
    }

    /// Sees that bytes were passed in direction `dir`, after their events. In HTTP/1 they may answer a request whose head is
    /// incomplete, for which there is no event yet.
    pub(crate) fn relayed(&mut self, dir: Dir) {
        if dir == Dir::Down && (self.is_opaque || !self.is_http2) {
            self.answered();
        }
    }

    fn answered(&mut self) {
        match &mut self.progress {
            Progress::Requested => {
                self.progress = Progress::Answered;
                self.counters.add_captured(&self.label);
                self.refusals.add_answered(&self.kind);
            }
            // It may be gone.
            Progress::Finished { has_answer, .. } => *has_answer = true,
            Progress::Connected | Progress::Answered | Progress::Ended => {}
        }
    }

    /// Notes that TLS with the client failed after the handshake. The end of its direction follows.
    pub(crate) fn tls_failed(&mut self, error: &rustls::Error) {
        if let rustls::Error::AlertReceived(alert) = error
            && is_about_certificate(*alert)
            && self.progress != Progress::Answered
        {
            self.refuse(Sign::CertificateAlert, alert_name(*alert));
        }
    }

    /// Notes that TLS with the origin failed after the handshake. If it rejects our client certificate, the next connections
    /// pass through; this one cannot.
    pub(crate) fn origin_tls_failed(&mut self, error: &rustls::Error) {
        if let rustls::Error::AlertReceived(alert) = error
            && self.may_be_rejected
            && may_reject_certificate(*alert)
        {
            self.progress = Progress::Ended;
            let (origin, sni, _) = &self.kind;
            let rejected = Reason::ClientCertificateRejected(alert_name(*alert));
            self.passthrough.add(origin, sni.as_deref(), rejected, Moment::now());
            self.report(Reason::ClientCertificateRejectedLate(alert_name(*alert)));
        }
    }

    /// Notes that a peer started a new handshake, which rustls refuses.
    pub(crate) fn renegotiated(&mut self) {
        if !self.is_renegotiated {
            self.is_renegotiated = true;
            self.progress = Progress::Ended;
            let (origin, sni, _) = &self.kind;
            self.passthrough.add(origin, sni.as_deref(), Reason::RenegotiatedBefore, Moment::now());
            self.report(Reason::Renegotiated);
        }
    }

    /// Notes the end of a direction.
    pub(crate) fn end(&mut self, dir: Dir, how: Ending) {
        match (dir, how, self.progress) {
            // Not the client's doing.
            (_, Ending::Stopped, _)
            | (Dir::Up, Ending::Abandoned, _)
            | (Dir::Down, _, Progress::Connected | Progress::Requested) => self.progress = Progress::Ended,
            (Dir::Up, _, Progress::Connected) => self.judge(self.leaving(), Reason::ClientLeft),
            // TLS permits to end one direction (RFC 8446 section 6.1), and the other may go on.
            (Dir::Up, Ending::Clean, Progress::Requested) => {
                self.progress = Progress::Finished { sign: self.leaving(), has_answer: false };
            }
            (Dir::Up, _, Progress::Requested) => self.judge(self.leaving(), Reason::LeftUnanswered),
            _ => {}
        }
    }

    /// Notes the end of the connection. `is_gone` is true if the client did not accept the last data.
    pub(crate) fn close(&mut self, is_gone: bool) {
        match self.progress {
            Progress::Finished { sign, .. } if is_gone => self.judge(sign, Reason::LeftUnanswered),
            // It may have waited for the answer.
            Progress::Finished { has_answer: false, .. } => self.judge(Sign::Later, Reason::LeftUnanswered),
            _ => {}
        }
    }

    /// The sign of a client that leaves now, after the handshake.
    fn leaving(&self) -> Sign {
        if self.is_resumed { Sign::Later } else { Sign::of_leaving(self.connected, Moment::now()) }
    }

    /// Judges the end of a connection that got no answer. `reason` is the one to report if the client does not trust us,
    /// or may not.
    fn judge(&mut self, sign: Sign, reason: Reason) {
        self.progress = Progress::Ended;
        match self.refusals.judge(&self.kind, sign, self.connected, Moment::now()) {
            Verdict::Refuses | Verdict::MayRefuse => self.report(reason),
            Verdict::Trusts => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Observer;
    use crate::wire::fingerprint::Fingerprint;
    use crate::wire::headers::Headers;
    use crate::wire::message::{ResponseHead, Version};
    use crate::wire::tap::ExchangeId;

    const ID: ExchangeId = ExchangeId(0);

    fn client() -> InterceptedClient {
        InterceptedClient {
            counters: Arc::new(Counters::new(Observer::default(), false)),
            passthrough: Arc::default(),
            refusals: Arc::new(Refusals::new(true)),
            label: "a:443".into(),
            kind: (Authority::from_connect_target(b"a:443").unwrap(), None, Fingerprint::default()),
            connected: Moment::now(),
            is_resumed: false,
            is_http2: false,
            progress: Progress::Connected,
            is_opaque: false,
            late_request: LateRequest::None,
            is_renegotiated: false,
            may_be_rejected: false,
        }
    }

    fn begin(client: &mut InterceptedClient, dir: Dir) {
        client.observe(&TapEvent::Begin { id: ID, dir });
    }

    fn reported(client: &InterceptedClient) -> Vec<Reason> {
        client.counters.uncaptured().into_iter().map(|uncaptured| uncaptured.reason).collect()
    }

    fn passes(client: &InterceptedClient) -> Option<Reason> {
        client.passthrough.reason(&client.kind.0, None, &[], Moment::now())
    }

    #[test]
    fn an_alert_about_the_certificate_after_the_handshake_is_a_refusal() {
        let mut client = client();
        begin(&mut client, Dir::Up);
        client.tls_failed(&rustls::Error::AlertReceived(rustls::AlertDescription::BadCertificate));
        client.end(Dir::Up, Ending::Reset);
        client.close(true);
        assert_eq!(reported(&client), [Reason::CertificateRefused("bad_certificate".into())]);
        assert!(client.passes_through());
        assert_eq!(passes(&client), None, "other clients of the host are intercepted");
    }

    #[test]
    fn leaving_at_once_is_a_refusal_unless_the_session_was_resumed() {
        for is_resumed in [false, true] {
            for has_request in [false, true] {
                let mut client = client();
                client.connected(is_resumed, None);
                if has_request {
                    begin(&mut client, Dir::Up);
                }
                client.end(Dir::Up, Ending::Truncated);
                client.close(true);
                assert_eq!(reported(&client).len(), 1);
                assert_eq!(client.passes_through(), !is_resumed);
            }
        }
    }

    #[test]
    fn an_end_that_is_not_the_clients_is_no_refusal() {
        for (dir, how) in [(Dir::Down, Ending::Clean), (Dir::Down, Ending::Reset), (Dir::Up, Ending::Stopped)] {
            let mut client = client();
            begin(&mut client, Dir::Up);
            client.end(dir, how);
            client.end(dir.opposite(), how);
            client.close(true);
            assert_eq!(reported(&client), []);
        }
    }

    #[test]
    fn a_client_that_finished_has_left_if_no_answer_reaches_it() {
        for (has_answer, is_gone, expected) in
            [(true, false, &[][..]), (true, true, &[Reason::LeftUnanswered]), (false, false, &[Reason::LeftUnanswered])]
        {
            let mut client = client();
            begin(&mut client, Dir::Up);
            client.end(Dir::Up, Ending::Clean);
            if has_answer {
                begin(&mut client, Dir::Down);
            }
            client.end(Dir::Down, Ending::Clean);
            client.close(is_gone);
            assert_eq!(reported(&client), expected, "{has_answer}, {is_gone}");
            assert_eq!(client.passes_through(), is_gone, "else it may have waited");
        }
    }

    #[test]
    fn bytes_of_http_1_are_an_answer_once_a_request_has_begun() {
        for (alpn, expected) in [(None, Progress::Answered), (Some(&b"h2"[..]), Progress::Requested)] {
            let mut client = client();
            client.connected(false, alpn);
            client.relayed(Dir::Down);
            assert_eq!(client.progress, Progress::Connected);
            begin(&mut client, Dir::Up);
            client.relayed(Dir::Down);
            assert_eq!(client.progress, expected);
        }
    }

    #[test]
    fn bytes_of_an_unknown_protocol_are_an_answer() {
        let mut client = client();
        client.connected(false, Some(b"h2"));
        client.relayed(Dir::Down);
        assert_eq!(client.progress, Progress::Connected, "HTTP/2 settings of the origin, perhaps");
        begin(&mut client, Dir::Up);
        client.observe(&TapEvent::Opaque { cause: crate::wire::tap::Opaque::Request });
        client.relayed(Dir::Down);
        assert_eq!(client.progress, Progress::Answered);
    }

    #[test]
    fn a_renegotiation_is_reported_once_and_the_next_connection_passes_through() {
        let mut client = client();
        begin(&mut client, Dir::Up);
        client.renegotiated();
        client.renegotiated();
        client.end(Dir::Up, Ending::Reset);
        assert_eq!(client.counters.uncaptured()[0].connections, 1);
        assert_eq!(reported(&client), [Reason::Renegotiated]);
        assert_eq!(passes(&client), Some(Reason::RenegotiatedBefore));
    }

    #[test]
    fn a_403_is_reported_where_a_late_certificate_request_was_prevented() {
        for (prevents, status, expected) in
            [(true, 403, &[Reason::MayNeedClientCertificate][..]), (true, 401, &[]), (false, 403, &[])]
        {
            let mut client = client();
            if prevents {
                client.prevent_late_request();
            }
            let head = ResponseHead {
                status,
                reason: b"".into(),
                version: Version::Http11,
                headers: Headers::default(),
                is_ambiguous: false,
            };
            for _ in 0..2 {
                client.observe(&TapEvent::Response { id: ID, head: head.clone() });
            }
            assert_eq!(reported(&client), expected);
            assert_eq!(passes(&client), None, "it is only a possibility");
        }
    }
}
