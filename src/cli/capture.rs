//! `capture proxy` and `capture discover`: start, show what happens, stop at a signal, sum up.

use super::address::reachable;
use super::advice;
use super::args::Options;
use super::message::fail;
use super::screen::Screen;
use super::text::{count, escape, shell_word, size};
use super::{process, summary};
use spectral_capture::{Config, Mode, Notice, Observer, Progress, Proxy};
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::Receiver;
use std::thread;

/// Captures until a signal comes.
pub(crate) fn run(options: Options) -> ExitCode {
    let Options { mut config, quiet, verbose, json } = options;
    let signals = match process::receive_stop_signals() {
        Ok(signals) => signals,
        Err(what) => return fail(&what),
    };
    process::raise_descriptor_limit();
    process::survive_file_size_limit();
    let (screen, written) = Screen::new(quiet);
    let (live, seen) = (screen.clone(), Arc::<Seen>::default());
    let counts = Arc::clone(&seen);
    config.on_notice = Observer::new(move |notice| {
        counts.add(notice);
        show(&live, notice, verbose);
    });
    let code = match Proxy::bind(config.clone()) {
        Ok(proxy) => capture(config, proxy, &screen, &seen, json, signals),
        Err(e) => return fail(&advice::error_line(&e)),
    };
    drop(screen);
    written.wait();
    code
}

/// The capture itself. When it returns, nobody holds the screen but who called it.
fn capture(
    config: Config,
    proxy: Proxy,
    screen: &Screen,
    seen: &Arc<Seen>,
    json: bool,
    signals: Receiver<()>,
) -> ExitCode {
    let banner = banner(&config, &proxy);
    let replaces = matches!(&config.mode, Mode::Capture { output } if output.exists());
    if config.listen.port() == 0 && screen.is_quiet() {
        // Nobody could know it otherwise.
        screen.complain(format!("{}\n", proxy.addr()));
    }
    let ca_cert = proxy.ca_cert().map(ToOwned::to_owned);
    let running = match proxy.start() {
        Ok(running) => running,
        Err(e) => return fail(&advice::error_line(&e)),
    };
    screen.say(banner);
    let (gauge, counts, mode) = (running.gauge(), Arc::clone(seen), config.mode.clone());
    screen.status(move || counts.status(&mode, &gauge.read()));
    // Ends only if the handler is gone, and then nothing could ever end the capture: end it.
    let _ = signals.recv();

    screen.no_status();
    if screen.is_terminal() {
        // After the ^C that the terminal shows.
        screen.say("\n".into());
    }
    let force_stop = running.force_stop();
    let forced = thread::Builder::new().name("force-stop".into()).spawn(move || {
        if signals.recv().is_ok() {
            force_stop.now();
        }
    });
    if let Err(e) = forced {
        screen.complain(format!("spectral: a second signal will not be noticed: {e}\n"));
    }
    let summed = running.stop();
    match &config.mode {
        Mode::Discover if json => {
            if let Err(e) = summary::domains_as_json(&summed, &mut io::stdout().lock())
                && e.kind() != io::ErrorKind::BrokenPipe
            {
                return fail(&format!("cannot write: {e}"));
            }
        }
        Mode::Discover => screen.say(summary::of_domains(&summed)),
        Mode::Capture { output } => {
            screen.say(summary::of_capture(&summed, output, replaces, ca_cert.as_deref()));
            for warning in &summed.warnings {
                screen.complain(advice::warning_line(warning));
            }
            if summed.bundle.is_none() || summed.lost > 0 || summed.truncated > 0 {
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

/// What was told so far.
#[derive(Default)]
struct Seen {
    exchanges: AtomicU64,
    sockets: AtomicU64,
    domains: AtomicU64,
}

impl Seen {
    fn add(&self, notice: &Notice) {
        let count = match notice {
            Notice::Exchange { .. } => &self.exchanges,
            Notice::WebSocket { .. } => &self.sockets,
            Notice::Domain { .. } => &self.domains,
            _ => return,
        };
        count.fetch_add(1, Relaxed);
    }

    /// What a person who looks on wants to know, on less than a line.
    fn status(&self, mode: &Mode, progress: &Progress) -> String {
        let Progress { open, bytes, bundle, .. } = progress;
        let passed = format!("{} passed, {open} open", size(*bytes));
        match mode {
            Mode::Discover => format!("{}, {passed}", count(self.domains.load(Relaxed), "domain")),
            Mode::Capture { .. } => format!(
                "{}, {}, {passed}, bundle {}",
                count(self.exchanges.load(Relaxed), "exchange"),
                count(self.sockets.load(Relaxed), "socket"),
                size(*bundle)
            ),
        }
    }
}

/// One line for what just happened. Lines for each exchange are for those who ask; what is not captured is for all.
pub(super) fn show(screen: &Screen, notice: &Notice, each_exchange: bool) {
    let line = match notice {
        Notice::Exchange { method, url, status, size: bytes, total_ms, .. } if each_exchange => {
            format!(
                "{} {} {}  {}  {total_ms:.0} ms",
                screen.status_code(*status),
                escape(method),
                escape(url),
                size(*bytes)
            )
        }
        Notice::WebSocket { url, messages, .. } if each_exchange => {
            format!("ws  {}  {messages} messages", escape(url))
        }
        Notice::Domain { name } => escape(name).into_owned(),
        Notice::Uncaptured { host, reason } => {
            format!("not captured: {}: {}", escape(host), escape(&reason.to_string()))
        }
        // In any case: a capture that is short of what it says must not be so in silence.
        Notice::Warning(warning) => return screen.complain(advice::warning_line(warning)),
        _ => return,
    };
    screen.line(line);
}

/// What one needs to know to use the proxy.
fn banner(config: &Config, proxy: &Proxy) -> String {
    let addr = proxy.addr();
    // Some programs read only the one in lower case, for plain http.
    let url = format!("http://{}", reachable(addr));
    let mut lines = Vec::new();
    if !addr.ip().to_canonical().is_loopback() {
        lines.push(format!("Warning: anyone who reaches {addr} can use this proxy."));
    }
    match &config.mode {
        Mode::Discover => {
            lines.push(format!("Discovering domains on {addr}. Everything passes through unread. Ctrl+C ends it."));
            lines.push(String::new());
            lines.push(format!("  export HTTPS_PROXY={url} HTTP_PROXY={url} http_proxy={url}"));
        }
        Mode::Capture { output } => {
            let patterns = |patterns: &[_]| patterns.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            let mut domains = if config.include.is_empty() { "all".to_owned() } else { patterns(&config.include) };
            if !config.exclude.is_empty() {
                domains.push_str(&format!(", but {}", patterns(&config.exclude)));
            }
            let ca = proxy.ca_cert().map(|path| path.display().to_string()).unwrap_or_default();
            lines.push(format!("Capturing on {addr}. Ctrl+C ends it and writes the bundle."));
            lines.push(format!("  domains  {domains}"));
            lines.push(format!("  output   {}", output.display()));
            lines.push(format!("  CA       {ca}"));
            if config.insecure {
                lines.push("  Certificates of origins are not verified (-k).".into());
            }
            lines.push(String::new());
            lines.push(format!("  export HTTPS_PROXY={url} HTTP_PROXY={url} http_proxy={url}"));
            lines.push(format!("  curl --cacert {} https://…", shell_word(&ca)));
        }
    }
    lines.push(String::new());
    lines.iter().map(|line| format!("{}\n", escape(line))).collect()
}
