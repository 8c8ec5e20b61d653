//! A killed capture: at any moment, all completed exchanges are in the unfinished bundle and can be recovered.

use crate::support::bundle::{Bundle, wait_until_written};
use crate::support::cli::{Spectral, spectral};
use crate::support::websocket_frames::{frame, handshake};
use crate::support::{Connection, Gate, Message, Origin, TIMEOUT, TempDir, Watched, eventually, next_request};
use nix::sys::signal::Signal;
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

/// Starts an origin that sends N poorly compressible bytes for `GET …/N`.
fn origin_of_sizes() -> Origin {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let noise: Vec<u8> = (0..600_000).map(|_| next()).collect();
    Origin::plain(move |mut connection| {
        while let Some((request, _)) = next_request(&mut connection) {
            let path = request.split(' ').nth(1).unwrap().to_owned();
            let size: usize = path.rsplit('/').next().unwrap().parse().unwrap();
            let mut response = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n").into_bytes();
            response.extend(&noise[..size]);
            if connection.writer.try_send(&response).is_err() {
                return;
            }
        }
    })
}

/// Sends one request after another until the proxy has ended or `stop` is open.
fn load(proxy: SocketAddr, host: &str, name: &str, stop: &Gate) {
    let Ok(mut connection) = TcpStream::connect(proxy) else { return };
    connection.set_read_timeout(Some(TIMEOUT)).unwrap();
    let mut piece = vec![0; 64 << 10];
    for n in 0.. {
        let size = if n % 4 == 3 { 300_000 + n } else { n };
        let url = format!("http://{host}/{name}/{n}/{size}");
        if stop.read(|stopped| *stopped) || write!(connection, "GET {url} HTTP/1.1\r\nHost: {host}\r\n\r\n").is_err() {
            return;
        }
        let (mut have, mut wanted) = (Vec::new(), None);
        while wanted.is_none_or(|wanted| have.len() < wanted) {
            match connection.read(&mut piece) {
                Ok(n) if n > 0 => have.extend_from_slice(&piece[..n]),
                _ => return,
            }
            let head = have.windows(4).take(4096).position(|end| end == b"\r\n\r\n");
            wanted = head.map(|at| at + 4 + size);
        }
    }
}

/// Returns the URLs of the exchanges recovered from `capture.zip.part` in `dir`.
#[track_caller]
fn recovered(dir: &TempDir) -> HashSet<String> {
    let output = spectral(dir, &["capture", "recover", "capture.zip.part"]).ok();
    assert!(output.text().starts_with("Recovered to capture.zip: "), "{}", output.text());
    Bundle::open(&dir.join("capture.zip")).traces.iter().map(|trace| trace.url().to_owned()).collect()
}

#[test]
fn recovers_all_completed_exchanges_after_fifty_kills_under_load() {
    let origin = origin_of_sizes();
    let host = origin.authority("127.0.0.1");
    let dir = TempDir::new();
    let mut under_load = 0;
    for round in 0..50u64 {
        let running = Spectral::capture(&dir, &["-q"]);
        let mut connection = Connection::to(running.addr);
        let before: Vec<_> = [7, 0, 400_000].iter().map(|size| format!("http://{host}/before/{size}")).collect();
        for url in &before {
            assert_eq!(connection.request(format!("GET {url} HTTP/1.1\r\nHost: {host}\r\n\r\n")).status, 200);
        }
        // Completed exchanges are written at once. The entry with this name is the last one of its exchange.
        wait_until_written(&dir.join("capture.zip.part"), "traces/t_0003.json");
        let stop = Gate::default();
        let clients: Vec<_> = (0..3)
            .map(|n| {
                let (addr, host, stop) = (running.addr, host.clone(), stop.clone());
                thread::spawn(move || load(addr, &host, &n.to_string(), &stop))
            })
            .collect();
        // Kills it at a random moment under load.
        wait_until_written(&dir.join("capture.zip.part"), "traces/t_0004.json");
        let moment = Duration::from_micros(RandomState::new().hash_one(round) % 60_000);
        Watched::new(()).within(moment, |()| None::<()>);
        running.signal(Signal::SIGKILL);
        assert_eq!(running.wait_for_exit().code, None);
        stop.open();
        clients.into_iter().for_each(|client| client.join().unwrap());
        let urls = recovered(&dir);
        for url in &before {
            assert!(urls.contains(url), "{url} is lost in round {round}");
        }
        under_load += urls.len() - before.len();
        std::fs::remove_file(dir.join("capture.zip.part")).unwrap();
    }
    assert!(under_load >= 50, "too little load: {under_load} exchanges");
}

#[test]
fn recovers_an_open_websocket_with_its_messages() {
    let (ask, response) = handshake("Sec-WebSocket-Protocol: chat\r\n");
    let end = Gate::default();
    let wait = end.clone();
    let origin = Origin::plain(move |mut connection| {
        connection.read_head();
        connection.send(&response);
        connection.send(frame(0x81, None, b"tick"));
        wait.pass();
        connection.close_abruptly();
    });
    let dir = TempDir::new();
    let running = Spectral::capture(&dir, &["-q"]);
    let mut connection = Connection::to(running.addr);
    connection.send(ask.replace("/raw", &format!("http://{}/raw", origin.authority("127.0.0.1"))));
    connection.read_head();
    connection.read_exactly(6);
    wait_until_written(&dir.join("capture.zip.part"), "ws/ws_0001_m001.json");
    running.signal(Signal::SIGKILL);
    running.wait_for_exit();
    end.open();
    connection.close_abruptly();
    assert_eq!(recovered(&dir).len(), 1);
    let bundle = Bundle::open(&dir.join("capture.zip"));
    let socket = bundle.only_websocket();
    assert_eq!(socket.messages, [Message::received("text", "tick")]);
    assert_eq!(socket.json["url"], format!("ws://{}/raw", origin.authority("127.0.0.1")));
    assert_eq!(socket.json["protocols"][0], "chat");
    assert_eq!(socket.json["handshake_trace_ref"], "t_0001");
}

#[test]
fn the_next_capture_reports_and_keeps_an_unfinished_bundle() {
    let origin = origin_of_sizes();
    let host = origin.authority("127.0.0.1");
    let dir = TempDir::new();
    let capture_one = |running: &Spectral| {
        let mut connection = Connection::to(running.addr);
        connection.request(format!("GET http://{host}/5 HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        let is_filled = |name: &String| name.ends_with(".part") && std::fs::metadata(dir.join(name)).unwrap().len() > 0;
        eventually(|| dir.names().iter().any(is_filled).then_some(()), || "nothing has been written".into());
    };
    let killed = Spectral::capture(&dir, &[]);
    capture_one(&killed);
    killed.signal(Signal::SIGKILL);
    killed.wait_for_exit();
    let left = std::fs::read(dir.join("capture.zip.part")).unwrap();

    let next = Spectral::capture(&dir, &[]);
    let output = next.wait_for_line("spectral capture recover ");
    assert!(output.contains("capture.zip.part is left over from an interrupted capture; "), "{output}");
    let third = Spectral::capture(&dir, &[]);
    assert!(third.wait_for_line("another running capture").contains("capture.zip.2.part"));
    let third = third.interrupt();
    assert_eq!((third.code, third.err.matches("another running capture").count()), (Some(0), 1), "{}", third.err);
    capture_one(&next);
    let next = next.interrupt();
    assert_eq!((next.code, next.err.matches("is left over from").count()), (Some(0), 1), "{}", next.err);
    assert_eq!(std::fs::read(dir.join("capture.zip.part")).unwrap(), left);

    let output = spectral(&dir, &["capture", "recover", "capture.zip.part"]).ok().text();
    assert!(output.starts_with("Recovered to capture.zip: 1 exchange, 0 WebSockets, 0 messages\n"), "{output}");
    assert!(output.contains("\n  The previous bundle is kept as capture.zip.2.bak\n"), "{output}");
    assert!(dir.join("capture.zip.2.bak").exists(), "the second capture's bundle is kept");
    assert_eq!(std::fs::read(dir.join("capture.zip.part")).unwrap(), left);
}

#[test]
fn refuses_to_recover_a_running_capture() {
    let origin = origin_of_sizes();
    let dir = TempDir::new();
    let running = Spectral::capture(&dir, &[]);
    let refused = spectral(&dir, &["capture", "recover", "capture.zip.part"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("capture.zip.part: a capture is still writing it"), "{}", refused.err);
    let refused = spectral(&dir, &["capture", "recover", "capture.zip"]);
    let problem = "cannot read capture.zip: No such file or directory; did you mean capture.zip.part?";
    assert_eq!((refused.code, refused.err), (Some(1), format!("spectral: error: {problem}\n")));
    let empty = spectral(&dir, &["capture", "recover", "capture.zip.part", "-o", "so-far.zip"]);
    let problem = "cannot recover capture.zip.part: it has no complete exchange or message";
    assert_eq!((empty.code, empty.err), (Some(1), format!("spectral: error: {problem}\n")));
    assert!(!dir.join("so-far.zip").exists());
    let host = origin.authority("127.0.0.1");
    Connection::to(running.addr).request(format!("GET http://{host}/5 HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    wait_until_written(&dir.join("capture.zip.part"), "traces/t_0001.json");
    let output = spectral(&dir, &["capture", "recover", "capture.zip.part", "-o", "so-far.zip"]).ok().text();
    assert!(output.contains("A capture is still writing"), "{output}");
    assert_eq!(Bundle::open(&dir.join("so-far.zip")).traces.len(), 1);
    assert_eq!(running.interrupt().code, Some(0));
}

#[test]
fn reports_lost_items() {
    let origin = origin_of_sizes();
    let host = origin.authority("127.0.0.1");
    let dir = TempDir::new();
    let running = Spectral::capture(&dir, &["-q"]);
    let mut connection = Connection::to(running.addr);
    for _ in 0..2 {
        connection.request(format!("GET http://{host}/400000 HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    }
    drop(connection);
    assert_eq!(running.interrupt().code, Some(0));
    let whole = std::fs::read(dir.join("capture.zip")).unwrap();
    std::fs::write(dir.join("cut.zip"), &whole[..whole.len() * 3 / 4]).unwrap();
    let output = spectral(&dir, &["capture", "recover", "cut.zip"]);
    assert_eq!(output.code, Some(1));
    assert!(output.err.contains("name the new bundle with -o"), "{}", output.err);
    let output = spectral(&dir, &["capture", "recover", "cut.zip", "-o", "mended.zip"]).ok().text();
    assert!(output.starts_with("Recovered to mended.zip: 1 exchange, "), "{output}");
    assert!(output.contains(" bytes at the end of the file, of truncated exchanges or messages\n"), "{output}");
    let mut damaged = whole.clone();
    damaged[1000] ^= 1;
    std::fs::write(dir.join("damaged.zip"), &damaged).unwrap();
    let output = spectral(&dir, &["capture", "recover", "damaged.zip", "-o", "rest.zip"]);
    let text = output.text();
    assert_eq!((output.code, Bundle::open(&dir.join("rest.zip")).traces.len()), (Some(1), 1), "{text}");
    assert!(text.contains("  Left out: 2 entries, damaged or part") && text.contains("belong to t_0001\n"), "{text}");
    assert_eq!(Bundle::open(&dir.join("mended.zip")).only_trace().response_body.len(), 400_000);
    std::fs::write(dir.join("cut.zip"), "something else").unwrap();
    for file in ["cut.zip", "missing.part"] {
        let refused = spectral(&dir, &["capture", "recover", file, "-o", "x.zip"]);
        assert_eq!((refused.code, refused.out.len()), (Some(1), 0));
        assert!(!Path::new(&dir.join("x.zip")).exists());
    }
}

#[test]
fn recovers_bundles_of_other_producers() {
    let dir = TempDir::new();
    let theirs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/extension.zip");
    let theirs = theirs.to_str().unwrap();
    let output = spectral(&dir, &["capture", "recover", theirs, "-o", "same.zip"]).ok().text();
    assert!(output.starts_with("Recovered to same.zip: 5 exchanges, 1 WebSocket, 4 messages\n"), "{output}");
    assert!(!output.contains("Left out"), "{output}");
    spectral(&dir, &["capture", "merge", theirs, "-o", "a.zip"]).ok();
    spectral(&dir, &["capture", "redact", theirs, "-o", "b.zip"]).ok();
    spectral(&dir, &["capture", "merge", "a.zip", "b.zip", "-o", "merged.zip"]).ok();
    let refused = spectral(&dir, &["capture", "recover", "merged.zip", "-o", "c.zip"]);
    assert_eq!((refused.code, dir.join("c.zip").exists()), (Some(1), false));
    assert!(refused.err.contains("; show it with: spectral capture inspect merged.zip; copy"), "{}", refused.err);
}

#[test]
fn refuses_to_recover_an_interrupted_merge() {
    let origin = origin_of_sizes();
    let host = origin.authority("127.0.0.1");
    let dir = TempDir::new();
    let running = Spectral::capture(&dir, &["-q"]);
    Connection::to(running.addr).request(format!("GET http://{host}/400000 HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    assert_eq!(running.interrupt().code, Some(0));
    let other = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/extension.zip");
    spectral(&dir, &["capture", "merge", other.to_str().unwrap(), "capture.zip", "-o", "merged.zip"]).ok();
    let whole = std::fs::read(dir.join("merged.zip")).unwrap();
    std::fs::write(dir.join("cut.zip.part"), &whole[..whole.len() * 3 / 4]).unwrap();
    let before = dir.names();
    let refused = spectral(&dir, &["capture", "recover", "cut.zip.part"]);
    assert_eq!((refused.code, refused.out.len()), (Some(1), 0));
    assert!(refused.err.contains("merge them again"), "{}", refused.err);
    assert_eq!(dir.names(), before);
}
