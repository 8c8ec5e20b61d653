//! The columns that characters take on a terminal.

/// Returns the beginning of `text` that fits in `max` columns.
pub(crate) fn truncated(text: &str, max: usize) -> &str {
    let mut columns = 0_usize;
    for (at, c) in text.char_indices() {
        columns = columns.saturating_add(width(c));
        if columns > max {
            return text.get(..at).unwrap_or_default();
        }
    }
    text
}

/// Returns the columns of a character that is not a control character: 0, 1 or 2. An approximation in blocks: the exact
/// tables differ between terminals.
fn width(c: char) -> usize {
    match c {
        _ if is_in(c, COMBINING) => 0,
        _ if is_in(c, WIDE) => 2,
        _ => 1,
    }
}

fn is_in(c: char, blocks: &[(char, char)]) -> bool {
    blocks.iter().any(|(first, last)| (*first..=*last).contains(&c))
}

/// Blocks of marks that are drawn over the character before, and of invisible characters.
const COMBINING: &[(char, char)] = &[
    ('\u{300}', '\u{36f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{20d0}', '\u{20ff}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{fe20}', '\u{fe2f}'),
];

/// Blocks whose characters are East Asian wide or fullwidth (Unicode Standard Annex 11), and emoji.
const WIDE: &[(char, char)] = &[
    ('\u{1100}', '\u{115f}'),
    ('\u{2e80}', '\u{303e}'),
    ('\u{3041}', '\u{a4cf}'),
    ('\u{a960}', '\u{a97f}'),
    ('\u{ac00}', '\u{d7a3}'),
    ('\u{f900}', '\u{faff}'),
    ('\u{fe30}', '\u{fe6f}'),
    ('\u{ff00}', '\u{ff60}'),
    ('\u{ffe0}', '\u{ffe6}'),
    ('\u{1f300}', '\u{1f64f}'),
    ('\u{1f680}', '\u{1f6ff}'),
    ('\u{1f900}', '\u{1faff}'),
    ('\u{20000}', '\u{3fffd}'),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_truncated_to_columns() {
        for (text, max, expected) in [
            ("abc", 3, "abc"),
            ("abc", 2, "ab"),
            ("abc", 0, ""),
            ("データ", 6, "データ"),
            ("データ", 5, "デー"),
            ("e\u{301}e\u{301}", 1, "e\u{301}"),
            ("😀😀", 3, "😀"),
        ] {
            assert_eq!(truncated(text, max), expected, "{text} {max}");
        }
    }
}
