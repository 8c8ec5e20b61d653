//! The operations of a document, by path and method.

use super::budget::Budget;
use super::json::Json;
use super::paths::without_names;
use super::references::Source;

/// An operation.
#[derive(Debug)]
pub(super) struct Operation<'d> {
    pub(super) method: &'static str,
    /// The item of the path, which may have parameters.
    pub(super) item: &'d Json,
    pub(super) value: &'d Json,
    /// The names that it may have: a server that has a base path adds one. At least one.
    pub(super) names: Vec<Name>,
}

/// A name of an operation.
#[derive(Clone, Debug)]
pub(super) struct Name {
    /// The path with its base path, as it is shown: `/v1/users/{id}`.
    pub(super) path: String,
    /// The name to compare, with the method as its last segment: `/v1/users/{}/GET`.
    pub(super) key: String,
}

/// Returns the operations of a document.
pub(super) fn operations<'d>(source: &mut Source<'d>, budget: &mut Budget) -> Vec<Operation<'d>> {
    let mut found = Vec::new();
    let servers = base_paths(source.root, budget).unwrap_or_else(|| vec![String::new()]);
    for (path, item) in source.root.get("paths").map(Json::members).unwrap_or_default() {
        // Extensions are no paths.
        if !budget.take(path) || path.starts_with("x-") {
            continue;
        }
        let item = source.resolve(item);
        let servers = base_paths(item, budget).unwrap_or_else(|| servers.clone());
        for method in METHODS {
            let Some(value) = item.get(&method.to_ascii_lowercase()).map(|value| source.resolve(value)) else {
                continue;
            };
            if !value.is_object() {
                continue;
            }
            let servers = base_paths(value, budget).unwrap_or_else(|| servers.clone());
            let named = servers.iter().map(|base| Name::new(base, path, method));
            let names: Vec<_> = named.take_while(|name| budget.take_memory(&name.path)).collect();
            if !names.is_empty() {
                found.push(Operation { method, item, value, names });
            }
        }
    }
    found
}

impl Operation<'_> {
    /// Returns the name with this key.
    pub(super) fn named(&self, key: &str) -> Option<&Name> {
        self.names.iter().find(|name| name.key == key)
    }
}

impl Name {
    fn new(base: &str, path: &str, method: &str) -> Self {
        let path = [base, if path.starts_with('/') { "" } else { "/" }, path].concat();
        let key = [&without_names(&path), "/", method].concat();
        Self { path, key }
    }
}

/// Returns the distinct base paths of the servers of a document, path or operation, without a slash at the end; `None` if it lists no
/// servers.
fn base_paths(value: &Json, budget: &mut Budget) -> Option<Vec<String>> {
    let servers = Some(value.get("servers")?.elements()).filter(|servers| !servers.is_empty())?;
    let mut paths: Vec<String> = Vec::new();
    for server in servers.iter().take(MAX_SERVERS) {
        let path = base_path(server, budget);
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    Some(paths)
}

/// Returns the path of a server's URL: `/v1` of `https://{host}/v1/`.
fn base_path(server: &Json, budget: &mut Budget) -> String {
    let mut url = server.get("url").and_then(Json::as_str).unwrap_or_default().to_owned();
    if !budget.take(&url) || url.len() > MAX_URL_BYTES {
        return String::new();
    }
    for (name, variable) in server.get("variables").map(Json::members).unwrap_or_default().iter().take(MAX_VARIABLES) {
        let default = variable.get("default").and_then(Json::as_str);
        if !budget.take(name) || !budget.take(&url) {
            break;
        }
        if let Some(default) = default.filter(|default| url.len().saturating_add(default.len()) <= MAX_URL_BYTES) {
            // Once: a variable has one place in a URL.
            url = url.replacen(&["{", name, "}"].concat(), default, 1);
        }
    }
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let url = url.get(..end).unwrap_or_default();
    let path = match url.split_once("//").filter(|(scheme, _)| !scheme.contains('/')) {
        Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
        None => url,
    };
    let path = path.trim_matches('/');
    if path.is_empty() { String::new() } else { ["/", path].concat() }
}

/// The fields of a path that are operations (OpenAPI 3.1.1 section 4.8.9.1; QUERY: 3.2).
const METHODS: [&str; 9] = ["GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE", "QUERY"];

const MAX_SERVERS: usize = 16;
const MAX_VARIABLES: usize = 16;

/// A longer base path is ignored.
const MAX_URL_BYTES: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(value: &Value) -> Json {
        Json::parse(value.to_string().as_bytes(), 100).unwrap().unwrap()
    }

    #[test]
    fn a_server_has_a_base_path() {
        let budget = &mut Budget::new(1000);
        for (url, expected) in [
            ("https://api.example.com", ""),
            ("https://api.example.com/", ""),
            ("https://api.example.com/v1/", "/v1"),
            ("https://api.example.com/v1/x?a=/b#/c", "/v1/x"),
            ("//api.example.com/v1", "/v1"),
            ("/v1", "/v1"),
            ("v1", "/v1"),
            ("/", ""),
            ("", ""),
            ("/a//b", "/a//b"),
        ] {
            assert_eq!(base_path(&read(&json!({"url": url})), budget), expected, "{url}");
        }
        let variables = json!({"host": {"default": "a.example"}, "base": {"default": "v2"}, "unused": {}});
        let server = json!({"url": "https://{host}/{base}/{other}", "variables": variables});
        assert_eq!(base_path(&read(&server), budget), "/v2/{other}");
        assert_eq!(base_path(&read(&json!({"url": format!("/{}", "a".repeat(2000))})), budget), "");
        assert_eq!(base_paths(&read(&json!({"servers": []})), budget), None);
        assert_eq!(
            base_paths(&read(&json!({"servers": [{"url": "/a"}, {"url": "https://x/a/"}, 7]})), budget).unwrap(),
            ["/a", ""]
        );
    }
}
