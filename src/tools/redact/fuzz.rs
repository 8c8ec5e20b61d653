//! The fuzzed property: redaction of JSON in any text does not panic, and valid JSON keeps its shape.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a property is asserted")]

use super::json::members;
use serde_json::Value;
use std::hash::RandomState;

/// Redacts members `a` and `token` of the text `data`.
pub(crate) fn check_json(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let names = ["a".to_owned(), "token".to_owned()];
    let Some(redacted) = members(&text, &names, &RandomState::new()) else { return };
    assert!(redacted.values > 0);
    if let Ok(before) = serde_json::from_slice::<Value>(text.as_bytes()) {
        let after: Value = serde_json::from_slice(redacted.text.as_bytes()).unwrap_or_else(|e| panic!("{e}: {text}"));
        assert_same_shape(&before, &after);
    }
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
