//! `spectral capture run --all` where the system allows no namespaces: it says so before the command starts.

use crate::support::bundle::Bundle;
use crate::support::namespaces::User;
use crate::support::network::Network;
use crate::support::peers::{Output, report_skipped, run};
use crate::support::{Origin, TempDir, respond_to_all};
use std::path::Path;
use std::process::Command;

/// Makes a call with one of these flags fail with this error, by seccomp(2), and executes a command. The call is unshare(2), or
/// `socket` or `family`: socket(2), whose protocol or family must be equal.
const DENY: &str = "
import ctypes, os, platform, struct, sys
name = sys.argv.pop(1)
numbers = (272, 97) if name == 'unshare' else (41, 198)
number = numbers[platform.machine() == 'aarch64']
flags, error = int(sys.argv[1], 0), int(sys.argv[2])
# The first argument has one of the bits or is equal, or the third is equal.
load, test = {'unshare': (16, 0x45), 'family': (16, 0x15), 'socket': (32, 0x15)}[name]
rules = [(0x20, 0, 0, 0), (0x15, 0, 3, number), (0x20, 0, 0, load), (test, 0, 1, flags), (6, 0, 0, 0x50000 | error), (6, 0, 0, 0x7fff0000)]
code = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *rule) for rule in rules))
program = ctypes.create_string_buffer(struct.pack('HxxxxxxP', len(rules), ctypes.addressof(code)))
prctl = ctypes.CDLL(None).prctl
assert prctl(38, 1, 0, 0, 0) == 0 and prctl(22, 2, program, 0, 0) == 0
os.execv(sys.argv[3], sys.argv[3:])
";
const NEW_USER: &str = "0x10000000";
const NEW_NET: &str = "0x40000000";

/// Runs `spectral` where unshare(2) with `flags` fails with `error`.
fn denied(user: User, dir: &TempDir, flags: &str, error: nix::errno::Errno) -> Output {
    run_where(user, dir, &["unshare", flags, &(error as i32).to_string()], &["touch", "started"])
}

/// Runs `spectral` with this command after [`DENY`] with these arguments.
fn run_where(user: User, dir: &TempDir, deny: &[&str], command: &[&str]) -> Output {
    let spectral = user.run_all(dir, &[], command);
    let args = spectral.get_args().skip_while(|arg| *arg != env!("CARGO_BIN_EXE_spectral") && *arg != "capture");
    let mut command = user.command("/usr/bin/python3");
    command.args(["-c", DENY]).args(deny);
    if spectral.get_program() == env!("CARGO_BIN_EXE_spectral") {
        command.arg(spectral.get_program());
    }
    run(command.args(args).current_dir(dir.path()).env("HOME", dir.path()))
}

/// Fails unless the output is one error with these parts, and the command did not start.
#[track_caller]
fn assert_refused(output: &Output, dir: &TempDir, parts: &[&str]) {
    assert_eq!((output.code, output.text().as_str()), (Some(1), ""), "{}", output.err);
    assert_eq!(output.err.lines().count(), 1, "{}", output.err);
    assert!(output.err.starts_with("spectral: error: --all cannot create a namespace: "), "{}", output.err);
    assert!(output.err.ends_with("use sudo, or omit --all\n"), "{}", output.err);
    for part in parts {
        assert!(output.err.contains(part), "{part}: {}", output.err);
    }
    let names = dir.names();
    assert!(!names.iter().any(|name| name == "started" || name.contains("capture.zip")), "{names:?}");
}

#[test]
fn a_seccomp_filter_is_named() {
    if !Path::new("/usr/bin/python3").exists() || !nix::unistd::geteuid().is_root() {
        return report_skipped("network namespaces");
    }
    for user in User::all() {
        let dir = user.dir();
        let flags = if user == User::Nobody { NEW_USER } else { NEW_NET };
        let output = denied(user, &dir, flags, nix::errno::Errno::EPERM);
        let parts = ["a seccomp filter forbids it", "--security-opt seccomp=unconfined"];
        assert_refused(&output, &dir, &parts);
    }
}

/// AppArmor of Ubuntu lets a user namespace be created, and refuses what follows.
#[test]
fn apparmor_is_named() {
    if !Path::new("/usr/bin/python3").exists() || !nix::unistd::geteuid().is_root() {
        return report_skipped("network namespaces");
    }
    for error in [nix::errno::Errno::EPERM, nix::errno::Errno::EACCES] {
        if User::all().contains(&User::Nobody) {
            let dir = User::Nobody.dir();
            let output = denied(User::Nobody, &dir, NEW_NET, error);
            assert_refused(&output, &dir, &["AppArmor", "'spectral ca help apparmor'"]);
        }
    }
}

/// All addresses are this machine's, so listeners on some ports receive connections to any.
#[test]
fn without_nf_tables_common_ports_are_captured() {
    if !Path::new("/usr/bin/python3").exists() || !nix::unistd::geteuid().is_root() {
        return report_skipped("network namespaces");
    }
    for user in User::all() {
        Network::run(move |_| {
            let respond = |connection| respond_to_all(connection, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
            let _origin = Origin::at("198.51.100.1:80", None, respond);
            let dir = user.dir();
            let netfilter = ["socket", "12", "93"];
            let program = "
import socket, urllib.request
print(urllib.request.urlopen('http://198.51.100.1/x', timeout=10).read().decode())
with socket.socket() as client:
    print(client.connect_ex(('198.51.100.1', 81)))
";
            let output = run_where(user, &dir, &netfilter, &["/usr/bin/python3", "-c", program]);
            assert_eq!((output.code, output.text().as_str()), (Some(0), "hello\n111\n"), "{}", output.err);
            assert!(
                output.err.contains("the kernel lacks nf_tables with TPROXY: only connections to the ports 80, 443"),
                "{}",
                output.err
            );
            assert_eq!(Bundle::open(&dir.join("capture.zip")).urls(), ["http://198.51.100.1/x"]);
        });
    }
}

/// As with the kernel's option `ipv6.disable=1`.
#[test]
fn a_kernel_without_ipv6_has_ipv4() {
    if !Path::new("/usr/bin/python3").exists() || !nix::unistd::geteuid().is_root() {
        return report_skipped("network namespaces");
    }
    for user in User::all() {
        Network::run(move |_| {
            let respond = |connection| respond_to_all(connection, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
            let _origin = Origin::at("198.51.100.1:80", None, respond);
            let resolver = std::net::UdpSocket::bind("198.51.100.1:53").unwrap();
            std::thread::spawn(move || {
                let mut buffer = [0; 512];
                while let Ok((len, client)) = resolver.recv_from(&mut buffer) {
                    let answer = [b"answer to ", &buffer[..len]].concat();
                    let _ = resolver.send_to(&answer, client);
                }
            });
            let dir = user.dir();
            let program = "
import socket, urllib.request
print(urllib.request.urlopen('http://198.51.100.1/x', timeout=10).read().decode())
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
    client.settimeout(10)
    client.connect(('198.51.100.1', 53))
    client.send(b'query')
    print(client.recv(512).decode())
";
            let no_ipv6 = ["family", "10", "97"];
            let output = run_where(user, &dir, &no_ipv6, &["/usr/bin/python3", "-c", program]);
            let expected = (Some(0), "hello\nanswer to query\n");
            assert_eq!((output.code, output.text().as_str()), expected, "{}", output.err);
            assert_eq!(Bundle::open(&dir.join("capture.zip")).urls(), ["http://198.51.100.1/x"]);
        });
    }
}

#[test]
fn the_limit_of_user_namespaces_is_named() {
    let line = "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all --inh-caps=-all \"$@\"";
    if !User::all().contains(&User::Nobody) {
        return;
    }
    let dir = TempDir::new();
    let spectral = User::Current.run_all(&dir, &[], &["touch", "started"]);
    let mut command = Command::new("unshare");
    command
        .args(["-U", "--map-root-user", "sh", "-c", line, "sh"])
        .arg(spectral.get_program())
        .args(spectral.get_args());
    let output = run(command.current_dir(dir.path()).env("HOME", dir.path()));
    assert_refused(&output, &dir, &["user.max_user_namespaces"]);
}
