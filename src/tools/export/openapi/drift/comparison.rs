//! Compares operations: their parameters, request bodies and responses.

use super::budget::Budget;
use super::context::{Comparison, Shown};
use super::json::Json;
use super::members::Bodies;
use super::operations::{Operation, operations};
use super::pairs::{Named, Pairs, Side, first_of, pair};
use super::paths::Patterns;
use super::references::Source;
use super::{Both, Change, Changes, shortened};
use crate::sorting::sort_by;
use crate::tools::indexed_map::IndexedMap;
use std::borrow::Cow;

/// Compares two documents, in at most `steps`.
pub(super) fn compare(earlier: &Json, present: &Json, steps: u64) -> Changes {
    let mut comparison = Comparison::new(earlier, present, steps);
    comparison.operations();
    let Comparison { sources, budget, mut changes, .. } = comparison;
    sort_by(&mut changes.listed, &Change::cmp);
    let unresolved = [sources.earlier.unresolved.len(), sources.present.unresolved.len()];
    changes.unresolved = unresolved.iter().map(|count| *count as u64).sum();
    changes.is_complete = !budget.is_exceeded;
    changes
}

impl<'d> Comparison<'d> {
    fn operations(&mut self) {
        let Self { sources, budget, .. } = self;
        let earlier = operations(&mut sources.earlier, budget);
        let present = operations(&mut sources.present, budget);
        if budget.is_exceeded {
            return;
        }
        let (earlier_keys, present_keys) = (keys(&earlier), keys(&present));
        let (earlier, present) = (by_key(&earlier, &present_keys), by_key(&present, &earlier_keys));
        let earlier_patterns = Patterns::of(earlier.keys().map(|key| &**key), budget);
        let present_patterns = Patterns::of(present.keys().map(|key| &**key), budget);
        let pairs = pair(earlier, present, &mut |key, _, side| {
            let patterns = match side {
                Side::Earlier => &earlier_patterns,
                Side::Present => &present_patterns,
            };
            patterns.covering(key, budget).map(str::to_owned)
        });
        for (key, pair) in pairs.into_entries() {
            if self.budget.is_exceeded {
                break;
            }
            let mut items = pair.present.iter().chain(&pair.earlier);
            let shown = items.clone().find_map(|operation| Some((operation, operation.named(&key)?)));
            let shown =
                shown.or_else(|| items.next().and_then(|operation| Some((operation, operation.names.first()?))));
            let Some((operation, name)) = shown else { continue };
            self.operation = Shown { path: name.path.clone(), method: operation.method };
            if !self.add_one_sided(&pair, String::new) {
                self.operation(&pair);
            }
        }
    }

    fn operation(&mut self, operations: &Both<Vec<&Operation<'d>>>) {
        let earlier = parameters(&operations.earlier, &mut self.sources.earlier, &mut self.budget);
        let present = parameters(&operations.present, &mut self.sources.present, &mut self.budget);
        let has_left_out = |operations: &[&Operation<'d>]| {
            operations.iter().any(|operation| operation.value.get("x-parameters-left-out").is_some())
        };
        let is_silent = Both { earlier: has_left_out(&operations.present), present: has_left_out(&operations.earlier) };
        for (text, pair) in pair(earlier, present, &mut |_, _, _| None).into_entries() {
            if !is_silent.hides(&pair) {
                self.add_one_sided(&pair, || shortened(&text));
            }
        }
        let bodies = |operations: &[&Operation<'d>], source: &mut Source<'d>| -> Vec<&'d Json> {
            let bodies = operations.iter().filter_map(|operation| operation.value.get("requestBody"));
            bodies.map(|body| source.resolve(body)).collect()
        };
        let earlier = bodies(&operations.earlier, &mut self.sources.earlier);
        let present = bodies(&operations.present, &mut self.sources.present);
        self.contents("request", &Both { earlier, present });

        for (protocol, member) in PROTOCOLS {
            self.calls(protocol, member, operations);
        }
        let earlier = responses(&operations.earlier, &mut self.sources.earlier, &mut self.budget);
        let present = responses(&operations.present, &mut self.sources.present, &mut self.budget);
        let pairs = pair(earlier, present, &mut |status, statuses, _| {
            let class = status.get(..1).map(|class| [class, "XX"].concat()).unwrap_or_default();
            first_of(statuses, &[&class, DEFAULT])
        });
        for (status, pair) in pairs.into_entries() {
            let is_default = status == DEFAULT && (pair.earlier.is_empty() || pair.present.is_empty());
            // It stands for all other statuses, none of which may occur.
            if !is_default && !self.add_one_sided(&pair, || shortened(&status)) {
                self.contents(&shortened(&status), &pair);
            }
        }
    }

    /// Compares bodies or responses. `heading` is their place in the operation.
    fn contents(&mut self, heading: &str, bodies: &Both<Vec<&'d Json>>) {
        let (earlier, present) = (media(&bodies.earlier, &mut self.budget), media(&bodies.present, &mut self.budget));
        let pairs = pair(earlier, present, &mut |media, ranges, _| {
            let class = media.split_once('/').map(|(class, _)| [class, "/*"].concat()).unwrap_or_default();
            first_of(ranges, &[&class, ANY])
        });
        for (media, pair) in pairs.into_entries() {
            let with_media = || [heading, " ", &shortened(&media)].concat();
            if self.add_one_sided(&pair, with_media) {
                continue;
            }
            let heading = if [JSON, ANY].contains(&&*media) { heading.to_owned() } else { with_media() };
            self.parts(&heading, &pair, &CONTENT);
            for (name, pair) in self.listed("x-events", &pair).into_entries() {
                let heading = [&heading, " event ", &shortened(&name)].concat();
                if !self.add_one_sided(&pair, || heading.clone()) {
                    Bodies::compare(self, &heading, pair.earlier, pair.present);
                }
            }
        }
    }

    /// Compares the calls of a protocol that has many at one path.
    fn calls(&mut self, protocol: &str, list: &str, operations: &Both<Vec<&Operation<'d>>>) {
        let values = |operations: &[&Operation<'d>]| -> Vec<&'d Json> {
            operations.iter().map(|operation| operation.value).collect()
        };
        let values = Both { earlier: values(&operations.earlier), present: values(&operations.present) };
        let has_left_out = |values: &[&'d Json]| values.iter().any(|value| value.get("x-calls-left-out").is_some());
        let is_silent = Both { earlier: has_left_out(&values.present), present: has_left_out(&values.earlier) };
        for (name, pair) in self.listed(list, &values).into_entries() {
            if is_silent.hides(&pair) {
                continue;
            }
            let heading = [protocol, " ", &shortened(&name)].concat();
            if !self.add_one_sided(&pair, || heading.clone()) {
                self.parts(&heading, &pair, &CALL);
            }
        }
    }

    /// Pairs the objects in the member `list` of `values` by name. Returns none if one of the documents has no such member.
    fn listed(&mut self, list: &str, values: &Both<Vec<&'d Json>>) -> Pairs<'d, &'d Json> {
        let named = |values: &[&'d Json], budget: &mut Budget| {
            let mut found: Named<'d, _> = Named::default();
            let members = values.iter().filter_map(|value| value.get(list)).flat_map(Json::members);
            for (name, value) in
                members.take_while(|(name, _)| budget.take(name)).filter(|(_, value)| value.is_object())
            {
                found.or_default(Cow::Borrowed(&**name)).into_iter().for_each(|values| values.push(value));
            }
            found
        };
        let (earlier, present) = (named(&values.earlier, &mut self.budget), named(&values.present, &mut self.budget));
        if earlier.is_empty() || present.is_empty() {
            return Pairs::default();
        }
        pair(earlier, present, &mut |_, _, _| None)
    }

    /// Compares schemas at these places within `values`, where both documents have one. A place has a name to be shown.
    fn parts(&mut self, heading: &str, values: &Both<Vec<&'d Json>>, places: &[(&str, &str)]) {
        for (name, pointer) in places {
            let schemas = |values: &[&'d Json]| -> Vec<&'d Json> {
                values.iter().filter_map(|value| value.pointer(pointer)).collect()
            };
            let (earlier, present) = (schemas(&values.earlier), schemas(&values.present));
            if !earlier.is_empty() && !present.is_empty() {
                Bodies::compare(self, &[heading, name].concat(), earlier, present);
            }
        }
    }
}

fn keys(operations: &[Operation<'_>]) -> IndexedMap<String, ()> {
    let mut keys = IndexedMap::default();
    for name in operations.iter().flat_map(|operation| &operation.names) {
        keys.insert(name.key.clone(), ());
    }
    keys
}

/// Returns the operations by key. With several base paths, an operation has the first key that the other document has too.
fn by_key<'o, 'd>(operations: &'o [Operation<'d>], others: &IndexedMap<String, ()>) -> Named<'o, &'o Operation<'d>> {
    let mut named: Named<'o, _> = Named::default();
    for operation in operations {
        let common = operation.names.iter().map(|name| &*name.key).filter(|key| others.contains_key(*key)).min();
        if let Some(key) = common.or(operation.names.first().map(|name| &*name.key)) {
            named.or_default(Cow::Borrowed(key)).into_iter().for_each(|operations| operations.push(operation));
        }
    }
    named
}

/// Returns the parameters, except those of paths, by their location and name: `query parameter limit`.
fn parameters<'d>(operations: &[&Operation<'d>], source: &mut Source<'d>, budget: &mut Budget) -> Named<'d, &'d Json> {
    let mut found: Named<'d, _> = Named::default();
    let lists = operations.iter().flat_map(|operation| [operation.item, operation.value]);
    for parameter in lists.filter_map(|value| value.get("parameters")).flat_map(Json::elements) {
        let parameter = source.resolve(parameter);
        let text = |member| parameter.get(member).and_then(Json::as_str).unwrap_or_default();
        let (name, location) = (text("name"), text("in"));
        if !budget.take(name) {
            break;
        }
        if LOCATIONS.contains(&location) && !name.is_empty() {
            // Names of header fields are compared without case.
            let name: Cow<'d, str> = if location == "header" { name.to_ascii_lowercase().into() } else { name.into() };
            let place = found.or_default([location, " parameter ", &name].concat().into());
            place.into_iter().for_each(|parameters| parameters.push(parameter));
        }
    }
    found
}

/// Returns the responses by status.
fn responses<'d>(operations: &[&Operation<'d>], source: &mut Source<'d>, budget: &mut Budget) -> Named<'d, &'d Json> {
    let mut found: Named<'d, _> = Named::default();
    for (status, response) in
        operations.iter().filter_map(|operation| operation.value.get("responses")).flat_map(Json::members)
    {
        if !budget.take(status) {
            break;
        }
        if status.is_empty() || status.starts_with("x-") {
            continue;
        }
        let status: Cow<'d, str> =
            if status.ends_with("xx") { status.to_ascii_uppercase().into() } else { (&**status).into() };
        found.or_default(status).into_iter().for_each(|responses| responses.push(source.resolve(response)));
    }
    found
}

/// Returns the contents of bodies by media type, in lower case and without parameters.
fn media<'d>(bodies: &[&'d Json], budget: &mut Budget) -> Named<'d, &'d Json> {
    let mut found: Named<'d, _> = Named::default();
    for (media, content) in bodies.iter().filter_map(|body| body.get("content")).flat_map(Json::members) {
        if !budget.take(media) {
            break;
        }
        let essence = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        found.or_default(essence.into()).into_iter().for_each(|contents| contents.push(content));
    }
    found
}

/// The parameters that are compared.
const LOCATIONS: [&str; 3] = ["query", "header", "cookie"];

/// The response for all statuses that are not listed.
const DEFAULT: &str = "default";

/// The schemas of a body: the whole one, lines of JSON, and JSON in text.
const CONTENT: [(&str, &str); 4] =
    [("", "/schema"), (" line", "/x-item-schema"), (" line", "/itemSchema"), ("", "/schema/contentSchema")];

/// Extensions that list calls, and messages of WebSockets.
const PROTOCOLS: [(&str, &str); 3] =
    [("JSON-RPC", "x-json-rpc"), ("GraphQL", "x-graphql"), ("WebSocket", "x-websocket")];

/// The schemas of a call or message.
const CALL: [(&str, &str); 5] =
    [(" params", "/params"), (" result", "/result"), (" variables", "/variables"), (" data", "/data"), ("", "/schema")];

const JSON: &str = "application/json";

/// The range of all media types.
const ANY: &str = "*/*";
