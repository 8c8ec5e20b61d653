//! What a leg holds on to, and gives back.

use super::*;
use std::net::TcpListener;

#[test]
fn what_a_large_transfer_needed_is_given_back() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut leg = Leg::new(TcpStream::connect(listener.local_addr().unwrap()).unwrap()).unwrap();
    let kept = |leg: &Leg| leg.outbox.capacity() + leg.unread.capacity();
    assert_eq!(kept(&leg), 0);
    leg.unread = vec![0; 1000];
    leg.outbox.push(&[0; 1000]);
    leg.shrink();
    assert_eq!((leg.unread().len(), leg.owed()), (1000, 1000), "what is under way stays");
    leg.consume(1000);
    leg.outbox.consume(1000);
    assert!(kept(&leg) >= 2000, "the room is there still");
    leg.shrink();
    assert_eq!(kept(&leg), 0);
}
