//! Decides which clients refuse our certificate, and remembers them: their connections may pass through. Some clients
//! send an alert, some only close, some leave after they have sent a request; a client that left for another reason looks
//! the same, but seldom leaves at once.
//!
//! ```text
//!                        alert about the certificate   at once     later, before an answer
//! nothing known          refuses                       refuses     may refuse ─▶ left once
//! left once              refuses                       refuses     refuses
//! got an answer          refuses                       trusts us   trusts us
//! ```
//!
//! The state belongs to a host and a kind of client (the fingerprint of its ClientHello): one app may trust us while
//! another one pins its certificates. A kind that refused passes through for the rest of the capture: to find out whether
//! it trusts us now, a connection would have to fail. If the conclusion was wrong, its traffic is not captured, which is
//! reported.

use crate::clock::Moment;
use crate::wire::authority::Authority;
use crate::wire::fingerprint::Fingerprint;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The clients of a capture, by what they made of our certificate.
pub(crate) struct Refusals {
    /// True if clients that refused our certificate pass through.
    passes: bool,
    states: Mutex<HashMap<ClientKind, State>>,
}

/// A kind of client of one host: the origin that it asked for, the SNI that it sent, and its fingerprint.
pub(crate) type ClientKind = (Authority, Option<String>, Fingerprint);

/// The state of a kind of client.
#[derive(Clone, Copy, Debug)]
enum State {
    /// One left at this moment, before an answer.
    Left(Moment),
    /// One got an answer, so it accepted our certificate.
    Answered,
    /// One refused our certificate, and the others pass through.
    Refused,
}

/// The way in which a client ended its connection before it got an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// With an alert about our certificate.
    CertificateAlert,
    /// During the handshake, after it had received our certificate, or right after the handshake.
    AtOnce,
    /// Later.
    Later,
}

impl Sign {
    /// The sign of a client that leaves at `now`, after a handshake that was complete at `connected`.
    pub(crate) fn of_leaving(connected: Moment, now: Moment) -> Self {
        if now.since(connected) < AT_ONCE { Self::AtOnce } else { Self::Later }
    }
}

/// The conclusion from a [`Sign`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The client refuses our certificate.
    Refuses,
    /// It may refuse our certificate, or it left for another reason.
    MayRefuse,
    /// It left for another reason, since clients of its kind accept our certificate.
    Trusts,
}

impl Refusals {
    /// Knows no client. `passes` is true if clients that refused our certificate pass through.
    pub(crate) fn new(passes: bool) -> Self {
        Self { passes, states: Mutex::default() }
    }

    /// True if clients of this kind pass through, because one refused our certificate.
    pub(crate) fn passes_through(&self, kind: &ClientKind) -> bool {
        self.passes && self.update(|states| matches!(states.get(kind), Some(State::Refused)))
    }

    /// Notes that a client of this kind got an answer.
    pub(crate) fn add_answered(&self, kind: &ClientKind) {
        self.update(|states| {
            if !matches!(states.get(kind), Some(State::Answered | State::Refused)) {
                insert(states, kind, State::Answered);
            }
        });
    }

    /// Notes that a client of this kind ended a connection whose handshake was complete at `connected`, and judges it.
    pub(crate) fn judge(&self, kind: &ClientKind, sign: Sign, connected: Moment, now: Moment) -> Verdict {
        self.update(|states| {
            let verdict = match (sign, states.get(kind)) {
                (Sign::CertificateAlert, _) => Verdict::Refuses,
                (_, Some(State::Answered)) => Verdict::Trusts,
                (Sign::AtOnce, _) | (Sign::Later, Some(State::Refused)) => Verdict::Refuses,
                // An app that is ended leaves all its connections at once. Only one that began after that counts again.
                (Sign::Later, Some(State::Left(at))) if connected.since(*at).is_zero() => Verdict::MayRefuse,
                (Sign::Later, Some(State::Left(_))) => Verdict::Refuses,
                (Sign::Later, None) => {
                    insert(states, kind, State::Left(now));
                    Verdict::MayRefuse
                }
            };
            if self.passes && verdict == Verdict::Refuses {
                insert(states, kind, State::Refused);
            }
            verdict
        })
    }

    fn update<T>(&self, change: impl FnOnce(&mut HashMap<ClientKind, State>) -> T) -> T {
        change(&mut self.states.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Sets the state of a kind of client. Removes entries if there are too many, those that matter less first: without an
/// answer, the next client that leaves at once is taken for one that refuses; without a refusal, the next one fails.
fn insert(states: &mut HashMap<ClientKind, State>, kind: &ClientKind, state: State) {
    let retained: [fn(&State) -> bool; 3] =
        [|state| !matches!(state, State::Left(_)), |state| matches!(state, State::Refused), |_| false];
    for is_retained in retained {
        if states.len() >= MAX_ENTRIES {
            states.retain(|_, state| is_retained(state));
        }
    }
    states.insert(kind.clone(), state);
}

/// The time after the handshake within which a client that verifies our certificate then, such as Node or one on GnuTLS,
/// leaves. Timeouts are usually longer.
const AT_ONCE: Duration = Duration::from_millis(250);
/// Bounds the memory that a client with invented names can use.
const MAX_ENTRIES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::fingerprint::FingerprintParts;

    fn kind(host: &str, cipher_suites: &[u8]) -> ClientKind {
        let origin = Authority::from_connect_target(format!("{host}:443").as_bytes()).unwrap();
        let fingerprint = Fingerprint::new(&FingerprintParts { cipher_suites, ..FingerprintParts::default() });
        (origin, Some(host.to_owned()), fingerprint)
    }

    /// Judges connections of one kind in sequence; each begins after the previous one ended.
    fn verdicts(refusals: &Refusals, kind: &ClientKind, signs: &[Sign]) -> Vec<Verdict> {
        let mut now = Moment::now();
        let mut judge = |sign: &Sign| {
            let connected = now.plus(Duration::from_secs(1));
            now = connected.plus(Duration::from_secs(1));
            refusals.judge(kind, *sign, connected, now)
        };
        signs.iter().map(&mut judge).collect()
    }

    #[test]
    fn leaving_at_once_is_a_refusal_and_leaving_later_the_second_time() {
        use Sign::{AtOnce, CertificateAlert, Later};
        use Verdict::{MayRefuse, Refuses};
        for passes in [false, true] {
            for (signs, expected) in [
                (&[CertificateAlert][..], &[Refuses][..]),
                (&[AtOnce], &[Refuses]),
                (&[Later, Later, Later], &[MayRefuse, Refuses, Refuses]),
                (&[Later, AtOnce], &[MayRefuse, Refuses]),
            ] {
                let (refusals, kind) = (Refusals::new(passes), kind("a", b""));
                assert_eq!(verdicts(&refusals, &kind, signs), expected, "{signs:?}");
                assert_eq!(refusals.passes_through(&kind), passes, "{signs:?}");
            }
        }
    }

    #[test]
    fn a_client_leaves_at_once_within_a_quarter_of_a_second() {
        let connected = Moment::now();
        assert_eq!(Sign::of_leaving(connected, connected), Sign::AtOnce);
        assert_eq!(Sign::of_leaving(connected, connected.plus(Duration::from_millis(249))), Sign::AtOnce);
        assert_eq!(Sign::of_leaving(connected, connected.plus(Duration::from_millis(250))), Sign::Later);
    }

    #[test]
    fn a_client_that_left_later_once_does_not_pass_through() {
        let (refusals, kind) = (Refusals::new(true), kind("a", b""));
        assert_eq!(verdicts(&refusals, &kind, &[Sign::Later]), [Verdict::MayRefuse]);
        assert!(!refusals.passes_through(&kind));
    }

    #[test]
    fn after_an_answer_only_an_alert_about_the_certificate_is_a_refusal() {
        use Sign::{AtOnce, CertificateAlert, Later};
        use Verdict::{MayRefuse, Refuses, Trusts};
        let (refusals, kind) = (Refusals::new(false), kind("a", b""));
        assert_eq!(verdicts(&refusals, &kind, &[Later]), [MayRefuse]);
        refusals.add_answered(&kind);
        let signs = [Later, Later, AtOnce, CertificateAlert, Later];
        assert_eq!(verdicts(&refusals, &kind, &signs), [Trusts, Trusts, Trusts, Refuses, Trusts]);
    }

    #[test]
    fn a_kind_that_refused_passes_through_until_the_end() {
        let (refusals, kind) = (Refusals::new(true), kind("a", b""));
        refusals.add_answered(&kind);
        assert_eq!(verdicts(&refusals, &kind, &[Sign::CertificateAlert]), [Verdict::Refuses]);
        // Of a connection that was intercepted before.
        refusals.add_answered(&kind);
        assert!(refusals.passes_through(&kind));
        assert_eq!(verdicts(&refusals, &kind, &[Sign::Later, Sign::AtOnce]), [Verdict::Refuses, Verdict::Refuses]);
    }

    #[test]
    fn hosts_and_programs_are_independent() {
        let refusals = Refusals::new(true);
        refusals.add_answered(&kind("a", b"12"));
        for other in [kind("b", b"12"), kind("a", b"34")] {
            let signs = [Sign::Later, Sign::Later];
            assert_eq!(verdicts(&refusals, &other, &signs), [Verdict::MayRefuse, Verdict::Refuses]);
        }
        assert!(!refusals.passes_through(&kind("a", b"12")));
    }

    #[test]
    fn connections_that_are_left_together_count_once() {
        let (refusals, kind) = (Refusals::new(true), kind("a", b""));
        let connected = Moment::now();
        let later = |seconds| connected.plus(Duration::from_secs(seconds));
        for left in [5, 5, 6] {
            assert_eq!(refusals.judge(&kind, Sign::Later, connected, later(left)), Verdict::MayRefuse);
        }
        assert_eq!(refusals.judge(&kind, Sign::Later, later(6), later(7)), Verdict::Refuses);
    }

    #[test]
    fn memory_is_bounded_and_refusals_are_kept_longest_then_answers() {
        let refusals = Refusals::new(true);
        let now = Moment::now();
        let fill = |set: &dyn Fn(&ClientKind)| {
            for n in 0..2 * MAX_ENTRIES {
                set(&kind(&format!("host{n}"), b""));
                assert!(refusals.update(|states| states.len()) <= MAX_ENTRIES);
            }
        };
        refusals.add_answered(&kind("a", b""));
        refusals.judge(&kind("b", b""), Sign::AtOnce, now, now);
        fill(&|kind| _ = refusals.judge(kind, Sign::Later, now, now));
        assert_eq!(refusals.judge(&kind("a", b""), Sign::Later, now, now), Verdict::Trusts);
        fill(&|kind| refusals.add_answered(kind));
        assert!(refusals.passes_through(&kind("b", b"")));
        fill(&|kind| _ = refusals.judge(kind, Sign::AtOnce, now, now));
    }
}
