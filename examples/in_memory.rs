//! Captures one request without a home folder, a terminal or a writable disk: the CA is in memory, and a callback gets the
//! exchange.

#![allow(clippy::disallowed_macros, reason = "an example prints")]

use spectral_capture::{CaSource, CaptureOptions, Config, Mode, Output, Proxy, RecordCallback, Recorded};
use std::error::Error;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;

fn main() -> Result<(), Box<dyn Error>> {
    let (seen, exchanges) = mpsc::channel();
    let mut options = CaptureOptions::new(Output::None);
    options.ca = CaSource::Ephemeral;
    options.on_record = Some(RecordCallback::new(move |recorded| {
        if let Recorded::Exchange(exchange) = recorded
            && let Ok(response) = exchange.response
        {
            let _ = seen.send(format!("{} {}: {}", exchange.method, exchange.url, response.status));
        }
    }));
    let mut config = Config::new(Mode::Capture(options));
    config.listen.set_port(0);
    let proxy = Proxy::bind(config)?;
    // The app must trust this certificate for HTTPS.
    let certificate = proxy.ca().map(|ca| ca.pem()).unwrap_or_default();
    assert!(certificate.starts_with("-----BEGIN CERTIFICATE-----"));
    let running = proxy.start()?;

    // The app's part: a plain request through the proxy.
    let origin = TcpListener::bind("127.0.0.1:0")?;
    let mut app = TcpStream::connect(running.addr())?;
    write!(app, "GET http://{} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", origin.local_addr()?)?;
    let (mut socket, _) = origin.accept()?;
    let _ = socket.read(&mut [0; 1024])?;
    socket.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")?;
    drop(socket);
    app.read_to_end(&mut Vec::new())?;

    println!("{}", exchanges.recv()?);
    let summary = running.stop();
    assert_eq!((summary.exchanges, summary.unobserved), (1, 0));
    Ok(())
}
