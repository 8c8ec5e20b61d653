//! `capture run`: a command whose traffic is captured, and nothing else of it changed.
//!
//! ```text
//!   bind ─▶ files with roots ─▶ start ─▶ the command, with variables that lead it through ─▶ its end ─▶ stop ─▶ its exit code
//!                                            ▲ signals
//! ```
//!
//! Until the command runs, whatever is wrong ends this with 1; from then on its own exit code counts. Its standard streams and
//! its terminal are its own: we speak before it and after it, on stderr.

mod folder;

use self::folder::Folder;
use super::address::reachable;
use super::advice;
use super::args::Options;
use super::capture;
use super::message::fail;
use super::process::{self, Child, ForwardedSignals, Inherited, NotExecutable, ReceivedSignal};
use super::screen::Screen;
use super::summary;
use super::text::escape;
use spectral_capture::{CaCertificate, Config, Environment, ForceStop, Mode, Observer, Proxy, Summary};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Captures `command`, a program and its arguments.
pub(crate) fn run(options: Options, command: &[OsString]) -> ExitCode {
    let (signals, inherited) = match process::prepare_for_command() {
        Ok(prepared) => prepared,
        Err(what) => return fail(&what),
    };
    let environment = Environment::current();
    let Some(name) = command.first() else {
        return fail("there is no command to run");
    };
    let program = match process::find_program(name, environment.value("PATH")) {
        Ok(program) => program,
        Err(why) => return not_run(name, &why),
    };
    let Options { mut config, quiet, verbose, .. } = options;
    let (screen, written) = Screen::new(quiet);
    if verbose {
        let live = screen.clone();
        config.on_notice = Observer::new(move |notice| capture::show(&live, notice, true));
    }
    let code = match Prepared::new(config, &environment) {
        Ok(prepared) => prepared.run(Wanted { program, args: command, environment, signals, inherited }, &screen),
        Err(what) => fail(&what),
    };
    drop(screen);
    written.wait();
    code
}

/// What is to be run.
struct Wanted<'a> {
    program: PathBuf,
    /// Its own name first.
    args: &'a [OsString],
    environment: Environment,
    signals: ForwardedSignals,
    inherited: Inherited,
}

fn not_run(name: &OsString, why: &NotExecutable) -> ExitCode {
    let name = name.display();
    match why {
        NotExecutable::NotFound => {
            fail(&format!("cannot run {name}: there is no such command"));
            ExitCode::from(NOT_FOUND)
        }
        NotExecutable::Denied => {
            fail(&format!("cannot run {name}: it is not executable"));
            ExitCode::from(NOT_EXECUTABLE)
        }
    }
}

/// Everything that can fail before the command is there.
struct Prepared {
    config: Config,
    output: PathBuf,
    ca: CaCertificate,
    proxy: Proxy,
    folder: Folder,
    /// Whether a bundle is there already.
    replaces: bool,
    /// Whether this is the first run of all.
    is_new_ca: bool,
}

impl Prepared {
    fn new(config: Config, environment: &Environment) -> Result<Self, String> {
        let Mode::Capture { output } = config.mode.clone() else {
            return Err("a command is run to be captured".into());
        };
        let is_new_ca = CaCertificate::exists(config.ca_dir.as_deref()).is_ok_and(|exists| !exists);
        let ca = CaCertificate::open(config.ca_dir.as_deref()).map_err(|e| advice::error_line(&e))?;
        let folder = Folder::new(&ca, environment)?;
        let replaces = output.exists();
        let proxy = Proxy::bind(config.clone()).map_err(|e| advice::error_line(&e))?;
        Ok(Self { config, output, ca, proxy, folder, replaces, is_new_ca })
    }

    fn run(self, wanted: Wanted<'_>, screen: &Screen) -> ExitCode {
        let Wanted { program, args, environment, signals, inherited } = wanted;
        let proxy = reachable(self.proxy.addr());
        // On a screen of its own: the command begins when all is written.
        let (before, written) = Screen::new(screen.is_quiet());
        before.say(self.opening(proxy, &environment));
        drop(before);
        written.wait();
        let running = match self.proxy.start() {
            Ok(running) => running,
            Err(e) => return fail(&advice::error_line(&e)),
        };
        let phase = Arc::new(Mutex::new(Phase::Starting(Vec::new())));
        let shared = Arc::clone(&phase);
        let deal = move || signals.receive_all(|caught| deal_with(caught, &shared));
        if let Err(e) = thread::Builder::new().name("signals".into()).spawn(deal) {
            return fail(&format!("cannot start a thread: {e}"));
        }
        let variables = environment.with_proxy(proxy, &self.folder.files);
        let code = match Child::start(&program, args, variables.iter(), &inherited) {
            Ok(child) => {
                Phase::Running(child).begin(&phase);
                child.wait().map_err(|e| format!("how the command ended is not known: {e}"))
            }
            Err(e) => {
                fail(&format!("cannot run {}: {e}", program.display()));
                Ok(NOT_EXECUTABLE)
            }
        };
        Phase::Over(running.force_stop()).begin(&phase);
        let summed = running.stop();
        if screen.is_terminal() {
            // Whatever the command left the last line at.
            screen.say("\n".into());
        }
        screen.say(summary::of_capture(&summed, &self.output, self.replaces, Some(self.ca.path())));
        if is_empty(&summed) {
            screen.say(NOTHING.into());
        }
        for warning in &summed.warnings {
            screen.complain(advice::warning_line(warning));
        }
        exit_code(code, summed.bundle.is_some() && summed.lost == 0 && summed.truncated == 0, screen)
    }

    /// What one has to know before the command begins.
    fn opening(&self, proxy: std::net::SocketAddr, environment: &Environment) -> String {
        let mut lines = vec![format!("Capturing on {proxy} into {}", self.output.display())];
        if !self.proxy.addr().ip().to_canonical().is_loopback() {
            lines.push(format!("Warning: anyone who reaches {} can use this proxy.", self.proxy.addr()));
        }
        if self.is_new_ca {
            lines.push(format!(
                "A CA was made for it, which nothing but such commands trusts: {}",
                self.ca.path().display()
            ));
        }
        if environment.is_proxied() {
            lines.push("This is a run within another one, which does not see its traffic.".into());
        }
        if self.config.insecure {
            lines.push("Certificates of origins are not verified (-k).".into());
        }
        let theirs: Vec<_> = environment.without_proxy().proxy_variables().collect();
        if !theirs.is_empty() {
            lines.push(format!(
                "Warning: the proxy in {} is not asked meanwhile: what is reached only through it cannot be reached.",
                theirs.join(", ")
            ));
        }
        lines.iter().map(|line| format!("{}\n", escape(line))).collect()
    }
}

/// Where we are, for signals.
enum Phase {
    /// The command is about to be there; what came for it.
    Starting(Vec<ReceivedSignal>),
    /// Signals are its.
    Running(Child),
    /// It ended, and the bundle is being completed. (Until this is known, a signal may be for a process that is gone: its id is not
    /// given to another so soon.)
    Over(ForceStop),
}

impl Phase {
    fn begin(self, shared: &Mutex<Self>) {
        let mut phase = shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Self::Starting(early), Self::Running(child)) = (&*phase, &self) {
            early.iter().for_each(|caught| child.forward(*caught));
        }
        *phase = self;
    }
}

fn deal_with(caught: ReceivedSignal, phase: &Mutex<Phase>) {
    match &mut *phase.lock().unwrap_or_else(PoisonError::into_inner) {
        Phase::Starting(early) => early.push(caught),
        Phase::Running(child) => child.forward(caught),
        Phase::Over(force_stop) if caught.requests_exit() => force_stop.now(),
        Phase::Over(_) => {}
    }
}

/// The command's, unless that would hide that the capture is not what it says.
fn exit_code(command: Result<u8, String>, is_complete: bool, screen: &Screen) -> ExitCode {
    match command {
        Ok(0) if !is_complete => {
            screen.complain("spectral: the command ended well; the capture did not\n".into());
            ExitCode::FAILURE
        }
        Ok(code) => ExitCode::from(code),
        Err(what) => {
            screen.complain(format!("spectral: {}\n", escape(&what)));
            ExitCode::FAILURE
        }
    }
}

fn is_empty(summary: &Summary) -> bool {
    summary.exchanges == 0 && summary.websockets == 0 && summary.uncaptured.is_empty() && summary.domains.is_empty()
}

/// As shells say that there is no such command, and that it cannot be run.
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;
const NOTHING: &str = "\
Nothing came through the proxy. Either the command sent nothing before it ended, or it does not read the variables for
proxies: Python's aiohttp without trust_env=True, Node before 22.21, Go for this machine's own addresses, browsers. See
'spectral capture run --help'.
";
