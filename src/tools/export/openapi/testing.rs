//! Shapes and documents for the unit tests.

use super::components::Components;
use super::json_value::Json;
use super::schema::SchemaWriter;
use super::shape::{Budget, Shape};
use crate::bundle::reader::Header;
use serde_json::Value;

/// Returns the header fields in lines such as `content-type: text/plain`.
pub(super) fn headers(lines: &str) -> Vec<Header> {
    let fields = lines.lines().filter_map(|line| line.split_once(": "));
    fields.map(|(name, value)| Header { name: name.into(), value: value.into() }).collect()
}

/// Returns the shape of values in bodies of their own.
pub(super) fn shape(documents: &[Value]) -> Shape {
    let mut shape = Shape::default();
    for json in documents {
        let other = super::parse::document(json.to_string().as_bytes()).unwrap();
        shape.merge(other, &mut Budget::DOCUMENT.clone());
    }
    shape
}

/// Calls `write` with a writer of schemas, and returns the result and the components.
pub(super) fn written(has_examples: bool, write: impl FnOnce(&mut SchemaWriter<'_>) -> Json) -> (Value, Value) {
    let mut components = Components::default();
    let json = write(&mut SchemaWriter { components: &mut components, has_examples });
    (value(&json), value(&components.into_schemas().into()))
}

/// Returns the schema of values without the use of examples. It has no components.
pub(super) fn schema(documents: &[Value]) -> Value {
    let (schema, components) = written(false, |writer| writer.schema(&shape(documents), "thing"));
    assert_eq!(components, serde_json::json!({}));
    schema
}

pub(super) fn value(json: &Json) -> Value {
    serde_json::to_value(json).unwrap()
}
