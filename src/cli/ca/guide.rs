//! `spectral ca help`: a trust guide as numbered steps, wrapped for a terminal.

use crate::cli::text::escape;
use spectral_capture::{TRUST_GUIDES, TrustGuide};
use std::env;
use std::net::SocketAddr;

/// Returns the guide for the platform `name`, in upper or lower case.
pub(crate) fn find_guide(name: &str) -> Option<&'static TrustGuide> {
    TRUST_GUIDES.iter().find(|guide| guide.name.eq_ignore_ascii_case(name))
}

/// Returns the steps of `guide`. `file` is the certificate's path, quoted for a shell.
pub(super) fn text(guide: &TrustGuide, file: &str, proxy: SocketAddr) -> String {
    let mut text = format!("{}\n", guide.title);
    for (number, step) in guide.steps(file, proxy).enumerate() {
        text.push_str(&format!("\n{:>2}. {}\n", number.saturating_add(1), lay_out(&step)));
    }
    text
}

/// Returns a profile for AppArmor of Ubuntu, which otherwise allows a namespace to be created, and no change in it.
pub(super) fn apparmor_profile() -> Result<String, String> {
    let program = env::current_exe().map_err(|e| format!("cannot find the path of this program: {e}"))?;
    // In quotes, a path may have spaces; these characters are patterns.
    let path =
        program.to_str().filter(|path| !path.contains(['"', '*', '?', '[', ']', '{', '}', '^', '\\', '@', '\n']));
    let path = path.ok_or_else(|| format!("cannot name {} in a profile: move it", program.display()))?;
    Ok(PROFILE.replace("PROGRAM", path))
}

const PROFILE: &str = "\
# Allows 'spectral capture run --all' without root. Save as /etc/apparmor.d/spectral, then:
#     sudo apparmor_parser -r /etc/apparmor.d/spectral
abi <abi/4.0>,
include <tunables/global>

profile spectral \"PROGRAM\" flags=(unconfined) {
  userns,
}
";

/// Lays out a step. Each command gets a line of its own, without wrapping or punctuation, so that it can be copied.
fn lay_out(step: &str) -> String {
    let (mut lines, mut sentence) = (Vec::new(), String::new());
    let prose = |sentence: &mut String| {
        let words = std::mem::take(sentence);
        let words = words.trim_start_matches(['.', ',', ' ']).trim_end();
        (!words.is_empty()).then(|| wrap(&escape(words), INDENT))
    };
    // Code is in backquotes, so every second part is code.
    for (number, part) in step.split('`').enumerate() {
        if number % 2 == 1 && part.contains(' ') {
            lines.extend(prose(&mut sentence));
            lines.push(format!("    {}", escape(part)));
        } else {
            sentence.push_str(part);
        }
    }
    lines.extend(prose(&mut sentence));
    lines.join("\n    ")
}

/// Wraps `text` at spaces and indents all lines but the first.
fn wrap(text: &str, indent: usize) -> String {
    let (mut lines, mut len) = (String::new(), indent);
    for word in text.split(' ') {
        let width = word.chars().count();
        if len > indent && len.saturating_add(width) > MAX_COLUMNS {
            lines.push('\n');
            lines.push_str(&" ".repeat(indent));
            len = indent;
        } else if len > indent {
            lines.push(' ');
        }
        lines.push_str(word);
        len = len.saturating_add(width).saturating_add(1);
    }
    lines
}

/// The width of ` 1. `.
const INDENT: usize = 4;
const MAX_COLUMNS: usize = 76;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_on_lines_of_their_own() {
        let step = format!("On `Linux`: `certutil {} a`, and confirm, or `x y`. Or `a b`.", "word ".repeat(20));
        let command = format!("        certutil {} a", "word ".repeat(20));
        let expected = ["On Linux:", &command, "    and confirm, or", "        x y", "    Or", "        a b"];
        assert_eq!(lay_out(&step).lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn long_lines_are_wrapped_at_spaces() {
        let text = wrap(&"word ".repeat(40), 4);
        assert!(text.lines().count() > 2 && text.lines().all(|line| line.len() <= 76), "{text}");
        assert!(text.lines().skip(1).all(|line| line.starts_with("    w")), "{text}");
        assert_eq!(wrap("one", 4), "one");
        let long = "x".repeat(100);
        assert_eq!(wrap(&long, 4), long, "a word without a space stays whole");
    }
}
