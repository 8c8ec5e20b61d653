//! A capture with an item of each kind, to recover from any part of its file.

use super::*;

/// A capture with an item of each kind, and the length of its file after each item.
pub(super) struct Reference {
    pub(super) dir: TestDir,
    /// The complete file.
    pub(super) bytes: Vec<u8>,
    /// The length of the file, and the number of exchanges, messages and ended WebSockets in it.
    pub(super) steps: Vec<(usize, [u64; 3])>,
    pub(super) capture_id: String,
}

/// The start of the capture, 2026-11-22, in microseconds since the epoch.
pub(super) const CREATED: u64 = 1_795_338_429_552_254;

impl Reference {
    pub(super) fn new(name: &str) -> Self {
        NO_SYNC.set(true);
        let dir = TestDir::new(name);
        let (mut archive, _) = Archive::create(&dir.path("made.zip"), Duration::from_micros(CREATED)).unwrap();
        let mut info = CaptureInfo::new(&dir.path("made.zip"), Duration::from_micros(CREATED));
        let capture_id = info.capture_id.clone();
        let capture = CaptureIdentity { id: capture_id.clone(), created: CREATED, name: "my app".into() };
        let mut steps = vec![(0, [0; 3])];
        let len = |archive: &Archive| fs::metadata(archive.unfinished_path()).unwrap().len() as usize;
        let mut first = Some(capture);
        for (n, [sent, received]) in [["", ""], ["", "an answer"], ["{}", &"long ".repeat(100)]].iter().enumerate() {
            let mut note = RecoveryNote { capture: first.take(), opens: None };
            if n == 1 {
                note.opens = Some(OpenedWebSocket { socket: 1, protocols: vec!["chat".into()] });
            }
            add_trace(&mut archive, &mut info, n as u32 + 1, sent, received, &note);
            steps.push((len(&archive), [info.stats().trace_count, 0, 0]));
        }
        // WebSocket 2 has no known handshake.
        for (websocket, number, payload) in [(1, 1, "hello"), (2, 1, ""), (1, 2, "")] {
            add_message(&mut archive, &mut info, websocket, number, payload);
            steps.push((len(&archive), [3, info.stats().ws_message_count, 0]));
        }
        let websocket = WebSocket {
            id: "ws_0001".into(),
            url: "wss://a.test/2".into(),
            handshake_trace_ref: Some("t_0002".into()),
            protocols: vec!["chat".into()],
            timestamp: CREATED / 1000 + 2,
            message_count: 2,
            ..WebSocket::default()
        };
        archive.group(|archive| add_json(archive, "ws/ws_0001.json".into(), &websocket, &[])).unwrap();
        info.add_websocket(1, websocket.timestamp);
        steps.push((len(&archive), [3, 3, 1]));
        info.write(&mut archive, 77).unwrap();
        let bytes = fs::read(archive.finish().unwrap().path).unwrap();
        Self { dir, bytes, steps, capture_id }
    }

    /// Recovers `bytes` and checks the new bundle.
    pub(super) fn recover(&self, bytes: &[u8]) -> Result<(Recovered, Bundle), Error> {
        let recovered = self.recover_only(bytes)?;
        let bundle = assert_consistent(&recovered);
        Ok((recovered, bundle))
    }

    pub(super) fn recover_only(&self, bytes: &[u8]) -> Result<Recovered, Error> {
        let part = self.dir.path("capture.zip.part");
        // Replacing a file is slow on file systems that sync it.
        for name in ["capture.zip.part", "capture.zip"] {
            let _ = fs::remove_file(self.dir.path(name));
        }
        fs::write(&part, bytes).unwrap();
        let recovered = from_part(&part, None, &Options::default())?;
        assert_eq!(recovered.output, self.dir.path("capture.zip"));
        assert!(fs::read(&part).unwrap() == bytes, "the file was changed");
        assert!(!self.dir.path("capture.zip.2.part").exists(), "an unfinished bundle is left over");
        Ok(recovered)
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        NO_SYNC.set(false);
    }
}

pub(super) fn add_trace(
    archive: &mut Archive,
    info: &mut CaptureInfo,
    n: u32,
    sent: &str,
    received: &str,
    note: &RecoveryNote,
) {
    let id = Id::Trace(n).to_string();
    let file = |side: &str, body: &str| (!body.is_empty()).then(|| format!("{id}_{side}.bin"));
    let trace: Trace = Trace {
        id: id.clone(),
        timestamp: CREATED / 1000 + u64::from(n),
        r#type: "http".into(),
        request: format::Request {
            method: "GET".into(),
            url: format!("{}://a.test/{n}", if n == 2 { "wss" } else { "https" }),
            body_file: file("request", sent),
            body_size: sent.len() as u64,
            ..Default::default()
        },
        response: format::Response {
            body_file: file("response", received),
            body_size: received.len() as u64,
            ..Default::default()
        },
        timing: format::Timing { total_ms: 10.5, ..Default::default() },
        initiator: format::Initiator { r#type: "proxy".into(), ..Default::default() },
        cut_off: (n == 3).then(|| format::CutOff { side: "request".into(), why: "reset".into() }),
        ..Default::default()
    };
    let group = archive.group(|archive| {
        for (side, body) in [("request", sent), ("response", received)] {
            if let Some(file) = file(side, body) {
                let method = if body.len() < 100 { CompressionMethod::Stored } else { CompressionMethod::Deflated };
                archive.begin_entry(format!("traces/{file}"), body.len() as u64, method, &[])?;
                archive.write_all(body.as_bytes())?;
            }
        }
        add_json(archive, format!("traces/{id}.json"), &trace, &note.encode())
    });
    group.unwrap();
    info.add_trace(n, trace.timestamp, &trace.request.url);
}

pub(super) fn add_message(archive: &mut Archive, info: &mut CaptureInfo, websocket: u32, number: u32, payload: &str) {
    let id = Id::Message(websocket, number).to_string();
    let file = (!payload.is_empty()).then(|| format!("{id}.bin"));
    let message = Message {
        id: id.clone(),
        connection_ref: Id::WebSocket(websocket).to_string(),
        timestamp: CREATED / 1000 + 50,
        direction: "send".into(),
        opcode: "binary".into(),
        payload_file: file.clone(),
        payload_size: payload.len() as u64,
        context_refs: Vec::new(),
        payload_encoding: Some("unknown".into()),
        cut_off: Some(format::MessageCutOff { why: "stopped".into() }),
        others: OtherMembers::default(),
    };
    let group = archive.group(|archive| {
        if let Some(file) = file {
            archive.begin_entry(format!("ws/{file}"), payload.len() as u64, CompressionMethod::Stored, &[])?;
            archive.write_all(payload.as_bytes())?;
        }
        add_json(archive, format!("ws/{id}.json"), &message, &[])
    });
    group.unwrap();
    info.add_message(websocket, number, message.timestamp);
}
