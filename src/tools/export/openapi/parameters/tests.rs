//! Parameters of requests. A test is the heads of requests, and the parameter objects.

use super::*;
use crate::tools::export::openapi::testing::{headers, written};
use serde_json::{Value, json};

/// Returns the parameter objects of requests, each a URL and lines of header fields, and the keys of schemes.
fn described(has_examples: bool, requests: &[(&str, &str)]) -> (Value, Vec<String>) {
    let (mut all, mut keys) = (Parameters::default(), Vec::new());
    for (url, fields) in requests {
        let mut schemes = Vec::new();
        all.merge(Parameters::of(&["http://a/", url].concat(), &headers(fields), &mut schemes));
        keys.extend(schemes.iter().map(Scheme::key));
    }
    let (json, _) = written(has_examples, |writer| Json::Array(all.describe(writer)));
    (json, keys)
}

/// Returns `in name` of the parameters of one request.
fn listed(url: &str, fields: &str) -> Vec<String> {
    let (json, _) = described(false, &[(url, fields)]);
    let text = |parameter: &Value, member: &str| parameter[member].as_str().unwrap().to_owned();
    json.as_array().unwrap().iter().map(|p| format!("{} {}", text(p, "in"), text(p, "name"))).collect()
}

/// Returns the schema of the parameter `q` in several requests.
fn schema(queries: &[&str]) -> Value {
    let requests: Vec<_> = queries.iter().map(|query| (*query, "")).collect();
    described(false, &requests).0[0]["schema"].clone()
}

#[test]
fn parameters_are_required_if_all_requests_have_them() {
    let requests =
        [("?a=x&b=1", "X-Tenant: acme\ncookie: theme=dark; lang=en"), ("?a=y", "x-tenant: other\ncookie: lang=de")];
    let parameter = |name: &str, location: &str, is_required: bool, kind: &str| match is_required {
        true => json!({"name": name, "in": location, "required": true, "schema": {"type": kind}}),
        false => json!({"name": name, "in": location, "schema": {"type": kind}}),
    };
    let expected = json!([
        parameter("a", "query", true, "string"),
        parameter("b", "query", false, "integer"),
        parameter("X-Tenant", "header", true, "string"),
        parameter("lang", "cookie", true, "string"),
        parameter("theme", "cookie", false, "string"),
    ]);
    assert_eq!(described(false, &requests), (expected, Vec::new()));
}

#[test]
fn values_have_types_and_formats() {
    for (queries, expected) in [
        (&["?q=1", "?q=-20"][..], json!({"type": "integer"})),
        (&["?q=1", "?q=2.5"], json!({"type": "number"})),
        (&["?q=true", "?q=false"], json!({"type": "boolean"})),
        (&["?q=1", "?q=true"], json!({"type": "string"})),
        (&["?q=2026-01-31"], json!({"type": "string", "format": "date"})),
        (&["?q=a%40example.com"], json!({"type": "string", "format": "email"})),
        (&["?q="], json!({"type": "string"})),
        (&["?q"], json!({"type": "string"})),
        (&["?q=1&q=2"], json!({"type": "array", "items": {"type": "integer"}})),
        (&["?q=1", "?q=x&q=2"], json!({"type": "array", "items": {"type": "string"}})),
    ] {
        assert_eq!(schema(queries), expected, "{queries:?}");
    }
}

#[test]
fn words_are_an_enumeration_if_many_requests_have_them() {
    let queries = |count: usize| [vec!["?order=asc"; count], vec!["?order=desc"; 10]].concat();
    assert_eq!(schema(&queries(10)), json!({"type": "string", "enum": ["asc", "desc"]}));
    assert_eq!(schema(&queries(9)), json!({"type": "string"}));
    let people = [vec!["?by=ann"; 10], vec!["?by=bob"; 10]].concat();
    assert_eq!(schema(&people), json!({"type": "string"}), "no name of a code");
}

#[test]
fn examples_are_shown_on_demand_and_never_secrets() {
    let request = "?q=word&code=grant&password=hunter&otp=onetime&csrf_token=forged";
    let (without, keys) = described(false, &[(request, "X-CSRF-Token: forged\nX-Tenant: acme")]);
    assert!(!without.to_string().contains("example") && keys.is_empty(), "{without} {keys:?}");
    let more = "?q=other&code=second&password=winter&otp=twotime&csrf_token=fake";
    let (with, _) = described(true, &[(request, "X-CSRF-Token: forged\nX-Tenant: acme"), (more, "X-CSRF-Token: fake")]);
    let parameters = with.as_array().unwrap();
    let examples = parameters.iter().filter_map(|p| Some((p["name"].as_str()?, p["example"].as_str()?)));
    assert_eq!(examples.collect::<Vec<_>>(), [("q", "word"), ("X-Tenant", "acme")]);
    for secret in ["grant", "second", "hunter", "winter", "onetime", "twotime", "forged", "fake"] {
        assert!(!with.to_string().contains(secret), "{secret}: {with}");
    }
    assert_eq!(parameters.len(), 7, "they are parameters: {with}");
    let long = described(true, &[(&["?q=", &"ü".repeat(100)].concat(), "")]).0;
    assert_eq!(long[0]["example"].as_str().unwrap().chars().count(), MAX_EXAMPLE_CHARS);
}

#[test]
fn credentials_are_schemes() {
    let fields = "Authorization: Bearer x\nX-Api-Key: y\ncookie: sid=z; theme=dark";
    let (json, keys) = described(true, &[("?access_token=w&page_token=v&access_token=w", fields)]);
    assert_eq!(keys, ["bearer", "header-x-api-key", "query-access_token", "cookie-sid"]);
    let names: Vec<_> = json.as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["page_token", "theme"]);
}

#[test]
fn a_presigned_url_has_a_scheme_and_parameters() {
    let url = "?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=A%2F1&X-Amz-Date=20260131T000000Z&X-Amz-Expires=900\
               &X-Amz-SignedHeaders=host&X-Amz-Signature=0123456789abcdef";
    let (_, keys) = described(false, &[(url, "")]);
    assert_eq!(keys, ["query-X-Amz-Credential", "query-X-Amz-Signature"]);
    let expected = ["query X-Amz-Algorithm", "query X-Amz-Date", "query X-Amz-Expires", "query X-Amz-SignedHeaders"];
    assert_eq!(listed(url, ""), expected);
}

#[test]
fn fields_of_clients_and_cookies_of_analytics_are_left_out() {
    let fields = "Accept: */*\nUser-Agent: me\nSec-Fetch-Mode: cors\n:authority: a\ntraceparent: 00-1\nX-Forwarded-For: b\n\
                  Content-Type: a/b\nCF-Ray: 1\ncookie: _ga=GA1.2; _gid=1; lang=en\nX-Requested-With: x\nX-Own: y";
    assert_eq!(listed("", fields), ["header X-Own", "cookie lang"]);
}

#[test]
fn names_that_are_values_are_not_written() {
    let fields = "cookie: lonely; session_0123456789abcdef0=x; theme=dark";
    for query in ["1700000000", "0123456789abcdef=", "%7B%22a%22%3A1%7D", "a+sentence", "a%40example.com=1", "=x"] {
        let mut schemes = Vec::new();
        let parameters = Parameters::of(&["http://a/?b=c&", query].concat(), &headers(fields), &mut schemes);
        let names: Vec<_> = parameters.all.iter().map(|parameter| &*parameter.name).collect();
        assert_eq!(names, ["b", "theme"], "{query}");
        assert!(parameters.has_left_out() && schemes.is_empty(), "{query} {schemes:?}");
    }
    let usual = "?filter%5Bstate%5D=a&page.size=1&$top=2&ids%5B%5D=3&acl&X-Amz-SignedHeaders=host&größe=1&include*=x";
    assert_eq!(listed(usual, "").len(), 8);
    assert_eq!(listed(&["?", &"a".repeat(MAX_NAME_BYTES + 1), "=1"].concat(), ""), Vec::<String>::new());
}

#[test]
fn parameters_are_limited() {
    let query: String = (0..=MAX_PARAMETERS).map(|n| format!("&p{n}=1")).collect();
    let parameters = Parameters::of(&["http://a/?", &query].concat(), &[], &mut Vec::new());
    assert_eq!((parameters.all.len(), parameters.has_left_out()), (MAX_PARAMETERS, true));
}
