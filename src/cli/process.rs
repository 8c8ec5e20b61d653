//! What this process asks of the system: signals, other programs to run, and all the descriptors it may have. The one file
//! that names `ctrlc`.
//!
//! ```text
//!   capture proxy, discover    ctrlc catches what ends a capture, and only tells that something did
//!   capture run                nothing is caught: signals are held back from every thread and read one by one, since
//!                              the command has to get the very one; it starts with the signals as we found them
//! ```

use nix::errno::Errno;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use std::env;
use std::ffi::{CString, OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};

/// The limit of open descriptors as it was before [`allow_many_descriptors`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct FormerLimit(Option<(rlim_t, rlim_t)>);

/// Raises the limit of open descriptors to what is allowed: each connection takes two, and the usual 1,024 are few.
pub(crate) fn allow_many_descriptors() -> FormerLimit {
    let former = getrlimit(Resource::RLIMIT_NOFILE).ok();
    if let Some((soft, hard)) = former
        && soft < hard
    {
        // If it is refused, connections wait for descriptors earlier.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
    FormerLimit(former)
}

impl FormerLimit {
    /// Has it in force for as long as `work` takes.
    fn during<T>(self, work: impl FnOnce() -> T) -> T {
        let Self(Some((soft, hard))) = self else {
            return work();
        };
        // What is open stays open; best effort both ways.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, soft, hard);
        let done = work();
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
        done
    }
}

/// Has writes past the limit of a file's size (RLIMIT_FSIZE) fail, instead of ending the process: a capture goes on without
/// what does not fit. A blocked signal is as good as ignored. (SIGPIPE is ignored by the standard library.) Call it before
/// any thread is started.
pub(crate) fn survive_file_limits() {
    let mut too_large = SigSet::empty();
    too_large.add(Signal::SIGXFSZ);
    // If it is refused, such a write ends the process, and what was written can be recovered.
    let _ = too_large.thread_block();
}

/// Delivers a message for each SIGINT, SIGTERM and SIGHUP. Call it before any thread is started.
///
/// # Errors
/// If the handlers cannot be set.
pub(crate) fn catch_signals() -> Result<Receiver<()>, String> {
    if is_ignored(Signal::SIGHUP) {
        // Started with nohup: the terminal's end is not to end the capture. A blocked signal is as good as ignored.
        let mut hang_up = SigSet::empty();
        hang_up.add(Signal::SIGHUP);
        let _ = hang_up.thread_block();
    }
    let (sender, signals) = channel();
    ctrlc::set_handler(move || {
        // Nobody listens any more once the capture is over.
        let _ = sender.send(());
    })
    .map_err(|e| format!("cannot catch signals: {e}"))?;
    Ok(signals)
}

/// Signals that would end this process, held back until they are read.
pub(crate) struct Signals(SigSet);

/// What a command starts with: ours, as it was before we changed it.
pub(crate) struct Inherited {
    /// What was held back.
    mask: SigSet,
    limit: FormerLimit,
}

/// Holds back what a command is to get instead of us, and allows us many descriptors. Call it before any thread is started.
///
/// # Errors
/// If the system does not let us.
pub(crate) fn prepare_for_command() -> Result<(Signals, Inherited), String> {
    let refused = |e| format!("cannot hold signals back: {e}");
    let mask = SigSet::thread_get_mask().map_err(refused)?;
    // What we were told to ignore, by nohup or a shell that runs us in the background, the command ignores too.
    let held: SigSet = PASSED_ON.iter().copied().filter(|signal| !is_ignored(*signal)).collect();
    held.thread_block().map_err(refused)?;
    survive_file_limits();
    Ok((Signals(held), Inherited { mask, limit: allow_many_descriptors() }))
}

impl Signals {
    /// Waits for signals for ever, and tells of each.
    pub(crate) fn each(&self, mut tell: impl FnMut(Caught)) {
        // It can end only if the system does not know one of the signals, which it held back.
        let _ = read_signals(&self.0, &mut tell);
    }
}

/// A signal that came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caught {
    signal: Signal,
    /// The terminal sent it.
    by_terminal: bool,
}

impl Caught {
    /// Whether the command has it already: Ctrl+C and Ctrl+\ go to every process of the group in the terminal's foreground, so to us only
    /// together with the command, unless that wanted to be left out. (A terminal that goes away tells its session's leader alone.)
    fn was_typed(self) -> bool {
        self.by_terminal && matches!(self.signal, Signal::SIGINT | Signal::SIGQUIT)
    }

    /// Whether it asks a process to end.
    pub(crate) fn asks_to_end(self) -> bool {
        matches!(self.signal, Signal::SIGINT | Signal::SIGTERM | Signal::SIGHUP | Signal::SIGQUIT)
    }
}

#[cfg(target_os = "linux")]
fn read_signals(held: &SigSet, tell: &mut impl FnMut(Caught)) -> nix::Result<()> {
    use nix::sys::signalfd::SignalFd;
    let fd = SignalFd::new(held)?;
    loop {
        match fd.read_signal() {
            Ok(Some(info)) => {
                let signal = Signal::try_from(info.ssi_signo.cast_signed())?;
                // sigaction(2): positive where the kernel sent it, and of its own accord it sends these for a terminal.
                tell(Caught { signal, by_terminal: info.ssi_code > 0 });
            }
            Ok(None) | Err(Errno::EINTR) => {}
            Err(e) => return Err(e),
        }
    }
}

/// Elsewhere it is not told who sent a signal: where there is a terminal, it counts as the terminal's.
#[cfg(not(target_os = "linux"))]
fn read_signals(held: &SigSet, tell: &mut impl FnMut(Caught)) -> nix::Result<()> {
    use std::io::IsTerminal;
    loop {
        tell(Caught { signal: held.wait()?, by_terminal: io::stdin().is_terminal() });
    }
}

/// A program that runs for us, with our own standard streams.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Child(Pid);

impl Child {
    /// Starts `program` with `args` (its own name first) and the variables in `vars`. Its signals and its limit of descriptors are as
    /// ours were at first: programs that close all they might have take long where that is a million.
    ///
    /// Not by `std`: there a command starts with the signals that are held back right now, and to let them through for a moment
    /// would be a moment in which they end us.
    ///
    /// # Errors
    /// If the system does not run it.
    pub(crate) fn start<'a>(
        program: &Path,
        args: &[OsString],
        vars: impl Iterator<Item = (&'a OsStr, &'a OsStr)>,
        inherited: &Inherited,
    ) -> io::Result<Self> {
        let vars =
            vars.map(|(name, value)| [name, OsStr::new("="), value].concat_bytes()).collect::<io::Result<Vec<_>>>()?;
        let args = args.iter().map(|arg| [arg.as_os_str()].concat_bytes()).collect::<io::Result<Vec<_>>>()?;
        let mut attributes = PosixSpawnAttr::init()?;
        // Rust programs ignore SIGPIPE; others expect to be ended by it.
        let sigpipe: SigSet = [Signal::SIGPIPE].into_iter().collect();
        attributes.set_sigdefault(&sigpipe)?;
        attributes.set_sigmask(&inherited.mask)?;
        attributes.set_flags(PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK)?;
        let actions = PosixSpawnFileActions::init()?;
        let spawn = |program: &Path, args: &[CString]| {
            inherited.limit.during(|| posix_spawn(program, &actions, &attributes, args, &vars))
        };
        match spawn(program, &args) {
            // A script without #!, which execvp(3) and every shell give to sh.
            Err(Errno::ENOEXEC) => {
                let script = [program.as_os_str()].concat_bytes()?;
                let args: Vec<_> = [c"sh".to_owned(), script].into_iter().chain(args.into_iter().skip(1)).collect();
                Ok(Self(spawn(Path::new("/bin/sh"), &args)?))
            }
            started => Ok(Self(started?)),
        }
    }

    /// Waits for its end; gives what a shell would give as its exit code.
    ///
    /// # Errors
    /// If the system does not know, which happens where we were started with SIGCHLD ignored.
    pub(crate) fn wait(self) -> io::Result<u8> {
        loop {
            match waitpid(self.0, None) {
                Ok(WaitStatus::Exited(_, code)) => return Ok(u8::try_from(code & 0xff).unwrap_or(u8::MAX)),
                Ok(WaitStatus::Signaled(_, signal, _)) => {
                    return Ok(u8::try_from(signal as i32).unwrap_or(0).saturating_add(KILLED_BY));
                }
                Ok(_) | Err(Errno::EINTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Passes a signal on, unless it has it already.
    pub(crate) fn pass_on(self, caught: Caught) {
        if !caught.was_typed() {
            // Fails only if it is gone.
            let _ = kill(self.0, caught.signal);
        }
    }
}

/// Whether this process may do everything.
pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Why a command is not run, as shells tell it apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotRun {
    /// There is no such file.
    NotFound,
    /// There is one, which cannot be executed.
    NotExecutable,
}

/// The file that `name` means: itself if there is a slash in it, else the first of that name in `path`.
pub(crate) fn find(name: &OsStr, path: Option<&OsStr>) -> Result<PathBuf, NotRun> {
    if name.is_empty() {
        return Err(NotRun::NotFound);
    }
    let candidates = match name.as_bytes().contains(&b'/') {
        true => vec![PathBuf::from(name)],
        false => env::split_paths(path.unwrap_or(OsStr::new(DEFAULT_PATH)))
            // An empty entry is the current folder, and "./x" is not looked up once more.
            .map(|folder| if folder.as_os_str().is_empty() { Path::new(".").join(name) } else { folder.join(name) })
            .collect(),
    };
    let mut why = NotRun::NotFound;
    for candidate in candidates {
        match fs::metadata(&candidate) {
            Ok(found) if found.is_file() && found.permissions().mode() & 0o111 != 0 => return Ok(candidate),
            Ok(found) if found.is_file() || name.as_bytes().contains(&b'/') => why = NotRun::NotExecutable,
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => why = NotRun::NotExecutable,
            Err(_) => {}
        }
    }
    Err(why)
}

/// For execve(2), which knows text that ends with NUL.
trait ConcatBytes {
    fn concat_bytes(&self) -> io::Result<CString>;
}

impl<const N: usize> ConcatBytes for [&OsStr; N] {
    fn concat_bytes(&self) -> io::Result<CString> {
        Ok(CString::new(self.map(OsStr::as_bytes).concat())?)
    }
}

/// Whether this process was told to ignore `signal`, which a handler would undo.
fn is_ignored(signal: Signal) -> bool {
    let Ok(status) = fs::read_to_string("/proc/self/status") else {
        return false;
    };
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let bits = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    bits & (1 << (signal as u32 - 1)) != 0
}

/// What is meant for the command. Ctrl+Z and `fg` stop us and it alike, and a new window size is told to the whole terminal.
const PASSED_ON: &[Signal] =
    &[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2];
/// What shells add to the number of the signal that ended a command.
const KILLED_BY: u8 = 128;
/// Where execvp(3) looks if there is no PATH.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_found_as_a_shell_finds_it() {
        let found = |name: &str, path: &str| find(OsStr::new(name), Some(OsStr::new(path)));
        assert_eq!(found("sh", "/nowhere:/bin:/usr/bin"), Ok("/bin/sh".into()));
        assert_eq!(find(OsStr::new("sh"), None), Ok("/bin/sh".into()));
        assert_eq!(found("/bin/sh", ""), Ok("/bin/sh".into()));
        assert_eq!(found("sh", "/nowhere"), Err(NotRun::NotFound));
        assert_eq!(found("", "/bin"), Err(NotRun::NotFound));
        assert_eq!(found("./no/such/file", "/bin"), Err(NotRun::NotFound));
        assert_eq!(found("/etc/passwd", ""), Err(NotRun::NotExecutable));
        assert_eq!(found("passwd", "/etc:/nowhere"), Err(NotRun::NotExecutable));
        assert_eq!(found("/etc", ""), Err(NotRun::NotExecutable), "a folder");
        assert_eq!(found("ssl", "/etc"), Err(NotRun::NotFound), "a folder in the path is none");
    }
}
