//! Bodies larger than the memory limit.

use crate::support::{Capture, Connection, Origin, next_request};
use std::thread;

const MIB: usize = 1 << 20;

/// Returns megabyte number `index` of a body: compressible, and different for each index.
fn piece(index: usize) -> Vec<u8> {
    (0..MIB).map(|n| ((n / 4096) ^ index) as u8).collect()
}

#[test]
fn stores_a_download_of_64_mib_completely() {
    let origin = Origin::plain(|mut connection: Connection| {
        next_request(&mut connection);
        connection.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 64 * MIB));
        for index in 0..64 {
            connection.send(piece(index));
        }
    });
    let capture = Capture::start();
    let mut connection = capture.connect(&origin.authority("localhost"));
    connection.send("GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n");
    connection.read_head();
    for index in 0..64 {
        assert!(connection.read_exactly(MIB) == piece(index), "piece {index} at the client");
    }
    drop(connection);
    capture.wait_for_exchanges(1);
    let outcome = capture.stop();
    outcome.assert_no_warnings();
    let body = &outcome.bundle().only_trace().response_body;
    assert_eq!(body.len(), 64 * MIB);
    for (index, stored) in body.chunks(MIB).enumerate() {
        assert!(stored == piece(index), "piece {index} in the bundle");
    }
}

#[test]
fn stores_concurrent_large_uploads_and_downloads() {
    let origin = Origin::plain(|mut connection: Connection| {
        let (_, body) = next_request(&mut connection).unwrap();
        connection.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()));
        connection.send(body);
    });
    let capture = Capture::start();
    thread::scope(|scope| {
        for number in 0..4 {
            let (capture, origin) = (&capture, &origin);
            scope.spawn(move || {
                let mut connection = capture.connect(&origin.authority("localhost"));
                let body = piece(number).repeat(4);
                connection.send(format!(
                    "POST /{number} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                ));
                connection.send(&body);
                assert!(connection.read_response().body == body);
            });
        }
    });
    let outcome = capture.stop();
    for number in 0..4 {
        let trace = outcome.bundle().trace(&format!("/{number}"));
        let body = piece(number).repeat(4);
        assert!(trace.request_body == body && trace.response_body == body, "{number}");
    }
}
