//! Lists the domains that an app connects to, without decrypting anything. No CA and no file is needed.

#![allow(clippy::disallowed_macros, reason = "an example prints")]

use spectral_capture::{Config, Notice, Observer, Proxy, text};
use std::error::Error;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

fn main() -> Result<(), Box<dyn Error>> {
    let mut config = Config::discover();
    config.listen.set_port(0);
    config.on_notice = Observer::new(|notice| {
        if let Notice::Domain { name } = notice {
            // Names are from the network: a terminal might obey them.
            println!("new: {}", text::escape(name));
        }
    });
    let running = Proxy::bind(config)?.start()?;

    // The app's part: a tunnel through the proxy.
    let origin = TcpListener::bind("127.0.0.1:0")?;
    let target = origin.local_addr()?;
    let mut app = TcpStream::connect(running.addr())?;
    write!(app, "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n")?;
    let (mut socket, _) = origin.accept()?;
    let _ = app.read(&mut [0; 1024])?;
    app.write_all(b"ping")?;
    socket.read_exact(&mut [0; 4])?;
    drop((app, socket));

    for domain in running.stop().domains {
        let name = text::escape(&domain.name).into_owned();
        println!("{name}: {} connections, {} bytes sent", domain.connections, domain.sent);
    }
    Ok(())
}
