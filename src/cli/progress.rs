//! The progress of a capture as one line, for the status line and for `--log-every`.

use super::text::{count, date, size};
use spectral_capture::{Mode, Progress};

/// Returns the counts so far: `12 exchanges, 0 WebSockets, 1.2 MB relayed, 3 open, bundle 400 kB`.
pub(crate) fn status(mode: &Mode, progress: &Progress) -> String {
    let relayed = format!("{} relayed, {} open", size(progress.bytes), progress.open);
    let cut_off = match progress.cut_off_exchanges {
        0 => String::new(),
        cut_off => format!(" ({cut_off} cut off)"),
    };
    match mode {
        Mode::Discover(_) => format!("{}, {relayed}", count(progress.domains as u64, "domain")),
        _ => format!(
            "{}{cut_off}, {}, {relayed}, bundle {}",
            count(progress.exchanges, "exchange"),
            count(progress.websockets, "WebSocket"),
            size(progress.bundle)
        ),
    }
}

/// Returns the line of `--log-every`: the time and the counts so far.
pub(crate) fn log_line(mode: &Mode, progress: &Progress) -> String {
    format!("{}: {}", date(progress.epoch_ms), status(mode, progress))
}

#[cfg(test)]
mod tests {
    use super::*;
    use spectral_capture::Config;

    #[test]
    fn counts_what_was_cut_off() {
        let mode = Config::capture("a.zip").mode;
        let mut progress = Progress::default();
        for (exchanges, cut_off, expected) in [
            (1, 0, "1 exchange, 0 WebSockets, 0 B relayed, 0 open, bundle 0 B"),
            (2, 1, "2 exchanges (1 cut off), 0 WebSockets, 0 B relayed, 0 open, bundle 0 B"),
        ] {
            (progress.exchanges, progress.cut_off_exchanges) = (exchanges, cut_off);
            assert_eq!(status(&mode, &progress), expected);
        }
        progress.domains = 2;
        let discovery = Config::discover().mode;
        assert_eq!(status(&discovery, &progress), "2 domains, 0 B relayed, 0 open");
        progress.epoch_ms = 1_795_338_410_216;
        let expected = "2026-11-22 09:06:50.216 UTC: 2 domains, 0 B relayed, 0 open";
        assert_eq!(log_line(&discovery, &progress), expected);
    }
}
