//! The man page (man(7)).

use super::table::ABOUT;
use super::{COMMANDS, EXAMPLE, EXIT_CODES, OPTIONS, Opt, called, listed};

/// The page, for a formatter.
pub(crate) fn page() -> String {
    let mut page = String::from(".TH SPECTRAL 1\n.SH NAME\n");
    page.push_str(&format!("spectral \\- {}\n.SH SYNOPSIS\n", plain(ABOUT)));
    for command in COMMANDS {
        page.push_str(&format!(".B {}\n.br\n", plain(&called(command))));
    }
    page.push_str(".SH COMMANDS\n");
    for command in COMMANDS {
        page.push_str(&format!(".SS {}\n{}", plain(&called(command)), paragraphs(command.about)));
    }
    let mut group = &[][..];
    for option in OPTIONS {
        if option.of != group {
            group = option.of;
            page.push_str(&format!(".SH OPTIONS OF {}\n", plain(&listed(group).to_uppercase())));
        }
        page.push_str(&entry(option));
    }
    page.push_str(".SH EXIT STATUS\n");
    page + &paragraphs(EXIT_CODES)
}

fn entry(option: &Opt) -> String {
    let shown = option.shown();
    let about = paragraphs(option.about);
    // The first paragraph stands beside its option, the others below it.
    let about = about.strip_prefix(".PP\n").unwrap_or(&about).replace(".PP\n", ".IP\n");
    format!(".TP\n.B {}\n{about}", plain(shown.trim_start()))
}

fn paragraphs(text: &str) -> String {
    let mut page = String::new();
    for paragraph in text.split("\n\n") {
        if paragraph.trim_start_matches('\n').starts_with(EXAMPLE) {
            let lines = paragraph.lines().filter(|line| !line.is_empty());
            let lines: Vec<_> = lines.map(|line| plain(line.strip_prefix(EXAMPLE).unwrap_or(line))).collect();
            page.push_str(&format!(".PP\n.RS 4\n.nf\n{}\n.fi\n.RE\n", lines.join("\n")));
        } else {
            page.push_str(&format!(".PP\n{}\n", plain(paragraph)));
        }
    }
    page
}

/// Text in which a formatter sees no commands, and signs that are to be copied stay what they are.
fn plain(text: &str) -> String {
    let mut page = String::new();
    for line in text.lines() {
        if !page.is_empty() {
            page.push('\n');
        }
        if line.starts_with(['.', '\'']) {
            page.push_str("\\&");
        }
        for c in line.chars() {
            match c {
                '\\' => page.push_str("\\e"),
                '-' => page.push_str("\\-"),
                '\'' => page.push_str("\\(aq"),
                '`' => page.push_str("\\(ga"),
                '^' => page.push_str("\\(ha"),
                '~' => page.push_str("\\(ti"),
                '"' => page.push_str("\\(dq"),
                '…' => page.push_str("..."),
                c => page.push(c),
            }
        }
    }
    page
}
