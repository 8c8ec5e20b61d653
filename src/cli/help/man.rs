//! The man page, in man(7) macros.

use super::{description, usage};
use crate::cli::table::options::COMMON;
use crate::cli::table::{EXAMPLE, EXIT_CODES, Opt, SPECTRAL, below};

/// Returns the source of the page, for `groff -man` or `mandoc`.
pub(crate) fn page() -> String {
    let mut page = String::from(".TH SPECTRAL 1\n.SH NAME\n");
    page.extend(["spectral \\- ", &escaped(SPECTRAL.brief), "\n.SH SYNOPSIS\n"]);
    let mut commands = below(&SPECTRAL);
    commands.retain(|(_, command)| command.subcommands().is_empty());
    let synopsis = |path: &str, command| escaped(&usage(&["spectral ", path].concat(), command));
    for (path, command) in &commands {
        page.extend([".B ", &synopsis(path, command), "\n.br\n"]);
    }
    page.push_str(".SH COMMANDS\n");
    for (path, command) in &commands {
        page.extend([".SS ", &synopsis(path, command), "\n"]);
        page.push_str(&paragraphs(&description(command.brief, command.more)));
        command.options.iter().for_each(|option| page.push_str(&entry(option)));
    }
    page.push_str(".SH OPTIONS OF EVERY COMMAND\n");
    COMMON.iter().for_each(|option| page.push_str(&entry(option)));
    page.push_str(".SH EXIT STATUS\n");
    page.push_str(&paragraphs(EXIT_CODES));
    page
}

fn entry(option: &Opt) -> String {
    let text = paragraphs(&description(option.brief, option.more));
    // The first paragraph stands beside the option, the others below it.
    let text = text.strip_prefix(".PP\n").unwrap_or(&text).replace(".PP\n", ".IP\n");
    [".TP\n.B ", &escaped(option.signature().trim_start()), "\n", &text].concat()
}

fn paragraphs(text: &str) -> String {
    let mut page = String::new();
    for paragraph in text.split("\n\n") {
        if paragraph.starts_with(EXAMPLE) {
            let lines = paragraph.lines().map(|line| escaped(line.strip_prefix(EXAMPLE).unwrap_or(line)));
            page.extend([".PP\n.RS 4\n.nf\n", &lines.collect::<Vec<_>>().join("\n"), "\n.fi\n.RE\n"]);
        } else {
            page.extend([".PP\n", &escaped(paragraph), "\n"]);
        }
    }
    page
}

/// Escapes characters that a formatter would take for a request, or replace with a typographic one.
fn escaped(text: &str) -> String {
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
                c => page.push(c),
            }
        }
    }
    page
}
