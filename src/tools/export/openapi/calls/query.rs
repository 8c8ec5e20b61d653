//! Finds the name of an operation in a GraphQL document (<https://spec.graphql.org/October2021/#sec-Document>).

/// Returns `GetUser` of `query GetUser($id: ID!) {`: the name of the first operation, `None` if it is anonymous.
pub(super) fn name(document: &str) -> Option<&str> {
    let (mut rest, mut depth, mut is_fragment) = (document, 0usize, false);
    loop {
        let token;
        (token, rest) = next(rest)?;
        match token {
            "{" if depth == 0 && !is_fragment => return None,
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => {
                depth = depth.saturating_sub(1);
                is_fragment &= depth > 0 || token != "}";
            }
            "fragment" if depth == 0 => is_fragment = true,
            "query" | "mutation" | "subscription" if depth == 0 && !is_fragment => {
                return next(rest).map(|(name, _)| name).filter(|name| name.starts_with(is_of_name));
            }
            _ => {}
        }
    }
}

/// Returns the first name or punctuator, and the rest. Skips strings and comments.
fn next(mut text: &str) -> Option<(&str, &str)> {
    loop {
        text = text.trim_start_matches(|c: char| c.is_whitespace() || c == ',' || c == '\u{feff}');
        if let Some(comment) = text.strip_prefix('#') {
            text = comment.get(comment.find(['\n', '\r'])?..)?;
        } else if let Some(block) = text.strip_prefix("\"\"\"") {
            text = block.split_once("\"\"\"")?.1;
        } else if let Some(string) = text.strip_prefix('"') {
            text = behind_string(string)?;
        } else {
            let first = text.chars().next()?;
            let end = match is_of_name(first) {
                true => text.find(|c: char| !is_of_name(c)).unwrap_or(text.len()),
                false => first.len_utf8(),
            };
            return text.split_at_checked(end);
        }
    }
}

/// Returns the text behind the quote that ends a string.
fn behind_string(text: &str) -> Option<&str> {
    let mut is_escaped = false;
    let is_end = |c: char| {
        let is_end = c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        is_end
    };
    text.get(text.find(is_end)?.checked_add(1)?..)
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_behind_the_keyword() {
        for (document, expected) in [
            ("query GetUser($id: ID!) { user(id: $id) { id } }", Some("GetUser")),
            ("mutation Save{save}", Some("Save")),
            ("subscription\n\tOn_2 @live { a }", Some("On_2")),
            ("# query Comment\n,query Real { a }", Some("Real")),
            ("fragment F on User { query name } query GetUser { ...F }", Some("GetUser")),
            ("fragment F on User @a(b: {c: 1}) { x } mutation Save { ...F }", Some("Save")),
            ("\u{feff}query GetUser { a }", Some("GetUser")),
        ] {
            assert_eq!(name(document), expected, "{document}");
        }
    }

    #[test]
    fn anonymous_operations_have_no_name() {
        for document in [
            "{ query Name }",
            "query { user { id } }",
            "query ($id: ID!) { user(id: $id) { id } }",
            "query @cached { a } query Second { b }",
            "fragment F on User { id }",
            "",
            "query",
            "# query Comment",
            "\"",
            "\"\"\"",
        ] {
            assert_eq!(name(document), None, "{document}");
        }
    }

    #[test]
    fn strings_are_skipped() {
        let document = |string: &str| format!("fragment F on User {{ a(b: {string}) }} query Real {{ c }}");
        for string in [r#""} query False {""#, r#""\"} query False {\\""#, "\"\"\"} \" query False {\"\"\""] {
            assert_eq!(name(&document(string)), Some("Real"), "{string}");
        }
    }
}
