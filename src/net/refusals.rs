//! Decides which clients refuse our certificate. Some send an alert, some only close, some leave after they have sent a
//! request; a client that left for another reason looks the same.
//!
//! ```text
//!                        alert about the certificate   other alert   left before an answer
//! nothing known          refuses                       refuses       may refuse ─▶ left once
//! left once              refuses                       refuses       refuses
//! got an answer          refuses                       trusts us     trusts us
//! ```
//!
//! The state belongs to a host and a kind of client (the fingerprint of its ClientHello): one app may trust us while
//! another one pins its certificates.

use crate::clock::Moment;
use crate::wire::authority::Authority;
use crate::wire::fingerprint::Fingerprint;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// The clients of a capture, by what they made of our certificate.
#[derive(Default)]
pub(crate) struct Refusals(Mutex<HashMap<ClientKind, State>>);

/// A kind of client of one host: the origin that it asked for, the SNI that it sent, and its fingerprint.
pub(crate) type ClientKind = (Authority, Option<String>, Fingerprint);

/// The state of a kind of client.
#[derive(Clone, Copy, Debug)]
enum State {
    /// One left at this moment, before an answer.
    Left(Moment),
    /// One got an answer, so it accepted our certificate.
    Answered,
}

/// The way in which a client ended its connection before it got an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// With an alert about our certificate.
    CertificateAlert,
    /// With another alert during the handshake.
    Alert,
    /// It closed or reset the connection.
    Left,
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
    /// Notes that a client of this kind got an answer.
    pub(crate) fn add_answered(&self, kind: &ClientKind) {
        self.update(|states| {
            if !matches!(states.get(kind), Some(State::Answered)) {
                make_room(states);
                states.insert(kind.clone(), State::Answered);
            }
        });
    }

    /// Notes that a client of this kind ended a connection that began at `began`, and judges it.
    pub(crate) fn judge(&self, kind: &ClientKind, sign: Sign, began: Moment, now: Moment) -> Verdict {
        self.update(|states| match (sign, states.get(kind)) {
            (Sign::CertificateAlert, _) => Verdict::Refuses,
            (_, Some(State::Answered)) => Verdict::Trusts,
            (Sign::Alert, _) => Verdict::Refuses,
            // An app that is ended leaves all its connections at once. Only one that began after that counts again.
            (Sign::Left, Some(State::Left(at))) if began.since(*at).is_zero() => Verdict::MayRefuse,
            (Sign::Left, Some(State::Left(_))) => Verdict::Refuses,
            (Sign::Left, None) => {
                make_room(states);
                states.insert(kind.clone(), State::Left(now));
                Verdict::MayRefuse
            }
        })
    }

    fn update<T>(&self, change: impl FnOnce(&mut HashMap<ClientKind, State>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Removes entries if there are too many: those that matter less first.
fn make_room(states: &mut HashMap<ClientKind, State>) {
    if states.len() >= MAX_ENTRIES {
        states.retain(|_, state| matches!(state, State::Answered));
    }
    if states.len() >= MAX_ENTRIES {
        states.clear();
    }
}

/// Bounds the memory that a client with invented names can use.
const MAX_ENTRIES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn kind(host: &str, fingerprint: &[u8]) -> ClientKind {
        let origin = Authority::from_connect_target(format!("{host}:443").as_bytes()).unwrap();
        (origin, Some(host.to_owned()), Fingerprint::new(fingerprint, &[]))
    }

    /// Judges connections of one kind in sequence; each begins after the previous one ended.
    fn verdicts(refusals: &Refusals, kind: &ClientKind, signs: &[Sign]) -> Vec<Verdict> {
        let mut now = Moment::now();
        let mut judge = |sign: &Sign| {
            let began = now.plus(Duration::from_secs(1));
            now = began.plus(Duration::from_secs(1));
            refusals.judge(kind, *sign, began, now)
        };
        signs.iter().map(&mut judge).collect()
    }

    #[test]
    fn an_alert_is_a_refusal_at_once_and_leaving_the_second_time() {
        use Sign::{Alert, CertificateAlert, Left};
        use Verdict::{MayRefuse, Refuses};
        for (signs, expected) in [
            (&[CertificateAlert][..], &[Refuses][..]),
            (&[Alert], &[Refuses]),
            (&[Left, Left, Left], &[MayRefuse, Refuses, Refuses]),
            (&[Left, Alert], &[MayRefuse, Refuses]),
        ] {
            assert_eq!(verdicts(&Refusals::default(), &kind("a", b""), signs), expected, "{signs:?}");
        }
    }

    #[test]
    fn after_an_answer_only_an_alert_about_the_certificate_is_a_refusal() {
        use Sign::{Alert, CertificateAlert, Left};
        use Verdict::{MayRefuse, Refuses, Trusts};
        let (refusals, kind) = (Refusals::default(), kind("a", b""));
        assert_eq!(verdicts(&refusals, &kind, &[Left]), [MayRefuse]);
        refusals.add_answered(&kind);
        let signs = [Left, Left, Alert, CertificateAlert, Left];
        assert_eq!(verdicts(&refusals, &kind, &signs), [Trusts, Trusts, Trusts, Refuses, Trusts]);
    }

    #[test]
    fn hosts_and_programs_are_independent() {
        let refusals = Refusals::default();
        refusals.add_answered(&kind("a", b"12"));
        for other in [kind("b", b"12"), kind("a", b"34")] {
            let signs = [Sign::Left, Sign::Left];
            assert_eq!(verdicts(&refusals, &other, &signs), [Verdict::MayRefuse, Verdict::Refuses]);
        }
    }

    #[test]
    fn connections_that_are_left_together_count_once() {
        let (refusals, kind) = (Refusals::default(), kind("a", b""));
        let began = Moment::now();
        let later = |seconds| began.plus(Duration::from_secs(seconds));
        for left in [5, 5, 6] {
            assert_eq!(refusals.judge(&kind, Sign::Left, began, later(left)), Verdict::MayRefuse);
        }
        assert_eq!(refusals.judge(&kind, Sign::Left, later(6), later(7)), Verdict::Refuses);
    }

    #[test]
    fn memory_is_bounded_and_answers_are_kept_longest() {
        let refusals = Refusals::default();
        let now = Moment::now();
        refusals.add_answered(&kind("a", b""));
        for n in 0..2 * MAX_ENTRIES {
            refusals.judge(&kind(&format!("host{n}"), b""), Sign::Left, now, now);
            assert!(refusals.update(|states| states.len()) <= MAX_ENTRIES);
        }
        assert_eq!(refusals.judge(&kind("a", b""), Sign::Left, now, now), Verdict::Trusts);
        for n in 0..2 * MAX_ENTRIES {
            refusals.add_answered(&kind(&format!("host{n}"), b""));
            assert!(refusals.update(|states| states.len()) <= MAX_ENTRIES);
        }
    }
}
