//! A disk that stalls slows the traffic, instead of filling the memory.

use crate::support::{Capture, Gate, Origin, TIMEOUT, Watched};
use std::time::Duration;

#[test]
fn a_stalled_writer_slows_the_traffic_without_losses() {
    const NO_CONTENT: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";
    const REQUESTS: usize = 600;
    const CONNECTIONS: usize = 4;
    // More exchanges than the queue of the writer holds; the first one stalls the writer.
    let go = Gate::default();
    let wait = go.clone();
    let capture = Capture::with_observer(
        move |notice| {
            if matches!(notice, spectral_capture::Notice::Exchange { .. }) {
                wait.within(2 * TIMEOUT, |open| open.then_some(()));
            }
        },
        |_| (),
    );
    let origin = Origin::plain(|connection| crate::support::origin::respond_to_all(connection, NO_CONTENT));
    let responses = Watched::<usize>::default();
    let readers: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let mut connection = capture.connect(&origin.authority("localhost"));
            let responses = responses.clone();
            std::thread::spawn(move || {
                connection.reader.set_read_timeout(2 * TIMEOUT);
                for _ in 0..REQUESTS {
                    connection.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
                    connection.read_exactly(NO_CONTENT.len());
                    responses.update(|n| *n += 1);
                }
            })
        })
        .collect();
    // The traffic stalls once the queue is full: no response for a while.
    responses.until("the first response", |n| (*n > 0).then_some(()));
    let so_far = responses.settled(Duration::from_millis(700));
    // Before any assertion, because the capture cannot end earlier.
    go.open();
    // 512 items in the queue and as many in the writer's batch, one for the writer, and one for each connection, because
    // an exchange is recorded before its response is forwarded.
    assert!((1..=1024 + 1 + CONNECTIONS).contains(&so_far), "{so_far} responses while the writer was stalled");
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    let outcome = capture.stop();
    assert_eq!(outcome.summary.lost, 0);
    assert_eq!(outcome.summary.exchanges, (REQUESTS * CONNECTIONS) as u64);
}
