//! What capturing costs: the same requests over TLS, directly, through a tunnel that is only relayed, and captured.
//!
//! Client, proxy and origin share this process and take turns in short rounds, so that a machine that slows down hits all
//! alike. CPU time is the process's own: what is above `direct` is the proxy's. Look at the ratios, not at the figures.
//!
//! `cargo bench` runs it whole; with `--test` it runs one small round of each, to see that it works.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::disallowed_macros, missing_docs)]
#![allow(clippy::disallowed_methods, reason = "a benchmark asks the clock")]

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use spectral_capture::{Config, Pattern, Proxy, Running};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

fn main() {
    let quick = std::env::args().any(|arg| arg == "--test");
    let dir = std::env::temp_dir().join(format!("spectral-bench-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let origin = Origin::start(&dir.join("origin.pem"));
    let relayed = proxy(&dir, "relayed.zip", true);
    let captured = proxy(&dir, "captured.zip", false);

    let trusting = |files: &[&Path]| Arc::new(client_config(files));
    let (origin_ca, our_ca) = (dir.join("origin.pem"), dir.join("ca/mitmproxy-ca-cert.pem"));
    let routes = [
        ("direct", None, trusting(&[&origin_ca])),
        ("relayed", Some(relayed.addr()), trusting(&[&origin_ca])),
        ("captured", Some(captured.addr()), trusting(&[&our_ca])),
    ];
    let scenarios: [(&str, &str, Work); 3] = [
        ("GET of 1 KB, kept alive", "us/request", |route| requests(route, 2_000, 1 << 10)),
        ("new connection, one GET of 1 KB", "us/connection", |route| connections(route, 200)),
        ("download of 64 MB", "us/MB", |route| requests(route, 1, 64 << 20) * 64),
    ];
    for (name, unit, work) in scenarios {
        println!("\n{name}\n{:10} {unit:>14} {:>10} {:>10}", "", "wall", "proxy CPU");
        let rounds = if quick { 1 } else { 7 };
        let mut figures = vec![Vec::new(); routes.len()];
        for _ in 0..rounds {
            for (i, (_, proxy, config)) in routes.iter().enumerate() {
                let route = Route { origin: origin.addr, proxy: *proxy, config: Arc::clone(config) };
                figures[i].push(measure(|| work(&route)));
            }
        }
        let medians: Vec<_> = figures.into_iter().map(median).collect();
        for (i, (label, ..)) in routes.iter().enumerate() {
            let (cpu, wall) = medians[i];
            let (ratio, more) = (wall / medians[0].1, cpu - medians[0].0);
            println!("{label:10} {cpu:14.1} {ratio:9.2}x {more:10.1}");
        }
    }
    for running in [relayed, captured] {
        let summary = running.stop();
        assert_eq!(summary.lost, 0);
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

/// Does something so many times.
type Work = fn(&Route) -> u64;

/// How the origin is reached.
struct Route {
    origin: SocketAddr,
    proxy: Option<SocketAddr>,
    config: Arc<ClientConfig>,
}

impl Route {
    fn connect(&self) -> StreamOwned<ClientConnection, TcpStream> {
        let mut socket = TcpStream::connect(self.proxy.unwrap_or(self.origin)).unwrap();
        socket.set_nodelay(true).unwrap();
        if self.proxy.is_some() {
            write!(socket, "CONNECT localhost:{} HTTP/1.1\r\n\r\n", self.origin.port()).unwrap();
            assert!(head(&mut socket).starts_with("HTTP/1.1 200"));
        }
        let name = ServerName::try_from("localhost").unwrap();
        StreamOwned::new(ClientConnection::new(Arc::clone(&self.config), name).unwrap(), socket)
    }
}

fn requests(route: &Route, count: u64, size: usize) -> u64 {
    let mut stream = route.connect();
    let mut buffer = vec![0; 128 << 10];
    for _ in 0..count {
        write!(stream, "GET /{size} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n").unwrap();
        head(&mut stream);
        let mut left = size;
        while left > 0 {
            let most = left.min(buffer.len());
            left -= stream.read(&mut buffer[..most]).unwrap();
        }
    }
    count
}

fn connections(route: &Route, count: u64) -> u64 {
    for _ in 0..count {
        requests(route, 1, 1 << 10);
    }
    count
}

/// CPU and wall time of each of the things done, in microseconds.
fn measure(work: impl FnOnce() -> u64) -> (f64, f64) {
    let (cpu, wall) = (cpu_time(), Instant::now());
    let count = work() as f64;
    // The writer may still be at work for what was captured; its time counts too.
    thread::sleep(Duration::from_millis(30));
    let wall = wall.elapsed() - Duration::from_millis(30);
    ((cpu_time() - cpu).as_micros() as f64 / count, wall.as_micros() as f64 / count)
}

/// The CPU time of this process so far, user and system.
fn cpu_time() -> Duration {
    use nix::sys::resource::{UsageWho, getrusage};
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let sum = usage.user_time() + usage.system_time();
    Duration::from_micros((sum.tv_sec() * 1_000_000 + i64::from(sum.tv_usec() as i32)) as u64)
}

fn median(mut figures: Vec<(f64, f64)>) -> (f64, f64) {
    let mut middle = |by: fn(&(f64, f64)) -> f64| {
        figures.sort_by(|a, b| by(a).total_cmp(&by(b)));
        by(&figures[figures.len() / 2])
    };
    (middle(|figure| figure.0), middle(|figure| figure.1))
}

fn proxy(dir: &Path, bundle: &str, excluded: bool) -> Running {
    let mut config = Config::capture(dir.join(bundle));
    config.listen.set_port(0);
    config.ca_dir = Some(dir.join("ca"));
    config.upstream_ca.push(dir.join("origin.pem"));
    if excluded {
        config.exclude.push(Pattern::parse("*").unwrap());
    }
    Proxy::bind(config).unwrap().start().unwrap()
}

/// Serves `GET /N` with N bytes, over TLS.
struct Origin {
    addr: SocketAddr,
}

impl Origin {
    fn start(ca_file: &Path) -> Self {
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::new([]).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_certificate = ca.self_signed(&ca_key).unwrap();
        let pem = pem::encode(&pem::Pem::new("CERTIFICATE", ca_certificate.der().to_vec()));
        std::fs::write(ca_file, pem).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let leaf = leaf.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let config = Arc::new(config);
        thread::spawn(move || {
            for socket in listener.incoming() {
                let config = Arc::clone(&config);
                thread::spawn(move || serve(socket.unwrap(), config));
            }
        });
        Self { addr }
    }
}

fn serve(socket: TcpStream, config: Arc<ServerConfig>) {
    socket.set_nodelay(true).unwrap();
    let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), socket);
    let body = vec![b'x'; 64 << 10];
    loop {
        let asked = head(&mut stream);
        let Some(size) = asked.strip_prefix("GET /").and_then(|rest| rest.split(' ').next()?.parse().ok()) else {
            return;
        };
        let mut left: usize = size;
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n").unwrap();
        while left > 0 {
            let most = left.min(body.len());
            stream.write_all(&body[..most]).unwrap();
            left -= most;
        }
    }
}

/// Reads a head; empty at the end of the stream.
fn head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return String::new(),
        }
    }
    String::from_utf8(head).unwrap()
}

fn client_config(files: &[&Path]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for file in files {
        roots.add(CertificateDer::from_pem_file(file).unwrap()).unwrap();
    }
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}
