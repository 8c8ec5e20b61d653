//! A disk that takes nothing for a while slows the traffic, instead of filling the memory.

use crate::support::{Capture, Gate, Origin, PATIENCE, Watched};
use std::time::Duration;

#[test]
fn a_writer_that_stands_still_slows_the_traffic_and_loses_nothing() {
    const NOTHING: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";
    const ASKED: usize = 600;
    const LINKS: usize = 4;
    // More than may wait for the writer, which the first exchange holds up.
    let go = Gate::default();
    let wait = go.clone();
    let capture = Capture::observed(
        move |notice| {
            if matches!(notice, spectral_capture::Notice::Exchange { .. }) {
                wait.within(2 * PATIENCE, |open| open.then_some(()));
            }
        },
        |_| (),
    );
    let origin = Origin::plain(|link| crate::support::origin::answer_all(link, NOTHING));
    let answered = Watched::<usize>::default();
    let readers: Vec<_> = (0..LINKS)
        .map(|_| {
            let mut link = capture.connect(&origin.at("localhost"));
            let answered = answered.clone();
            std::thread::spawn(move || {
                link.reader.patience(2 * PATIENCE);
                for _ in 0..ASKED {
                    link.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
                    link.exactly(NOTHING.len());
                    answered.change(|n| *n += 1);
                }
            })
        })
        .collect();
    // The traffic stands still once the queue is full: nothing has come for a while.
    let mut so_far = 0;
    while let Some(n) = answered.within(Duration::from_millis(700), |n| (*n > so_far).then_some(*n)) {
        so_far = n;
    }
    // First of all, as the capture cannot end before.
    go.open();
    // No more than may wait, with one in the hand of the writer and of each connection; an exchange is recorded before its
    // answer is passed on.
    assert!((1..=1024 + 1 + LINKS).contains(&so_far), "{so_far} answers came while nothing was written");
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    let outcome = capture.stop();
    assert_eq!(outcome.summary.lost, 0);
    assert_eq!(outcome.summary.exchanges, (ASKED * LINKS) as u64);
}
