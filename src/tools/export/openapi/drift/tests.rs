//! Compares pairs of small documents. A test is two documents and the lines that are shown.

mod schemas;

use super::fuzz::check_comparison;
use super::*;
use crate::wire::mutations::mutations;
use serde_json::{Value, json};

/// Compares documents with these members besides `openapi`.
fn compared(earlier: Value, present: Value) -> Changes {
    changes(&read(&earlier), &read(&present))
}

fn read(members: &Value) -> Document {
    let mut document = members.clone();
    document["openapi"] = "3.1.0".into();
    Document::parse(document.to_string().as_bytes()).unwrap()
}

fn lines(earlier: Value, present: Value) -> Vec<String> {
    let changes = compared(earlier, present);
    assert!(changes.is_complete && changes.unresolved == 0, "{changes:?}");
    assert_eq!(changes.count(), changes.listed.len() as u64);
    changes.listed.iter().map(Change::to_string).collect()
}

/// Returns a document with `GET` at each of these paths.
fn paths(paths: &[&str]) -> Value {
    let items: serde_json::Map<_, _> = paths.iter().map(|path| ((*path).to_owned(), json!({"get": {}}))).collect();
    json!({ "paths": items })
}

/// Returns a document with the operation `GET /x`.
fn operation(operation: Value) -> Value {
    json!({"paths": {"/x": {"get": operation}}})
}

/// Returns a document in which `GET /x` responds with JSON of this schema.
fn response(schema: Value) -> Value {
    operation(json!({"responses": {"200": {"content": {"application/json": {"schema": schema}}}}}))
}

fn object(properties: Value) -> Value {
    json!({"type": "object", "properties": properties})
}

#[test]
fn operations_come_and_go() {
    let earlier = json!({"paths": {"/users": {"get": {}, "post": {"responses": {"200": {}}}}, "/old": {"delete": {}}}});
    let present = json!({"paths": {"/users": {"get": {}, "summary": "x", "parameters": []}, "/new": {"put": {}}, "x-a": {"get": {}}}});
    assert_eq!(lines(earlier, present), ["new: PUT /new", "gone: DELETE /old", "gone: POST /users"]);
}

#[test]
fn names_of_path_parameters_do_not_matter() {
    let none: [&str; 0] = [];
    assert_eq!(lines(paths(&["/users/{id}"]), paths(&["/users/{userId}"])), none);
    assert_eq!(lines(paths(&["/a/{b}/c/{d}.json"]), paths(&["/a/{x}/c/{y}.json"])), none);
    assert_eq!(
        lines(paths(&["/a/{b}.json"]), paths(&["/a/{b}.xml"])),
        ["gone: GET /a/{b}.json", "new: GET /a/{b}.xml"]
    );
    let path = |name: &str| operation(json!({"parameters": [{"in": "path", "name": name}]}));
    assert_eq!(lines(path("a"), path("b")), none);
}

#[test]
fn a_template_covers_literal_paths() {
    let none: [&str; 0] = [];
    let (literals, template) = (paths(&["/users/alice", "/users/bob"]), paths(&["/users/{userId}"]));
    assert_eq!(lines(literals.clone(), template.clone()), none);
    assert_eq!(lines(template, literals), none);
    assert_eq!(
        lines(paths(&["/users/{id}", "/users/me"]), paths(&["/users/me", "/users/{userId}", "/{a}/{b}"])),
        ["new: GET /{a}/{b}"],
        "a path that both documents have stands for itself"
    );
    assert_eq!(
        lines(paths(&["/a/alice", "/a/{b}/c"]), paths(&["/a/{b}", "/a/{b}/d"])),
        ["gone: GET /a/{b}/c", "new: GET /a/{b}/d"]
    );
    assert_eq!(lines(paths(&["/a/b/c"]), paths(&["/a/{x}/c", "/{y}/{z}/c"])), ["new: GET /{y}/{z}/c"]);
    let post = json!({"paths": {"/users/alice": {"post": {}}}});
    assert_eq!(
        lines(post, paths(&["/users/{id}"])),
        ["gone: POST /users/alice", "new: GET /users/{id}"],
        "methods are not mixed"
    );
}

#[test]
fn the_contents_of_covered_paths_are_united() {
    let documented = |path: &str, name: &str| {
        let mut document = response(object(json!({ name: {"type": "string"} })));
        let item = document["paths"].as_object_mut().unwrap().remove("/x").unwrap();
        document["paths"][path] = item;
        document
    };
    let mut both = documented("/u/a", "first");
    both["paths"]["/u/b"] = documented("/u/b", "second")["paths"]["/u/b"].clone();
    let template = documented("/u/{id}", "first");
    assert_eq!(lines(both.clone(), template.clone()), ["gone: GET /u/{id} 200: second"]);
    assert_eq!(lines(template, both), ["new: GET /u/{id} 200: second"]);
}

#[test]
fn base_paths_of_servers_belong_to_paths() {
    let none: [&str; 0] = [];
    let with = |servers: Value, path: &str| json!({"servers": servers, "paths": {path: {"get": {}}}});
    let plain = paths(&["/v1/users"]);
    let server = |url: &str| json!([{"url": url}]);
    assert_eq!(lines(with(server("https://a.example/v1/"), "/users"), plain.clone()), none);
    assert_eq!(lines(plain.clone(), with(server("/v1"), "/users")), none);
    assert_eq!(
        lines(with(server("/v2"), "/users"), plain.clone()),
        ["new: GET /v1/users", "gone: GET /v2/users"],
        "the path is shown in full"
    );
    let several = with(json!([{"url": "https://a.example"}, {"url": "https://b.example/v1"}]), "/users");
    assert_eq!(lines(several.clone(), plain.clone()), none, "any server counts");
    assert_eq!(lines(plain.clone(), several.clone()), none);
    let reversed = with(json!([{"url": "/v1"}, {"url": "/"}]), "/users");
    assert_eq!(lines(several, reversed), none);
    let own = json!({"servers": server("/v7"), "paths": {"/users": {"servers": server("/v1"), "get": {}}}});
    assert_eq!(lines(own, plain.clone()), none);
    let own = json!({"paths": {"/users": {"get": {"servers": server("/v1")}}}});
    assert_eq!(lines(own, plain), none);
}

#[test]
fn statuses_come_and_go() {
    let statuses = |statuses: &[&str]| {
        let responses: serde_json::Map<_, _> =
            statuses.iter().map(|status| ((*status).to_owned(), json!({}))).collect();
        operation(json!({ "responses": responses }))
    };
    let compared = |earlier: &[&str], present: &[&str]| lines(statuses(earlier), statuses(present));
    let none: [&str; 0] = [];
    assert_eq!(compared(&["200", "404", "x-a"], &["200", "500"]), ["gone: GET /x 404", "new: GET /x 500"]);
    assert_eq!(compared(&["200", "4XX"], &["200", "404", "409"]), none);
    assert_eq!(compared(&["2xx"], &["2XX"]), none);
    assert_eq!(compared(&["404"], &["4XX"]), none);
    assert_eq!(compared(&["200", "default"], &["200", "404"]), none);
    assert_eq!(compared(&["200", "4XX", "default"], &["200", "201"]), ["gone: GET /x 4XX"]);
    assert_eq!(compared(&["200"], &["200", "default"]), none, "any status may never occur");
    assert_eq!(compared(&["", "é"], &["200"]), ["new: GET /x 200", "gone: GET /x é"]);
}

#[test]
fn media_types_come_and_go() {
    let media = |request: &[&str], response: &[&str]| {
        let content = |types: &[&str]| -> serde_json::Map<_, _> {
            types.iter().map(|media| ((*media).to_owned(), json!({}))).collect()
        };
        let response = json!({"200": {"content": content(response)}});
        operation(json!({"requestBody": {"content": content(request)}, "responses": response}))
    };
    let none: [&str; 0] = [];
    assert_eq!(
        lines(media(&["text/csv"], &["a/b", "c/d"]), media(&["text/xml"], &["a/b", "e/f"])),
        [
            "gone: GET /x 200 c/d",
            "new: GET /x 200 e/f",
            "gone: GET /x request text/csv",
            "new: GET /x request text/xml"
        ]
    );
    assert_eq!(lines(media(&["Text/CSV; charset=UTF-8"], &[]), media(&["text/csv"], &[])), none);
    assert_eq!(lines(media(&["text/*"], &["*/*"]), media(&["text/csv", "text/xml"], &["a/b"])), none);
    let without = operation(json!({"responses": {"200": {}}}));
    assert_eq!(lines(media(&["a/b"], &[]), without), ["gone: GET /x request a/b"]);
}

#[test]
fn parameters_come_and_go() {
    let parameters = |list: Value| operation(json!({ "parameters": list }));
    let one = |location: &str, name: &str| json!({"in": location, "name": name});
    let earlier =
        parameters(json!([one("query", "limit"), one("header", "X-Id"), one("cookie", "a"), one("path", "p")]));
    let present =
        parameters(json!([one("query", "offset"), one("header", "x-id"), one("cookie", "A"), one("query", "X-Id")]));
    assert_eq!(
        lines(earlier, present),
        [
            "new: GET /x cookie parameter A",
            "gone: GET /x cookie parameter a",
            "new: GET /x query parameter X-Id",
            "gone: GET /x query parameter limit",
            "new: GET /x query parameter offset"
        ]
    );
    let of_path = json!({"paths": {"/x": {"get": {}, "parameters": [one("query", "limit")]}}});
    assert_eq!(lines(of_path, parameters(json!([one("query", "limit")]))), [""; 0]);
}

#[test]
fn lines_events_and_calls_are_compared() {
    let text = |media: &str, more: Value| {
        let mut content = json!({"schema": {"type": "string"}});
        content.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        operation(json!({"responses": {"200": {"content": {media: content}}}}))
    };
    let with = |name: &str| object(json!({ name: {"type": "string"} }));
    let line = |name: &str| text("application/x-ndjson", json!({"x-item-schema": with(name)}));
    assert_eq!(
        lines(line("a"), line("b")),
        ["gone: GET /x 200 application/x-ndjson line: a", "new: GET /x 200 application/x-ndjson line: b"]
    );
    let embedded = |name: &str| text("text/x", json!({"schema": {"type": "string", "contentSchema": with(name)}}));
    assert_eq!(lines(embedded("a"), embedded("b")), ["gone: GET /x 200 text/x: a", "new: GET /x 200 text/x: b"]);
    assert_eq!(lines(embedded("a"), text("text/x", json!({}))), [""; 0]);
    let event =
        |event: &str, name: &str| text("text/event-stream", json!({"x-events": {"all": with(name), event: {}}}));
    assert_eq!(
        lines(event("e", "a"), event("f", "b")),
        [
            "gone: GET /x 200 text/event-stream event all: a",
            "new: GET /x 200 text/event-stream event all: b",
            "gone: GET /x 200 text/event-stream event e",
            "new: GET /x 200 text/event-stream event f"
        ]
    );
    let call = |call: &str, name: &str| operation(json!({"x-graphql": {"All": {"data": with(name)}, call: {}}}));
    assert_eq!(
        lines(call("GetA", "a"), call("GetB", "b")),
        [
            "gone: GET /x GraphQL All data: a",
            "new: GET /x GraphQL All data: b",
            "gone: GET /x GraphQL GetA",
            "new: GET /x GraphQL GetB"
        ]
    );
    assert_eq!(lines(operation(json!({})), call("GetA", "a")), [""; 0], "others do not list calls");
    let mut incomplete = call("GetA", "a");
    incomplete["paths"]["/x"]["get"]["x-calls-left-out"] = true.into();
    assert_eq!(lines(call("GetB", "a"), incomplete.clone()), ["new: GET /x GraphQL GetA"]);
    assert_eq!(lines(incomplete, call("GetB", "a")), ["gone: GET /x GraphQL GetA"]);
    let messages = |name: &str| operation(json!({"x-websocket": {"sent": {"schema": with(name)}, "protocols": ["x"]}}));
    assert_eq!(
        lines(messages("a"), messages("b")),
        ["gone: GET /x WebSocket sent: a", "new: GET /x WebSocket sent: b"]
    );
}

#[test]
fn references_are_followed_everywhere() {
    let inlined = json!({"paths": {"/x": {
        "get": {
            "parameters": [{"in": "query", "name": "limit"}],
            "requestBody": {"content": {"text/csv": {}}},
            "responses": {"200": {"content": {"application/json": {"schema": {"type": "string"}}}}},
        },
    }}});
    let referring = json!({
        "paths": {"/x": {"$ref": "#/components/pathItems/X"}},
        "components": {
            "pathItems": {"X": {"get": {
                "parameters": [{"$ref": "#/components/parameters/limit"}],
                "requestBody": {"$ref": "#/components/requestBodies/a~1b"},
                "responses": {"200": {"$ref": "#/components/responses/%41%7e0%25"}},
            }}},
            "parameters": {"limit": {"in": "query", "name": "limit"}},
            "requestBodies": {"a/b": {"content": {"text/csv": {}}}},
            "responses": {"A~%": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/S"}}}}},
            "schemas": {"S": {"type": "string"}},
        },
    });
    assert_eq!(lines(referring.clone(), inlined.clone()), [""; 0]);
    assert_eq!(lines(inlined, referring), [""; 0]);
}

#[test]
fn references_that_lead_nowhere_are_counted() {
    let described = object(json!({"a": {"type": "string"}}));
    for reference in [
        "other.yaml#/User",
        "#/components/schemas/None",
        "#x",
        "https://a.example/",
        &format!("#/{}", "a".repeat(5000)),
    ] {
        let with = |schema: Value| response(object(json!({"b": schema, "c": {}})));
        let changes = compared(with(json!({"$ref": reference})), with(described.clone()));
        assert_eq!((changes.count(), changes.unresolved, changes.is_complete), (0, 1, true), "{reference}");
    }
    let changes = compared(json!({"paths": {"/x": {"$ref": "x.yaml"}, "/y": {"$ref": "x.yaml"}}}), paths(&["/x"]));
    assert_eq!((changes.new, changes.unresolved), (1, 1));
}

/// A document with `Node`, whose `children` are nodes.
fn recursive() -> Value {
    let node = json!({"type": "object", "properties": {
        "name": {"type": "string"},
        "children": {"type": "array", "items": {"$ref": "#/components/schemas/Node"}},
        "parent": {"allOf": [{"$ref": "#/components/schemas/Node"}], "nullable": true},
    }});
    let mut document = response(json!({"$ref": "#/components/schemas/Node"}));
    document["components"] = json!({"schemas": {"Node": node}});
    document
}

#[test]
fn cyclic_references_end() {
    let cycles = json!({
        "paths": {"/a": {"$ref": "#/paths/~1b"}, "/b": {"$ref": "#/paths/~1a"}, "/x": {"get": {
            "parameters": [{"$ref": "#/paths/~1x/get/parameters/0"}],
            "requestBody": {"$ref": "#/paths/~1x/get/requestBody"},
            "responses": {"200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/A"}}}}},
        }}},
        "components": {"schemas": {
            "A": {"allOf": [{"$ref": "#/components/schemas/B"}, {"$ref": "#/components/schemas/A"}]},
            "B": {"anyOf": [{"$ref": "#/components/schemas/A"}, {"type": "object", "properties": {"a": {"$ref": "#/components/schemas/A"}}}]},
        }},
    });
    let present = response(object(json!({"a": object(json!({"a": object(json!({"b": {}}))}))})));
    let changes = compared(cycles.clone(), present);
    let listed: Vec<_> = changes.listed.iter().map(Change::to_string).collect();
    assert_eq!(listed, ["new: GET /x 200: a.a.b"]);
    assert_eq!(compared(cycles.clone(), cycles).count(), 0);
}

#[test]
fn the_work_for_schemas_that_share_others_is_bounded() {
    // 2^40 members in a few kilobytes.
    let doubling = |last: &str| {
        let mut schemas = serde_json::Map::new();
        for level in 0..40 {
            let next = json!({"$ref": format!("#/components/schemas/S{}", level + 1)});
            schemas.insert(format!("S{level}"), object(json!({"left": next, "right": next})));
        }
        schemas.insert("S40".into(), object(json!({ last: {} })));
        let mut document = response(json!({"$ref": "#/components/schemas/S0"}));
        document["components"] = json!({ "schemas": schemas });
        document
    };
    let changes = comparison::compare(&read(&doubling("a")).0, &read(&doubling("b")).0, 200_000);
    assert!(!changes.is_complete && changes.listed.len() == 2000 && changes.count() > 2000);
    assert!(changes.listed[0].to_string().ends_with(&format!("{}.a", ".left".repeat(39))), "{}", changes.listed[0]);
    assert_eq!(lines(doubling("a"), doubling("a")), [""; 0], "equal parts are compared once");
    let chain = |last: &str| {
        let mut schemas = serde_json::Map::new();
        for level in 0..1000 {
            schemas.insert(
                format!("S{level}"),
                object(json!({"a": {"$ref": format!("#/components/schemas/S{}", level + 1)}})),
            );
        }
        schemas.insert("S1000".into(), object(json!({ last: {} })));
        let mut document = response(json!({"$ref": "#/components/schemas/S0"}));
        document["components"] = json!({ "schemas": schemas });
        document
    };
    assert!(!compared(chain("a"), chain("b")).is_complete, "too deep");
}

#[test]
fn changes_beyond_the_limit_are_counted() {
    let many: Vec<_> = (0..1500).map(|n| format!("/p{n:04}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let changes = compared(paths(&many[..1200]), paths(&many[1300..]));
    assert_eq!((changes.new, changes.gone, changes.changed, changes.listed.len()), (200, 1200, 0, 1200));
    assert_eq!(changes.listed[999].to_string(), "gone: GET /p0999");
    assert_eq!(changes.listed[1000].to_string(), "new: GET /p1300", "those that are gone do not displace new ones");
}

#[test]
fn only_openapi_3_is_read() {
    for (text, expected) in [
        ("", Err("not JSON: EOF while parsing a value at line 1 column 0")),
        ("openapi: 3.0.0", Err("not JSON: expected value at line 1 column 1")),
        ("[]", Err("not an OpenAPI document: not an object")),
        ("{}", Err("not an OpenAPI document: no member 'openapi' with a version")),
        ("{\"openapi\":3}", Err("not an OpenAPI document: no member 'openapi' with a version")),
        ("{\"openapi\":\"4.0\"}", Err("OpenAPI 4.0 instead of OpenAPI 3")),
        ("{\"swagger\":\"2.0\"}", Err("Swagger 2.0 instead of OpenAPI 3")),
        ("\u{feff}{\"openapi\":\"3.0.3\"}", Ok(())),
        ("{\"openapi\":\"3.1.1\",\"paths\":7,\"servers\":{}}", Ok(())),
    ] {
        let read = Document::parse(text.as_bytes()).map(drop).map_err(|e| e.to_string());
        assert_eq!(read, expected.map_err(str::to_owned), "{text}");
    }
    assert!(Document::parse(&[&b"{\"openapi\":"[..], &b"[".repeat(1000)].concat()).is_err(), "too deep");
    let large = vec![b' '; (32 << 20) + 1];
    assert_eq!(Document::parse(&large).unwrap_err(), DocumentError::TooLarge);
    let many = [&b"{\"openapi\":\"3.1.0\",\"x\":["[..], &b"0,".repeat(2_000_000), b"0]}"].concat();
    assert_eq!(Document::parse(&many).unwrap_err(), DocumentError::TooLarge);
    assert_eq!(DocumentError::TooLarge.to_string(), "larger than 32 MiB or 2000000 values");
}

#[test]
fn any_two_documents_are_compared() {
    let version = |mut value: Value| {
        value["openapi"] = "3.1.0".into();
        value.to_string()
    };
    let full = json!({"servers": [{"url": "https://{a}/v1", "variables": {"a": {"default": "b"}}}], "paths": {"/x/{id}": {
        "parameters": [{"in": "query", "name": "q"}],
        "post": {
            "requestBody": {"content": {"text/*": {"schema": {"type": ["string", "null"]}}}},
            "responses": {"4XX": {"content": {"application/json": {"schema": {"oneOf": [
                {"type": "array", "items": {"$ref": "#/components/schemas/A"}},
                {"type": "object", "additionalProperties": {"const": 1}},
            ]}}}}, "default": {}},
        },
    }}, "components": {"schemas": {"A": {"type": "object", "properties": {"a": {"$ref": "#/components/schemas/A"}}}}}});
    let other = json!({"paths": {"/v1/x/1": {"post": {"responses": {"404": {"content": {"application/json": {"schema":
        {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "object"}, "b": {}}}}}}}}}}}});
    let pairs = [(full.clone(), other.clone()), (recursive(), full), (other, recursive())];
    let seeds: Vec<_> =
        pairs.map(|(earlier, present)| [version(earlier), version(present)].join("\0").into_bytes()).into();
    mutations(&seeds, 3000, check_comparison);
}
