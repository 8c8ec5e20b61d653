//! The privileges to make namespaces, and the reasons why a system refuses them.

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_dumpable;
use nix::unistd::{getegid, geteuid};
use std::fs;
use std::io;

/// Gives this process the privileges in a user namespace of its own, unless it has them. The command has the same user id there,
/// and no privileges. Must be called before any thread exists. Returns true if the namespace was created.
///
/// # Errors
/// The reason, and the remedy.
pub(super) fn acquire_privileges() -> Result<bool, String> {
    // The capabilities are read, not tried: a thread that tried would still count as a thread of the process for a moment.
    let effective = u64::from_str_radix(&status("CapEff:"), 16).unwrap_or(0);
    if effective & NEEDED_CAPABILITIES == NEEDED_CAPABILITIES {
        return Ok(false);
    }
    let (user, group) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER).map_err(|e| refused(&e.into(), false))?;
    // The files in /proc of a process without dumps belong to root. Other processes of the user could attach a debugger meanwhile:
    // the time is a fraction of a millisecond.
    let _ = set_dumpable(true);
    let write = |file: &str, text: String| fs::write(["/proc/self/", file].concat(), text);
    let mapped = write("setgroups", "deny".into())
        .and_then(|()| write("uid_map", format!("{user} {user} 1")))
        .and_then(|()| write("gid_map", format!("{group} {group} 1")));
    let _ = set_dumpable(false);
    mapped.map(|()| true).map_err(|e| refused(&e, true))
}

/// Returns the message for `error`. `has_namespace` is true if a user namespace was created, and its first change failed.
pub(super) fn refused(error: &io::Error, has_namespace: bool) -> String {
    let error = Errno::from_raw(error.raw_os_error().unwrap_or(0));
    let reads = |file: &str, value: &str| fs::read_to_string(file).is_ok_and(|text| text.trim() == value);
    let (reason, remedy) = match error {
        Errno::EPERM | Errno::EACCES if has_namespace => ("AppArmor allows no changes in it", FOR_APPARMOR),
        Errno::ENOSPC | Errno::EUSERS => ("the limit user.max_user_namespaces is reached", FOR_LIMIT),
        Errno::EPERM if reads("/proc/sys/kernel/unprivileged_userns_clone", "0") => {
            ("kernel.unprivileged_userns_clone is 0", FOR_SYSCTL)
        }
        Errno::EPERM if status("Seccomp:") == "2" => {
            ("a seccomp filter forbids it, as in most containers", FOR_SECCOMP)
        }
        _ => (error.desc(), ""),
    };
    ["--all cannot create a namespace: ", reason, "; ", remedy, "use sudo, or omit --all"].concat()
}

/// Returns the value of a line of `/proc/self/status`.
fn status(name: &str) -> String {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned()
}

const FOR_APPARMOR: &str = "add the profile that 'spectral ca help apparmor' prints, ";
const FOR_LIMIT: &str = "raise it with 'sysctl user.max_user_namespaces=10000', ";
const FOR_SYSCTL: &str = "set it to 1, ";
const FOR_SECCOMP: &str = "start the container with '--security-opt seccomp=unconfined --cap-add SYS_ADMIN', ";

/// `CAP_SYS_ADMIN`, `CAP_NET_ADMIN` and `CAP_NET_BIND_SERVICE`.
const NEEDED_CAPABILITIES: u64 = 1 << 21 | 1 << 12 | 1 << 10;
