//! Calls of protocols that have many operations at one path.
//!
//! | protocol | described as | by |
//! |---|---|---|
//! | JSON-RPC 2.0 (<https://www.jsonrpc.org/specification>) | `x-json-rpc` | `method` |
//! | GraphQL over HTTP (<https://graphql.github.io/graphql-over-http/draft>) | `x-graphql` | `operationName`, or the name in the query |

use super::json_value::Object;
use super::parse::without_mark;
use super::schema::SchemaWriter;
use super::shape::{Budget, Shape};
use serde::Deserialize;
use serde::de::IgnoredAny;

mod query;
#[cfg(test)]
mod tests;

/// The calls of an operation.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls {
    all: Vec<Call>,
    has_left_out: bool,
}

/// Calls of one name.
#[derive(Clone, Debug)]
struct Call {
    protocol: Protocol,
    name: Box<str>,
    count: u64,
    /// The parameters or variables.
    sent: Shape,
    /// The result or data.
    received: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    JsonRpc,
    GraphQl,
}

/// The members of a call that tell its protocol and its name.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    #[serde(default)]
    jsonrpc: Option<IgnoredAny>,
    #[serde(default)]
    method: Option<String>,
    #[serde(default)]
    operation_name: Option<String>,
    #[serde(default)]
    query: Option<String>,
    #[serde(default)]
    extensions: Option<IgnoredAny>,
}

impl Calls {
    /// Returns the calls in a request body. `sent` and `received` are the shapes of the request and of its answer.
    pub(super) fn of(body: &[u8], sent: &Shape, received: Option<&Shape>) -> Self {
        let mut calls = Self::default();
        let body = without_mark(body);
        // Serde reads an array as a structure too.
        let are_objects = |shape: &Shape| shape.objects.as_ref().is_some_and(|objects| objects.count == shape.count());
        if are_objects(sent) {
            let envelope = serde_json::from_slice(body).ok();
            envelope.iter().for_each(|envelope| calls.add(envelope, Some(sent), received));
        } else if sent.arrays.as_ref().is_some_and(|arrays| are_objects(&arrays.items)) {
            // Which answer belongs to which call is not described.
            let batch: Vec<Envelope> = serde_json::from_slice(body).unwrap_or_default();
            batch.iter().for_each(|envelope| calls.add(envelope, None, None));
        }
        calls
    }

    fn add(&mut self, envelope: &Envelope, sent: Option<&Shape>, received: Option<&Shape>) {
        let Some((protocol, name)) = envelope.call() else { return };
        let member = |shape: Option<&Shape>, name: &str| {
            let objects = shape.and_then(|shape| shape.objects.as_deref());
            let member = objects.and_then(|objects| objects.members.iter().find(|member| *member.name == *name));
            member.map(|member| member.shape.clone()).unwrap_or_default()
        };
        let [arguments, result] = protocol.members();
        let call = Call {
            protocol,
            name: name.into(),
            count: 1,
            sent: member(sent, arguments),
            received: member(received, result),
        };
        self.merge_call(call, &mut Budget::BODY.clone());
    }

    pub(super) fn merge(&mut self, other: Self, budget: &mut Budget) {
        self.has_left_out |= other.has_left_out;
        other.all.into_iter().for_each(|call| self.merge_call(call, budget));
    }

    fn merge_call(&mut self, call: Call, budget: &mut Budget) {
        let is_same = |known: &&mut Call| known.protocol == call.protocol && known.name == call.name;
        if let Some(known) = self.all.iter_mut().find(is_same) {
            known.count += call.count;
            known.sent.merge(call.sent, budget);
            known.received.merge(call.received, budget);
        } else if self.all.len() < MAX_CALLS {
            self.all.push(call);
        } else {
            self.has_left_out = true;
        }
    }

    /// Adds the calls to an operation object.
    pub(super) fn describe(&self, operation: &mut Object, writer: &mut SchemaWriter<'_>) {
        for protocol in [Protocol::JsonRpc, Protocol::GraphQl] {
            let [arguments, result] = protocol.members();
            let mut calls = Object::default();
            for call in self.all.iter().filter(|call| call.protocol == protocol) {
                let mut described = Object::default().with("x-exchanges", call.count);
                for (name, shape) in [(arguments, &call.sent), (result, &call.received)] {
                    if !shape.is_empty() {
                        described.set(name, writer.schema(shape, &call.name));
                    }
                }
                calls.set(&*call.name, described);
            }
            operation.set_unless_empty(protocol.extension(), calls);
        }
        if self.has_left_out {
            operation.set("x-calls-left-out", true);
        }
    }
}

impl Protocol {
    fn extension(self) -> &'static str {
        match self {
            Self::JsonRpc => "x-json-rpc",
            Self::GraphQl => "x-graphql",
        }
    }

    /// Returns the names of the members with the arguments and the result.
    fn members(self) -> [&'static str; 2] {
        match self {
            Self::JsonRpc => ["params", "result"],
            Self::GraphQl => ["variables", "data"],
        }
    }
}

impl Envelope {
    /// Returns the protocol and the name of the call.
    fn call(&self) -> Option<(Protocol, &str)> {
        let is_name = |name: &&str| {
            let is_part = |c: char| c.is_ascii_alphanumeric() || "_-./:$".contains(c);
            !name.is_empty() && name.len() <= MAX_NAME_BYTES && name.chars().all(is_part)
        };
        if let (Some(_), Some(method)) = (&self.jsonrpc, &self.method) {
            return Some((Protocol::JsonRpc, method.as_str())).filter(|(_, name)| is_name(name));
        }
        // A persisted query has no text, but an extension with its hash.
        let query = self.query.as_deref().unwrap_or_default();
        let name = self.operation_name.as_deref().filter(|name| !name.is_empty()).or_else(|| query::name(query));
        let is_graphql = query.contains('{') || self.operation_name.is_some() && self.extensions.is_some();
        let name = name.filter(is_name).unwrap_or("(anonymous)");
        is_graphql.then_some((Protocol::GraphQl, name))
    }
}

const MAX_CALLS: usize = 500;

const MAX_NAME_BYTES: usize = 128;
