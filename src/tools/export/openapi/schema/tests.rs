//! Schemas of JSON documents. A test is documents, and their schema.

use crate::tools::export::openapi::testing::{schema, shape, written};
use serde_json::{Value, json};

/// Returns the schema of objects with the member `m`, and `others`.
fn of_member(values: &[Value]) -> Value {
    let documents: Vec<_> = values.iter().map(|value| json!({"state": value})).collect();
    schema(&documents)["properties"]["state"].clone()
}

/// Returns the schema of documents and the components.
fn with_components(documents: &[Value]) -> (Value, Value) {
    written(false, |writer| writer.schema(&shape(documents), "thing"))
}

#[test]
fn members_of_all_objects_are_required() {
    let expected = json!({
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": ["string", "null"]}, "c": {"type": "boolean"}},
        "required": ["a", "b"],
    });
    let documents = [json!({"a": 1, "b": "x y"}), json!({"a": 2, "b": null, "c": true})];
    assert_eq!(schema(&documents), expected);
}

#[test]
fn several_types_at_one_place_are_listed() {
    assert_eq!(
        of_member(&[json!(1), json!("x y"), json!([true])]),
        json!({
            "type": ["array", "string", "integer"], "items": {"type": "boolean"},
        })
    );
    assert_eq!(of_member(&[json!(1), json!(1.5)]), json!({"type": "number"}));
    assert_eq!(of_member(&[json!(null)]), json!({"type": "null"}));
    assert_eq!(of_member(&[json!([])]), json!({"type": "array", "items": {}}));
}

#[test]
fn formats_are_those_of_all_strings() {
    for (values, expected) in [
        (&["2026-01-31", "2026-02-01"][..], json!({"type": "string", "format": "date"})),
        (&["2026-01-31T10:00:00Z"], json!({"type": "string", "format": "date-time"})),
        (&["2026-01-31", "soon and later"], json!({"type": "string"})),
        (&["17", "-4"], json!({"type": "string", "pattern": "^-?[0-9]+$"})),
    ] {
        let values: Vec<_> = values.iter().map(|text| json!(text)).collect();
        assert_eq!(of_member(&values), expected, "{values:?}");
    }
}

#[test]
fn enumerations_need_many_bodies_several_words_and_the_name_of_a_code() {
    let seen = |word: &str, count: usize| vec![json!(word); count];
    let states = [seen("open", 10), seen("done", 10)].concat();
    assert_eq!(of_member(&states), json!({"type": "string", "enum": ["done", "open"]}));
    let with_null = [states.clone(), vec![json!(null)]].concat();
    assert_eq!(of_member(&with_null), json!({"type": ["string", "null"], "enum": ["done", "open", null]}));
    assert_eq!(of_member(&[seen("open", 10), seen("done", 9)].concat()), json!({"type": "string"}), "few bodies");
    assert_eq!(of_member(&seen("open", 20)), json!({"type": "string"}), "one word");
    assert_eq!(of_member(&[states.clone(), vec![json!(1)]].concat())["enum"], json!(null), "other values");
    let named = |name: &str| {
        let documents: Vec<_> = states.iter().map(|state| json!({name: state})).collect();
        schema(&documents)["properties"][name]["enum"].is_array()
    };
    assert!(named("orderState") && !named("assignee") && !named("owner") && !named("password") && !named("user_name"));
}

#[test]
fn examples_are_words_of_few_bodies_too() {
    let documents = [json!({"state": "open", "password": "open"}), json!({"state": "Done", "password": "done"})];
    let (schema, _) = written(true, |writer| writer.schema(&shape(&documents), ""));
    assert_eq!(schema["properties"]["state"]["enum"], json!(["Done", "open"]));
    assert_eq!(schema["properties"]["password"], json!({"type": "string"}));
}

#[test]
fn keys_of_data_are_not_written() {
    let objects = [json!({"m": {"17": {"a": 1}, "18": {"a": 2, "b": null}}})];
    let values = json!({
        "type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "null"}}, "required": ["a"],
    });
    let expected = json!({"type": "object", "additionalProperties": values});
    assert_eq!(schema(&objects)["properties"]["m"], expected);
}

#[test]
fn objects_that_exclude_each_other_are_alternatives() {
    let (card, bank) = (json!({"kind": "card", "last": 1}), json!({"kind": "bank", "iban": "a b"}));
    let kind = |tag: &Value, name: &str, value: &str, names: [&str; 2]| json!({"type": "object", "properties": {"kind": tag, name: {"type": value}}, "required": names});
    let few = [card.clone(), bank.clone(), card.clone(), bank.clone()];
    let text = json!({"type": "string"});
    let alternatives = |card_tag: &Value, bank_tag: &Value| {
        let mut card = kind(card_tag, "last", "integer", ["kind", "last"]);
        let mut bank = kind(bank_tag, "iban", "string", ["iban", "kind"]);
        for schema in [&mut card, &mut bank] {
            schema["required"].as_array_mut().unwrap().sort_by_key(ToString::to_string);
        }
        json!([card, bank])
    };
    assert_eq!(schema(&few), json!({"oneOf": alternatives(&text, &text)}));
    let many: Vec<_> = few.iter().cycle().take(20).cloned().collect();
    let tag = |word: &str| json!({"enum": [word]});
    assert_eq!(schema(&many), json!({"oneOf": alternatives(&tag("card"), &tag("bank"))}));
    let in_one_body = schema(&[Value::Array(many)]);
    assert_eq!(in_one_body["items"], json!({"oneOf": alternatives(&text, &text)}), "words are counted by bodies");
    let with_null = [few.to_vec(), vec![json!(null)]].concat();
    assert_eq!(schema(&with_null)["oneOf"][2], json!({"type": "null"}));
}

#[test]
fn objects_within_objects_of_their_kind_refer_to_a_component() {
    let tree = json!({"id": 1, "children": [{"id": 2, "children": [{"id": 3, "children": []}]}]});
    let (schema, components) = with_components(&[tree]);
    assert_eq!(schema, json!({"$ref": "#/components/schemas/Thing"}));
    let expected = json!({"Thing": {
        "type": "object",
        "properties": {
            "children": {"type": "array", "items": {"$ref": "#/components/schemas/Thing"}},
            "id": {"type": "integer"},
        },
        "required": ["children", "id"],
    }});
    assert_eq!(components, expected);
}

#[test]
fn other_values_stand_beside_a_reference() {
    let tree = json!({"id": 1, "next": {"id": 2, "next": {"id": 3, "next": null}}});
    let (_, components) = with_components(&[tree]);
    let next = &components["Thing"]["properties"]["next"];
    let reference = json!({"$ref": "#/components/schemas/Thing"});
    assert_eq!(*next, json!({"anyOf": [reference, {"type": "null"}]}));
}

#[test]
fn objects_that_happen_to_have_the_same_names_are_no_recursion() {
    let flat = json!({"id": 1, "name": {"id": 2, "name": 3, "more": 4}});
    assert_eq!(with_components(&[flat]).1, json!({}), "other names");
    let alike = json!({"id": 1, "of": {"inner": {"id": 2, "of": null}}});
    assert_eq!(with_components(&[alike]).1, json!({}), "they cannot contain the next ones at the same place");
}

#[test]
fn parts_that_are_left_out_are_marked() {
    let long = "n".repeat(300);
    assert_eq!(schema(&[json!({long: 1})]), json!({"type": "object", "x-incomplete": true}));
}
