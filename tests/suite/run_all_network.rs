//! `spectral capture run --all` and destinations outside: IPv6, DNS, UDP, ports that do not answer. Each test has a network of its own.

use crate::support::bundle::Bundle;
use crate::support::namespaces::User;
use crate::support::network::Network;
use crate::support::peers::{Output, run};
use crate::support::{CertSpec, Origin, TempDir, TlsSetup, respond_to_all};
use std::net::{TcpListener, UdpSocket};
use std::thread;

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// Runs `test` on a network with IPv6, as each user.
#[track_caller]
fn on_network(test: fn(User)) {
    for user in User::all() {
        Network::run(move |network| {
            network.ip("-6 route add default via 2001:db8::2 dev gw0");
            test(user);
        });
    }
}

/// Runs a program in Python under `capture run --all`.
#[track_caller]
fn python(user: User, dir: &TempDir, program: &str) -> Output {
    let program = [HELPERS, program].concat();
    run(&mut user.run_all(dir, &[], &["/usr/bin/python3", "-c", &program])).ok()
}

const HELPERS: &str = "
import socket, struct, sys
def udp(address, port, message=b'query'):
    family = socket.AF_INET6 if ':' in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        client.connect((address, port))
        try:
            client.send(message)
            return client.recv(2000).decode()
        except OSError as error:
            return type(error).__name__
def tcp(address, port, message):
    try:
        with socket.create_connection((address, port), 10) as client:
            client.sendall(message)
            return client.recv(2000).decode()
    except OSError as error:
        return type(error).__name__
";

#[test]
fn destinations_of_both_families_are_captured() {
    on_network(|user| {
        let names = ["198.51.100.1", "2001:db8:1::1"].map(String::from).to_vec();
        let setup = TlsSetup { cert_spec: CertSpec { names, ..CertSpec::default() }, ..TlsSetup::default() };
        let respond = |connection| respond_to_all(connection, HELLO.as_bytes());
        let _origins = [
            Origin::at("198.51.100.1:443", Some(setup.clone()), respond),
            Origin::at("[2001:db8:1::1]:443", Some(setup), respond),
            Origin::at("198.51.100.2:80", None, respond),
        ];
        let dir = user.dir();
        let program = "
import ssl, urllib.request
for url in ['https://198.51.100.1/v4', 'https://[2001:db8:1::1]/v6', 'http://198.51.100.2/clear']:
    print(urllib.request.urlopen(url, timeout=10).read().decode())
";
        let output = python(user, &dir, program);
        assert_eq!(output.text(), "hello\nhello\nhello\n", "{}", output.err);
        let urls = ["https://198.51.100.1/v4", "https://[2001:db8:1::1]/v6", "http://198.51.100.2/clear"];
        assert_eq!(Bundle::open(&dir.join("capture.zip")).urls(), urls, "{}", output.err);
    });
}

/// Answers each datagram with the address that received it.
fn answer_datagrams(addr: &'static str) {
    let socket = UdpSocket::bind(addr).unwrap();
    thread::spawn(move || {
        let mut query = [0; 2000];
        while let Ok((length, client)) = socket.recv_from(&mut query) {
            let answer = format!("{addr} has {}", String::from_utf8_lossy(&query[..length]));
            socket.send_to(answer.as_bytes(), client).ok();
        }
    });
}

#[test]
fn dns_goes_to_the_resolver_that_was_asked() {
    on_network(|user| {
        let resolvers = ["198.51.100.1:53", "198.51.100.2:53", "[2001:db8:1::1]:53", "127.0.0.1:53"];
        resolvers.into_iter().for_each(answer_datagrams);
        let listener = TcpListener::bind("198.51.100.2:53").unwrap();
        thread::spawn(move || {
            while let Ok((mut client, _)) = listener.accept() {
                std::io::Write::write_all(&mut client, b"tcp").ok();
            }
        });
        let dir = user.dir();
        let program = "
for address in ['198.51.100.1', '198.51.100.2', '2001:db8:1::1', '127.0.0.1']:
    print(udp(address, 53))
print(tcp('198.51.100.2', 53, b'query'))
";
        let output = python(user, &dir, program);
        let expected = resolvers.map(|addr| format!("{addr} has query\n")).concat() + "tcp\n";
        assert_eq!(output.text(), expected, "{}", output.err);
        assert!(!output.err.contains("UDP"), "{}", output.err);
    });
}

#[test]
fn other_udp_is_rejected_at_once_and_reported_by_port() {
    on_network(|user| {
        answer_datagrams("198.51.100.1:443");
        let dir = user.dir();
        let program = "
print(udp('198.51.100.1', 443), udp('198.51.100.2', 443), udp('2001:db8:1::1', 443), udp('198.51.100.1', 4433))
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
    server.bind(('0.0.0.0', 0))
    # A server inside does not receive what is meant for others.
    print(udp('198.51.100.1', server.getsockname()[1]))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(('127.0.0.1', server.getsockname()[1]))
        client.send(b'inside')
        print(server.recv(100).decode())
try:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as ping:
        ping.settimeout(10)
        ping.sendto(struct.pack('!BBHHH', 8, 0, 0xf7ff, 0, 0), ('198.51.100.1', 0))
        kind = ping.recv(100)[20]
        while kind == 8: kind = ping.recv(100)[20]
        print('unreachable' if kind == 3 else kind)
except PermissionError:
    print('unreachable')
";
        let output = python(user, &dir, program);
        let refused = ["ConnectionRefusedError"; 4].join(" ");
        assert_eq!(
            output.text(),
            format!("{refused}\nConnectionRefusedError\ninside\nunreachable\n"),
            "{}",
            output.err
        );
        for line in [
            "Rejected, since only TCP is captured:\n",
            "  UDP port 443 (QUIC)  3 packets\n",
            "  UDP port 4433  1 packet\n",
        ] {
            assert!(output.err.contains(line), "{line}: {}", output.err);
        }
        assert_eq!(output.err.contains("  ping  1 packet\n"), user == User::Current, "{}", output.err);
    });
}

#[test]
fn a_dead_port_of_another_host_is_accepted_then_reset_and_reported() {
    on_network(|user| {
        let dir = user.dir();
        let output = python(user, &dir, "print(tcp('198.51.100.1', 81, b'x'))");
        assert_eq!(output.text(), "ConnectionResetError\n");
        assert!(output.err.contains("  198.51.100.1:81  1 connection: unreachable: it refused"), "{}", output.err);
    });
}

#[test]
fn other_protocols_work_and_are_reported() {
    on_network(|user| {
        let _origin = Origin::at("198.51.100.1:25", None, |mut connection| {
            connection.send("220 mail.test ready\r\n");
            connection.read_until(b"\r\n");
            connection.send("221 bye\r\n");
        });
        let dir = user.dir();
        let program = "
with socket.create_connection(('198.51.100.1', 25), 10) as client:
    print(client.recv(100).decode().strip())
    client.sendall(b'QUIT\\r\\n')
    print(client.recv(100).decode().strip())
";
        let output = python(user, &dir, program);
        assert_eq!(output.text(), "220 mail.test ready\n221 bye\n");
        assert!(output.err.contains("  198.51.100.1:25  1 connection: passed through: not HTTP"), "{}", output.err);
        let bytes = "Neither TLS nor HTTP: 198.51.100.1  6 B sent, 30 B received\n";
        assert!(output.err.contains(bytes), "{}", output.err);
    });
}
