//! Captures one request into a bundle, and reads the bundle. The file is named by the argument, or is in the temporary folder.

#![allow(clippy::disallowed_macros, reason = "an example prints")]

use spectral_capture::reader::Bundle;
use spectral_capture::{CaSource, Config, Notice, Observer, Proxy};
use std::error::Error;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).map_or_else(|| std::env::temp_dir().join("to_file.zip"), PathBuf::from);
    let mut config = Config::capture(&path);
    config.listen.set_port(0);
    config.limits.memory = 16 << 20;
    if let Some(options) = config.capture_options_mut() {
        // A CA that apps trust for longer is in a folder: CaSource::Dir.
        options.ca = CaSource::Ephemeral;
    }
    config.on_notice = Observer::new(|notice| {
        if let Notice::Warning(warning) = notice {
            eprintln!("warning: {warning}");
        }
    });
    let running = Proxy::bind(config)?.start()?;

    // The app's part: a plain request through the proxy.
    let origin = TcpListener::bind("127.0.0.1:0")?;
    let mut app = TcpStream::connect(running.addr())?;
    write!(app, "GET http://{}/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", origin.local_addr()?)?;
    let (mut socket, _) = origin.accept()?;
    let _ = socket.read(&mut [0; 1024])?;
    socket.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello")?;
    drop(socket);
    app.read_to_end(&mut Vec::new())?;

    // A stop that takes longer is forced: bodies that are not decoded by then stay as received.
    let summary = running.stop_within(Duration::from_secs(10));
    let bundle = Bundle::open(summary.bundle.ok_or("the bundle could not be completed")?)?;
    for id in bundle.traces().iter() {
        let trace = bundle.trace(id)?;
        let body = bundle.response_body(&trace)?;
        println!("{} {}: {}, {} bytes", trace.request.method, trace.request.url, trace.response.status, body.len());
    }
    Ok(())
}
