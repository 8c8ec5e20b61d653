//! Notices of a running capture, shown as they arrive.

use super::advice;
use super::screen::Screen;
use super::text::{count, escape, size};
use spectral_capture::Notice;

/// Shows a notice as one line. Exchanges and WebSockets are shown only if `is_verbose`.
pub(crate) fn show(screen: &Screen, notice: &Notice, is_verbose: bool) {
    let line = match notice {
        Notice::Exchange { method, url, status, size: bytes, total_ms, .. } if is_verbose => {
            format!(
                "{} {} {}  {}  {total_ms:.0} ms",
                screen.status_code(*status),
                escape(method),
                escape(url),
                size(*bytes)
            )
        }
        Notice::WebSocket { url, messages, .. } if is_verbose => {
            format!("ws  {}  {}", escape(url), count(*messages, "message"))
        }
        Notice::Domain { name } => escape(name).into_owned(),
        Notice::Uncaptured { host, reason } => {
            format!("not captured: {}: {}", escape(host), escape(&reason.to_string()))
        }
        // Shown even if quiet: an incomplete capture must not pass for a complete one.
        Notice::Warning(warning) => return screen.print(advice::warning_line(warning)),
        _ => return,
    };
    screen.traffic(line);
}
