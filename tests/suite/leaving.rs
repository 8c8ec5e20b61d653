//! Either side leaves, at any moment and in any way: the other learns of it at once, the bundle says it, and nothing is left over.

use crate::support::{Ending, Gate, Link, Origin, PATIENCE, Subject, Watched, next_request};
use std::sync::mpsc;
use std::time::Duration;

const ASK: &str = "GET /asked HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// How one leaves.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// RST.
    Reset,
    /// FIN, and without close_notify where TLS is spoken.
    Cut,
}

impl Way {
    const ALL: [Self; 2] = [Self::Reset, Self::Cut];

    fn leave(self, link: Link) {
        match self {
            Self::Reset => link.reset(),
            Self::Cut => link.cut(),
        }
    }

    /// What the other side is to see of it.
    fn seen(self, tls: bool) -> Ending {
        match (self, tls) {
            (Self::Reset, _) => Ending::Reset,
            (Self::Cut, true) => Ending::Truncated,
            (Self::Cut, false) => Ending::Clean,
        }
    }
}

#[test]
fn a_client_that_leaves_ends_the_origins_side_at_once() {
    let (tell, told) = mpsc::channel();
    let (begin, begun) = mpsc::channel();
    let script = move |mut link: Link| {
        begin.send(()).unwrap();
        tell.send(link.the_rest()).unwrap();
    };
    let origins = [(Origin::plain(script.clone()), false), (Origin::tls(script), true)];
    let subject = Subject::start();
    let upload = "POST /up HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nsome of it";
    for (origin, tls) in &origins {
        let mut count = 0;
        for said in ["", "GET /half HTTP/1.1\r\nHo", upload, ASK] {
            for way in Way::ALL {
                let host = origin.at("localhost");
                let mut link = if *tls { subject.tls(&host) } else { subject.connect(&host) };
                // A reset that comes before the origin has read the end of the handshake leaves it nothing to serve.
                begun.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("the origin of {said:?} and {way:?} begins"));
                link.send(said);
                origin.received_at_least(count, said.len());
                count += 1;
                way.leave(link);
                let seen = told.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{way:?} after {said:?}"));
                assert_eq!(seen.0, said.as_bytes());
                // Who closes over what it has not read, such as session tickets, resets.
                let is_so = seen.1 == way.seen(*tls) || *tls && seen.1 == Ending::Reset;
                assert!(is_so, "{:?} after {said:?} and {way:?}, TLS: {tls}", seen.1);
            }
        }
    }
    let (bundle, _) = subject.end();
    assert_eq!(bundle.traces.len(), 8, "two requests in two ways to two origins: {:?}", bundle.urls());
    for trace in bundle.traces {
        assert_eq!((trace.status(), trace.status_text()), (0, "client disconnected"), "{}", trace.url());
    }
}

#[test]
fn a_client_that_leaves_an_endless_answer_ends_it() {
    let (tell, told) = mpsc::channel();
    let script = move |mut link: Link| {
        next_request(&mut link);
        link.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
        // An event now and then, until nobody takes it.
        let never = Gate::default();
        while link.writer.try_send(b"data: x\n\n").is_ok() {
            never.within(Duration::from_millis(5), |open| open.then_some(()));
        }
        link.cut();
        tell.send(()).unwrap();
    };
    let origins = [(Origin::plain(script.clone()), false), (Origin::tls(script), true)];
    let subject = Subject::start();
    for (origin, tls) in &origins {
        for way in Way::ALL {
            let host = origin.at("localhost");
            let mut link = if *tls { subject.tls(&host) } else { subject.connect(&host) };
            link.send(ASK);
            link.until(b"data: x\n\n");
            way.leave(link);
            told.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("the origin sends for ever after {way:?}"));
        }
    }
    let (bundle, _) = subject.end();
    assert_eq!(bundle.traces.len(), 4);
    assert!(bundle.traces.iter().all(|trace| trace.status() == 200 && trace.text().starts_with("data: x\n\n")));
}

#[test]
fn an_origin_that_leaves_is_seen_by_the_client() {
    // At once, after the request, in the answer's head, in its body.
    let answers = [
        None,
        Some(""),
        Some("HTTP/1.1 200 OK\r\nContent-Le"),
        Some("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbody"),
    ];
    let subject = Subject::start();
    for answer in answers {
        for way in Way::ALL {
            let script = move |mut link: Link| {
                if let Some(answer) = answer {
                    link.head();
                    link.send(answer);
                }
                way.leave(link);
            };
            for (origin, tls) in [(Origin::plain(script), false), (Origin::tls(script), true)] {
                let host = origin.at("localhost");
                let mut link = if tls { subject.tls(&host) } else { subject.ask(&host) };
                // One that resets at once may do so while it is dialled.
                if !tls && link.head().starts_with("HTTP/1.1 502 ") {
                    assert_eq!(answer, None);
                    continue;
                }
                // The client may learn of it here already; its write takes the error then, and its read looks like an end.
                let is_gone = link.writer.try_send(ASK.as_bytes()).is_err();
                let (came, ending) = link.the_rest();
                // A reset takes back what it overtakes.
                assert!(answer.unwrap_or("").as_bytes().starts_with(&came), "{}", came.escape_ascii());
                let expected = [way.seen(tls), Ending::Reset];
                let is_so = is_gone || expected.contains(&ending);
                assert!(is_so, "{ending:?} after {answer:?} and {way:?}, TLS: {tls}");
                link.cut();
            }
        }
    }
    subject.end();
}

#[test]
fn a_client_that_leaves_in_the_handshake() {
    let origin = Origin::tls(|mut link| drop(link.the_rest()));
    let subject = Subject::start();
    let hello = subject.client().hello();
    // In a record's head, in the ClientHello, after it.
    for len in [1, 5, 100, hello.len()] {
        for way in Way::ALL {
            let mut link = subject.connect(&origin.at("localhost"));
            link.writer.send_raw(&hello[..len]).unwrap();
            if len == hello.len() {
                // The ServerHello's record: the proxy waits for the client's Finished.
                assert_eq!(link.exactly(1), [22]);
            }
            way.leave(link);
        }
    }
    origin.open.until("the origin to be left", |open| (*open == 0).then_some(()));
    let (bundle, _) = subject.end();
    assert!(bundle.traces.is_empty());
}

#[test]
fn an_origin_that_leaves_in_the_handshake() {
    let subject = Subject::start();
    for way in Way::ALL {
        for len in [0, 1, 5, 100] {
            let origin = Origin::plain(move |mut link: Link| {
                link.exactly(len);
                way.leave(link);
            });
            let mut link = subject.ask(&origin.at("localhost"));
            // One that resets at once may do so while it is dialled.
            if link.head().starts_with("HTTP/1.1 502 ") {
                assert_eq!(len, 0);
                continue;
            }
            // Where it is gone before, so is the tunnel.
            link.writer.send_raw(&subject.client().hello()).ok();
            assert_eq!(link.the_rest().0, b"", "nobody speaks in its name");
            link.cut();
            assert!(origin.connections() <= 2, "once to open TLS, once to pass through");
        }
    }
    subject.end();
}

#[test]
fn one_that_never_reads_and_leaves() {
    // Both sides full, in both directions; then the client is gone.
    let flood = |mut link: Link| {
        while link.writer.try_send(&[b'x'; 65536]).is_ok() {}
        link.cut();
    };
    let subject = Subject::start();
    for (origin, tls) in [(Origin::plain(flood), false), (Origin::tls(flood), true)] {
        for way in Way::ALL {
            let host = origin.at("localhost");
            let mut link = if tls { subject.tls(&host) } else { subject.connect(&host) };
            link.receive_buffer(4096);
            link.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n");
            let full = Watched::<bool>::default();
            let (mut writer, tell) = (link.writer.clone(), full.clone());
            let upload = std::thread::spawn(move || {
                while writer.try_send(&[b'u'; 65536]).is_ok() {}
                tell.open();
            });
            // It comes to a halt; whether it does so before the client leaves makes no difference.
            full.within(Duration::from_millis(300), |full| full.then_some(()));
            link.writer.shut_down();
            upload.join().unwrap();
            way.leave(link);
        }
        origin.open.until("the origin to be left", |open| (*open == 0).then_some(()));
    }
    subject.end();
}

#[test]
fn the_ways_that_have_tests_of_their_own_leave_nothing_over() {
    let subject = Subject::start();
    let ask = "POST /half HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n";
    let origin = Origin::tls(|mut link| {
        link.head();
        link.send("HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        link.finish();
        link.the_rest();
    });
    // Half-close, the origin's side first, with an early 413; then the client's.
    let mut link = subject.tls(&origin.at("localhost"));
    link.send(ask);
    assert_eq!(link.response().status, 413);
    assert_eq!(link.the_rest().1, Ending::Clean);
    link.send("up");
    drop(link);
    // A request for the proxy itself.
    let mut link = subject.ask(&subject.running.addr.to_string());
    assert!(link.head().starts_with("HTTP/1.1 403 "));
    drop(link);
    // No answer from anyone.
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert!(subject.ask(&unused.to_string()).head().starts_with("HTTP/1.1 502 "));
    assert_eq!(subject.end().0.only_trace().status(), 413);
}
