//! `capture proxy` and `capture discover`: start, show progress, stop at a signal, print the summary.

use super::address::reachable;
use super::advice;
use super::args::CaptureOptions;
use super::domains;
use super::message::{fail, warning_line};
use super::notices;
use super::output::print;
use super::process;
use super::screen::Screen;
use super::startup;
use super::summary::{self, StartWarnings};
use super::text::{count, escaped_lines, shell_word, size};
use spectral_capture::{Config, Mode, Notice, Observer, Progress, Proxy, Summary};
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::Receiver;
use std::thread;

/// Captures, or discovers domains, until a signal arrives.
pub(crate) fn run(options: CaptureOptions) -> ExitCode {
    let CaptureOptions { mut config, quiet, verbose, json } = options;
    let signals = match process::receive_stop_signals() {
        Ok(signals) => signals,
        Err(message) => return fail(&message),
    };
    process::raise_descriptor_limit();
    process::survive_file_size_limit();
    let screen = Screen::new(quiet);
    let counts = Arc::<NoticeCounts>::default();
    let (observer_screen, observer_counts) = (screen.clone(), Arc::clone(&counts));
    config.on_notice = Observer::new(move |notice| {
        observer_counts.add(notice);
        notices::show(&observer_screen, notice, verbose);
    });
    let proxy = match Proxy::bind(config.clone()) {
        Ok(proxy) => proxy,
        Err(e) => return fail(&advice::error_line(&e)),
    };
    let output = match &config.mode {
        Mode::Capture { output } => Some(output.clone()),
        Mode::Discover => None,
    };
    let replaces = output.as_ref().is_some_and(|output| output.exists());
    let ca_cert = proxy.ca_cert().map(ToOwned::to_owned);
    let summary = match capture(&config, proxy, &screen, &counts, signals) {
        Ok(summary) => summary,
        Err(message) => return fail(&message),
    };
    let result = match output {
        Some(output) => Ok(report_capture(&summary, &config, &output, replaces, ca_cert.as_deref(), &screen)),
        None => report_domains(&summary, json, &screen).map(|()| ExitCode::SUCCESS),
    };
    screen.flush();
    result.unwrap_or_else(|message| fail(&message))
}

/// Runs the proxy until a signal arrives. A second signal skips the wait for open connections.
fn capture(
    config: &Config,
    proxy: Proxy,
    screen: &Screen,
    counts: &Arc<NoticeCounts>,
    signals: Receiver<()>,
) -> Result<Summary, String> {
    let banner = startup::warnings(config, proxy.addr(), &[]) + &banner(config, &proxy);
    if config.listen.port() == 0 && screen.is_quiet() {
        // With -q, this line is the only way to learn the port.
        screen.print(format!("{}\n", proxy.addr()));
    }
    let running = proxy.start().map_err(|e| advice::error_line(&e))?;
    screen.info(banner);
    let (gauge, counts, mode) = (running.gauge(), Arc::clone(counts), config.mode.clone());
    screen.show_status(move || counts.status(&mode, &gauge.read()));
    // Fails only if the handler is gone. Then no signal could end the capture, so it ends now.
    let _ = signals.recv();

    screen.hide_status();
    if screen.is_terminal() {
        // Ends the line with the terminal's ^C.
        screen.info("\n".into());
    }
    let force_stop = running.force_stop();
    let waiter = thread::Builder::new().name("force-stop".into()).spawn(move || {
        if signals.recv().is_ok() {
            force_stop.now();
        }
    });
    if let Err(e) = waiter {
        screen.print(warning_line(&format!("cannot start a thread: {e}; a second signal will have no effect")));
    }
    Ok(running.stop())
}

/// Shows the summary of a capture. The exit code is 0 if the bundle is complete.
fn report_capture(
    summary: &Summary,
    config: &Config,
    output: &Path,
    replaces: bool,
    ca_cert: Option<&Path>,
    screen: &Screen,
) -> ExitCode {
    screen.info(summary::of_capture(summary, config, output, replaces, ca_cert));
    screen.print(summary::warning_lines(summary, StartWarnings::Shown));
    if summary::is_complete(summary) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints the domains to stdout, as a table or as JSON. Everything else goes to stderr.
fn report_domains(summary: &Summary, json: bool, screen: &Screen) -> Result<(), String> {
    // On a terminal, the table follows the messages so far.
    screen.flush();
    let text = if json { domains::json_lines(summary) } else { domains::table(summary) };
    print(text, &mut io::stdout().lock())?;
    if !json {
        screen.info(domains::capture_hint(summary));
    }
    Ok(())
}

/// Counts of notices, for the status line.
#[derive(Default)]
struct NoticeCounts {
    exchanges: AtomicU64,
    /// Exchanges that were cut off.
    cut_off: AtomicU64,
    websockets: AtomicU64,
    domains: AtomicU64,
}

impl NoticeCounts {
    fn add(&self, notice: &Notice) {
        if let Notice::Exchange { cut_off: Some(_), .. } = notice {
            self.cut_off.fetch_add(1, Relaxed);
        }
        let count = match notice {
            Notice::Exchange { .. } => &self.exchanges,
            Notice::WebSocket { .. } => &self.websockets,
            Notice::Domain { .. } => &self.domains,
            _ => return,
        };
        count.fetch_add(1, Relaxed);
    }

    /// Returns the text of the status line.
    fn status(&self, mode: &Mode, progress: &Progress) -> String {
        let Progress { open, bytes, bundle, .. } = progress;
        let relayed = format!("{} relayed, {open} open", size(*bytes));
        let cut_off = match self.cut_off.load(Relaxed) {
            0 => String::new(),
            cut_off => format!(" ({cut_off} cut off)"),
        };
        match mode {
            Mode::Discover => format!("{}, {relayed}", count(self.domains.load(Relaxed), "domain")),
            Mode::Capture { .. } => format!(
                "{}{cut_off}, {}, {relayed}, bundle {}",
                count(self.exchanges.load(Relaxed), "exchange"),
                count(self.websockets.load(Relaxed), "WebSocket"),
                size(*bundle)
            ),
        }
    }
}

/// Returns the instructions for using the proxy.
fn banner(config: &Config, proxy: &Proxy) -> String {
    let addr = proxy.addr();
    let url = format!("http://{}", reachable(addr));
    // Some programs, such as curl, read only the lower-case http_proxy.
    let export = format!("  export HTTPS_PROXY={url} HTTP_PROXY={url} http_proxy={url}");
    let mut lines = Vec::new();
    match &config.mode {
        Mode::Discover => {
            lines.push(format!("Discovering domains on {addr}; nothing is decrypted. Press Ctrl+C to stop."));
            lines.push(String::new());
            lines.push(export);
        }
        Mode::Capture { output } => {
            let patterns = |patterns: &[_]| patterns.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let mut domains = if config.include.is_empty() { "all".to_owned() } else { patterns(&config.include) };
            if !config.exclude.is_empty() {
                domains.push_str(&format!("; except {}", patterns(&config.exclude)));
            }
            let ca = proxy.ca_cert().map(|path| path.display().to_string()).unwrap_or_default();
            lines.push(format!("Capturing on {addr}. Press Ctrl+C to stop and write the bundle."));
            lines.push(format!("  domains  {domains}"));
            lines.push(format!("  output   {}", summary::output_line(config, output)));
            lines.push(format!("  CA       {ca}"));
            lines.push(String::new());
            lines.push(export);
            lines.push(format!("  curl --cacert {} https://…", shell_word(&ca)));
        }
    }
    lines.push(String::new());
    escaped_lines(&lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use spectral_capture::{CutOff, CutOffCause, CutOffSide};

    #[test]
    fn the_status_line_counts_what_was_cut_off() {
        let counts = NoticeCounts::default();
        let mode = Mode::Capture { output: "a.zip".into() };
        let cut_off = CutOff { side: CutOffSide::Response, why: CutOffCause::Reset };
        for (cut_off, expected) in [
            (None, "1 exchange, 0 WebSockets, "),
            (Some(cut_off), "2 exchanges (1 cut off), 0 WebSockets, "),
            (Some(cut_off), "3 exchanges (2 cut off), 0 WebSockets, "),
        ] {
            let (id, method, url) = ("t_0001".into(), "GET".into(), "http://a/".into());
            let (status, no_response, size, total_ms) = (200, None, 1, 1.0);
            counts.add(&Notice::Exchange { id, method, url, status, no_response, size, total_ms, cut_off });
            let status = counts.status(&mode, &Progress::default());
            assert!(status.starts_with(expected), "{status}");
        }
    }
}
