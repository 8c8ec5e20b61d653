//! Large transfers that nobody looks at go through a pipe in the kernel: they arrive as they would without it, and the pipe is
//! given back.

use crate::support::cli::Spectral;
use crate::support::peers::{self, peer};
use crate::support::{Capture, Ending, Gate, Link, Origin, Subject, TempDir, eventually, patterns};
use std::process::Command;
use std::thread;

const MANY: usize = 8 << 20;
/// Neither TLS nor HTTP.
const GO: &[u8] = b"\0\x01\x02go";

/// Bytes that repeat in no convenient place.
fn much() -> Vec<u8> {
    (0..MANY).map(|n| (n % 251 + n / 65_521) as u8).collect()
}

/// The built program, which captures nothing.
fn subject() -> Subject {
    let dir = TempDir::new();
    Subject::over(Spectral::capture(&dir, &["-e", "*"]), dir)
}

/// A tunnel to `origin` through which `GO` went.
#[track_caller]
fn begin(subject: &Subject, origin: &Origin) -> Link {
    let mut link = subject.connect(&origin.at("127.0.0.1"));
    link.send(GO);
    assert_eq!(origin.received_at_least(0, GO.len()), GO);
    link
}

/// Waits until `subject` has as many descriptors open.
#[track_caller]
fn has(subject: &Subject, descriptors: usize) {
    let held = || subject.running.held();
    // Where that cannot be known there is no splice(2) either.
    if held().is_some() {
        eventually(
            || held().filter(|held| held.descriptors == descriptors),
            || format!("{:?} are held, not {descriptors} descriptors", held()),
        );
    }
}

/// How many descriptors it has open now.
fn descriptors(subject: &Subject) -> usize {
    subject.running.held().map_or(0, |held| held.descriptors)
}

#[test]
fn down_and_up_again_arrive_whole_and_the_pipe_is_given_back() {
    let origin = Origin::plain(|mut link| {
        link.exactly(GO.len());
        link.send(much());
        assert!(link.exactly(MANY) == much());
        link.send("thanks");
    });
    let subject = subject();
    let mut link = subject.connect(&origin.at("127.0.0.1"));
    let sockets = descriptors(&subject);
    // What is sent to it must not all find room in the kernel.
    link.receive_buffer(64 << 10);
    link.send(GO);
    // The client stands still, so the pipe is not empty: it stays however long that lasts.
    has(&subject, sockets + 2);
    assert!(link.exactly(MANY) == much());
    has(&subject, sockets);
    link.send(much());
    assert_eq!(link.exactly(6), b"thanks");
    has(&subject, sockets);
    drop(link);
    subject.end();
}

#[test]
fn both_ways_at_once_arrive_whole() {
    let origin = Origin::plain(|mut link| {
        link.exactly(GO.len());
        let mut writer = link.writer.clone();
        let sending = thread::spawn(move || writer.send(much()));
        assert!(link.exactly(MANY) == much());
        sending.join().unwrap();
    });
    let subject = subject();
    let mut link = begin(&subject, &origin);
    let sockets = descriptors(&subject);
    let mut writer = link.writer.clone();
    let sending = thread::spawn(move || writer.send(much()));
    assert!(link.exactly(MANY) == much());
    sending.join().unwrap();
    has(&subject, sockets);
    drop(link);
    subject.end();
}

#[test]
fn one_side_ends_and_still_hears_the_other() {
    let origin = Origin::plain(|mut link| {
        link.exactly(GO.len());
        link.send(much());
        link.finish();
        let (bytes, ending) = link.the_rest();
        assert!(bytes == much() && ending == Ending::Clean, "{} bytes, {ending:?}", bytes.len());
    });
    let subject = subject();
    let mut link = begin(&subject, &origin);
    let (bytes, ending) = link.the_rest();
    assert!(bytes == much() && ending == Ending::Clean, "{} bytes, {ending:?}", bytes.len());
    link.send(much());
    drop(link);
    subject.end();
}

#[test]
fn a_reset_is_passed_on_both_ways() {
    let gate = Gate::default();
    let opened = gate.clone();
    let origin = Origin::plain(move |mut link| {
        link.exactly(GO.len());
        link.send(much());
        opened.pass();
        link.reset();
    });
    let down = subject();
    let mut link = begin(&down, &origin);
    assert!(link.exactly(MANY) == much());
    gate.open();
    assert_eq!(link.the_rest(), (Vec::new(), Ending::Reset));
    down.end();

    let origin = Origin::plain(|mut link| {
        link.exactly(GO.len());
        assert!(link.exactly(MANY) == much());
        link.send("thanks");
        assert_eq!(link.the_rest(), (Vec::new(), Ending::Reset));
    });
    let up = subject();
    let mut link = begin(&up, &origin);
    link.send(much());
    assert_eq!(link.exactly(6), b"thanks");
    link.reset();
    up.end();
}

#[test]
fn one_that_stands_still_does_not_keep_the_capture_from_its_end() {
    let origin = Origin::plain(|mut link| {
        link.exactly(GO.len());
        // The reset that this meets is what the stop makes of it.
        link.writer.try_send(&much().repeat(4)).ok();
        link.reset();
    });
    let capture = Capture::with(|config| config.exclude = patterns(&["*"]));
    let mut link = capture.connect(&origin.at("127.0.0.1"));
    link.receive_buffer(64 << 10);
    link.send(GO);
    let begun = link.exactly(1 << 20);
    assert!(begun == much()[..1 << 20]);
    capture.stop();
    assert_eq!(link.the_rest().1, Ending::Reset, "half a transfer must not look like a whole one");
}

#[test]
fn without_a_descriptor_to_spare_all_is_copied() {
    let Some(prlimit) = peer("prlimit") else { return };
    let gate = Gate::default();
    let opened = gate.clone();
    let origin = Origin::plain(move |mut link| {
        link.exactly(GO.len());
        opened.pass();
        link.send(much());
        assert!(link.exactly(MANY) == much());
        link.send("thanks");
    });
    let subject = subject();
    let mut link = begin(&subject, &origin);
    let sockets = descriptors(&subject);
    let limit = |most: usize| {
        let pid = subject.running.pid().to_string();
        peers::run(Command::new(&prlimit).args(["--pid", &pid, &format!("--nofile={most}:1000")])).ok();
    };
    limit(3);
    gate.open();
    for _ in 0..64 {
        assert_eq!(descriptors(&subject), sockets);
        link.reader.begins();
    }
    assert!(link.exactly(MANY) == much());
    link.send(much());
    assert_eq!(link.exactly(6), b"thanks");
    limit(1000);
    drop(link);
    subject.end();
}

#[test]
fn what_passes_unseen_is_counted() {
    let origin = Origin::plain(|mut link| {
        link.exactly(GO.len());
        link.send(much());
        assert!(link.exactly(MANY) == much());
        link.send("thanks");
    });
    let capture = Capture::discover();
    let mut link = capture.connect(&origin.at("127.0.0.1"));
    link.send(GO);
    assert!(link.exactly(MANY) == much());
    link.send(much());
    assert_eq!(link.exactly(6), b"thanks");
    drop(link);
    let outcome = capture.stop();
    let domain = outcome.summary.domains.iter().find(|domain| domain.name == "127.0.0.1").unwrap();
    assert_eq!((domain.sent, domain.received), ((MANY + GO.len()) as u64, (MANY + 6) as u64));
}
