//! Finds the command or option nearest to a mistyped one.

use crate::cli::table::{Command, below};
use spectral_capture::sorting::sort_by_key;

/// Returns the command below `group` whose name is nearest to `name`: `run`, or, from the program, `capture run`.
pub(crate) fn nearest_command(group: &'static Command, name: &str) -> Option<String> {
    let mut commands = below(group);
    // The group's own commands come first: of equally near names, the first is returned.
    sort_by_key(&mut commands, &|(path, _)| u64::from(path.contains(' ')));
    let near = nearest(name, commands.iter().map(|(_, command)| command.name))?;
    commands.into_iter().find(|(_, command)| command.name == near).map(|(path, _)| path)
}

/// Returns the long name of the option of `command` that is nearest to `name`.
pub(crate) fn nearest_option(command: &Command, name: &str) -> Option<&'static str> {
    nearest(name, command.options().into_iter().map(|option| option.long))
}

/// Returns the known word with the fewest typing errors, or `None` if every word has too many. Of several such words,
/// returns the first.
fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let is_near = |(typos, known): &(usize, &str)| {
        // First letters are rarely mistyped: with another first letter, only one error is accepted.
        let max = if word.chars().next() == known.chars().next() { MAX_TYPOS } else { 1 };
        *typos <= max && *typos < word.len()
    };
    let near = known.map(|known| (distance(word, known), known)).filter(is_near);
    near.min_by_key(|(typos, _)| *typos).map(|(_, known)| known)
}

/// Returns the number of letters to insert, remove or replace (Levenshtein distance).
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (n, a) in from.chars().enumerate() {
        let mut left = n.saturating_add(1);
        let mut above_left = std::mem::replace(row.first_mut().unwrap_or(&mut 0), left);
        for (b, cell) in to.chars().zip(row.iter_mut().skip(1)) {
            let replaced = above_left.saturating_add(usize::from(a != b));
            above_left = *cell;
            left = replaced.min(cell.saturating_add(1)).min(left.saturating_add(1));
            *cell = left;
        }
    }
    row.last().copied().unwrap_or_default()
}

/// Two transposed letters count as two.
const MAX_TYPOS: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::table::SPECTRAL;

    #[test]
    fn typing_errors_are_understood() {
        for (group, typed, meant) in [
            ("", "captrue", Some("capture")),
            ("", "run", Some("capture run")),
            ("", "export", Some("capture export")),
            ("", "frobnicate", None),
            ("", "", None),
            ("capture", "rnu", Some("run")),
            ("capture", "install", None),
            ("ca", "instal", Some("install")),
        ] {
            let group = SPECTRAL.subcommand(group).unwrap_or(&SPECTRAL);
            assert_eq!(nearest_command(group, typed).as_deref(), meant, "{typed}");
        }
        let inspect = SPECTRAL.subcommand("capture").and_then(|capture| capture.subcommand("inspect")).unwrap();
        for (typed, meant) in [
            ("tarce", Some("trace")),
            ("jsn", Some("json")),
            ("hlep", Some("help")),
            ("output", None),
            ("o", None),
            ("ext", None),
            ("race", Some("trace")),
        ] {
            assert_eq!(nearest_option(inspect, typed), meant, "{typed}");
        }
    }

    #[test]
    fn distance_counts_letters() {
        for (from, to, expected) in
            [("", "", 0), ("", "ab", 2), ("ab", "", 2), ("kitten", "sitting", 3), ("ab", "ba", 2)]
        {
            assert_eq!(distance(from, to), expected, "{from} {to}");
        }
    }
}
