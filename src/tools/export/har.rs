//! Exports exchanges as HTTP Archive 1.2 (<http://www.softwareishard.com/blog/har-12-spec/>), with WebSocket messages
//! as Chrome writes them.
//!
//! Values that a bundle does not have are written as unknown (-1, "unknown", ""), never guessed: the protocol version,
//! the size of header fields, DNS timing on a reused connection. The `comment` of an entry is its id in the bundle. A request
//! or response that was cut off has a `comment`; a response that was, or is missing, also has `_error`, as Chrome writes it.

use super::stored_body::StoredBody;
use super::{Error, Options, Rendered, for_each_selected, readable};
use crate::bundle::id::ItemKind;
use crate::bundle::reader::{Bundle, LeftOut, Trace};
use crate::text::write_json;
use crate::tools::filter::Selected;
use entry::{CREATOR, HarEntry};
use message::WebSocketMessage;
use serde::Serialize;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{self, Write};

mod cookie;
mod entry;
mod message;
mod timings;

/// Writes the exchanges of `bundle` that `options` select as one document, entry by entry. Returns the damaged items, which are
/// left out: exchanges, WebSockets, and messages of WebSockets.
///
/// # Errors
/// Returns [`Error::Read`] if the bundle cannot be read, [`Error::Write`] if `out` cannot be written.
pub fn write(bundle: &Bundle, options: &Options, out: &mut dyn Write) -> Result<LeftOut, Error> {
    write!(out, "{{\"log\":{{\"version\":\"1.2\",\"creator\":{},", json(&CREATOR)?)?;
    if let Some(browser) = &bundle.manifest().browser {
        write!(out, "\"browser\":{},", json(browser)?)?;
    }
    write!(out, "\"pages\":[],\"entries\":[")?;
    let (mut selected, mut damaged) = (Selected::new(&options.filter), LeftOut::default());
    selected.add_readable_websockets(bundle, |id| damaged.add(id))?;
    let (opened_by, mut without_handshake) = websockets(bundle, &selected, &mut damaged)?;
    let mut separator = "\n";
    let render = |trace: Trace| {
        let bodies = StoredBody::of_trace(bundle, &trace)?;
        if opened_by.contains_key(&trace.id) || bodies.iter().any(|body| !body.is_in_memory()) {
            return Ok(Rendered::Large(trace.into(), bodies.into()));
        }
        let [sent, received] = &bodies;
        let mut text = Vec::new();
        write_json(&HarEntry::new(&trace, [sent, received], false), &mut text)?;
        Ok(Rendered::Small(text))
    };
    for_each_selected(bundle, &selected, &render, &mut |rendered| {
        if let Rendered::Damaged(id) = &rendered {
            damaged.add(id);
            // The WebSocket that it opened is still written.
            without_handshake.extend(opened_by.get(id).cloned());
            return Ok(());
        }
        write!(out, "{separator}")?;
        separator = ",\n";
        match rendered {
            Rendered::Damaged(_) => Ok(()),
            Rendered::Small(text) => Ok(out.write_all(&text)?),
            Rendered::Large(trace, bodies) => {
                let bodies = <[_; 2]>::try_from(bodies).or_else(|_| StoredBody::of_trace(bundle, &trace))?;
                let websocket = opened_by.get(&trace.id).map(String::as_str);
                write_entry(bundle, &trace, bodies, websocket, &mut damaged, out)
            }
        }
    })?;
    for id in without_handshake {
        if selected.has_websocket(&id) {
            let websocket = bundle.websocket(&id)?;
            let mut handshake: Trace = Trace::default();
            handshake.id.clone_from(&id);
            handshake.timestamp = websocket.timestamp;
            handshake.request.method = "GET".into();
            handshake.request.url = websocket.url;
            handshake.response.status = 101;
            write!(out, "{separator}")?;
            separator = ",\n";
            let bodies = StoredBody::of_trace(bundle, &handshake)?;
            write_entry(bundle, &handshake, bodies, Some(&id), &mut damaged, out)?;
        }
    }
    writeln!(out, "\n]}}}}")?;
    Ok(damaged)
}

/// Returns the ids of WebSockets by the id of their handshake, and the ids of those whose handshake is not in the bundle. Adds
/// selected ones that cannot be read to `damaged`.
fn websockets(
    bundle: &Bundle,
    selected: &Selected<'_>,
    damaged: &mut LeftOut,
) -> Result<(HashMap<String, String>, Vec<String>), Error> {
    let (mut opened_by, mut without) = (HashMap::new(), Vec::new());
    for id in bundle.websockets().iter() {
        // Others were added to `damaged` when they were not selected, or are not exported.
        let mut ignored = LeftOut::default();
        let damaged = if selected.has_websocket(id) { &mut *damaged } else { &mut ignored };
        let Some(websocket) = readable(bundle.websocket(id), id, damaged)? else { continue };
        let handshake = websocket.handshake_trace_ref.filter(|handshake| bundle.traces().contains(handshake));
        match handshake.map(|handshake| opened_by.entry(handshake)) {
            Some(Entry::Vacant(place)) => drop(place.insert(id.to_owned())),
            // A handshake opens one WebSocket. The file is wrong, but has this one.
            Some(Entry::Occupied(_)) | None => without.push(id.to_owned()),
        }
    }
    Ok((opened_by, without))
}

fn write_entry(
    bundle: &Bundle,
    trace: &Trace,
    [sent, received]: [StoredBody<'_>; 2],
    websocket: Option<&str>,
    damaged: &mut LeftOut,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let entry = HarEntry::new(trace, [&sent, &received], websocket.is_some());
    match websocket {
        None => write_json(&entry, out)?,
        Some(websocket) => {
            // Messages are streamed before the closing brace of the object: there may be any number of them.
            let mut object = OpenObject { out, has_brace: false };
            write_json(&entry, &mut object)?;
            write_messages(bundle, websocket, damaged, out)?;
        }
    }
    sent.check()?;
    Ok(received.check()?)
}

/// Writes the messages of a WebSocket as the last member of an object, and its closing brace. Adds messages that cannot be read
/// to `damaged`.
fn write_messages(bundle: &Bundle, websocket: &str, damaged: &mut LeftOut, out: &mut dyn Write) -> Result<(), Error> {
    write!(out, ",\"_webSocketMessages\":[")?;
    let mut separator = "\n";
    for id in bundle.messages(websocket).iter() {
        let read = bundle.message(id).and_then(|message| {
            let payload = StoredBody::new(bundle, ItemKind::Message, id, message.payload_file.as_deref())?;
            Ok((message, payload))
        });
        let Some((message, payload)) = readable(read, id, damaged)? else { continue };
        write!(out, "{separator}")?;
        write_json(&WebSocketMessage::new(&message, &payload), out)?;
        payload.check()?;
        separator = ",\n";
    }
    Ok(write!(out, "]}}")?)
}

/// Writes an object without its last brace.
struct OpenObject<'o> {
    out: &'o mut dyn Write,
    /// True if a brace was passed that is not written yet.
    has_brace: bool,
}

impl Write for OpenObject<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        if std::mem::take(&mut self.has_brace) {
            self.out.write_all(b"}")?;
        }
        let all_but_brace = bytes.strip_suffix(b"}");
        self.has_brace = all_but_brace.is_some();
        self.out.write_all(all_but_brace.unwrap_or(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Returns the JSON of `value`.
fn json(value: &impl Serialize) -> Result<String, Error> {
    let mut json = Vec::new();
    write_json(value, &mut json)?;
    // JSON is UTF-8.
    Ok(String::from_utf8_lossy(&json).into_owned())
}

#[cfg(test)]
mod tests {
    use super::entry::{HarRequest, HarResponse};
    use super::*;
    use crate::bundle::archive::Archive;
    use crate::bundle::json::add_json;
    use crate::bundle::reader::Message;
    use crate::bundle::test_dir::TestDir;
    use serde_json::{Value, json};
    use std::time::Duration;

    #[test]
    fn what_was_cut_off_is_marked() {
        let written = |members: &str| {
            let trace: Trace = serde_json::from_str(members).unwrap();
            let empty = StoredBody::of_bytes(Vec::new());
            let (request, response) = (HarRequest::new(&trace, &empty), HarResponse::new(&trace, &empty));
            let value = serde_json::to_value((request, response)).unwrap();
            [&value[0]["comment"], &value[1]["comment"], &value[1]["_error"]]
                .map(|mark| mark.as_str().map(str::to_owned))
        };
        let (request, response) = ("cut off: request ended early", "cut off: response reset by the origin");
        let both = "cut off: request and response reset by the origin";
        for (members, expected) in [
            (r#"{"response":{"status":200}}"#, [None, None, None]),
            (
                r#"{"response":{"status":200},"cut_off":{"side":"response","why":"reset"}}"#,
                [None, Some(response), Some(response)],
            ),
            (r#"{"response":{"status":413},"cut_off":{"side":"request","why":"closed"}}"#, [Some(request), None, None]),
            (
                r#"{"response":{"status":200},"cut_off":{"side":"both","why":"reset"}}"#,
                [Some(both), Some(both), Some(both)],
            ),
            (
                r#"{"response":{"status":0,"status_text":"why"},"cut_off":{"side":"request","why":"closed"}}"#,
                [Some(request), None, Some("why")],
            ),
        ] {
            assert_eq!(written(members), expected.map(|mark| mark.map(str::to_owned)), "{members}");
        }
        let message: Message = serde_json::from_str(
            r#"{"direction":"receive","opcode":"binary","payload_encoding":"unknown","cut_off":{"why":"stopped"}}"#,
        )
        .unwrap();
        let message =
            serde_json::to_value(WebSocketMessage::new(&message, &StoredBody::of_bytes(b"Hel".to_vec()))).unwrap();
        assert_eq!((&message["opcode"], &message["data"]), (&2.into(), &"SGVs".into()));
        assert_eq!(message["comment"], "not decoded: unknown; cut off: interrupted by the end of the capture");
        let whole = serde_json::to_value(WebSocketMessage::new(&Message::default(), &StoredBody::of_bytes(Vec::new())))
            .unwrap();
        assert_eq!(whole.get("comment"), None);
    }

    #[test]
    fn every_websocket_is_exported() {
        let dir = TestDir::new("har");
        let (mut archive, _) = Archive::create(&dir.path("a.zip"), Duration::ZERO).unwrap();
        archive
            .group(|archive| {
                add_json(
                    archive,
                    "traces/t_0001.json".into(),
                    &json!({"id": "t_0001", "request": {"url": "ws://a/1"}}),
                    &[],
                )?;
                // The handshake is there, is another one's, is not in the bundle, and is unknown.
                for (n, handshake) in
                    [(1, json!("t_0001")), (2, json!("t_0001")), (3, json!("t_0009")), (4, json!(null))]
                {
                    let id = format!("ws_000{n}");
                    let url = format!("ws://a/{n}");
                    let websocket = json!({"id": id, "url": url, "handshake_trace_ref": handshake});
                    add_json(archive, format!("ws/{id}.json"), &websocket, &[])?;
                    let message = json!({"id": format!("{id}_m001"), "opcode": "text"});
                    add_json(archive, format!("ws/{id}_m001.json"), &message, &[])?;
                }
                add_json(archive, "manifest.json".into(), &json!({}), &[])
            })
            .unwrap();
        let bundle = Bundle::open(archive.finish().unwrap().path).unwrap();
        let mut out = Vec::new();
        write(&bundle, &Options::default(), &mut out).unwrap();
        let har: Value = serde_json::from_slice(&out).unwrap();
        let entries = har["log"]["entries"].as_array().unwrap();
        let exported: Vec<_> = entries.iter().map(|entry| entry["request"]["url"].as_str().unwrap()).collect();
        assert_eq!(exported, ["ws://a/1", "ws://a/2", "ws://a/3", "ws://a/4"]);
        assert!(entries.iter().all(|entry| entry["_webSocketMessages"].as_array().unwrap().len() == 1));
    }
}
