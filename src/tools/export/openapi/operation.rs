//! An operation: the requests with one method to one endpoint, and their answers.

use super::bodies::Bodies;
use super::calls::Calls;
use super::json_value::{Json, Object};
use super::names::pascal_case;
use super::parameters::Parameters;
use super::schema::SchemaWriter;
use super::security::Scheme;
use super::shape::{Budget, Shape};
use super::websocket::Messages;
use crate::tools::sorted_map::SortedMap;

/// The methods that OpenAPI has operations for (section 4.8.9), as in HTTP and in a document.
pub(super) const METHODS: [(&str, &str); 8] = [
    ("GET", "get"),
    ("PUT", "put"),
    ("POST", "post"),
    ("DELETE", "delete"),
    ("OPTIONS", "options"),
    ("HEAD", "head"),
    ("PATCH", "patch"),
    ("TRACE", "trace"),
];

/// The description of an operation; also of a single exchange, before it is added.
#[derive(Clone, Debug, Default)]
pub(super) struct Operation {
    pub(super) exchanges: u64,
    pub(super) parameters: Parameters,
    /// The sets of schemes that requests used, an empty one for none.
    pub(super) security: Vec<Vec<Scheme>>,
    /// The origins, such as `https://api.example.com`.
    pub(super) servers: Vec<Box<str>>,
    pub(super) request: Bodies,
    pub(super) responses: SortedMap<u16, Bodies>,
    pub(super) calls: Calls,
    pub(super) grpc: Option<Grpc>,
    pub(super) messages: Messages,
}

/// A method of gRPC.
#[derive(Clone, Debug, Default)]
pub(super) struct Grpc {
    pub(super) service: String,
    pub(super) method: String,
    /// True if a request had several messages.
    pub(super) is_client_streaming: bool,
    /// True if a response had several messages.
    pub(super) is_server_streaming: bool,
}

impl Operation {
    /// Adds another exchange.
    pub(super) fn merge(&mut self, other: Self, budget: &mut Budget) {
        self.exchanges += other.exchanges;
        self.parameters.merge(other.parameters);
        add_new(&mut self.security, other.security, MAX_SECURITY);
        add_new(&mut self.servers, other.servers, MAX_SERVERS);
        self.request.merge(other.request, budget);
        for (status, bodies) in other.responses.into_entries() {
            if let Some(known) = self.responses.or_default(status) {
                known.merge(bodies, budget);
            }
        }
        self.calls.merge(other.calls, budget);
        self.messages.merge(other.messages, budget);
        match (&mut self.grpc, other.grpc) {
            (Some(known), Some(other)) => {
                known.is_client_streaming |= other.is_client_streaming;
                known.is_server_streaming |= other.is_server_streaming;
            }
            (known, other) => *known = known.take().or(other),
        }
    }

    /// Returns the operation object (OpenAPI section 4.8.10).
    pub(super) fn describe(&self, path: &str, path_parameters: &[Json], writer: &mut SchemaWriter<'_>) -> Object {
        let mut operation = Object::default();
        let parameters: Vec<_> = path_parameters.iter().cloned().chain(self.parameters.describe(writer)).collect();
        operation.set_unless_empty("parameters", parameters);
        if self.parameters.has_left_out() {
            operation.set("x-parameters-left-out", true);
        }
        let hint = pascal_case(path);
        if !self.request.is_empty() {
            let mut body =
                Object::default().with("content", self.request.describe(writer, &[&*hint, "Request"].concat()));
            if self.request.count() == self.exchanges {
                body.set("required", true);
            }
            operation.set("requestBody", body);
        }
        let mut responses = Object::default();
        for (status, bodies) in self.responses.iter() {
            let mut response = Object::default().with("description", reason_phrase(*status));
            if !bodies.is_empty() {
                response.set("content", bodies.describe(writer, &hint));
            }
            responses.set(status.to_string(), response);
        }
        operation.set("responses", responses);
        if self.security.iter().any(|schemes| !schemes.is_empty()) {
            let requirement = |schemes: &Vec<Scheme>| {
                let all = schemes
                    .iter()
                    .fold(Object::default(), |all, scheme| all.with_new(scheme.key(), Json::Array(Vec::new())));
                Json::from(all)
            };
            operation.set("security", Json::Array(self.security.iter().map(requirement).collect()));
        }
        self.calls.describe(&mut operation, writer);
        if let Some(grpc) = &self.grpc {
            let described = Object::default()
                .with("service", grpc.service.as_str())
                .with("method", grpc.method.as_str())
                .with("client-streaming", grpc.is_client_streaming)
                .with("server-streaming", grpc.is_server_streaming);
            operation.set("x-grpc", described);
        }
        self.messages.describe(&mut operation, writer, &hint);
        operation.set("x-exchanges", self.exchanges);
        operation
    }

    /// Returns the shape of the only answer if it is JSON.
    pub(super) fn answer(&self) -> Option<&Shape> {
        self.responses.values().next().and_then(Bodies::json)
    }
}

fn add_new<T: PartialEq>(known: &mut Vec<T>, others: Vec<T>, limit: usize) {
    for other in others {
        if known.len() < limit && !known.contains(&other) {
            known.push(other);
        }
    }
}

/// Returns the reason phrase of a status (RFC 9110 section 15).
fn reason_phrase(status: u16) -> &'static str {
    match status {
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        207 => "Multi-Status",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        409 => "Conflict",
        410 => "Gone",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Status",
    }
}

const MAX_SECURITY: usize = 8;

const MAX_SERVERS: usize = 32;
