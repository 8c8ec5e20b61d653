//! An origin in the clear whose responses are prepared once: it only sends bytes.

use super::origin::head;
use std::collections::HashMap;
use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// Whole responses, by path.
pub(crate) type Responses = HashMap<String, Vec<u8>>;

/// Serves `responses` until the process ends; returns the address.
pub(crate) fn serve_prepared(responses: Responses) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let responses = Arc::new(responses);
    thread::spawn(move || {
        for socket in listener.incoming() {
            let (socket, responses) = (socket.unwrap(), Arc::clone(&responses));
            thread::Builder::new().stack_size(256 << 10).spawn(move || serve(&socket, &responses)).unwrap();
        }
    });
    addr
}

fn serve(socket: &TcpStream, responses: &Responses) {
    socket.set_nodelay(true).unwrap();
    let (mut reader, mut writer) = (BufReader::new(socket), socket);
    loop {
        let request = head(&mut reader);
        let Some(response) = request.split(' ').nth(1).and_then(|path| responses.get(path)) else { return };
        if writer.write_all(response).is_err() {
            return;
        }
    }
}
