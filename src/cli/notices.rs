//! Notices of a running capture, shown as they arrive.

use super::advice;
use super::screen::Screen;
use super::text::{count, duration, escape, size};
use spectral_capture::{Notice, Reason, Warning};
use std::mem::discriminant;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The warnings that were shown as they arrived.
#[derive(Clone, Default)]
pub(crate) struct ShownWarnings(Arc<Mutex<Shown>>);

#[derive(Default)]
struct Shown {
    /// Up to [`MAX_SHOWN_WARNINGS`].
    warnings: Vec<Warning>,
    count: u64,
}

impl ShownWarnings {
    fn lock(&self) -> MutexGuard<'_, Shown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, warning: &Warning) {
        let mut shown = self.lock();
        shown.count = shown.count.saturating_add(1);
        if shown.warnings.len() < MAX_SHOWN_WARNINGS && !shown.warnings.contains(warning) {
            shown.warnings.push(warning.clone());
        }
    }

    /// Returns the number of warnings that were shown.
    pub(crate) fn count(&self) -> u64 {
        self.lock().count
    }

    /// Returns true if a warning was shown that differs from `warning` in its number only, and the summary has that number.
    pub(crate) fn contains_earlier(&self, warning: &Warning) -> bool {
        let is_in_summary = matches!(
            warning,
            Warning::WriteFailed { .. } | Warning::BodyTruncated { .. } | Warning::LostToPanic { .. }
        );
        is_in_summary && self.lock().warnings.iter().any(|shown| discriminant(shown) == discriminant(warning))
    }

    /// Returns true if `warning` was shown.
    pub(crate) fn contains(&self, warning: &Warning) -> bool {
        let Shown { warnings: shown, .. } = &*self.lock();
        shown.contains(warning)
            // The other capture may have begun or ended meanwhile.
            || match warning.clone() {
                Warning::Leftover { path, .. } => shown.contains(&Warning::OutputShared { path }),
                Warning::OutputShared { path, .. } => shown.contains(&Warning::Leftover { path }),
                _ => false,
            }
    }
}

/// A capture that rotates for days may have a warning for each bundle. Later ones appear twice: also at the end.
const MAX_SHOWN_WARNINGS: usize = 1000;

/// Shows a notice. Exchanges and WebSockets are shown only if `is_verbose`.
pub(crate) fn show(screen: &Screen, notice: &Notice, is_verbose: bool, shown: &ShownWarnings) {
    match notice {
        // Shown even if quiet: an incomplete capture must not pass for a complete one.
        Notice::Warning(warning) => {
            shown.add(warning);
            screen.print(advice::warning_line(warning));
        }
        Notice::Exchange { .. } | Notice::WebSocket { .. } if !is_verbose => {}
        _ => {
            if let Some(line) = line(notice, |status| screen.status_code(status)) {
                screen.traffic(line);
            }
        }
    }
}

/// Returns a notice about traffic as one line, or `None` for other notices. `status_code` formats the status of a
/// response.
fn line(notice: &Notice, status_code: impl Fn(u16) -> String) -> Option<String> {
    match notice {
        Notice::Exchange { method, url, status, no_response, size: bytes, total_ms, cut_off, .. } => Some(format!(
            "{} {} {}  {}  {}{}{}",
            status_code(*status),
            escape(method),
            escape(url),
            size(*bytes),
            duration(*total_ms),
            no_response.as_ref().map(|why| format!("  (no response: {})", escape(why))).unwrap_or_default(),
            cut_off.map(|part| format!("  (cut off: {part})")).unwrap_or_default()
        )),
        Notice::WebSocket { url, messages, cut_off, .. } => Some(format!(
            "ws  {}  {}{}",
            escape(url),
            count(*messages, "message"),
            cut_off.map(|cause| format!("  (no close frame: {cause})")).unwrap_or_default()
        )),
        Notice::BundleFinished { path, exchanges, websockets, messages, .. } => Some(format!(
            "bundle {} finished: {}, {}, {}",
            escape(&path.display().to_string()),
            count(*exchanges, "exchange"),
            count(*websockets, "WebSocket"),
            count(*messages, "message")
        )),
        Notice::BundleDeleted { path } => {
            Some(format!("bundle {} deleted (--keep)", escape(&path.display().to_string())))
        }
        Notice::Domain { name } => Some(escape(name).into_owned()),
        Notice::Uncaptured { host, reason: Reason::NotMatched } => {
            Some(format!("passed through: {}: excluded by -d or -e", escape(host)))
        }
        Notice::Uncaptured { host, reason: Reason::ExchangeExcluded } => {
            Some(format!("passed through: {}: excluded by -e, on a connection to another host", escape(host)))
        }
        // Captured, and common: only the summary lists it.
        Notice::Uncaptured { reason: Reason::Http3Offered, .. } => None,
        // It was captured.
        Notice::Uncaptured { host, reason: reason @ Reason::MayNeedClientCertificate } => {
            Some(format!("{}: {}", escape(host), escape(&reason.to_string())))
        }
        Notice::Uncaptured { host, reason } => {
            Some(format!("not captured: {}: {}", escape(host), escape(&reason.to_string())))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spectral_capture::{CutOff, CutOffCause, CutOffSide};

    #[test]
    fn each_notice_about_traffic_is_one_escaped_line() {
        let websocket = |messages| {
            let (id, url) = ("ws_0001".into(), "ws://a/\x1b".into());
            Notice::WebSocket { id, url, messages, cut_off: None }
        };
        let exchange = |cut_off| Notice::Exchange {
            id: "t_0001".into(),
            method: "GET".into(),
            url: "http://a/\n".into(),
            status: 200,
            no_response: None,
            size: 1,
            total_ms: 2.6,
            cut_off,
        };
        let unanswered = Notice::Exchange {
            id: "t_0001".into(),
            method: "GET".into(),
            url: "http://a/".into(),
            status: 0,
            no_response: Some("client reset the stream (CANCEL)".into()),
            size: 0,
            total_ms: 2.6,
            cut_off: Some(CutOff::new(CutOffSide::Request, CutOffCause::Cancelled)),
        };
        let uncaptured = |reason| Notice::Uncaptured { host: "a:443\x1b".into(), reason };
        for (notice, expected) in [
            (exchange(None), "200 GET http://a/\\n  1 B  2.6 ms"),
            (
                exchange(Some(CutOff::new(CutOffSide::Response, CutOffCause::Cancelled))),
                "200 GET http://a/\\n  1 B  2.6 ms  (cut off: response cancelled by the client)",
            ),
            (
                unanswered,
                "0 GET http://a/  0 B  2.6 ms  (no response: client reset the stream (CANCEL))  (cut off: request cancelled by the client)",
            ),
            (websocket(1), "ws  ws://a/\\x1b  1 message"),
            (websocket(2), "ws  ws://a/\\x1b  2 messages"),
            (Notice::Domain { name: "a.test".into() }, "a.test"),
            (
                Notice::BundleFinished { path: "a-0001.zip".into(), exchanges: 1, websockets: 2, messages: 3 },
                "bundle a-0001.zip finished: 1 exchange, 2 WebSockets, 3 messages",
            ),
            (Notice::BundleDeleted { path: "a-0001.zip".into() }, "bundle a-0001.zip deleted (--keep)"),
            (uncaptured(Reason::NotHttp), &format!("not captured: a:443\\x1b: {}", Reason::NotHttp)),
            (
                uncaptured(Reason::MayNeedClientCertificate),
                &format!("a:443\\x1b: {}", Reason::MayNeedClientCertificate),
            ),
            (uncaptured(Reason::NotMatched), "passed through: a:443\\x1b: excluded by -d or -e"),
            (
                uncaptured(Reason::ExchangeExcluded),
                "passed through: a:443\\x1b: excluded by -e, on a connection to another host",
            ),
        ] {
            assert_eq!(line(&notice, |status| status.to_string()).as_deref(), Some(expected));
        }
        assert_eq!(line(&uncaptured(Reason::Http3Offered), |status| status.to_string()), None);
    }
}
