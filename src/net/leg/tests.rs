//! Tests of the memory that a leg holds and frees, and of its pipe.

use super::*;
use std::net::TcpListener;

#[test]
fn shrinking_frees_the_buffers_of_a_large_transfer() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let mut leg = Leg::new(socket, &Arc::default()).unwrap();
    let held = |leg: &Leg| leg.outbox.capacity() + leg.unread.capacity();
    assert_eq!(held(&leg), 0);
    leg.unread = vec![0; 1000];
    leg.outbox.push(&[0; 1000]);
    leg.shrink();
    assert_eq!((leg.unread().len(), leg.pending()), (1000, 1000), "bytes on their way stay");
    leg.consume(1000);
    leg.outbox.consume(1000);
    assert!(held(&leg) >= 2000, "the memory is still there");
    leg.shrink();
    assert_eq!(held(&leg), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn two_legs_share_one_pipe() {
    let resources = Arc::default();
    let pair = || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (Leg::new(listener.accept().unwrap().0, &resources).unwrap(), peer)
    };
    let ((mut client, mut sender), (mut origin, _silent)) = (pair(), pair());
    client.enable_splice(&mut origin);
    assert!(origin.accepts_splice() && !client.accepts_splice());
    origin.enable_splice(&mut client);
    assert!(client.accepts_splice() && !origin.accepts_splice());
    client.enable_splice(&mut origin);
    // The origin does not read: in the end bytes are left in the pipe.
    let much = vec![7; 256 << 10];
    while origin.pending() == 0 {
        sender.write_all(&much).unwrap();
        while client.splice(&mut origin) > 0 && origin.pending() == 0 {}
    }
    assert!(!origin.accepts_splice() && !origin.has_room() && origin.pending() <= much.len());
    origin.enable_splice(&mut client);
    assert!(!client.accepts_splice(), "bytes in the pipe would be lost");
    origin.shrink();
    assert!(origin.pending() > 0);
}
