//! `capture run`: captures the traffic of one command and changes nothing else about it. `capture discover --all` lists its domains.
//!
//! ```text
//!   bind ─▶ trust files ─▶ start ─▶ command, with variables for proxy and trust ─▶ its end ─▶ stop ─▶ its exit code
//!    │                                 ▲ signals
//!    └─ with --all, in namespaces, which are created last before the first thread: no proxy variables
//! ```
//!
//! Failures before the command starts end with exit code 1; later, the command's own exit code counts. The command owns
//! its standard streams and the terminal: messages go to stderr, before it starts and after it has ended.

mod domains_file;
mod redirected;
mod settings;
mod trust_dir;

use self::domains_file::DomainsFile;
use self::redirected::Redirected;
use self::trust_dir::TrustDir;
use super::address::reachable;
use super::advice::{self, Client};
use super::args::CaptureOptions;
use super::backups;
use super::ending::{self, Event};
use super::message::{error_line, fail, warning_line};
use super::notices::{self, ShownWarnings};
use super::process::{self, BlockedSignals, Child, Inherited, NotExecutable, ReceivedSignal};
use super::screen::Screen;
use super::startup;
use super::summary;
use super::text::escaped_lines;
use super::upstream::{self, UpstreamOptions};
use spectral_capture::channel::{Sender, channel};
use spectral_capture::{CaCertificate, Config, Environment, Observer, Proxy, TrustFiles};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Captures `command`, a program and its arguments.
pub(crate) fn run(options: CaptureOptions, command: &[OsString]) -> ExitCode {
    let (signals, inherited) = match process::prepare_for_command() {
        Ok(prepared) => prepared,
        Err(message) => return fail(&message),
    };
    let environment = Environment::current();
    let Some(name) = command.first() else {
        return fail("missing COMMAND");
    };
    let program = match process::find_program(name, environment.value("PATH")) {
        Ok(program) => program,
        Err(reason) => return fail_to_find(name, &reason),
    };
    let CaptureOptions { mut config, upstream, quiet, verbose, json, keep_backups, all, domains_file, .. } = options;
    if config.capture_options().is_some() {
        startup::read_key_log_variable(&mut config);
    }
    let screen = Screen::without_thread(quiet);
    let shown = ShownWarnings::default();
    if verbose {
        let observer_screen = screen.clone();
        let observer_shown = shown.clone();
        config.on_notice = Observer::new(move |notice| notices::show(&observer_screen, notice, true, &observer_shown));
    }
    let launch = Launch { program, args: command, environment, signals, inherited };
    let domains = || DomainsFile::open(json, domains_file.as_deref());
    let prepared = Capture::prepare(config, all, domains, &upstream, &launch.environment, shown);
    screen.start();
    let code = match prepared {
        Ok(capture) => capture.run(launch, keep_backups, &screen),
        Err(message) => fail(&message),
    };
    screen.flush();
    code
}

/// Everything needed to start the command.
struct Launch<'a> {
    program: PathBuf,
    /// The arguments; the first is the command's name as given.
    args: &'a [OsString],
    environment: Environment,
    signals: BlockedSignals,
    inherited: Inherited,
}

/// Reports that the command cannot be found, with the exit code of a shell.
fn fail_to_find(name: &OsString, reason: &NotExecutable) -> ExitCode {
    let name = name.display();
    match reason {
        NotExecutable::NotFound => {
            fail(&format!("cannot run '{name}': command not found"));
            ExitCode::from(COMMAND_NOT_FOUND)
        }
        NotExecutable::Denied => {
            fail(&format!("cannot run '{name}': not executable"));
            ExitCode::from(COMMAND_NOT_EXECUTABLE)
        }
    }
}

/// A capture that is ready to start. Every step that can fail before the command starts is done.
struct Capture {
    config: Config,
    proxy: Proxy,
    result: CaptureResult,
    /// The namespaces of `--all`.
    redirected: Option<Redirected>,
    shown: ShownWarnings,
    upstream: upstream::InUse,
}

/// The result of a capture, and the files for it.
enum CaptureResult {
    Bundle(Box<Bundle>),
    Domains(DomainsFile),
}

struct Bundle {
    output: PathBuf,
    ca: CaCertificate,
    trust_dir: TrustDir,
    /// True if this run created the CA.
    is_new_ca: bool,
}

impl Capture {
    fn prepare(
        mut config: Config,
        all: bool,
        domains: impl FnOnce() -> Result<DomainsFile, String>,
        upstream: &UpstreamOptions,
        environment: &Environment,
        shown: ShownWarnings,
    ) -> Result<Self, String> {
        let upstream = upstream::Selected::new(upstream, environment)?;
        config.upstream_proxies = upstream.proxies.clone();
        let result = match config.capture_options() {
            Some(capture) => {
                let output = capture.output.path().unwrap_or(Path::new("")).to_owned();
                CaptureResult::Bundle(Box::new(Bundle::prepare(output, capture.ca.dir(), environment)?))
            }
            None => CaptureResult::Domains(domains()?),
        };
        let (proxy, redirected) = match all {
            false => (Proxy::bind(config.clone()).map_err(|e| advice::error_line(&e))?, None),
            true => {
                let roots = result.trust_files().map(|files| files.roots.clone());
                let (proxy, redirected) = Redirected::bind(&mut config, roots, environment.is_redirected())?;
                (proxy, Some(redirected))
            }
        };
        let mut upstream = upstream.in_use(&proxy)?;
        upstream.warnings.extend(proxy.ca_exposures().iter().map(advice::ca_exposure));
        upstream.warnings.extend(redirected.as_ref().and_then(Redirected::warning));
        Ok(Self { config, proxy, result, redirected, shown, upstream })
    }

    fn run(self, launch: Launch<'_>, keep_backups: Option<NonZeroU32>, screen: &Screen) -> ExitCode {
        let Launch { program, args, environment, signals, inherited } = launch;
        let proxy = reachable(self.proxy.addr());
        screen.info(self.opening(proxy, &environment));
        // The command starts only after these messages are written.
        screen.flush();
        let running = match self.proxy.start() {
            Ok(running) => running,
            Err(e) => return fail(&advice::error_line(&e)),
        };
        let state = Arc::new(Mutex::new(CommandState::Starting(Vec::new())));
        let shared = Arc::clone(&state);
        let forward = move || signals.receive_all(|signal| route_signal(signal, &shared));
        if let Err(e) = thread::Builder::new().name("signals".into()).spawn(forward) {
            return fail(&format!("cannot start a thread: {e}"));
        }
        let files = self.result.trust_files();
        let started = match (&self.redirected, files) {
            (None, Some(files)) => {
                Child::start(&program, args, environment.with_proxy(proxy, files).iter(), &inherited)
            }
            (None, None) => Child::start(&program, args, environment.iter(), &inherited),
            (Some(redirected), files) => {
                redirected.start(program.clone(), args.to_vec(), environment.with_redirection(files), inherited)
            }
        };
        let code = match started {
            Ok(child) => {
                CommandState::Running(child).enter(&state);
                child.wait().map_err(|e| format!("cannot get the exit code of the command: {e}"))
            }
            Err(e) => {
                fail(&format!("cannot run '{}': {e}", program.display()));
                Ok(COMMAND_NOT_EXECUTABLE)
            }
        };
        let (sender, events) = channel();
        CommandState::Ended(sender.clone()).enter(&state);
        if screen.is_terminal() {
            // The command may have left an unfinished line.
            screen.info("\n".into());
        }
        let Some(mut summary) = ending::stop(running, &events, sender, screen, || ()) else {
            return exit_code(code, Some("the capture is incomplete"), screen);
        };
        let client = if self.redirected.is_some() { Client::Redirected } else { Client::Command };
        if let Some(redirected) = &self.redirected {
            redirected.adapt(&mut summary);
        }
        let problem = match self.result {
            CaptureResult::Bundle(bundle) => {
                let backups = backups::of_capture(&summary, keep_backups);
                let ca_cert = bundle.ca.path();
                let text =
                    summary::of_capture(&summary, client, &self.config, &bundle.output, backups, ca_cert, &self.shown);
                screen.info(text);
                screen.info(summary::hint(&summary, client).into());
                screen.print(summary::warning_lines(&summary, &self.shown, screen.is_quiet()));
                let not_replaced = summary::not_replaced(&summary);
                if let (Some(problem), Ok(1..)) = (&not_replaced, &code) {
                    screen.print(error_line(problem));
                }
                let incomplete = || (!summary::is_complete(&summary)).then(|| "the capture is incomplete".to_owned());
                not_replaced.or_else(incomplete)
            }
            CaptureResult::Domains(file) => {
                let problem = file.report(&summary, &self.config, screen).err();
                if let (Some(problem), Ok(1..)) = (&problem, &code) {
                    screen.print(error_line(problem));
                }
                problem
            }
        };
        if let Some(redirected) = &self.redirected {
            screen.info(redirected.lines(&summary, self.config.capture_options().is_some()));
        }
        exit_code(code, problem.as_deref(), screen)
    }

    /// Returns the messages before the command starts.
    fn opening(&self, proxy: SocketAddr, environment: &Environment) -> String {
        let place = match &self.redirected {
            Some(_) => "all TCP of the command".to_owned(),
            None => format!("on {proxy}"),
        };
        let mut lines = Vec::new();
        match &self.result {
            CaptureResult::Bundle(bundle) => {
                let output = summary::output_line(&self.config, &bundle.output);
                lines.push(format!("Capturing {place} into {output}"));
                lines.extend(startup::identities(&self.config));
                if bundle.is_new_ca {
                    let path = bundle.ca.path().unwrap_or(Path::new("")).display();
                    lines.push(format!("Created a CA, which only commands under 'spectral capture run' trust: {path}"));
                }
            }
            CaptureResult::Domains(_) => {
                lines.push("Discovering the domains of the command; nothing is decrypted".into())
            }
        }
        if environment.is_redirected() {
            lines.push("This run is inside 'spectral capture run --all', which captures its traffic, too.".into());
        } else if environment.is_proxied() {
            lines.push("This run is inside another 'spectral capture run', which does not see its traffic.".into());
        }
        if let Some(line) = &self.upstream.line {
            lines.push(format!("Upstream proxy: {line}"));
        }
        // With --all, only the command can reach the proxy.
        let listening = if self.redirected.is_some() { self.config.listen } else { self.proxy.addr() };
        let mut text = escaped_lines(&lines) + &startup::warnings(&self.config, listening, &self.upstream.warnings);
        if let CaptureResult::Bundle(bundle) = &self.result
            && let without_settings @ [_, ..] = &*bundle.trust_dir.without_settings
        {
            text.push_str(&warning_line(&format!(
                "{} will refuse the certificate: the path of TMPDIR has a character that cannot be quoted in settings",
                without_settings.join(" and ")
            )));
        }
        text
    }
}

impl Bundle {
    fn prepare(output: PathBuf, ca_dir: Option<&Path>, environment: &Environment) -> Result<Self, String> {
        let is_new_ca = CaCertificate::exists(ca_dir).is_ok_and(|exists| !exists);
        let ca = CaCertificate::open(ca_dir).map_err(|e| advice::error_line(&e))?;
        let trust_dir = TrustDir::new(&ca, environment)?;
        Ok(Self { output, ca, trust_dir, is_new_ca })
    }
}

impl CaptureResult {
    /// The files that make the command trust the CA.
    fn trust_files(&self) -> Option<&TrustFiles> {
        match self {
            Self::Bundle(bundle) => Some(&bundle.trust_dir.files),
            Self::Domains(_) => None,
        }
    }
}

/// The state of the command, which decides where a signal goes.
enum CommandState {
    /// The command has not started yet; it gets these signals when it has.
    Starting(Vec<ReceivedSignal>),
    /// Signals go to the command.
    Running(Child),
    /// The command has ended, and the bundle is being completed. (Before this state is entered, a signal may go to a
    /// process that is gone. Process ids are not reused so soon.)
    Ended(Sender<Event>),
}

impl CommandState {
    fn enter(self, shared: &Mutex<Self>) {
        let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Self::Starting(early), Self::Running(child)) = (&*state, &self) {
            early.iter().for_each(|signal| child.forward(*signal));
        }
        *state = self;
    }
}

fn route_signal(signal: ReceivedSignal, state: &Mutex<CommandState>) {
    match &mut *state.lock().unwrap_or_else(PoisonError::into_inner) {
        CommandState::Starting(early) => early.push(signal),
        CommandState::Running(child) => child.forward(signal),
        CommandState::Ended(events) if signal.requests_exit() => {
            // Fails once the bundle is complete.
            let _ = events.send(Event::Stop);
        }
        CommandState::Ended(_) => {}
    }
}

/// Returns the command's exit code, or 1 if the command succeeded but its capture has a problem.
fn exit_code(command: Result<u8, String>, problem: Option<&str>, screen: &Screen) -> ExitCode {
    match command {
        Ok(0) if let Some(problem) = problem => {
            screen.print(error_line(&format!("the command succeeded, but {problem}")));
            ExitCode::FAILURE
        }
        Ok(code) => ExitCode::from(code),
        Err(message) => {
            screen.print(error_line(&message));
            ExitCode::FAILURE
        }
    }
}

/// The exit codes of a shell for a command that does not exist, and for one that cannot be executed.
const COMMAND_NOT_FOUND: u8 = 127;
const COMMAND_NOT_EXECUTABLE: u8 = 126;
