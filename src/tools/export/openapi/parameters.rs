//! Parameters of requests: in the query, in header fields and in cookies.
//!
//! Fields that browsers, clients and proxies add to any request are not described. Nor are credentials: those are security
//! schemes. A name that is an identifier or text is a value, such as that of `?1700000000`, and not written.

use super::id_kind::IdKind;
use super::json_value::{Json, Object};
use super::schema::SchemaWriter;
use super::security::{Scheme, is_secret_parameter};
use super::shape::Strings;
use super::text_kind::TextKind;
use crate::bundle::reader::Header;
use crate::sorting::sort_by;
use crate::tools::export::http::{cookies, parameters, query};

#[cfg(test)]
mod tests;

/// The place of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Location {
    Query,
    Header,
    Cookie,
}

/// The parameters of an operation.
#[derive(Clone, Debug, Default)]
pub(super) struct Parameters {
    /// Sorted by location and name.
    all: Vec<Parameter>,
    /// The number of requests.
    requests: u64,
    has_left_out: bool,
}

/// A parameter.
#[derive(Clone, Debug)]
struct Parameter {
    location: Location,
    name: Box<str>,
    /// The number of requests that have it.
    requests: u64,
    /// True if a request has it several times.
    is_repeated: bool,
    values: Strings,
    example: Option<Box<str>>,
}

impl Parameters {
    /// Returns the parameters of a request, and adds its credentials to `schemes`.
    pub(super) fn of(url: &str, headers: &[Header], schemes: &mut Vec<Scheme>) -> Self {
        let mut all = Self { requests: 1, ..Self::default() };
        for (name, value) in parameters(query(url)) {
            match Scheme::of_query(&name, &value) {
                Some(scheme) if is_name(&name) => schemes.push(scheme),
                _ => all.add(Location::Query, &name, &value),
            }
        }
        for header in headers {
            let name = header.name.to_ascii_lowercase();
            if name == "cookie" {
                for (name, value) in cookies(&header.value) {
                    match Scheme::of_cookie(name) {
                        Some(scheme) if is_name(name) => schemes.push(scheme),
                        _ if is_analytics_cookie(name) => {}
                        _ => all.add(Location::Cookie, name, value),
                    }
                }
            } else if let Some(scheme) = Scheme::of_header(&header.name, &header.value) {
                schemes.push(scheme);
            } else if !is_of_client(&name) {
                all.add(Location::Header, &header.name, &header.value);
            }
        }
        sort_by(schemes, &|a, b| a.cmp(b));
        schemes.dedup();
        all
    }

    fn add(&mut self, location: Location, name: &str, value: &str) {
        if !is_name(name) {
            self.has_left_out = true;
            return;
        }
        let Some((parameter, is_new)) = self.parameter(location, name) else { return };
        parameter.is_repeated |= !is_new;
        parameter.requests = 1;
        parameter.values.add(value);
        parameter.example.get_or_insert_with(|| value.chars().take(MAX_EXAMPLE_CHARS).collect::<String>().into());
    }

    /// Returns the parameter, and true if it is new. Names of header fields are compared without regard to case.
    fn parameter(&mut self, location: Location, name: &str) -> Option<(&mut Parameter, bool)> {
        let key = |name: &str| if location == Location::Header { name.to_ascii_lowercase() } else { name.to_owned() };
        let sought = key(name);
        let found = self
            .all
            .binary_search_by(|known| known.location.cmp(&location).then_with(|| key(&known.name).cmp(&sought)));
        if let Err(at) = found {
            if self.all.len() >= MAX_PARAMETERS {
                self.has_left_out = true;
                return None;
            }
            let (name, values) = (name.into(), Strings::default());
            self.all.insert(at, Parameter { location, name, requests: 0, is_repeated: false, values, example: None });
        }
        let (Ok(at) | Err(at)) = found;
        Some((self.all.get_mut(at)?, found.is_err()))
    }

    /// Adds those of another request.
    pub(super) fn merge(&mut self, other: Self) {
        self.requests += other.requests;
        self.has_left_out |= other.has_left_out;
        for sample in other.all {
            let Some((known, _)) = self.parameter(sample.location, &sample.name) else { continue };
            known.requests += sample.requests;
            known.is_repeated |= sample.is_repeated;
            known.values.merge(sample.values);
            if known.example.is_none() {
                known.example = sample.example;
            }
        }
    }

    /// Returns the parameter objects (OpenAPI section 4.8.12).
    pub(super) fn describe(&self, writer: &mut SchemaWriter<'_>) -> Vec<Json> {
        let mut described: Vec<Json> = Vec::new();
        for parameter in &self.all {
            let location = match parameter.location {
                Location::Query => "query",
                Location::Header => "header",
                Location::Cookie => "cookie",
            };
            let is_secret = is_secret_parameter(&parameter.name);
            let mut value = value_schema(writer, &parameter.values, (!is_secret).then_some(&parameter.name));
            if parameter.is_repeated {
                value = Object::default().with("type", "array").with("items", value);
            }
            let mut object = Object::default().with("name", &*parameter.name).with("in", location);
            if parameter.requests == self.requests {
                object.set("required", true);
            }
            object.set("schema", value);
            let may_show = writer.has_examples && !is_secret;
            if let Some(example) = parameter.example.as_deref().filter(|_| may_show) {
                object.set("example", example);
            }
            described.push(object.into());
        }
        described
    }

    pub(super) fn has_left_out(&self) -> bool {
        self.has_left_out
    }
}

/// Returns the schema of values that are text on the wire. `name` is `None` if they are secret.
fn value_schema(writer: &SchemaWriter<'_>, values: &Strings, name: Option<&str>) -> Object {
    let types = [(TextKind::Integer, "integer"), (TextKind::Number, "number"), (TextKind::Boolean, "boolean")];
    match types.iter().find(|(kind, _)| values.kinds.has(*kind)) {
        Some((_, name)) => Object::default().with("type", *name),
        None => {
            let mut schema = Object::default().with("type", "string");
            writer.add_strings(&mut schema, values, name.is_some(), false, name.unwrap_or_default());
            schema
        }
    }
}

/// True for the name of a parameter, and not for an identifier or text.
fn is_name(name: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || "_-.:$[]@!*~()|+%#".contains(c);
    (1..=MAX_NAME_BYTES).contains(&name.len()) && name.chars().all(is_part) && IdKind::of(name).is_none()
}

/// True for a header field that clients, browsers and proxies add to any request; `name` is in lower case.
fn is_of_client(name: &str) -> bool {
    CLIENT_FIELDS.contains(&name) || CLIENT_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn is_analytics_cookie(name: &str) -> bool {
    ANALYTICS_COOKIES.iter().any(|prefix| name.starts_with(prefix))
}

/// Fields of HTTP (RFC 9110, RFC 9111), of browsers, of proxies and of tracing.
const CLIENT_FIELDS: [&str; 54] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "age",
    "alt-used",
    "authorization",
    "baggage",
    "b3",
    "cache-control",
    "connection",
    "content-encoding",
    "content-language",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "device-memory",
    "dnt",
    "downlink",
    "dpr",
    "ect",
    "expect",
    "forwarded",
    "from",
    "host",
    "http2-settings",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "keep-alive",
    "max-forwards",
    "origin",
    "pragma",
    "priority",
    "proxy-authorization",
    "proxy-connection",
    "purpose",
    "range",
    "referer",
    "rtt",
    "save-data",
    "sentry-trace",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "upgrade-insecure-requests",
    "user-agent",
    "via",
    "viewport-width",
    "x-requested-with",
];

const CLIENT_PREFIXES: [&str; 16] = [
    ":",
    "sec-",
    "x-forwarded-",
    "x-b3-",
    "cf-",
    "x-real-ip",
    "x-envoy-",
    "x-datadog-",
    "x-newrelic",
    "newrelic",
    "x-amzn-trace",
    "x-cloud-trace",
    "access-control-request-",
    "grpc-",
    "x-stainless-",
    "x-client-data",
];

const ANALYTICS_COOKIES: [&str; 12] =
    ["_ga", "_gid", "_gat", "_gcl", "_fbp", "_hj", "__utm", "ajs_", "amplitude", "mp_", "_clck", "optimizely"];

const MAX_PARAMETERS: usize = 200;

const MAX_NAME_BYTES: usize = 256;

const MAX_EXAMPLE_CHARS: usize = 64;
