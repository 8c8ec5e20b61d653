//! A child process that shares our standard streams.

use super::signals::{Inherited, ReceivedSignal};
use nix::errno::Errno;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The process id of a running command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Child(Pid);

impl Child {
    /// Starts `program` with `args` (its own name first), the variables in `vars`, and the signal mask and descriptor
    /// limit in `inherited`. Programs that close every possible descriptor would be slow under our limit, which may be a
    /// million.
    ///
    /// `std::process` cannot do this. Its children inherit the current signal mask, and unblocking the signals around
    /// the spawn would let them end this process in between.
    ///
    /// # Errors
    /// If the system cannot run the program.
    pub(crate) fn start<'a>(
        program: &Path,
        args: &[OsString],
        vars: impl Iterator<Item = (&'a OsStr, &'a OsStr)>,
        inherited: &Inherited,
    ) -> io::Result<Self> {
        let vars =
            vars.map(|(name, value)| [name, OsStr::new("="), value].to_c_string()).collect::<io::Result<Vec<_>>>()?;
        let args = args.iter().map(|arg| [arg.as_os_str()].to_c_string()).collect::<io::Result<Vec<_>>>()?;
        let mut attributes = PosixSpawnAttr::init()?;
        // Rust programs ignore SIGPIPE; other programs expect the default action.
        let sigpipe: SigSet = [Signal::SIGPIPE].into_iter().collect();
        attributes.set_sigdefault(&sigpipe)?;
        attributes.set_sigmask(&inherited.mask)?;
        attributes.set_flags(PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK)?;
        let actions = PosixSpawnFileActions::init()?;
        let spawn = |program: &Path, args: &[CString]| {
            inherited.limit.during(|| posix_spawn(program, &actions, &attributes, args, &vars))
        };
        match spawn(program, &args) {
            // A script without #!: execvp(3) and every shell run it with sh.
            Err(Errno::ENOEXEC) => {
                let script = [program.as_os_str()].to_c_string()?;
                let args: Vec<_> = [c"sh".to_owned(), script].into_iter().chain(args.into_iter().skip(1)).collect();
                Ok(Self(spawn(Path::new("/bin/sh"), &args)?))
            }
            result => Ok(Self(result?)),
        }
    }

    /// Waits until the process ends and returns its exit code, as a shell would.
    ///
    /// # Errors
    /// If the system does not know the process.
    pub(crate) fn wait(self) -> io::Result<u8> {
        loop {
            match waitpid(self.0, None) {
                Ok(WaitStatus::Exited(_, code)) => return Ok(u8::try_from(code & 0xff).unwrap_or(u8::MAX)),
                Ok(WaitStatus::Signaled(_, signal, _)) => {
                    return Ok(u8::try_from(signal as i32).unwrap_or(0).saturating_add(SIGNAL_EXIT_BASE));
                }
                Ok(_) | Err(Errno::EINTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Sends `received` to the process, unless the terminal did so already.
    pub(crate) fn forward(self, received: ReceivedSignal) {
        if !received.was_typed() {
            // Fails only if the process is gone.
            let _ = kill(self.0, received.signal);
        }
    }
}

/// Concatenation into a NUL-terminated string, for execve(2).
trait ToCString {
    fn to_c_string(&self) -> io::Result<CString>;
}

impl<const N: usize> ToCString for [&OsStr; N] {
    fn to_c_string(&self) -> io::Result<CString> {
        Ok(CString::new(self.map(OsStr::as_bytes).concat())?)
    }
}

/// Shells add this to the number of the signal that ended a command.
const SIGNAL_EXIT_BASE: u8 = 128;
