//! The fuzzed properties of documents that are inferred from any exchanges.
//!
//! An input is a few exchanges, with a byte 0xff behind each. An exchange is heads and bodies, with a byte 0xfe between the four:
//!
//! ```text
//! POST /users?a=b         GET without a first line
//! X-Name: value           a header field
//! 201                     the status
//! Content-Type: a/b
//! ```

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "properties are asserted")]

use super::api::Api;
use super::json_value::Json;
use super::omissions::{Role, is_html_document};
use super::paths::Path;
use super::survey::{Survey, method_bit};
use crate::bundle::archive::buffered_file::faults::NO_SYNC;
use crate::bundle::archive::{Archive, CompressionMethod};
use crate::bundle::json;
use crate::bundle::reader::{Bundle, Header, Trace};
use crate::bundle::test_dir::TestDir;
use crate::tools::filter::Filter;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;

/// Describes the exchanges in `data` once, again, and twice in one capture.
pub(crate) fn check_document(data: &[u8]) {
    let exchanges: Vec<_> = data.split(|byte| *byte == 0xff).take(MAX_EXCHANGES).map(Exchange::of).collect();
    let once = described(&exchanges.iter().collect::<Vec<_>>());
    assert!(once == described(&exchanges.iter().collect::<Vec<_>>()), "it differs from run to run");
    let twice = described(&exchanges.iter().chain(&exchanges).collect::<Vec<_>>());
    assert_eq!(paths(&once), paths(&twice), "more of the same changes paths");
    check_counts(&once, &exchanges);
    check_path_parameters(&once);
}

/// An exchange with its bodies.
struct Exchange {
    trace: Trace,
    bodies: [Vec<u8>; 2],
}

impl Exchange {
    fn of(data: &[u8]) -> Self {
        let mut parts = data.split(|byte| *byte == 0xfe);
        let mut part = || parts.next().unwrap_or_default();
        let (heads, bodies) = ([part(), part()], [part().to_vec(), part().to_vec()]);
        let [request, response] = heads.map(|head| String::from_utf8_lossy(head).into_owned());
        let mut trace = Trace::default();
        let (line, fields) = request.split_once('\n').unwrap_or((&request, ""));
        let (method, target) = line.split_once(' ').unwrap_or(("GET", line));
        trace.request.method = method.to_owned();
        trace.request.url = ["https://a.example", target].concat();
        trace.request.headers = headers(fields);
        let (status, fields) = response.split_once('\n').unwrap_or((&response, ""));
        trace.response.status = status.parse().unwrap_or(200);
        trace.response.headers = headers(fields);
        Self { trace, bodies }
    }

    /// True if it proves that an endpoint exists, and has a place in a document.
    fn is_of_endpoint(&self) -> bool {
        let Trace { request, .. } = &self.trace;
        let is_page = || Ok::<_, ()>(is_html_document(&self.bodies[1]));
        Role::of(&self.trace, is_page) == Ok(Role::Endpoint)
            && method_bit(&request.method).is_some()
            && Path::of(&request.url).is_some()
    }
}

fn headers(fields: &str) -> Vec<Header> {
    let fields = fields.lines().filter_map(|line| line.split_once(": "));
    fields.map(|(name, value)| Header { name: name.into(), value: value.into() }).collect()
}

/// Returns the document about a capture of these exchanges.
fn described(exchanges: &[&Exchange]) -> Value {
    NO_SYNC.set(true);
    let dir = TestDir::new("fuzz-openapi");
    let path = dir.path("a.zip");
    let (mut archive, _) = Archive::create(&path, Duration::ZERO).unwrap();
    for (n, Exchange { trace, bodies }) in exchanges.iter().enumerate() {
        let mut trace = trace.clone();
        trace.id = format!("t_{:04}", n + 1);
        let files = ["request", "response"].map(|side| format!("{}_{side}.bin", trace.id));
        let file = |n: usize| (!bodies[n].is_empty()).then(|| files[n].clone());
        (trace.request.body_file, trace.response.body_file) = (file(0), file(1));
        (trace.request.body_size, trace.response.body_size) = (bodies[0].len() as u64, bodies[1].len() as u64);
        let group = archive.group(|archive| {
            for (file, body) in files.iter().zip(bodies).filter(|(_, body)| !body.is_empty()) {
                archive.add(&["traces/", file].concat(), body, CompressionMethod::Stored, &[])?;
            }
            json::add_json(archive, format!("traces/{}.json", trace.id), &trace, &[])
        });
        group.unwrap();
    }
    let manifest = archive.group(|archive| archive.add("manifest.json", b"{}", CompressionMethod::Stored, &[]));
    manifest.unwrap();
    archive.finish().unwrap();
    NO_SYNC.set(false);
    let bundle = Bundle::open(&path).unwrap();
    let filter = Filter::default();
    let mut survey = Survey::new(&bundle, &filter).unwrap();
    survey.find_evidence(&bundle).unwrap();
    let (document, written) = Api::observe(&bundle, survey).unwrap().document(true);
    assert_eq!(written.damaged.count, 0, "{:?}", written.damaged);
    assert_distinct(&document);
    serde_json::from_slice(&json::to_vec(&document).unwrap()).unwrap()
}

/// Asserts that no object has two members of one name.
fn assert_distinct(json: &Json) {
    match json {
        Json::Object(object) => {
            let names: BTreeSet<_> = object.members().map(|(name, _)| name).collect();
            assert_eq!(names.len(), object.len(), "{names:?}");
            object.members().for_each(|(_, value)| assert_distinct(value));
        }
        Json::Array(elements) => elements.iter().for_each(assert_distinct),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Text(_) => {}
    }
}

fn paths(document: &Value) -> Vec<&String> {
    document["paths"].as_object().unwrap().keys().collect()
}

/// Asserts that each exchange is in an operation or omitted, and that those of endpoints are in operations.
fn check_counts(document: &Value, exchanges: &[Exchange]) {
    let operations =
        document["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap().values());
    let described: u64 = operations.filter_map(|operation| operation["x-exchanges"].as_u64()).sum();
    let omitted = document["x-omitted"].as_array().into_iter().flatten();
    let count: u64 = omitted.clone().map(|omitted| omitted["exchanges"].as_u64().unwrap()).sum();
    assert_eq!(described + count, exchanges.len() as u64, "{document}");
    let ids = omitted.flat_map(|omitted| omitted["first"].as_array().unwrap());
    for id in ids {
        let number: usize = id.as_str().unwrap().trim_start_matches("t_").parse().unwrap();
        let exchange = &exchanges[number - 1];
        assert!(!exchange.is_of_endpoint(), "{} {document}", exchange.trace.request.url);
    }
}

/// Asserts that each name in a template is that of a path parameter, and the reverse (OpenAPI section 4.8.12).
fn check_path_parameters(document: &Value) {
    for (path, item) in document["paths"].as_object().unwrap() {
        let mut names: Vec<_> = path.split('{').skip(1).map(|rest| rest.split_once('}').unwrap().0).collect();
        names.sort_unstable();
        for operation in item.as_object().unwrap().values().filter(|operation| operation.is_object()) {
            let all = operation["parameters"].as_array().into_iter().flatten();
            let of_path = all.filter(|parameter| parameter["in"] == "path");
            let mut listed: Vec<_> = of_path.map(|parameter| parameter["name"].as_str().unwrap()).collect();
            listed.sort_unstable();
            assert_eq!(names, listed, "{path}");
        }
    }
}

/// An omission lists the first ids.
const MAX_EXCHANGES: usize = 8;

#[cfg(test)]
mod tests {
    use super::check_document;
    use crate::wire::mutations::mutations;

    /// Returns the input of these exchanges: the heads and bodies of each.
    fn input(exchanges: &[[&str; 4]]) -> Vec<u8> {
        let parts = exchanges.iter().map(|parts| parts.map(str::as_bytes).join(&0xfe));
        parts.collect::<Vec<_>>().join(&0xff)
    }

    #[test]
    fn any_exchanges_are_described() {
        const JSON: &str = "200\nContent-Type: application/json";
        let seeds = [
            input(&[
                ["GET /users", JSON, "", r#"[{"id": "alice", "url": "/users/alice"}, {"id": "bob"}]"#],
                [
                    "GET /users/alice?page=2",
                    JSON,
                    "",
                    r#"{"id": "alice", "tags": ["a", null, 1.5], "up": {"id": "bob", "tags": []}}"#,
                ],
                ["GET /users/bob/orders", JSON, "", "[]"],
                ["PUT /users/17.json\nX-Key: a", JSON, "{}", "{}"],
                ["GET /users/me", "404\nContent-Type: text/html", "", "<html>"],
                ["OPTIONS /users\nAccess-Control-Request-Method: PUT", "204", "", ""],
            ]),
            input(&[
                [
                    "POST /a/b:cancel\nContent-Type: application/x-www-form-urlencoded\nCookie: sid=1; b=2",
                    "201\nLocation: /a/c",
                    "a=1&b=2&b=3",
                    "",
                ],
                [
                    "POST /graphql\nContent-Type: application/json",
                    JSON,
                    r#"{"query": "query Q { a }", "variables": {"a": 1}}"#,
                    r#"{"data": 1}"#,
                ],
                [
                    "POST /rpc\nContent-Type: application/json",
                    JSON,
                    r#"[{"jsonrpc": "2.0", "method": "m", "params": []}]"#,
                    "[]",
                ],
                ["GET /events", "200\nContent-Type: text/event-stream", "", "event: a\r\ndata: {\"a\": 1}\r\n\r\n"],
                [
                    "POST /p.S/M\nContent-Type: application/grpc",
                    "200\nContent-Type: application/grpc",
                    "\0\0\0\0\u{1}a",
                    "\0\0\0\0\u{1}b",
                ],
                [
                    "GET /compare/main...topic/Users('a')/@b",
                    "200\nContent-Type: application/x-ndjson",
                    "",
                    "{}\n{\"a\": 1}\n",
                ],
            ]),
        ];
        mutations(&seeds, 150, check_document);
    }
}
