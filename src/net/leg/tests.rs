//! What a leg holds on to, and gives back.

use super::*;
use std::net::TcpListener;

#[test]
fn what_a_large_transfer_needed_is_given_back() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut leg = Leg::new(TcpStream::connect(listener.local_addr().unwrap()).unwrap()).unwrap();
    assert!(!leg.has_spare());
    leg.unread = vec![0; SPARE];
    assert!(!leg.has_spare(), "small exchanges need as much");
    leg.outbox.push(&[0; 1000]);
    assert!(leg.has_spare());
    leg.consume(SPARE);
    leg.outbox.consume(1000);
    assert!(leg.has_spare(), "the room is there still");
    leg.shrink();
    assert!(!leg.has_spare());
}
