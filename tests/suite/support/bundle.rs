//! Reads bundles independently of the library's own reader.

use super::peers;
use super::wait::eventually;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::process::Command;

/// A whole bundle in memory.
#[derive(Debug)]
pub(crate) struct Bundle {
    pub(crate) manifest: Value,
    pub(crate) traces: Vec<Trace>,
    pub(crate) websockets: Vec<WebSocket>,
    pub(crate) timeline: Value,
    /// Names of all entries.
    pub(crate) names: Vec<String>,
}

/// One exchange.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    pub(crate) json: Value,
    pub(crate) request_body: Vec<u8>,
    pub(crate) response_body: Vec<u8>,
}

/// One WebSocket.
#[derive(Clone, Debug)]
pub(crate) struct WebSocket {
    pub(crate) json: Value,
    pub(crate) messages: Vec<Message>,
}

/// One WebSocket message.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Message {
    pub(crate) direction: String,
    pub(crate) opcode: String,
    pub(crate) payload: Vec<u8>,
    /// The encoding of a payload that could not be decoded.
    pub(crate) encoding: Option<String>,
    /// The cause if the message is incomplete.
    pub(crate) cut_off: Option<String>,
}

impl Message {
    /// Returns a message from the client.
    pub(crate) fn sent(opcode: &str, payload: impl Into<Vec<u8>>) -> Self {
        Self::new("send", opcode, payload.into())
    }

    /// Returns a message from the origin.
    pub(crate) fn received(opcode: &str, payload: impl Into<Vec<u8>>) -> Self {
        Self::new("receive", opcode, payload.into())
    }

    fn new(direction: &str, opcode: &str, payload: Vec<u8>) -> Self {
        Self { direction: direction.into(), opcode: opcode.into(), payload, encoding: None, cut_off: None }
    }

    /// Returns the message with a payload that is still encoded.
    pub(crate) fn encoded(self, encoding: &str) -> Self {
        Self { encoding: Some(encoding.into()), ..self }
    }

    /// Returns the message, cut off because of `why`.
    pub(crate) fn cut_off(self, why: &str) -> Self {
        Self { cut_off: Some(why.into()), ..self }
    }
}

impl Bundle {
    /// Checks the bundle at `path`, then reads it.
    #[track_caller]
    pub(crate) fn open(path: &Path) -> Self {
        keep_copy(path);
        check(path);
        let files = entries(path);
        let json = |name: &str| -> Value { serde_json::from_slice(&files[name]).unwrap() };
        let body = |folder: &str, value: &Value| match value.as_str() {
            Some(name) => files[&format!("{folder}/{name}")].clone(),
            None => Vec::new(),
        };
        let is_numbered = |name: &str, prefix: &str| {
            let digits = name.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(".json"));
            // Merged bundles have ids of several numbers.
            digits.is_some_and(|digits| digits.split('_').all(|n| n.bytes().all(|b| b.is_ascii_digit())))
        };
        let named = |prefix: &str| -> Vec<Value> {
            let mut all: Vec<_> =
                files.keys().filter(|name| is_numbered(name, prefix)).map(|name| json(name)).collect();
            all.sort_by_key(|value| {
                let id = value["id"].as_str().unwrap().to_owned();
                (id.len(), id)
            });
            all
        };
        let traces = named("traces/t_").into_iter().map(|json| Trace {
            request_body: body("traces", &json["request"]["body_file"]),
            response_body: body("traces", &json["response"]["body_file"]),
            json,
        });
        let sockets = named("ws/ws_").into_iter().map(|json| {
            let messages =
                named(&format!("ws/{}_m", json["id"].as_str().unwrap())).into_iter().map(|message| Message {
                    direction: message["direction"].as_str().unwrap().to_owned(),
                    opcode: message["opcode"].as_str().unwrap().to_owned(),
                    payload: body("ws", &message["payload_file"]),
                    encoding: message["payload_encoding"].as_str().map(str::to_owned),
                    cut_off: message["cut_off"]["why"].as_str().map(str::to_owned),
                });
            WebSocket { messages: messages.collect(), json }
        });
        Self {
            manifest: json("manifest.json"),
            traces: traces.collect(),
            websockets: sockets.collect(),
            timeline: json("timeline.json"),
            names: files.keys().cloned().collect(),
        }
    }

    /// Returns the only trace.
    #[track_caller]
    pub(crate) fn only_trace(&self) -> &Trace {
        assert_eq!(self.traces.len(), 1, "{:#?}", self.urls());
        &self.traces[0]
    }

    /// Returns the only WebSocket.
    #[track_caller]
    pub(crate) fn only_websocket(&self) -> &WebSocket {
        assert_eq!(self.websockets.len(), 1, "{:#?}", self.websockets);
        &self.websockets[0]
    }

    /// Returns the only trace whose URL ends with `end`.
    #[track_caller]
    pub(crate) fn trace(&self, end: &str) -> &Trace {
        let found: Vec<_> = self.traces.iter().filter(|trace| trace.url().ends_with(end)).collect();
        assert_eq!(found.len(), 1, "URLs with {end} at the end among {:#?}", self.urls());
        found[0]
    }

    /// Returns all URLs, in the order of the traces.
    pub(crate) fn urls(&self) -> Vec<&str> {
        self.traces.iter().map(Trace::url).collect()
    }
}

impl Trace {
    pub(crate) fn id(&self) -> &str {
        self.json["id"].as_str().unwrap()
    }

    pub(crate) fn method(&self) -> &str {
        self.json["request"]["method"].as_str().unwrap()
    }

    pub(crate) fn url(&self) -> &str {
        self.json["request"]["url"].as_str().unwrap()
    }

    pub(crate) fn status(&self) -> u64 {
        self.json["response"]["status"].as_u64().unwrap()
    }

    pub(crate) fn status_text(&self) -> &str {
        self.json["response"]["status_text"].as_str().unwrap()
    }

    /// Returns the side and the cause if it was cut off.
    pub(crate) fn cut_off(&self) -> Option<String> {
        let part = self.json.get("cut_off")?;
        Some(format!("{} {}", part["side"].as_str().unwrap(), part["why"].as_str().unwrap()))
    }

    pub(crate) fn request_headers(&self) -> Vec<(&str, &str)> {
        fields(&self.json["request"]["headers"])
    }

    pub(crate) fn response_headers(&self) -> Vec<(&str, &str)> {
        fields(&self.json["response"]["headers"])
    }

    pub(crate) fn response_encoding(&self) -> Option<&str> {
        self.json["response"]["body_encoding"].as_str()
    }

    /// The response's body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.response_body).into_owned()
    }

    /// Returns a member of the timing; `part` is `wait` for `wait_ms`.
    #[track_caller]
    pub(crate) fn ms(&self, part: &str) -> f64 {
        self.json["timing"][format!("{part}_ms")].as_f64().unwrap()
    }
}

impl WebSocket {
    pub(crate) fn url(&self) -> &str {
        self.json["url"].as_str().unwrap()
    }

    pub(crate) fn protocols(&self) -> Vec<&str> {
        self.json["protocols"].as_array().unwrap().iter().map(|p| p.as_str().unwrap()).collect()
    }
}

fn fields(list: &Value) -> Vec<(&str, &str)> {
    list.as_array().unwrap().iter().map(|f| (f["name"].as_str().unwrap(), f["value"].as_str().unwrap())).collect()
}

/// Returns the name and the bytes of each entry.
#[track_caller]
fn entries(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut zip = zip::ZipArchive::new(std::fs::File::open(path).unwrap()).unwrap();
    let mut files = BTreeMap::new();
    for index in 0..zip.len() {
        let mut file = zip.by_index(index).unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        let name = file.name().unwrap().into_owned();
        assert!(!files.contains_key(&name), "{name} is in the archive twice");
        files.insert(name, bytes);
    }
    files
}

/// Fails unless the bundle conforms to the format: runs `check_bundle.py`, or a reduced check where there is no Python.
#[track_caller]
fn check(path: &Path) {
    let Some(python) = peers::find("python3") else {
        return check_without_python(path);
    };
    let checker = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools/check_bundle.py");
    let output = Command::new(python).arg(checker).arg(path).output().unwrap();
    let problems = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{problems}{}", String::from_utf8_lossy(&output.stderr));
}

/// Checks that references and sizes match, and that the timeline has each item once.
#[track_caller]
fn check_without_python(path: &Path) {
    let files = entries(path);
    let (mut bodies, mut items) = (Vec::new(), Vec::new());
    for (name, bytes) in &files {
        if !name.ends_with(".json") || !name.contains('/') {
            continue;
        }
        let value: Value = serde_json::from_slice(bytes).unwrap();
        let (folder, file) = name.split_once('/').unwrap();
        assert_eq!(format!("{}.json", value["id"].as_str().unwrap()), file);
        items.push(value["id"].as_str().unwrap().to_owned());
        let parts = [(&value["request"], "body"), (&value["response"], "body"), (&value, "payload")];
        for (part, what) in parts {
            let (file, size) = (&part[format!("{what}_file")], part[format!("{what}_size")].as_u64());
            assert_eq!(file.is_string(), size.is_some_and(|size| size > 0), "{name}");
            if let Some(file) = file.as_str() {
                let full = format!("{folder}/{file}");
                assert_eq!(files[&full].len() as u64, size.unwrap(), "{full}");
                bodies.push(full);
            }
        }
    }
    let timeline: Value = serde_json::from_slice(&files["timeline.json"]).unwrap();
    let mut refs: Vec<_> =
        timeline["events"].as_array().unwrap().iter().map(|e| e["ref"].as_str().unwrap().to_owned()).collect();
    refs.sort();
    items.sort();
    assert_eq!(refs, items);
    let entries = items.len() + bodies.len() + ["manifest.json", "timeline.json"].len();
    assert_eq!(files.len(), entries, "unreferenced entries: {:?}", files.keys());
}

/// Copies the bundle to the folder `SPECTRAL_BUNDLES`, if set, so that CI can check all bundles of a run.
fn keep_copy(path: &Path) {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    if let Some(folder) = std::env::var_os("SPECTRAL_BUNDLES") {
        std::fs::create_dir_all(&folder).unwrap();
        let name = format!("{}-{}.zip", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        std::fs::copy(path, Path::new(&folder).join(name)).unwrap();
    }
}

/// Waits until `entry` is in `part`, the unfinished bundle of a running capture.
#[track_caller]
pub(crate) fn wait_until_written(part: &Path, entry: &str) {
    let has = |bytes: Vec<u8>| bytes.windows(entry.len()).any(|window| window == entry.as_bytes());
    eventually(
        || std::fs::read(part).is_ok_and(has).then_some(()),
        || format!("{entry} is not in the unfinished bundle"),
    );
}
