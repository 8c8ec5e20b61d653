//! `spectral ca env`: what a command under `capture run` gets, as lines that a shell evaluates.

use spectral_capture::Environment;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// A family of shells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shell {
    /// sh, bash, zsh and the like.
    Sh,
    Fish,
    Pwsh,
}

impl Shell {
    /// Reads what stands after `--shell`.
    pub(super) fn parse(name: &str) -> Option<Self> {
        match name {
            "sh" | "bash" | "zsh" => Some(Self::Sh),
            "fish" => Some(Self::Fish),
            "powershell" | "pwsh" => Some(Self::Pwsh),
            _ => None,
        }
    }

    /// Lines that make of `current`, and of what it was before us, what `change` makes of it.
    pub(super) fn lines(
        self,
        current: &Environment,
        change: impl FnOnce(&Environment) -> Result<Environment, String>,
    ) -> Result<Vec<u8>, String> {
        let after = change(current)?;
        let before = current.restored();
        // All of them, even if the shell has some already: the lines may be kept for another one.
        let changes: BTreeMap<_, _> = before.changes_to(&after).chain(current.changes_to(&after)).collect();
        let mut text = self.comment().as_bytes().to_vec();
        text.extend(changes.into_iter().flat_map(|(name, value)| self.line(name, value)));
        Ok(text)
    }

    /// Lines that undo those.
    pub(super) fn lines_back(self, current: &Environment) -> Vec<u8> {
        if !current.is_ours() {
            return NOTHING_TO_UNDO.to_vec();
        }
        current.changes_to(&current.restored()).flat_map(|(name, value)| self.line(name, value)).collect()
    }

    fn line(self, name: &OsStr, value: Option<&OsStr>) -> Vec<u8> {
        let name = name.as_bytes();
        match (self, value) {
            (Self::Sh, Some(value)) => [b"export ", name, b"=", &quoted(value, b"'", b"'\\''"), b"\n"].concat(),
            (Self::Sh, None) => [b"unset ", name, b"\n"].concat(),
            (Self::Fish, Some(value)) => {
                let value = quoted(value, b"\\'", b"");
                [b"set -gx ", name, b" ", &value, b"\n"].concat()
            }
            (Self::Fish, None) => [b"set -e ", name, b"\n"].concat(),
            (Self::Pwsh, Some(value)) => [b"$env:", name, b" = ", doubled(value).as_bytes(), b"\n"].concat(),
            (Self::Pwsh, None) => [b"Remove-Item Env:", name, b" -ErrorAction SilentlyContinue\n"].concat(),
        }
    }

    fn comment(self) -> &'static str {
        match self {
            Self::Sh => "# eval \"$(spectral ca env)\"; the way back: eval \"$(spectral ca env --unset)\"\n",
            Self::Fish => {
                "# spectral ca env --shell fish | source; the way back: spectral ca env --shell fish --unset | source\n"
            }
            Self::Pwsh => {
                "# spectral ca env --shell powershell | Out-String | Invoke-Expression; the way back with --unset\n"
            }
        }
    }
}

/// `value` in single quotes. Each of `special` in it becomes `instead`, or itself behind a backslash if that is empty.
fn quoted(value: &OsStr, special: &[u8], instead: &[u8]) -> Vec<u8> {
    let mut text = vec![b'\''];
    for byte in value.as_bytes() {
        match special.contains(byte) {
            true if instead.is_empty() => text.extend([b'\\', *byte]),
            true => text.extend(instead),
            false => text.push(*byte),
        }
    }
    text.push(b'\'');
    text
}

/// `value` in single quotes, as PowerShell reads them: each that is in it stands twice, and to PowerShell the curly ones are quotes
/// as well (about_Quoting_Rules).
fn doubled(value: &OsStr) -> String {
    let mut text = String::from("'");
    for c in value.to_string_lossy().chars() {
        text.push(c);
        if matches!(c, '\'' | '\u{2018}'..='\u{201b}') {
            text.push(c);
        }
    }
    text + "'"
}

/// A comment to each of the shells, for who looks at it.
const NOTHING_TO_UNDO: &[u8] = b"# nothing to undo: this shell has no variables of spectral\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_as_each_shell_reads_them() {
        let odd = Some(OsStr::new(r"it's a \ $HOME `x`"));
        let line = |shell: Shell, value| String::from_utf8(shell.line(OsStr::new("X"), value)).unwrap();
        assert_eq!(line(Shell::Sh, odd), "export X='it'\\''s a \\ $HOME `x`'\n");
        assert_eq!(line(Shell::Fish, odd), "set -gx X 'it\\'s a \\\\ $HOME `x`'\n");
        assert_eq!(line(Shell::Pwsh, odd), "$env:X = 'it''s a \\ $HOME `x`'\n");
        let curly = Some(OsStr::new("\u{2018}it\u{2019}s $(whoami)\u{201a}\u{201b}"));
        let twice = "$env:X = '\u{2018}\u{2018}it\u{2019}\u{2019}s $(whoami)\u{201a}\u{201a}\u{201b}\u{201b}'\n";
        assert_eq!(line(Shell::Pwsh, curly), twice);
        assert_eq!(line(Shell::Sh, None), "unset X\n");
        assert_eq!(line(Shell::Fish, None), "set -e X\n");
        assert_eq!(line(Shell::Pwsh, None), "Remove-Item Env:X -ErrorAction SilentlyContinue\n");
    }
}
