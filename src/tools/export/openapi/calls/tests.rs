//! Calls of both protocols. A test is pairs of bodies, and the members of the operation.

use super::*;
use crate::tools::export::openapi::parse::document;
use crate::tools::export::openapi::testing::written;
use serde_json::{Value, json};

/// Returns the members that describe the calls in pairs of request and answer.
fn described(pairs: &[(Value, Value)]) -> Value {
    let mut all = Calls::default();
    for (sent, received) in pairs {
        let sent = sent.to_string();
        let shapes = [document(sent.as_bytes()), document(received.to_string().as_bytes())];
        let [Some(shape), received] = shapes else { panic!("{sent}") };
        all.merge(Calls::of(sent.as_bytes(), &shape, received.as_ref()), &mut Budget::DOCUMENT.clone());
    }
    written(false, |writer| {
        let mut operation = Object::default();
        all.describe(&mut operation, writer);
        operation.into()
    })
    .0
}

fn one(sent: Value) -> Value {
    described(&[(sent, json!({"result": true, "data": {"a": 1}}))])
}

fn integer(name: &str) -> Value {
    json!({"type": "object", "properties": {name: {"type": "integer"}}, "required": [name]})
}

#[test]
fn calls_of_json_rpc_have_parameters_and_results_by_method() {
    let add = |id: u64| json!({"jsonrpc": "2.0", "id": id, "method": "sum.add", "params": {"a": 1}});
    let pairs = [
        (add(1), json!({"jsonrpc": "2.0", "id": 1, "result": 3})),
        (json!({"jsonrpc": "2.0", "id": 2, "method": "list"}), json!({"result": ["x"]})),
        (add(3), json!({"error": {"code": 1}})),
    ];
    let expected = json!({"x-json-rpc": {
        "sum.add": {"x-exchanges": 2, "params": integer("a"), "result": {"type": "integer"}},
        "list": {"x-exchanges": 1, "result": {"type": "array", "items": {"type": "string"}}},
    }});
    assert_eq!(described(&pairs), expected);
}

#[test]
fn a_notification_has_no_result() {
    let mut all = Calls::default();
    let sent = br#"{"jsonrpc": "2.0", "method": "log", "params": [1]}"#;
    all.merge(Calls::of(sent, &document(sent).unwrap(), None), &mut Budget::DOCUMENT.clone());
    let (call, shape) = (&all.all[0], |shape: &Shape| shape.count());
    assert_eq!((&*call.name, shape(&call.sent), shape(&call.received)), ("log", 1, 0));
}

#[test]
fn calls_in_a_batch_are_counted() {
    let call = |name: &str| json!({"jsonrpc": "2.0", "id": 1, "method": name});
    let expected = json!({"x-json-rpc": {"a": {"x-exchanges": 2}, "b": {"x-exchanges": 1}}});
    assert_eq!(one(json!([call("a"), call("b"), call("a")])), expected);
    assert_eq!(one(json!([call("a")])), json!({"x-json-rpc": {"a": {"x-exchanges": 1}}}), "a batch of one");
}

#[test]
fn a_byte_order_mark_is_skipped() {
    let sent = "\u{feff}{\"jsonrpc\": \"2.0\", \"method\": \"log\"}".as_bytes();
    assert_eq!(Calls::of(sent, &document(sent).unwrap(), None).all.len(), 1);
}

#[test]
fn queries_of_graphql_have_variables_and_data_by_operation() {
    let query = "query GetUser($id: ID!) { user(id: $id) { a } }";
    let expected = json!({"x-graphql": {
        "GetUser": {"x-exchanges": 1, "variables": integer("id"), "data": integer("a")},
    }});
    for sent in [
        json!({"query": query, "variables": {"id": 1}}),
        json!({"operationName": "GetUser", "query": "# none\n{ a }", "variables": {"id": 1}}),
        json!({"operationName": "", "query": query, "variables": {"id": 1}}),
        json!({"operationName": null, "query": query, "variables": {"id": 1}}),
        // A persisted query.
        json!({"operationName": "GetUser", "extensions": {"persistedQuery": {"version": 1}}, "variables": {"id": 1}}),
    ] {
        assert_eq!(one(sent.clone()), expected, "{sent}");
    }
}

#[test]
fn queries_without_a_name_are_anonymous() {
    for sent in [
        json!({"query": "{ user { id } }"}),
        json!({"query": "query ($id: ID!) { user(id: $id) { id } }"}),
        json!({"operationName": "a whole sentence", "query": "{ a }"}),
    ] {
        let described = one(sent.clone());
        assert_eq!(described["x-graphql"]["(anonymous)"]["x-exchanges"], json!(1), "{sent}");
        assert_eq!(described["x-graphql"].as_object().unwrap().len(), 1, "{sent}");
    }
}

#[test]
fn batches_of_graphql_are_counted() {
    let queries = json!([{"query": "query A { a }"}, {"query": "query B { b }"}, {"query": "query A { a }"}]);
    assert_eq!(one(queries), json!({"x-graphql": {"A": {"x-exchanges": 2}, "B": {"x-exchanges": 1}}}));
}

#[test]
fn other_bodies_are_no_calls() {
    for sent in [
        json!({"method": "transfer", "params": {}}),
        json!({"jsonrpc": "2.0", "method": "a sentence"}),
        json!({"jsonrpc": "2.0", "method": ""}),
        json!({"jsonrpc": "2.0", "method": 1}),
        json!({"query": "boots"}),
        json!({"query": {"match": {"a": "{"}}}),
        json!({"operationName": "Save"}),
        json!(["2.0", "secret"]),
        json!([["2.0", "secret"]]),
        json!([[], {"jsonrpc": "2.0", "method": "a"}]),
        json!("{"),
        json!([]),
    ] {
        assert_eq!(one(sent.clone()), json!({}), "{sent}");
    }
}

#[test]
fn calls_are_limited() {
    let batch: Vec<_> = (0..=MAX_CALLS).map(|n| json!({"jsonrpc": "2.0", "method": format!("m{n}")})).collect();
    let described = one(json!(batch));
    assert_eq!(described["x-json-rpc"].as_object().unwrap().len(), MAX_CALLS);
    assert_eq!(described["x-calls-left-out"], json!(true));
}
