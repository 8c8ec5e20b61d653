//! Commands under `spectral capture run --all`, as this user and as one without privileges.

use super::ca::TestCa;
use super::peers::{find, report_skipped, run};
use super::temp::TempDir;
use std::ffi::OsStr;
use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::process::Command;

/// The user who runs `spectral`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum User {
    /// This user, who is root in CI.
    Current,
    /// A user without privileges.
    Nobody,
}

impl User {
    /// The users who can execute `spectral` and may create namespaces here. Reports the others as skipped.
    #[track_caller]
    pub(crate) fn all() -> Vec<Self> {
        let may_create = |user: &Self| {
            let has_privileges = nix::unistd::geteuid().is_root() && *user == Self::Current;
            let (flags, what) =
                if has_privileges { ("-nm", "network namespaces") } else { ("-Unm", "user namespaces") };
            let works = |program: &str, args: &[&str]| {
                find("setpriv").is_some() && run(user.command(program).args(args)).code == Some(0)
            };
            let is_allowed = works("unshare", &[flags, "true"]) && works(env!("CARGO_BIN_EXE_spectral"), &["-V"]);
            if !is_allowed {
                report_skipped(what);
            }
            is_allowed
        };
        [Self::Current, Self::Nobody].into_iter().filter(may_create).collect()
    }

    /// Returns the command `program` as this user.
    pub(crate) fn command(self, program: impl AsRef<OsStr>) -> Command {
        match self {
            Self::Nobody if nix::unistd::geteuid().is_root() => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(program);
                command
            }
            _ => Command::new(program),
        }
    }

    /// Returns a new folder that this user can write.
    pub(crate) fn dir(self) -> TempDir {
        let dir = TempDir::new();
        if self == Self::Nobody && nix::unistd::geteuid().is_root() {
            chown(dir.path(), Some(65534), Some(65534)).unwrap();
        }
        dir
    }

    /// Returns the command `spectral capture run --all ARGS -- RUN`, which trusts the suite's origins.
    pub(crate) fn run_all<A: AsRef<OsStr>>(self, dir: &TempDir, args: &[&str], run: &[A]) -> Command {
        let mut command = self.spectral(dir, &["capture", "run", "--all", "--upstream-ca"]);
        command.arg(trusted_ca()).args(args).arg("--").args(run);
        command
    }

    /// Returns the command `spectral ARGS`; `dir` is its home and working directory.
    pub(crate) fn spectral(self, dir: &TempDir, args: &[&str]) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_spectral"));
        command.args(args).current_dir(dir.path()).env("HOME", dir.path()).env_remove("TMPDIR");
        command
    }
}

/// Returns a file with the suite's CA that every user can read.
fn trusted_ca() -> PathBuf {
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("trusted-{}.pem", std::process::id()));
    if !file.exists() {
        std::fs::copy(&TestCa::trusted().pem, &file).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        std::fs::set_permissions(&file, mode).unwrap();
    }
    file
}
