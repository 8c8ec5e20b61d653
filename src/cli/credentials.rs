//! Reads a user name and a password. They are never arguments: a command line is public.

use spectral_capture::Credentials;
use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// Reads `USER:PASSWORD` from the first line of `file`, or from the environment variable `variable` if there is no file.
///
/// # Errors
/// If the file cannot be read, or if the source contains something else. No error contains a part of the source.
pub(crate) fn read(file: Option<&Path>, variable: &str) -> Result<Option<Credentials>, String> {
    match file {
        Some(path) => from_file(path).map(Some),
        None => env::var_os(variable).map(|value| from_variable(variable, value)).transpose(),
    }
}

fn from_file(path: &Path) -> Result<Credentials, String> {
    let line = first_line(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    parse(line).ok_or_else(|| format!("the first line of {} is not USER:PASSWORD", path.display()))
}

fn from_variable(name: &str, value: OsString) -> Result<Credentials, String> {
    // An empty value is an error: it usually comes from an unset variable in a script, which means to have a password.
    parse(value.into_encoded_bytes()).ok_or_else(|| format!("{name} is not USER:PASSWORD"))
}

/// Returns the first line of the file `path` without its end.
fn first_line(path: &Path) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    BufReader::new(File::open(path)?.take(MAX_BYTES)).read_until(b'\n', &mut line)?;
    if line.pop_if(|last| *last == b'\n').is_some() {
        line.pop_if(|last| *last == b'\r');
    }
    Ok(line)
}

fn parse(text: Vec<u8>) -> Option<Credentials> {
    Credentials::parse(&String::from_utf8(text).ok()?)
}

/// Bounds the memory for a file that is no text, such as `/dev/zero`.
const MAX_BYTES: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(text: &str) -> Option<Credentials> {
        Credentials::parse(text)
    }

    #[test]
    fn reads_the_first_line_of_a_file() {
        let path = env::temp_dir().join(format!("spectral-credentials-{}", std::process::id()));
        let with = |contents: &[u8]| {
            std::fs::write(&path, contents).unwrap();
            let read = read(Some(&path), "SPECTRAL_NONE");
            std::fs::remove_file(&path).unwrap();
            read
        };
        for (contents, expected) in [
            (&b"me:a b "[..], "me:a b "),
            (b"me:a:b\n", "me:a:b"),
            (b"me:a\r\nyou:b\r\n", "me:a"),
            ("ü:ß\n".as_bytes(), "ü:ß"),
        ] {
            assert_eq!(with(contents).unwrap(), credentials(expected));
        }
        for contents in [&b""[..], b"secret", b"\nme:secret", b"me:secret\xff"] {
            let problem = with(contents).unwrap_err();
            assert_eq!(problem, format!("the first line of {} is not USER:PASSWORD", path.display()));
        }
        let problem = read(Some(Path::new("/nonexistent/x")), "SPECTRAL_NONE").unwrap_err();
        assert!(problem.starts_with("cannot read /nonexistent/x: "), "{problem}");
        let problem = read(Some(Path::new("/dev/zero")), "SPECTRAL_NONE").unwrap_err();
        assert_eq!(problem, "the first line of /dev/zero is not USER:PASSWORD");
    }

    #[test]
    fn a_variable_is_a_password_or_an_error() {
        assert_eq!(from_variable("SPECTRAL_X", "me:secret".into()), Ok(credentials("me:secret").unwrap()));
        for value in ["", "secret"] {
            assert_eq!(from_variable("SPECTRAL_X", value.into()), Err("SPECTRAL_X is not USER:PASSWORD".into()));
        }
        assert_eq!(read(None, "SPECTRAL_NONE"), Ok(None));
    }
}
