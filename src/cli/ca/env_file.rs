//! `spectral ca env --format env`: the variables of a command under `capture run`, one `NAME=VALUE` a line.
//!
//! `docker --env-file`, the `EnvironmentFile=` of systemd and `kubectl create configmap --from-env-file` read such files.
//! None of them has a quoting that the others know, so a value that would need it is an error.

use spectral_capture::Environment;
use std::os::unix::ffi::OsStrExt;

/// Returns a line for each variable.
///
/// # Errors
/// If a value has characters that one of the readers changes.
pub(super) fn text(variables: &Environment) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    for (name, value) in variables.iter() {
        if !is_plain(value.as_bytes()) {
            return Err(format!(
                "cannot write {} as NAME=VALUE: '{}' has a character that Docker or systemd would change; choose a \
                 directory without such characters with --trust-dir",
                name.display(),
                value.display()
            ));
        }
        text.extend([name.as_bytes(), b"=", value.as_bytes(), b"\n"].concat());
    }
    Ok(text)
}

/// True if all readers take `value` as it is. Docker knows no quotes, systemd removes those around a value; Docker Compose
/// expands `$` and takes what follows ` #` for a comment; systemd takes a backslash for an escape.
fn is_plain(value: &[u8]) -> bool {
    let is_outer = |byte: &u8| !matches!(byte, b'\'' | b'"') && !byte.is_ascii_whitespace();
    value.first().is_none_or(is_outer)
        && value.last().is_none_or(|byte| !byte.is_ascii_whitespace())
        && !value.iter().any(|byte| byte.is_ascii_control() || matches!(byte, b'\\' | b'$' | b'#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_values_that_need_no_quoting_are_plain() {
        for value in ["", "http://127.0.0.1:8080", "-Da='/x y/z' -Db=", ":/t", "/it's"] {
            assert!(is_plain(value.as_bytes()), "{value}");
        }
        for value in ["a\nb", "a\\b", "$a", "a #b", "'a'", "\"a\"", " a", "a "] {
            assert!(!is_plain(value.as_bytes()), "{value}");
        }
    }
}
