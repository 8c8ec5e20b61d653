//! The search for a program in `PATH`, as execvp(3) and shells do it.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The reason why a name is not a program; shells have an exit code for each.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotExecutable {
    /// There is no such file.
    NotFound,
    /// The file exists but cannot be executed.
    Denied,
}

/// Returns the file to execute for `name`: `name` itself if it contains a slash, else the first match in `path`.
pub(crate) fn find_program(name: &OsStr, path: Option<&OsStr>) -> Result<PathBuf, NotExecutable> {
    if name.is_empty() {
        return Err(NotExecutable::NotFound);
    }
    let candidates = match name.as_bytes().contains(&b'/') {
        true => vec![PathBuf::from(name)],
        false => env::split_paths(path.unwrap_or(OsStr::new(DEFAULT_PATH)))
            // An empty entry is the current directory. "./name" contains a slash: sh, given a script, does not search
            // again.
            .map(|dir| if dir.as_os_str().is_empty() { Path::new(".").join(name) } else { dir.join(name) })
            .collect(),
    };
    let mut reason = NotExecutable::NotFound;
    for candidate in candidates {
        match fs::metadata(&candidate) {
            Ok(found) if found.is_file() && found.permissions().mode() & 0o111 != 0 => return Ok(candidate),
            Ok(found) if found.is_file() || name.as_bytes().contains(&b'/') => reason = NotExecutable::Denied,
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => reason = NotExecutable::Denied,
            Err(_) => {}
        }
    }
    Err(reason)
}

/// The search path of execvp(3) without `PATH`.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_program_as_a_shell_does() {
        let find = |name: &str, path: &str| find_program(OsStr::new(name), Some(OsStr::new(path)));
        assert_eq!(find("sh", "/nowhere:/bin:/usr/bin"), Ok("/bin/sh".into()));
        assert_eq!(find_program(OsStr::new("sh"), None), Ok("/bin/sh".into()));
        assert_eq!(find("/bin/sh", ""), Ok("/bin/sh".into()));
        assert_eq!(find("sh", "/nowhere"), Err(NotExecutable::NotFound));
        assert_eq!(find("", "/bin"), Err(NotExecutable::NotFound));
        assert_eq!(find("./no/such/file", "/bin"), Err(NotExecutable::NotFound));
        assert_eq!(find("/etc/passwd", ""), Err(NotExecutable::Denied));
        assert_eq!(find("passwd", "/etc:/nowhere"), Err(NotExecutable::Denied));
        assert_eq!(find("/etc", ""), Err(NotExecutable::Denied), "a directory");
        assert_eq!(find("ssl", "/etc"), Err(NotExecutable::NotFound), "a directory in the path does not count");
    }
}
