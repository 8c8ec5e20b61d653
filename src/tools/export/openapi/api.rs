//! All operations of a capture, and the document about them.

use super::Written;
use super::bodies::Bodies;
use super::calls::Calls;
use super::components::Components;
use super::json_value::{Json, Object};
use super::looks::{for_each, load};
use super::names::parameter_name;
use super::omissions::{Omissions, Reason, Role};
use super::operation::{Grpc, METHODS, Operation};
use super::parameters::Parameters;
use super::paths::{Path, decoded};
use super::schema::SchemaWriter;
use super::security::Scheme;
use super::shape::Budget;
use super::survey::{Survey, load_side, method_bit};
use super::templates::{Endpoint, PathParameter, Segment, Templates};
use super::text_kind::{TextKind, TextKinds};
use super::websocket::Messages;
use crate::bundle::id::ItemKind;
use crate::bundle::reader::{Bundle, Error, LeftOut, Trace};
use crate::tools::export::http::media_type;
use crate::tools::grpc::{GrpcMessages, is_grpc};
use crate::tools::sorted_map::SortedMap;

/// The operations of a capture.
pub(super) struct Api {
    templates: Templates,
    /// By the number of the endpoint: the operations with the index of their method.
    operations: Vec<SortedMap<usize, Operation>>,
    budget: Budget,
    omissions: Omissions,
    damaged: LeftOut,
}

impl Api {
    /// Describes the exchanges and messages that `survey` found to be of an API.
    pub(super) fn observe(bundle: &Bundle, survey: Survey<'_>) -> Result<Self, Error> {
        let Survey { tree, ids, selected, omissions, damaged } = survey;
        let templates = Templates::infer(&tree);
        drop(tree);
        let operations = templates.endpoints.iter().map(|_| SortedMap::default()).collect();
        let mut api = Self { templates, operations, budget: Budget::DOCUMENT, omissions, damaged };
        let Self { templates, operations, budget, omissions, damaged } = &mut api;
        let templates = &*templates;
        let look = |_, id: &str| {
            let trace = bundle.trace(id)?;
            let key = key(templates, &trace.request.url, &trace.request.method);
            let size = trace.request.body_size.saturating_add(trace.response.body_size).min(1 << 20);
            let sample = match key {
                Some(key) => Ok((key, sample(bundle, &trace)?)),
                None => Err(reason(&trace)),
            };
            Ok(Some((sample, usize::try_from(size).unwrap_or_default())))
        };
        for_each(bundle, &|id| ids.contains(id), &look, &mut |look| match look.seen {
            None => damaged.add(&look.id),
            Some(Err(reason)) => omissions.add(reason, &look.id),
            Some(Ok(((endpoint, method), sample))) => {
                if let Some(operation) = operations.get_mut(endpoint).and_then(|methods| methods.or_default(method)) {
                    operation.merge(sample, budget);
                }
            }
        })?;
        api.add_messages(bundle, &|id| selected.has_websocket(id))?;
        Ok(api)
    }

    /// Adds the messages of WebSockets to the operations of their handshakes.
    fn add_messages(&mut self, bundle: &Bundle, is_selected: &dyn Fn(&str) -> bool) -> Result<(), Error> {
        for id in bundle.websockets().iter().filter(|id| is_selected(id)) {
            let websocket = match bundle.websocket(id) {
                Err(e) if e.is_of_one_entry() => {
                    self.damaged.add(id);
                    continue;
                }
                websocket => websocket?,
            };
            let Some(key) = key(&self.templates, &websocket.url, "GET") else { continue };
            let (mut messages, mut budget) = (Messages::default(), Budget::BODY);
            websocket.protocols.iter().for_each(|protocol| messages.add_protocol(protocol));
            for id in bundle.messages(id).iter() {
                let read = bundle.message(id).and_then(|message| {
                    let (file, encoding) = (message.payload_file.as_deref(), message.payload_encoding.as_deref());
                    let payload = load(bundle, ItemKind::Message, id, file, encoding)?;
                    Ok((message, payload))
                });
                match read {
                    Err(e) if e.is_of_one_entry() => self.damaged.add(id),
                    read => {
                        let (message, payload) = read?;
                        let is_cut_off = message.cut_off.is_some();
                        if !is_cut_off && matches!(message.opcode.as_str(), "text" | "binary") {
                            let (is_sent, is_text) = (message.direction == "send", message.opcode == "text");
                            messages.add(is_sent, is_text, payload.as_deref(), &mut budget);
                        }
                    }
                }
            }
            let (endpoint, method) = key;
            let operation = self.operations.get_mut(endpoint).and_then(|methods| methods.or_default(method));
            let Some(operation) = operation else { continue };
            operation.messages.merge(messages, &mut self.budget);
            if operation.exchanges == 0 {
                // The handshake is not in the bundle.
                operation.responses.insert(101, Bodies::default());
            }
        }
        Ok(())
    }

    /// Returns the OpenAPI object (section 4.8.1), and the summary of the export.
    pub(super) fn document(self, has_examples: bool) -> (Json, Written) {
        let mut components = Components::default();
        let mut writer = SchemaWriter { components: &mut components, has_examples };
        let servers = servers(&mut self.operations.iter().flat_map(SortedMap::values));
        let mut items: SortedMap<String, Object> = SortedMap::default();
        let mut schemes: SortedMap<&Scheme, ()> = SortedMap::default();
        for (endpoint, operations) in self.templates.endpoints.iter().zip(&self.operations) {
            if operations.is_empty() {
                continue;
            }
            let (path, parameters) = path_and_parameters(endpoint);
            let Some(item) = items.or_default(path.clone()) else { continue };
            let here = self::servers(&mut operations.values());
            if here != servers && !here.is_empty() {
                item.set("servers", server_objects(&here));
            }
            for (method, operation) in operations.iter() {
                let Some((_, method)) = METHODS.get(*method) else { continue };
                item.set(*method, operation.describe(&path, &parameters, &mut writer));
                operation.security.iter().flatten().for_each(|scheme| schemes.insert(scheme, ()));
            }
        }
        let mut paths = Object::default();
        for (path, item) in items.into_entries() {
            paths.set(path, item);
        }
        components.share(&mut paths);
        let mut document = Object::default().with("openapi", "3.1.0");
        document.set("info", Object::default().with("title", title(&servers)).with("version", "0"));
        document.set_unless_empty("servers", server_objects(&servers));
        document.set("paths", paths);
        let security =
            schemes.keys().fold(Object::default(), |all, scheme| all.with_new(scheme.key(), scheme.describe()));
        let mut parts = Object::default();
        parts.set_unless_empty("schemas", components.into_schemas());
        parts.set_unless_empty("securitySchemes", security);
        document.set_unless_empty("components", parts);
        document.set_unless_empty("x-omitted", self.omissions.describe());
        let mut written = Written { damaged: self.damaged, omitted: self.omissions.to_public(), ..Written::default() };
        written.operations = self.operations.iter().map(|methods| methods.len() as u64).sum();
        (document.into(), written)
    }
}

/// Returns the number of the endpoint and the index of the method, if the capture has this operation.
fn key(templates: &Templates, url: &str, method: &str) -> Option<(usize, usize)> {
    let bit = method_bit(method)?;
    let endpoint = templates.endpoint(Path::of(url)?)?;
    let has_method = templates.endpoints.get(endpoint)?.methods & bit != 0;
    has_method.then_some((endpoint, usize::try_from(bit.trailing_zeros()).ok()?))
}

/// Returns the reason why no operation has the exchange.
fn reason(trace: &Trace) -> Reason {
    match Role::of(trace, || Ok::<_, Error>(false)) {
        Ok(Role::Refusal(reason) | Role::Omitted(reason)) => reason,
        Ok(Role::Endpoint) | Err(_) => Reason::NoRoom,
    }
}

/// Returns the description of an operation by one exchange.
fn sample(bundle: &Bundle, trace: &Trace) -> Result<Operation, Error> {
    let (request, response) = (&trace.request, &trace.response);
    let mut schemes = Vec::new();
    let parameters = Parameters::of(&request.url, &request.headers, &mut schemes);
    let mut operation = Operation { exchanges: 1, parameters, security: vec![schemes], ..Operation::default() };
    operation.servers.extend(origin(&request.url).map(Into::into));
    let sent = load_side(bundle, trace, true)?;
    // A form without fields has no bytes.
    let is_form = media_type(&request.headers) == "application/x-www-form-urlencoded";
    let is_empty = |body: &Option<Vec<u8>>| body.as_ref().is_some_and(Vec::is_empty);
    if !is_empty(&sent) || is_form {
        operation.request = Bodies::of(&request.headers, sent.as_deref());
    }
    // The events before the end of a capture are complete.
    let is_whole = trace.cut_off.is_none() || media_type(&response.headers) == "text/event-stream";
    let has_body = is_whole && !(300..400).contains(&response.status);
    let received = if has_body { load_side(bundle, trace, false)? } else { Some(Vec::new()) };
    let bodies = match is_empty(&received) {
        true => Bodies::default(),
        false => Bodies::of(&response.headers, received.as_deref()),
    };
    operation.responses.insert(response.status, bodies);
    if let (Some(body), Some(shape)) = (sent.as_deref(), operation.request.json())
        && request.method == "POST"
    {
        operation.calls = Calls::of(body, shape, operation.answer());
    }
    if is_grpc(&request.headers) {
        operation.grpc = Some(grpc(bundle, trace)?);
    }
    Ok(operation)
}

fn grpc(bundle: &Bundle, trace: &Trace) -> Result<Grpc, Error> {
    let several = |messages: Option<GrpcMessages>| messages.is_some_and(|messages| messages.count > 1);
    let mut segments = Path::of(&trace.request.url).map(|path| path.segments().collect::<Vec<_>>()).unwrap_or_default();
    let method = segments.pop().unwrap_or_default().to_owned();
    Ok(Grpc {
        service: segments.pop().unwrap_or_default().to_owned(),
        method,
        is_client_streaming: several(GrpcMessages::of_request(bundle, trace)?),
        is_server_streaming: several(GrpcMessages::of_response(bundle, trace)?),
    })
}

/// Returns `https://api.example.com` of a URL.
fn origin(url: &str) -> Option<&str> {
    let start = url.find("://")?.checked_add(3)?;
    let rest = url.get(start..)?;
    let end = start.checked_add(rest.find(['/', '?', '#']).unwrap_or(rest.len()))?;
    url.get(..end).filter(|origin| !origin.contains('@'))
}

/// Returns the servers of operations, sorted.
fn servers<'o>(operations: &mut dyn Iterator<Item = &'o Operation>) -> Vec<&'o str> {
    let mut servers: SortedMap<&str, ()> = SortedMap::default();
    operations.flat_map(|operation| &operation.servers).for_each(|server| servers.insert(server, ()));
    servers.keys().copied().collect()
}

fn title(servers: &[&str]) -> String {
    let hosts: Vec<_> =
        servers.iter().filter_map(|server| server.split_once("://")).map(|(_, host)| host).take(3).collect();
    match hosts.is_empty() {
        true => "Captured API".into(),
        false => hosts.join(", "),
    }
}

fn server_objects(servers: &[&str]) -> Json {
    Json::Array(servers.iter().map(|server| Object::default().with("url", *server).into()).collect())
}

/// Returns the path of an endpoint, and its parameter objects.
fn path_and_parameters(endpoint: &Endpoint) -> (String, Vec<Json>) {
    let (mut path, mut described) = (String::new(), Vec::new());
    let mut names: Vec<String> = Vec::new();
    let mut before: Option<&str> = None;
    for segment in &endpoint.segments {
        path.push('/');
        match segment {
            Segment::Literal(text) => {
                path.push_str(&text.replace('{', "%7B").replace('}', "%7D"));
                before = Some(text);
            }
            Segment::Parameter(parameter) => {
                let base = parameter_name(before.take().map(decoded).as_deref());
                let add = |n| {
                    let numbered = (2..).map(|n: u32| format!("{base}{n}"));
                    let name = std::iter::once(base.clone())
                        .chain(numbered)
                        .find(|name| !names.contains(name))
                        .unwrap_or_default();
                    described.push(parameter_object(&name, parameter, n));
                    names.push(name.clone());
                    name
                };
                let names: Vec<_> = (0..parameter.affixes.count()).map(add).collect();
                path.push_str(&parameter.affixes.template(&names));
            }
        }
    }
    if endpoint.has_final_slash || path.is_empty() {
        path.push('/');
    }
    (path, described)
}

/// Returns the object of the value number `n` of a segment.
fn parameter_object(name: &str, parameter: &PathParameter, n: usize) -> Json {
    let formats = parameter.formats.get(n).copied().unwrap_or(TextKinds::NONE);
    let schema = match formats.format() {
        Some(format) => Object::default().with("type", "string").with("format", format),
        None if formats.has(TextKind::Integer) => Object::default().with("type", "integer"),
        None => Object::default().with("type", "string"),
    };
    let kinds = parameter.kinds.iter().map(|kind| ["type: ", kind.name()].concat());
    let evidence: Vec<_> = kinds.chain(parameter.evidence.names().map(str::to_owned)).collect();
    Object::default()
        .with("name", name)
        .with("in", "path")
        .with("required", true)
        .with("schema", schema)
        .with("x-evidence", evidence)
        .into()
}
