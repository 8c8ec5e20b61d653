//! The fuzzed properties: redaction of any text does not panic, removes a known value, and keeps the shape of JSON.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a property is asserted")]

use super::Rules;
use super::edits::applied;
use super::grammar::Grammar;
use super::search::Searcher;
use serde_json::Value;

/// Redacts members `a` and `token` of the text `data`.
pub(crate) fn check_json(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let redacted = redacted(&text, Grammar::of(&text));
    if let Ok(before) = serde_json::from_slice::<Value>(text.as_bytes()) {
        let after: Value = serde_json::from_slice(redacted.as_bytes()).unwrap_or_else(|e| panic!("{e}: {text}"));
        assert_same_shape(&before, &after);
    }
}

/// Redacts the text `data` in each grammar, after a form with a secret. Asserts that the secret, which is also put into the
/// text, is removed.
pub(crate) fn check_text(data: &[u8]) {
    const SECRET: &str = "Q7zX-Zq9J/x=Z8Q&7";
    let data = String::from_utf8_lossy(data);
    let text = data.replace("SECRET", SECRET);
    for grammar in
        [Grammar::Json, Grammar::Xml, Grammar::Url, Grammar::Form, Grammar::Lines, Grammar::Free, Grammar::of(&text)]
    {
        let redacted = redacted(&text, grammar);
        // As free text it is found wherever it stands alone.
        let sought = format!("\n{data} {SECRET} ");
        if grammar == Grammar::Free {
            let redacted = self::redacted(&sought, grammar);
            assert!(!redacted.ends_with(&format!(" {SECRET} ")), "{redacted}");
        }
        let again = self::redacted(&redacted, grammar);
        assert!(again.len() < redacted.len().saturating_mul(30).saturating_add(100));
    }
}

/// Returns `text` after both passes. The first one also sees a secret.
fn redacted(text: &str, grammar: Grammar) -> String {
    let rules = Rules { names: vec!["a".into(), "token".into()], ..Rules::default() };
    let mut searcher = Searcher::new(&rules);
    searcher.secret("a", "Q7zX-Zq9J/x=Z8Q&7");
    searcher.text_of(grammar, text);
    searcher.begin_writing();
    let edits = searcher.text_of(grammar, text);
    assert!(edits.iter().all(|edit| text.get(edit.range.clone()).is_some()), "{edits:?} in {text}");
    assert!(edits.is_sorted_by(|a, b| a.range.end <= b.range.start), "{edits:?} in {text}");
    applied(text, &edits)
}

fn assert_same_shape(before: &Value, after: &Value) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            assert!(before.keys().eq(after.keys()), "{before:?} {after:?}");
            before.values().zip(after.values()).for_each(|(before, after)| assert_same_shape(before, after));
        }
        (Value::Array(before), Value::Array(after)) => {
            assert_eq!(before.len(), after.len());
            before.iter().zip(after).for_each(|(before, after)| assert_same_shape(before, after));
        }
        (before, after) => assert_eq!(std::mem::discriminant(before), std::mem::discriminant(after)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_that_is_a_string_stays_one() {
        let text = "\"a=Q7zX-Zq9J secret;\\u00e9\u{fffd}\"";
        check_json(text.as_bytes());
        check_json("\"A=`;\u{feff}\u{fffd}\"".as_bytes());
        assert!(!redacted("\"token=Q7zXZq9J123\"", Grammar::of("\"token=Q7zXZq9J123\"")).contains("Q7zXZq9J123"));
    }
}
