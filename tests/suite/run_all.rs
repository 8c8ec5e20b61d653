//! `spectral capture run --all`: captures programs that read no variables, as root and without privileges, and changes nothing
//! outside.

use crate::support::bundle::Bundle;
use crate::support::namespaces::User;
use crate::support::peers::{Output, find, finish, peer, run};
use crate::support::upstream_proxy::UpstreamProxy;
use crate::support::{Origin, TempDir};
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// Runs a shell command line under `capture run --all`, in `dir`.
#[track_caller]
fn sh(user: User, dir: &TempDir, line: &str) -> Output {
    run(&mut user.run_all(dir, &[], &["sh", "-c", line]))
}

#[track_caller]
fn bundle(dir: &TempDir) -> Bundle {
    Bundle::open(&dir.join("capture.zip"))
}

/// A program in Python that does not depend on the environment.
#[track_caller]
fn python() -> Option<&'static str> {
    let has_python = find("/usr/bin/python3").is_some() || std::path::Path::new("/usr/bin/python3").exists();
    if !has_python {
        crate::support::peers::report_skipped("python3");
    }
    has_python.then_some("/usr/bin/python3")
}

#[test]
fn a_program_that_reads_no_variables_is_captured_over_tls_and_in_the_clear() {
    let Some(curl) = peer("curl") else {
        return;
    };
    for user in User::all() {
        let (tls, plain) = (Origin::tls_responding(HELLO), Origin::plain_responding(HELLO));
        let urls = [
            format!("https://{}/tls", tls.authority("localhost")),
            format!("http://{}/plain", plain.authority("127.0.0.1")),
        ];
        let dir = user.dir();
        // Its roots are the system's, which are covered by a mount.
        let output = run(&mut user.run_all(
            &dir,
            &[],
            &[
                "env".as_ref(),
                "-i".as_ref(),
                curl.as_os_str(),
                "--noproxy".as_ref(),
                "*".as_ref(),
                "-sS".as_ref(),
                urls[0].as_ref(),
                urls[1].as_ref(),
            ],
        ));
        assert_eq!(output.text(), "hellohello", "{user:?}: {}", output.err);
        assert!(output.err.starts_with("Capturing all TCP of the command into capture.zip\n"), "{}", output.err);
        assert!(!output.err.contains("Not captured") && !output.err.contains("warning"), "{}", output.err);
        let mut captured = bundle(&dir).urls().into_iter().map(str::to_owned).collect::<Vec<_>>();
        captured.sort();
        assert_eq!(captured, [&*urls[1], &*urls[0]]);
    }
}

#[test]
fn exit_codes_streams_and_the_environment_are_those_of_the_command() {
    for user in User::all() {
        let dir = user.dir();
        for (line, code) in
            [("exit 0", 0), ("exit 77", 77), ("kill -TERM $$", 143), ("ulimit -c 0; kill -SEGV $$", 139)]
        {
            let output = sh(user, &dir, line);
            assert_eq!(output.code, Some(code), "{line}: {}", output.err);
        }
        let output = run(user.run_all(&dir, &[], &["no-such-command"]).env("PATH", "/usr/bin:/bin"));
        assert_eq!(output.code, Some(127), "{}", output.err);
        let line =
            "id -u; id -g; pwd; echo $HTTPS_PROXY $NO_PROXY $SPECTRAL_PROXY; grep CapEff /proc/self/status; ulimit -n";
        let line = format!("ulimit -Sn 99; exec \"$0\" capture run --all -o new.zip -- sh -c '{line}'");
        let mut command = user.command("sh");
        command.args(["-c", &line, env!("CARGO_BIN_EXE_spectral")]).current_dir(dir.path()).env("HOME", dir.path());
        let output = run(command.env("HTTPS_PROXY", "http://127.0.0.1:9").env("NO_PROXY", "*")).ok();
        let (text, path) = (output.text(), dir.path().canonicalize().unwrap());
        let id = if user == User::Nobody { 65534 } else { nix::unistd::geteuid().as_raw() };
        assert!(text.starts_with(&format!("{id}\n{id}\n{}\nall\n", path.display())), "{text}");
        assert!(text.ends_with("\n99\n"), "{text}");
        assert_eq!(text.contains("CapEff:\t0000000000000000\n"), user == User::Nobody, "{text}");
        assert!(output.err.contains("Upstream proxy: "), "a configured proxy is used: {}", output.err);
    }
}

#[test]
fn a_command_and_its_own_server_are_captured() {
    let Some(python) = python() else {
        return;
    };
    let program = "
import http.server, threading, http.client, socket
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header('Content-Length', '6'); self.end_headers(); self.wfile.write(b'inside')
    def log_message(self, *args): pass
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = http.client.HTTPConnection('127.0.0.1', server.server_port)
client.request('GET', '/one')
print(client.getresponse().read().decode())
# The namespace's own address.
own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
own.connect(('198.51.100.7', 9))
other = http.server.ThreadingHTTPServer((own.getsockname()[0], 0), Handler)
threading.Thread(target=other.serve_forever, daemon=True).start()
client = http.client.HTTPConnection(own.getsockname()[0], other.server_port)
client.request('GET', '/two')
print(client.getresponse().read().decode())
";
    for user in User::all() {
        let dir = user.dir();
        let output = run(&mut user.run_all(&dir, &[], &[python, "-c", program]));
        assert_eq!(output.text(), "inside\ninside\n", "{}", output.err);
        let bundle = bundle(&dir);
        assert!(bundle.trace("/one").url().starts_with("http://127.0.0.1:"));
        assert!(bundle.trace("/two").url().starts_with("http://192.0.0.8:"));
    }
}

#[test]
fn a_port_on_loopback_is_refused_unless_something_listens() {
    let Some(python) = python() else {
        return;
    };
    // Prints the errors of connections to a closed port, to one of the machine, and to one that opens later.
    let program = "
import socket, sys, time
def attempt(port):
    with socket.socket() as client:
        return client.connect_ex(('127.0.0.1', int(port)))
print(attempt(sys.argv[1]), attempt(sys.argv[2]), flush=True)
sys.stdin.readline()
deadline = time.monotonic() + 20
while attempt(sys.argv[1]) != 0:
    assert time.monotonic() < deadline
    time.sleep(0.01)
print('open')
";
    for user in User::all() {
        let dir = user.dir();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let origin = Origin::plain_responding(HELLO);
        let (free, taken) = (address.port().to_string(), origin.port().to_string());
        let mut child = user
            .run_all(&dir, &[], &[python, "-c", program, &free, &taken])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        assert_eq!(line, format!("{} 0\n", nix::errno::Errno::ECONNREFUSED as i32));
        let _later = std::net::TcpListener::bind(address).unwrap();
        child.stdin.take().unwrap().write_all(b"\n").unwrap();
        line.clear();
        out.read_line(&mut line).unwrap();
        assert_eq!(line, "open\n");
        finish(child).ok();
    }
}

#[test]
fn five_hundred_connections_at_once_are_served() {
    let Some(python) = python() else {
        return;
    };
    let program = "
import socket, sys
clients = [socket.create_connection(('127.0.0.1', int(sys.argv[1])), 20) for _ in range(500)]
for n, client in enumerate(clients):
    client.sendall(b'GET /%d HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n' % n)
for client in clients:
    received = b''
    while not received.endswith(b'hello'):
        received += client.recv(4096) or exit('closed')
print('all')
";
    for user in User::all() {
        let dir = user.dir();
        let origin = Origin::plain_responding(HELLO);
        let output = run(&mut user.run_all(&dir, &[], &[python, "-c", program, &origin.port().to_string()]));
        assert_eq!(output.text(), "all\n", "{}", output.err);
        assert_eq!(bundle(&dir).traces.len(), 500, "{}", output.err);
    }
}

/// Addresses of two networks may be equal: such a client is not our own connection, redirected to us.
#[test]
fn a_client_may_have_the_address_of_one_of_our_sockets() {
    let Some(python) = python() else {
        return;
    };
    let program = "
import socket, sys
origin = ('127.0.0.1', int(sys.argv[1]))
def ask(client):
    client.sendall(b'GET / HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n')
    received = b''
    while not received.endswith(b'.'):
        received += client.recv(4096) or exit('closed')
    return int(received.partition(b'\\r\\n\\r\\n')[2][:-1])
first = socket.create_connection(origin, 20)
second = socket.socket()
second.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
second.bind(('127.0.0.1', ask(first)))
second.connect(origin)
ask(second)
print('both')
";
    for user in User::all() {
        // Answers with the port of its client, and keeps the connection.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        std::thread::spawn(move || {
            let mut open = Vec::new();
            while let Ok((mut client, peer)) = listener.accept() {
                let body = format!("{}.", peer.port());
                let length = body.len();
                write!(client, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
                open.push(client);
            }
        });
        let dir = user.dir();
        let output = run(&mut user.run_all(&dir, &[], &[python, "-c", program, &port]));
        assert_eq!(output.text(), "both\n", "{}", output.err);
    }
}

#[test]
fn background_processes_are_counted() {
    for user in User::all() {
        let dir = user.dir();
        // The command does not wait for it, and it ends with its stdin.
        let mut child = user
            .run_all(&dir, &[], &["sh", "-c", "exec 3<&0; cat <&3 >/dev/null 2>&1 & exit 3"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let output = finish(child);
        drop(stdin);
        assert_eq!(output.code, Some(3), "{}", output.err);
        assert!(output.err.contains("1 background process of the command lost the network"), "{}", output.err);
        assert!(!sh(user, &dir, "true").err.contains("background"));
    }
}

/// With shared propagation, a mount in the command's namespace would otherwise appear in the machine's.
#[test]
fn the_machines_roots_mounts_and_interfaces_stay_as_they_are() {
    let roots = "/etc/ssl/certs/ca-certificates.crt";
    if !std::path::Path::new(roots).exists() || !nix::unistd::geteuid().is_root() {
        return crate::support::peers::report_skipped("network namespaces");
    }
    for user in User::all() {
        let dir = user.dir();
        let inside =
            format!("cat {roots} > inside.pem; cat /proc/self/mountinfo > inside; echo ready > ready; read line < go");
        let line = format!(
            "mkfifo ready go; chmod 666 ready go; \
             state() {{ cat {roots}; cat /proc/self/mountinfo; cat /proc/net/dev | cut -d: -f1; cat /proc/net/route; }}; \
             state > before; \"$@\" & read line < ready; state > during; echo > go; wait $!; state > after"
        );
        let command = user.run_all(&dir, &[], &["sh", "-c", &inside]);
        let mut outer = std::process::Command::new("unshare");
        outer.args(["-m", "--propagation", "shared", "sh", "-c", &line, "sh"]).arg(command.get_program());
        outer.args(command.get_args()).current_dir(dir.path()).env("HOME", dir.path());
        let output = run(&mut outer).ok();
        let read = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap();
        let ours = std::fs::read_to_string(crate::support::cli::ca_in(dir.path())).unwrap();
        assert!(read("inside.pem").starts_with(&ours), "{}", output.err);
        assert!(read("inside").contains(roots));
        assert_eq!(read("during"), read("before"));
        assert_eq!(read("after"), read("before"));
    }
}

#[test]
fn a_run_inside_a_run_is_captured() {
    let Some(curl) = peer("curl") else {
        return;
    };
    for user in User::all() {
        let origin = Origin::plain_responding(HELLO);
        let dir = user.dir();
        let url = format!("http://{}/nested", origin.authority("127.0.0.1"));
        let (spectral, curl) = (env!("CARGO_BIN_EXE_spectral"), curl.to_str().unwrap());
        for all in [&["--all"][..], &[]] {
            let inner =
                [&[spectral, "capture", "run", "-o", "inner.zip"][..], all, &["--", curl, "-sS", &url]].concat();
            let output = run(&mut user.run_all(&dir, &["-o", "outer.zip"], &inner)).ok();
            assert_eq!(output.text(), "hello", "{}", output.err);
            assert_eq!(Bundle::open(&dir.join("inner.zip")).urls(), [&*url], "{all:?}: {}", output.err);
            // Without a network of its own, the command's request to the inner proxy is captured, too.
            let outer = Bundle::open(&dir.join("outer.zip"));
            assert_eq!(outer.urls(), vec![&*url; if all.is_empty() { 2 } else { 1 }], "{}", output.err);
            assert!(output.err.contains("inside 'spectral capture run --all'"), "{}", output.err);
        }
    }
}

#[test]
fn options_of_a_proxy_cannot_be_used() {
    let dir = TempDir::new();
    for option in [&["-p", "0"][..], &["--listen", "127.0.0.1"]] {
        let output = run(&mut User::Current.run_all(&dir, option, &["true"]));
        assert_eq!(output.code, Some(2), "{}", output.err);
        assert!(output.err.contains("cannot be used with --all"), "{}", output.err);
    }
}

#[test]
fn a_proxy_of_the_environment_is_used_and_hidden_from_the_command() {
    let Some(curl) = peer("curl") else {
        return;
    };
    for user in User::all() {
        let origin = Origin::plain_responding(HELLO);
        let proxy = UpstreamProxy::to(origin.addr);
        let dir = user.dir();
        // The command cannot tell that this address is reached only by the proxy.
        let line = format!("env | grep -ic '^https*_proxy'; {} -sS http://198.51.100.9:8080/x", curl.display());
        let mut command = user.run_all(&dir, &["--rotate", "1G"], &["sh", "-c", &line]);
        let url = format!("http://{}", proxy.addr);
        let output = run(command.env("http_proxy", &url).env("HTTPS_PROXY", &url)).ok();
        assert_eq!(output.text(), "0\nhello", "{}", output.err);
        assert_eq!(
            Bundle::open(&dir.join("capture-0001.zip")).urls(),
            ["http://198.51.100.9:8080/x"],
            "{}",
            output.err
        );
        let heads = proxy.heads.read(Clone::clone);
        assert!(heads.len() == 1 && heads[0].starts_with("CONNECT 198.51.100.9:8080 "), "{heads:?}");
    }
}
