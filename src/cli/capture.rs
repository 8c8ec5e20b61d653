//! `capture proxy` and `capture discover`: start, show progress, stop at a signal or a limit, print the summary.
//!
//! ```text
//! signals ─▶ thread ─▶ Event ─▶ main thread ─▶ stop, or print a summary so far
//!                                 └─ between events: --stop-after, --log-every
//! ```

use super::address::{reachable, reachable_by_others};
use super::advice::{self, Client};
use super::args::CaptureOptions;
use super::backups;
use super::credentials;
use super::domains;
use super::ending::{self, Event};
use super::message::{error_line, fail};
use super::notices::{self, ShownWarnings};
use super::output::print;
use super::process;
use super::progress;
use super::screen::Screen;
use super::startup;
use super::stop_after::StopAfter;
use super::summary;
use super::text::{escaped_lines, shell_word};
use super::upstream::Selected;
use spectral_capture::channel::{Receiver, RecvTimeoutError, Sender, channel};
use spectral_capture::{Config, Credentials, Environment, Gauge, Observer, Proxy, Running, Summary};
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

/// Captures, or discovers domains, until a signal arrives or a limit is reached.
pub(crate) fn run(options: CaptureOptions) -> ExitCode {
    let CaptureOptions {
        mut config,
        upstream,
        quiet,
        verbose,
        json,
        log_every,
        stop_after,
        auth_file,
        keep_backups,
        ..
    } = options;
    config.auth = match auth(auth_file.as_deref()) {
        Ok(credentials) => credentials,
        Err(message) => return fail(&message),
    };
    if config.capture_options().is_some() {
        startup::read_key_log_variable(&mut config);
    }
    let signals = match process::prepare_for_service() {
        Ok(signals) => signals,
        Err(message) => return fail(&message),
    };
    let upstream = match Selected::new(&upstream, &Environment::current()) {
        Ok(upstream) => upstream,
        Err(message) => return fail(&message),
    };
    config.upstream_proxies = upstream.proxies.clone();
    let screen = Screen::new(quiet);
    let observer_screen = screen.clone();
    let shown = ShownWarnings::default();
    let observer_shown = shown.clone();
    config.on_notice = Observer::new(move |notice| notices::show(&observer_screen, notice, verbose, &observer_shown));
    let (sender, events) = channel();
    let signal_sender = sender.clone();
    let forward = move || {
        signals.receive_all(|signal| {
            let event = if signal.requests_summary() { Event::ShowSummary } else { Event::Stop };
            // Fails once the capture is over and the receiver is dropped.
            let _ = signal_sender.send(event);
        });
    };
    if let Err(e) = thread::Builder::new().name("signals".into()).spawn(forward) {
        return fail(&format!("cannot start a thread: {e}"));
    }
    let proxy = match Proxy::bind(config.clone()) {
        Ok(proxy) => proxy,
        Err(e) => return fail(&advice::error_line(&e)),
    };
    let output = config.capture_options().and_then(|capture| capture.output.path()).map(Path::to_owned);
    let ca_cert = proxy.ca_cert().map(ToOwned::to_owned);
    let exposed = auth_file.as_deref().and_then(startup::exposed_secret);
    let session = Session { config, upstream, ca_cert, screen, log_every, stop_after, exposed };
    let summary = match session.start(proxy) {
        Ok(running) => session.run(running, &events, sender),
        Err(message) => return fail(&message),
    };
    let Session { config, ca_cert, screen, .. } = session;
    let result = match (summary, output) {
        (None, _) => Ok(ExitCode::FAILURE),
        (Some(summary), Some(output)) => {
            Ok(report_capture(&summary, &config, &output, keep_backups, ca_cert.as_deref(), &screen, &shown))
        }
        (Some(summary), None) => report_domains(&summary, &config, json, &screen).map(|()| ExitCode::SUCCESS),
    };
    screen.flush();
    result.unwrap_or_else(|message| fail(&message))
}

/// Returns the user and password that clients must send.
fn auth(file: Option<&Path>) -> Result<Option<Credentials>, String> {
    let auth = credentials::read(file, AUTH_VARIABLE)?;
    if auth.as_ref().is_some_and(|auth| !auth.has_password()) {
        // It usually comes from an unset variable in a script.
        let source = file.map_or_else(|| AUTH_VARIABLE.to_owned(), |file| file.display().to_string());
        return Err(format!("the password in {source} is empty"));
    }
    Ok(auth)
}

/// The environment variable with the user and password that clients must send.
const AUTH_VARIABLE: &str = "SPECTRAL_AUTH";

/// A capture and the way it is shown.
struct Session {
    config: Config,
    upstream: Selected,
    ca_cert: Option<PathBuf>,
    screen: Screen,
    /// The interval of the lines that show the progress.
    log_every: Option<Duration>,
    /// The first limit that is reached ends the capture.
    stop_after: Vec<StopAfter>,
    /// The text of a warning about the file with the password.
    exposed: Option<String>,
}

impl Session {
    fn start(&self, proxy: Proxy) -> Result<Running, String> {
        let mut upstream = self.upstream.in_use(&proxy)?;
        upstream.warnings.extend(self.exposed.clone());
        upstream.warnings.extend(proxy.ca_exposures().iter().map(advice::ca_exposure));
        let warnings = startup::warnings(&self.config, proxy.addr(), &upstream.warnings);
        let banner = banner(&self.config, &proxy, upstream.line, &self.stop_after);
        if self.config.listen.port() == 0 && self.screen.is_quiet() {
            // With -q, this line is the only way to learn the port.
            self.screen.print(format!("{}\n", proxy.addr()));
        }
        let running = proxy.start().map_err(|e| advice::error_line(&e))?;
        if !warnings.is_empty() {
            self.screen.print(warnings);
        }
        self.screen.info(banner);
        Ok(running)
    }

    /// Waits for the end of the capture and returns its summary, if it could be ended.
    fn run(&self, running: Running, events: &Receiver<Event>, sender: Sender<Event>) -> Option<Summary> {
        let gauge = running.gauge();
        let (status_gauge, mode) = (gauge.clone(), self.config.mode.clone());
        self.screen.show_status(move || progress::status(&mode, &status_gauge.read()));
        self.wait_for_end(&gauge, events);
        self.screen.hide_status();
        if self.screen.is_terminal() {
            // Ends the line with the terminal's ^C.
            self.screen.info("\n".into());
        }
        ending::stop(running, events, sender, &self.screen, || self.show_summary(&gauge))
    }

    /// Returns when a signal or a limit ends the capture.
    fn wait_for_end(&self, gauge: &Gauge, events: &Receiver<Event>) {
        let mut next_log = self.log_every;
        loop {
            let progress = gauge.read();
            if let Some(limit) = self.stop_after.iter().find(|limit| limit.is_reached(&progress)) {
                self.screen.info(format!("Stopping {limit}\n"));
                return;
            }
            if let (Some(due), Some(interval)) = (&mut next_log, self.log_every)
                && progress.elapsed >= *due
            {
                self.screen.report(progress::log_line(&self.config.mode, &progress) + "\n");
                // After the machine was suspended, one line stands for those that were missed.
                *due = due.saturating_add(interval).max(progress.elapsed);
            }
            let log_in = next_log.map(|due| due.saturating_sub(progress.elapsed));
            let check_in = self.stop_after.iter().map(|limit| limit.check_after(&progress));
            let event = match check_in.chain(log_in).min() {
                Some(timeout) => events.recv_timeout(timeout),
                None => events.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match event {
                Ok(Event::ShowSummary) => self.show_summary(gauge),
                Err(RecvTimeoutError::Timeout) => {}
                // Without senders, no signal could end the capture.
                Ok(Event::Stop | Event::Ended(_)) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Shows the summary so far on stderr.
    fn show_summary(&self, gauge: &Gauge) {
        let (summary, progress) = (gauge.summary_so_far(), gauge.read());
        let text = match self.config.capture_options() {
            None => domains::so_far(&summary, &progress) + &summary::of_discovery(&summary, &self.config),
            Some(_) => {
                let part = gauge.unfinished_bundle();
                summary::so_far(&summary, &progress, &self.config, part.as_deref(), self.ca_cert.as_deref())
            }
        };
        self.screen.report(text);
    }
}

/// Shows the summary of a capture. The exit code is 0 if the bundle is complete.
fn report_capture(
    summary: &Summary,
    config: &Config,
    output: &Path,
    keep_backups: Option<NonZeroU32>,
    ca_cert: Option<&Path>,
    screen: &Screen,
    shown: &ShownWarnings,
) -> ExitCode {
    let backups = backups::of_capture(summary, keep_backups);
    screen.info(summary::of_capture(summary, Client::App, config, output, backups, ca_cert, shown));
    screen.info(summary::hint(summary, Client::App).into());
    screen.print(summary::warning_lines(summary, shown, screen.is_quiet()));
    // Also if quiet: an earlier bundle must not pass for a new one.
    screen.print(summary::not_replaced(summary).map(|problem| error_line(&problem)).unwrap_or_default());
    if summary::is_complete(summary) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints the domains to stdout, as a table or as JSON. Everything else goes to stderr.
fn report_domains(summary: &Summary, config: &Config, json: bool, screen: &Screen) -> Result<(), String> {
    // On a terminal, the table follows the messages so far.
    screen.flush();
    let text = if json { domains::json_lines(summary) } else { domains::table(summary) };
    print(text, &mut io::stdout().lock())?;
    screen.info(summary::of_discovery(summary, config));
    if !json {
        screen.info(domains::capture_hint(summary, Client::App));
    }
    Ok(())
}

/// Returns the instructions for using the proxy.
fn banner(config: &Config, proxy: &Proxy, upstream: Option<String>, stop_after: &[StopAfter]) -> String {
    let addr = proxy.addr();
    // The password itself is not shown.
    let login = if config.auth.is_some() { "USER:PASSWORD@" } else { "" };
    let url = format!("http://{login}{}", reachable(addr));
    // Some programs, such as curl, read only the lower-case http_proxy.
    let export = format!("  export HTTPS_PROXY={url} HTTP_PROXY={url} http_proxy={url}");
    let socks = format!("  SOCKS5   socks5h://{login}{} (the same port)", reachable(addr));
    let access =
        [others_line(addr), config.auth.is_some().then(|| "  access   with the user and password only".into())];
    let limits: Vec<_> = stop_after.iter().map(ToString::to_string).collect();
    let limits = (!limits.is_empty()).then(|| format!("  stops    {}", limits.join(", or ")));
    let upstream = upstream.map(|proxies| format!("  upstream {proxies}"));
    let mut lines = Vec::new();
    match config.capture_options() {
        None => {
            lines.push(format!("Discovering domains on {addr}; nothing is decrypted. Press Ctrl+C to stop."));
            lines.push(socks);
            lines.extend(access.into_iter().flatten());
            lines.extend(upstream);
            lines.extend(limits);
            lines.push(String::new());
            lines.push(export);
        }
        Some(capture) => {
            let output = capture.output.path().unwrap_or(Path::new(""));
            let patterns = |patterns: &[_]| patterns.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let mut domains = if capture.include.is_empty() { "all".to_owned() } else { patterns(&capture.include) };
            if !capture.exclude.is_empty() {
                domains.push_str(&format!("; except {}", patterns(&capture.exclude)));
            }
            let ca = proxy.ca_cert().map(|path| path.display().to_string()).unwrap_or_default();
            lines.push(format!("Capturing on {addr}. Press Ctrl+C to stop and write the bundle."));
            lines.push(format!("  domains  {domains}"));
            lines.push(format!("  output   {}", summary::output_line(config, output)));
            lines.push(format!("  CA       {ca}"));
            lines.extend(startup::identities(config));
            lines.push(socks);
            lines.extend(access.into_iter().flatten());
            lines.extend(upstream);
            lines.extend(limits);
            lines.push(String::new());
            lines.push(export);
            lines.push(format!("  curl --cacert {} https://…", shell_word(&ca)));
        }
    }
    lines.push(String::new());
    escaped_lines(&lines)
}

/// Returns the line with the addresses at which other machines may reach the proxy.
fn others_line(listening: SocketAddr) -> Option<String> {
    let addresses = reachable_by_others(listening);
    let mut shown: Vec<_> = addresses.iter().take(MAX_LISTED_ADDRESSES).map(ToString::to_string).collect();
    if addresses.len() > shown.len() {
        shown.push(format!("and {} more", addresses.len() - shown.len()));
    }
    (!shown.is_empty()).then(|| format!("  others   reach it at {}", shown.join(", ")))
}

/// A machine with containers has many addresses.
const MAX_LISTED_ADDRESSES: usize = 6;
