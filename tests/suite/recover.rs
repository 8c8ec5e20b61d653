//! A capture that is killed: whatever moment it is, what had ended is in its part, and comes back as a bundle.

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

/// Answers `GET …/N` with N bytes that do not compress well.
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
            let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n").into_bytes();
            answer.extend(&noise[..size]);
            if connection.writer.try_send(&answer).is_err() {
                return;
            }
        }
    })
}

/// Asks for one thing after the other until the proxy is gone, or `stop` is open.
fn load(proxy: SocketAddr, host: &str, name: &str, stop: &Gate) {
    let Ok(mut connection) = TcpStream::connect(proxy) else { return };
    connection.set_read_timeout(Some(TIMEOUT)).unwrap();
    let mut piece = vec![0; 64 << 10];
    for n in 0.. {
        let size = if n % 4 == 3 { 300_000 + n } else { n };
        let url = format!("http://{host}/{name}/{n}/{size}");
        if stop.look(|stopped| *stopped) || write!(connection, "GET {url} HTTP/1.1\r\nHost: {host}\r\n\r\n").is_err() {
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

/// The urls of the exchanges in what is recovered of `capture.zip.part` in `dir`.
#[track_caller]
fn recovered(dir: &TempDir) -> HashSet<String> {
    let output = spectral(dir, &["capture", "recover", "capture.zip.part"]).ok();
    assert!(output.text().starts_with("Recovered to capture.zip: "), "{}", output.text());
    Bundle::open(&dir.join("capture.zip")).traces.iter().map(|trace| trace.url().to_owned()).collect()
}

#[test]
fn fifty_kills_under_load_lose_nothing_that_had_ended() {
    let origin = origin_of_sizes();
    let host = origin.at("127.0.0.1");
    let dir = TempDir::new();
    let mut under_load = 0;
    for round in 0..50u64 {
        let running = Spectral::capture(&dir, &["-q"]);
        let mut connection = Connection::to(running.addr);
        let before: Vec<_> = [7, 0, 400_000].iter().map(|size| format!("http://{host}/before/{size}")).collect();
        for url in &before {
            assert_eq!(connection.request(format!("GET {url} HTTP/1.1\r\nHost: {host}\r\n\r\n")).status, 200);
        }
        // What has ended goes to the file without being asked for, and its name is where it ends.
        wait_until_written(&dir.join("capture.zip.part"), "traces/t_0003.json");
        let stop = Gate::default();
        let clients: Vec<_> = (0..3)
            .map(|n| {
                let (addr, host, stop) = (running.addr, host.clone(), stop.clone());
                thread::spawn(move || load(addr, &host, &n.to_string(), &stop))
            })
            .collect();
        // Once the load is there, any moment: a wait for what does not come ends at its deadline.
        wait_until_written(&dir.join("capture.zip.part"), "traces/t_0004.json");
        let moment = Duration::from_micros(RandomState::new().hash_one(round) % 60_000);
        Watched::new(()).within(moment, |()| None::<()>);
        running.signal(Signal::SIGKILL);
        assert_eq!(running.end().code, None);
        stop.open();
        clients.into_iter().for_each(|client| client.join().unwrap());
        let urls = recovered(&dir);
        for url in &before {
            assert!(urls.contains(url), "{url} is lost in round {round}");
        }
        under_load += urls.len() - before.len();
        std::fs::remove_file(dir.join("capture.zip.part")).unwrap();
    }
    assert!(under_load >= 50, "there was hardly any load: {under_load} exchanges");
}

#[test]
fn a_socket_that_was_open_is_recovered_with_its_messages() {
    let (ask, answer) = handshake("Sec-WebSocket-Protocol: chat\r\n");
    let end = Gate::default();
    let wait = end.clone();
    let origin = Origin::plain(move |mut connection| {
        connection.read_head();
        connection.send(&answer);
        connection.send(frame(0x81, None, b"tick"));
        wait.pass();
        connection.close_abruptly();
    });
    let dir = TempDir::new();
    let running = Spectral::capture(&dir, &["-q"]);
    let mut connection = Connection::to(running.addr);
    connection.send(ask.replace("/raw", &format!("http://{}/raw", origin.at("127.0.0.1"))));
    connection.read_head();
    connection.read_exactly(6);
    wait_until_written(&dir.join("capture.zip.part"), "ws/ws_0001_m001.json");
    running.signal(Signal::SIGKILL);
    running.end();
    end.open();
    connection.close_abruptly();
    assert_eq!(recovered(&dir).len(), 1);
    let bundle = Bundle::open(&dir.join("capture.zip"));
    let socket = bundle.only_websocket();
    assert_eq!(socket.messages, [Message::received("text", "tick")]);
    assert_eq!(socket.json["url"], format!("ws://{}/raw", origin.at("127.0.0.1")));
    assert_eq!(socket.json["protocols"][0], "chat");
    assert_eq!(socket.json["handshake_trace_ref"], "t_0001");
}

#[test]
fn the_next_capture_names_what_the_last_one_left_and_leaves_it() {
    let origin = origin_of_sizes();
    let host = origin.at("127.0.0.1");
    let dir = TempDir::new();
    let capture_one = |running: &Spectral| {
        let mut connection = Connection::to(running.addr);
        connection.request(format!("GET http://{host}/5 HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        let is_filled = |name: &String| name.ends_with(".part") && std::fs::metadata(dir.join(name)).unwrap().len() > 0;
        eventually(|| dir.names().iter().any(is_filled).then_some(()), || "nothing is written".into());
    };
    let killed = Spectral::capture(&dir, &[]);
    capture_one(&killed);
    killed.signal(Signal::SIGKILL);
    killed.end();
    let left = std::fs::read(dir.join("capture.zip.part")).unwrap();

    let next = Spectral::capture(&dir, &[]);
    let output = next.line("spectral capture recover ");
    assert!(output.contains("capture.zip.part is left over from an interrupted capture; "), "{output}");
    let third = Spectral::capture(&dir, &[]);
    assert!(third.line("another running capture").contains("capture.zip.2.part"));
    assert_eq!(third.interrupt().code, Some(0));
    capture_one(&next);
    assert_eq!(next.interrupt().code, Some(0));
    assert_eq!(std::fs::read(dir.join("capture.zip.part")).unwrap(), left);

    let output = spectral(&dir, &["capture", "recover", "capture.zip.part"]).ok().text();
    assert!(output.starts_with("Recovered to capture.zip: 1 exchange, 0 WebSockets, 0 messages\n"), "{output}");
    assert!(dir.join("capture.zip.bak").exists(), "the second capture's bundle is kept");
    assert_eq!(std::fs::read(dir.join("capture.zip.part")).unwrap(), left);
}

#[test]
fn a_running_capture_is_not_recovered_as_if_it_were_dead() {
    let dir = TempDir::new();
    let running = Spectral::capture(&dir, &[]);
    let refused = spectral(&dir, &["capture", "recover", "capture.zip.part"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("capture.zip.part: a capture is still writing it"), "{}", refused.err);
    let output = spectral(&dir, &["capture", "recover", "capture.zip.part", "-o", "so-far.zip"]).ok().text();
    assert!(output.contains("A capture is still writing"), "{output}");
    assert!(Bundle::open(&dir.join("so-far.zip")).traces.is_empty());
    assert_eq!(running.interrupt().code, Some(0));
}

#[test]
fn what_was_lost_is_said() {
    let origin = origin_of_sizes();
    let host = origin.at("127.0.0.1");
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
    assert_eq!(Bundle::open(&dir.join("mended.zip")).only_trace().response_body.len(), 400_000);
    std::fs::write(dir.join("cut.zip"), "something else").unwrap();
    for file in ["cut.zip", "missing.part"] {
        let refused = spectral(&dir, &["capture", "recover", file, "-o", "x.zip"]);
        assert_eq!((refused.code, refused.out.len()), (Some(1), 0));
        assert!(!Path::new(&dir.join("x.zip")).exists());
    }
}

#[test]
fn a_merge_that_did_not_end_is_to_be_repeated() {
    let origin = origin_of_sizes();
    let host = origin.at("127.0.0.1");
    let dir = TempDir::new();
    let running = Spectral::capture(&dir, &["-q"]);
    Connection::to(running.addr).request(format!("GET http://{host}/400000 HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    assert_eq!(running.interrupt().code, Some(0));
    spectral(&dir, &["capture", "merge", "capture.zip", "capture.zip", "-o", "merged.zip"]).ok();
    let whole = std::fs::read(dir.join("merged.zip")).unwrap();
    std::fs::write(dir.join("cut.zip.part"), &whole[..whole.len() * 3 / 4]).unwrap();
    let before = dir.names();
    let refused = spectral(&dir, &["capture", "recover", "cut.zip.part"]);
    assert_eq!((refused.code, refused.out.len()), (Some(1), 0));
    assert!(refused.err.contains("merge them again"), "{}", refused.err);
    assert_eq!(dir.names(), before);
}
