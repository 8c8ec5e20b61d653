//! Compares schemas of bodies.

use super::{compared, lines, object, operation, recursive, response};
use serde_json::{Value, json};

/// Compares two schemas of a response, and returns the lines without `GET /x 200`.
fn schemas(earlier: Value, present: Value) -> Vec<String> {
    let lines = lines(response(earlier), response(present));
    lines.iter().map(|line| line.replacen("GET /x 200: ", "", 1)).collect()
}

#[test]
fn members_come_and_go() {
    let owner = |name: &str| object(json!({"owner": object(json!({ name: {"type": "string"} }))}));
    let list = |name: &str| object(json!({"data": {"type": "array", "items": owner(name)}}));
    assert_eq!(schemas(list("name"), list("login")), ["new: data[].owner.login", "gone: data[].owner.name"]);
    let root = |name: &str| json!({"type": "array", "items": {"type": "array", "items": owner(name)}});
    assert_eq!(schemas(root("a"), root("b")), ["gone: [][].owner.a", "new: [][].owner.b"]);
    assert_eq!(schemas(object(json!({})), owner("name")), ["new: owner"], "the contents are not listed again");
    let request =
        |schema: Value| operation(json!({"requestBody": {"content": {"application/json; a=b": {"schema": schema}}}}));
    assert_eq!(lines(request(owner("a")), request(object(json!({})))), ["gone: GET /x request: owner"]);
    let any = operation(json!({"responses": {"200": {"content": {"*/*": {"schema": owner("b")}}}}}));
    assert_eq!(lines(any, response(owner("a"))), ["new: GET /x 200: owner.a", "gone: GET /x 200: owner.b"]);
    let xml = |schema: Value| operation(json!({"responses": {"200": {"content": {"text/xml": {"schema": schema}}}}}));
    assert_eq!(lines(xml(object(json!({}))), xml(owner("a"))), ["new: GET /x 200 text/xml: owner"]);
}

#[test]
fn names_of_members_are_unambiguous() {
    let names = object(json!({"a.b": {}, "": {}, "c[]": {}, "d: e": {}, "é-1_$@": {}, "x\u{1b}": {}, "y\"": {}}));
    assert_eq!(
        schemas(object(json!({})), names),
        [
            "new: \"\"",
            "new: \"a.b\"",
            "new: \"c[]\"",
            "new: \"d: e\"",
            "new: \"x\\u001b\"",
            "new: \"y\\\"\"",
            "new: é-1_$@"
        ]
    );
    let long = "n".repeat(1000);
    let listed = schemas(object(json!({})), object(json!({ long: {} })));
    assert_eq!(listed, [format!("new: {}…", "n".repeat(200))]);
}

#[test]
fn types_of_a_value_come_and_go() {
    let none: [&str; 0] = [];
    let types = |earlier: Value, present: Value| schemas(object(json!({"a": earlier})), object(json!({"a": present})));
    let typed = |types: Value| json!({"type": types});
    assert_eq!(types(typed("string".into()), typed(json!(["null", "string"]))), ["changed: a: string -> string, null"]);
    assert_eq!(types(typed(json!(["string", "null"])), typed("string".into())), ["changed: a: string, null -> string"]);
    assert_eq!(
        types(typed("string".into()), json!({"type": "string", "nullable": true})),
        ["changed: a: string -> string, null"]
    );
    assert_eq!(types(typed("integer".into()), typed("number".into())), ["changed: a: integer -> number"]);
    assert_eq!(types(typed("number".into()), typed("integer".into())), none, "an integer is a number");
    assert_eq!(types(typed(json!(["integer", "number"])), typed("number".into())), none);
    assert_eq!(
        types(object(json!({"b": {}})), json!({"type": "array", "items": {"type": "string"}})),
        ["changed: a: object -> array"]
    );
    assert_eq!(
        schemas(typed("array".into()), typed("object".into())),
        ["changed: GET /x 200: array -> object"][..]
            .iter()
            .map(|line| line.replace("GET /x 200: ", ""))
            .collect::<Vec<_>>()
    );
    for implied in [json!({"enum": ["a", null]}), json!({"anyOf": [{"const": "a"}, {"type": "null"}]})] {
        assert_eq!(types(implied, typed(json!(["string", "null"]))), none);
    }
    assert_eq!(types(json!({"const": 1}), json!({"const": 1.5})), ["changed: a: integer -> number"]);
    assert_eq!(types(json!({"properties": {}}), json!({"items": {}})), ["changed: a: object -> array"]);
}

#[test]
fn a_schema_for_any_value_is_not_compared() {
    let none: [&str; 0] = [];
    let described = object(json!({"b": {"type": "string"}}));
    for any in [
        json!({}),
        json!(true),
        json!({"description": "x"}),
        json!({"nullable": true}),
        json!({"anyOf": [{}, {"type": "string"}]}),
        json!({"oneOf": [true, {"type": "string"}]}),
        json!({"type": "nonsense"}),
        json!(7),
        json!({"allOf": [{"required": ["c"]}]}),
    ] {
        for (earlier, present) in [(&any, &described), (&described, &any)] {
            assert_eq!(schemas(object(json!({"a": earlier})), object(json!({"a": present}))), none, "{any}");
            assert_eq!(schemas(earlier.clone(), present.clone()), none, "{any}");
        }
    }
    let without = operation(json!({"responses": {"200": {"content": {"application/json": {}}}}}));
    assert_eq!(lines(without, response(described)), none);
}

#[test]
fn elements_come_and_go() {
    let array = |items: Value| json!({"type": "array", "items": items});
    let empty = json!({"type": "array"});
    let described = object(json!({"a": {}}));
    assert_eq!(schemas(empty.clone(), array(described.clone())), ["new: []"]);
    assert_eq!(
        schemas(object(json!({"d": array(described.clone())})), object(json!({"d": empty.clone()}))),
        ["gone: d[]"]
    );
    assert_eq!(schemas(empty, array(json!({}))), [""; 0]);
    assert_eq!(schemas(array(described.clone()), array(json!({}))), ["gone: []"], "only empty arrays were captured");
    assert_eq!(schemas(array(json!(true)), array(described.clone())), ["new: []"]);
    let elsewhere = compared(response(array(json!({"$ref": "x.json"}))), response(array(described.clone())));
    assert_eq!((elsewhere.count(), elsewhere.unresolved), (0, 1));
    let tuple = json!({"type": "array", "prefixItems": [described, {"type": "string"}], "items": false});
    assert_eq!(schemas(tuple, array(json!({"type": ["string", "object"]}))), ["gone: [].a"]);
}

#[test]
fn an_incomplete_document_may_lack_members() {
    let inner = |name: &str| object(json!({"a": object(json!({ name: {"type": "string"} }))}));
    let mut incomplete = inner("x");
    incomplete["properties"]["a"]["x-incomplete"] = true.into();
    assert_eq!(schemas(inner("y"), incomplete.clone()), ["new: a.x"]);
    assert_eq!(schemas(incomplete.clone(), inner("y")), ["gone: a.x"]);
    assert_eq!(schemas(inner("y"), incomplete["properties"]["a"].clone()), ["new: x"], "it lacks 'a'");
    let parameters = |name: &str| operation(json!({"parameters": [{"in": "query", "name": name}]}));
    let mut incomplete = parameters("x");
    incomplete["paths"]["/x"]["get"]["x-parameters-left-out"] = true.into();
    assert_eq!(lines(parameters("y"), incomplete.clone()), ["new: GET /x query parameter x"]);
    assert_eq!(lines(incomplete, parameters("y")), ["gone: GET /x query parameter x"]);
}

#[test]
fn schemas_of_a_value_are_united() {
    let none: [&str; 0] = [];
    let plain = object(json!({"a": {"type": "string"}, "b": {"type": "integer"}}));
    let (a, b) = (object(json!({"a": {"type": "string"}})), object(json!({"b": {"type": "integer"}})));
    for (keyword, referring) in [("allOf", false), ("oneOf", true), ("anyOf", true)] {
        let united = json!({keyword: [a, {"type": "object", "properties": {"b": {"type": "integer"}}}]});
        assert_eq!(schemas(united.clone(), plain.clone()), none, "{keyword}");
        assert_eq!(schemas(plain.clone(), united), none, "{keyword}");
        let mut document = response(json!({keyword: [{"$ref": "#/components/schemas/A"}, b]}));
        document["components"] = json!({"schemas": {"A": {"$ref": "#/components/schemas/B"}, "B": a}});
        assert_eq!(lines(document, response(plain.clone())), none, "{keyword} {referring}");
    }
    let conditions = json!({"type": "object", "properties": {"a": {"type": "string"}}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]});
    assert_eq!(schemas(conditions, plain.clone()), ["new: b"]);
    let conditions = json!({"allOf": [a, {"required": ["a"]}]});
    assert_eq!(schemas(conditions, plain.clone()), ["new: b"]);
    let conditions = json!({"allOf": [a], "oneOf": [{"required": ["a"]}, {"required": ["b"]}]});
    assert_eq!(schemas(conditions, plain), ["new: b"]);
}

#[test]
fn other_members_are_a_star() {
    let none: [&str; 0] = [];
    let number = json!({"type": "integer"});
    let map = json!({"type": "object", "additionalProperties": number});
    let named = object(json!({"a": number, "b": number}));
    assert_eq!(schemas(map.clone(), object(json!({}))), ["gone: *"]);
    assert_eq!(schemas(object(json!({})), object(json!({"d": map}))), ["new: d"]);
    assert_eq!(schemas(named.clone(), map.clone()), none, "the star covers names");
    assert_eq!(schemas(map.clone(), named), none);
    let text = object(json!({"a": {"type": "string"}}));
    assert_eq!(schemas(map.clone(), text.clone()), ["changed: *: integer -> string"]);
    let of_objects = |name: &str| json!({"type": "object", "additionalProperties": object(json!({ name: {} }))});
    assert_eq!(schemas(of_objects("x"), of_objects("y")), ["gone: *.x", "new: *.y"]);
    let patterns = json!({"type": "object", "patternProperties": {"^x-": {"type": "integer"}}});
    assert_eq!(schemas(patterns, map), none);
    let free = json!({"type": "object", "additionalProperties": true});
    assert_eq!(schemas(free, text.clone()), none, "any members are allowed");
    let mut open = object(json!({"a": {"type": "string"}}));
    for others in [json!(true), json!({}), json!(false)] {
        open["additionalProperties"] = others;
        assert_eq!(schemas(open.clone(), object(json!({"a": {}, "b": {}}))), ["new: b"]);
    }
    assert_eq!(schemas(object(json!({"a": false})), object(json!({"a": {"type": "string"}}))), ["new: a"]);
}

#[test]
fn recursive_schemas_are_compared_as_far_as_the_other_document_goes() {
    let node = |children: Value, parent: Value| {
        object(json!({"name": {"type": "string"}, "children": {"type": "array", "items": children}, "parent": parent}))
    };
    let text = json!({"type": "string"});
    let leaf = node(object(json!({"name": text})), json!({"type": ["object", "null"], "properties": {"name": text}}));
    assert_eq!(lines(recursive(), recursive()), [""; 0]);
    assert_eq!(lines(recursive(), response(leaf.clone())), [""; 0], "children of children may lack children");
    assert_eq!(lines(response(leaf), recursive()), [""; 0]);
    let grown =
        node(node(object(json!({"name": text, "size": text})), json!({"type": "null"})), json!({"type": "null"}));
    assert_eq!(
        lines(recursive(), response(grown)),
        ["new: GET /x 200: children[].children[].size", "changed: GET /x 200: parent: object, null -> null"]
    );
    assert_eq!(
        lines(recursive(), response(object(json!({"name": text})))),
        ["gone: GET /x 200: children", "gone: GET /x 200: parent"]
    );
}
