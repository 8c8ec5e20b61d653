//! The memory of the process that holds the CA's key.

use crate::support::TempDir;
use crate::support::peers::run;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// `/proc/PID/mem` belongs to root if the process cannot be dumped, else to its user.
#[test]
fn the_process_with_the_key_cannot_be_dumped_and_its_command_can() {
    if cfg!(not(target_os = "linux")) {
        return;
    }
    let dir = TempDir::new();
    let program = dir.join("spectral");
    std::fs::copy(env!("CARGO_BIN_EXE_spectral"), &program).unwrap();
    let mut command = Command::new(&program);
    command.args(["capture", "run", "-q", "--", "sh", "-c", "stat -c %u /proc/$PPID/mem /proc/self/mem"]);
    command.current_dir(dir.path()).env("HOME", dir.path());
    let mut user = std::fs::metadata(dir.path()).unwrap().uid();
    if user == 0 {
        user = NOBODY;
        chown(dir.path(), Some(user), Some(user)).unwrap();
        command.uid(user).gid(user);
    }
    let output = run(&mut command);
    assert_eq!((output.text(), output.code), (format!("0\n{user}\n"), Some(0)), "{}", output.err);
}

/// The user id without rights of its own.
const NOBODY: u32 = 65534;
