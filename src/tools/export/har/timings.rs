//! The timing of an exchange in a HAR document.

use crate::bundle::reader::Timing;
use serde::Serialize;

/// Durations in milliseconds; -1 for phases that do not apply.
#[derive(Serialize)]
pub(super) struct HarTimings {
    blocked: f64,
    dns: f64,
    connect: f64,
    ssl: f64,
    send: f64,
    wait: f64,
    receive: f64,
}

impl HarTimings {
    /// `connect` includes `ssl`, as the specification requires. The rest of the total is `blocked`: the connection was
    /// idle.
    pub(super) fn new(timing: &Timing, is_tls: bool) -> Self {
        let or_unknown = |ms: f64, applies: bool| if applies { ms } else { -1.0 };
        let has_connected = timing.connect_ms > 0.0;
        let known =
            [timing.dns_ms, timing.connect_ms, timing.tls_ms, timing.send_ms, timing.wait_ms, timing.receive_ms];
        let rest = timing.total_ms - known.iter().sum::<f64>();
        Self {
            blocked: or_unknown(rest, rest >= MIN_BLOCKED_MS),
            dns: or_unknown(timing.dns_ms, timing.dns_ms > 0.0),
            connect: or_unknown(timing.connect_ms + timing.tls_ms, has_connected),
            ssl: or_unknown(timing.tls_ms, has_connected && (is_tls || timing.tls_ms > 0.0)),
            send: timing.send_ms,
            wait: timing.wait_ms,
            receive: timing.receive_ms,
        }
    }

    /// Sums the phases that apply. `connect` includes `ssl`.
    pub(super) fn sum(&self) -> f64 {
        [self.blocked, self.dns, self.connect, self.send, self.wait, self.receive].iter().filter(|ms| **ms > 0.0).sum()
    }
}

/// One microsecond. Smaller differences are rounding errors.
const MIN_BLOCKED_MS: f64 = 0.001;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timings_add_up() {
        let timing = |json: &str| serde_json::from_str::<Timing>(json).unwrap();
        let first =
            timing(r#"{"dns_ms":1,"connect_ms":2,"tls_ms":4,"send_ms":8,"wait_ms":16,"receive_ms":32,"total_ms":64}"#);
        let first = HarTimings::new(&first, true);
        assert_eq!((first.connect, first.ssl, first.blocked, first.sum()), (6.0, 4.0, 1.0, 64.0));
        let later = HarTimings::new(&timing(r#"{"send_ms":1,"wait_ms":2,"receive_ms":3,"total_ms":5}"#), true);
        assert_eq!([later.blocked, later.dns, later.connect, later.ssl], [-1.0; 4]);
        assert_eq!(later.sum(), 6.0);
        let plain = HarTimings::new(&timing(r#"{"connect_ms":2,"total_ms":2}"#), false);
        assert_eq!((plain.connect, plain.ssl, plain.dns, plain.sum()), (2.0, -1.0, -1.0, 2.0));
    }
}
