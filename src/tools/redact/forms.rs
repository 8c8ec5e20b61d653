//! Finds secrets by their form, whatever their name is.

use std::ops::Range;

/// A secret found by its form.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) range: Range<usize>,
    /// The kind of secret, for people.
    pub(super) name: &'static str,
}

/// The kind of a value that is secret because it looks random and its name ends in "key".
pub(super) const RANDOM_KEY: &str = "random value of a key";

/// Finds all secrets in `text`, in order.
pub(super) fn find(text: &str) -> Vec<Form> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let (mut at, mut before) = (0, b' ');
    while let Some(&byte) = bytes.get(at) {
        let is_start = !before.is_ascii_alphanumeric() && before != b'_';
        before = byte;
        let form = if is_start { form_at(text, at, byte) } else { None };
        match form {
            Some((len, name)) => {
                let end = at.saturating_add(len);
                found.push(Form { range: at..end, name });
                before = bytes.get(end.saturating_sub(1)).copied().unwrap_or(b' ');
                at = end;
            }
            None => at = at.saturating_add(1),
        }
    }
    found
}

/// Returns true if `value` looks as if a machine had chosen it: 16 or more letters and digits in no pattern.
pub(super) fn is_random(value: &str) -> bool {
    let bytes = value.as_bytes();
    if bytes.len() < MIN_RANDOM_BYTES
        || !bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/=_-".contains(byte))
    {
        return false;
    }
    let (mut digits, mut letters, mut changes): (usize, usize, usize) = (0, 0, 0);
    let mut before = None;
    for byte in bytes {
        let class = match byte {
            b'0'..=b'9' => {
                digits = digits.saturating_add(1);
                0
            }
            b'a'..=b'z' => 1,
            b'A'..=b'Z' => 2,
            _ => continue,
        };
        letters = letters.saturating_add(usize::from(class > 0));
        changes = changes.saturating_add(usize::from(before.is_some_and(|before| before != class)));
        before = Some(class);
    }
    // Words and dates change between letters and digits once or twice.
    digits >= 2 && letters >= 2 && changes.saturating_mul(6) >= bytes.len()
}

/// Returns the length and kind of the secret that begins at `at`, with the byte `first`.
fn form_at(text: &str, at: usize, first: u8) -> Option<(usize, &'static str)> {
    // Most text is excluded by its first letter.
    if !b"eAgsxr-".contains(&first) {
        return None;
    }
    let rest = text.get(at..)?;
    if first == b'-' {
        return Some((private_key(rest)?, "private key"));
    }
    if first == b'e' {
        return Some((web_token(rest)?, "JSON Web Token"));
    }
    PREFIXES.iter().find_map(|(prefix, min_len, name)| {
        let after = rest.strip_prefix(prefix)?;
        let len = after.bytes().take_while(|byte| is_in_token(*byte)).count();
        // An AWS id has capitals and digits only.
        let fits =
            *min_len != AWS_LEN || (len == AWS_LEN && after.bytes().take(len).all(|byte| !byte.is_ascii_lowercase()));
        (len >= *min_len && fits).then(|| (prefix.len().saturating_add(len), *name))
    })
}

/// Returns the length of `eyJ….….…` (RFC 7519).
fn web_token(rest: &str) -> Option<usize> {
    rest.starts_with("eyJ").then_some(())?;
    let len = rest.bytes().take_while(|byte| is_in_token(*byte) || *byte == b'.').count();
    let token = rest.get(..len)?;
    let mut parts = token.split('.');
    let is_long = |part: Option<&str>| part.is_some_and(|part| part.len() >= 8);
    (is_long(parts.next()) && is_long(parts.next())).then_some(len)
}

/// Returns the length of a private key in PEM. A truncated one ends with the text.
fn private_key(rest: &str) -> Option<usize> {
    let label = rest.strip_prefix("-----BEGIN ")?.get(..40).or_else(|| rest.strip_prefix("-----BEGIN "))?;
    label.split("-----").next().filter(|label| label.ends_with("PRIVATE KEY"))?;
    let end = rest.find("-----END ").and_then(|end| {
        let after = rest.get(end.saturating_add(9)..)?;
        Some(end.saturating_add(14).saturating_add(after.find("-----")?))
    });
    Some(end.unwrap_or(rest.len()))
}

fn is_in_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

const MIN_RANDOM_BYTES: usize = 16;

const AWS_LEN: usize = 16;

/// Prefixes of tokens, the least number of characters after them, and their kinds.
const PREFIXES: &[(&str, usize, &str)] = &[
    ("AKIA", AWS_LEN, "AWS access key"),
    ("ASIA", AWS_LEN, "AWS access key"),
    ("AIza", 30, "Google API key"),
    ("ghp_", 30, "GitHub token"),
    ("gho_", 30, "GitHub token"),
    ("ghu_", 30, "GitHub token"),
    ("ghs_", 30, "GitHub token"),
    ("ghr_", 30, "GitHub token"),
    ("github_pat_", 22, "GitHub token"),
    ("glpat-", 20, "GitLab token"),
    ("sk-", 20, "secret key"),
    ("sk_live_", 16, "secret key"),
    ("sk_test_", 16, "secret key"),
    ("rk_live_", 16, "secret key"),
    ("xoxa-", 10, "Slack token"),
    ("xoxb-", 10, "Slack token"),
    ("xoxe-", 10, "Slack token"),
    ("xoxp-", 10, "Slack token"),
    ("xoxr-", 10, "Slack token"),
    ("xoxs-", 10, "Slack token"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_known_forms() {
        let forty = "a1B2".repeat(10);
        for (text, expected) in [
            (format!("x ghp_{forty}, y"), Some(format!("ghp_{forty}"))),
            (format!("\"sk-proj-{forty}\""), Some(format!("sk-proj-{forty}"))),
            ("id AKIAIOSFODNN7EXAMPLE.".into(), Some("AKIAIOSFODNN7EXAMPLE".into())),
            ("xoxb-1234567890-abc".into(), Some("xoxb-1234567890-abc".into())),
            ("t=eyJhbGciOiJI.eyJzdWIiOiIx.c2ln;".into(), Some("eyJhbGciOiJI.eyJzdWIiOiIx.c2ln".into())),
            (
                "a\n-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----\nb".into(),
                Some("-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----".into()),
            ),
            ("-----BEGIN PRIVATE KEY-----\nMII".into(), Some("-----BEGIN PRIVATE KEY-----\nMII".into())),
            ("-----BEGIN CERTIFICATE-----\nMII".into(), None),
            ("xAKIAIOSFODNN7EXAMPLE ghp_short sk-learn task-aaaaaaaaaaaaaaaaaaaaaaaa eyJhbGciOiJI".into(), None),
            ("AKIAIOSFODNN7EXAMPLE1".into(), None),
        ] {
            let found = find(&text);
            let found: Vec<_> = found.iter().map(|form| &text[form.range.clone()]).collect();
            assert_eq!(found, expected.as_deref().into_iter().collect::<Vec<_>>(), "{text}");
        }
    }

    #[test]
    fn every_form_has_a_byte_that_is_searched_for() {
        for (prefix, _, name) in PREFIXES {
            assert!(prefix.contains(['-', '_', 'A', 'J']), "{name}");
        }
    }

    #[test]
    fn random_values_have_no_pattern() {
        for value in ["a8Zk29xQ71mLp03v", "d41d8cd98f00b204e9800998ecf8427e", "550e8400-e29b-41d4-a716-446655440000"] {
            assert!(is_random(value), "{value}");
        }
        for value in
            ["a8Zk29xQ71mLp03", "my-object-key-2024", "someVeryLongNameHere", "1234567890123456", "a b1 c2 d3 e4 f5 g6"]
        {
            assert!(!is_random(value), "{value}");
        }
    }
}
