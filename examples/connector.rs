//! Connects to origins with a function of the program: here, all hosts below `.test` are a server of this machine. The same way, a
//! program binds sockets to an interface, or uses a resolver of its own.

#![allow(clippy::disallowed_macros, reason = "an example prints")]

use spectral_capture::{CaSource, CaptureOptions, Config, Connector, Mode, Output, Proxy, RecordCallback, Recorded};
use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};

fn main() -> Result<(), Box<dyn Error>> {
    let origin = TcpListener::bind("127.0.0.1:0")?;
    let server = origin.local_addr()?;
    let mut options = CaptureOptions::new(Output::None);
    options.ca = CaSource::Ephemeral;
    options.on_record = Some(RecordCallback::new(|recorded| {
        if let Recorded::Exchange(exchange) = recorded {
            println!("{} {}", exchange.method, spectral_capture::text::escape(exchange.url));
        }
    }));
    let mut config = Config::new(Mode::Capture(options));
    config.listen.set_port(0);
    config.connector = Connector::with_connect(move |host, port| match host.ends_with(".test") {
        true => TcpStream::connect(server),
        // Not found: the app gets a 502, as for a name that does not resolve.
        false => Err(std::io::Error::new(ErrorKind::NotFound, format!("{host}:{port} is outside the test network"))),
    });
    let running = Proxy::bind(config)?.start()?;

    // The app's part: plain requests through the proxy.
    for (url, status) in [("http://a.test/", "HTTP/1.1 200"), ("http://a.example/", "HTTP/1.1 502")] {
        let mut app = TcpStream::connect(running.addr())?;
        write!(app, "GET {url} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
        if url.contains(".test") {
            let (mut socket, _) = origin.accept()?;
            let _ = socket.read(&mut [0; 1024])?;
            socket.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")?;
        }
        let mut response = String::new();
        app.read_to_string(&mut response)?;
        assert!(response.starts_with(status), "{response}");
    }
    running.stop();
    Ok(())
}
