//! The first looks at a capture: the paths of all exchanges, and evidence about them.

use super::answers::{Findings, Sought, find};
use super::evidence::Evidence;
use super::looks::{for_each, load};
use super::omissions::{Omissions, Reason, Role, is_html_document};
use super::operation::METHODS;
use super::paths::{NodeId, Path, PathTree};
use super::sketch::Sketch;
use crate::bundle::id::ItemKind;
use crate::bundle::reader::{Bundle, Error, LeftOut, Trace, WebSocket};
use crate::tools::export::http::media_type;
use crate::tools::filter::{Filter, Selected};
use crate::tools::grpc::is_grpc;
use crate::tools::id_set::IdSet;

/// The paths of a capture, and the exchanges that operations describe.
pub(super) struct Survey<'f> {
    pub(super) tree: PathTree,
    /// The exchanges that belong to an endpoint, or may do.
    pub(super) ids: IdSet,
    pub(super) selected: Selected<'f>,
    pub(super) omissions: Omissions,
    pub(super) damaged: LeftOut,
}

/// The heads of an exchange.
struct Heads {
    role: Role,
    url: String,
    method: Option<u16>,
    is_grpc: bool,
}

impl<'f> Survey<'f> {
    /// Reads the heads of all exchanges that `filter` selects.
    pub(super) fn new(bundle: &Bundle, filter: &'f Filter) -> Result<Self, Error> {
        let (mut tree, mut ids) = (PathTree::new(), IdSet::default());
        let (mut omissions, mut damaged) = (Omissions::default(), LeftOut::default());
        let mut selected = Selected::new(filter);
        selected.add_readable_websockets(bundle, |id| damaged.add(id))?;
        let look = |_, id: &str| {
            let trace = bundle.trace(id)?;
            let is_selected = selected.has_exchange(bundle, &trace)?;
            is_selected.then(|| Heads::of(bundle, trace).map(|heads| (heads, HEADS_BYTES))).transpose()
        };
        for_each(bundle, &|id| selected.considers(id), &look, &mut |look| {
            let Some(Heads { role, url, method, is_grpc }) = look.seen else { return damaged.add(&look.id) };
            match (role, method, Path::of(&url)) {
                (Role::Omitted(reason), ..) => omissions.add(reason, &look.id),
                (_, None, _) => omissions.add(Reason::OtherMethod, &look.id),
                (_, _, None) => omissions.add(Reason::LongPath, &look.id),
                (role, Some(method), Some(path)) => {
                    if role == Role::Endpoint {
                        tree.add(path, look.number, method, is_grpc);
                    }
                    ids.insert(&look.id);
                }
            }
        })?;
        let mut survey = Self { tree, ids, selected, omissions, damaged };
        survey.add_websockets(bundle)?;
        Ok(survey)
    }

    /// Adds the paths of WebSockets whose handshake is not in the bundle.
    fn add_websockets(&mut self, bundle: &Bundle) -> Result<(), Error> {
        let get = method_bit("GET").unwrap_or_default();
        for id in bundle.websockets().iter().filter(|id| self.selected.has_websocket(id)) {
            match bundle.websocket(id) {
                Err(e) if e.is_of_one_entry() => {}
                websocket => {
                    let WebSocket { url, handshake_trace_ref, .. } = websocket?;
                    let has_handshake = handshake_trace_ref.is_some_and(|id| self.ids.contains(&id));
                    if let Some(path) = Path::of(&url).filter(|_| !has_handshake) {
                        self.tree.add(path, usize::MAX, get, false);
                    }
                }
            }
        }
        Ok(())
    }

    /// Reads the bodies for evidence about the segments of paths.
    pub(super) fn find_evidence(&mut self, bundle: &Bundle) -> Result<(), Error> {
        let mut all: Vec<(Evidence, Sketch)> = vec![Default::default(); self.tree.nodes().count()];
        let (tree, ids) = (&self.tree, &self.ids);
        let sought = Sought::new(tree);
        let look = |number, id: &str| {
            let trace = bundle.trace(id)?;
            let Some(path) = Path::of(&trace.request.url) else { return Ok(None) };
            if !(200..300).contains(&trace.response.status) {
                return Ok(None);
            }
            let mut all = Vec::new();
            let mut sketch = Sketch::default();
            for is_request in [true, false] {
                let body = load_side(bundle, &trace, is_request)?;
                let Some(body) = body.as_deref().filter(|body| !body.is_empty()) else {
                    continue;
                };
                let Findings { evidence, sketch: mut names, is_json } = find(tree, &sought, path, number, body);
                all.extend(evidence);
                if !is_request {
                    let root = match (is_json, body.first()) {
                        (true, Some(b'{')) => "{",
                        (true, Some(b'[')) => "[",
                        (true, _) => "scalar",
                        (false, _) => {
                            names = Sketch::default();
                            &*media_type(&trace.response.headers)
                        }
                    };
                    names.add(0, false, root);
                    sketch = names;
                }
            }
            if trace.response.body_file.is_none() {
                sketch.add(0, false, "no body");
            }
            let sketch = sketch.of_method(&trace.request.method);
            let nodes = tree.nodes_of(path);
            let end = nodes.last().copied().filter(|_| nodes.len() == path.segments().count());
            let size = all.len() * size_of::<(NodeId, Evidence)>();
            Ok(Some(((all, end.map(|end| (end, sketch))), size)))
        };
        for_each(bundle, &|id| ids.contains(id), &look, &mut |look| {
            let Some((found, sketch)) = look.seen else { return };
            for (node, evidence) in found {
                if let Some((known, _)) = all.get_mut(node.index()) {
                    *known |= evidence;
                }
            }
            if let Some((node, sketch)) = sketch
                && let Some((_, known)) = all.get_mut(node.index())
            {
                known.merge(&sketch);
            }
        })?;
        for (node, (evidence, sketch)) in self.tree.nodes_mut().zip(all) {
            node.evidence |= evidence;
            node.sketch = sketch;
        }
        Ok(())
    }
}

impl Heads {
    fn of(bundle: &Bundle, trace: Trace) -> Result<Self, Error> {
        let is_page = || {
            let body = load_side(bundle, &trace, false)?;
            Ok(body.as_deref().is_none_or(is_html_document))
        };
        let role = Role::of(&trace, is_page)?;
        let is_grpc = is_grpc(&trace.request.headers);
        Ok(Self { role, is_grpc, method: method_bit(&trace.request.method), url: trace.request.url })
    }
}

/// Reads the request body or the response body of `trace`.
pub(super) fn load_side(bundle: &Bundle, trace: &Trace, is_request: bool) -> Result<Option<Vec<u8>>, Error> {
    let (file, encoding) = match is_request {
        true => (&trace.request.body_file, &trace.request.body_encoding),
        false => (&trace.response.body_file, &trace.response.body_encoding),
    };
    load(bundle, ItemKind::Trace, &trace.id, file.as_deref(), encoding.as_deref())
}

/// Returns the bit of a method, `None` for a method without an operation in OpenAPI.
pub(super) fn method_bit(method: &str) -> Option<u16> {
    METHODS.iter().position(|(known, _)| *known == method).map(|at| 1 << at)
}

/// More than most URLs have.
const HEADS_BYTES: usize = 256;
