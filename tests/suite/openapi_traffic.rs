//! `spectral capture export --format openapi` of each kind of traffic: what a document says of exchanges through the real proxy.
//!
//! With `SPECTRAL_DOCUMENTS=FOLDER`, a copy of each document is kept, so that CI can check that all are valid.

use crate::support::cli::spectral;
use crate::support::connection::header;
use crate::support::grpc::GrpcOrigin;
use crate::support::node::{get, post};
use crate::support::websocket_frames::{frame, handshake};
use crate::support::{Capture, Connection, NodeOrigin, Origin, Outcome, TempDir};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

const MASK: Option<[u8; 4]> = Some([1, 2, 3, 4]);

/// A request, without `Host` and `Content-Length`, and a response without `Content-Length`.
type Pair = (String, String);

/// Returns a request with a body of a media type.
fn sent(line: &str, media_type: &str, body: &str) -> String {
    format!("{line} HTTP/1.1\r\nContent-Type: {media_type}\r\n\r\n{body}")
}

/// Returns a request with lines of header fields.
fn request(line: &str, fields: &str) -> String {
    format!("{line} HTTP/1.1\r\n{fields}\r\n")
}

fn response(status: u16, media_type: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} x\r\nContent-Type: {media_type}\r\n\r\n{body}")
}

fn json_response(body: &Value) -> String {
    response(200, "application/json", &body.to_string())
}

/// Returns a message with `fields` added to its head, and its length if it has a body.
fn with_fields(message: &str, fields: &str) -> String {
    let (head, body) = message.split_once("\r\n\r\n").unwrap();
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    format!("{}\r\n{fields}{length}\r\n{body}", head.trim_end())
}

/// Starts an origin in the clear that sends these responses, one for each connection.
fn responding(responses: Vec<String>) -> Origin {
    let left = Arc::new(Mutex::new(VecDeque::from(responses)));
    Origin::plain(move |mut connection| {
        let head = connection.read_head();
        let body = header(&head, "content-length").map_or(0, |len| len.parse().unwrap());
        connection.read_exactly(body);
        let response = left.lock().unwrap().pop_front().unwrap();
        connection.send(with_fields(&response, "Connection: close\r\n"));
        connection.finish();
        connection.read_to_end();
    })
}

/// Sends a request for `host` through the proxy, and waits for the end of the response.
fn send(capture: &Capture, host: &str, request: &str) {
    let mut connection = capture.dial();
    let (method, rest) = request.split_once(' ').unwrap();
    let message = format!("{method} http://{host}{rest}");
    connection.send(with_fields(&message, &format!("Host: {host}\r\n")));
    connection.read_to_end();
}

/// Captures these exchanges with one host.
fn captured(pairs: &[Pair]) -> Outcome {
    let origin = responding(pairs.iter().map(|(_, response)| response.clone()).collect());
    let capture = Capture::start();
    let host = origin.authority("localhost");
    pairs.iter().for_each(|(request, _)| send(&capture, &host, request));
    capture.stop()
}

/// Exports the bundle of a capture.
#[track_caller]
fn document(dir: &TempDir, args: &[&str]) -> Value {
    let output = spectral(dir, &[&["capture", "export", "capture.zip", "--format", "openapi"], args].concat()).ok();
    keep_copy(&output.out);
    serde_json::from_slice(&output.out).unwrap_or_else(|e| panic!("{e}: {}", output.text()))
}

/// Copies a document to the folder `SPECTRAL_DOCUMENTS`, if set.
fn keep_copy(document: &[u8]) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    if let Some(folder) = std::env::var_os("SPECTRAL_DOCUMENTS") {
        let name = format!("{}-{}.json", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(Path::new(&folder).join(name), document).unwrap();
    }
}

fn described(pairs: &[Pair]) -> Value {
    document(&captured(pairs).dir, &[])
}

/// Returns the paths of a document.
fn paths(document: &Value) -> Vec<&str> {
    document["paths"].as_object().unwrap().keys().map(String::as_str).collect()
}

/// Returns the names of the members of an object.
fn names(object: &Value) -> Vec<&str> {
    object.as_object().map(|members| members.keys().map(String::as_str).collect()).unwrap_or_default()
}

fn integers(names: &[&str]) -> Value {
    let properties: serde_json::Map<_, _> =
        names.iter().map(|name| ((*name).to_owned(), json!({"type": "integer"}))).collect();
    json!({"type": "object", "properties": properties, "required": names})
}

#[test]
fn grpc_has_services_and_methods_and_no_path_parameters() {
    let Some(origin) = GrpcOrigin::tls() else {
        return;
    };
    let capture = Capture::start();
    origin.run_client(Some(&capture), &["echo", "count", "join", "talk", "fail"]);
    let document = document(&capture.stop().dir, &[]);
    let expected = ["/peer.Peer/Count", "/peer.Peer/Echo", "/peer.Peer/Fail", "/peer.Peer/Join", "/peer.Peer/Talk"];
    assert_eq!(paths(&document), expected);
    for (method, is_client_streaming, is_server_streaming) in
        [("Echo", false, false), ("Count", false, true), ("Join", true, false), ("Talk", true, true)]
    {
        let operation = &document["paths"][format!("/peer.Peer/{method}")]["post"];
        let expected = json!({
            "service": "peer.Peer", "method": method,
            "client-streaming": is_client_streaming, "server-streaming": is_server_streaming,
        });
        assert_eq!(operation["x-grpc"], expected);
        assert_eq!(names(&operation["requestBody"]["content"]), ["application/grpc"]);
    }
}

#[test]
fn events_have_names_and_shapes_also_if_the_capture_ends_within_the_stream() {
    let gate = crate::support::Gate::default();
    let wait = gate.clone();
    let origin = Origin::plain(move |mut connection| {
        connection.read_head();
        connection.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
        connection
            .send("event: price\r\ndata: {\"a\": 1}\r\n\r\ndata: {\"b\":\r\ndata: 2}\r\n\r\nevent: cut\r\ndata: {");
        wait.pass();
    });
    let capture = Capture::start();
    let host = origin.authority("localhost");
    let mut connection = capture.dial();
    connection.send(format!("GET http://{host}/events HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    connection.read_until(b"data: {\"a\"");
    connection.read_until(b"event: cut\r\ndata: {");
    let outcome = capture.stop();
    gate.open();
    assert!(outcome.bundle().only_trace().json["cut_off"].is_object());
    let document = document(&outcome.dir, &[]);
    let content = &document["paths"]["/events"]["get"]["responses"]["200"]["content"]["text/event-stream"];
    let expected =
        json!({"schema": {"type": "string"}, "x-events": {"price": integers(&["a"]), "message": integers(&["b"])}});
    assert_eq!(*content, expected);
}

/// Captures a WebSocket with messages in both directions.
fn captured_websocket() -> Outcome {
    let (upgrade, response) = handshake("Sec-WebSocket-Protocol: chat\r\n");
    let close = |mask| frame(0x88, mask, b"\x03\xe8");
    let sent = [frame(0x81, MASK, b"{\"join\": 17}"), frame(0x82, MASK, b"\0"), close(MASK)].concat();
    let length = sent.len();
    let origin = Origin::plain(move |mut connection| {
        connection.read_head();
        connection.send(response.as_bytes());
        connection
            .send([frame(0x81, None, b"{\"price\": 1}"), frame(0x81, None, b"{\"price\": 2, \"at\": 3}")].concat());
        connection.read_exactly(length);
        connection.send(close(None));
    });
    let capture = Capture::start();
    let mut connection = capture.connect(&origin.authority("localhost"));
    connection.send(upgrade);
    connection.read_head();
    connection.send(sent);
    connection.read_to_end();
    capture.stop()
}

#[test]
fn messages_of_websockets_are_described_at_their_handshake() {
    let outcome = captured_websocket();
    let all = document(&outcome.dir, &[]);
    let operation = &all["paths"]["/raw"]["get"];
    assert_eq!(names(&operation["responses"]), ["101"]);
    let mut received = integers(&["at", "price"]);
    received["required"] = json!(["price"]);
    let expected = json!({
        "sent": {"text": 1, "schema": integers(&["join"]), "binary": 1},
        "received": {"text": 2, "schema": received},
        "protocols": ["chat"],
    });
    assert_eq!(operation["x-websocket"]["sent"], expected["sent"]);
    assert_eq!(operation["x-websocket"]["received"], expected["received"]);
    assert_eq!(operation["x-exchanges"], 1);
}

#[test]
fn a_websocket_without_its_handshake_is_described_too() {
    let outcome = captured_websocket();
    let bundle = outcome.dir.join("capture.zip");
    let mut source = zip::ZipArchive::new(std::fs::File::open(&bundle).unwrap()).unwrap();
    let dir = TempDir::new();
    let mut changed = zip::ZipWriter::new(std::fs::File::create(dir.join("capture.zip")).unwrap());
    for index in 0..source.len() {
        let entry = source.by_index(index).unwrap();
        if !entry.name().unwrap().starts_with("traces/") {
            changed.raw_copy_file(entry).unwrap();
        }
    }
    changed.finish().unwrap();
    let all = document(&dir, &[]);
    let operation = &all["paths"]["/raw"]["get"];
    assert_eq!(names(&operation["responses"]), ["101"]);
    assert_eq!(operation["x-websocket"]["sent"]["text"], 1);
}

#[test]
fn hosts_are_servers_of_the_document_or_of_a_path() {
    let body = json_response(&json!({"id": 1}));
    let origin = responding(vec![body; 4]);
    let capture = Capture::start();
    let [one, two] = ["localhost", "127.0.0.1"].map(|host| origin.authority(host));
    for (host, path) in [(&one, "/shared"), (&two, "/shared"), (&one, "/first"), (&two, "/second")] {
        send(&capture, host, &request(&format!("GET {path}"), ""));
    }
    let outcome = capture.stop();
    let all = document(&outcome.dir, &[]);
    let servers = |hosts: &[&String]| {
        json!(hosts.iter().map(|host| json!({"url": format!("http://{host}")})).collect::<Vec<_>>())
    };
    assert_eq!(all["servers"], servers(&[&two, &one]));
    assert_eq!(all["paths"]["/shared"]["servers"], Value::Null, "those of the document");
    assert_eq!(all["paths"]["/shared"]["get"]["x-exchanges"], 2);
    assert_eq!(all["paths"]["/first"]["servers"], servers(&[&one]));
    assert_eq!(all["paths"]["/second"]["servers"], servers(&[&two]));
    let filtered = document(&outcome.dir, &["--host", "127.0.0.1"]);
    assert_eq!((paths(&filtered), &filtered["servers"]), (vec!["/second", "/shared"], &servers(&[&two])));
}

#[test]
fn filters_select_exchanges() {
    let ok = json_response(&json!({"id": 1}));
    let outcome = captured(&[
        (request("GET /users", ""), ok.clone()),
        (sent("POST /users", "application/json", "{\"name\": \"Ada L\"}"), ok.clone()),
        (request("GET /failing", ""), response(500, "text/plain", "no")),
    ]);
    let operations = |args: &[&str]| {
        let all = document(&outcome.dir, args);
        let listed = all["paths"].as_object().unwrap().iter().flat_map(|(path, item)| {
            names(item).into_iter().map(|method| format!("{method} {path}")).collect::<Vec<_>>()
        });
        listed.collect::<Vec<_>>()
    };
    assert_eq!(operations(&[]), ["get /failing", "get /users", "post /users"]);
    assert_eq!(operations(&["--method", "POST"]), ["post /users"]);
    assert_eq!(operations(&["--status", "5xx"]), ["get /failing"]);
    assert_eq!(operations(&["--trace", "t_0001"]), ["get /users"]);
    assert_eq!(operations(&["--grep", "Ada L"]), ["post /users"]);
}

#[test]
fn forms_have_a_member_for_each_field() {
    let parts = "--b\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\na title\r\n\
                 --b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\nContent-Type: image/png\r\n\r\n\0\r\n--b--\r\n";
    let created = response(201, "application/json", "{\"id\":1}");
    let all = described(&[
        (sent("POST /form", "application/x-www-form-urlencoded", "name=Ada+L&tag=a+b&tag=c"), created.clone()),
        (sent("POST /parts", "multipart/form-data; boundary=b", parts), created.clone()),
        (sent("POST /json", "application/x-www-form-urlencoded", "{\"a\":1}"), created.clone()),
        (sent("POST /lines", "application/x-ndjson", "{\"a\":1}\n{\"a\":2}\n"), created),
    ]);
    let content = |path: &str, name: &str| all["paths"][path]["post"]["requestBody"]["content"][name].clone();
    let form = content("/form", "application/x-www-form-urlencoded");
    let string = json!({"type": "string"});
    assert_eq!(form["schema"]["properties"], json!({"name": string, "tag": {"type": "array", "items": string}}));
    let parts = content("/parts", "multipart/form-data");
    let file = json!({"type": "string", "format": "binary"});
    assert_eq!(parts["schema"]["properties"], json!({"file": file, "title": string}));
    assert_eq!(content("/json", "application/x-www-form-urlencoded")["schema"], integers(&["a"]));
    assert_eq!(content("/lines", "application/x-ndjson")["x-item-schema"], integers(&["a"]));
    assert_eq!(all["paths"]["/form"]["post"]["requestBody"]["required"], true);
}

#[test]
fn bodies_that_are_empty_or_absent_are_not_described() {
    let all = described(&[
        (request("HEAD /users", ""), response(200, "application/json", "")),
        (request("DELETE /users/1", ""), "HTTP/1.1 204 x\r\n\r\n".into()),
        (
            request("POST /start", "Content-Type: application/json\r\nContent-Length: 0\r\n"),
            response(202, "application/json", ""),
        ),
        (
            sent("PUT /text", "text/plain", "a=b").replace("Content-Type: text/plain\r\n", ""),
            "HTTP/1.1 200 x\r\n\r\n{\"a\":1}".into(),
        ),
    ]);
    let operation = |path: &str, method: &str| all["paths"][path][method].clone();
    let bare = |status: &str, phrase: &str| json!({status: {"description": phrase}});
    assert_eq!(operation("/users", "head")["responses"], bare("200", "OK"));
    assert_eq!(operation("/users/{userId}", "delete")["responses"], bare("204", "No Content"));
    let start = operation("/start", "post");
    assert_eq!((&start["responses"], &start["requestBody"]), (&bare("202", "Accepted"), &Value::Null));
    let text = operation("/text", "put");
    assert_eq!(text["requestBody"]["content"], json!({"*/*": {"schema": {"type": "string"}}}));
    let content = &text["responses"]["200"]["content"]["*/*"]["schema"];
    assert_eq!(content["contentSchema"], integers(&["a"]));
}

#[test]
fn calls_of_one_path_are_described_by_name() {
    let rpc = |name: &str| json!({"jsonrpc": "2.0", "id": 1, "method": name, "params": {"a": 1}}).to_string();
    let query =
        json!({"query": "query GetUser($id: ID!) { user(id: $id) { name } }", "variables": {"id": 1}}).to_string();
    let all = described(&[
        (sent("POST /rpc", "application/json", &rpc("sum")), json_response(&json!({"result": 1}))),
        (sent("POST /rpc", "application/json", &rpc("list")), json_response(&json!({"result": [1]}))),
        (sent("POST /graphql", "application/json", &query), json_response(&json!({"data": {"id": 1}}))),
    ]);
    let calls = &all["paths"]["/rpc"]["post"]["x-json-rpc"];
    assert_eq!(names(calls), ["list", "sum"]);
    assert_eq!(calls["sum"], json!({"x-exchanges": 1, "params": integers(&["a"]), "result": {"type": "integer"}}));
    let query = &all["paths"]["/graphql"]["post"]["x-graphql"]["GetUser"];
    assert_eq!(*query, json!({"x-exchanges": 1, "variables": integers(&["id"]), "data": integers(&["id"])}));
}

#[test]
fn cookies_are_parameters_or_security_schemes() {
    let fields = "Cookie: theme=dark; sid=0123; csrftoken=abc; _ga=GA1\r\nAuthorization: Bearer x\r\n";
    let ok = json_response(&json!({}));
    let all = described(&[(request("GET /me", fields), ok.clone()), (request("GET /me", ""), ok)]);
    let operation = &all["paths"]["/me"]["get"];
    let parameters: Vec<_> =
        operation["parameters"].as_array().unwrap().iter().map(|p| (&p["in"], &p["name"])).collect();
    assert_eq!(parameters, [(&json!("cookie"), &json!("csrftoken")), (&json!("cookie"), &json!("theme"))]);
    assert_eq!(operation["security"], json!([{"bearer": [], "cookie-sid": []}, {}]));
    assert_eq!(names(&all["components"]["securitySchemes"]), ["bearer", "cookie-sid"]);
}

#[test]
fn http2_is_described_as_http1() {
    let Some(origin) = NodeOrigin::tls() else {
        return;
    };
    let capture = Capture::start();
    let headers = json!({":path": "/fields?page=2", "x-tenant": "acme", "cookie": ["theme=dark", "lang=en"]});
    origin.run_client(Some(&capture), &json!([{"headers": headers}, get("/hello"), post("/echo", "question")]));
    let all = document(&capture.stop().dir, &[]);
    assert_eq!(paths(&all), ["/echo", "/fields", "/hello"]);
    let parameters = all["paths"]["/fields"]["get"]["parameters"].as_array().unwrap().iter();
    let parameters: Vec<_> = parameters.map(|p| [p["in"].as_str().unwrap(), p["name"].as_str().unwrap()]).collect();
    assert_eq!(parameters, [["query", "page"], ["header", "x-tenant"], ["cookie", "lang"], ["cookie", "theme"]]);
    assert_eq!(all["servers"][0]["url"], format!("https://{}", origin.authority()));
}

/// Values at all places of exchanges; each is in one place alone, and recognizable.
fn with_canaries() -> Vec<Pair> {
    let pair = |n: usize| {
        let request = json!({
            "name": format!("canary body {n}"), "token": "canarytoken", "note": format!("canarynote{n}"),
            "map": {format!("{n}7"): {"a": "canary map"}}, "by_mail": {format!("canarykey{n}@example.com"): 1},
        });
        let fields = format!(
            "Content-Type: application/json\r\nX-Tenant: canaryfield{n}\r\nAuthorization: Bearer canarybearer\r\n\
             Cookie: theme=canarycookie{n}; sid=canarysession\r\nX-Api-Key: canaryapikey\r\n"
        );
        let line =
            format!("POST /users/{n}b7a61c0-canary/items?q=canaryquery{n}&password=canarypassword&canary%20name{n}=1");
        let response =
            json!({"id": format!("canary-{n}"), "list": [format!("canaryitem{n}"), "canary text"], "canary": null});
        let response = response.to_string().replace("\"canary\":null", "\"state\":\"Canarystate\"");
        let answer = format!(
            "HTTP/1.1 200 x\r\nContent-Type: application/json\r\nX-Own: canaryanswer\r\nSet-Cookie: a=canaryset\r\n\r\n{response}"
        );
        (format!("{line} HTTP/1.1\r\n{fields}\r\n{request}"), answer)
    };
    let mut all: Vec<Pair> = (1..=5).map(pair).collect();
    let stream =
        "event: canary sentence\ndata: canarydata\n\nevent: 17canary8b0c6d4e4f4e\ndata: {\"id\": \"canary\"}\n\n";
    all.push((request("GET /events", ""), response(200, "text/event-stream", stream)));
    all.push((
        sent("POST /form", "application/x-www-form-urlencoded", "canary without a name"),
        response(200, "text/plain", "canary"),
    ));
    all.push((
        sent("POST /login", "application/x-www-form-urlencoded", "user=canaryuser&password=canarypass"),
        json_response(&json!({})),
    ));
    all.push((
        sent("POST /raw", "application/x-www-form-urlencoded", "{\"a\": \"canaryjson\"}"),
        response(200, "text/plain", "canary"),
    ));
    let graphql =
        json!({"query": "query Q($a: ID!) { a(b: \"canaryliteral\") }", "variables": {"a": "canaryvariable"}});
    all.push((
        sent("POST /graphql", "application/json", &graphql.to_string()),
        json_response(&json!({"data": {"a": "canary data"}})),
    ));
    all.push((
        sent("POST /rpc", "application/json", "[\"2.0\", \"canaryarray\"]"),
        json_response(&json!({"result": "canary"})),
    ));
    all
}

#[test]
fn values_are_in_no_document_without_examples() {
    let outcome = captured(&with_canaries());
    let text = |args: &[&str]| document(&outcome.dir, args).to_string().to_ascii_lowercase();
    for args in [&[][..], &["--redact"]] {
        let text = text(args);
        let at = text.find("canary").map(|at| &text[at.saturating_sub(100)..(at + 100).min(text.len())]);
        assert!(at.is_none(), "{args:?}: {at:?}");
        for name in ["/users/{userid}/items", "\"note\"", "\"theme\"", "\"additionalproperties\""] {
            assert!(text.contains(name), "{args:?} {name}: {text}");
        }
    }
}

#[test]
fn examples_are_values_of_the_capture_and_never_secrets() {
    let outcome = captured(&with_canaries());
    let all = document(&outcome.dir, &["--examples"]);
    let parameters = all["paths"]["/users/{userId}/items"]["post"]["parameters"].as_array().unwrap();
    let example = |name: &str| parameters.iter().find(|p| p["name"] == name).unwrap()["example"].clone();
    assert_eq!(
        [example("q"), example("X-Tenant"), example("theme")],
        ["canaryquery1", "canaryfield1", "canarycookie1"]
    );
    let text = all.to_string().to_ascii_lowercase();
    for secret in [
        "canarytoken",
        "canarybearer",
        "canarysession",
        "canaryapikey",
        "canarypass",
        "canarykey",
        "canary name",
        "canary sentence",
        "canary without",
        "canaryset",
    ] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    let redacted = document(&outcome.dir, &["--examples", "--redact", "--name", "q"]).to_string();
    assert!(!redacted.contains("canaryquery1") && redacted.contains("canaryfield1"), "{redacted}");
}

#[test]
fn exchanges_that_are_no_calls_are_counted_by_reason() {
    let page = response(200, "text/html", "<!doctype html><title>App</title>");
    let ok = json_response(&json!({"id": 1}));
    let outcome = captured(&[
        (request("GET /api/users", ""), ok.clone()),
        (request("GET /api/missing", ""), response(404, "application/json", "{}")),
        (request("GET /api/users", ""), response(404, "application/json", "{\"error\":1}")),
        (request("OPTIONS /api/users", "Access-Control-Request-Method: PUT\r\n"), "HTTP/1.1 204 x\r\n\r\n".into()),
        (request("GET /app.js", ""), response(200, "application/javascript", "x")),
        (request("GET /logo", ""), response(200, "image/png", "x")),
        // An app of one page answers every path.
        (request("GET /", ""), page.clone()),
        (request("GET /settings/profile", ""), page.clone()),
        (request("HEAD /settings", ""), response(200, "text/html", "")),
        (request("GET /old", ""), response(302, "text/html", "<a>").replace("\r\n\r\n", "\r\nLocation: /\r\n\r\n")),
        (request("PROPFIND /dav", ""), ok),
    ]);
    let all = document(&outcome.dir, &[]);
    assert_eq!(paths(&all), ["/api/users"]);
    assert_eq!(names(&all["paths"]["/api/users"]["get"]["responses"]), ["200", "404"], "a 404 at a known path");
    let reasons: Vec<_> = all["x-omitted"]
        .as_array()
        .unwrap()
        .iter()
        .map(|o| (o["reason"].as_str().unwrap(), o["exchanges"].as_u64().unwrap()))
        .collect();
    let expected = [
        ("CORS preflight", 1),
        ("static file", 2),
        ("web page", 3),
        ("redirect of a web page", 1),
        ("nothing but 404, 405 or 410 at this path and method", 1),
        ("method without an operation in OpenAPI", 1),
    ];
    assert_eq!(reasons, expected);
}

#[test]
fn exchanges_without_a_whole_response_are_counted() {
    let origin = Origin::plain(|mut connection: Connection| {
        let head = connection.read_head();
        if head.contains(" /short ") {
            connection.send("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"a\":");
        }
        connection.finish();
    });
    let capture = Capture::start();
    let host = origin.authority("localhost");
    for path in ["/none", "/short"] {
        send(&capture, &host, &request(&format!("GET {path}"), ""));
    }
    let outcome = capture.stop();
    let all = document(&outcome.dir, &[]);
    assert_eq!(all["paths"], json!({}));
    let reasons: Vec<_> = all["x-omitted"].as_array().unwrap().iter().map(|o| &o["reason"]).collect();
    assert_eq!(reasons, [&json!("no response"), &json!("cut off")]);
}

#[test]
fn damaged_items_are_left_out_with_a_warning() {
    let ok = json_response(&json!({"id": 1}));
    let outcome = captured(&[(request("GET /good", ""), ok.clone()), (request("GET /bad", ""), ok)]);
    let path = outcome.dir.join("capture.zip");
    let mut source = zip::ZipArchive::new(std::fs::File::open(&path).unwrap()).unwrap();
    let dir = TempDir::new();
    let mut changed = zip::ZipWriter::new(std::fs::File::create(dir.join("capture.zip")).unwrap());
    for index in 0..source.len() {
        let entry = source.by_index(index).unwrap();
        if entry.name().unwrap() == "traces/t_0002.json" {
            changed.start_file("traces/t_0002.json", zip::write::SimpleFileOptions::default()).unwrap();
            std::io::Write::write_all(&mut changed, b"{\"id\": ").unwrap();
        } else {
            changed.raw_copy_file(entry).unwrap();
        }
    }
    changed.finish().unwrap();
    let output = spectral(&dir, &["capture", "export", "capture.zip", "--format", "openapi"]);
    let all: Value = serde_json::from_slice(&output.out).unwrap();
    assert_eq!(paths(&all), ["/good"]);
    assert!(output.err.contains("t_0002"), "{}", output.err);
}
