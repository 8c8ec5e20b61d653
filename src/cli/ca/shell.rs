//! `spectral ca env`: the variables of a command under `capture run`, as lines that a shell evaluates.

use spectral_capture::Environment;
use spectral_capture::sorting::sort_by;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// A family of shells with the same syntax for variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shell {
    /// sh, bash, zsh and the like.
    Sh,
    Fish,
    Pwsh,
}

impl Shell {
    /// Parses the value of `--shell`.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "sh" | "bash" | "zsh" => Some(Self::Sh),
            "fish" => Some(Self::Fish),
            "powershell" | "pwsh" => Some(Self::Pwsh),
            _ => None,
        }
    }

    /// Returns lines that turn `current`, or the environment before spectral changed it, into `after`.
    pub(super) fn lines(self, current: &Environment, after: &Environment) -> Vec<u8> {
        let before = current.without_proxy();
        // All variables, even those that this shell has already: the lines may be saved for another shell.
        let (first, later) = (before.changes_to(after), current.changes_to(after).collect::<Vec<_>>());
        let mut changes: Vec<_> = first.filter(|(name, _)| !later.iter().any(|(known, _)| known == name)).collect();
        changes.extend(later);
        sort_by(&mut changes, &|(a, _), (b, _)| a.cmp(b));
        let mut text = self.comment().as_bytes().to_vec();
        text.extend(changes.into_iter().flat_map(|(name, value)| self.line(name, value)));
        text
    }

    /// Returns lines that undo those of [`Shell::lines`].
    pub(super) fn undo_lines(self, current: &Environment) -> Vec<u8> {
        if !current.is_proxied() {
            return NOTHING_TO_UNDO.to_vec();
        }
        current.changes_to(&current.without_proxy()).flat_map(|(name, value)| self.line(name, value)).collect()
    }

    /// Returns the line that sets or unsets a variable.
    fn line(self, name: &OsStr, value: Option<&OsStr>) -> Vec<u8> {
        let name = name.as_bytes();
        match (self, value) {
            (Self::Sh, Some(value)) => [b"export ", name, b"=", &single_quoted(value, b"'", b"'\\''"), b"\n"].concat(),
            (Self::Sh, None) => [b"unset ", name, b"\n"].concat(),
            (Self::Fish, Some(value)) => {
                let value = single_quoted(value, b"\\'", b"");
                [b"set -gx ", name, b" ", &value, b"\n"].concat()
            }
            (Self::Fish, None) => [b"set -e ", name, b"\n"].concat(),
            (Self::Pwsh, Some(value)) => [b"$env:", name, b" = ", powershell_quoted(value).as_bytes(), b"\n"].concat(),
            (Self::Pwsh, None) => [b"Remove-Item Env:", name, b" -ErrorAction SilentlyContinue\n"].concat(),
        }
    }

    /// Returns the first line: a comment that shows the usage.
    fn comment(self) -> &'static str {
        match self {
            Self::Sh => "# eval \"$(spectral ca env)\"; undo: eval \"$(spectral ca env --unset)\"\n",
            Self::Fish => {
                "# spectral ca env --shell fish | source; undo: spectral ca env --shell fish --unset | source\n"
            }
            Self::Pwsh => {
                "# spectral ca env --shell powershell | Out-String | Invoke-Expression; undo: the same with --unset\n"
            }
        }
    }
}

/// Returns `value` in single quotes. Each byte of `special` becomes `replacement`, or gets a backslash if that is
/// empty.
fn single_quoted(value: &OsStr, special: &[u8], replacement: &[u8]) -> Vec<u8> {
    let mut text = vec![b'\''];
    for byte in value.as_bytes() {
        match special.contains(byte) {
            true if replacement.is_empty() => text.extend([b'\\', *byte]),
            true => text.extend(replacement),
            false => text.push(*byte),
        }
    }
    text.push(b'\'');
    text
}

/// Returns `value` in single quotes for PowerShell: quotes in it are doubled. Curly quotes count as quotes too
/// (about_Quoting_Rules).
fn powershell_quoted(value: &OsStr) -> String {
    let mut text = String::from("'");
    for c in value.to_string_lossy().chars() {
        text.push(c);
        if matches!(c, '\'' | '\u{2018}'..='\u{201b}') {
            text.push(c);
        }
    }
    text + "'"
}

/// A comment in every supported shell.
const NOTHING_TO_UNDO: &[u8] = b"# nothing to undo: no variable of this shell was set by spectral\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_for_each_shell() {
        let special = Some(OsStr::new(r"it's a \ $HOME `x`"));
        let line = |shell: Shell, value| String::from_utf8(shell.line(OsStr::new("X"), value)).unwrap();
        assert_eq!(line(Shell::Sh, special), "export X='it'\\''s a \\ $HOME `x`'\n");
        assert_eq!(line(Shell::Fish, special), "set -gx X 'it\\'s a \\\\ $HOME `x`'\n");
        assert_eq!(line(Shell::Pwsh, special), "$env:X = 'it''s a \\ $HOME `x`'\n");
        let curly = Some(OsStr::new("\u{2018}it\u{2019}s $(whoami)\u{201a}\u{201b}"));
        let doubled = "$env:X = '\u{2018}\u{2018}it\u{2019}\u{2019}s $(whoami)\u{201a}\u{201a}\u{201b}\u{201b}'\n";
        assert_eq!(line(Shell::Pwsh, curly), doubled);
        assert_eq!(line(Shell::Sh, None), "unset X\n");
        assert_eq!(line(Shell::Fish, None), "set -e X\n");
        assert_eq!(line(Shell::Pwsh, None), "Remove-Item Env:X -ErrorAction SilentlyContinue\n");
    }
}
